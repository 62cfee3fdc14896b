//! Recorded exchanges through all rooms: the spans depend on what was said, not on how it was moved, and a loss takes
//! values away but never makes one up.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
};

use plainspan::{
    account::Account,
    capture::{Close, CloseReason, ConnectionId, Data, Direction, Record},
    cli::replay::{
        Encoding, Entry, Exchange, Exchanges, Framing, ReplayOptions, Split, records, records_of_all,
    },
    contract::{Profile, Span, Value, names},
    genai::{Fact, Sources},
    pipeline::{Ids, Limits, Outcome, Pipeline, Spans},
    policy::{
        content::{Form, Key, Policy},
        fingerprint::Fingerprinter,
    },
    resource::Processes,
    time::Timestamp,
};

/// The folder of recorded exchanges; a test that can't find it fails and says what to do.
fn folder() -> PathBuf {
    let folder = env::var_os("PLAINSPAN_EXCHANGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/exchanges"), PathBuf::from);
    assert!(
        folder.is_dir(),
        "{}: no such folder: set PLAINSPAN_EXCHANGES to that of the recorded exchanges",
        folder.display()
    );
    folder
}

/// The recordings, in a fixed order.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "jsonl"));
    files.sort();
    files
}

/// Every recorded exchange.
fn exchanges() -> Vec<Exchange> {
    let mut all = Vec::new();
    for file in files() {
        for entry in Exchanges::open(&file).unwrap() {
            if let Entry::Exchange(exchange) = entry.unwrap() {
                all.push(exchange);
            }
        }
    }
    assert!(all.len() > 1000, "{} exchanges", all.len());
    all
}

/// Calls `f` with every exchange and its number, on all processors, and gives what it gave in their order.
fn each<T: Send>(exchanges: &[Exchange], f: impl Fn(usize, &Exchange) -> T + Sync) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(2, usize::from);
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let f = &f;
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                let part = exchanges.iter().enumerate().skip(worker).step_by(workers);
                scope.spawn(move || part.map(|(at, exchange)| (at, f(at, exchange))).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, item)| item).collect()
}

/// The spans of records, with content.
fn spans(records: impl IntoIterator<Item = Record>) -> Vec<Span> {
    let account = Arc::new(Account::default());
    let limits = Limits::default();
    let mut pipeline =
        Pipeline::new(&limits, Ids::Counted(0), Arc::clone(&account)).with_sources(Sources::with(&[]));
    let content = Policy::of(Form::Full, Arc::clone(&account));
    let processes = Processes::new("/nowhere", limits.resource);
    let fingerprinter =
        Fingerprinter::new(Some(Key::new(&[7; 32])), Fact::ALL.to_vec(), Arc::clone(&account));
    let mut spans = Spans::new(processes, content, Profile::DEFAULT, Vec::new(), account)
        .with_fingerprints(fingerprinter);
    let mut outcome = Outcome::default();
    for record in records {
        pipeline.record(record, &mut outcome);
    }
    assert_eq!(pipeline.open_calls(), 0, "every connection was closed");
    outcome.calls.drain(..).filter_map(|call| Some(spans.deliver(call)?.span)).collect()
}

/// Attributes by key.
fn attributes(span: &Span) -> BTreeMap<&str, &Value> {
    span.attributes.iter().map(|attribute| (attribute.key, &attribute.value)).collect()
}

/// What follows from when bytes were moved.
fn is_timing(key: &str) -> bool {
    [
        names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK.name(),
        names::PLAINSPAN_RESPONSE_TIME_TO_FIRST_CONTENT.name(),
        names::PLAINSPAN_STREAM_GAP_MAX.name(),
        names::PLAINSPAN_STREAM_GAP_MEAN.name(),
        names::PLAINSPAN_STREAM_STALLED.name(),
    ]
    .contains(&key)
}

/// What follows from the calls that were seen before, too.
fn is_learnt(key: &str) -> bool {
    [names::PLAINSPAN_FINGERPRINT_TEMPLATE.name(), names::PLAINSPAN_MODEL_REVISION_PREVIOUS.name()]
        .contains(&key)
}

/// All of a span that does not follow from how and when bytes were moved.
fn said(span: &Span) -> Span {
    let mut said = Span { start: Timestamp(0), end: Timestamp(0), ..span.clone() };
    said.attributes.retain(|attribute| {
        !is_timing(attribute.key)
            && !is_learnt(attribute.key)
            && attribute.key != names::NETWORK_PROTOCOL_VERSION.name()
    });
    said
}

