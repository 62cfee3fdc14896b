//! Unmodified clients, and what they tell.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{Finished, Local, Process, installed, venv, workspace};
use crate::provider::Provider;

/// The key that the clients send unless told otherwise.
pub const KEY: &str = "sk-test-0123456789abcdef";

/// A command line with the environment that it needs, to be started here or by the agent.
#[derive(Clone, Debug)]
pub struct Command {
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub args: Vec<OsString>,
    /// Environment.
    pub env: Vec<(OsString, OsString)>,
}

impl Command {
    /// Any program of the system.
    pub fn new(program: &str) -> Self {
        Self { program: installed(program), args: Vec::new(), env: Vec::new() }
    }

    /// The program at a path.
    pub fn at(program: PathBuf) -> Self {
        Self { program, args: Vec::new(), env: Vec::new() }
    }

    /// A script of `sh`.
    pub fn shell(script: &str) -> Self {
        Self::new("sh").args(["-c", script])
    }

    /// The official OpenAI SDK; see `tests/clients/openai_client.py` for its options.
    pub fn openai(provider: &Provider, model: &str) -> Self {
        Self::python("openai_client.py", provider, model)
    }

    /// The official Anthropic SDK; see `tests/clients/anthropic_client.py` for its options.
    pub fn anthropic(provider: &Provider, model: &str) -> Self {
        Self::python("anthropic_client.py", provider, model)
    }

    /// Posts on request only, and loads TLS as late; see `tests/clients/late_client.py` for its options. It finds the
    /// library in `libraries`, else the system's.
    pub fn late(provider: &Provider, libraries: Option<&Path>) -> Self {
        let script = workspace().join("tests/clients/late_client.py");
        let command = Self { program: venv("python"), args: vec![script.into()], env: Vec::new() }
            .args(["--port", &provider.port().to_string()])
            .env("SSL_CERT_FILE", provider.ca());
        match libraries {
            Some(directory) => command.env("LD_LIBRARY_PATH", directory),
            None => command,
        }
    }

    /// Node.js on one HTTP/2 connection; see `tests/clients/http2_client.mjs` for its options.
    pub fn node_http2(provider: &Provider, model: &str) -> Self {
        let script = workspace().join("tests/clients/http2_client.mjs");
        Self::new("node")
            .args([script])
            .args(["--url", &provider.url(), "--model", model])
            .env("SSL_CERT_FILE", provider.ca())
    }

    fn python(script: &str, provider: &Provider, model: &str) -> Self {
        let script = workspace().join("tests/clients").join(script);
        Self { program: venv("python"), args: vec![script.into()], env: Vec::new() }
            .args(["--url", &provider.url(), "--model", model])
            .env("SSL_CERT_FILE", provider.ca())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("ANTHROPIC_OPEN_TELEMETRY", "false")
    }

    /// `curl` posting a request with a key. Key and body come from files, as careful people do it, so that the
    /// command line has nothing to hide.
    pub fn curl(provider: &Local, path: &str, body: &Value) -> Self {
        // A command may be run after the next one was made: each needs a file of its own.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let key = provider.file("key", &format!("authorization: Bearer {KEY}\n"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let body = provider.file(&format!("body-{number}"), &body.to_string());
        Self::new("curl")
            .args(["--silent", "--show-error", "--no-buffer", "--http1.1", "--cacert"])
            .args([provider.ca()])
            .args(["-H", "content-type: application/json", "-H", &format!("@{}", key.display())])
            .args(["--data-binary", &format!("@{}", body.display()), &format!("{}{path}", provider.url())])
    }

    /// The same behind a shell that tells its process id, which `curl` then has.
    pub fn telling(&self) -> Self {
        let script = format!("echo '{{\"event\":\"ready\",\"pid\":'$$'}}'; exec {}", self.quoted());
        Self { env: self.env.clone(), ..Self::shell(&script) }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Starts it outside of the agent.
    pub fn start(self) -> Client {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(n, v)| (n, v)));
        Client(Process::start(command))
    }

    /// Runs it to its end outside of the agent.
    pub fn run(self) -> Finished {
        self.start().0.wait()
    }

    /// Its command line for `sh`, each word in quotes.
    pub fn quoted(&self) -> String {
        std::iter::once(self.program.as_os_str())
            .chain(self.args.iter().map(OsString::as_os_str))
            .map(|w| format!("'{}'", w.to_string_lossy().replace('\'', r"'\''")))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A running client.
pub struct Client(Process);

impl Client {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Lets a client that waits (`--step`) make its next call.
    pub fn step(&mut self) {
        self.0.write_line("go");
    }

    /// The next thing that one of the Python clients tells, which must be this event.
    pub fn expect(&mut self, event: &str) -> Value {
        let line = self.0.stdout_line();
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        assert_eq!(told["event"], event, "the client said {line}");
        told
    }

    /// Kills it outright.
    pub fn kill(self) -> Finished {
        self.0.signal(Signal::KILL);
        self.0.wait()
    }

    /// Waits for its end.
    pub fn wait(self) -> Finished {
        self.0.wait()
    }
}

impl Finished {
    /// What one of the Python clients told at the end of each call.
    pub fn done(&self) -> Vec<Value> {
        let told = self.stdout.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        told.filter(|v| v["event"] == "done").collect()
    }

    /// The process id that the client told.
    pub fn pid(&self) -> u32 {
        let told = self.stdout.iter().filter_map(|l| serde_json::from_str::<Value>(l).ok());
        let ready = told.filter(|v| v["event"] == "ready").find_map(|v| v["pid"].as_u64());
        u32::try_from(ready.unwrap_or_else(|| panic!("no process id was told: {self:#?}")))
            .expect("it is one")
    }

    /// Fails unless it ended with this status.
    pub fn exited(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }
}
