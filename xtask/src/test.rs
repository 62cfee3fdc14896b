//! `cargo xtask test`: everything that proves the agent, with all that it needs.
//!
//! Unit tests run as the user who asked. The end-to-end tests load kernel programs, so they are built as that user and
//! run as root: without root they fail, they are never skipped.

use crate::{
    ebpf, matrix, root, run, say, venv, wheels,
    workspace::{Executable, Workspace, must, output_of},
};
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Where the end-to-end tests are.
const END_TO_END: &str = "plainspan-tests";
/// The test program that needs arize-phoenix, which is large.
const OVERLAP: &str = "overlap";
/// The object to be embedded instead of the kept one; agent/build.rs reads it.
const OBJECT: &str = "PLAINSPAN_EBPF_OBJECT";

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let from_source = args.iter().any(|argument| argument == "--ebpf-from-source");
    let full = args.iter().any(|argument| argument == "--full");
    let own = ["--ebpf-from-source", "--full"];
    let filters: Vec<&String> = args.iter().filter(|argument| !own.contains(&argument.as_str())).collect();
    if let Some(option) = filters.iter().find(|filter| filter.starts_with('-')) {
        bail!("`test` does not know `{option}`: it takes --ebpf-from-source, --full and parts of test names");
    }
    root::must_be_had("the end-to-end part of the tests")?;
    let object = from_source.then(|| ebpf::build_for_this_machine(workspace)).transpose()?;
    let object = object.as_ref().map(|path| (OBJECT, path.as_os_str()));
    let mut fetched = Fetched::get(workspace)?;

    let mut failed = Vec::new();
    let mut ran = 0;
    say("unit tests");
    if !unit(workspace, &filters, object)? {
        failed.push("unit tests".to_string());
    }

    say("end-to-end tests: building");
    let agent = match object {
        Some(_) => workspace
            .executables(&["build", "--package", "plainspan", "--bin", "plainspan"], object.as_slice())?,
        None => vec![],
    };
    let agent = match agent.into_iter().next() {
        Some(built) => built.path,
        None => run::plainspan(workspace, false)?,
    };
    // Some of the tests start the package's own binaries, such as the provider.
    must(workspace.cargo().args(["build", "--package", END_TO_END, "--bins"]))?;
    let all = workspace.executables(&["test", "--no-run", "--package", END_TO_END], object.as_slice())?;
    for test in all.iter().filter(|built| built.is_test) {
        let matching = matching(test, &filters)?;
        let large = test.name == OVERLAP;
        if matching == 0 || ((matrix::is_slow(test) || large) && !full) {
            continue;
        }
        ran += matching;
        if large {
            fetched.phoenix = Some(venv::phoenix(workspace)?);
        }
        matrix::prepare(workspace, test, &filters, false)?;
        say(&format!("end-to-end tests: {} ({matching}), as root", test.name));
        if !end_to_end(workspace, test, &filters, &agent, &fetched, &[])? {
            failed.push(test.name.clone());
        }
    }
    if ran == 0 && filters.is_empty() {
        bail!("package {END_TO_END} has no tests: nothing was proven end to end");
    }
    if ran == 0 && !any_unit(workspace, &filters, object)? {
        bail!("no test has any of these in its name: {}", args.join(", "));
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    say(&format!("all passed, {ran} of them end to end"));
    Ok(ExitCode::SUCCESS)
}

/// Unit and documentation tests of all that is not end to end.
fn unit(workspace: &Workspace, filters: &[&String], object: Option<(&str, &OsStr)>) -> Result<bool> {
    let mut command = unit_command(workspace, filters, object);
    Ok(command.status().context("cannot start cargo")?.success())
}

fn unit_command(workspace: &Workspace, filters: &[&String], object: Option<(&str, &OsStr)>) -> Command {
    let mut command = workspace.cargo();
    command.args([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--exclude",
        "agent-ebpf",
        "--exclude",
        END_TO_END,
    ]);
    command.envs(object).arg("--").args(filters);
    command
}

/// Whether the filters pick any of them.
fn any_unit(workspace: &Workspace, filters: &[&String], object: Option<(&str, &OsStr)>) -> Result<bool> {
    let mut list = unit_command(workspace, filters, object);
    list.args(["--list", "--format", "terse"]);
    let listed = output_of(&mut list).context("the unit tests do not list themselves")?;
    Ok(count(&listed) > 0)
}

/// How many tests a list in libtest's terse form names.
fn count(listed: &str) -> usize {
    listed.lines().filter(|line| line.ends_with(": test")).count()
}

/// How many tests of a test program the filters pick.
fn matching(test: &Executable, filters: &[&String]) -> Result<usize> {
    Ok(count(&listed(test, filters)?))
}

/// What the tests use and this repository does not hold.
pub struct Fetched {
    venv: PathBuf,
    wheels: PathBuf,
    /// Only fetched for the test program that needs it.
    phoenix: Option<PathBuf>,
}

impl Fetched {
    /// Fetches what is not there yet.
    pub fn get(workspace: &Workspace) -> Result<Self> {
        let venv = venv::find_or_make(workspace)?;
        Ok(Self { wheels: wheels::find_or_fetch(workspace, &venv)?, venv, phoenix: None })
    }
}

/// Those tests, in libtest's terse form.
pub fn listed(test: &Executable, filters: &[&String]) -> Result<String> {
    let mut list = Command::new(&test.path);
    list.current_dir(&test.package_dir).args(["--list", "--format", "terse"]).args(filters);
    output_of(&mut list).with_context(|| format!("{} does not list its tests", test.name))
}

/// Runs a test program as root, with more variables.
pub fn end_to_end(
    workspace: &Workspace,
    test: &Executable,
    filters: &[&String],
    agent: &Path,
    fetched: &Fetched,
    envs: &[(&str, &OsStr)],
) -> Result<bool> {
    let mut command = root::command(&test.path)?;
    // Captures see each other's clients: the tests of one program run one after the other.
    command
        .current_dir(&test.package_dir)
        .arg("--test-threads=1")
        .args(filters)
        .env("PLAINSPAN_BIN", agent)
        .env("PLAINSPAN_VENV", &fetched.venv)
        .env("PLAINSPAN_WHEELS", &fetched.wheels)
        .envs(fetched.phoenix.as_ref().map(|dir| ("PLAINSPAN_PHOENIX", dir)))
        .env("PLAINSPAN_MATRIX", matrix::dir(workspace))
        .envs(envs.iter().copied())
        // Root would leave files behind that the user can't remove.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Outside cargo the test programs still look for their data beside their package.
        .env("CARGO_MANIFEST_DIR", &test.package_dir);
    Ok(command.status().with_context(|| format!("cannot start {}", test.name))?.success())
}
