//! `plainspan config`, and where the settings of `run` come from: a file, the environment, the command line.
//!
//! What the command line says counts before the environment, that before the file, and that before the defaults. The file's values
//! become the defaults of the command line's options, so that each setting has one name, one form and one check.

mod file;
mod limits;
mod show;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, parser::ValueSource};

use self::file::{File, FileError};
pub(super) use self::limits::Limits;
use super::{Cli, Verb, message, run, say};

/// The file that is read when none is named, if it is there.
const DEFAULT: &str = "/etc/plainspan/config.yaml";

/// What only one run of the command can mean.
const NOT_IN_FILES: [&str; 3] = ["pid", "command", "config"];

/// What says which processes are watched: on the command line, one of them stands for all.
const SCOPE: [&str; 4] = ["pid", "exe", "cgroup", "command"];

/// The file that settings are read from.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// Read settings from this file; 'none' for none [default: /etc/plainspan/config.yaml, if it is
    /// there].
    #[arg(long, value_name = "FILE", env = "PLAINSPAN_CONFIG")]
    config: Option<PathBuf>,
}

/// Options of `config`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, clap::Subcommand)]
enum ConfigVerb {
    /// Tells whether the file, the environment and the options given make sense together.
    Check(Box<run::Args>),
    /// Shows every setting that `run` would have, and where it comes from.
    Show(Box<run::Args>),
}

