//! Queues, batches and retries, with an exporter that does as it is told.

use super::{
    super::{Batching, BoxFuture, ExportError, Failure, convert::tests::delivery},
    *,
};
use crate::contract::Value;

/// An exporter that does as it is told and remembers what it got.
struct Fake {
    kept: bool,
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
    /// Asks to be left alone for so long.
    After(Duration),
}

impl Exporter for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn kept_as(&self) -> Option<String> {
        self.kept.then(|| "fake".to_owned())
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
            let unavailable = || ExportError::Unavailable { endpoint: "there".into(), reason: "down".into() };
            let mut after = None;
            let (retry, lost, error) = match answer {
                Answer::After(wait) => {
                    after = Some(wait);
                    (all.collect(), 0, unavailable())
                }
                Answer::Ok => return Ok(()),
                Answer::Unavailable => (all.collect(), 0, unavailable()),
                Answer::Refuse => (vec![], batch.len(), ExportError::Closed),
                Answer::Partly => (all.skip(2).collect(), 1, unavailable()),
                Answer::Hang => std::future::pending().await,
            };
            Err(Failure { retry, lost, error, after })
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
        let fake = Fake { kept: false, script: script.to_vec(), batching, got: Arc::clone(&got) };
        Self { outputs: Outputs::start(vec![Box::new(fake)], limits, Arc::clone(&account)), account, got }
    }

    async fn end(self, spans: [u64; 3]) -> (OutputReport, Vec<Vec<i64>>) {
        let report = self.outputs.shutdown(Duration::from_secs(5)).await.remove(0);
        assert_eq!([report.delivered, report.failed, report.dropped], spans);
        let counts = [Counter::SpansDelivered, Counter::SpansFailed, Counter::SpansDropped];
        assert_eq!(counts.map(|counter| self.account.get(counter)), spans, "the account agrees");
        assert_eq!(self.account.get(Counter::Spans), spans.iter().sum::<u64>(), "and nothing is uncounted");
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
        Box::new(Fake { kept: false, script, batching, got: Arc::clone(got) })
    };
    let exporters = vec![fake(vec![Answer::Hang], &Arc::default()), fake(vec![], &got)];
    let outputs = Outputs::start(exporters, Limits::default(), Arc::clone(&account));
    outputs.send(span(1));
    let reports = outputs.shutdown(SECOND).await;
    assert_eq!(reports.iter().map(|r| (r.delivered, r.failed)).collect::<Vec<_>>(), [(0, 1), (1, 0)]);
    assert_eq!(*got.lock().unwrap(), [[1]]);
    assert_eq!(account.get(Counter::Spans), 1, "counted once");
}

/// Outputs behind a journal in a directory; the last of them is for eyes.
struct Journaling {
    dir: tempfile::TempDir,
}

type Got = Arc<Mutex<Vec<Vec<i64>>>>;

impl Journaling {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn start(&self, script: &[Answer]) -> (Outputs, Arc<Account>, [Got; 2]) {
        let (account, got) = (Arc::new(Account::default()), [Got::default(), Got::default()]);
        let fake = |kept, script: &[Answer], got: &Got| -> Box<dyn Exporter> {
            let batching = Batching { spans: 4, bytes: 1 << 20, delay: Duration::ZERO };
            Box::new(Fake { kept, script: script.to_vec(), batching, got: Arc::clone(got) })
        };
        let exporters = vec![fake(true, script, &got[0]), fake(false, &[], &got[1])];
        let keep = Keep {
            path: self.dir.path().join("journal.db"),
            limits: crate::journal::Limits::default(),
            required: true,
            patient: false,
        };
        let outputs = Outputs::start_journaled(exporters, Limits::default(), &keep, Arc::clone(&account));
        let outputs = outputs.map_err(|(error, _)| error).unwrap();
        (outputs, account, got)
    }
}

