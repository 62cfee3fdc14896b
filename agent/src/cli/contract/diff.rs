//! `plainspan contract diff`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;

use super::gate;

/// The command line.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Directory of the old contract: its registry, or what has that in `registry/`.
    old: PathBuf,
    /// Directory of the new contract.
    new: PathBuf,
    #[command(flatten)]
    output: gate::Output,
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    gate::run(&args.old, &args.new, &args.output)
}
