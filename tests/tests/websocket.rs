//! Sessions over WebSockets: a span for each response, with the values that were served, compressed or not.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::{
    harness::{AgentCommand, Command, Local, Report, Span, venv, workspace},
    provider::record::{Exchange, Protocol},
};
use serde_json::{Value, json};

/// A session of so many responses.
fn client(provider: &Local, api: &str, model: &str, count: usize, plain: bool) -> Command {
    let script = workspace().join("tests/clients/websocket_client.py");
    let command = Command::at(venv("python")).args([script]).args(["--url", &provider.url(), "--api", api]);
    let command = command
        .args(["--model", model, "--count", &count.to_string()])
        .env("SSL_CERT_FILE", provider.ca())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if plain { command.args(["--plain"]) } else { command }
}

/// The responses that the provider served over WebSockets.
fn served(provider: &Local) -> Vec<Exchange> {
    let mut calls = provider.calls();
    calls.retain(|call| call.protocol == Protocol::WebSocket);
    calls
}

/// The span says what was served, and no more.
fn assert_served(span: &Span, call: &Exchange, api: &str, model: &str, provider: &Local) {
    let facts = &call.facts;
    let usage = facts.usage.expect("it was told");
    let path = call.path.split('?').next().unwrap_or_default();
    let reason = if facts.finish_reasons == ["completed"] { "stop" } else { "length" };
    let expected = [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.provider.name", json!("openai")),
        ("plainspan.api", json!(format!("openai.{api}"))),
        ("gen_ai.request.model", json!(model)),
        ("gen_ai.request.stream", json!(true)),
        ("gen_ai.response.model", json!(facts.model)),
        ("gen_ai.response.finish_reasons", json!([reason])),
        ("plainspan.response.finish_reasons", json!(facts.finish_reasons)),
        ("gen_ai.usage.input_tokens", json!(usage.input)),
        ("gen_ai.usage.output_tokens", json!(usage.output)),
        ("gen_ai.usage.cache_read.input_tokens", json!(usage.cache_read)),
        ("plainspan.stream.chunks", json!(call.events)),
        ("plainspan.call.ended", json!("complete")),
        ("plainspan.capture.degraded", Value::Null),
        ("plainspan.contract.violations", Value::Null),
        ("error.type", Value::Null),
        ("http.response.status_code", json!(101)),
        ("url.path", json!(path)),
        ("server.address", json!("localhost")),
        ("server.port", json!(provider.port())),
    ];
    for (key, value) in expected {
        assert_eq!(span.get(key), &value, "{key} of {span:#?}");
    }
    assert_eq!(span.name, format!("chat {model}"));
}

/// The text of the messages that an attribute holds.
fn said(span: &Span, key: &str) -> String {
    let messages: Value =
        serde_json::from_str(span.get(key).as_str().unwrap_or("[]")).expect("messages are JSON");
    let parts = messages.as_array().into_iter().flatten().filter_map(|message| message["parts"].as_array());
    parts.flatten().filter_map(|part| part["content"].as_str()).collect()
}

fn report(provider: &Local, api: &str, model: &str, count: usize, plain: bool) -> (Report, Vec<Exchange>) {
    let before = served(provider).len();
    let command = client(provider, api, model, count, plain);
    let report = AgentCommand::new().args(["--content", "full"]).run(command).exited(0);
    let calls = served(provider).split_off(before);
    assert_eq!((calls.len(), report.spans.len()), (count, count), "{report:#?}");
    assert_eq!(report.account.bytes_not_captured(), 0, "{:#?}", report.account);
    (report, calls)
}

#[test]
fn responses_and_realtime_with_and_without_compression() {
    let provider = Local::new();
    let mut sessions = Vec::new();
    for (api, model) in
        [("responses", "test-cached"), ("realtime", "test-cached"), ("realtime", "test-length-events-40")]
    {
        for plain in [true, false] {
            let (report, calls) = report(&provider, api, model, 4, plain);
            for (turn, call) in calls.iter().enumerate() {
                let span = report.span(call.facts.id.as_deref().expect("each answer has an id"));
                assert_served(span, call, api, model, &provider);
                assert_eq!(said(span, "gen_ai.output.messages"), call.facts.texts[0], "{api} {plain} {turn}");
                // What is spoken is not kept.
                let written = api == "responses" || turn % 2 == 1;
                let asked = if written { format!("turn {turn}") } else { String::new() };
                assert_eq!(said(span, "gen_ai.input.messages"), asked, "{api} {plain} {turn}");
            }
            let session = report.spans[0].get("plainspan.session.id");
            assert!(session.as_str().is_some_and(|id| id.len() == 16), "{session}");
            assert!(
                report.spans.iter().all(|span| span.get("plainspan.session.id") == session),
                "{report:#?}"
            );
            assert!(!sessions.contains(session), "sessions share no name");
            sessions.push(session.clone());
        }
    }
}

#[test]
fn an_answer_over_many_frames_and_reads() {
    let provider = Local::new();
    let model = "test-big-600000-events-50";
    for (api, plain) in [("responses", true), ("realtime", false)] {
        let (report, calls) = report(&provider, api, model, 2, plain);
        for call in &calls {
            let span = report.span(call.facts.id.as_deref().expect("each answer has an id"));
            assert_served(span, call, api, model, &provider);
            assert!(call.facts.texts[0].len() > 500_000);
            assert_eq!(said(span, "gen_ai.output.messages"), call.facts.texts[0]);
        }
    }
}
