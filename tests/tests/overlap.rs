//! Names were changed, and consumers of the older and of the newer ones read every value right; a profile that leaves one side out is
//! misread by that side. The older side is a real backend, arize-phoenix. Needs no privileges.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use plainspan_tests::harness::{
    Phoenix, Process, Shown, Span, agent, directory, parse_spans, recorded_exchanges, recordings, venv,
    workspace,
};
use serde_json::Value;

/// What a consumer makes of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    provider: Option<String>,
    model: Option<String>,
    input: Option<i64>,
    output: Option<i64>,
    cache_write: Option<i64>,
    /// Why the first answer ended.
    reason: Option<String>,
    /// The beginning of the first answer's text, or the tool that it calls.
    answer: Option<String>,
}

/// A recorded call: file, source, and what was on the wire: provider, model, input tokens with the cached ones, output tokens, those written to the cache,
/// finish reason in the contract's words, answer.
type Recorded = (&'static str, &'static str, [&'static str; 2], [i64; 2], Option<i64>, [&'static str; 2]);

#[rustfmt::skip]
const RECORDED: [Recorded; 7] = [
    ("openllmetry", "traceloop/openllmetry:packages/traceloop-sdk/tests/cassettes/test_tasks/test_task_io_serialization_with_langchain.yaml#0",
        ["openai", "gpt-3.5-turbo"], [19, 1], None, ["stop", "Yes"]),
    ("openllmetry", "traceloop/openllmetry:packages/opentelemetry-instrumentation-openai/tests/traces/cassettes/test_responses/test_responses_reasoning.yaml#0",
        ["openai", "gpt-5-nano"], [11, 327], None, ["stop", "3"]),
    // Streams.
    ("opentelemetry-python-contrib", "open-telemetry/opentelemetry-python-contrib:instrumentation-genai/opentelemetry-instrumentation-openai-v2/tests/cassettes/test_chat_completion_streaming.yaml#0",
        ["openai", "gpt-4"], [12, 5], None, ["stop", "\"This is a test.\""]),
    ("pydantic-ai", "pydantic/pydantic-ai:tests/cassettes/test_dbos/test_complex_agent_run_sequential_tool.yaml#0",
        ["openai", "gpt-4o"], [364, 40], None, ["tool_call", "get_country"]),
    // 4 and 1165 written to the cache.
    ("openllmetry", "traceloop/openllmetry:packages/opentelemetry-instrumentation-anthropic/tests/cassettes/test_prompt_caching/test_anthropic_prompt_caching_stream_legacy.yaml#0",
        ["anthropic", "claude-3-5-sonnet-20240620"], [1169, 201], Some(1165), ["stop", "Here are concise summaries of the"]),
    // 7 and 1069.
    ("pydantic-ai", "pydantic/pydantic-ai:tests/cassettes/test_tool_search/test_anthropic_to_google_deferred_capability_history_replay.yaml#1",
        ["anthropic", "claude-sonnet-4-5"], [1076, 60], Some(1069), ["tool_call", "lookup_refund_policy"]),
    ("pydantic-ai", "pydantic/pydantic-ai:tests/models/cassettes/test_anthropic/test_anthropic_prompted_output.yaml#0",
        ["anthropic", "claude-sonnet-4-5"], [459, 38], Some(0), ["tool_call", "get_user_country"]),
];

/// How much of an answer is compared, in characters.
const BEGINNING: usize = 33;

fn beginning(text: &str) -> String {
    text.chars().take(BEGINNING).collect()
}

/// What a consumer sees that misses nothing.
fn recorded() -> BTreeMap<String, Seen> {
    let own = |text: &str| Some(text.to_owned());
    let rows = RECORDED.iter().map(
        |(_, source, [provider, model], [input, output], cache_write, [reason, answer])| {
            let seen = Seen {
                provider: own(provider),
                model: own(model),
                input: Some(*input),
                output: Some(*output),
                cache_write: *cache_write,
                reason: own(reason),
                answer: own(answer),
            };
            ((*source).to_owned(), seen)
        },
    );
    rows.collect()
}

fn file(name: &str) -> PathBuf {
    recordings().join(format!("{name}.jsonl"))
}

