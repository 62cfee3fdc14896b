//! Recorded WebSocket sessions through all rooms: a span for each response, whatever the compression and the cuts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    sync::Arc,
};

use plainspan::{
    account::{Account, Counter},
    capture::{ConnectionId, Direction},
    cli::replay::{Encoding, Entry, Exchanges, ReplayOptions, Session, Split, records_of_session},
    contract::{Profile, Span, Value},
    pipeline::{Ids, Limits, Outcome, Pipeline, Spans},
    policy::content::{Form, Policy},
    resource::Processes,
    time::Timestamp,
};
use serde_json::Value as Json;

/// The sessions of a file.
fn sessions(file: &Path) -> Vec<Session> {
    let entries = Exchanges::open(file).unwrap();
    entries
        .map(|entry| match entry.unwrap() {
            Entry::Session(session) => session,
            Entry::Exchange(exchange) => panic!("{}: no session", exchange.source),
        })
        .collect()
}

/// One of our own.
fn ours(name: &str) -> Session {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions");
    sessions(&folder.join(name).with_extension("jsonl")).remove(0)
}

/// Those that were recorded between public clients and real providers.
fn recorded() -> Vec<Session> {
    let folder = env::var_os("PLAINSPAN_EXCHANGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/exchanges"), PathBuf::from);
    let file = folder.join("pydantic-ai-websocket.jsonl");
    assert!(file.is_file(), "{}: set PLAINSPAN_EXCHANGES to the folder of recordings", file.display());
    let mut all = sessions(&file);
    all.retain(|session| !session.url.is_empty());
    assert!(all.len() > 20, "{} sessions", all.len());
    all
}

/// The spans of a session, with content, and what was counted.
fn spans(session: &Session, options: &ReplayOptions) -> (Vec<Span>, Arc<Account>) {
    let account = Arc::new(Account::default());
    let limits = Limits::default();
    let mut pipeline = Pipeline::new(&limits, Ids::Counted(0), Arc::clone(&account));
    let content = Policy::of(Form::Full, Arc::clone(&account));
    let processes = Processes::new("/nowhere", limits.resource);
    let mut spans = Spans::new(processes, content, Profile::DEFAULT, Vec::new(), Arc::clone(&account));
    let mut outcome = Outcome::default();
    for record in records_of_session(session, ConnectionId(1), options) {
        pipeline.record(record, &mut outcome);
    }
    assert_eq!(pipeline.open_calls(), 0, "every connection was closed");
    (outcome.calls.drain(..).filter_map(|call| Some(spans.deliver(call)?.span)).collect(), account)
}

/// All of a span that does not follow from when bytes were moved.
fn said(span: &Span) -> Span {
    let mut said = Span { start: Timestamp(0), end: Timestamp(0), ..span.clone() };
    let timings = ["time_to_first", "stream.gap", "stream.stalled"];
    said.attributes.retain(|attribute| !timings.iter().any(|timing| attribute.key.contains(timing)));
    said
}

/// An attribute in short; `-` where there is none.
fn get(span: &Span, key: &str) -> String {
    match span.get(key) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Int(n)) => n.to_string(),
        Some(Value::Strings(list)) => list.join(","),
        Some(other) => format!("{other:?}"),
    }
}

fn all_of(span: &Span, keys: &[&str]) -> String {
    keys.iter().map(|key| get(span, key)).collect::<Vec<_>>().join(" ")
}

/// How a session may be moved without a byte missing.
fn ways() -> Vec<ReplayOptions> {
    let mut all = Vec::new();
    for encoding in [Encoding::Identity, Encoding::Gzip] {
        for split in [Split::Calls, Split::Every(7), Split::Random(1), Split::Random(2), Split::Random(3)] {
            all.push(ReplayOptions { encoding, split, ..ReplayOptions::default() });
        }
    }
    all
}

/// The same session in which compressed messages stand alone, on one side or on both.
fn without_takeover(session: &Session, parameters: &str) -> Session {
    let mut session = session.clone();
    let value = format!("permessage-deflate{parameters}");
    session.response_headers.push(("Sec-WebSocket-Extensions".to_owned(), value));
    session
}

