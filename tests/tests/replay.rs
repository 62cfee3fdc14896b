//! `plainspan replay` over recorded traffic: every call and nothing else, the same every time, however the
//! bytes are cut and compressed. Needs no privileges.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use plainspan_tests::harness::{Process, Span, agent, directory, parse_spans, recorded_exchanges};
use serde_json::Value;

/// What was recorded, line by line.
fn exchanges() -> Vec<Value> {
    let text =
        |path: &PathBuf| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    recorded_exchanges()
        .iter()
        .flat_map(|f| text(f).lines().map(str::to_owned).collect::<Vec<_>>())
        .map(|l| serde_json::from_str(&l).expect("the recordings are JSON lines"))
        .collect()
}

/// Where the paths of calls end, in the APIs that are read.
const CALLS: [&str; 18] = [
    "/completions",
    "/embeddings",
    "/responses",
    "/v1/messages",
    ":generateContent",
    ":streamGenerateContent",
    "/converse",
    "/converse-stream",
    "/invoke",
    "/invoke-with-response-stream",
    ":embedContent",
    ":batchEmbedContents",
    "/v1/chat",
    "/v2/chat",
    "/v2/embed",
    "/rerank",
    "/api/chat",
    "/api/generate",
];

/// Is it a call of one of these APIs?
fn is_call(exchange: &Value) -> bool {
    let url = exchange["request"]["url"].as_str().unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let stored = exchange["request"]["method"] == "GET" && path.contains("/v1/responses/");
    stored || exchange["request"]["method"] == "POST" && CALLS.iter().any(|end| path.ends_with(end))
}

fn source(exchange: &Value) -> &str {
    exchange["source"].as_str().expect("every recording names its source")
}

/// The file that a replay writes, and its spans.
fn replay(options: &[&str]) -> (String, Vec<Span>) {
    let dir = directory();
    let path = dir.path().join("spans.jsonl");
    let mut command = agent();
    command
        .arg("replay")
        .args(options)
        .args(["-o", &format!("file:{}", path.display())])
        .args(recorded_exchanges());
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
    let text = fs::read_to_string(&path).expect("it wrote the file");
    let spans = parse_spans(&text).unwrap_or_else(|e| panic!("{e}"));
    (text, spans)
}

/// The value of the span's source attribute.
fn replayed(span: &Span) -> &str {
    span.get("plainspan.replay.source").as_str().expect("every span names its source")
}

/// A span without what depends on the moments at which its bytes came.
fn timeless(span: &Span) -> (String, BTreeMap<String, Value>) {
    let mut attributes = span.attributes.clone();
    attributes.retain(|k, _| {
        !k.contains("time_to_first")
            && !k.starts_with("plainspan.stream.gap")
            && k != "plainspan.stream.stalled"
    });
    (span.name.clone(), attributes)
}

/// The same without what earlier calls have a say in.
fn alone(span: &Span) -> (String, BTreeMap<String, Value>) {
    let (name, mut attributes) = timeless(span);
    attributes.remove("plainspan.fingerprint.template");
    attributes.remove("plainspan.model.revision.previous");
    (name, attributes)
}

#[test]
fn one_span_for_every_call_and_none_for_anything_else() {
    let recorded = exchanges();
    let calls: Vec<&str> = recorded.iter().filter(|e| is_call(e)).map(source).collect();
    assert!(calls.len() > 500, "the recordings have been read");
    let (text, spans) = replay(&[]);
    assert_eq!(text.lines().count(), spans.len(), "one span a line");
    let found: Vec<&str> = spans.iter().map(replayed).collect();
    let (wanted, there): (BTreeSet<_>, BTreeSet<_>) = (calls.iter().collect(), found.iter().collect());
    let missed: Vec<_> = wanted.difference(&there).collect();
    let invented: Vec<_> = there.difference(&wanted).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:#?}\ninvented {invented:#?}");
    assert_eq!(found, calls, "in the order of the input");
    let violations: Vec<_> =
        spans.iter().filter(|s| !s.get("plainspan.contract.violations").is_null()).map(replayed).collect();
    assert_eq!(violations, Vec::<&str>::new());
}

#[test]
fn the_same_every_time() {
    let (first, _) = replay(&[]);
    let (second, _) = replay(&[]);
    assert!(!first.is_empty());
    assert!(first == second, "two replays of the same files differ");
}

#[test]
fn however_it_is_cut_and_compressed() {
    let (_, plain) = replay(&[]);
    let wanted: Vec<_> = plain.iter().map(timeless).collect();
    for options in [
        ["--split", "random:1", "--encoding", "identity"],
        ["--split", "random:2", "--encoding", "gzip"],
        ["--split", "1000", "--encoding", "br"],
        ["--split", "random:3", "--encoding", "zstd"],
    ] {
        let (_, spans) = replay(&options);
        assert_eq!(spans.len(), wanted.len(), "{options:?}");
        for (span, wanted) in spans.iter().zip(&wanted) {
            assert_eq!(&timeless(span), wanted, "{options:?}");
        }
    }
}

