//! A capture at work: the rooms, and what drives them.

mod left_out;
mod processes;
mod reload;

use std::{
    collections::HashSet,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{process::Child, task::spawn_blocking, time::sleep_until};
use tracing::{info, warn};

use self::left_out::LeftOut;
use super::{
    child::{self, FileLimit},
    close,
    config::Settings,
    say,
    scans::{Look, Scans},
    signals::{Signals, received},
    summary::{self, Summary},
    targets::Targets,
};
use crate::{
    account::{Account, Counter},
    capture::{self, CaptureError, Changed, Diagnostics, Events, Kernel, Mappings, Record, Start, Starts},
    export::{MetricOutputs, Outputs},
    pipeline::{Finished, Outcome, Pipeline, Spans},
    policy::ignore,
    probe::{Done, Prober},
    time::Timestamp,
};

/// After the command has ended, how long calls of its descendants may still take.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// After the command has ended, how long descendants that it left behind may take to make a call.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// How long probes get to go before the account is closed.
const DETACH: Duration = Duration::from_secs(3);

/// How long the exporters get to deliver what is left.
const DELIVERY: Duration = Duration::from_secs(10);

/// How long the command gets to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// How long the files of the first look are waited for.
const SETTLE: Duration = Duration::from_secs(20);

/// Everything at work.
pub(super) struct Agent {
    kernel: Kernel,
    prober: Prober,
    /// Where the kernel does not tell of them, processes are looked at again and again.
    mappings: Option<Mappings>,
    /// Programs are held until they are examined.
    starts: Option<Starts>,
    scans: Scans,
    targets: Targets,
    left_out: LeftOut,
    settings: Settings,
    pipeline: Pipeline,
    spans: Spans,
    outputs: Outputs,
    metrics: Option<MetricOutputs>,
    account: Arc<Account>,
    summary: Summary,
    records: Vec<Record>,
    outcome: Outcome,
    /// Of the command: those that live.
    descendants: HashSet<u32>,
    files: FileLimit,
}

impl Agent {
    /// With nothing in place yet.
    pub(super) fn new(
        kernel: Kernel,
        prober: Prober,
        targets: Targets,
        pipeline: Pipeline,
        spans: Spans,
        outputs: Outputs,
        account: Arc<Account>,
    ) -> Self {
        let mappings = Mappings::watch()
            .inspect_err(|error| info!(%error, "the kernel does not tell of mappings: they are looked for"))
            .ok();
        Self {
            scans: Scans::new(Instant::now(), mappings.is_some()),
            mappings,
            starts: None,
            records: Vec::new(),
            outcome: Outcome::default(),
            descendants: HashSet::new(),
            files: FileLimit::raise(),
            summary: Summary::default(),
            kernel,
            prober,
            targets,
            left_out: LeftOut::new("/proc".into(), Arc::clone(&account)),
            settings: Settings::default(),
            pipeline,
            spans,
            outputs,
            metrics: None,
            account,
        }
    }

    /// Where metrics are exported.
    pub(super) fn show(&mut self, metrics: Option<MetricOutputs>) {
        self.metrics = metrics;
    }

    /// The settings that it runs under, which can change.
    pub(super) fn follow(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Leaves out the processes that fall under these rules, beside those that ask for it.
    pub(super) fn ignore(&mut self, rules: Vec<ignore::Rule>) {
        self.left_out.set_rules(rules);
    }

    /// The kernel programs' own log.
    pub(super) fn diagnostics(&mut self) -> Result<Diagnostics, CaptureError> {
        self.kernel.diagnostics()
    }

    /// From now on no program starts before it is examined, or has waited that long.
    pub(super) fn hold_starts(&mut self, patience: Duration) -> anyhow::Result<()> {
        let held = Starts::hold(patience).context(
            "programs can't be held (--hold-new-programs): that needs CAP_SYS_ADMIN and a kernel with \
             CONFIG_FANOTIFY_ACCESS_PERMISSIONS=y",
        )?;
        self.starts = Some(held);
        Ok(())
    }

    /// Puts the first probes in place.
    pub(super) fn start(&mut self) {
        for pid in self.targets.pids.clone() {
            self.kernel.watch(pid);
        }
        if !self.targets.pids.is_empty() {
            self.watch_descendants();
        }
        self.prober.preattach(&mut self.kernel);
        self.sweep();
    }

    /// Captures until a signal, or until the command or the last of the given processes has ended. The
    /// status is the command's.
    pub(super) async fn run(
        &mut self,
        mut events: Events,
        command: &[OsString],
    ) -> anyhow::Result<Option<ExitStatus>> {
        let mut signals = Signals::new(self.starts.is_some())?;
        let mut remaining = self.targets.pids.clone();
        if let Some(program) = command.first() {
            self.prober.prepare(program.as_ref(), &mut self.kernel);
        }
        self.settle(&mut events, &mut remaining).await?;
        let mut command = if command.is_empty() {
            say(&format!("plainspan: capturing {}; Ctrl-C ends\n", self.watched()));
            None
        } else {
            Some(self.spawn(command).await?)
        };
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
                changed = changed(self.mappings.as_ref()) => self.mapped(changed),
                done = self.prober.next() => self.examined(done),
                start = starting(self.starts.as_mut()) => self.starting(start),
                () = received(signals.stop.as_mut()) => say(
                    "plainspan: it is not stopped, for no program could start then (--hold-new-programs); Ctrl-C ends it\n",
                ),
                () = sleep_until(next.into()) => self.look(),
                _ = signals.report.recv() => self.report(),
                () = received(signals.reload.as_mut()) => self.reload(),
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

    /// Until what was found so far is examined, and probed if it holds TLS code; not for ever, for files may be many.
    async fn settle(&mut self, events: &mut Events, remaining: &mut Vec<u32>) -> anyhow::Result<()> {
        let until = Instant::now() + SETTLE;
        while self.prober.pending() > 0 {
            tokio::select! {
                ready = events.ready() => {
                    ready.context("the ring buffer can't be waited for")?;
                    self.drain(events, remaining);
                }
                done = self.prober.next() => self.examined(done),
                start = starting(self.starts.as_mut()) => self.starting(start),
                () = sleep_until(until.into()) => {
                    warn!(files = self.prober.pending(), "files are still being examined: calls may be missed until then");
                    break;
                }
            }
        }
        Ok(())
    }

    async fn spawn(&mut self, command: &[OsString]) -> anyhow::Result<Child> {
        // What the agent forks while it is watched itself is watched before its first instruction.
        let own = std::process::id();
        self.kernel.watch(own);
        let (files, mut child) = (self.files, child::command(command)?);
        if let Some(starts) = &self.starts {
            starts.leave_out(&mut child);
        }
        // It is over when the command has started, which may have to wait for the agent.
        let mut starting_it = spawn_blocking(move || child::start(child, files));
        let spawned = loop {
            tokio::select! {
                spawned = &mut starting_it => break spawned.context("the command can't be started")?,
                done = self.prober.next() => self.examined(done),
                start = starting(self.starts.as_mut()) => self.starting(start),
            }
        };
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
            if self.is_left_out(&record) {
                continue;
            }
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

    fn examined(&mut self, done: Done) {
        self.prober.examined(done, &mut self.kernel);
        if self.prober.take_crowded() {
            self.sweep();
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
            if let Some(delivery) = self.spans.deliver(call) {
                self.outputs.send(delivery);
            }
        }
    }

    fn report(&self) {
        self.kernel.settle();
        say(&format!("plainspan: {}\n{}", self.summary, summary::table(&self.account)));
    }

    /// Takes the probes away, reports open calls as they stand, and delivers everything. True if nothing
    /// was left undelivered.
    pub(super) async fn end(mut self) -> bool {
        self.pipeline.finish(Timestamp::now(), &mut self.outcome);
        self.send();
        self.kernel.settle();
        drop(self.kernel);
        info!("the capture has ended");
        let complete = close(self.outputs, self.metrics, DELIVERY).await;
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

/// Whose mappings have changed.
async fn changed(mappings: Option<&Mappings>) -> Changed {
    match mappings {
        Some(mappings) => mappings.next().await,
        None => std::future::pending().await,
    }
}

/// The program that is about to start.
async fn starting(starts: Option<&mut Starts>) -> Start {
    match starts {
        Some(starts) => starts.next().await,
        None => std::future::pending().await,
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
