//! `plainspan contract`: what is done with telemetry contracts, one file per verb.

mod check;
mod consumers;
mod diff;
mod gate;
mod infer;
mod live_check;
mod otlp;
mod own;

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
    /// Holds the declared consumers of a contract against it and against their files, or tells what files
    /// read.
    #[command(after_help = consumers::STATUS)]
    Consumers(consumers::Args),
    /// Receives OTLP from any SDK and tells what breaks a contract.
    #[command(after_help = live_check::STATUS)]
    LiveCheck(live_check::Args),
    /// Writes a first contract from recorded telemetry.
    Infer(infer::Args),
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Diff(args) => diff::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Consumers(args) => consumers::run(args),
        Verb::LiveCheck(args) => live_check::run(args),
        Verb::Infer(args) => infer::run(args),
    }
}
