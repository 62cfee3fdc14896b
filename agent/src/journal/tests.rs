//! The database by itself, and the thread that writes it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use rusqlite::Connection;

use super::{
    place::Place,
    store::{Mark, Pruned, Store},
    *,
};
use crate::{
    account::{Account, Counter},
    contract::{Attribute, Delivery, Kind, Resource, Span, Status, Value},
    time::Timestamp,
};

/// A call with this number as its span id.
fn delivery(number: u64) -> Arc<Delivery> {
    let attribute = |key, value| Attribute { key, value };
    let text = |text: &str| Value::String(text.into());
    Arc::new(Delivery {
        span: Span {
            trace_id: u128::from(number + 1).to_be_bytes(),
            span_id: (number + 1).to_be_bytes(),
            parent_span_id: None,
            link: None,
            flags: 1,
            trace_state: String::new(),
            name: "chat m".into(),
            kind: Kind::Client,
            start: Timestamp(1_700_000_000_000_000_000 + number * 1_000_000_000),
            end: Timestamp(1_700_000_000_000_000_000 + number * 1_000_000_000 + (number % 7) * 100_000_000),
            attributes: vec![
                attribute(
                    "gen_ai.request.model",
                    text(if number.is_multiple_of(2) { "even-1" } else { "odd-1" }),
                ),
                attribute("gen_ai.provider.name", text("openai")),
                attribute("gen_ai.operation.name", text("chat")),
                attribute("gen_ai.usage.input_tokens", Value::Int(number as i64)),
                attribute(
                    "gen_ai.response.finish_reasons",
                    Value::Strings(vec!["stop".into(), "length".into()]),
                ),
            ],
            status: if number.is_multiple_of(5) { Status::Error("no".into()) } else { Status::Unset },
        },
        resource: Arc::new(Resource {
            attributes: vec![attribute("service.name", text("app")), attribute("process.pid", Value::Int(7))],
            extra: vec![],
        }),
    })
}

fn number(delivery: &Delivery) -> u64 {
    u64::from_be_bytes(delivery.span.span_id) - 1
}

fn batch(numbers: std::ops::Range<u64>) -> Vec<Arc<Delivery>> {
    numbers.map(delivery).collect()
}

/// A span of about so many bytes.
fn large(number: u64, bytes: usize) -> Arc<Delivery> {
    let mut large = (*delivery(number)).clone();
    let value = Value::String("x".repeat(bytes));
    large.span.attributes.push(Attribute { key: "gen_ai.input.messages", value });
    Arc::new(large)
}

fn store(path: &Path, limits: Limits, outputs: &[&str]) -> Store {
    let names = outputs.iter().map(|name| (*name).to_owned()).collect();
    Store::open(Place::take(path).unwrap(), limits, names).unwrap().0
}

fn numbers(path: &Path) -> Vec<u64> {
    let kept = History::open(path).unwrap().last(&Filter::default(), usize::MAX).unwrap();
    kept.iter().map(|kept| number(&kept.delivery)).collect()
}

