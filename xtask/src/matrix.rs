//! `cargo xtask matrix`: runs every client of the capture matrix, and writes the page of the book that says what came of it.
//!
//! The clients and how they are installed are listed in `tests/src/matrix`; its binary does the work. Installing is done as
//! the user who asked, running as root.

use crate::{
    root, run, say, test,
    workspace::{Executable, Workspace, must, output_of},
};
use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The test programs whose tests are rows: the quick ones, and those that take long.
const ROWS: [&str; 2] = ["matrix", "matrix_full"];
/// Those whose tests are named after the clients that they need.
const PROGRAMS: [&str; 4] = ["matrix", "matrix_full", "first_request", "first_request_full"];
/// Those that take long.
const SLOW: [&str; 2] = ["matrix_full", "first_request_full"];
/// The test that is no row.
const NO_ROW: &str = "every_client_has_its_test";
/// The page, below the workspace.
const PAGE: &str = "docs/capture-matrix.md";

/// Where clients are installed and rows kept.
pub fn dir(workspace: &Workspace) -> PathBuf {
    workspace.target.join("matrix")
}

/// Whether the clients of this test program take long.
pub fn is_slow(test: &Executable) -> bool {
    SLOW.contains(&test.name.as_str())
}

/// The verb: `matrix [--newest] [--check]`.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let (mut newest, mut check) = (false, false);
    for arg in args {
        match arg.as_str() {
            "--newest" => newest = true,
            "--check" => check = true,
            other => bail!("`matrix` does not know `{other}`: it takes --newest and --check"),
        }
    }
    let binary = workspace.binary("plainspan-tests", "matrix", &[])?;
    let page = workspace.root.join(PAGE);
    if check {
        // Of the rows that `test --full` or this verb left; nothing is run again.
        must(work(workspace, &binary, "check", newest).arg(&page)).context("the capture matrix")?;
        say(&format!("{PAGE} says what the rows say"));
        return Ok(());
    }
    root::must_be_had("the capture matrix")?;
    let agent = run::plainspan(workspace, false)?;
    let fetched = test::Fetched::get(workspace)?;
    let all = workspace.executables(&["test", "--no-run", "--package", "plainspan-tests"], &[])?;
    let mut failed = false;
    let envs = newest.then_some(("PLAINSPAN_MATRIX_NEWEST", OsStr::new("1")));
    for test in all.iter().filter(|test| test.is_test && ROWS.contains(&test.name.as_str())) {
        prepare(workspace, test, &[], newest)?;
        failed |= !test::end_to_end(workspace, test, &[], &agent, &fetched, envs.as_slice())?;
    }
    let table =
        output_of(&mut work(workspace, &binary, "table", newest)).context("the rows make no table")?;
    // The newest versions are of today only: their page is not kept.
    let page = if newest { dir(workspace).join("newest.md") } else { page };
    fs::write(&page, table + "\n").with_context(|| format!("cannot write {}", page.display()))?;
    say(&format!("wrote {}", page.display()));
    if failed {
        bail!("a client is captured less than it should be");
    }
    Ok(())
}

/// Installs what the tests of a test program need, if it has any that are of clients and that the filters pick.
pub fn prepare(workspace: &Workspace, test: &Executable, filters: &[&String], newest: bool) -> Result<()> {
    if !PROGRAMS.contains(&test.name.as_str()) {
        return Ok(());
    }
    let listed = test::listed(test, filters)?;
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"))
        .filter(|name| *name != NO_ROW)
        .collect();
    let binary = workspace.binary("plainspan-tests", "matrix", &[])?;
    let missing = output_of(work(workspace, &binary, "packages", newest).args(&names))
        .context("the clients do not say what they need")?;
    let missing: Vec<&str> = missing.split_whitespace().collect();
    match (missing.is_empty(), root::is_debian()) {
        (true, _) => {}
        (false, true) => root::apt_install(&missing)?,
        (false, false) => bail!("install what these packages of Debian have: {}", missing.join(" ")),
    }
    say(&format!("installing the clients of {} that are not there yet", test.name));
    must(work(workspace, &binary, "install", newest).args(&names))
}

fn work(workspace: &Workspace, binary: &Path, verb: &str, newest: bool) -> Command {
    let mut command = Command::new(binary);
    command.arg(verb).arg("--dir").arg(dir(workspace)).args(newest.then_some("--newest"));
    command
}
