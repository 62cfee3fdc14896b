//! `plainspan contract`: what is done with telemetry contracts, one file per verb.

mod consumers;
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
        Verb::Consumers(args) => consumers::run(args),
        Verb::LiveCheck(args) => live_check::run(args),
        Verb::Infer(args) => infer::run(args),
    }
}