fn sound(path: &Path) -> String {
    Connection::open(path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

#[test]
fn what_was_committed_is_read_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut writer = store(&path, Limits::default(), &["otlp"]);
    let (last, pruned) = writer.commit(&batch(0..3), &[]).unwrap();
    assert_eq!((last, pruned), (Some(3), Pruned::default()));
    // While it is open, and after.
    let history = History::open(&path).unwrap();
    for (id, kept) in (1..).zip(history.last(&Filter::default(), 10).unwrap()) {
        assert_eq!((kept.id, &kept.delivery), (id, &*delivery(id as u64 - 1)));
    }
    assert_eq!(history.newest().unwrap(), 3);
    assert_eq!(history.get(2).unwrap().map(|kept| number(&kept.delivery)), Some(1));
    assert_eq!(history.get(4).unwrap(), None);
    drop((history, writer));
    assert_eq!(numbers(&path), [0, 1, 2]);
    for file in fs::read_dir(dir.path()).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn filters_hold_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    store(&path, Limits::default(), &[]).commit(&batch(0..20), &[]).unwrap();
    let history = History::open(&path).unwrap();
    let at = |number: i64| Some(1_700_000_000_000_000_000 + number * 1_000_000_000);
    let all = Filter::default;
    #[rustfmt::skip]
    let rows = [
        (all(), 20),
        (Filter { model: Some("even-1".into()), ..all() }, 10),
        (Filter { model: Some("*-1".into()), ..all() }, 20),
        (Filter { model: Some("*-1".into()), failed: Some(true), ..all() }, 4),
        (Filter { model: Some("o*".into()), failed: Some(false), ..all() }, 8),
        (Filter { service: Some("ap?".into()), ..all() }, 20),
        (Filter { service: Some("other".into()), ..all() }, 0),
        (Filter { provider: Some("openai".into()), operation: Some("chat".into()), ..all() }, 20),
        (Filter { operation: Some("embeddings".into()), ..all() }, 0),
        (Filter { since: at(5), until: at(8), ..all() }, 3),
        (Filter { trace: Some("0000000000000000000000000000000A".into()), ..all() }, 1),
        (Filter { longer: Some(500_000_000), ..all() }, 5),
    ];
    for (filter, count) in rows {
        assert_eq!(history.last(&filter, 100).unwrap().len(), count, "{filter:?}");
    }
    let ids = |kept: Vec<Kept>| kept.iter().map(|kept| kept.id).collect::<Vec<_>>();
    assert_eq!(ids(history.last(&all(), 3).unwrap()), [18, 19, 20]);
    assert_eq!(ids(history.after(16, &all(), 3).unwrap()), [17, 18, 19]);
}

#[test]
fn marks_are_each_outputs_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut writer = store(&path, Limits::default(), &["a", "b"]);
    writer.commit(&batch(0..4), &[]).unwrap();
    let [a, b] = *writer.outputs() else { panic!("two outputs") };
    assert_eq!(writer.pending().unwrap(), 8);
    writer
        .commit(&[], &[Mark { output: a, calls: vec![1, 2, 3] }, Mark { output: b, calls: vec![2] }])
        .unwrap();
    // Again, and one that there is not.
    writer.commit(&[], &[Mark { output: a, calls: vec![1, 99] }]).unwrap();
    assert_eq!(writer.pending().unwrap(), 4);
    drop(writer);
    let waiting: Vec<i64> = Connection::open(&path)
        .unwrap()
        .prepare("SELECT waiting FROM calls ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(waiting, [1, 0, 1, 2]);
    // Another run, in another order and with one more, which gets nothing of what was before it.
    let writer = store(&path, Limits::default(), &["b", "new"]);
    assert_eq!((writer.outputs().len(), writer.outputs()[0], writer.pending().unwrap()), (2, b, 3));
}

#[test]
fn room_is_made_by_the_oldest_delivered_then_by_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let limits = Limits { bytes: store::LEAST_BYTES, ..Limits::default() };
    let mut writer = store(&path, limits, &["otlp"]);
    let output = writer.outputs()[0];
    let fill = |writer: &mut Store, from: u64, to: u64| {
        let spans: Vec<_> = (from..to).map(|n| large(n, 4000)).collect();
        writer.commit(&spans, &[]).unwrap().1
    };
    assert_eq!(fill(&mut writer, 0, 150), Pruned::default());
    // 33 to 96 were delivered; over the bound, the oldest of them go.
    writer.commit(&[], &[Mark { output, calls: (34..=97).collect() }]).unwrap();
    let pruned = fill(&mut writer, 150, 230);
    assert!(pruned.delivered_size > 0 && pruned.undelivered_size == 0, "{pruned:?}");
    let left: BTreeSet<u64> = numbers(&path).into_iter().collect();
    let gone: Vec<u64> = (0..230).filter(|n| !left.contains(n)).collect();
    let first = 33 + gone.len() as u64;
    assert_eq!(gone, (33..first).collect::<Vec<_>>(), "{pruned:?}");
    assert_eq!(gone.len() as u64, pruned.delivered_size);

    // With no delivered one left, the oldest go.
    let pruned = fill(&mut writer, 230, 400);
    assert_eq!(pruned.delivered_size, 97 - first);
    let left = numbers(&path);
    let gone: Vec<u64> = (0..230).filter(|n| !left.contains(n)).collect();
    assert!(pruned.undelivered_size > 33, "{pruned:?}");
    assert_eq!(gone, (0..gone.len() as u64).collect::<Vec<_>>());
    assert_eq!(gone.len() as u64, 64 + pruned.undelivered_size);
    assert_eq!(writer.pending().unwrap(), left.len() as u64);
    drop(writer);
    assert!(fs::metadata(&path).unwrap().len() < 3 * store::LEAST_BYTES);
    assert_eq!(sound(&path), "ok");
}

