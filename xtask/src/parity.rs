//! `cargo xtask parity`: compares our spans with those of the SDKs' own instrumentation, and writes the page of the book that says
//! what came of it.
//!
//! The comparison is the test `parity` of `tests/`, which in all other runs fails where the page says something else.

use crate::{
    root, run, say, test,
    workspace::{Workspace, no_more},
};
use anyhow::{Context, Result, bail};
use std::fs;

/// The test program.
const TEST: &str = "parity";
/// The page, below the workspace.
const PAGE: &str = "docs/parity.md";
/// Names the file that the test writes the page to.
const WRITE: &str = "PLAINSPAN_PARITY";

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    no_more("parity", args)?;
    root::must_be_had("the comparison with other instrumentation")?;
    let agent = run::plainspan(workspace, false)?;
    let fetched = test::Fetched::get(workspace)?;
    let all =
        workspace.executables(&["test", "--no-run", "--package", "plainspan-tests", "--test", TEST], &[])?;
    let test =
        all.iter().find(|built| built.is_test && built.name == TEST).context("there is no such test")?;
    let page = workspace.target.join("parity.md");
    // Made here, so that it stays the user's when root has written to it.
    fs::write(&page, "").with_context(|| format!("cannot write {}", page.display()))?;
    let write = [(WRITE, page.as_os_str())];
    if !test::end_to_end(workspace, test, &[], &agent, &fetched, &write)? {
        bail!("the page was not written");
    }
    let kept = workspace.root.join(PAGE);
    fs::copy(&page, &kept).with_context(|| format!("cannot write {}", kept.display()))?;
    say(&format!("wrote {PAGE}"));
    Ok(())
}
