//! The Python environment of the tests: real clients, receivers and validators, pinned, under the target directory.

use crate::{
    root, say,
    workspace::{Workspace, must, output_of},
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Names the Python that the environment is made with; `python3` on the PATH without it.
const OVERRIDE: &str = "PLAINSPAN_PYTHON";

/// The environment's directory, made or brought up to date now unless it is.
pub fn find_or_make(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = requirements(&workspace.root.join("tests"))?;
    make(workspace, "venv", "the tests' Python clients", &requirements)
}

/// Likewise an environment with the backend that reads older names. It has many dependencies of its own, so it shares none with the others, and is only made
/// for the tests that need it.
pub fn phoenix(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.root.join("tests/receivers/phoenix.txt");
    make(workspace, "phoenix", "arize-phoenix (once, one to two minutes)", &[requirements])
}

/// An environment below the target directory with the packages of these files.
fn make(workspace: &Workspace, name: &str, what: &str, requirements: &[PathBuf]) -> Result<PathBuf> {
    let dir = workspace.target.join(name);
    let python = std::env::var("PLAINSPAN_PYTHON").unwrap_or_else(|_| "python3".into());
    let Some(version) = output_of(Command::new(&python).arg("--version")) else {
        bail!(
            "`{python}` does not start: install Python 3.9 or later with its venv module, or name it in {OVERRIDE}"
        );
    };
    let mut wanted = format!("{version}\n");
    for path in requirements {
        wanted += &fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    // Written last, so an environment that was interrupted in the making is made anew.
    let stamp = dir.join(".made-from");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(dir);
    }
    if output_of(Command::new(&python).args(["-c", "import venv, ensurepip"])).is_none() {
        if !root::is_debian() {
            bail!("`{python}` lacks its venv module: install it (on Debian the package python3-venv)");
        }
        root::apt_install(&["python3-venv"])?;
    }
    say(&format!("installing {what} into {}", dir.display()));
    must(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&dir))?;
    let mut pip = Command::new(dir.join("bin/python"));
    // The files name all that is needed, and some of what packages ask for is not.
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
    for path in requirements {
        pip.arg("--requirement").arg(path);
    }
    must(&mut pip).with_context(|| format!("{what} could not be installed, at the pinned versions"))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(dir)
}

/// Every `tests/*/requirements.txt`: each kind of test says itself what it needs.
fn requirements(tests: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(tests).with_context(|| format!("cannot read {}", tests.display()))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path().join("requirements.txt"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    Ok(found)
}
