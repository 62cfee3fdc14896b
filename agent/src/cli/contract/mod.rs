//! `plainspan contract`: what is done with telemetry contracts, one file per verb.

mod check;
mod diff;
mod gate;

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

/// What follows `contract`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// A verb is a file here, a variant, and a line in [`run`].
#[derive(Debug, Subcommand)]
enum Verb {
    /// Tells what changed from one contract to another, and whom it breaks.
    #[command(after_help = gate::STATUS)]
    Diff(diff::Args),
    /// Holds a contract against its newest released baseline: the gate, for CI.
    #[command(after_help = gate::STATUS)]
    Check(check::Args),
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Diff(args) => diff::run(args),
        Verb::Check(args) => check::run(args),
    }
}
