//! ASK: the command line, one file per verb.

mod agent;
mod calls;
mod child;
mod config;
mod content;
mod contract;
mod counting;
mod doctor;
mod explain;
mod fingerprints;
mod history;
mod ignore;
mod keeping;
mod lines;
mod logging;
mod moment;
mod run;
mod sample;
mod scans;
mod shell;
mod signals;
mod summary;
mod table;
mod targets;

pub mod replay;

use std::{io::Write, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::export::{MetricOutputs, Outputs};

use self::config::Refused;

/// Captures the LLM calls of unmodified processes, and exports them as OpenTelemetry spans.
#[derive(Debug, Parser)]
#[command(name = "plainspan", version, max_term_width = 100)]
struct Cli {
    /// What to log on standard error: error, warn, info, debug, trace, or a filter as
    /// `plainspan::probe=debug`.
    #[arg(long, global = true, env = "PLAINSPAN_LOG", default_value = "warn", value_name = "FILTER")]
    log: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Shows the LLM calls that processes of this machine make, as they happen.
    Run(Box<run::Args>),
    /// Lists the calls that were kept, and shows what is known of them.
    Calls(calls::Args),
    /// Tells what sets bad calls apart from the others that were kept.
    Explain(explain::Args),
    /// Tells what TLS code processes and programs hold, and whether their calls can be seen.
    Doctor(doctor::Args),
    /// Makes spans of recorded exchanges, without a kernel or privileges.
    Replay(replay::Args),
    /// Compares and checks telemetry contracts: plainspan's own, or a team's.
    Contract(contract::Args),
    /// Checks and shows the settings of `run`: those of the file, the environment and the command line.
    Config(config::Args),
}

/// Runs the command line and returns the exit status: 0 for success, that of the command for
/// `run -- COMMAND`, 1 for a failure, 2 for a command line that makes no sense.
pub fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(Refused::File(error)) => {
            say(&format!("plainspan: {error}\n"));
            return ExitCode::from(2);
        }
        Err(Refused::CommandLine(help))
            if help.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand =>
        {
            say(&help.to_string());
            return ExitCode::from(2);
        }
        Err(Refused::CommandLine(error)) if error.use_stderr() => {
            say(&format!("plainspan: {}\n", usage(&error)));
            return ExitCode::from(2);
        }
        // Help and version: a closed standard output is no reason to complain.
        Err(Refused::CommandLine(help)) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    let outcome = logging::start(&cli.log).and_then(|()| match cli.verb {
        Verb::Run(args) => run::run(*args),
        Verb::Calls(args) => calls::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Replay(args) => replay::run(args),
        Verb::Contract(args) => contract::run(&args),
        Verb::Config(args) => config::run(args),
    });
    match outcome {
        Ok(status) => status,
        Err(error) => {
            say(&format!("plainspan: {}\n", one_line(&error)));
            status_of(&error)
        }
    }
}

/// The exit status for an error.
fn status_of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<child::NotStarted>() {
        Some(refused) => ExitCode::from(refused.status),
        None if error.is::<Usage>() => ExitCode::from(2),
        None => ExitCode::FAILURE,
    }
}

/// Speaks to a person. Unlike `eprintln!`, which ends the program then: a closed standard error is no reason
/// to stop.
fn say(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A value on the command line or in the environment that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Answers a person who has asked: a closed standard output is no reason to complain.
fn tell(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Answers a program or a person: that not all of it could be written is a failure, but for a reader that has seen enough.
fn answer(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Delivers what is left, for so long, and says of which output not all was. Was it all of each?
async fn close(outputs: Outputs, metrics: Option<MetricOutputs>, within: Duration) -> bool {
    if let Some(metrics) = metrics {
        metrics.shutdown(within).await;
    }
    let mut complete = true;
    for report in outputs.shutdown(within).await {
        complete &= report.complete();
        if report.kept > 0 || (!report.complete() && !report.told) {
            say(&format!("plainspan: {report}\n"));
        }
    }
    complete
}

/// What is wrong with the command line, in one line.
fn usage(error: &clap::Error) -> String {
    format!("{}; see plainspan --help", message(error))
}

/// The same without where to look.
fn message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    // The message, and the names that may have been meant; then come usage and a hint at --help.
    let message: Vec<&str> = text
        .lines()
        .take_while(|l| !l.starts_with("Usage:"))
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let message = message.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    let message = message.strip_suffix("For more information, try '--help'.").unwrap_or(message);
    message.trim().to_owned()
}

/// An error with its causes, without line breaks.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn errors_have_the_status_that_shells_give_them() {
        let cases: [(anyhow::Error, u8); 3] = [
            (child::NotStarted { status: 127, reason: "gone".into() }.into(), 127),
            (Usage("what?".into()).into(), 2),
            (anyhow::anyhow!("broken"), 1),
        ];
        for (error, status) in cases {
            assert_eq!(
                format!("{:?}", status_of(&error)),
                format!("{:?}", ExitCode::from(status)),
                "{error}"
            );
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
