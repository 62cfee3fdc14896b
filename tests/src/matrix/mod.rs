//! The capture matrix: unmodified clients of every TLS stack, each run under the agent against the local provider, and
//! how many of its calls and bytes were captured.
//!
//! One file holds a family of clients, [`clients`] lists all of them. What a client needs is an [`Install`], which is
//! made once below the target directory.

use std::path::PathBuf;

use crate::harness::{Command, Local};

mod agents;
mod install;
mod native;
mod node;
mod python;
mod row;
mod system;
mod table;

pub use install::{Install, Registry, Shop, missing_packages};
pub use row::{Row, Verdict, run};
pub use table::{differences, markdown};

/// How the TLS code comes to be in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A shared library of the system.
    Shared,
    /// A shared library or extension that the client brings along.
    Bundled,
    /// Part of the executable.
    Static,
}

impl Link {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Bundled => "bundled",
            Self::Static => "static",
        }
    }
}

/// One row of the matrix.
pub struct Client {
    /// Unique name.
    pub name: &'static str,
    /// What brings it.
    pub install: &'static Install,
    /// The package whose version the row tells.
    pub package: &'static str,
    /// TLS library.
    pub stack: &'static str,
    /// How it is linked.
    pub link: Link,
    /// The agent's locator that finds it, as it names itself in the log; `None` where there is none yet.
    pub locator: Option<&'static str>,
    /// Protocols that the provider agrees to.
    pub protocols: &'static [&'static str],
    /// Whether it takes long, and runs with `--full` only.
    pub full: bool,
    /// The least that must be captured.
    pub floor: Verdict,
    /// The command that makes its calls.
    pub command: fn(&Place<'_>) -> Command,
}

impl Client {
    /// The name of its test.
    pub fn test(&self) -> String {
        self.name.replace(['-', '.'], "_")
    }
}

/// Where a client finds what it needs.
pub struct Place<'a> {
    /// Where its install is.
    pub dir: PathBuf,
    /// A directory of its own, for a home and configurations.
    pub home: PathBuf,
    /// The provider.
    pub provider: &'a Local,
}

impl Place<'_> {
    /// Writes a file below its home.
    ///
    /// # Panics
    ///
    /// If it can't be written.
    #[expect(clippy::panic, reason = "a harness tells what is wrong by failing the test")]
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.home.join(name);
        let parent = path.parent().unwrap_or(&self.home);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, content))
            .unwrap_or_else(|e| panic!("can't write {}: {e}", path.display()));
        path
    }

    /// A program of the install, shielded from the tester's home; the client scripts of `tests/clients/matrix` read
    /// the provider's place from these variables.
    pub fn command(&self, program: impl Into<PathBuf>) -> Command {
        Command { program: program.into(), args: Vec::new(), env: Vec::new() }
            .env("HOME", &self.home)
            .env("MATRIX_URL", self.provider.url())
            .env("MATRIX_CA", self.provider.ca())
    }

    /// A program of the system, with a script of `tests/clients/matrix`.
    pub fn script(&self, program: &str, script: &str) -> Command {
        self.command(crate::harness::installed(program)).args([client_script(script)])
    }
}

/// A file of `tests/clients/matrix`.
fn client_script(name: &str) -> PathBuf {
    crate::harness::workspace().join("tests/clients/matrix").join(name)
}

/// Every client, in the order of the table.
pub fn clients() -> Vec<&'static Client> {
    [system::CLIENTS, python::CLIENTS, node::CLIENTS, native::CLIENTS, agents::CLIENTS]
        .into_iter()
        .flatten()
        .collect()
}

/// The client of this name.
pub fn client(name: &str) -> Option<&'static Client> {
    clients().into_iter().find(|client| client.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_packages_are_of_their_install() {
        let mut names: Vec<_> = clients().iter().map(|c| c.name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for client in clients() {
            let known = client.install.packages.iter().any(|(package, _)| *package == client.package);
            assert!(known, "{} is not of the install of {}", client.package, client.name);
            assert!(client.floor == Verdict::Nothing || client.locator.is_some(), "{}", client.name);
        }
    }
}