/// Runs the verb.
#[allow(clippy::unnecessary_wraps, reason = "as of every verb")]
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (args, show) = match args.verb {
        ConfigVerb::Check(args) => (args, false),
        ConfigVerb::Show(args) => (args, true),
    };
    if show {
        super::tell(&args.settings.shown());
    } else {
        match args.settings.path() {
            Some(path) => say(&format!("plainspan: {} makes sense\n", path.display())),
            None => say(&format!("plainspan: there is no configuration file: {DEFAULT} would be read\n")),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why there are no settings.
#[derive(Debug)]
pub(super) enum Refused {
    /// The command line makes no sense, or asks for help.
    CommandLine(clap::Error),
    /// The file doesn't.
    File(FileError),
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

/// Settings, and where they come from.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    arguments: Vec<OsString>,
    path: Option<PathBuf>,
    limits: Limits,
    /// In the order of the options, then of the limits.
    all: Vec<Setting>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    value: Written,
    source: Source,
}

/// A value as the file would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    None,
    One(String),
    List(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Default,
    File,
    Environment(String),
    CommandLine,
}

impl Settings {
    /// The file that is read, if any.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The limits of all rooms.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads everything again: the options, and the names of those that have changed.
    pub(super) fn again(&self) -> Result<(run::Args, Vec<String>), String> {
        let cli = parse(self.arguments.clone()).map_err(|refused| match refused {
            Refused::CommandLine(error) => message(&error),
            Refused::File(error) => error.to_string(),
        })?;
        let Verb::Run(args) = cli.verb else { return Err("this is no capture".to_owned()) };
        let pairs = self.all.iter().zip(&args.settings.all);
        let changed = pairs.filter(|(old, new)| old.value != new.value).map(|(old, _)| old.name.clone());
        let changed = changed.collect();
        Ok((*args, changed))
    }
}

/// The command line with what file and environment say.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Cli, Refused> {
    let command = Cli::command();
    let matches = command.clone().try_get_matches_from(&arguments)?;
    let Some(given) = of_run(&matches) else { return Ok(Cli::from_arg_matches(&matches)?) };
    let file =
        place(given).map(|path| File::read(&path, &names(&command))).transpose().map_err(Refused::File)?;
    // An option that is given another default moves to the end of the list.
    let in_order = command.clone();
    let (command, from_file) = match &file {
        Some(file) => with_file(command, file, given).map_err(Refused::File)?,
        None => (command, Vec::new()),
    };
    let matches = command.clone().try_get_matches_from(&arguments)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let args = match &mut cli.verb {
        Verb::Run(args) | Verb::Config(Args { verb: ConfigVerb::Check(args) | ConfigVerb::Show(args) }) => {
            args
        }
        Verb::Calls(_) | Verb::Explain(_) | Verb::Doctor(_) | Verb::Replay(_) | Verb::Contract(_) => {
            return Ok(cli);
        }
    };
    let file = file.unwrap_or_default();
    let mut all = of_run(&matches).map(|run| settings(&in_order, run, &from_file)).unwrap_or_default();
    all.extend(limits::LIMITS.iter().map(|limit| Setting {
        name: format!("limits.{}", limit.name),
        value: Written::One((limit.get)(&file.limits).to_string()),
        source: if file.limited.contains(&limit.name) { Source::File } else { Source::Default },
    }));
    let path = Some(file.path).filter(|path| !path.as_os_str().is_empty());
    args.settings = Settings { arguments, path, limits: file.limits, all };
    Ok(cli)
}

/// What was given for `run`, for what `run` would do, or for what would be seen of processes then.
fn of_run(matches: &ArgMatches) -> Option<&ArgMatches> {
    match matches.subcommand()? {
        ("run" | "doctor", given) => Some(given),
        ("config", config) => config.subcommand().map(|(_, run)| run),
        _ => None,
    }
}

/// The file to be read.
fn place(given: &ArgMatches) -> Option<PathBuf> {
    match given.get_one::<PathBuf>("config") {
        Some(none) if none.as_os_str() == "none" => None,
        Some(path) => Some(path.clone()),
        None => Some(PathBuf::from(DEFAULT)).filter(|path| path.exists()),
    }
}

/// The options of `run` that can stand in a file, and that of all verbs.
fn options(command: &Command) -> impl Iterator<Item = &clap::Arg> {
    let run = command.find_subcommand("run").into_iter().flat_map(Command::get_arguments);
    command
        .get_arguments()
        .chain(run)
        .filter(|option| option.get_long().is_some() && !NOT_IN_FILES.contains(&option.get_id().as_str()))
        .filter(|option| !["help", "version"].contains(&option.get_id().as_str()))
}

fn names(command: &Command) -> Vec<String> {
    options(command).filter_map(|option| option.get_long().map(str::to_owned)).collect()
}

/// The command with the file's values as defaults, and the ids of the options that have one.
fn with_file(command: Command, file: &File, given: &ArgMatches) -> Result<(Command, Vec<String>), FileError> {
    let wrong = |key: &str, reason: String| FileError::Value {
        path: file.path.display().to_string(),
        key: key.to_owned(),
        reason,
    };
    let scoped = SCOPE.iter().any(|id| is_given(given, id));
    let mut defaults: Vec<(String, Vec<String>)> = Vec::new();
    let mut line = vec!["plainspan".to_owned(), "run".to_owned()];
    for (key, values) in &file.options {
        let Some(option) = options(&command).find(|option| option.get_long() == Some(key.as_str())) else {
            continue;
        };
        let many = matches!(option.get_action(), ArgAction::Append);
        if !many && values.len() != 1 {
            return Err(wrong(key, "takes one value".to_owned()));
        }
        let written: Vec<String> = match (option.get_action(), values.first().map(String::as_str)) {
            (ArgAction::SetTrue, Some("true")) => vec![format!("--{key}")],
            (ArgAction::SetTrue, Some("false")) => Vec::new(),
            (ArgAction::SetTrue, _) => return Err(wrong(key, "is either true or false".to_owned())),
            _ => values.iter().map(|value| format!("--{key}={value}")).collect(),
        };
        let alone = ["plainspan".to_owned(), "run".to_owned()].into_iter().chain(written.iter().cloned());
        if let Err(error) = command.clone().try_get_matches_from(alone) {
            return Err(wrong(key, message(&error)));
        }
        line.extend(written);
        let id = option.get_id().as_str();
        if !(values.is_empty() || scoped && SCOPE.contains(&id)) {
            defaults.push((id.to_owned(), values.clone()));
        }
    }
    if let Err(error) = command.clone().try_get_matches_from(line) {
        return Err(FileError::Together { path: file.path.display().to_string(), reason: message(&error) });
    }
    let own: Vec<String> = command.get_arguments().map(|option| option.get_id().to_string()).collect();
    let (of_all, of_run): (Vec<_>, Vec<_>) = defaults.iter().cloned().partition(|(id, _)| own.contains(id));
    let set = |command: Command, defaults: &[(String, Vec<String>)]| {
        defaults.iter().fold(command, |command, (id, values)| {
            command.mut_arg(id.clone(), |option| option.default_values(values.clone()))
        })
    };
    let command = set(command, &of_all)
        .mut_subcommand("run", |run| set(run, &of_run))
        .mut_subcommand("doctor", |doctor| {
            let known: Vec<String> =
                doctor.get_arguments().map(|option| option.get_id().to_string()).collect();
            let own: Vec<_> = of_run.iter().filter(|(id, _)| known.contains(id)).cloned().collect();
            set(doctor, &own)
        })
        .mut_subcommand("config", |config| {
            config
                .mut_subcommand("check", |run| set(run, &of_run))
                .mut_subcommand("show", |run| set(run, &of_run))
        });
    Ok((command, defaults.into_iter().map(|(id, _)| id).collect()))
}

/// Does the command line say it?
fn is_given(given: &ArgMatches, id: &str) -> bool {
    given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine)
}

fn settings(command: &Command, given: &ArgMatches, from_file: &[String]) -> Vec<Setting> {
    options(command)
        .map(|option| {
            let id = option.get_id().as_str();
            let values: Vec<String> = given
                .get_raw(id)
                .into_iter()
                .flatten()
                .map(|value| value.to_string_lossy().into_owned())
                .collect();
            let value = match option.get_action() {
                ArgAction::Append => Written::List(values),
                _ => values.into_iter().next().map_or(Written::None, Written::One),
            };
            let source = match given.value_source(id) {
                Some(ValueSource::CommandLine) => Source::CommandLine,
                Some(ValueSource::EnvVariable) => Source::Environment(
                    option.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
                ),
                _ if from_file.iter().any(|name| name == id) => Source::File,
                _ => Source::Default,
            };
            Setting { name: option.get_long().unwrap_or(id).to_owned(), value, source }
        })
        .collect()
}

#[cfg(test)]
mod tests;
