//! Libraries that tests only read, of other machines too: fetched from the Python package index, kept under the target
//! directory.

use crate::{
    say,
    workspace::{Workspace, must},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is wanted: lines of a platform and a pinned package.
const LIST: &str = "tests/binaries/wheels.txt";
/// The Python that the packages are for; it needs not be here.
const PYTHON: &str = "311";

/// Fetches what is missing with the environment's pip, and returns the directory: one directory in it for each package and
/// platform.
pub fn find_or_fetch(workspace: &Workspace, venv: &Path) -> Result<PathBuf> {
    let list = workspace.root.join(LIST);
    let list = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let root = workspace.target.join("wheels");
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let Some((platform, package)) = line.split_once(' ') else {
            bail!("{LIST}: `{line}` has no platform")
        };
        let dir = root.join(format!("{package}-{platform}"));
        if !dir.is_dir() {
            say(&format!("fetching {package} for {platform}"));
            fetch(&venv.join("bin/python"), platform, package, &dir)?;
        }
    }
    Ok(root)
}

fn fetch(python: &Path, platform: &str, package: &str, dir: &Path) -> Result<()> {
    // Moved last, so that what was interrupted is fetched anew.
    let unfinished = dir.with_extension("part");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    must(
        Command::new(python)
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
                "--no-deps",
            ])
            .args(["--only-binary=:all:", "--python-version", PYTHON, "--platform", platform])
            .arg("--dest")
            .arg(&unfinished)
            .arg(package),
    )?;
    let entries =
        fs::read_dir(&unfinished).with_context(|| format!("cannot read {}", unfinished.display()))?;
    for wheel in entries.flatten().map(|entry| entry.path()) {
        must(Command::new(python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&unfinished))?;
        fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))?;
    }
    fs::rename(&unfinished, dir).with_context(|| format!("cannot make {}", dir.display()))
}