/// Which spans arrived at all, in ascending order.
fn arrived(got: &Got) -> Vec<i64> {
    let mut all = got.lock().unwrap().concat();
    all.sort_unstable();
    all.dedup();
    all
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_journal_each_output_gets_every_span_once() {
    let journaling = Journaling::new();
    let (outputs, account, got) = journaling.start(&[]);
    for pid in 1..=10 {
        outputs.send(span(pid));
    }
    let reports = outputs.shutdown(PATIENCE).await;
    assert_eq!(reports.iter().map(|r| (r.delivered, r.kept)).collect::<Vec<_>>(), [(10, 0), (10, 0)]);
    for got in &got {
        assert_eq!(got.lock().unwrap().concat(), (1..=10).collect::<Vec<_>>(), "in order");
    }
    assert_eq!(account.get(Counter::SpansWritten), 10);
    let (outputs, account, [got, _]) = journaling.start(&[]);
    outputs.shutdown(PATIENCE).await;
    assert_eq!((account.get(Counter::SpansLeft), arrived(&got)), (0, vec![]), "what was delivered is marked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_is_kept_for_the_next_run() {
    let journaling = Journaling::new();
    let (outputs, account, [_, eyes]) = journaling.start(&[Answer::Unavailable; 1000]);
    for pid in 1..=10 {
        outputs.send(span(pid));
    }
    let report = outputs.shutdown(PATIENCE).await.remove(0);
    assert_eq!((report.delivered, report.failed, report.kept), (0, 0, 10));
    assert!(report.complete(), "nothing is lost");
    assert!(
        report.to_string().contains("10 kept in the journal for the next run: no delivery to there"),
        "{report}"
    );
    assert_eq!(account.get(Counter::SpansKept), 10);
    assert_eq!(arrived(&eyes).len(), 10, "the other one does not wait for it");

    // One that never answers is ended, and loses nothing either.
    let (outputs, account, _) = journaling.start(&[Answer::Hang]);
    assert_eq!(account.get(Counter::SpansLeft), 10);
    assert_eq!(outputs.shutdown(Duration::from_millis(200)).await[0].kept, 10);

    let (outputs, _, [got, eyes]) = journaling.start(&[]);
    outputs.send(span(11));
    let report = outputs.shutdown(PATIENCE).await.remove(0);
    assert_eq!((report.delivered, report.kept), (11, 0));
    assert_eq!(got.lock().unwrap().concat(), (1..=11).collect::<Vec<_>>());
    assert_eq!(arrived(&eyes), [11], "what is for eyes is of this run");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_batch_only_what_may_yet_be_delivered_is_tried_again() {
    let journaling = Journaling::new();
    let (outputs, account, [got, _]) = journaling.start(&[Answer::Partly, Answer::Refuse]);
    for pid in 1..=4 {
        outputs.send(span(pid));
    }
    while got.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let report = outputs.shutdown(PATIENCE).await.remove(0);
    assert_eq!(*got.lock().unwrap(), [vec![1, 2, 3, 4], vec![3, 4]]);
    assert_eq!((report.delivered, report.failed, report.kept), (1, 3, 0));
    assert_eq!(account.get(Counter::SpansFailed), 3);
    let (outputs, account, _) = journaling.start(&[]);
    outputs.shutdown(PATIENCE).await;
    assert_eq!(account.get(Counter::SpansLeft), 0, "a refusal is final");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_named_is_waited_for() {
    let journaling = Journaling::new();
    let wait = Duration::from_secs(2);
    let (outputs, _, [got, _]) = journaling.start(&[Answer::After(wait)]);
    outputs.send(span(1));
    let begun = std::time::Instant::now();
    while got.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The usual pause would have been over after half a second.
    assert!(begun.elapsed() >= wait);
    assert_eq!(outputs.shutdown(PATIENCE).await[0].delivered, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_cannot_be_had_stops_only_whoever_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
    let file = dir.path().join("spans.jsonl");
    for required in [true, false] {
        let limits = crate::journal::Limits::default();
        let settings = super::super::Settings {
            schema_url: "s",
            verbose: false,
            console_on_stderr: true,
            limits: Limits::default(),
            keep: Some(Keep { path: path.clone(), limits, required, patient: false }),
            events: false,
            content: None,
        };
        let targets = [super::super::Target::File(file.clone())];
        match super::super::open(&targets, settings, Arc::default()) {
            Err(error) => assert!(required && error.to_string().contains("symbolic link"), "{error}"),
            Ok(outputs) => {
                assert!(!required);
                outputs.send(span(1));
                assert_eq!(outputs.shutdown(PATIENCE).await[0].delivered, 1);
            }
        }
    }
    assert!(!dir.path().join("elsewhere").exists());
}