#[test]
fn what_is_too_old_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut writer = store(&path, Limits::default(), &["a", "b"]);
    writer.commit(&batch(0..6), &[]).unwrap();
    let (a, b) = (writer.outputs()[0], writer.outputs()[1]);
    writer.commit(&[], &[Mark { output: a, calls: vec![1, 2] }, Mark { output: b, calls: vec![1] }]).unwrap();
    drop(writer);
    let old = "UPDATE calls SET stored_s = stored_s - 3600 WHERE id <= 3";
    Connection::open(&path).unwrap().execute(old, []).unwrap();
    let limits = Limits { age: Duration::from_secs(1800), ..Limits::default() };
    let (_, pruned) = store(&path, limits, &["a", "b"]).commit(&[], &[]).unwrap();
    assert_eq!(pruned, Pruned { delivered_age: 1, undelivered_age: 3, ..Pruned::default() });
    assert_eq!(numbers(&path), [3, 4, 5]);
}

#[test]
fn a_damaged_database_is_moved_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let aside = dir.path().join("journal.db-corrupt");
    let open = || Store::open(Place::take(&path).unwrap(), Limits::default(), vec![]).unwrap();
    for (round, garbage) in [b"this was never a database, but as long as the head of one..".repeat(40), {
        let (mut writer, _) = open();
        writer.commit(&batch(0..50), &[]).unwrap();
        drop(writer);
        // Its first page, where the tables are named.
        let mut bytes = fs::read(&path).unwrap();
        bytes[100..2000].fill(0xa5);
        bytes
    }]
    .into_iter()
    .enumerate()
    {
        fs::write(&path, &garbage).unwrap();
        let (mut writer, moved) = open();
        let (moved, reason) = moved.unwrap();
        assert_eq!(moved.file_name(), aside.file_name());
        assert!(reason.contains("not a database") || reason.contains("malformed"), "{reason}");
        assert_eq!(fs::read(&aside).unwrap(), garbage);
        writer.commit(&batch(0..1), &[]).unwrap();
        drop(writer);
        assert_eq!((numbers(&path), sound(&path)), (vec![0], "ok".to_owned()), "{round}");
    }
}

#[test]
fn others_databases_and_later_ones_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (foreign, newer) = (dir.path().join("foreign.db"), dir.path().join("newer.db"));
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE bookmarks (url)").unwrap();
    drop(store(&newer, Limits::default(), &[]));
    Connection::open(&newer).unwrap().execute("INSERT INTO migrations VALUES (99, 'x', 0)", []).unwrap();
    for (path, expected) in [(foreign, "database of another program"), (newer, "by a later plainspan")] {
        let before = fs::read(&path).unwrap();
        let error =
            Store::open(Place::take(&path).unwrap(), Limits::default(), vec![]).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("--journal PATH"), "{error}");
        assert!(History::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap().len(), before.len());
    }
}

/// A journal whose log was never taken into the database: its files, and the length of the log after each commit of ten spans.
fn with_log(dir: &Path) -> (Vec<u8>, Vec<u8>, Vec<usize>) {
    let path = dir.join("journal.db");
    let mut writer = store(&path, Limits::default(), &["otlp"]);
    let log = dir.join("journal.db-wal");
    let lengths = (0..20).map(|n| {
        writer.commit(&batch(n * 10..n * 10 + 10), &[]).unwrap();
        fs::metadata(&log).unwrap().len() as usize
    });
    let lengths = lengths.collect();
    (fs::read(&path).unwrap(), fs::read(&log).unwrap(), lengths)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// A power cut: of what was not yet synced, any part may be missing or wrong. What is left is the commits up to some point, whole.
    #[test]
    fn of_a_torn_log_a_prefix_is_left(at in any::<proptest::sample::Index>(), garbage in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let (database, log, lengths) = with_log(dir.path());
        let at = at.index(log.len() + 1);
        let torn = tempfile::tempdir().unwrap();
        let path = torn.path().join("journal.db");
        fs::write(&path, &database).unwrap();
        let mut left = log[..at].to_vec();
        if garbage {
            // The pages that the disk made room for, and did not write.
            left.resize(log.len(), 0x5a);
        }
        fs::write(torn.path().join("journal.db-wal"), left).unwrap();
        let whole = lengths.iter().filter(|length| **length <= at).count() as u64;
        let mut writer = store(&path, Limits::default(), &["otlp"]);
        prop_assert_eq!(writer.pending().unwrap(), whole * 10);
        prop_assert_eq!(numbers(&path), (0..whole * 10).collect::<Vec<_>>());
        writer.commit(&batch(1000..1001), &[]).unwrap();
        drop(writer);
        prop_assert_eq!(sound(&path), "ok");
    }
}

