//! Spans go through the journal: they outlive the agent and the collector's absence, each output has its own marks, and the history is
//! read back.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use plainspan_tests::harness::{
    AgentCommand, Client, Command, Finished, Local, Process, Receiver, agent, directory, free_port,
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// An agent with this journal, which sends to this collector.
fn collecting(journal: &Path, endpoint: &str) -> AgentCommand {
    let journal = journal.to_str().expect("its name is text");
    AgentCommand::new()
        .args(["-o", "otlp", "--journal", journal])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
}

fn client(provider: &Local, model: &str) -> Client {
    let mut client = Command::openai(provider, model).args(["--step"]).start();
    client.expect("ready");
    client
}

/// `plainspan calls` with this journal.
fn calls(journal: &Path, args: &[&str]) -> Finished {
    let mut process = agent();
    process.env("PLAINSPAN_JOURNAL", journal).env("TZ", "UTC").arg("calls").args(args);
    Process::start(process).wait()
}

fn objects(finished: &Finished) -> Vec<Value> {
    assert_eq!(finished.status.code(), Some(0), "{finished:#?}");
    finished.stdout.iter().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

fn journal_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("journal.db")
}

fn curl(provider: &Local, model: &str) -> Command {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "the secret of the test"}]});
    Command::curl(provider, "/v1/chat/completions", &body).args(["-o", "/dev/null"])
}

#[test]
fn what_a_collector_that_was_down_missed_comes_with_the_next_run_even_after_sigkill() {
    let (provider, dir) = (Local::new(), directory());
    let journal = journal_in(&dir);
    let receiver = Receiver::start();
    let endpoint = receiver.grpc();
    let receiver = receiver.stop_and_start_after(|| {
        // Nobody listens: one agent is killed, another one ends well.
        let mut asked = client(&provider, "before-kill");
        let mut agent = collecting(&journal, &endpoint).args(["--pid", &asked.pid().to_string()]).start();
        asked.step();
        asked.expect("done");
        agent.wait_for_spans(1);
        agent.kill();

        let report = collecting(&journal, &endpoint).run(curl(&provider, "before-end")).exited(0);
        assert_eq!(report.account.get("journal", "spans left from before"), 1, "{report:#?}");
        assert_eq!(report.account.get("journal", "spans kept for later"), 2, "{report:#?}");
        assert_eq!(report.account.get("export", "spans not delivered"), 0, "{report:#?}");
        let said =
            report.finished.stderr.iter().filter(|line| line.contains("2 kept in the journal")).count();
        assert_eq!(said, 1, "{report:#?}");
    });
    // What is kept is there at the end of the next run.
    let report = collecting(&journal, &endpoint).run(curl(&provider, "after")).exited(0);
    assert_eq!(report.account.get("journal", "spans left from before"), 2, "{report:#?}");
    assert_eq!(report.account.get("journal", "spans kept for later"), 0, "{report:#?}");
    let mut arrived: Vec<_> = receiver.stop().into_iter().map(|span| span.name).collect();
    arrived.sort();
    assert_eq!(arrived, ["chat after", "chat before-end", "chat before-kill"]);
    assert_eq!(report.spans.len(), 1, "the other output had the others already: {report:#?}");

    let kept = objects(&calls(&journal, &["--json"]));
    let models: Vec<_> = kept.iter().map(|call| call["attributes"]["gen_ai.request.model"].clone()).collect();
    assert_eq!(models, ["before-kill", "before-end", "after"]);
}

#[test]
fn a_collector_that_comes_back_while_the_agent_runs_gets_all() {
    let (provider, dir) = (Local::new(), directory());
    let receiver = Receiver::start();
    let mut asked = client(&provider, "m");
    let mut agent =
        collecting(&journal_in(&dir), &receiver.grpc()).args(["--pid", &asked.pid().to_string()]).start();
    let receiver = receiver.stop_and_start_after(|| {
        asked.step();
        asked.expect("done");
        agent.wait_for_spans(1);
    });
    let report = agent.stop().exited(0);
    assert_eq!(receiver.stop().len(), 1, "{report:#?}");
    assert_eq!(report.account.get("export", "spans delivered"), 2, "{report:#?}");
}

