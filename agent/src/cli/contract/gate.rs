//! The gate between two contracts, and how its findings are told.

use std::{path::Path, process::ExitCode};

use clap::{Args as ClapArgs, ValueEnum};
use plainspan_registry::{
    Registry, consumers,
    diff::{Class, Diff, Side},
    files,
    report::{Places, Report},
};

use crate::cli::{Usage, answer};

/// What the exit status says.
pub const STATUS: &str = "Exit status: 0 when nothing breaks, 1 when something does, 2 when the contracts cannot be \
                          read or the command line makes no sense.";

/// How findings are told, and whose promises count.
#[derive(Debug, ClapArgs)]
pub struct Output {
    /// Whose promises count: of those who read the telemetry, or of those who send it and are held to
    /// the contract.
    #[arg(long = "for", value_enum, default_value = "consumers", value_name = "WHO")]
    who: Who,
    /// Tells it as one JSON object.
    #[arg(long, group = "form")]
    json: bool,
    /// Tells it as SARIF 2.1.0, for code scanning.
    #[arg(long, group = "form")]
    sarif: bool,
    /// Tells it as annotations of a pull request on GitHub.
    #[arg(long, group = "form")]
    github: bool,
}

/// Who relies on a contract.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    Consumers,
    Producers,
    Both,
}

impl Who {
    fn sides(self) -> &'static [Side] {
        match self {
            Self::Consumers => &[Side::Consumers],
            Self::Producers => &[Side::Producers],
            Self::Both => &[Side::Consumers, Side::Producers],
        }
    }
}

/// Compares the contracts in two directories and tells the findings on standard output, with the consumers that the new one declares.
pub fn run(old: &Path, dir: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let unreadable = |error: plainspan_registry::Error| Usage(error.to_string());
    let old = Registry::read(old).map_err(unreadable)?;
    let texts = files(dir).map_err(unreadable)?;
    let new = Registry::load(&texts).map_err(unreadable)?;
    let declared = consumers::read(dir).map_err(unreadable)?;
    let diff = Diff::between(&old, &new);
    let report = Report {
        contract: &new.name,
        diff: &diff,
        sides: output.who.sides(),
        places: &Places::of(&texts),
        affected: &|change| consumers::affected(&declared, change),
    };
    let told = match output {
        Output { json: true, .. } => report.json()?,
        Output { sarif: true, .. } => report.sarif()?,
        Output { github: true, .. } => report.github(),
        _ => report.text(),
    };
    answer(&told)?;
    Ok(if report.class() == Class::Breaking { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
