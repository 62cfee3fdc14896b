//! Every API, plain and streamed, called by the real clients: the whole span, against what the provider says
//! it was sent and sent.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Expected, Local, assert_span};
use serde_json::{Value, json};

/// Runs the command under the agent and holds every span against the provider's record; `status` is the
/// command's own.
fn check(provider: &Local, command: Command, calls: usize, status: i32) {
    // curl does not tell its process id, the shell that becomes curl does.
    let python = command.args.first().is_some_and(|a| a.to_string_lossy().contains("clients"));
    let started = if python { command.clone() } else { command.telling() };
    let mut agent = AgentCommand::new().start_with(started);
    let parent = agent.process().pid();
    let report = agent.wait().exited(status);
    let pid = report.finished.pid();
    let exchanges = provider.calls();
    assert_eq!((exchanges.len(), report.spans.len()), (calls, calls), "{report:#?}");
    for exchange in &exchanges {
        let span = match &exchange.facts.id {
            Some(id) => report.span(id),
            None => &report.spans[0],
        };
        assert_span(span, &Expected::of(exchange, provider, &command, pid, parent));
    }
    for done in report.finished.done() {
        let known = exchanges.iter().find(|e| json!(e.facts.id) == done["id"]).expect("it came from here");
        assert_eq!(done["texts"], json!(known.facts.texts));
    }
}

macro_rules! sdk {
    ($($test:ident: $client:ident, $model:literal, [$($option:literal),*], $calls:literal, $status:literal;)+) => {
        $(
            #[test]
            fn $test() {
                let provider = Local::new();
                let options: &[&str] = &[$($option),*];
                check(&provider, Command::$client(&provider, $model).args(options), $calls, $status);
            }
        )+
    };
}

sdk! {
    openai_plain: openai, "gpt-4o-mini", ["--rich"], 1, 0;
    openai_streamed: openai, "test-cached-reason", ["--stream", "--usage"], 1, 0;
    openai_streamed_without_usage: openai, "test-length", ["--stream", "--rich"], 1, 0;
    openai_async_plain: openai, "test-tool", ["--asynchronous", "--tools"], 1, 0;
    openai_async_streamed: openai, "test-slow-30", ["--asynchronous", "--stream", "--usage", "--choices", "3"], 1, 0;
    openai_many_on_one_connection: openai, "test-events-9", ["--count", "5"], 5, 0;
    openai_many_streamed: openai, "test-events-9", ["--stream", "--count", "5"], 5, 0;
    openai_tool_streamed: openai, "test-tool", ["--stream", "--usage", "--tools"], 1, 0;
    openai_filtered: openai, "test-filter", [], 1, 0;
    openai_rate_limited: openai, "test-error-429", [], 1, 1;
    openai_bad_request: openai, "test-error-400", ["--stream"], 1, 1;
    openai_down: openai, "test-error-500", [], 1, 1;
    anthropic_plain: anthropic, "claude-sonnet-5", ["--rich"], 1, 0;
    anthropic_streamed: anthropic, "test-cached", ["--stream", "--rich"], 1, 0;
    anthropic_async_plain: anthropic, "test-tool-cached", ["--asynchronous", "--tools"], 1, 0;
    anthropic_async_streamed: anthropic, "test-slow-30", ["--asynchronous", "--stream"], 1, 0;
    anthropic_many_on_one_connection: anthropic, "test-length", ["--count", "5"], 5, 0;
    anthropic_many_streamed: anthropic, "test-cached", ["--stream", "--count", "5"], 5, 0;
    anthropic_tool_streamed: anthropic, "test-tool", ["--stream", "--tools"], 1, 0;
    anthropic_refused: anthropic, "test-filter", ["--stream"], 1, 0;
    anthropic_overloaded: anthropic, "test-error-529", ["--stream"], 1, 1;
}

/// curl itself ends well whatever the HTTP status is.
fn curl(path: &str, body: &Value) {
    let provider = Local::new();
    check(&provider, Command::curl(&provider, path, body), 1, 0);
}

#[test]
fn curl_openai_plain() {
    let messages = json!([{"role": "user", "content": "hello"}]);
    curl("/v1/chat/completions", &json!({"model": "gpt-4o", "n": 2, "max_tokens": 9, "messages": messages}));
}

#[test]
fn curl_openai_streamed() {
    let messages = json!([{"role": "user", "content": "hello"}]);
    let body = json!({
        "model": "test-slow-20", "stream": true, "stop": ["a"], "stream_options": {"include_usage": true},
        "messages": messages,
    });
    curl("/v1/chat/completions", &body);
}

#[test]
fn curl_anthropic_plain() {
    let messages = json!([{"role": "user", "content": "hello"}]);
    curl(
        "/v1/messages",
        &json!({"model": "claude-opus-5", "max_tokens": 9, "top_k": 3, "messages": messages}),
    );
}

#[test]
fn curl_anthropic_streamed() {
    let messages = json!([{"role": "user", "content": [{"type": "text", "text": "hello"}]}]);
    let body = json!({"model": "test-slow-20", "max_tokens": 9, "stream": true, "messages": messages});
    curl("/v1/messages", &body);
}

#[test]
fn curl_bad_request() {
    curl("/v1/messages", &json!({"model": "claude-opus-5", "messages": []}));
}