/// A collector over HTTP that answers as it is told, and then well.
struct Scripted {
    port: u16,
    /// When each request came, and how long it was.
    requests: Arc<Mutex<Vec<(Instant, usize)>>>,
}

/// Head of an answer, its body, and how long it takes.
type Answer = (String, Vec<u8>, Duration);

impl Scripted {
    fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                thread::spawn(move || answer(stream, &script, &seen));
            }
        });
        Self { port, requests }
    }

    /// An agent that sends to it.
    fn agent(&self, journal: &Path) -> AgentCommand {
        AgentCommand::new()
            .args(["-o", "otlp", "--journal", journal.to_str().expect("its name is text")])
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.port))
            // What it answers is meant for spans.
            .env("OTEL_METRICS_EXPORTER", "none")
    }

    fn times(&self) -> Vec<Instant> {
        self.requests.lock().expect("nobody panics with it").iter().map(|(time, _)| *time).collect()
    }
}

fn answer(stream: TcpStream, script: &Mutex<VecDeque<Answer>>, seen: &Mutex<Vec<(Instant, usize)>>) {
    let mut writer = stream.try_clone().expect("a socket can be cloned");
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        seen.lock().expect("nobody panics with it").push((Instant::now(), length));
        let next = script.lock().expect("nobody panics with it").pop_front();
        let (head, body, delay) =
            next.unwrap_or_else(|| ("200 OK\r\n".to_owned(), Vec::new(), Duration::ZERO));
        thread::sleep(delay);
        let text = format!("HTTP/1.1 {head}content-length: {}\r\n\r\n", body.len());
        if writer.write_all(text.as_bytes()).and_then(|()| writer.write_all(&body)).is_err() {
            return;
        }
    }
}

fn said(head: &str) -> Answer {
    (format!("{head}\r\n"), Vec::new(), Duration::ZERO)
}

#[test]
fn a_collector_that_throttles_is_left_alone_for_as_long_as_it_says() {
    let (provider, dir) = (Local::new(), directory());
    let throttled = said("429 Too Many Requests\r\nretry-after: 2");
    let collector = Scripted::start([throttled, said("503 Service Unavailable")]);
    let mut asked = client(&provider, "m");
    let agent = collector.agent(&journal_in(&dir)).args(["--pid", &asked.pid().to_string()]).start();
    asked.step();
    asked.expect("done");
    wait_until("three requests", || collector.times().len() >= 3);
    let times = collector.times();
    assert!(times[1] - times[0] >= Duration::from_secs(2), "{times:?}");
    let report = agent.stop().exited(0);
    assert_eq!(collector.times().len(), 3, "what was taken is not sent again");
    assert_eq!(report.account.get("export", "spans delivered"), 2, "{report:#?}");
    assert_eq!(report.account.get("journal", "spans kept for later"), 0, "{report:#?}");
}

#[test]
fn what_a_collector_rejects_or_refuses_is_counted_and_not_sent_again() {
    let (provider, dir) = (Local::new(), directory());
    // ExportTraceServiceResponse { partial_success: { rejected_spans: 1, error_message: "old" } }
    let partial = [0x0a, 0x07, 0x08, 0x01, 0x12, 0x03, b'o', b'l', b'd'];
    let rejected = ("200 OK\r\n".to_owned(), partial.to_vec(), Duration::ZERO);
    for (answer, why) in [(rejected, "old"), (said("400 Bad Request"), "HTTP status 400")] {
        let collector = Scripted::start([answer]);
        let report = collector.agent(&journal_in(&dir)).run(curl(&provider, "m"));
        assert_eq!(report.account.get("export", "spans not delivered"), 1, "{report:#?}");
        assert_eq!(report.account.get("journal", "spans kept for later"), 0, "{report:#?}");
        let complaints = report.finished.stderr.iter().filter(|l| l.contains(why)).count();
        assert_eq!(complaints, 1, "{report:#?}");
        assert_eq!(collector.times().len(), 1);
        // Nor by the next run.
        let report = collector.agent(&journal_in(&dir)).run(curl(&provider, "m")).exited(0);
        assert_eq!(report.account.get("journal", "spans left from before"), 0, "{report:#?}");
        assert_eq!(collector.times().len(), 2);
    }
}

