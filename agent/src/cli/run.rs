//! `plainspan run`: capture what processes do now.

use std::{
    collections::HashSet,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::ValueEnum;
use tokio::{
    process::Child,
    signal::unix::{Signal, SignalKind, signal},
    time::sleep_until,
};
use tracing::{info, warn};

use super::{
    Usage,
    child::{self, FileLimit},
    say,
    scans::{Look, Scans},
    summary::{self, Summary},
    targets::{self, Targets},
};
use crate::{
    account::{Account, Counter},
    capture::{self, Events, Kernel, Record},
    contract::{self, ContentMode},
    export::{self, Outputs, Target},
    pipeline::{Finished, Ids, Limits, Outcome, Pipeline, Spans, resource_attributes},
    probe::Prober,
    resource::Processes,
    time::Timestamp,
};

/// After the command has ended, how long calls of its descendants may still take.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// After the command has ended, how long descendants that it left behind may take to make a call.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// How long probes get to go before the account is closed.
const DETACH: Duration = Duration::from_secs(3);

/// Most bytes of a call that the kernel programs can deliver.
const CALL_CAP: i64 = (agent_common::MAX_CHUNKS as usize * agent_common::CHUNK) as i64;

/// How long the exporters get to deliver what is left.
const DELIVERY: Duration = Duration::from_secs(10);

/// How long the command gets to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Watch this process and its descendants; may be given more than once.
    #[arg(long, value_name = "PID", conflicts_with_all = ["cgroup", "command"])]
    pid: Vec<u32>,
    /// Watch the processes whose executable matches, by name ('python3*') or by path
    /// ('/opt/app/**'); may be given more than once.
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["cgroup", "command"])]
    exe: Vec<String>,
    /// Watch the processes under this cgroup (version 2), as '/system.slice/app.service'.
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    cgroup: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    /// Size of the ring buffer between kernel and agent in bytes; a power of two.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, allow_negative_numbers = true)]
    ring_size: u32,
    /// Most bytes of one library call that are captured; up to 8 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=CALL_CAP))]
    call_cap: u32,
    /// Log what the kernel programs do (with --log debug).
    #[arg(long)]
    kernel_log: bool,
    /// Run this command, and show the calls of it and its descendants only.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Options of every verb that makes spans.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where spans go: console, file:PATH (OTLP JSON lines) or otlp (a collector, set up with
    /// OTEL_EXPORTER_OTLP_*); may be given more than once [default: console, and otlp if
    /// OTEL_EXPORTER_OTLP_ENDPOINT is set].
    #[arg(short, long, value_name = "OUTPUT")]
    pub(super) output: Vec<Target>,
    /// Whether prompts, answers and tool definitions are exported: none, or span for attributes
    /// of the span.
    #[arg(long, value_enum, value_name = "MODE", default_value = "none")]
    pub(super) content: Content,
    /// Show the whole span on the console.
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// What is exported of prompts and answers.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Content {
    /// Nothing.
    None,
    /// All of it, as attributes of the span.
    Span,
}

impl OutputArgs {
    /// Where spans go, given or by default.
    pub(super) fn targets(&self) -> Vec<Target> {
        if self.output.is_empty() {
            Target::defaults(&|name| std::env::var(name).ok())
        } else {
            self.output.clone()
        }
    }

