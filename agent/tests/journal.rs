//! The journal under SIGKILL: what was said to be on disk is there, whole, whenever the process that wrote it was killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and the child speaks to its parent"
)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use plainspan::{
    account::Account,
    contract::{Attribute, Delivery, Kind, Resource, Span, Status, Value},
    journal::{Filter, History, Journal, Limits},
    time::Timestamp,
};

/// Set for a child: where it writes, and the number of its first span.
const CHILD: &str = "PLAINSPAN_TEST_JOURNAL";
/// How often a writer is killed.
const ROUNDS: u64 = 25;
/// What a line begins with that says of a span that it is on disk.
const KEPT: &str = "kept ";

fn delivery(number: u64) -> Delivery {
    let attribute = |key, value| Attribute { key, value };
    Delivery {
        span: Span {
            trace_id: u128::from(number + 1).to_be_bytes(),
            span_id: (number + 1).to_be_bytes(),
            parent_span_id: None,
            link: None,
            flags: 1,
            trace_state: String::new(),
            name: format!("chat {number}"),
            kind: Kind::Client,
            start: Timestamp(number),
            end: Timestamp(number + 1),
            attributes: vec![attribute(
                "gen_ai.input.messages",
                Value::String(format!("{number} ").repeat((number % 97) as usize * 20)),
            )],
            status: Status::Unset,
        },
        resource: Arc::new(Resource {
            attributes: vec![attribute("service.name", Value::String("app".into()))],
            extra: vec![],
        }),
    }
}

/// No test of its own: the process that the other one kills.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (first, path) = told.split_once(' ').unwrap();
    let first: u64 = first.parse().unwrap();
    let committed = |spans: &[Arc<Delivery>]| {
        let mut lines = String::new();
        for delivery in spans {
            let _ = writeln!(lines, "{KEPT}{}", u64::from_be_bytes(delivery.span.span_id) - 1);
        }
        std::io::stdout().write_all(lines.as_bytes()).unwrap();
    };
    let limits = Limits { gather: Duration::from_millis(2), ..Limits::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let outputs = ["otlp".to_owned()];
        let journal =
            Journal::open(path.as_ref(), limits, &outputs, Arc::new(Account::default()), Box::new(committed))
                .unwrap();
        // An output that does its part meanwhile, of every other span.
        let mut backlog = journal.backlog(0).unwrap();
        tokio::spawn(async move {
            loop {
                let entries = backlog.next(50, 1 << 20).await.unwrap();
                let done: Vec<i64> = entries.iter().map(|entry| entry.id).filter(|id| id % 2 == 0).collect();
                if !done.is_empty() {
                    let mut names = String::new();
                    for id in &done {
                        let _ = writeln!(names, "done {id}");
                    }
                    backlog.done(done).await;
                    std::io::stdout().write_all(names.as_bytes()).unwrap();
                }
                if entries.is_empty() && !backlog.more().await {
                    break;
                }
            }
        });
        for number in first.. {
            // Few enough for all of them to be looked at after each kill.
            if number % 8 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            journal.append_waiting(Arc::new(delivery(number))).await;
        }
    });
}

/// What the child said until it was killed, `after` its first word.
fn killed(path: &Path, first: u64, after: Duration) -> (Vec<u64>, Vec<i64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{first} {}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut kept, mut done) = (Vec::new(), Vec::new());
    let mut read = |line: &str| {
        if let Some(number) = line.strip_prefix(KEPT) {
            kept.push(number.parse().unwrap());
        } else if let Some(id) = line.strip_prefix("done ") {
            done.push(id.parse().unwrap());
        }
    };
    let begun = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with(KEPT));
    read(&begun.unwrap());
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may be torn, and says nothing then.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    for line in &rest[..rest.len().saturating_sub(1)] {
        read(line);
    }
    (kept, done)
}

#[test]
fn what_was_said_to_be_on_disk_survives_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let (mut kept, mut done) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..ROUNDS {
        // Moments that have nothing to do with those of the writer.
        let after = Duration::from_micros((round * 7919) % 60_000);
        let (said, marked) = killed(&path, round * 1_000_000, after);
        assert!(!said.is_empty());
        kept.extend(said);
        done.extend(marked);

        let db = rusqlite::Connection::open(&path).unwrap();
        let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok", "round {round}");
        let wrong: i64 = db
            .query_row(
                "SELECT count(*) FROM calls WHERE waiting <> (SELECT count(*) FROM pending WHERE call = calls.id)
                 OR NOT EXISTS (SELECT 1 FROM spans WHERE spans.id = calls.id)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(wrong, 0, "a call, its span and its marks are there or not, together; round {round}");
        let redone: BTreeSet<i64> = db
            .prepare("SELECT call FROM pending")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(redone.intersection(&done).count(), 0, "what was said to be marked is, round {round}");
    }
    let history = History::open(&path).unwrap();
    let mut found = BTreeSet::new();
    for call in history.last(&Filter::default(), usize::MAX).unwrap() {
        let number = u64::from_be_bytes(call.delivery.span.span_id) - 1;
        assert_eq!(call.delivery, delivery(number));
        assert!(found.insert(number), "{number} is there twice");
    }
    assert_eq!(kept.difference(&found).next(), None, "of {} that were said to be kept", kept.len());
}
