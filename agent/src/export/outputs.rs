//! The fan-out: every span to every exporter, each behind a bounded queue.

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{Exporter, Keep, journaled::Journaled, worker::Worker};
use crate::{
    account::{Account, Counter},
    contract::Delivery,
    gate::{Gate, Place},
    journal::{Journal, JournalError},
};

/// Limits of one exporter's queue; what is being delivered counts as queued.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most spans.
    pub spans: usize,
    /// Most bytes, as estimated. A larger span passes when the queue is empty.
    pub bytes: usize,
    /// How long a batch that may yet be delivered is kept and retried.
    pub hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { spans: 8192, bytes: 64 << 20, hold: Duration::from_secs(120) }
    }
}

/// What has nothing left to wait for gets so long to end, however late it is.
const CLOSING: Duration = Duration::from_secs(2);

/// A span in a queue, and the room that it takes there until it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub delivery: Arc<Delivery>,
    pub bytes: usize,
    _place: Place,
}

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Message {
    Span(Queued),
    /// Deliver all that came before, then answer.
    Flush(oneshot::Sender<()>),
}

/// What became of the spans of one exporter.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub accepted: AtomicU64,
    pub delivered: AtomicU64,
    pub failed: AtomicU64,
    pub dropped: AtomicU64,
    pub last_error: Mutex<Option<String>>,
    /// The user has been told of a failure already, in the log.
    pub told: AtomicBool,
}

#[derive(Debug)]
struct Output {
    name: String,
    queue: mpsc::UnboundedSender<Message>,
    gate: Gate,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

/// Those that are handed spans as they come.
#[derive(Debug)]
struct Live {
    all: Vec<Output>,
    account: Arc<Account>,
}

/// One that delivers what is in the journal.
#[derive(Debug)]
struct Durable {
    name: String,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

/// The journal, and those who deliver what is in it, in the order in which it was opened for them.
#[derive(Debug)]
struct Kept {
    journal: Journal,
    outputs: Vec<Durable>,
}

/// All exporters at work.
#[derive(Debug)]
pub struct Outputs {
    live: Arc<Live>,
    kept: Option<Kept>,
    draining: watch::Sender<bool>,
    account: Arc<Account>,
}

impl Outputs {
    /// Starts a task for each exporter on the current tokio runtime.
    pub fn start(exporters: Vec<Box<dyn Exporter>>, limits: Limits, account: Arc<Account>) -> Self {
        let (draining, _) = watch::channel(false);
        let live = Arc::new(Live::start(exporters, limits, &draining, &account));
        Self { live, kept: None, draining, account }
    }

    /// The same behind a journal: spans are on disk before an exporter sees them, and those that can be delivered later are kept
    /// until they are. On an error the exporters come back as they were.
    pub fn start_journaled(
        exporters: Vec<Box<dyn Exporter>>,
        limits: Limits,
        keep: &Keep,
        account: Arc<Account>,
    ) -> Result<Self, (JournalError, Vec<Box<dyn Exporter>>)> {
        let names: Vec<String> = exporters.iter().filter_map(|exporter| exporter.kept_as()).collect();
        let slot: Arc<OnceLock<Arc<Live>>> = Arc::default();
        let (later, runtime, patient) = (Arc::clone(&slot), Handle::current(), keep.patient);
        let committed = move |spans: &[Arc<Delivery>]| {
            let Some(live) = later.get() else { return };
            for delivery in spans {
                if patient {
                    runtime.block_on(live.send_waiting(delivery));
                } else {
                    live.send(delivery);
                }
            }
        };
        let opened =
            Journal::open(&keep.path, keep.limits, &names, Arc::clone(&account), Box::new(committed));
        let journal = match opened {
            Ok(journal) => journal,
            Err(error) => return Err((error, exporters)),
        };
        let (draining, _) = watch::channel(false);
        let (mut others, mut outputs) = (Vec::new(), Vec::new());
        for exporter in exporters {
            let Some(backlog) = exporter.kept_as().and_then(|_| journal.backlog(outputs.len())) else {
                others.push(exporter);
                continue;
            };
            let (name, tally) = (exporter.name().to_owned(), Arc::new(Tally::default()));
            let task = Journaled::new(
                exporter,
                backlog,
                draining.subscribe(),
                Arc::clone(&tally),
                Arc::clone(&account),
            );
            outputs.push(Durable { name, tally, task: tokio::spawn(task.run()) });
        }
        let live = Arc::new(Live::start(others, limits, &draining, &account));
        // Nothing was sent yet, so nothing is on disk that it would have missed.
        let _ = slot.set(Arc::clone(&live));
        Ok(Self { live, kept: Some(Kept { journal, outputs }), draining, account })
    }