#[test]
fn a_collector_that_is_slow_holds_up_nothing_else() {
    let (provider, dir) = (Local::new(), directory());
    let slow = || ("200 OK\r\n".to_owned(), Vec::new(), Duration::from_secs(4));
    let collector = Scripted::start([slow()]);
    let mut asked = client(&provider, "m");
    let mut agent = collector.agent(&journal_in(&dir)).args(["--pid", &asked.pid().to_string()]).start();
    asked.step();
    asked.expect("done");
    wait_until("a request", || !collector.times().is_empty());
    let asked_at = collector.times()[0];
    agent.wait_for_spans(1);
    let kept = objects(&calls(&journal_in(&dir), &["--json"]));
    assert_eq!(kept.len(), 1, "the history has it before the collector answers");
    assert!(asked_at.elapsed() < Duration::from_secs(4), "or the test is too slow to tell");
    let report = agent.stop().exited(0);
    assert_eq!(report.account.get("export", "spans delivered"), 2, "{report:#?}");
}

#[test]
fn two_agents_do_not_share_a_journal() {
    let (provider, dir) = (Local::new(), directory());
    let journal = journal_in(&dir);
    let named = journal.to_str().expect("its name is text");
    let mut asked = client(&provider, "m");
    let mut first = AgentCommand::new().args(["--journal", named, "--pid", &asked.pid().to_string()]).start();
    let second = AgentCommand::new().args(["--journal", named]).run(curl(&provider, "second")).exited(1);
    let holder = format!("in use by process {}", first.process().pid());
    let told: Vec<_> = second.finished.stderr.iter().filter(|line| line.contains(&holder)).collect();
    assert!(told.len() == 1 && told[0].contains("--journal none"), "{second:#?}");
    asked.step();
    asked.expect("done");
    first.wait_for_spans(1);
    first.stop().exited(0);
    AgentCommand::new().args(["--journal", named]).run(curl(&provider, "third")).exited(0);
    assert_eq!(objects(&calls(&journal, &["--json"])).len(), 2);
}

#[test]
fn a_damaged_journal_does_not_stop_an_agent() {
    let (provider, dir) = (Local::new(), directory());
    let journal = journal_in(&dir);
    fs::write(&journal, "no database\n".repeat(1000)).expect("it is ours");
    let report = AgentCommand::new()
        .args(["--journal", journal.to_str().expect("its name is text")])
        .run(curl(&provider, "m"))
        .exited(0);
    assert_eq!(report.spans.len(), 1);
    assert_eq!(report.account.get("journal", "databases moved aside, damaged"), 1, "{report:#?}");
    let told = report.finished.stderr.iter().filter(|line| line.contains("journal.db-corrupt")).count();
    assert_eq!(told, 1, "{report:#?}");
    assert!(
        fs::read_to_string(dir.path().join("journal.db-corrupt"))
            .expect("it was kept")
            .starts_with("no database")
    );
    assert_eq!(objects(&calls(&journal, &["--json"])).len(), 1);
}

