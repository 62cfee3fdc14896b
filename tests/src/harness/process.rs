//! A child process whose output is read while it runs, and that never outlives its test.

use std::{
    io::Write as _,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, lines};

/// A running process.
pub struct Process {
    name: String,
    child: Child,
    started: Instant,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    read: (Vec<String>, Vec<String>),
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Lines of its standard output.
    pub stdout: Vec<String>,
    /// Lines of its standard error.
    pub stderr: Vec<String>,
    /// How long it took from its start.
    pub took: Duration,
}

impl Process {
    /// Starts it with all three standard streams connected to the test.
    pub fn start(mut command: Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("can't start {name}: {e}"));
        Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().expect("it is piped")),
            stderr: lines(child.stderr.take().expect("it is piped")),
            name,
            child,
            started,
            read: Default::default(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open until the end");
        writeln!(stdin, "{line}").unwrap_or_else(|e| panic!("{} does not read: {e}", self.name));
    }

    /// The next line of its standard output.
    pub fn stdout_line(&mut self) -> String {
        let line = self.stdout.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|e| panic!("it printed nothing: {e}; {}", self.told()));
        self.read.0.push(line.clone());
        line
    }

    /// Waits for a line of its standard error that contains `part`.
    pub fn wait_for_stderr(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.read.1.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(e) => {
                    let why = if e == RecvTimeoutError::Timeout { "in time" } else { "before its end" };
                    panic!("it did not say {part:?} {why}; {}", self.told());
                }
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a child has an id");
        kill_process(pid, signal).unwrap_or_else(|e| panic!("can't signal {}: {e}", self.name));
    }

    /// Waits for its end, within `patience`.
    pub fn wait_within(mut self, patience: Duration) -> Finished {
        let begin = Instant::now();
        drop(self.stdin.take());
        let status = loop {
            // What it prints must be read meanwhile; the reading threads do.
            match self.child.try_wait().unwrap_or_else(|e| panic!("can't wait for {}: {e}", self.name)) {
                Some(status) => break status,
                None if begin.elapsed() > patience => {
                    let told = self.told();
                    panic!("it did not end in {} s; {told}", patience.as_secs());
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let took = self.started.elapsed();
        self.drain(Duration::from_secs(2));
        let (stdout, stderr) = std::mem::take(&mut self.read);
        Finished { status, stdout, stderr, took }
    }

    /// Waits for its end.
    pub fn wait(self) -> Finished {
        self.wait_within(2 * PATIENCE)
    }

    /// Reads what is there; up to `patience` for pipes that a grandchild may hold open.
    fn drain(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(line) = self.stdout.recv_timeout(left()) {
            self.read.0.push(line);
        }
        while let Ok(line) = self.stderr.recv_timeout(left()) {
            self.read.1.push(line);
        }
    }

    /// What it said so far, for a message.
    fn told(&mut self) -> String {
        self.drain(Duration::from_millis(50));
        let name = &self.name;
        format!(
            "{name}'s standard output:\n{}\nstandard error:\n{}",
            self.read.0.join("\n"),
            self.read.1.join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // An agent that is killed outright could leave the command that it runs behind.
            let _ = Pid::from_raw(self.child.id() as i32).map(|p| kill_process(p, Signal::TERM));
            let deadline = Instant::now() + Duration::from_secs(3);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
