//! The fan-out: every span to every exporter, each behind a bounded queue.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{Exporter, convert, worker::Worker};
use crate::{
    account::{Account, Counter},
    contract::Delivery,
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

/// Room in the queue for bytes is given out in so many at a time.
const BYTES_PER_PERMIT: usize = 1024;

/// A span in a queue, and the room that it takes there until it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub delivery: Arc<Delivery>,
    pub bytes: usize,
    _slot: OwnedSemaphorePermit,
    _room: OwnedSemaphorePermit,
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
    slots: Arc<Semaphore>,
    room: Arc<Semaphore>,
    permits: u32,
    tally: Arc<Tally>,
    task: JoinHandle<()>,
}

/// All exporters at work.
#[derive(Debug)]
pub struct Outputs {
    all: Vec<Output>,
    draining: watch::Sender<bool>,
    account: Arc<Account>,
}

impl Outputs {
    /// Starts a task for each exporter on the current tokio runtime.
    pub fn start(exporters: Vec<Box<dyn Exporter>>, limits: Limits, account: Arc<Account>) -> Self {
        let (draining, _) = watch::channel(false);
        let permits = u32::try_from(limits.bytes / BYTES_PER_PERMIT).unwrap_or(u32::MAX).max(1);
        let all = exporters
            .into_iter()
            .map(|exporter| {
                // The two semaphores bound it.
                let (queue, messages) = mpsc::unbounded_channel();
                let tally = Arc::new(Tally::default());
                Output {
                    name: exporter.name().to_owned(),
                    queue,
                    slots: Arc::new(Semaphore::new(limits.spans.clamp(1, Semaphore::MAX_PERMITS))),
                    room: Arc::new(Semaphore::new(permits as usize)),
                    permits,
                    tally: Arc::clone(&tally),
                    task: tokio::spawn(
                        Worker::new(
                            exporter,
                            messages,
                            draining.subscribe(),
                            limits.hold,
                            tally,
                            Arc::clone(&account),
                        )
                        .run(),
                    ),
                }
            })
            .collect();
        Self { all, draining, account }
    }

    /// Hands a span to every exporter without ever waiting; one whose queue is full drops it, and counts it.
    pub fn send(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        let bytes = convert::size(&delivery.span);
        let delivery = Arc::new(delivery);
        for output in &self.all {
            let slot = Arc::clone(&output.slots).try_acquire_owned();
            let room = Arc::clone(&output.room).try_acquire_many_owned(output.permits_for(bytes));
            match (slot, room) {
                (Ok(slot), Ok(room)) => output.queue(&delivery, bytes, slot, room),
                _ => self.drop_span(output),
            }
        }
    }

    /// As [`Self::send`], for a source that can wait until there is room (a replay), so that nothing is dropped.
    pub async fn send_waiting(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        let bytes = convert::size(&delivery.span);
        let delivery = Arc::new(delivery);
        for output in &self.all {
            let slot = Arc::clone(&output.slots).acquire_owned().await;
            let room = Arc::clone(&output.room).acquire_many_owned(output.permits_for(bytes)).await;
            match (slot, room) {
                (Ok(slot), Ok(room)) => output.queue(&delivery, bytes, slot, room),
                _ => self.drop_span(output),
            }
        }
    }

    /// Waits until every span sent so far is delivered or has failed.
    pub async fn flush(&self) {
        let answers: Vec<_> = self
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

    /// Delivers what is queued, for so long, and tells what became of all spans, in the order of the exporters.
    pub async fn shutdown(self, within: Duration) -> Vec<OutputReport> {
        let until = Instant::now() + within;
        self.draining.send_replace(true);
        // With its sender gone, a worker ends when its queue is empty; all of them before waiting for one.
        let mut ending = Vec::with_capacity(self.all.len());
        for output in self.all {
            drop(output.queue);
            ending.push((output.name, output.tally, output.task));
        }
        let mut reports = Vec::with_capacity(ending.len());
        for (output, tally, mut task) in ending {
            let in_time = timeout_at(until, &mut task).await.is_ok();
            if !in_time {
                task.abort();
                // Only after the task has ended do its counts stand still.
                let _ = task.await;
            }
            let (accepted, delivered) = (load(&tally.accepted), load(&tally.delivered));
            let left = accepted.saturating_sub(delivered + load(&tally.failed));
            self.account.add(Counter::SpansFailed, left);
            let mut error = tally.last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
            if left > 0 && error.is_none() {
                error = Some("not finished in the time given".to_owned());
            }
            reports.push(OutputReport {
                output,
                delivered,
                failed: load(&tally.failed) + left,
                dropped: load(&tally.dropped),
                told: tally.told.load(Ordering::Relaxed),
                error,
            });
        }
        reports
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
    fn queue(
        &self,
        delivery: &Arc<Delivery>,
        bytes: usize,
        slot: OwnedSemaphorePermit,
        room: OwnedSemaphorePermit,
    ) {
        self.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let queued = Queued { delivery: Arc::clone(delivery), bytes, _slot: slot, _room: room };
        if self.queue.send(Message::Span(queued)).is_err() {
            // Its task died; the span stays accepted and not delivered, and is reported so at the end.
            tracing::debug!("{}: its task is gone", self.name);
        }
    }

    fn permits_for(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(BYTES_PER_PERMIT)).unwrap_or(u32::MAX).clamp(1, self.permits)
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
    /// The last thing that went wrong.
    pub error: Option<String>,
    /// The user has been told of it already, in the log.
    pub told: bool,
}

impl OutputReport {
    /// Was every span delivered?
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
        match &self.error {
            Some(error) if !self.complete() => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
