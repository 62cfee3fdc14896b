//! Content goes where it is wanted, and nowhere else: on spans, to events beside them, to files to which they refer.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use plainspan_tests::{
    harness::{AgentCommand, Command, KEY, Local, Receiver, Report, directory, free_port},
    provider::REPLY_MARK,
};
use serde_json::{Value, json};

const ASKED: &str = "waxwing-in-the-prompt";
const EVENT: &str = "gen_ai.client.inference.operation.details";

/// A call whose prompt stands in a file, for the arguments of a process are content as well.
fn call(provider: &Local) -> Command {
    let file = provider.file("prompt", ASKED);
    Command::openai(provider, "m").args(["--tools", "--prompt", &format!("@{}", file.display())])
}

fn said(text: &str) -> bool {
    text.contains(ASKED) || text.contains(REPLY_MARK)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Spans, and what the process is, without what was said.
fn assert_bare(report: &Report) {
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    assert!(!said(&report.file), "{}", report.file);
    assert!(!report.spans[0].resource.contains_key("process.command_args"), "{}", report.file);
    assert_eq!(report.spans[0].get("plainspan.content.form"), &json!("full"));
}

#[test]
fn events_arrive_beside_their_spans() {
    let provider = Local::new();
    for over_grpc in [true, false] {
        let (receiver, home) = (Receiver::of_events(), directory());
        let events = home.path().join("events.jsonl");
        let (endpoint, protocol) =
            if over_grpc { (receiver.grpc(), "grpc") } else { (receiver.http(), "http/protobuf") };
        let report = AgentCommand::new()
            .args(["--content", "full", "--content-as", "events", "-o", "otlp", "-o"])
            .args([format!("events:{}", events.display())])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .run(call(&provider))
            .exited(0);
        assert_bare(&report);
        let span = &report.spans[0];
        let arrived = receiver.stop();
        assert_eq!(arrived.len(), 1, "{arrived:#?}");
        let event = &arrived[0];
        assert_eq!(
            (event.name.as_str(), &event.trace_id, &event.span_id),
            (EVENT, &span.trace_id, &span.span_id)
        );
        for (key, mark) in [("gen_ai.input.messages", ASKED), ("gen_ai.output.messages", REPLY_MARK)] {
            // Lists of maps, and not texts.
            let value = &event.attributes[key];
            assert!(value.starts_with("Slice(Map(") && value.contains(mark), "{key}: {value}");
        }
        // All else is what the span says.
        for key in span.attributes.keys() {
            assert!(event.attributes.contains_key(key), "{key} is not on the event");
        }
        assert!(event.resource["process.command_args"].contains("--prompt"), "{:?}", event.resource);
        let written = read(&events);
        let line: Value = serde_json::from_str(&written).expect("one line of JSON");
        let record = &line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
        assert_eq!((&record["eventName"], &record["spanId"]), (&json!(EVENT), &json!(span.span_id)));
        assert!(said(&written) && !written.contains(KEY));
    }
}

#[test]
fn the_conventions_variable_says_where() {
    let provider = Local::new();
    for (variable, on_span, in_event) in [
        ("NO_CONTENT", false, false),
        ("SPAN_ONLY", true, false),
        ("EVENT_ONLY", false, true),
        ("SPAN_AND_EVENT", true, true),
    ] {
        let home = directory();
        let events = home.path().join("events.jsonl");
        let mut agent =
            AgentCommand::new().env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", variable);
        if in_event {
            agent = agent.args(["-o".to_owned(), format!("events:{}", events.display())]);
        }
        let report = agent.run(call(&provider)).exited(0);
        assert_eq!(said(&report.file), on_span, "{variable}");
        assert_eq!(report.spans[0].resource.contains_key("process.command_args"), on_span, "{variable}");
        assert_eq!(events.exists() && said(&read(&events)), in_event, "{variable}");
    }
}

#[test]
fn files_have_what_their_spans_refer_to() {
    let (provider, home) = (Local::new(), directory());
    let content = home.path().join("content");
    let report = AgentCommand::new()
        .args(["--content", "full", "--content-dir"])
        .args([&content])
        .run(call(&provider))
        .exited(0);
    assert_bare(&report);
    let span = &report.spans[0];
    let reference = span.get("plainspan.content.reference").as_str().expect("a text");
    let path = Path::new(reference.strip_prefix("file://").expect("a file"));
    assert!(path.starts_with(&content), "{reference}");
    let mode = fs::metadata(path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file: Value = serde_json::from_str(&read(path)).expect("JSON");
    assert_eq!((&file["trace_id"], &file["span_id"]), (&json!(span.trace_id), &json!(span.span_id)));
    let exchange = provider.calls().pop().expect("it arrived");
    assert_eq!(
        file["gen_ai.output.messages"][0]["parts"],
        json!([{"type": "text", "content": exchange.facts.texts[0]}])
    );
    assert!(file["gen_ai.input.messages"].to_string().contains(ASKED), "{file:#}");
    assert_eq!(file["gen_ai.tool.definitions"][0]["name"], "get_weather");
    assert!(file["process.command_args"].to_string().contains("--prompt"), "{file:#}");
    assert!(!file.to_string().contains(KEY));

    let report = AgentCommand::new()
        .args([
            "--content",
            "redacted",
            "--content-as",
            "spans,files",
            "--content-url",
            "s3://bucket/of/it/",
            "--content-dir",
        ])
        .args([&content])
        .run(call(&provider))
        .exited(0);
    assert!(said(&report.file), "on spans as well");
    let reference = report.spans[0].get("plainspan.content.reference").as_str().expect("a text");
    let name = reference.strip_prefix("s3://bucket/of/it/").expect("below the URL");
    assert!(said(&read(&content.join(name))));
}

/// The same with a collector, and a journal for what it does not take.
fn kept(agent: AgentCommand, journal: &Path, endpoint: &str) -> AgentCommand {
    agent
        .args(["-o", "otlp", "--journal"])
        .args([journal])
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
}

#[test]
fn events_that_nobody_takes_wait_in_the_journal() {
    let (provider, receiver, home) = (Local::new(), Receiver::of_events(), directory());
    let journal = home.path().join("journal.db");
    let first = kept(AgentCommand::new(), &journal, &receiver.grpc())
        .args(["--content", "full", "--content-as", "events"])
        .env("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", format!("http://127.0.0.1:{}", free_port()))
        .run(call(&provider))
        .exited(0);
    let said_so =
        first.finished.stderr.iter().any(|line| {
            line.contains("otlp events: 0 spans delivered, 1 kept in the journal for the next run")
        });
    assert!(said_so, "{first:#?}");
    assert!(
        !first.finished.stderr.iter().any(|line| line.contains("otlp: ")),
        "spans were taken: {first:#?}"
    );
    // The agent has forgotten where content went: the span has not.
    kept(AgentCommand::new(), &journal, &receiver.grpc())
        .args(["--content-as", "spans,events"])
        .run(Command::shell("true"))
        .exited(0);
    let arrived = receiver.stop();
    assert_eq!(arrived.len(), 1, "{arrived:#?}");
    assert_eq!(arrived[0].span_id, first.spans[0].span_id);
    assert!(arrived[0].attributes["gen_ai.input.messages"].contains(ASKED));
}

#[test]
fn what_an_earlier_run_left_is_still_not_for_spans() {
    let (provider, home) = (Local::new(), directory());
    let (journal, content) = (home.path().join("journal.db"), home.path().join("content"));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let first = kept(AgentCommand::bare(), &journal, &nobody)
        .args(["--content", "full", "--content-dir"])
        .args([&content])
        .run(call(&provider))
        .exited(0);
    assert!(
        first.finished.stderr.iter().any(|line| line.contains("otlp: 0 spans delivered, 1 kept")),
        "{first:#?}"
    );
    let receiver = Receiver::start();
    kept(AgentCommand::bare(), &journal, &receiver.grpc())
        .args(["--content", "full"])
        .run(Command::shell("true"))
        .exited(0);
    let arrived = receiver.stop();
    assert_eq!(arrived.len(), 1, "{arrived:#?}");
    assert_eq!(arrived[0].attributes["plainspan.content.places"], "Slice(Str(files))");
    assert!(
        !said(&format!("{arrived:?}")) && !arrived[0].resource.contains_key("process.command_args"),
        "{arrived:#?}"
    );
}

#[test]
fn what_makes_no_sense_says_what_to_do() {
    let provider = Local::new();
    for (args, wanted) in [
        (&["--content-as", "files"][..], "--content-as files: --content-dir says where"),
        (&["-o", "events:x.jsonl"], "-o events:PATH: there are no events without --content-as events"),
        (
            &["--content-as", "events", "--contract", "0.1.0"],
            "--contract 0.1.0: there content goes to spans only",
        ),
    ] {
        let report =
            AgentCommand::new().args(["--content", "full"]).args(args).run(call(&provider)).exited(2);
        let told: Vec<_> = report.finished.stderr.iter().filter(|line| line.contains(wanted)).collect();
        assert_eq!(told.len(), 1, "{report:#?}");
    }
    assert!(provider.calls().is_empty(), "the command was not run");
}