#[test]
fn a_query_can_read_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    store(&path, Limits::default(), &[]).commit(&batch(0..10), &[]).unwrap();
    let query = |sql: &str, time: Duration| {
        let mut result = Vec::new();
        let history = History::open(&path).unwrap();
        let done = history.query(sql, time, &mut |columns, cells| {
            result.push((columns.join(" "), cells));
            true
        });
        done.map(|()| result)
    };
    let second = Duration::from_secs(1);
    let result = query(
        "SELECT model, count(*) AS n, sum(input_tokens) AS tokens FROM calls GROUP BY model ORDER BY 1",
        second,
    )
    .unwrap();
    assert_eq!(
        result,
        [("even-1", 5, 20), ("odd-1", 5, 25)].map(|(model, n, tokens)| (
            "model n tokens".to_owned(),
            vec![Cell::Text(model.into()), Cell::Int(n), Cell::Int(tokens)]
        ))
    );
    let sql = "SELECT attribute(otlp, 'service.name'), attribute(otlp, 'gen_ai.response.finish_reasons'),
               attribute(otlp, 'none'), attribute('x', 'y') FROM spans LIMIT 1";
    let cells = [Cell::Text("app".into()), Cell::Text(r#"["stop","length"]"#.into()), Cell::Null, Cell::Null];
    assert_eq!(query(sql, second).unwrap()[0].1, cells);

    for refused in [
        "DELETE FROM calls",
        "INSERT INTO outputs (name) VALUES ('x')",
        "UPDATE calls SET model = 'x'",
        "DROP TABLE calls",
        "CREATE TEMP TABLE t (a)",
        "ATTACH '/tmp/other.db' AS other",
        "VACUUM INTO '/tmp/copy.db'",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA hard_heap_limit = 0",
        "BEGIN",
        "SELECT load_extension('x')",
        "SELECT 1; SELECT 2",
        "SELECT ?1",
        "",
        "-- nothing",
    ] {
        let error = query(refused, second).unwrap_err();
        assert!(matches!(error, QueryError::Refused(_)), "{refused}: {error:?}");
    }
    for wrong in ["SELEC 1", "SELECT no_such_column FROM calls", "SELECT zeroblob(100000000)"] {
        let error = query(wrong, second).unwrap_err();
        assert!(matches!(error, QueryError::Sql(_)), "{wrong}: {error:?}");
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let error = query(endless, Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, QueryError::TooLong(_)), "{error:?}");
    assert_eq!(numbers(&path).len(), 10);
}

/// A journal at work, and the numbers that were said to be on disk.
fn journal(path: &Path, limits: Limits) -> (Journal, Arc<Mutex<Vec<u64>>>, Arc<Account>) {
    let (account, committed) = (Arc::new(Account::default()), Arc::<Mutex<Vec<u64>>>::default());
    let seen = Arc::clone(&committed);
    let told = move |spans: &[Arc<Delivery>]| seen.lock().unwrap().extend(spans.iter().map(|d| number(d)));
    let journal =
        Journal::open(path, limits, &["otlp".to_owned()], Arc::clone(&account), Box::new(told)).unwrap();
    (journal, committed, account)
}

#[tokio::test]
async fn an_output_gets_what_is_on_disk_and_marks_what_it_has_done_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, committed, account) = journal(&path, Limits::default());
    let mut backlog = journal.backlog(0).unwrap();
    assert!(journal.backlog(1).is_none());
    for n in 0..5 {
        journal.append(delivery(n));
    }
    journal.flush().await;
    assert_eq!(*committed.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert!(backlog.more().await);
    let ids = |entries: &[Entry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
    let first = backlog.next(2, usize::MAX).await.unwrap();
    assert_eq!(ids(&first), [1, 2]);
    assert_eq!(first[1].delivery.as_deref(), Some(&*delivery(1)));
    assert_eq!(ids(&backlog.next(10, 1).await.unwrap()), [3], "one at least");
    backlog.done(vec![1, 3]).await;
    backlog.back_to(0);
    assert_eq!(ids(&backlog.next(10, usize::MAX).await.unwrap()), [2, 4, 5]);
    assert_eq!(backlog.left().await, 3);
    assert!(backlog.next(10, usize::MAX).await.unwrap().is_empty());
    drop(backlog);
    tokio::task::spawn_blocking(|| journal.close()).await.unwrap();
    assert_eq!(account.get(Counter::SpansWritten), 5);
    assert!(!dir.path().join("journal.db-wal").exists(), "a journal that was closed is one file");

    // The next run has what is left.
    let (journal, _, account) = self::journal(&path, Limits::default());
    assert_eq!(account.get(Counter::SpansLeft), 3);
    let mut backlog = journal.backlog(0).unwrap();
    assert_eq!(ids(&backlog.next(10, usize::MAX).await.unwrap()), [2, 4, 5]);
}

#[tokio::test]
async fn the_queue_to_the_disk_is_bounded_and_never_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let limits = Limits { waiting_spans: 4, waiting_bytes: 64 << 10, ..Limits::default() };
    let (journal, committed, account) = journal(&path, limits);
    // Nobody else may write now, so nothing gets to the disk.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 0..10 {
        journal.append(delivery(n));
    }
    assert_eq!(account.get(Counter::SpansUnwritten), 6);
    other.execute_batch("ROLLBACK").unwrap();
    journal.flush().await;
    assert_eq!(*committed.lock().unwrap(), [0, 1, 2, 3]);
    journal.append(large(20, 1 << 20));
    journal.append(delivery(21));
    journal.flush().await;
    assert_eq!(committed.lock().unwrap().get(4), Some(&20), "a large one passes when nothing waits");
    for n in 30..60 {
        journal.append_waiting(delivery(n)).await;
    }
    journal.flush().await;
    assert_eq!(
        committed.lock().unwrap().iter().filter(|n| **n >= 30).count(),
        30,
        "nothing is lost by waiting"
    );
    let written = account.get(Counter::SpansWritten) + account.get(Counter::SpansUnwritten);
    assert_eq!(written, 10 + 2 + 30, "nothing is uncounted");
}

