//! ASK: the command line, one file per verb.

pub mod replay;

use std::process::ExitCode;

/// Runs the command line and returns the exit status.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
