//! `plainspan contract live-check`: telemetry of any SDK, held against a contract as it arrives.

mod receive;
mod session;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use clap::Args as ClapArgs;
use tokio::{net::TcpListener, sync::mpsc, time::Instant};

use self::{
    receive::{Arrival, serve},
    session::Session,
};
use super::own;
use crate::cli::{Usage, answer, say, signals::Signals};

/// What the exit status says.
pub const STATUS: &str = "Exit status: 0 when all that came keeps the contract, 1 when something doesn't or can't be \
                          read, 2 when nothing of the contract came, the contract can't be read or the command line makes no sense.";

/// How long what is on its way when the check ends may take.
const LAST: Duration = Duration::from_millis(200);

/// The command line.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Where OTLP is received, over gRPC and HTTP alike; 0 as the port takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4317")]
    otlp: String,
    /// Directory of the contract: its registry, or what has that in `registry/`
    /// [default: plainspan's own].
    #[arg(long, value_name = "DIR")]
    contract: Option<PathBuf>,
    /// Ends after this time, as 30s or 5m [default: at Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    period: Option<Duration>,
    /// Ends when something has come, and then nothing more for so long.
    #[arg(long, value_name = "DURATION", value_parser = duration, num_args = 0..=1, default_missing_value = "5s")]
    until_idle: Option<Duration>,
    /// Tells it as one JSON object.
    #[arg(long)]
    json: bool,
}

/// Reads `30s`, `5m`, `500ms`, or a number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: use 500ms, 30s or 5m");
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    millis
        .filter(|millis| (1..=u64::from(u32::MAX)).contains(millis))
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let registry = own::contract(args.contract.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the asynchronous runtime can't be started")?;
    let mut session = Session::new(&registry);
    runtime.block_on(listen(args, &registry, &mut session))?;
    runtime.shutdown_background();
    session.finish();

    let told = if args.json { session.json() } else { session.text() };
    answer(&told)?;
    if session.kept() && !session.checked_any() {
        let hint = "nothing of the contract came: is OTEL_EXPORTER_OTLP_ENDPOINT right, and the contract?";
        return Err(Usage(hint.to_owned()).into());
    }
    Ok(if session.kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn listen(
    args: &Args,
    registry: &plainspan_registry::Registry,
    session: &mut Session<'_>,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(&args.otlp)
        .await
        .map_err(|error| Usage(format!("{} can't be listened on: {error}", args.otlp)))?;
    let address = listener.local_addr().context("the address can't be told")?;
    let mut signals = Signals::new(false)?;
    let mut arrivals = serve(listener);
    say(&format!(
        "plainspan: OTLP on {address}, gRPC and HTTP, against {} {}{}\n",
        registry.name,
        registry.version,
        if args.period.is_none() && args.until_idle.is_none() { "; Ctrl-C ends it" } else { "" },
    ));
    let end = args.period.map(|period| Instant::now() + period);
    let mut idle_at = None;
    loop {
        tokio::select! {
            arrival = arrivals.recv() => match arrival {
                Some(arrival) => {
                    take(session, arrival);
                    idle_at = args.until_idle.map(|idle| Instant::now() + idle);
                }
                None => break,
            },
            () = until(end) => break,
            () = until(idle_at) => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.terminate.recv() => break,
        }
    }
    drain(session, &mut arrivals).await;
    Ok(())
}

/// What waits is checked still, and what is just being read.
async fn drain(session: &mut Session<'_>, arrivals: &mut mpsc::Receiver<Arrival>) {
    let end = Instant::now() + LAST;
    while let Ok(Some(arrival)) = tokio::time::timeout_at(end, arrivals.recv()).await {
        take(session, arrival);
    }
    arrivals.close();
    while let Some(arrival) = arrivals.recv().await {
        take(session, arrival);
    }
}

fn take(session: &mut Session<'_>, arrival: Arrival) {
    match arrival {
        Arrival::Export(export) => session.take(export),
        Arrival::Refused(reason) => session.refuse(reason),
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, wanted) in [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("5m", 300_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(wanted)), "{text}");
        }
        for text in ["", "s", "-1s", "1.5s", "1w", "0", "99999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