#[test]
fn loss_is_told_and_makes_nothing_up() {
    let (_, whole) = replay(&[]);
    let whole: BTreeMap<&str, &Span> = whole.iter().map(|s| (replayed(s), s)).collect();
    let (_, spans) = replay(&["--split", "random:4", "--drop", "0.05"]);
    assert!(spans.len() > whole.len() / 2 && spans.len() <= whole.len());
    let mut damaged = 0;
    for span in &spans {
        let degraded = !span.get("plainspan.capture.degraded").is_null();
        let cut = span.get("plainspan.call.ended") != whole[replayed(span)].get("plainspan.call.ended");
        damaged += usize::from(degraded || cut);
        if !degraded && !cut {
            assert_eq!(alone(span), alone(whole[replayed(span)]), "a span that claims to be whole");
        }
        for exact in [
            "gen_ai.response.id",
            "gen_ai.response.model",
            "gen_ai.request.model",
            "gen_ai.provider.name",
            "plainspan.stream.chunks",
            "plainspan.stream.stalled",
            "plainspan.response.repetition.period",
            "plainspan.response.repetition.count",
        ] {
            let value = span.get(exact);
            assert!(
                value.is_null() || value == whole[replayed(span)].get(exact),
                "{exact} of {}",
                replayed(span)
            );
        }
    }
    assert!(damaged > 0, "something was dropped");
}

/// Is it odd, going by its span alone?
fn is_odd(span: &Span) -> bool {
    let reasons = span.get("gen_ai.response.finish_reasons").as_array().cloned().unwrap_or_default();
    !span.get("error.type").is_null()
        || !span.get("plainspan.capture.degraded").is_null()
        || !span.get("plainspan.stream.stopped_by").is_null()
        || span.get("plainspan.call.ended") != "complete"
        || reasons.iter().any(|reason| reason != "stop" && reason != "tool_call" && reason != "unknown")
}

/// Of the ordinary calls a tenth, of the odd ones all; and what is kept stands for what is not.
#[test]
fn sampling_keeps_the_odd_and_tells_how_many_there_were() {
    let (_, all) = replay(&[]);
    let (text, kept) = replay(&["--sample", "10%"]);
    assert_eq!(replay(&["--sample", "10%"]).0, text, "the same every time");
    assert!(all.len() > 1000 && kept.len() < all.len() * 2 / 3, "{} of {}", kept.len(), all.len());
    let sources: BTreeSet<_> = kept.iter().map(replayed).collect();
    let odd: Vec<_> = all.iter().filter(|span| is_odd(span)).collect();
    assert!(odd.len() > 50, "{}", odd.len());
    for span in odd {
        assert!(sources.contains(replayed(span)), "{}", replayed(span));
    }
    let mut reasons = BTreeMap::<&str, usize>::new();
    let (mut count, mut variance) = (0.0, 0.0);
    for span in &kept {
        let weight = span.get("plainspan.sampling.adjusted_count").as_f64().expect("every span has one");
        let reason = span.get("plainspan.sampling.reason").as_str().expect("every span has one");
        assert_eq!(weight > 1.0, reason == "rate", "{reason}: {weight}");
        assert!(!is_odd(span) || weight <= 1.0, "{span:#?}");
        *reasons.entry(reason).or_default() += 1;
        count += weight;
        variance += weight * (weight - 1.0);
    }
    let truth = all.len() as f64;
    assert!((count - truth).abs() < 4.0 * f64::sqrt(variance), "{count} for {truth}");
    for reason in
        ["error", "finish_reason", "new_template", "new_model_revision", "new_tool_set", "floor", "rate"]
    {
        assert!(reasons.contains_key(reason), "{reason}: {reasons:?}");
    }
    let thresholds: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split("\"traceState\":\"").nth(1))
        .filter_map(|state| state.split(['"', ',', ';']).next())
        .collect();
    assert_eq!(thresholds, BTreeSet::from(["ot=th:0", "ot=th:e666"]));
    assert!(all.iter().all(|span| span.get("plainspan.sampling.reason").is_null()), "it is off by default");
}

/// A gateway at a path of its own: no call, until a rule says of which API it is.
#[test]
fn rules_name_calls() {
    let dir = directory();
    let (input, output) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
    let exchange = serde_json::json!({
        "source": "gateway#1",
        "request": {"method": "POST", "url": "https://llm.example/ask/me", "headers": [["content-type", "application/json"]],
                    // {"model":"m","max_tokens":1,"messages":[]}
                    "body_b64": "eyJtb2RlbCI6Im0iLCJtYXhfdG9rZW5zIjoxLCJtZXNzYWdlcyI6W119"},
        "response": {"status": 200, "headers": [["content-type", "application/json"]],
                     // {"type":"message","id":"msg_1","model":"n","content":[]}
                     "body_b64": "eyJ0eXBlIjoibWVzc2FnZSIsImlkIjoibXNnXzEiLCJtb2RlbCI6Im4iLCJjb250ZW50IjpbXX0="},
    });
    fs::write(&input, format!("{exchange}\n")).expect("the directory is ours");
    for (rules, wanted) in [
        (&[][..], None),
        (&["--api-rule", "other.example/ask/**=anthropic.messages"], None),
        (&["--api-rule", "llm.example/ask/**=anthropic.messages"], Some("anthropic.messages")),
    ] {
        let _ = fs::remove_file(&output);
        let mut command = agent();
        command.arg("replay").args(rules).args(["-o", &format!("file:{}", output.display())]).arg(&input);
        let ended = Process::start(command).wait();
        assert!(ended.status.success(), "{ended:#?}");
        let spans =
            parse_spans(&fs::read_to_string(&output).unwrap_or_default()).unwrap_or_else(|e| panic!("{e}"));
        let found: Vec<_> = spans.iter().map(|span| span.get("plainspan.api").as_str()).collect();
        assert_eq!(found, wanted.map(Some).into_iter().collect::<Vec<_>>(), "{rules:?}");
        for span in &spans {
            assert_eq!(span.get("gen_ai.response.model"), "n", "{span:#?}");
        }
    }
}
