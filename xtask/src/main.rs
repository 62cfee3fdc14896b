//! plainspan's habits of development, each a verb: `cargo xtask help`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]

mod bench;
mod contract;
mod cross;
mod demo;
mod ebpf;
mod fuzz;
mod licences;
mod linker;
mod lint;
mod manifest;
mod matrix;
mod parity;
mod root;
mod run;
mod setup;
mod strip;
mod test;
mod toolchain;
mod venv;
mod wheels;
mod workspace;

use anyhow::Result;
use std::process::ExitCode;
use workspace::Workspace;

const HELP: &str = "\
usage: cargo xtask VERB

  run [--release] [OPTIONS] [-- COMMAND...]   build plainspan and run it as root: of COMMAND, or of the whole system
  demo                                        run it on local clients that call a local provider
  build [--release]                           build plainspan
  test [--full] [--ebpf-from-source] [FILTER...]
                                              unit tests, then end to end through the kernel as root
  matrix [--newest] [--check]                 run every client of docs/capture-matrix.md and write it; --check: is it stale?
  parity                                      compare with the SDKs' own instrumentation, and write docs/parity.md
  bench [CRITERION'S ARGUMENTS...]            measure what a record costs, from the ring buffer to the span, and each parser
  fuzz [TARGET...] [--seconds N]              fuzz what parses other people's data, a minute for each target
  lint                                        formatting, clippy, documentation, forbidden words, licences
  fmt                                         format all code
  build-ebpf [--check] [--force] [--out DIR]  renew the kept kernel objects from source; --check: are they stale?
  cross                                       build plainspan for the other of its two architectures
  contract [--check]                          generate what comes from contract/; --check: is it stale?
  setup                                       install what development needs and this machine lacks
  help                                        this text

Each verb works from a fresh clone, with no step before it. docs/development.md tells more.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let (verb, rest) = args.split_first().map_or(("help", args), |(verb, rest)| (verb.as_str(), rest));
    match verb {
        "help" | "--help" | "-h" => println!("{HELP}"),
        "setup" => setup::run(&Workspace::find()?, rest)?,
        "build-ebpf" => ebpf::run(&Workspace::find()?, rest)?,
        "contract" => contract::run(rest)?,
        "cross" => cross::run(&Workspace::find()?, rest)?,
        "build" => run::build(&Workspace::find()?, rest)?,
        "run" => return run::run(&Workspace::find()?, rest),
        "demo" => return demo::run(&Workspace::find()?, rest),
        "test" => return test::run(&Workspace::find()?, rest),
        "matrix" => matrix::run(&Workspace::find()?, rest)?,
        "parity" => parity::run(&Workspace::find()?, rest)?,
        "bench" => bench::run(&Workspace::find()?, rest)?,
        "fuzz" => fuzz::run(&Workspace::find()?, rest)?,
        "fmt" => lint::fmt(&Workspace::find()?, rest)?,
        "lint" => lint::run(&Workspace::find()?, rest)?,
        other => anyhow::bail!("there is no verb `{other}`: `cargo xtask help` lists them"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what is being done, apart from what the tools that do it say.
fn say(what: &str) {
    eprintln!("==> {what}");
}