/// The version of HTTP that each framing is.
fn assert_version(span: &Span, framing: Framing, context: &str) {
    let version = Value::String(if framing == Framing::H2 { "2" } else { "1.1" }.into());
    assert_eq!(span.get(names::NETWORK_PROTOCOL_VERSION.name()), Some(&version), "{context}");
}

/// Times that can be.
fn assert_times(span: &Span, context: &str) {
    assert!(span.start <= span.end, "{context}: it ends before it begins");
    let duration = span.end.since(span.start).as_secs_f64();
    for (key, value) in attributes(span) {
        if let (true, Value::Double(seconds)) = (is_timing(key), value) {
            assert!((0.0..=duration).contains(seconds), "{context}: {key} is {seconds} of {duration} s");
        }
    }
}

/// Ways to cut the bytes of each exchange at random.
const SPLITS: usize = 100;

#[test]
fn spans_do_not_depend_on_how_the_bytes_were_moved() {
    let exchanges = exchanges();
    let calls = each(&exchanges, |at, exchange| {
        let id = ConnectionId(at as u64);
        let plain = spans(records(exchange, id, &ReplayOptions::default()));
        assert!(plain.len() <= 1, "{}: {} spans of one exchange", exchange.source, plain.len());
        let framings = [Framing::H1, Framing::H2];
        let in_calls = framings
            .into_iter()
            .flat_map(|framing| Encoding::ALL.map(|encoding| (framing, encoding, Split::Calls)));
        let anyhow = (0..SPLITS).map(|seed| {
            (framings[seed % 2], Encoding::ALL[seed / 2 % 4], Split::Random((at * SPLITS + seed) as u64))
        });
        let ways = in_calls.chain(anyhow);
        for (framing, encoding, split) in ways {
            let options = ReplayOptions { framing, encoding, split, drop: 0.0 };
            let moved = spans(records(exchange, id, &options));
            let context = format!("{} with {options:?}", exchange.source);
            assert_eq!(moved.len(), plain.len(), "{context}");
            for (moved, plain) in moved.iter().zip(&plain) {
                assert_eq!(said(moved), said(plain), "{context}");
                assert_version(moved, framing, &context);
                assert_times(moved, &context);
            }
        }
        plain.len()
    });
    assert!(calls.iter().sum::<usize>() > 500, "{} calls", calls.iter().sum::<usize>());
}

#[test]
fn calls_say_whose_and_of_what_kind_they_are() {
    let exchanges = exchanges();
    let all = each(&exchanges, |at, exchange| {
        spans(records(exchange, ConnectionId(at as u64), &ReplayOptions::default()))
    });
    let with = |key: &str| all.iter().flatten().filter(|span| span.get(key).is_some()).count();
    for (key, least) in [
        (names::PLAINSPAN_FINGERPRINT_PROMPT.name(), 500),
        (names::PLAINSPAN_FINGERPRINT_TEMPLATE.name(), 100),
        (names::PLAINSPAN_FINGERPRINT_TOOL_SET.name(), 200),
        (names::PLAINSPAN_FINGERPRINT_TOOL_SEQUENCE.name(), 200),
        (names::PLAINSPAN_MODEL_ALIASED.name(), 500),
    ] {
        assert!(with(key) >= least, "{key}: {}", with(key));
    }
    let users: Vec<_> =
        all.iter().flatten().filter_map(|span| span.get(names::PLAINSPAN_IDENTITY_USER.name())).collect();
    assert_eq!(users, [&Value::String("user_id".into())], "the one request that names its user");
}

/// Is `part` what is left of `whole` when some runs are taken out of it? Both are messages in JSON: what a lost event
/// would have told is unknown, and arguments that lost a fragment are no JSON any more and so become a string.
fn is_left_of(part: &str, whole: &str) -> bool {
    let bare = |text: &str| -> String {
        // Arguments that are no JSON any more are written as a text.
        text.replace("\\n", "").chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\\')).collect()
    };
    let part = bare(part).replace(":unknown", ":").replace("finish_reason:error", "finish_reason:");
    let whole = bare(whole);
    let mut rest = whole.chars();
    part.chars().all(|c| rest.any(|r| r == c))
}