#[test]
fn a_span_for_each_response_of_our_sessions() {
    let keys = [
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.audio.input_tokens",
        "gen_ai.usage.audio.output_tokens",
        "gen_ai.conversation.id",
        "gen_ai.request.max_tokens",
        "gen_ai.output.type",
        "plainspan.api",
        "plainspan.stream.chunks",
    ];
    let table = [
        (
            "responses",
            [
                "chat openai gpt-5 resp_1 tool_call 40 12 8 4 - - - - - openai.responses 5",
                "chat openai gpt-5 resp_2 stop 60 3 - - - - - - - openai.responses 4",
            ],
            ["Weather in Oslo?", "\"rain\""],
            [r#""name":"weather""#, "Rain."],
        ),
        (
            "realtime",
            [
                "chat openai gpt-realtime resp_1 stop 30 9 0 - 18 7 conv_1 - speech openai.realtime 5",
                "chat openai gpt-realtime resp_2 stop 50 2 0 - 18 0 conv_1 20 text openai.realtime 4",
            ],
            ["", "And in writing?"],
            ["Hello.", "Hello"],
        ),
        (
            "live",
            [
                "generate_content gcp.gemini gemini-live - tool_call 40 8 - - - - session_1 - speech google.live 2",
                "generate_content gcp.gemini gemini-live - stop 60 24 - 4 - 20 session_1 - speech google.live 5",
            ],
            ["Weather in Oslo?", r#"{"sky": "rain"}"#],
            [r#""name":"weather""#, "Rain."],
        ),
    ];
    for (name, expected, asked, answered) in table {
        let session = ours(name);
        let (plain, account) = spans(&session, &ReplayOptions::default());
        let shown: Vec<_> = plain.iter().map(|span| all_of(span, &keys)).collect();
        assert_eq!(shown, expected, "{name}");
        assert_eq!(account.get(Counter::UnknownValues), 0, "{name}");
        for ((span, asked), answered) in plain.iter().zip(asked).zip(answered) {
            assert!(
                get(span, "gen_ai.input.messages").contains(asked),
                "{name}: {}",
                get(span, "gen_ai.input.messages")
            );
            assert!(
                get(span, "gen_ai.output.messages").contains(answered),
                "{name}: {}",
                get(span, "gen_ai.output.messages")
            );
            assert_eq!(span.get("plainspan.capture.degraded"), None, "{name}");
            assert_eq!(span.get("plainspan.contract.violations"), None, "{name}");
            assert_eq!(span.get("error.type"), None, "{name}");
            assert_eq!(get(span, "plainspan.call.ended"), "complete", "{name}");
        }
    }
}

#[test]
fn compression_and_cuts_change_nothing() {
    let mut all: Vec<_> = ["responses", "realtime", "live"].map(ours).into();
    all.extend(recorded());
    for session in &all {
        let (plain, _) = spans(session, &ReplayOptions::default());
        let plain: Vec<_> = plain.iter().map(said).collect();
        let check = |session: &Session, options: &ReplayOptions| {
            let (found, account) = spans(session, options);
            let found: Vec<_> = found.iter().map(said).collect();
            assert!(found == plain, "{} {options:?}: {found:#?}\nwas {plain:#?}", session.source);
            let clean = [Counter::BytesUnparsed, Counter::MessagesUnread, Counter::MessagesCut];
            assert!(clean.iter().all(|counter| account.get(*counter) == 0), "{} {options:?}", session.source);
        };
        for options in ways() {
            check(session, &options);
        }
        let options = ReplayOptions { encoding: Encoding::Gzip, ..ReplayOptions::default() };
        for parameters in [
            "; server_no_context_takeover",
            "; client_no_context_takeover",
            "; client_no_context_takeover; server_no_context_takeover",
        ] {
            check(&without_takeover(session, parameters), &options);
        }
    }
}

/// What a message tells of the end of a response: its id, input and output tokens.
fn ended(message: &[u8]) -> Option<[String; 3]> {
    let message: Json = serde_json::from_slice(message).ok()?;
    let shown = |value: &Json| match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if message["type"] == "response.done" {
        let response = &message["response"];
        let usage = if message["usage"].is_object() { &message["usage"] } else { &response["usage"] };
        return Some([&response["id"], &usage["input_tokens"], &usage["output_tokens"]].map(shown));
    }
    let usage = &message["usageMetadata"];
    let sum = |keys: &[&str]| {
        let counts: Vec<_> = keys.iter().filter_map(|key| usage[*key].as_i64()).collect();
        if counts.is_empty() { "-".to_owned() } else { counts.iter().sum::<i64>().to_string() }
    };
    (message["serverContent"]["turnComplete"] == true).then(|| {
        let input = sum(&["promptTokenCount", "toolUsePromptTokenCount"]);
        let output = sum(&["responseTokenCount", "candidatesTokenCount", "thoughtsTokenCount"]);
        ["-".to_owned(), input, output]
    })
}

const ENDS: [&str; 3] = ["gen_ai.response.id", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"];

#[test]
fn recorded_sessions_say_what_the_wire_says() {
    let mut responses = 0;
    for session in recorded() {
        let (found, account) = spans(&session, &ReplayOptions::default());
        let received = session.messages.iter().filter(|message| message.direction == Direction::Received);
        let expected: Vec<_> = received.filter_map(|message| ended(&message.data)).collect();
        let complete = found.iter().filter(|span| get(span, "plainspan.call.ended") == "complete");
        let shown: Vec<_> = complete.map(|span| ENDS.map(|key| get(span, key))).collect();
        assert_eq!(shown, expected, "{}", session.source);
        assert_eq!(account.get(Counter::UnknownValues), 0, "{}", session.source);
        for span in &found {
            assert_ne!(get(span, "gen_ai.request.model"), "-", "{}: {span:#?}", session.source);
            assert_eq!(span.get("plainspan.capture.degraded"), None, "{}: {span:#?}", session.source);
            assert_eq!(span.get("plainspan.contract.violations"), None, "{}: {span:#?}", session.source);
        }
        responses += shown.len();
    }
    assert!(responses > 30, "{responses} responses");
}

/// A loss takes spans and values away, but no value is one that was not said in its response.
#[test]
fn losses_make_nothing_up() {
    let (mut damaged, mut whole) = (0, 0);
    for session in recorded() {
        let (plain, _) = spans(&session, &ReplayOptions::default());
        let by_id: BTreeMap<_, _> = plain.iter().map(|span| (get(span, ENDS[0]), span)).collect();
        for seed in 0..6 {
            let encoding = if seed % 2 == 0 { Encoding::Identity } else { Encoding::Gzip };
            let options = ReplayOptions {
                encoding,
                split: Split::Random(seed),
                drop: 0.01,
                ..ReplayOptions::default()
            };
            let (found, _) = spans(&session, &options);
            for span in &found {
                let context = format!("{} {options:?}: {span:#?}", session.source);
                let degraded = span.get("plainspan.capture.degraded").is_some();
                damaged += usize::from(degraded);
                whole += usize::from(!degraded);
                let id = get(span, ENDS[0]);
                let usage = ENDS[1..].iter().map(|key| get(span, key)).collect::<Vec<_>>();
                if id == "-" {
                    // Live has no ids: its counts are of one of the answers.
                    let any = plain.iter().any(|plain| {
                        ENDS[1..].iter().zip(&usage).all(|(key, n)| n == "-" || *n == get(plain, key))
                    });
                    assert!(any, "{context}");
                    continue;
                }
                let plain = by_id.get(&id).unwrap_or_else(|| panic!("{context}"));
                for (key, n) in ENDS[1..].iter().zip(&usage) {
                    assert!(n == "-" || *n == get(plain, key), "{context}");
                }
                let model = get(span, "gen_ai.request.model");
                assert!(model == "-" || model == get(plain, "gen_ai.request.model"), "{context}");
            }
        }
    }
    assert!(damaged > 20 && whole > 20, "{damaged} damaged, {whole} whole");
}