    /// Options of the contract.
    pub(super) fn contract(&self) -> contract::Options {
        let content = match self.content {
            Content::None => ContentMode::None,
            Content::Span => ContentMode::Span,
        };
        contract::Options { content, capture_source: None }
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`.
pub(super) fn extra_attributes() -> anyhow::Result<Vec<(String, String)>> {
    let text = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    resource_attributes(&text).map_err(|entry| {
        Usage(format!(
            "OTEL_RESOURCE_ATTRIBUTES: {entry:?} is no key=value: write it as service.namespace=shop,team=search"
        ))
        .into()
    })
}

/// Runs the verb.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // The exporters get a thread of their own: one that waits must not hold up the capture.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the asynchronous runtime can't be started")?;
    runtime.block_on(capture(args))
}

async fn capture(args: Args) -> anyhow::Result<ExitCode> {
    let account = Arc::new(Account::default());
    let extra = extra_attributes()?;
    let targets =
        Targets::new(args.pid.clone(), &args.exe, args.cgroup.as_deref(), !args.command.is_empty())?;
    let config = capture::Config {
        scope: targets.scope(),
        ring_bytes: args.ring_size,
        call_cap: args.call_cap,
        diagnostics: args.kernel_log,
    };
    let settings = export::Settings {
        schema_url: contract::SCHEMA_URL,
        verbose: args.output.verbose,
        // What a command prints stays its own: piping it must work as without plainspan.
        console_on_stderr: !args.command.is_empty(),
        limits: export::Limits::default(),
    };
    let outputs = export::open(&args.output.targets(), settings, Arc::clone(&account))?;
    let (kernel, events) = Kernel::load(&config, Arc::clone(&account))?;
    let limits = Limits::default();
    let mut agent = Agent {
        prober: Prober::new("/proc", Arc::clone(&account)),
        scans: Scans::new(Instant::now()),
        pipeline: Pipeline::new(&limits, Arc::clone(&account)),
        spans: Spans::new(
            Processes::new("/proc", limits.resource),
            args.output.contract(),
            extra,
            Ids::Random(opentelemetry_sdk::trace::RandomIdGenerator::default()),
            Arc::clone(&account),
        ),
        records: Vec::new(),
        outcome: Outcome::default(),
        descendants: HashSet::new(),
        files: FileLimit::raise(),
        summary: Summary::default(),
        targets,
        kernel,
        outputs,
        account,
    };
    if args.kernel_log {
        tokio::spawn(agent.kernel.diagnostics()?.pass_on());
    }
    agent.start();
    let status = match agent.run(events, &args.command).await {
        // There is nothing to sum up.
        Err(error) if error.is::<child::NotStarted>() => return Err(error),
        outcome => outcome,
    };
    let delivered = agent.end().await;
    Ok(match status? {
        Some(status) if delivered || !status.success() => child::exit_code(status),
        None if delivered => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Everything at work.
struct Agent {
    kernel: Kernel,
    prober: Prober,
    scans: Scans,
    targets: Targets,
    pipeline: Pipeline,
    spans: Spans,
    outputs: Outputs,
    account: Arc<Account>,
    summary: Summary,
    records: Vec<Record>,
    outcome: Outcome,
    /// Of the command: those that live.
    descendants: HashSet<u32>,
    files: FileLimit,
}

/// Signals that the agent listens to.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    report: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals can't be handled");
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            report: on(SignalKind::user_defined1())?,
        })
    }
}

impl Agent {
    /// Puts the first probes in place.
    fn start(&mut self) {
        for pid in self.targets.pids.clone() {
            self.kernel.watch(pid);
        }
        if !self.targets.pids.is_empty() {
            self.watch_descendants();
        }
        self.prober.preattach(&mut self.kernel);
        self.sweep();
    }

    /// Watches those that descend from watched processes already. Whose parent is watched is watched from its fork
    /// on; so this is done once nobody new is found.
    fn watch_descendants(&mut self) {
        loop {
            let children = targets::children(&self.prober.processes());
            let mut ancestors = self.targets.pids.clone();
            let mut known: HashSet<u32> = ancestors.iter().copied().collect();
            let mut found = false;
            while let Some(parent) = ancestors.pop() {
                for child in children.get(&parent).into_iter().flatten() {
                    if known.insert(*child) {
                        ancestors.push(*child);
                        found |= !self.kernel.watches(*child);
                        self.kernel.watch(*child);
                    }
                }
            }
            if !found {
                return;
            }
        }
    }

    /// Looks at every process.
    fn sweep(&mut self) {
        let own = std::process::id();
        for pid in self.prober.processes() {
            if pid == own {
                continue;
            }
            if self.targets.by_executable() && self.targets.matches_executable(pid) {
                self.kernel.watch(pid);
            }
            self.look_at(pid);
        }
    }

    fn look_at(&mut self, pid: u32) {
        if self.targets.scope() != capture::Scope::Targets || self.kernel.watches(pid) {
            self.prober.scan(pid, &mut self.kernel);
        }
    }

    /// Captures until a signal, or until the command or the last of the given processes has ended. The
    /// status is the command's.
    async fn run(&mut self, mut events: Events, command: &[OsString]) -> anyhow::Result<Option<ExitStatus>> {
        let mut signals = Signals::new()?;
        let mut command = if command.is_empty() {
            say(&format!("plainspan: capturing {}; Ctrl-C ends\n", self.watched()));
            None
        } else {
            if let Some(program) = command.first() {
                self.prober.prepare(program.as_ref(), &mut self.kernel);
            }
            Some(self.spawn(command)?)
        };
        let mut remaining = self.targets.pids.clone();
        let given = !remaining.is_empty() && !self.targets.by_executable();
        // Set when the end has begun: what is still to come is waited for until then.
        let mut until: Option<Instant> = None;
        let mut ended: Option<Instant> = None;
        let mut status = None;
        let mut interrupts = 0;
        loop {
            let waits = [until, ended.map(|at| at + LEFT_BEHIND).filter(|at| *at > Instant::now())];
            let next = waits.into_iter().flatten().fold(self.scans.next(), Instant::min);
            tokio::select! {
                ready = events.ready() => {
                    ready.context("the ring buffer can't be waited for")?;
                    self.drain(&mut events, &mut remaining);
                }
                () = sleep_until(next.into()) => self.look(),
                _ = signals.report.recv() => self.report(),
                _ = signals.interrupt.recv() => {
                    // A terminal interrupts the command too, which then decides what to do about it.
                    interrupts += 1;
                    if command.is_none() || interrupts > 1 {
                        if command.is_some() {
                            status = Some(ExitStatus::from_raw(rustix::process::Signal::INT.as_raw()));
                        }
                        break;
                    }
                }
                _ = signals.terminate.recv() => {
                    let Some(child) = &mut command else { break };
                    terminate(child);
                    status = Some(ExitStatus::from_raw(rustix::process::Signal::TERM.as_raw()));
                    until.get_or_insert(Instant::now() + GRACE);
                }
                exited = wait(&mut command) => {
                    status = Some(exited.context("the command can't be waited for")?);
                    command = None;
                    ended = Some(Instant::now());
                    until = ended.map(|at| at + LAST_CALLS);
                }
            }
            // What the kernel has delivered by now is taken before anything is called the end.
            if until.is_some() || (given && remaining.is_empty()) {
                while self.drain(&mut events, &mut remaining) {}
            }
            let now = Instant::now();
            let over = until.is_some_and(|at| now >= at);
            let alone = self.descendants.is_empty() || ended.is_some_and(|at| now >= at + LEFT_BEHIND);
            if over || (ended.is_some() && alone && self.pipeline.open_calls() == 0) {
                break;
            }
            if given && remaining.is_empty() {
                say("plainspan: the processes given with --pid have ended\n");
                break;
            }
        }
        // The account adds up once no program runs any more.
        self.kernel.detach_all(DETACH);
        while self.drain(&mut events, &mut remaining) {}
        if let Some(pid) = command.as_ref().and_then(Child::id) {
            say(&format!("plainspan: the command (process {pid}) still runs, and is no longer watched\n"));
        }
        Ok(status)
    }

    fn spawn(&mut self, command: &[OsString]) -> anyhow::Result<Child> {
        // What the agent forks while it is watched itself is watched before its first instruction.
        let own = std::process::id();
        self.kernel.watch(own);
        let spawned = child::spawn(command, self.files);
        self.kernel.unwatch(own);
        if spawned.is_ok() {
            let name = command.first().map(|c| c.to_string_lossy()).unwrap_or_default();
            say(&format!("plainspan: capturing the LLM calls of {name} and its descendants\n"));
        }
        spawned
    }

    fn watched(&self) -> String {
        let probed = self.account.get(Counter::FilesProbed);
        let libraries = format!("{probed} TLS librar{} probed", if probed == 1 { "y" } else { "ies" });
        match self.targets.scope() {
            capture::Scope::All => format!("the LLM calls of all processes ({libraries})"),
            capture::Scope::Targets => format!("the LLM calls of the processes asked for ({libraries})"),
            capture::Scope::Cgroup { .. } => format!("the LLM calls of the cgroup ({libraries})"),
        }
    }

    /// Takes a batch of records through all rooms. True if there may be more.
    fn drain(&mut self, events: &mut Events, remaining: &mut Vec<u32>) -> bool {
        let mut records = std::mem::take(&mut self.records);
        let more = self.kernel.drain(events, &mut records);
        for record in records.drain(..) {
            self.process(&record, remaining);
            self.spans.record(&record);
            let epoch = if let Record::Data(data) = &record { Some(data.epoch) } else { None };
            self.pipeline.record(record, &mut self.outcome);
            // At once: a verdict that comes later costs copies of what nobody wants. What ends gets none.
            for (connection, verdict) in self.outcome.verdicts.drain(..) {
                if let Some(epoch) = epoch {
                    self.kernel.decide(connection, epoch, verdict);
                }
            }
        }
        self.records = records;
        self.send();
        more
    }

    /// What the beginning and the end of processes mean for the probes.
    fn process(&mut self, record: &Record, remaining: &mut Vec<u32>) {
        match *record {
            Record::Exec { pid, watched, .. } => {
                let mut watched = watched;
                if self.targets.by_executable() && !self.targets.pids.contains(&pid) {
                    watched = self.targets.matches_executable(pid);
                    if watched {
                        self.kernel.watch(pid);
                    } else {
                        self.kernel.unwatch(pid);
                    }
                }
                if watched {
                    self.scans.exec(pid, Instant::now());
                }
            }
            Record::Fork { pid, parent, watched, .. } => {
                if watched {
                    self.prober.forked(pid, parent);
                    if self.targets.is_command() {
                        self.descendants.insert(pid);
                    }
                }
            }
            Record::Exit { pid, .. } => {
                self.prober.exited(pid, &mut self.kernel);
                self.descendants.remove(&pid);
                remaining.retain(|p| *p != pid);
            }
            Record::Data(_) | Record::Close(_) => {}
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        while let Some(look) = self.scans.take(now) {
            match look {
                Look::At(pid) => self.look_at(pid),
                Look::AtAll => self.sweep(),
            }
        }
    }

    fn send(&mut self) {
        let finished: Vec<Finished> = self.outcome.calls.drain(..).collect();
        for call in finished {
            self.summary.add(&call.call);
            self.outputs.send(self.spans.deliver(&call));
        }
    }

    fn report(&self) {
        self.kernel.settle();
        say(&format!("plainspan: {}\n{}", self.summary, summary::table(&self.account)));
    }

    /// Takes the probes away, reports open calls as they stand, and delivers everything. True if nothing
    /// was left undelivered.
    async fn end(mut self) -> bool {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(Timestamp(0), |d| Timestamp(d.as_nanos() as u64));
        self.pipeline.finish(now, &mut self.outcome);
        self.send();
        self.kernel.settle();
        drop(self.kernel);
        info!("the capture has ended");
        let mut complete = true;
        for report in self.outputs.shutdown(DELIVERY).await {
            complete &= report.complete();
            if !report.complete() && !report.told {
                say(&format!("plainspan: {report}\n"));
            }
        }
        say(&format!("plainspan: {}\n{}", self.summary, summary::table(&self.account)));
        if self.summary.calls() == 0 && self.account.get(Counter::LibraryCalls) == 0 {
            say(
                "plainspan: no TLS code that is watched moved any plaintext; --log info names what was found, and \
                 docs/requirements.md what is not captured yet\n",
            );
        }
        complete
    }
}

async fn wait(child: &mut Option<Child>) -> std::io::Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32));
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        warn!(%error, "the command could not be told to end");
    }
}
