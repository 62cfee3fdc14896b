//! The agent under test.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Account, Command, Finished, PATIENCE, Process, Span, directory, otlp, plainspan, require_root, wait_until,
};

/// A command line of `plainspan run`, with `-o file:` to a file of its own.
pub struct AgentCommand {
    dir: TempDir,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

/// A running agent.
pub struct Agent {
    process: Process,
    dir: TempDir,
}

/// What an agent said and how it ended.
#[derive(Debug)]
pub struct Report {
    /// Its spans, in the order of the file.
    pub spans: Vec<Span>,
    /// The file as it is.
    pub file: String,
    /// Its account at the end.
    pub account: Account,
    /// How the process ended and what it printed.
    pub finished: Finished,
}

impl AgentCommand {
    /// `plainspan run -o file:...`
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        require_root();
        let dir = directory();
        let file = OsString::from(format!("file:{}", span_file(&dir).display()));
        Self { dir, args: vec!["run".into(), "-o".into(), file], env: Vec::new() }
    }

    /// `plainspan run` with no output named: the report has no spans of it.
    pub fn bare() -> Self {
        Self { args: vec!["run".into()], ..Self::new() }
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

    /// Starts it without a command, and waits until it captures.
    pub fn start(self) -> Agent {
        let mut agent = self.spawn(None);
        agent.process.wait_for_stderr("capturing");
        agent
    }

    /// Starts `run -- COMMAND` and leaves it running.
    pub fn start_with(self, command: Command) -> Agent {
        self.spawn(Some(command))
    }

    /// Runs `run -- COMMAND` to its end.
    pub fn run(self, command: Command) -> Report {
        self.start_with(command).wait()
    }

    fn spawn(self, command: Option<Command>) -> Agent {
        let mut process = agent();
        process.args(&self.args).envs(self.env);
        if let Some(command) = command {
            process.arg("--").arg(&command.program).args(&command.args).envs(command.env);
        }
        Agent { process: Process::start(process), dir: self.dir }
    }
}

/// The agent's executable, shielded from the tester's own settings.
pub fn agent() -> std::process::Command {
    let mut process = std::process::Command::new(plainspan());
    // Each test begins with nothing kept and nothing configured; those that are about it name files of their own.
    process.env("PLAINSPAN_JOURNAL", "none").env("PLAINSPAN_CONFIG", "none");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["OTEL_", "RUST_LOG", "SUDO_"].iter().any(|p| text.starts_with(p)) {
            process.env_remove(&name);
        }
    }
    process
}

fn span_file(dir: &TempDir) -> PathBuf {
    dir.path().join("spans.jsonl")
}

fn read(path: &Path) -> (String, Vec<Span>) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let spans = otlp::parse(&text).unwrap_or_else(|e| panic!("what the agent wrote is not OTLP: {e}"));
    (text, spans)
}

impl Agent {
    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until so many spans were written.
    pub fn wait_for_spans(&mut self, count: usize) -> Vec<Span> {
        let path = span_file(&self.dir);
        let mut spans = Vec::new();
        wait_until(&format!("{count} spans"), || {
            // The last line may be half written.
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
            spans = otlp::parse(whole).unwrap_or_else(|e| panic!("what the agent wrote is not OTLP: {e}"));
            spans.len() >= count
        });
        spans
    }

    /// Ends it with SIGTERM and returns what it said.
    pub fn stop(self) -> Report {
        self.process.signal(Signal::TERM);
        self.wait()
    }

    /// Kills it outright, so that it can't clean up.
    pub fn kill(self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    /// Waits for its end and returns what it said.
    pub fn wait(self) -> Report {
        self.wait_within(2 * PATIENCE)
    }

    /// Waits for its end, within `patience`.
    pub fn wait_within(self, patience: Duration) -> Report {
        let finished = self.process.wait_within(patience);
        let (file, spans) = read(&span_file(&self.dir));
        let account = Account::parse(finished.stderr.iter().map(String::as_str));
        Report { spans, file, account, finished }
    }
}

impl Report {
    /// Fails unless the agent ended with this status.
    pub fn exited(self, code: i32) -> Self {
        assert_eq!(self.finished.status.code(), Some(code), "{:#?}", self.finished);
        self
    }

    /// The span of a response's id.
    pub fn span(&self, response_id: &str) -> &Span {
        let mut found = self.spans.iter().filter(|s| s.response_id() == Some(response_id));
        match (found.next(), found.next()) {
            (Some(span), None) => span,
            (None, _) => panic!("no span of {response_id}; spans {:#?}; {:#?}", self.spans, self.finished),
            (Some(_), Some(_)) => panic!("more than one span of {response_id}: {:#?}", self.spans),
        }
    }

    /// Everything that it gave out anywhere.
    pub fn everything(&self) -> String {
        [self.file.clone(), self.finished.stdout.join("\n"), self.finished.stderr.join("\n")].join("\n")
    }
}
