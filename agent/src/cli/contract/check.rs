//! `plainspan contract check`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::gate;
use crate::cli::Usage;

/// The command line.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Directory of the contract: its registry, or what has that in `registry/`.
    #[arg(default_value = "contract")]
    contract: PathBuf,
    /// A released contract, or a directory with one for each version, of which the newest counts.
    #[arg(long, value_name = "DIR")]
    baseline: PathBuf,
    #[command(flatten)]
    output: gate::Output,
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let baseline = plainspan_registry::newest(&args.baseline).map_err(|error| Usage(error.to_string()))?;
    gate::run(&baseline, &args.contract, &args.output)
}
