//! HTTP/2: calls whose streams share a connection, that are left before their end, and whose connection was there before
//! the agent.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use plainspan_tests::{
    harness::{AgentCommand, Client, Command, Expected, Local, Report, assert_late_span, assert_span},
    provider::{HTTP2, record::Exchange, record::Protocol},
};
use serde_json::{Value, json};

fn provider() -> Local {
    Local::speaking(HTTP2)
}

/// All of them went over one connection, and that spoke HTTP/2.
fn assert_one_connection(exchanges: &[Exchange]) {
    let connections: BTreeSet<_> = exchanges.iter().map(|e| e.connection).collect();
    assert_eq!(connections.len(), 1, "{exchanges:#?}");
    assert!(exchanges.iter().all(|e| e.protocol == Protocol::Http2), "{exchanges:#?}");
}

/// Their streams were open at the same time.
fn assert_interleaved(exchanges: &[Exchange]) {
    let begun = exchanges.iter().map(|e| e.received).max();
    let over = exchanges.iter().filter_map(|e| e.first_chunk).min();
    assert!(begun < over, "no answer came before the last request: {exchanges:#?}");
}

/// Runs the command under the agent, and holds the spans of its calls against the provider's record.
fn check(provider: &Local, command: &Command, started: Command, calls: usize) {
    let mut agent = AgentCommand::new().start_with(started);
    let parent = agent.process().pid();
    let report = agent.wait().exited(0);
    let exchanges = provider.calls();
    assert_eq!((exchanges.len(), report.spans.len()), (calls, calls), "{report:#?}");
    assert_one_connection(&exchanges);
    if calls > 1 {
        assert_interleaved(&exchanges);
    }
    assert_eq!(report.account.bytes_not_captured(), 0, "{:#?}", report.account);
    for exchange in &exchanges {
        let id = exchange.facts.id.as_deref().expect("it was answered");
        let expected = Expected::of(exchange, provider, command, report.finished.pid(), parent);
        assert_span(report.span(id), &expected);
    }
}

/// Answers that begin late and come in many pieces, so that all of them are under way at once.
const AT_ONCE: &str = "test-late-300-slow-5-events-20-cached";

#[test]
fn streams_of_python() {
    for (model, options) in [
        (AT_ONCE, &["--stream", "--usage"][..]),
        ("test-late-300-gzip-big-30000", &["--rich", "--prompt-bytes", "50000"]),
    ] {
        let provider = provider();
        let many = ["--http2", "--asynchronous", "--count", "20", "--concurrency", "20"];
        let command = Command::openai(&provider, model).args(many).args(options);
        check(&provider, &command, command.clone(), 20);
    }
}

#[test]
fn streams_of_node() {
    let provider = provider();
    let command = Command::node_http2(&provider, AT_ONCE).args(["--stream", "--count", "20"]);
    check(&provider, &command, command.clone(), 20);
}

/// Two APIs, an answer in one piece among streams, and a request that takes many frames.
#[test]
fn streams_of_curl() {
    let provider = provider();
    let text = |model: &str, stream: bool, prompt: usize| {
        json!({
            "model": model, "stream": stream, "max_tokens": 9,
            "messages": [{"role": "user", "content": "x".repeat(prompt)}],
        })
    };
    let one = |path: &str, body: &Value| Command::curl(&provider, path, body).args(["--http2"]);
    let mut command = one("/v1/chat/completions", &text(AT_ONCE, true, 9)).args(["--parallel"]);
    for (path, body) in [
        ("/v1/messages", text(AT_ONCE, true, 9)),
        ("/v1/chat/completions", text("test-late-300-big-200000", false, 9)),
        ("/v1/messages", text("test-late-300", false, 200_000)),
    ] {
        command = command.args(["--next"]).args(one(path, &body).args);
    }
    check(&provider, &command, command.telling(), 4);
}

/// Of a call that was left: what it was, and that its answer was not complete.
fn assert_left(report: &Report, call: &Exchange, ended: &[&str]) {
    let span = report.span(call.facts.id.as_deref().expect("it was answered"));
    let why = span.get("plainspan.call.ended").as_str().unwrap_or("absent");
    assert!(ended.contains(&why), "it ended as {why}, not {ended:?}: {span:#?}");
    assert_eq!(span.get("gen_ai.request.model"), &call.request()["model"]);
    assert_eq!(span.get("gen_ai.response.model"), &json!(call.facts.model));
    assert_eq!(span.get("gen_ai.response.finish_reasons"), &json!(["error"]), "{span:#?}");
    assert_eq!((span.get("error.type"), span.status), (&json!(why), 2));
}