/// A file of those recordings alone.
fn chosen(dir: &Path) -> PathBuf {
    let mut lines = String::new();
    for (name, source, ..) in RECORDED {
        let text = fs::read_to_string(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let marked = format!("{source:?}");
        let line = text.lines().find(|line| line.contains(&marked)).unwrap_or_else(|| panic!("no {source}"));
        lines.push_str(line);
        lines.push('\n');
    }
    let path = dir.join("chosen.jsonl");
    fs::write(&path, lines).expect("the directory is ours");
    path
}

/// Replays the files with content under a profile, to the file that is returned and to the backend, if there is one.
fn replay(profile: &str, files: &[PathBuf], dir: &Path, backend: Option<(&Phoenix, &str)>) -> PathBuf {
    let path = dir.join(format!("{profile}-{}.jsonl", files.len()));
    let mut command = agent();
    command.args(["replay", "--content", "span", "--contract", profile]);
    command.args(["-o", &format!("file:{}", path.display())]);
    if let Some((backend, project)) = backend {
        command
            .args(["-o", "otlp"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", backend.grpc())
            .env("OTEL_RESOURCE_ATTRIBUTES", format!("openinference.project.name={project}"));
    }
    command.args(files);
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
    path
}

fn sent(path: &Path) -> Vec<Span> {
    let text = fs::read_to_string(path).expect("it wrote the file");
    parse_spans(&text).unwrap_or_else(|e| panic!("{e}"))
}

/// What the consumer of newer names makes of a file.
fn newest(path: &Path) -> BTreeMap<String, Seen> {
    let mut command = std::process::Command::new(venv("python"));
    command.arg(workspace().join("tests/receivers/newest.py")).arg(path);
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
    let rows = ended.stdout.iter().map(|line| {
        let row: Value = serde_json::from_str(line).expect("it prints JSON lines");
        let text = |key: &str| row[key].as_str().map(str::to_owned);
        let seen = Seen {
            provider: text("provider"),
            model: text("model"),
            input: row["input"].as_i64(),
            output: row["output"].as_i64(),
            cache_write: row["cache_write"].as_i64(),
            reason: text("reason"),
            answer: text("answer").as_deref().map(beginning),
        };
        (text("source").expect("it names the source"), seen)
    });
    rows.collect()
}

/// What the backend makes of its spans.
fn older(spans: &[Shown]) -> BTreeMap<String, Seen> {
    let rows = spans.iter().map(|span| {
        let text = |key: &str| Some(span.get(key)?.as_str()?.to_owned());
        let message = |key: &str| text(&format!("llm.output_messages.0.message.{key}"));
        let called = || message("tool_calls.0.tool_call.function.name");
        // A message of several parts has its texts apart.
        let parted = || message("contents.0.message_content.text");
        let seen = Seen {
            provider: text("llm.provider"),
            model: text("llm.model_name"),
            input: span.get("llm.token_count.prompt").and_then(Value::as_i64),
            output: span.get("llm.token_count.completion").and_then(Value::as_i64),
            cache_write: span.get("llm.token_count.prompt_details.cache_write").and_then(Value::as_i64),
            reason: message("finish_reason"),
            answer: message("content").or_else(parted).or_else(called).as_deref().map(beginning),
        };
        (text("plainspan.replay.source").expect("it keeps what it was sent"), seen)
    });
    rows.collect()
}

/// Each of the calls with what a consumer does not get to see taken away.
fn without(hide: fn(&mut Seen)) -> BTreeMap<String, Seen> {
    let mut calls = recorded();
    calls.values_mut().for_each(hide);
    calls
}

#[test]
fn a_consumer_of_newer_names_reads_every_value_unless_it_is_pinned_away() {
    let dir = directory();
    let files = [chosen(dir.path())];
    for profile in ["overlap", "current", "0.1.0"] {
        let seen = newest(&replay(profile, &files, dir.path(), None));
        assert_eq!(seen, recorded(), "{profile}");
    }
    let seen = newest(&replay("otel-1.41", &files, dir.path(), None));
    assert_eq!(
        seen,
        without(|seen| {
            seen.provider = None;
            seen.cache_write = None;
        })
    );
}

#[test]
fn every_export_says_which_names_it_has() {
    let dir = directory();
    let files = [chosen(dir.path())];
    for (profile, schema_url, version) in [
        ("overlap", "https://plainspan.dev/schemas/", None),
        ("current", "https://plainspan.dev/schemas/", None),
        ("0.1.0", "https://plainspan.dev/schemas/0.1.0", Some("0.1.0")),
        ("otel-1.41", "https://opentelemetry.io/schemas/1.41.0", None),
    ] {
        let spans = sent(&replay(profile, &files, dir.path(), None));
        assert_eq!(spans.len(), RECORDED.len());
        for span in spans {
            assert!(span.schema_url.starts_with(schema_url), "{profile}: {}", span.schema_url);
            let said = span.get("plainspan.contract.version").as_str().expect("it is required");
            assert!(version.is_none_or(|version| version == said), "{profile}: {said}");
            assert!(span.get("plainspan.contract.violations").is_null(), "{profile}: {span:#?}");
        }
    }
    let mut command = agent();
    command.args(["replay", "--contract", "0.0.9"]).args(&files);
    let ended = Process::start(command).wait();
    assert_eq!(ended.status.code(), Some(2));
    let said = ended.stderr.join("\n");
    assert!(said.contains("`0.0.9` is no profile") && said.contains("overlap, current"), "{said}");
}

/// One backend for all profiles, each in a project of its own: it takes long to start.
#[test]
fn a_backend_of_older_names_reads_every_value_unless_it_gets_newer_ones_only() {
    let dir = directory();
    let files = [chosen(dir.path())];
    let backend = Phoenix::start();
    let shown = |profile: &str| {
        let project = profile.replace('.', "-");
        replay(profile, &files, dir.path(), Some((&backend, &project)));
        let seen = older(&backend.spans(&project, RECORDED.len()));
        backend.forget(&project);
        seen
    };
    for profile in ["overlap", "otel-1.41", "0.1.0"] {
        assert_eq!(shown(profile), recorded(), "{profile}");
    }
    // It drops messages without a finish reason, and knows the tokens written to the cache by their older name.
    assert_eq!(
        shown("current"),
        without(|seen| {
            seen.cache_write = None;
            seen.reason = None;
            seen.answer = None;
        })
    );

    // All that was ever recorded, by the default profile.
    let all = recorded_exchanges();
    let sent = sent(&replay("overlap", &all, dir.path(), Some((&backend, "all"))));
    let shown = backend.spans("all", sent.len());
    assert_eq!(shown.len(), sent.len());
    let shown: BTreeMap<&str, &Shown> = shown
        .iter()
        .filter_map(|span| Some((span.get("plainspan.replay.source")?.as_str()?, span)))
        .collect();
    let mut compared = BTreeMap::new();
    for span in &sent {
        let source = span.get("plainspan.replay.source").as_str().expect("it names its source");
        let shown = shown.get(source).unwrap_or_else(|| panic!("{source} is not shown"));
        for (ours, theirs) in [
            ("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
            ("gen_ai.usage.output_tokens", "llm.token_count.completion"),
            ("gen_ai.usage.cache_read.input_tokens", "llm.token_count.prompt_details.cache_read"),
            ("gen_ai.usage.cache_write.input_tokens", "llm.token_count.prompt_details.cache_write"),
        ] {
            let (ours, theirs) = (span.get(ours), shown.get(theirs).unwrap_or(&Value::Null));
            assert_eq!(ours, theirs, "{source}");
            *compared.entry("counts").or_default() += usize::from(!ours.is_null());
        }
        let messages = span.get("gen_ai.output.messages").as_str().unwrap_or("[]");
        let messages: Vec<Value> = serde_json::from_str(messages).expect("content is JSON");
        for (at, message) in messages.iter().enumerate() {
            for key in ["role", "finish_reason"] {
                let theirs = shown.get(&format!("llm.output_messages.{at}.message.{key}"));
                assert_eq!(theirs, Some(&message[key]), "{source}: {key} of message {at}");
            }
            *compared.entry("messages").or_default() += 1;
        }
        assert!(shown.contains_key("llm.provider") || shown.contains_key("llm.system"), "{source}");
    }
    let enough = |what: &str| compared.get(what).copied().unwrap_or(0usize) > 1000;
    assert!(enough("counts") && enough("messages"), "{compared:?}");
}