/// May a span that says that it is degraded have this value where the loss-free one has the other?
fn is_lesser(seen: &BTreeMap<&str, &Value>, key: &str, whole: Option<&Value>) -> bool {
    let is = |name: &str| key == name;
    let says = |key: &str, word: &str| matches!(seen.get(key), Some(Value::Strings(words)) if words.iter().any(|w| w == word));
    if key.starts_with("plainspan.capture.") || is(names::PLAINSPAN_CONTENT_CUT.name()) {
        return true;
    }
    let provider = [names::GEN_AI_PROVIDER_NAME.name(), names::GEN_AI_SYSTEM.name()];
    match (seen[key], whole) {
        // The host was named in what is lost.
        (Value::String(unknown), _) if provider.contains(&key) => {
            unknown == "unknown" && !seen.contains_key(names::SERVER_ADDRESS.name())
        }
        (Value::String(ended), _) if is(names::PLAINSPAN_CALL_ENDED.name()) => ended != "complete",
        // The status, where the error's own name is lost.
        (Value::String(error), Some(_)) if is(names::ERROR_TYPE.name()) => {
            matches!(seen.get(names::HTTP_RESPONSE_STATUS_CODE.name()), Some(Value::Int(status)) if status.to_string() == *error)
        }
        (Value::Strings(some), Some(Value::Strings(all)))
            if is(names::GEN_AI_RESPONSE_FINISH_REASONS.name()) =>
        {
            some.iter().all(|reason| all.contains(reason) || reason == "unknown" || reason == "error")
        }
        (Value::Strings(some), Some(Value::Strings(all)))
            if is(names::PLAINSPAN_RESPONSE_FINISH_REASONS.name()) =>
        {
            some.iter().all(|reason| all.contains(reason) || reason.is_empty())
        }
        (Value::Int(some), Some(Value::Int(all))) if is(names::PLAINSPAN_STREAM_CHUNKS.name()) => some <= all,
        (Value::Int(some), Some(Value::Int(all))) if key.starts_with("gen_ai.usage.") => {
            some <= all && says(names::PLAINSPAN_CAPTURE_DEGRADED.name(), "usage_partial")
        }
        (Value::String(some), Some(Value::String(all))) if is(names::GEN_AI_OUTPUT_MESSAGES.name()) => {
            is_left_of(some, all)
        }
        _ => false,
    }
}

/// What a span with losses says that the loss-free one does not, and that it may not say.
fn made_up(seen: &Span, whole: &Span) -> Vec<String> {
    let (of_seen, of_whole) = (attributes(seen), attributes(whole));
    let degraded = of_seen.contains_key(names::PLAINSPAN_CAPTURE_DEGRADED.name());
    let mut all: Vec<_> = of_seen
        .iter()
        .filter(|(key, value)| {
            let before = of_whole.get(*key).copied();
            let transport = **key == names::NETWORK_PROTOCOL_VERSION.name();
            let same = before == Some(**value) || is_timing(key) || is_learnt(key) || transport;
            !(same || degraded && is_lesser(&of_seen, key, before))
        })
        .map(|(key, value)| {
            format!("{key} is {value:?} and not {:?} (degraded: {degraded})", of_whole.get(key))
        })
        .collect();
    if !degraded && said(seen) != said(whole) {
        all.push("it lacks something and does not say that it is degraded".to_owned());
    }
    all
}

#[test]
fn losses_take_values_away_and_make_none_up() {
    let exchanges = exchanges();
    let counts = each(&exchanges, |at, exchange| {
        let id = ConnectionId(at as u64);
        let whole = spans(records(exchange, id, &ReplayOptions::default()));
        let mut counts = [0, 0];
        let mut wrong = Vec::new();
        for seed in 0..8 {
            let encoding = Encoding::ALL[if seed < 4 { 0 } else { (at + seed as usize) % 4 }];
            let split = if seed < 2 { Split::Calls } else { Split::Random(seed) };
            let framing = if seed % 2 == 0 { Framing::H1 } else { Framing::H2 };
            let options = ReplayOptions { framing, encoding, split, drop: 0.05 };
            let seen = spans(records(exchange, id, &options));
            let context = format!("{} with {options:?}", exchange.source);
            if seen.len() > whole.len() && !seen.iter().all(is_of_an_unknown_api) {
                wrong.push(format!("{context}: a call that was none"));
            }
            for (seen, whole) in seen.iter().zip(&whole) {
                assert_times(seen, &context);
                let made_up = made_up(seen, whole);
                if !made_up.is_empty() {
                    wrong.push(format!("{context}: {}", made_up.join("\n    ")));
                }
                let degraded = seen.get(names::PLAINSPAN_CAPTURE_DEGRADED.name()).is_some();
                counts[usize::from(degraded)] += 1;
            }
        }
        (counts, wrong)
    });
    let wrong: Vec<_> = counts.iter().flat_map(|(_, wrong)| wrong.clone()).collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.iter().map(String::as_str).take(20).collect::<Vec<_>>().join("\n")
    );
    let [whole, degraded] = counts.iter().fold([0, 0], |sum, (n, _)| [sum[0] + n[0], sum[1] + n[1]]);
    assert!(whole > 500 && degraded > 500, "{whole} whole, {degraded} degraded");
}

