//! Spans arrive in a real receiver, each under the resource of its own process.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use plainspan_tests::harness::{AgentCommand, Command, Local, Received, Receiver, Report, Span};
use serde_json::{Value, json};

/// How the receiver shows a value; doubles are left out, since it rounds as it likes.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(s) if !s.contains('\n') => Some(format!("Str({s})")),
        Value::Number(n) if n.is_i64() || n.is_u64() => Some(format!("Int({n})")),
        _ => None,
    }
}

fn assert_same(what: &str, sent: &BTreeMap<String, Value>, arrived: &BTreeMap<String, String>) {
    assert_eq!(sent.keys().collect::<Vec<_>>(), arrived.keys().collect::<Vec<_>>(), "{what}");
    for (key, value) in sent {
        if let Some(shown) = shown(value) {
            assert_eq!(arrived[key], shown, "{what} {key}");
        }
    }
}

/// Two processes of different executables, one of them with two calls.
fn two_processes(provider: &Local) -> Command {
    let curl = Command::curl(
        provider,
        "/v1/messages",
        &json!({"model": "from-curl", "max_tokens": 5, "messages": []}),
    );
    let python = Command::openai(provider, "from-python").args(["--count", "2", "--stream", "--usage"]);
    let env = python.env.clone();
    let mut both = Command::shell(&format!("{} >&2 & {}; wait", curl.quoted(), python.quoted()));
    both.env = env;
    both
}

fn check(report: &Report, arrived: &[Received]) {
    assert_eq!((report.spans.len(), arrived.len()), (3, 3), "{report:#?}\n{arrived:#?}");
    for sent in &report.spans {
        let there = arrived.iter().find(|r| r.span_id == sent.span_id).expect("every span arrives");
        assert_eq!((&there.name, &there.trace_id), (&sent.name, &sent.trace_id));
        assert_eq!((there.start, there.end), (sent.start, sent.end));
        assert_eq!(there.kind, "SPAN_KIND_CLIENT");
        assert!(there.scope.starts_with("plainspan"), "{}", there.scope);
        assert_eq!(there.schema_url, sent.schema_url);
        assert_same("attribute", &sent.attributes, &there.attributes);
        assert_same("resource attribute", &sent.resource, &there.resource);
    }
    let of = |span: &Span| (span.name.clone(), span.resource["service.name"].as_str().map(str::to_owned));
    let mut services: Vec<_> = report.spans.iter().map(of).collect();
    services.sort();
    let python = ("chat from-python".to_owned(), Some("openai_client".to_owned()));
    assert_eq!(services, [("chat from-curl".to_owned(), Some("curl".to_owned())), python.clone(), python]);
}

#[test]
fn over_grpc_to_the_endpoint_of_the_environment() {
    let (provider, receiver) = (Local::new(), Receiver::start());
    let agent = AgentCommand::new()
        .args(["-o", "otlp"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc())
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=a%20b");
    let report = agent.run(two_processes(&provider)).exited(0);
    check(&report, &receiver.stop());
    for span in &report.spans {
        assert_eq!(span.resource["deployment.environment.name"], "test");
        assert_eq!(span.resource["team"], "a b");
    }
    assert_eq!(report.account.get("export", "spans not delivered"), 0);
}

#[test]
fn over_http() {
    let (provider, receiver) = (Local::new(), Receiver::start());
    let agent = AgentCommand::new()
        .args(["-o", "otlp"])
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", receiver.http()));
    let report = agent.run(two_processes(&provider)).exited(0);
    check(&report, &receiver.stop());
}

#[test]
fn an_endpoint_in_the_environment_is_enough() {
    let (provider, receiver) = (Local::new(), Receiver::start());
    let agent = AgentCommand::bare().env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc());
    let command = Command::curl(&provider, "/v1/chat/completions", &json!({"model": "from-curl"}));
    let report = agent.run(command.args(["-o", "/dev/null"])).exited(0);
    let arrived = receiver.stop();
    assert_eq!(arrived.len(), 1, "{report:#?}");
    assert_eq!(arrived[0].name, "chat from-curl");
    let lines = report.finished.stderr.iter().filter(|l| l.contains("from-curl")).count();
    assert_eq!(lines, 1, "the console shows it as well: {report:#?}");
}

#[test]
fn a_collector_that_comes_late_still_gets_the_spans() {
    let provider = Local::new();
    let mut client = Command::openai(&provider, "m").args(["--step"]).start();
    client.expect("ready");
    // The receiver takes free ports of its own, so one is started to learn of them and started again later.
    let receiver = Receiver::start();
    let mut agent = AgentCommand::new()
        .args(["-o", "otlp", "--pid", &client.pid().to_string()])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc())
        .start();
    let receiver = receiver.stop_and_start_after(|| {
        client.step();
        client.expect("done");
        agent.wait_for_spans(1);
    });
    let report = agent.stop().exited(0);
    assert_eq!(receiver.stop().len(), 1, "{report:#?}");
    assert_eq!(report.account.get("export", "spans not delivered"), 0);
}