#[test]
fn the_history_lists_filters_shows_and_answers_queries() {
    let (provider, dir) = (Local::new(), directory());
    let journal = journal_in(&dir);
    let named = journal.to_str().expect("its name is text");
    let curls: Vec<_> =
        ["one-a", "one-b", "test-error-429"].map(|model| curl(&provider, model).quoted()).into();
    let command = Command::shell(&curls.join("; "));
    AgentCommand::new().args(["--journal", named]).run(command).exited(0);
    let mode = fs::metadata(&journal).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    let list = calls(&journal, &[]);
    assert_eq!(list.status.code(), Some(0), "{list:#?}");
    assert_eq!(list.stdout.len(), 5, "{list:#?}");
    assert!(list.stdout[0].contains("ID  TIME"), "{list:#?}");
    assert!(list.stdout[2].trim_start().starts_with("1  ") && list.stdout[2].contains("one-a"), "{list:#?}");
    assert!(list.stdout[4].contains("ERROR rate_limit"), "{list:#?}");

    #[rustfmt::skip]
    let rows: [(&[&str], &[i64]); 8] = [
        (&["--model", "one-*"], &[1, 2]),
        (&["--status", "error"], &[3]),
        (&["--status", "ok", "-n", "1"], &[2]),
        (&["--service", "curl", "--since", "1h"], &[1, 2, 3]),
        (&["--until", "1h"], &[]),
        (&["--provider", "openai", "--operation", "chat", "--model", "one-b"], &[2]),
        (&["--longer", "1h"], &[]),
        (&["--since", "2020-01-01", "--model", "test-*"], &[3]),
    ];
    for (args, expected) in rows {
        let found = objects(&calls(&journal, &[args, &["--json"]].concat()));
        let ids: Vec<_> = found.iter().filter_map(|call| call["id"].as_i64()).collect();
        assert_eq!(ids, expected, "{args:?}");
    }
    let shown = calls(&journal, &["show", "2"]);
    assert!(
        shown.stdout.iter().any(|l| l.contains("gen_ai.request.model") && l.contains("one-b")),
        "{shown:#?}"
    );
    let missing = calls(&journal, &["show", "99"]);
    assert_eq!(missing.status.code(), Some(1), "{missing:#?}");
    assert!(missing.stderr.len() == 1 && missing.stderr[0].contains("there is no call 99"), "{missing:#?}");

    let sql = "SELECT status, count(*) AS n FROM calls GROUP BY 1 ORDER BY 1";
    let table = calls(&journal, &["--sql", sql]);
    assert_eq!(table.stdout, ["status  n", "error   1", "ok      2"], "{table:#?}");
    let rows = objects(&calls(&journal, &["--json", "--sql", sql]));
    assert_eq!(rows, [json!({"status": "error", "n": 1}), json!({"status": "ok", "n": 2})]);
    let refused = calls(&journal, &["--sql", "DELETE FROM calls"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:#?}");
    assert!(refused.stderr.len() == 1 && refused.stderr[0].contains("one SELECT"), "{refused:#?}");

    // Without --content, nothing of it is kept anywhere.
    for file in fs::read_dir(dir.path()).expect("it is there").flatten() {
        let bytes = fs::read(file.path()).expect("it can be read");
        assert!(!String::from_utf8_lossy(&bytes).contains("the secret of the test"), "{file:?}");
    }
}

#[test]
fn the_history_is_followed_while_it_grows() {
    let (provider, dir) = (Local::new(), directory());
    let journal = journal_in(&dir);
    let named = journal.to_str().expect("its name is text");
    AgentCommand::new().args(["--journal", named]).run(curl(&provider, "first")).exited(0);
    let mut process = agent();
    process.env("PLAINSPAN_JOURNAL", &journal).args(["calls", "--follow", "--json"]);
    let follow = Process::start(process);
    AgentCommand::new().args(["--journal", named]).run(curl(&provider, "second")).exited(0);
    // It looks four times a second.
    thread::sleep(Duration::from_secs(1));
    follow.signal(Signal::TERM);
    let models: Vec<Value> = follow
        .wait()
        .stdout
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("a JSON object a line"))
        .map(|call| call["attributes"]["gen_ai.request.model"].clone())
        .collect();
    assert_eq!(models, ["first", "second"]);
}

#[test]
fn without_a_journal_it_is_said_where_it_may_be() {
    let dir = directory();
    let ended = calls(&journal_in(&dir), &[]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.stderr.len() == 1 && ended.stderr[0].contains("no journal at"), "{ended:#?}");
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let provider = Local::new();
    // Turned off, nothing is kept.
    let report = AgentCommand::new()
        .args(["-o", "otlp", "--journal", "none"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .run(curl(&provider, "m"));
    assert_eq!(report.account.get("export", "spans not delivered"), 1, "{report:#?}");
    assert!(!journal_in(&dir).exists());
}
