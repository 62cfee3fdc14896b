//! Every recorded exchange, against what the providers' own libraries and documentation say of it (`tests/oracle`): which
//! calls it holds, and of each its provider, operation, models, id, finish reasons, counts of tokens and error. Where we and
//! they disagree, `tests/oracle/disagreements.json` says why; it has to be complete, and may have nothing that is settled.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
};

use plainspan_tests::harness::{Process, Span, agent, directory, parse_spans, recordings, venv, workspace};
use serde_json::{Value, json};

/// What is compared, beside every attribute that begins with [`USAGE`].
const COMPARED: [&str; 10] = [
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.system",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.finish_reasons",
    "plainspan.response.finish_reasons",
    "error.type",
];
const USAGE: &str = "gen_ai.usage.";

/// Stands for the span itself where attributes are named.
const SPAN: &str = "(span)";

/// Ways to move the same bytes: each framing, each encoding, and cuts at random.
const WAYS: [[&str; 3]; 5] = [
    ["h1", "identity", "random:11"],
    ["h1", "gzip", "random:12"],
    ["h2", "br", "random:13"],
    ["h2", "zstd", "random:14"],
    ["h2", "identity", "3"],
];

/// A call: its span's name and what is compared of it.
type Call = (String, BTreeMap<String, Value>);

/// What the oracle says of every recording, in its order.
fn oracle() -> Vec<(String, Vec<Call>)> {
    let script = workspace().join("tests/oracle/oracle.py");
    let mut command = Command::new(venv("python"));
    command.arg(&script).arg(recordings()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.output().expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let call = |told: &Value| {
        let name = told["name"].as_str().expect("every call has a name").to_owned();
        let attributes = told["attributes"].as_object().expect("and attributes");
        (name, attributes.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let text = String::from_utf8(output.stdout).expect("it writes UTF-8");
    text.lines()
        .map(|line| {
            let told: Value = serde_json::from_str(line).expect("it writes JSON lines");
            let source = told["source"].as_str().expect("every recording names its source");
            let calls = told["calls"].as_array().expect("the calls are an array");
            (source.to_owned(), calls.iter().map(call).collect())
        })
        .collect()
}

/// The spans of a replay, by the recording that they are of.
fn replay([framing, encoding, split]: [&str; 3]) -> BTreeMap<String, VecDeque<Call>> {
    let dir = directory();
    let path = dir.path().join("spans.jsonl");
    let mut files: Vec<PathBuf> = fs::read_dir(recordings())
        .expect("the recordings can be listed")
        .map(|entry| entry.expect("and read").path())
        .filter(|file| file.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    let mut command = agent();
    command
        .args(["replay", "--framing", framing, "--encoding", encoding, "--split", split])
        .args(["-o", &format!("file:{}", path.display())])
        .args(files);
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
    let text = fs::read_to_string(&path).expect("it wrote the file");
    let spans = parse_spans(&text).unwrap_or_else(|e| panic!("{e}"));
    let mut all = BTreeMap::<String, VecDeque<Call>>::new();
    for span in spans {
        let source = span.get("plainspan.replay.source").as_str().expect("every span names its source");
        all.entry(source.to_owned()).or_default().push_back(compared(&span));
    }
    all
}

/// What is compared of a span.
fn compared(span: &Span) -> Call {
    let is = |key: &str| COMPARED.contains(&key) || key.starts_with(USAGE);
    let attributes = span.attributes.iter().filter(|(key, _)| is(key));
    (span.name.clone(), attributes.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Where a span says something else than the oracle: what of which recording, what we say, and what the oracle says.
type Disagreement = (String, String, String, String);

fn disagreements(
    source: &str,
    ours: Option<&Call>,
    oracles: Option<&Call>,
    found: &mut BTreeSet<Disagreement>,
) {
    let mut differs = |what: &str, ours: Value, oracles: Value| {
        if ours != oracles {
            found.insert((source.to_owned(), what.to_owned(), ours.to_string(), oracles.to_string()));
        }
    };
    differs(SPAN, json!(ours.map(|call| &call.0)), json!(oracles.map(|call| &call.0)));
    let (Some(ours), Some(oracles)) = (ours, oracles) else { return };
    let keys: BTreeSet<&String> = ours.1.keys().chain(oracles.1.keys()).collect();
    for key in keys {
        let of = |call: &Call| call.1.get(key).cloned().unwrap_or_default();
        differs(key, of(ours), of(oracles));
    }
}

/// Those that are known and explained.
fn listed() -> BTreeSet<Disagreement> {
    let path = workspace().join("tests/oracle/disagreements.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut listed = BTreeSet::new();
    for one in &all {
        assert!(one["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "without a reason: {one}");
        let attribute = one["attribute"].as_str().expect("it names the attribute");
        for source in one["sources"].as_array().expect("and whose") {
            let source = source.as_str().expect("a recording's name").to_owned();
            let values = (one["plainspan"].to_string(), one["oracle"].to_string());
            let new = listed.insert((source, attribute.to_owned(), values.0, values.1));
            assert!(new, "stands there twice: {one}");
        }
    }
    listed
}

fn shown<'a>(disagreements: impl Iterator<Item = &'a Disagreement>) -> String {
    disagreements.fold(String::new(), |mut text, (source, what, ours, oracles)| {
        let _ = writeln!(text, "  {source}\n    {what}: plainspan {ours}, oracle {oracles}");
        text
    })
}

#[test]
fn spans_say_what_the_providers_own_libraries_read() {
    let oracle = oracle();
    let calls: usize = oracle.iter().map(|(_, calls)| calls.len()).sum();
    assert!(oracle.len() > 1300 && calls > 1300, "{calls} calls in {} recordings", oracle.len());
    let listed = listed();
    for way in WAYS {
        let mut spans = replay(way);
        let mut found = BTreeSet::new();
        for (source, calls) in &oracle {
            let mut ours = spans.remove(source).unwrap_or_default();
            for call in calls {
                disagreements(source, ours.pop_front().as_ref(), Some(call), &mut found);
            }
            for more in &ours {
                disagreements(source, Some(more), None, &mut found);
            }
        }
        assert!(spans.is_empty(), "spans of no recording: {spans:?}");
        let new = shown(found.difference(&listed));
        let settled = shown(listed.difference(&found));
        assert!(new.is_empty(), "{way:?}: the agent disagrees with the oracle, and nothing says why:\n{new}");
        assert!(settled.is_empty(), "{way:?}: listed, and no disagreement any more:\n{settled}");
    }
}