/// The client resets the stream of its first call, and makes another one on the same connection.
#[test]
fn a_client_that_leaves_one_of_its_calls() {
    let provider = provider();
    let command = Command::node_http2(&provider, "test-slow-20-events-50").args(["--stream", "--leave"]);
    let report = AgentCommand::new().run(command).exited(0);
    let calls = provider.calls();
    assert_one_connection(&calls);
    assert_eq!((calls.len(), report.spans.len()), (2, 2), "{report:#?}");
    assert_left(&report, &calls[0], &["client_closed"]);
    let second = report.span(calls[1].facts.id.as_deref().expect("it was answered"));
    assert_eq!(second.get("plainspan.call.ended"), "complete");
    assert_eq!(
        second.get("gen_ai.usage.input_tokens"),
        &json!(calls[1].facts.usage.map(|usage| usage.input))
    );
}

#[test]
fn clients_that_leave_with_their_connection() {
    let provider = provider();
    let body = json!({"model": "test-slow-20-events-100", "stream": true, "messages": []});
    let curl = Command::curl(&provider, "/v1/chat/completions", &body).args(["--http2", "--max-time", "0.6"]);
    let python = Command::openai(&provider, "test-slow-20-events-100");
    let python = python.args(["--http2", "--stream", "--leave"]);
    for (command, status, ended) in [
        (curl, 28, &["client_closed", "connection_closed"][..]),
        (python, 0, &["client_closed", "connection_closed", "process_exit"]),
    ] {
        let report = AgentCommand::new().run(command).exited(status);
        assert_eq!(report.spans.len(), 1, "{report:#?}");
        assert_left(&report, provider.calls().last().expect("it was made"), ended);
    }
}

/// What earlier heads of the connection tell: a client that refers to them says it once.
const TOLD_BEFORE: [&str; 6] = [
    "server.address",
    "server.port",
    "url.path",
    "user_agent.original",
    "plainspan.response.request_id",
    // Where something of the answer may be missing, so may a chunk.
    "plainspan.stream.chunks",
];

/// Clients make two calls each, then the agent joins, then they make two more on the same connections. The model, the usage and
/// nearly all else that bodies tell is known, since every call has its own.
#[test]
fn connections_that_were_joined_late() {
    let provider = provider();
    let commands = [
        Command::openai(&provider, "test-cached").args(["--http2"]),
        Command::openai(&provider, "test-cached").args(["--http2", "--stream", "--usage"]),
        Command::node_http2(&provider, "test-cached"),
        Command::node_http2(&provider, "test-cached").args(["--stream"]),
    ];
    let commands = commands.map(|command| command.args(["--step", "--count", "4"]));
    let mut clients = commands.clone().map(Command::start);
    let twice = |client: &mut Client| {
        [(); 2].map(|()| {
            client.step();
            client.expect("done")["id"].as_str().expect("it has an id").to_owned()
        })
    };
    let mut args = Vec::new();
    for client in &mut clients {
        client.expect("ready");
        twice(client);
        args.extend(["--pid".to_owned(), client.pid().to_string()]);
    }
    let agent = AgentCommand::new().args(args).start();
    let made = clients.each_mut().map(twice);
    for client in clients {
        client.wait().exited(0);
    }
    let report = agent.stop().exited(0);
    assert_eq!(provider.connections().len(), commands.len());
    assert_eq!(report.account.get("stream", "connections attached late"), commands.len() as u64);
    assert_eq!(report.spans.len(), 2 * commands.len(), "{report:#?}");
    let calls = provider.calls();
    for (command, ids) in commands.iter().zip(&made) {
        for id in ids {
            let call = calls.iter().find(|c| c.facts.id.as_ref() == Some(id)).expect("it came from here");
            assert_eq!(call.protocol, Protocol::Http2);
            let mut expected = Expected::of(call, &provider, command, 0, 0);
            // Without the authority nothing says who serves it: the model may be anybody's.
            for key in ["gen_ai.provider.name", "gen_ai.system"] {
                expected.set(key, "unknown");
            }
            let span = report.span(id);
            assert_late_span(
                span,
                &expected,
                &["request_bytes_unknown", "response_bytes_unknown"],
                &TOLD_BEFORE,
            );
            // Node.js does not let later heads refer to a path, so that every one tells it.
            let path = if command.program.ends_with("node") { json!(call.path) } else { Value::Null };
            assert_eq!(span.get("url.path"), &path, "{span:#?}");
        }
    }
}
