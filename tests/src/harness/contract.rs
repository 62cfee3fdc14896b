//! A contract that a test may change.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Process, agent, directory, workspace};

/// A copy of plainspan's own contract and of what is declared to read it.
pub struct ContractCopy {
    dir: tempfile::TempDir,
}

impl Default for ContractCopy {
    fn default() -> Self {
        Self::new()
    }
}

impl ContractCopy {
    /// A fresh one.
    pub fn new() -> Self {
        let copy = Self { dir: directory() };
        copy.add(&workspace().join("contract"), ".");
        copy.add(&workspace().join("deploy"), ".");
        copy
    }

    /// Copies a file or directory to a place in it.
    pub fn add(&self, from: &Path, to: &str) {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(from).arg(self.path(to));
        assert!(Process::start(copy).wait().status.success(), "{} can't be copied", from.display());
    }

    /// A path in it: `contract/...`, `deploy/...`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a text that is in a file of it, everywhere.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.path(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from} is not in {name}");
        fs::write(&path, edited).expect("it is ours");
    }
}

/// What a verb of `plainspan contract` prints, and its exit status.
pub fn contract(arguments: &[&Path]) -> (String, Option<i32>) {
    let mut command = agent();
    command.arg("contract").args(arguments);
    let ended = Process::start(command).wait();
    ([ended.stdout, ended.stderr].concat().join("\n"), ended.status.code())
}
