//! A real backend that reads older names (`arize-phoenix`, from PyPI), and what it shows of the spans that it received.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Process, directory, executables, free_port, installed};

/// How long it may take to start, on a busy machine.
const START: Duration = Duration::from_secs(180);
/// How long it may take to show what it was sent.
const SHOW: Duration = Duration::from_secs(120);

/// A running backend, reached over the loopback only.
pub struct Phoenix {
    // Before its directory, so that it goes first.
    _process: Process,
    _dir: tempfile::TempDir,
    grpc: u16,
    http: u16,
}

/// What it shows of a span: its own attributes (`llm.*`, made of ours) beside those that it was sent.
pub type Shown = BTreeMap<String, Value>;

/// The environment with it: `PLAINSPAN_PHOENIX`, else `phoenix` in the target directory.
fn program() -> PathBuf {
    let venv = std::env::var_os("PLAINSPAN_PHOENIX")
        .map_or_else(|| executables().with_file_name("phoenix"), PathBuf::from);
    let path = venv.join("bin/phoenix");
    assert!(
        path.exists(),
        "no {}: use `cargo xtask test --full overlap`, or make the environment with `python3 -m venv DIR && DIR/bin/pip \
         install -r tests/receivers/phoenix.txt` and set PLAINSPAN_PHOENIX=DIR",
        path.display()
    );
    path
}

impl Phoenix {
    /// Starts it, and waits until it answers.
    pub fn start() -> Self {
        let (dir, grpc, http) = (directory(), free_port(), free_port());
        let mut command = Command::new(program());
        command
            .arg("serve")
            .env("PHOENIX_HOST", "127.0.0.1")
            .env("PHOENIX_PORT", http.to_string())
            .env("PHOENIX_GRPC_PORT", grpc.to_string())
            .env("PHOENIX_WORKING_DIR", dir.path())
            .env("PHOENIX_TELEMETRY_ENABLED", "false")
            .env("HOME", dir.path());
        let this = Self { _process: Process::start(command), _dir: dir, grpc, http };
        let deadline = Instant::now() + START;
        while this.get("/healthz").is_none() {
            assert!(Instant::now() < deadline, "phoenix did not answer within {} s", START.as_secs());
            thread::sleep(Duration::from_millis(200));
        }
        this
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// The spans of a project (resource attribute `openinference.project.name`), once there are so many.
    pub fn spans(&self, project: &str, wanted: usize) -> Vec<Shown> {
        let deadline = Instant::now() + SHOW;
        loop {
            let spans = self.pages(project);
            if spans.len() >= wanted {
                return spans;
            }
            let (found, seconds) = (spans.len(), SHOW.as_secs());
            assert!(Instant::now() < deadline, "{found} of {wanted} spans of {project} after {seconds} s");
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Forgets a project: it takes no span of an id that it has already, and replays number theirs from one.
    pub fn forget(&self, project: &str) {
        let answer = self.ask("DELETE", &format!("/v1/projects/{project}"));
        assert!(answer.is_some(), "phoenix does not delete the project {project}");
    }

    fn pages(&self, project: &str) -> Vec<Shown> {
        let (mut spans, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let after = cursor.take().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = self.get(&format!("/v1/projects/{project}/spans?limit=500{after}"));
            let Some(page) = page.and_then(|text| serde_json::from_str::<Value>(&text).ok()) else {
                return spans;
            };
            for span in page["data"].as_array().into_iter().flatten() {
                let attributes = span["attributes"].as_object().expect("a span has attributes");
                spans.push(attributes.clone().into_iter().collect());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return spans,
            }
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        self.ask("GET", path)
    }

    /// The body of an answer that is no error.
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let output = Command::new(installed("curl"))
            .args([
                "--request",
                method,
                "--silent",
                "--fail",
                "--globoff",
                "--noproxy",
                "*",
                "--max-time",
                "60",
                &url,
            ])
            .output()
            .expect("curl starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
