//! Starts the agent and the clients, and reads back what the agent said.
//!
//! What is missing on the machine is a panic that says so and what to do: an end-to-end test that can't run
//! has failed.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness tells what is wrong by failing the test"
)]

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::provider::{HTTP1, Provider};

mod account;
mod agent;
mod client;
mod contract;
mod expect;
mod otlp;
mod phoenix;
mod process;
mod receiver;

pub use account::Account;
pub use agent::{Agent, AgentCommand, Report, agent};
pub use client::{Client, Command, KEY};
pub use contract::{ContractCopy, contract};
pub use expect::{Expected, assert_late_span, assert_span};
pub use otlp::{Span, parse as parse_spans};
pub use phoenix::{Phoenix, Shown};
pub use process::{Finished, Process};
pub use receiver::{Received, Receiver, free_port};

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The directory that holds the built executables.
pub fn executables() -> PathBuf {
    let test = std::env::current_exe().expect("a test has an executable");
    let dir = test.parent().expect("it lies in a directory");
    if dir.ends_with("deps") { dir.parent().expect("deps lies in one").to_owned() } else { dir.to_owned() }
}

/// The repository.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// The folder with recorded exchanges: `PLAINSPAN_EXCHANGES`, else the one that lies beside the repository.
pub fn recordings() -> PathBuf {
    let dir = std::env::var_os("PLAINSPAN_EXCHANGES")
        .map_or_else(|| workspace().join("../shared/exchanges"), PathBuf::from);
    assert!(
        dir.is_dir(),
        "no recorded exchanges at {}: set PLAINSPAN_EXCHANGES to the folder that has them",
        dir.display()
    );
    dir
}

/// The files of single exchanges in it.
pub fn recorded_exchanges() -> Vec<PathBuf> {
    let names = ["openllmetry.jsonl", "opentelemetry-python-contrib.jsonl", "pydantic-ai.jsonl"];
    names.map(|name| recordings().join(name)).into()
}

/// The agent's executable: `PLAINSPAN_BIN`, else the one that was built beside the test.
pub fn plainspan() -> PathBuf {
    let path =
        std::env::var_os("PLAINSPAN_BIN").map_or_else(|| executables().join("plainspan"), PathBuf::from);
    assert!(
        path.is_file(),
        "no agent at {}: run `cargo build -p plainspan`, or set PLAINSPAN_BIN, or use `cargo xtask test`",
        path.display()
    );
    path
}

/// A client of this package's own.
pub fn built(program: &str) -> PathBuf {
    let path = executables().join(program);
    assert!(path.is_file(), "no {}: use `cargo xtask test`, which builds it", path.display());
    path
}

/// A program of the virtual environment with the clients: `PLAINSPAN_VENV`, else `venv` in the target directory.
pub fn venv(program: &str) -> PathBuf {
    let venv = std::env::var_os("PLAINSPAN_VENV")
        .map_or_else(|| executables().with_file_name("venv"), PathBuf::from);
    let path = venv.join("bin").join(program);
    assert!(
        path.exists(),
        "no {}: use `cargo xtask test`, or make the environment with `python3 -m venv DIR && DIR/bin/pip \
         install -r tests/clients/requirements.txt` and set PLAINSPAN_VENV=DIR",
        path.display()
    );
    path
}

/// A file whose name begins so, of a package of `tests/binaries/wheels.txt`: `PLAINSPAN_WHEELS`, else `wheels` in the target
/// directory.
pub fn wheel(package: &str, name: &str) -> PathBuf {
    let root = std::env::var_os("PLAINSPAN_WHEELS")
        .map_or_else(|| executables().with_file_name("wheels"), PathBuf::from);
    let dir = root.join(package);
    find(&dir, name)
        .unwrap_or_else(|| panic!("no {name} in {}: use `cargo xtask test`, which fetches it", dir.display()))
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return find(&path, name);
        }
        entry.file_name().to_str()?.starts_with(name).then_some(path)
    })
}

/// A program of the system.
pub fn installed(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file()).unwrap_or_else(|| {
        panic!("{program} is not installed: install it (Debian: apt-get install {program})")
    })
}

/// Fails unless the test may load programs into the kernel.
pub fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "the end-to-end tests load programs into the kernel and need root: use `cargo xtask test`, which asks \
         for it, or run them with sudo"
    );
}

/// A new directory that goes when it is dropped, readable for every user, since commands may run as another.
pub fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    dir
}

/// A provider with a directory of its own.
pub struct Local {
    provider: Provider,
    // After the provider, so that it goes last.
    dir: tempfile::TempDir,
}

impl Local {
    /// Starts it.
    #[expect(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Self {
        Self::speaking(HTTP1)
    }

    /// Starts one that speaks these protocols.
    pub fn speaking(protocols: &[&str]) -> Self {
        let dir = directory();
        let provider =
            Provider::speaking(protocols, dir.path(), 0).unwrap_or_else(|e| panic!("no provider: {e}"));
        Self { provider, dir }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file in its directory.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("can't write {}: {e}", path.display()));
        path
    }
}

impl Deref for Local {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.provider
    }
}

/// Waits until `ready`, or fails and says for what it waited.
pub fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "waited {} s for this in vain: {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Lines of a pipe, as they come.
fn lines(pipe: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    use std::io::BufRead as _;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut pipe = std::io::BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}