/// Puts exchanges one after the other on one connection; gives the times at which each begins, too.
fn keep_alive(exchanges: &[Exchange], options: &ReplayOptions, seed: u64) -> (Vec<Record>, Vec<u64>) {
    let (mut all, mut begins) = (Vec::new(), Vec::new());
    let (mut offsets, mut time) = ([0, 0], 0);
    let connection = ConnectionId(1);
    let mut last = None;
    for (at, exchange) in exchanges.iter().enumerate() {
        let (mut ended, mut first) = (None, None);
        // A connection's number chooses which of its records are lost.
        for record in records(exchange, ConnectionId(seed + at as u64), options) {
            match record {
                Record::Data(data) => {
                    let way = usize::from(data.direction == Direction::Received);
                    let first = *first.get_or_insert(data.time.0);
                    let shifted = Timestamp(time + data.time.0 - first);
                    let offset = offsets[way] + data.offset;
                    all.push(Record::Data(Data { connection, offset, time: shifted, ..data }));
                }
                Record::Close(close) => ended = Some(close),
                other => panic!("{other:?}"),
            }
        }
        let ended = ended.unwrap();
        begins.push(time);
        time += ended.time.0 - first.unwrap_or(ended.time.0) + 1;
        offsets = [offsets[0] + ended.sent.unwrap(), offsets[1] + ended.received.unwrap()];
        last = Some(ended);
    }
    let time = Timestamp(time);
    let (sent, received) = (Some(offsets[0]), Some(offsets[1]));
    all.push(Record::Close(Close {
        connection,
        time,
        reason: CloseReason::Freed,
        sent,
        received,
        ..last.unwrap()
    }));
    (all, begins)
}