#[tokio::test]
async fn damage_that_shows_while_it_runs_costs_no_new_span() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (journal, committed, account) = journal(&path, Limits::default());
    let mut backlog = journal.backlog(0).unwrap();
    for n in 0..200 {
        journal.append(delivery(n));
    }
    journal.flush().await;
    let before = backlog.next(usize::MAX, usize::MAX).await.unwrap().len();
    assert_eq!(before, 200);
    // Into the database, out of the log; then overwritten behind its back, but for the first page.
    Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let length = fs::metadata(&path).unwrap().len() as usize;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0xa5; length - 4096], 4096).unwrap();
    drop(file);
    // A cached page may hide it from the writer, not from a reader that has none.
    *backlog.reader.lock().unwrap() = store::reader(&path).unwrap();
    backlog.back_to(0);
    assert!(backlog.next(10, usize::MAX).await.is_err());
    journal.append(delivery(500));
    journal.flush().await;
    assert_eq!(committed.lock().unwrap().last(), Some(&500));
    assert_eq!(account.get(Counter::JournalsDamaged), 1);
    assert!(dir.path().join("journal.db-corrupt").exists());
    backlog.back_to(200);
    let entries = backlog.next(10, usize::MAX).await.unwrap();
    assert_eq!(entries.len(), 1, "ids go on, so that no output takes a new call for an old one");
    assert_eq!(number(entries[0].delivery.as_ref().unwrap()), 500);
    drop(backlog);
    tokio::task::spawn_blocking(|| journal.close()).await.unwrap();
    assert_eq!((numbers(&path), sound(&path)), (vec![500], "ok".to_owned()));
}

#[test]
fn locations_are_parsed() {
    assert_eq!("none".parse(), Ok(Location::None));
    assert_eq!("/a/b.db".parse(), Ok(Location::File("/a/b.db".into())));
    assert!("".parse::<Location>().is_err());
}