    /// Hands a span to every exporter without ever waiting; one whose queue is full drops it, and counts it.
    pub fn send(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        match &self.kept {
            Some(kept) => kept.journal.append(Arc::new(delivery)),
            None => self.live.send(&Arc::new(delivery)),
        }
    }

    /// As [`Self::send`], for a source that can wait until there is room (a replay), so that nothing is dropped.
    pub async fn send_waiting(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        match &self.kept {
            Some(kept) => kept.journal.append_waiting(Arc::new(delivery)).await,
            None => self.live.send_waiting(&Arc::new(delivery)).await,
        }
    }

    /// Waits until every span sent so far is on disk, if there is a journal, and delivered or failed where it is not kept.
    pub async fn flush(&self) {
        if let Some(kept) = &self.kept {
            kept.journal.flush().await;
        }
        let answers: Vec<_> = self
            .live
            .all
            .iter()
            .filter_map(|output| {
                let (answer, answered) = oneshot::channel();
                output.queue.send(Message::Flush(answer)).ok().map(|()| answered)
            })
            .collect();
        for answered in answers {
            // An error means that the task is gone, and with it all that could be waited for.
            let _ = answered.await;
        }
    }

    /// Delivers what is queued, for so long, and tells what became of all spans: of those behind the journal first, in the order
    /// of the exporters.
    pub async fn shutdown(self, within: Duration) -> Vec<OutputReport> {
        let until = Instant::now() + within;
        if let Some(kept) = &self.kept {
            kept.journal.end();
            let _ = timeout_at(until, kept.journal.flush()).await;
        }
        self.draining.send_replace(true);
        let mut reports = Vec::new();
        if let Some(Kept { journal, outputs }) = self.kept {
            for (place, output) in outputs.into_iter().enumerate() {
                ended(until, output.task).await;
                let left = match journal.backlog(place) {
                    Some(backlog) => backlog.left().await,
                    None => 0,
                };
                self.account.add(Counter::SpansKept, left);
                reports.push(OutputReport { kept: left, ..output.tally.report(output.name) });
            }
            // Its thread holds the last span that those who are next may get.
            let closing = tokio::task::spawn_blocking(move || journal.close());
            if timeout_at(until.max(Instant::now() + CLOSING), closing).await.is_err() {
                tracing::warn!("the journal could not be closed in the time given; what is in it is kept");
            }
        }
        let Some(Live { all, account }) = Arc::into_inner(self.live) else { return reports };
        // With its sender gone, a worker ends when its queue is empty; all of them before waiting for one.
        let mut ending = Vec::with_capacity(all.len());
        for output in all {
            drop(output.queue);
            ending.push((output.name, output.tally, output.task));
        }
        let until = until.max(Instant::now() + CLOSING);
        for (name, tally, task) in ending {
            ended(until, task).await;
            let left = load(&tally.accepted).saturating_sub(load(&tally.delivered) + load(&tally.failed));
            account.add(Counter::SpansFailed, left);
            let mut report = tally.report(name);
            report.failed += left;
            if left > 0 && report.error.is_none() {
                report.error = Some("not finished in the time given".to_owned());
            }
            reports.push(report);
        }
        reports
    }
}

/// Waits for a task until then, and ends it.
async fn ended(until: Instant, mut task: JoinHandle<()>) {
    if timeout_at(until, &mut task).await.is_err() {
        task.abort();
        // Only after the task has ended do its counts stand still.
        let _ = task.await;
    }
}

impl Tally {
    fn report(&self, output: String) -> OutputReport {
        OutputReport {
            output,
            delivered: load(&self.delivered),
            failed: load(&self.failed),
            dropped: load(&self.dropped),
            kept: 0,
            told: self.told.load(Ordering::Relaxed),
            error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

impl Live {
    fn start(
        exporters: Vec<Box<dyn Exporter>>,
        limits: Limits,
        draining: &watch::Sender<bool>,
        account: &Arc<Account>,
    ) -> Self {
        let all = exporters
            .into_iter()
            .map(|exporter| {
                // The gate bounds it.
                let (queue, messages) = mpsc::unbounded_channel();
                let tally = Arc::new(Tally::default());
                Output {
                    name: exporter.name().to_owned(),
                    queue,
                    gate: Gate::new(limits.spans, limits.bytes),
                    tally: Arc::clone(&tally),
                    task: tokio::spawn(
                        Worker::new(
                            exporter,
                            messages,
                            draining.subscribe(),
                            limits.hold,
                            tally,
                            Arc::clone(account),
                        )
                        .run(),
                    ),
                }
            })
            .collect();
        Self { all, account: Arc::clone(account) }
    }

    fn send(&self, delivery: &Arc<Delivery>) {
        let bytes = delivery.span.size();
        for output in &self.all {
            match output.gate.try_enter(bytes) {
                Some(place) => output.queue(delivery, bytes, place),
                None => self.drop_span(output),
            }
        }
    }

    async fn send_waiting(&self, delivery: &Arc<Delivery>) {
        let bytes = delivery.span.size();
        for output in &self.all {
            match output.gate.enter(bytes).await {
                Some(place) => output.queue(delivery, bytes, place),
                None => self.drop_span(output),
            }
        }
    }

    fn drop_span(&self, output: &Output) {
        self.account.add(Counter::SpansDropped, 1);
        let before = output.tally.dropped.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            output.tally.told.store(true, Ordering::Relaxed);
            tracing::warn!(
                "{}: cannot keep up, its queue is full; spans are dropped and counted",
                output.name
            );
        }
    }
}

impl Output {
    fn queue(&self, delivery: &Arc<Delivery>, bytes: usize, place: Place) {
        self.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let queued = Queued { delivery: Arc::clone(delivery), bytes, _place: place };
        if self.queue.send(Message::Span(queued)).is_err() {
            // Its task died; the span stays accepted and not delivered, and is reported so at the end.
            tracing::debug!("{}: its task is gone", self.name);
        }
    }
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What became of all spans that one exporter was handed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputReport {
    /// The exporter, as in `-o`.
    pub output: String,
    /// Spans delivered.
    pub delivered: u64,
    /// Spans that could not be delivered.
    pub failed: u64,
    /// Spans dropped because the queue was full.
    pub dropped: u64,
    /// Spans that are kept in the journal for the next run.
    pub kept: u64,
    /// The last thing that went wrong.
    pub error: Option<String>,
    /// The user has been told of it already, in the log.
    pub told: bool,
}

impl OutputReport {
    /// Was every span delivered, or kept until it can be?
    pub fn complete(&self) -> bool {
        self.failed == 0 && self.dropped == 0
    }
}

/// One line, for the user.
impl fmt::Display for OutputReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spans = |n: u64| if n == 1 { "span" } else { "spans" };
        write!(f, "{}: {} {} delivered", self.output, self.delivered, spans(self.delivered))?;
        if self.failed > 0 {
            write!(f, ", {} not delivered", self.failed)?;
        }
        if self.dropped > 0 {
            write!(f, ", {} dropped because its queue was full", self.dropped)?;
        }
        if self.kept > 0 {
            write!(f, ", {} kept in the journal for the next run", self.kept)?;
        }
        match &self.error {
            Some(error) if self.kept > 0 || !self.complete() => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
