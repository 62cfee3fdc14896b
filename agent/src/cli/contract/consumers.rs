//! `plainspan contract consumers`: who reads the telemetry, and what files of queries read.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as ClapArgs;
use plainspan_registry::{
    Registry,
    consumers::{self, Consumer, Declarations, FILE_FORMAT, Names},
};

use super::own;
use crate::cli::{Usage, answer};

/// What the exit status says.
pub const STATUS: &str = "Exit status: 0 when every declaration holds, 1 when one doesn't, 2 when something can't be read or the \
                          command line makes no sense.";

/// The command line.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Directory of the contract, with its consumers in `consumers/`.
    #[arg(default_value = "contract")]
    contract: PathBuf,
    /// Tells what these files read, as declarations to start from: Grafana dashboards (.json), rules of Prometheus
    /// and Grafana (.yaml), .promql, .traceql and .sql.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    scan: Vec<PathBuf>,
    /// Whom a change has to be agreed with, in declarations that are made.
    #[arg(long, requires = "scan", default_value = "unknown")]
    owner: String,
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.scan.is_empty() { check(args) } else { scan(args) }
}

/// Declarations for files, on standard output.
fn scan(args: &Args) -> anyhow::Result<ExitCode> {
    // Without a contract in its place, names are looked for that plainspan's own has.
    let dir = args.contract.exists().then_some(args.contract.as_path());
    let registry = own::contract(dir)?;
    let names = Names::new(&registry);
    let mut declared = Vec::new();
    for path in &args.scan {
        let name = path.display().to_string();
        let text = text_of(path)?;
        let found = consumers::scan(&name, &text).map_err(|error| Usage(error.to_string()))?;
        declared.push(Consumer {
            name: name.clone(),
            file: Some(name),
            note: None,
            reads: names.resolve(&found),
        });
    }
    let declarations =
        Declarations { file_format: FILE_FORMAT.to_owned(), owner: args.owner.clone(), consumers: declared };
    answer(&declarations.yaml())?;
    Ok(ExitCode::SUCCESS)
}

/// All declarations against the contract and their files.
fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let registry = own::contract(Some(&args.contract))?;
    let declared = consumers::read(&args.contract).map_err(|error| Usage(error.to_string()))?;
    let problems = consumers::check_all(&args.contract, &declared, &registry);
    let mut out = String::new();
    for problem in &problems {
        let _ = writeln!(out, "{problem}");
    }
    let count: usize = declared.iter().map(|(_, file)| file.consumers.len()).sum();
    let Registry { name, version, .. } = &registry;
    let _ = match problems.len() {
        0 => writeln!(out, "{count} consumers of {name} {version}: every declaration holds"),
        n => writeln!(out, "{count} consumers of {name} {version}, problems: {n}"),
    };
    answer(&out)?;
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    Ok(fs::read_to_string(path)
        .map_err(|error| Usage(format!("{} can't be read: {error}", path.display())))?)
}
