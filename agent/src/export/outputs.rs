//! The fan-out: every span to every exporter, each behind a bounded queue.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
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
    outputs: Vec<Output>,
    draining: watch::Sender<bool>,
    account: Arc<Account>,
}

impl Outputs {
    /// Starts a task for each exporter on the current tokio runtime.
    pub fn start(exporters: Vec<Box<dyn Exporter>>, limits: Limits, account: Arc<Account>) -> Self {
        let (draining, _) = watch::channel(false);
        let permits = u32::try_from(limits.bytes / BYTES_PER_PERMIT).unwrap_or(u32::MAX).max(1);
        let outputs = exporters
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
        Self { outputs, draining, account }
    }

    /// Hands a span to every exporter without ever waiting; one whose queue is full drops it, and counts it.
    pub fn send(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        let bytes = convert::size(&delivery.span);
        let delivery = Arc::new(delivery);
        for output in &self.outputs {
            let slot = Arc::clone(&output.slots).try_acquire_owned();
            let room = Arc::clone(&output.room).try_acquire_many_owned(output.permits_for(bytes));
            match (slot, room) {
                (Ok(slot), Ok(room)) => self.queue(output, &delivery, bytes, slot, room),
                _ => self.drop_span(output),
            }
        }
    }

    /// As [`Self::send`], for a source that can wait until there is room (a replay), so that nothing is dropped.
    pub async fn send_waiting(&self, delivery: Delivery) {
        self.account.add(Counter::Spans, 1);
        let bytes = convert::size(&delivery.span);
        let delivery = Arc::new(delivery);
        for output in &self.outputs {
            let slot = Arc::clone(&output.slots).acquire_owned().await;
            let room = Arc::clone(&output.room).acquire_many_owned(output.permits_for(bytes)).await;
            match (slot, room) {
                (Ok(slot), Ok(room)) => self.queue(output, &delivery, bytes, slot, room),
                _ => self.drop_span(output),
            }
        }
    }

    /// Waits until every span sent so far is delivered or has failed.
    pub async fn flush(&self) {
        let answers: Vec<_> = self
            .outputs
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
        let mut ending = Vec::with_capacity(self.outputs.len());
        for output in self.outputs {
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
                error,
            });
        }
        reports
    }

    fn queue(
        &self,
        output: &Output,
        delivery: &Arc<Delivery>,
        bytes: usize,
        slot: OwnedSemaphorePermit,
        room: OwnedSemaphorePermit,
    ) {
        output.tally.accepted.fetch_add(1, Ordering::Relaxed);
        let queued = Queued { delivery: Arc::clone(delivery), bytes, _slot: slot, _room: room };
        if output.queue.send(Message::Span(queued)).is_err() {
            // Its task died; the span stays accepted and not delivered, and is reported so at the end.
            tracing::debug!("{}: its task is gone", output.name);
        }
    }

    fn drop_span(&self, output: &Output) {
        self.account.add(Counter::SpansDropped, 1);
        let before = output.tally.dropped.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            tracing::warn!(
                "{}: cannot keep up, its queue is full; spans are dropped and counted",
                output.name
            );
        }
    }
}

impl Output {
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
mod tests {
    use super::{
        super::{Batching, BoxFuture, ExportError, Failure, convert::tests::delivery},
        *,
    };
    use crate::contract::Value;

    /// An exporter that does as it is told and remembers what it got.
    struct Fake {
        script: Vec<Answer>,
        batching: Batching,
        got: Arc<Mutex<Vec<Vec<i64>>>>,
    }

    #[derive(Clone, Copy)]
    enum Answer {
        Ok,
        Unavailable,
        Refuse,
        /// Delivers the first span, refuses the second, asks to retry the others.
        Partly,
        Hang,
    }

    impl Exporter for Fake {
        fn name(&self) -> &'static str {
            "fake"
        }

        fn batching(&self) -> Batching {
            self.batching
        }

        fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
            Box::pin(async move {
                let pids = batch
                    .iter()
                    .map(|delivery| match delivery.resource.attributes[1].value {
                        Value::Int(pid) => pid,
                        _ => 0,
                    })
                    .collect();
                self.got.lock().unwrap().push(pids);
                let answer = if self.script.is_empty() { Answer::Ok } else { self.script.remove(0) };
                let all = 0..batch.len();
                let unavailable =
                    || ExportError::Unavailable { endpoint: "there".into(), reason: "down".into() };
                let (retry, lost, error) = match answer {
                    Answer::Ok => return Ok(()),
                    Answer::Unavailable => (all.collect(), 0, unavailable()),
                    Answer::Refuse => (vec![], batch.len(), ExportError::Closed),
                    Answer::Partly => (all.skip(2).collect(), 1, unavailable()),
                    Answer::Hang => std::future::pending().await,
                };
                Err(Failure { retry, lost, error })
            })
        }
    }

    struct Bench {
        outputs: Outputs,
        account: Arc<Account>,
        got: Arc<Mutex<Vec<Vec<i64>>>>,
    }

    impl Bench {
        fn new(script: &[Answer], limits: Limits, delay: Duration) -> Self {
            let (account, got) = (Arc::default(), Arc::default());
            let batching = Batching { spans: 4, bytes: 1 << 20, delay };
            let fake = Fake { script: script.to_vec(), batching, got: Arc::clone(&got) };
            Self { outputs: Outputs::start(vec![Box::new(fake)], limits, Arc::clone(&account)), account, got }
        }

        async fn end(self, spans: [u64; 3]) -> (OutputReport, Vec<Vec<i64>>) {
            let report = self.outputs.shutdown(Duration::from_secs(5)).await.remove(0);
            assert_eq!([report.delivered, report.failed, report.dropped], spans);
            let counts = [Counter::SpansDelivered, Counter::SpansFailed, Counter::SpansDropped];
            assert_eq!(counts.map(|counter| self.account.get(counter)), spans, "the account agrees");
            assert_eq!(
                self.account.get(Counter::Spans),
                spans.iter().sum::<u64>(),
                "and nothing is uncounted"
            );
            let got = self.got.lock().unwrap().clone();
            (report, got)
        }
    }

    fn span(pid: i64) -> Delivery {
        delivery(pid, &[])
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn spans_are_batched_in_order() {
        let bench = Bench::new(&[], Limits::default(), SECOND);
        for pid in 1..=6 {
            bench.outputs.send(span(pid));
        }
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!(*bench.got.lock().unwrap(), [[1, 2, 3, 4]], "a full batch does not wait");
        tokio::time::sleep(SECOND).await;
        assert_eq!(bench.got.lock().unwrap().len(), 2, "a started one waits for its time");
        bench.outputs.send(span(7));
        let (report, got) = bench.end([7, 0, 0]).await;
        assert_eq!(got, [vec![1, 2, 3, 4], vec![5, 6], vec![7]], "and not at the end");
        assert_eq!(report.to_string(), "fake: 7 spans delivered");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_drops_and_counts() {
        let limits = Limits { spans: 3, ..Limits::default() };
        let bench = Bench::new(&[Answer::Hang], limits, Duration::ZERO);
        for pid in 1..=5 {
            bench.outputs.send(span(pid));
        }
        let (report, _) = bench.end([0, 3, 2]).await;
        assert!(!report.complete());
        assert_eq!(
            report.to_string(),
            "fake: 0 spans delivered, 3 not delivered, 2 dropped because its queue was full: not finished in the time given"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_is_bounded_by_bytes_too() {
        let limits = Limits { bytes: 10 << 10, ..Limits::default() };
        let bench = Bench::new(&[Answer::Hang], limits, Duration::ZERO);
        let large = |n: usize| delivery(1, &[("k", Value::String("x".repeat(n)))]);
        bench.outputs.send(large(100 << 10));
        bench.outputs.send(span(2));
        let (..) = bench.end([0, 1, 1]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_can_wait_loses_nothing() {
        let limits = Limits { spans: 2, ..Limits::default() };
        let bench = Bench::new(&[], limits, Duration::ZERO);
        for pid in 1..=20 {
            bench.outputs.send_waiting(span(pid)).await;
        }
        let (_, got) = bench.end([20, 0, 0]).await;
        assert_eq!(got.concat(), (1..=20).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_yet_be_delivered_is_retried() {
        let script = [Answer::Unavailable, Answer::Partly, Answer::Unavailable];
        let bench = Bench::new(&script, Limits::default(), SECOND);
        for pid in 1..=4 {
            bench.outputs.send(span(pid));
        }
        bench.outputs.flush().await;
        let (_, got) = bench.end([3, 1, 0]).await;
        assert_eq!(got, [vec![1, 2, 3, 4], vec![1, 2, 3, 4], vec![3, 4], vec![3, 4]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_not_held_for_ever() {
        let script = [Answer::Unavailable; 1000];
        let limits = Limits { hold: 60 * SECOND, ..Limits::default() };
        let bench = Bench::new(&script, limits, Duration::ZERO);
        bench.outputs.send(span(1));
        let started = Instant::now();
        bench.outputs.flush().await;
        let held = started.elapsed();
        assert!(held >= 30 * SECOND && held <= 90 * SECOND, "{held:?}");
        let (report, got) = bench.end([0, 1, 0]).await;
        assert!(got.len() > 4 && got.len() < 30, "with growing pauses: {}", got.len());
        assert_eq!(
            report.to_string(),
            "fake: 0 spans delivered, 1 not delivered: no delivery to there (down): is the collector running, and is the endpoint right?"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_tries_once_more_and_does_not_insist() {
        let bench = Bench::new(&[Answer::Unavailable; 1000], Limits::default(), Duration::ZERO);
        for pid in 1..=10 {
            bench.outputs.send(span(pid));
        }
        tokio::time::sleep(SECOND / 100).await;
        let started = Instant::now();
        let (_, got) = bench.end([0, 10, 0]).await;
        assert!(started.elapsed() < SECOND);
        assert_eq!(got.len(), 2, "the last try of the first batch speaks for the others");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final() {
        let bench = Bench::new(&[Answer::Refuse], Limits::default(), Duration::ZERO);
        bench.outputs.send(span(1));
        bench.outputs.flush().await;
        bench.outputs.send(span(2));
        let (report, got) = bench.end([1, 1, 0]).await;
        assert_eq!(got, [[1], [2]]);
        assert_eq!(report.error.as_deref(), Some("its reader has closed it"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_exporter_delays_no_other() {
        let (account, got) = (Arc::new(Account::default()), Arc::<Mutex<Vec<Vec<i64>>>>::default());
        let fake = |script: Vec<Answer>, got: &Arc<Mutex<Vec<Vec<i64>>>>| -> Box<dyn Exporter> {
            let batching = Batching { spans: 4, bytes: 1 << 20, delay: Duration::ZERO };
            Box::new(Fake { script, batching, got: Arc::clone(got) })
        };
        let exporters = vec![fake(vec![Answer::Hang], &Arc::default()), fake(vec![], &got)];
        let outputs = Outputs::start(exporters, Limits::default(), Arc::clone(&account));
        outputs.send(span(1));
        let reports = outputs.shutdown(SECOND).await;
        assert_eq!(reports.iter().map(|r| (r.delivered, r.failed)).collect::<Vec<_>>(), [(0, 1), (1, 0)]);
        assert_eq!(*got.lock().unwrap(), [[1]]);
        assert_eq!(account.get(Counter::Spans), 1, "counted once");
    }
}