#[test]
fn losses_on_a_kept_connection_mix_no_calls_up() {
    let mut exchanges = exchanges();
    // What a client would not send on with.
    exchanges.retain(|exchange| exchange.response.status != 101 && exchange.request.method != "CONNECT");
    let whole = each(&exchanges, |at, exchange| {
        spans(records(exchange, ConnectionId(at as u64), &ReplayOptions::default())).pop()
    });
    let kept: Vec<_> = exchanges.chunks(8).map(<[_]>::to_vec).collect();
    let (mut wrong, mut found) = (Vec::new(), 0);
    for (at, exchanges) in kept.iter().enumerate() {
        for (seed, drop) in [(1, 0.0), (2, 0.05), (3, 0.02), (4, 0.05)] {
            let split = if seed == 2 { Split::Calls } else { Split::Random(seed) };
            let options = ReplayOptions { split, drop, ..ReplayOptions::default() };
            let (records, begins) = keep_alive(exchanges, &options, seed * 10_000 + at as u64 * 8);
            for seen in spans(records) {
                let which = begins.partition_point(|begin| *begin <= seen.start.0) - 1;
                let context = format!("{} with {options:?}", exchanges[which].source);
                found += 1;
                match &whole[at * 8 + which] {
                    None => wrong.push(format!("{context}: a call that was none")),
                    Some(whole) => {
                        let ids = (whole.trace_id, whole.span_id);
                        let seen = Span { trace_id: ids.0, span_id: ids.1, ..seen };
                        let made_up = made_up(&seen, whole);
                        if !made_up.is_empty() {
                            wrong.push(format!("{context}: {}", made_up.join("\n    ")));
                        }
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.iter().map(String::as_str).take(20).collect::<Vec<_>>().join("\n")
    );
    assert!(found > 1000, "{found} calls");
}

/// Its path and its provider are unknown.
fn is_of_an_unknown_api(span: &Span) -> bool {
    let unknown = Value::String("unknown".into());
    span.get(names::URL_PATH.name()).is_none()
        && span.get(names::GEN_AI_PROVIDER_NAME.name()) == Some(&unknown)
}

/// Names an exchange by its number in a `traceparent` of its own, which is how its span is told from others.
fn marked(exchange: &Exchange, number: usize) -> Exchange {
    let mut marked = exchange.clone();
    marked.request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("traceparent"));
    let parent = format!("00-{:032x}-{:016x}-01", number + 1, number + 1);
    marked.request.headers.push(("traceparent".to_owned(), parent));
    marked
}

#[test]
fn exchanges_that_share_an_http2_connection_are_told_apart() {
    let mut exchanges = exchanges();
    exchanges.retain(|exchange| exchange.response.status != 101 && exchange.request.method != "CONNECT");
    let whole = each(&exchanges, |at, exchange| {
        let exchange = marked(exchange, at % 8);
        spans(records(&exchange, ConnectionId(at as u64), &ReplayOptions::default())).pop()
    });
    let shared: Vec<_> = exchanges
        .chunks(8)
        .map(|part| part.iter().enumerate().map(|(at, exchange)| marked(exchange, at)).collect::<Vec<_>>())
        .collect();
    let (mut wrong, mut found, mut nameless) = (Vec::new(), [0, 0], 0);
    for (at, exchanges) in shared.iter().enumerate() {
        let whole = &whole[at * 8..][..exchanges.len()];
        for (seed, drop) in [(1, 0.0), (2, 0.0), (3, 0.02), (4, 0.05), (5, 0.05)] {
            let split = if seed == 4 { Split::Calls } else { Split::Random(seed * 100 + at as u64) };
            let encoding = Encoding::ALL[(at + seed as usize) % 4];
            let options = ReplayOptions { framing: Framing::H2, encoding, split, drop };
            let seen = spans(records_of_all(exchanges, ConnectionId(at as u64), &options));
            let context = format!("connection {at} with {options:?}");
            if drop == 0.0 {
                assert_eq!(seen.len(), whole.iter().flatten().count(), "{context}");
            }
            for seen in seen {
                let number = u128::from_be_bytes(seen.trace_id) as usize;
                let named = seen.parent_span_id.is_some();
                let of = |whole: &Span| made_up(&Span { span_id: whole.span_id, ..seen.clone() }, whole);
                if named {
                    found[usize::from(drop > 0.0)] += 1;
                    match &whole[number - 1] {
                        // Of an API that is not read: its path was lost, and its answer is that of one which is.
                        None if is_of_an_unknown_api(&seen) => nameless += 1,
                        None => {
                            let source = &exchanges[number - 1].source;
                            wrong.push(format!("{context}: a call that was none: {source}: {seen:?}"));
                        }
                        Some(whole) => {
                            wrong.extend(
                                Some(of(whole))
                                    .filter(|w| !w.is_empty())
                                    .map(|w| format!("{context}: {w:?}")),
                            );
                        }
                    }
                } else {
                    // Its own name is among what was lost.
                    nameless += 1;
                    let is_of_one = is_of_an_unknown_api(&seen)
                        || whole.iter().flatten().any(|whole| of(whole).is_empty());
                    if drop == 0.0 || !is_of_one {
                        wrong.push(format!("{context}: {seen:?} is of none"));
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.iter().map(String::as_str).take(20).collect::<Vec<_>>().join("\n")
    );
    assert!(found[0] > 1000 && found[1] > 1000 && nameless > 10, "{found:?} named, {nameless} not");
}

#[test]
fn the_output_of_a_replay_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let input = files().into_iter().find(|f| f.to_string_lossy().contains("opentelemetry")).unwrap();
    let run = |name: &str| {
        let output = folder.path().join(name);
        let status = Command::new(env!("CARGO_BIN_EXE_plainspan"))
            .args(["replay", "--encoding", "zstd", "--split", "random:7", "--drop", "0.05", "-o"])
            .arg(format!("file:{}", output.display()))
            .arg(&input)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::read_to_string(output).unwrap()
    };
    let (first, second) = (run("first"), run("second"));
    assert!(first.lines().count() > 1, "{first}");
    assert!(first == second, "two replays differ");
}
