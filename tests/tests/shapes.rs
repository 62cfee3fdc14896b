//! Calls of unusual shape: large, many, short, late, broken off, compressed, traced.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{collections::BTreeSet, time::Duration};

use plainspan_tests::{
    harness::{AgentCommand, Command, Expected, Local, Report, Span, assert_span},
    provider::record::Ending,
};
use serde_json::{Value, json};

/// A span that says that its answer was not complete, and why.
fn assert_cut(span: &Span, ended: &[&str]) {
    let why = span.get("plainspan.call.ended").as_str().unwrap_or("absent");
    assert!(ended.contains(&why), "it ended as {why}, not {ended:?}: {span:#?}");
    assert_eq!(span.get("error.type"), why, "{span:#?}");
    assert_eq!(span.status, 2, "{span:#?}");
    assert_eq!(span.get("gen_ai.response.finish_reasons"), &json!(["error"]), "{span:#?}");
}

fn assert_nothing_missed(report: &Report) {
    assert_eq!(report.account.bytes_not_captured(), 0, "{:#?}", report.account);
    for span in &report.spans {
        assert_eq!(span.get("plainspan.capture.degraded"), &Value::Null, "{span:#?}");
    }
}

#[test]
fn prompt_of_one_mebibyte() {
    let provider = Local::new();
    for command in
        [Command::openai(&provider, "test-mebibyte"), Command::anthropic(&provider, "test-mebibyte")]
    {
        let before = provider.calls().len();
        let command = command.args(["--prompt-bytes", "1048576"]);
        let mut agent = AgentCommand::new().start_with(command.clone());
        let parent = agent.process().pid();
        let report = agent.wait().exited(0);
        let calls = provider.calls();
        assert_eq!((calls.len(), report.spans.len()), (before + 1, 1), "{report:#?}");
        assert!(calls[before].request_body.len() > 1 << 20);
        assert_nothing_missed(&report);
        let pid = report.finished.pid();
        assert_span(&report.spans[0], &Expected::of(&calls[before], &provider, &command, pid, parent));
    }
}

#[test]
fn answer_of_one_mebibyte() {
    let provider = Local::new();
    let command = Command::openai(&provider, "test-big-1048576-events-2000").args(["--stream", "--usage"]);
    let mut agent = AgentCommand::new().start_with(command.clone());
    let parent = agent.process().pid();
    let report = agent.wait().exited(0);
    assert_nothing_missed(&report);
    let expected = Expected::of(&provider.calls()[0], &provider, &command, report.finished.pid(), parent);
    assert_span(&report.spans[0], &expected);
}

#[test]
fn fifty_connections_at_once() {
    let provider = Local::new();
    let many = ["--asynchronous", "--count", "50", "--concurrency", "50"];
    let command = Command::openai(&provider, "test-late-500-cached").args(many).args(["--stream", "--usage"]);
    let mut agent = AgentCommand::new().start_with(command.clone());
    let parent = agent.process().pid();
    let report = agent.wait().exited(0);
    let calls = provider.calls();
    assert_eq!(provider.moved().connections, 50);
    assert_eq!((calls.len(), report.spans.len()), (50, 50));
    assert_nothing_missed(&report);
    for call in &calls {
        let id = call.facts.id.as_deref().expect("it was answered");
        let expected = Expected::of(call, &provider, &command, report.finished.pid(), parent);
        assert_span(report.span(id), &expected);
    }
}

#[test]
fn processes_that_live_fifty_milliseconds() {
    let provider = Local::new();
    let body = json!({"model": "short", "messages": []});
    let curl = Command::curl(&provider, "/v1/chat/completions", &body);
    // What the machine makes of it without an agent: if this fails, the machine is too slow for the test.
    let alone = (0..3).map(|_| curl.clone().run().exited(0).took).min().expect("three runs");
    assert!(alone < Duration::from_millis(50), "a bare call takes {alone:?} here");
    let script = format!("for i in 1 2 3 4 5; do {} || exit 1; done", curl.quoted());
    let report = AgentCommand::new().run(Command::shell(&script)).exited(0);
    let calls = provider.calls();
    assert_eq!((calls.len(), report.spans.len()), (8, 5), "{report:#?}");
    for call in &calls[3..] {
        report.span(call.facts.id.as_deref().expect("it was answered"));
    }
    let pids: BTreeSet<_> = report.spans.iter().map(|s| s.resource["process.pid"].to_string()).collect();
    assert_eq!(pids.len(), 5, "five processes: {pids:?}");
    for span in &report.spans {
        assert_eq!(span.resource["service.name"], "curl");
    }
}

#[test]
fn agent_started_in_the_middle_of_a_connection() {
    let provider = Local::new();
    for command in [
        Command::openai(&provider, "test-middle").args(["--count", "3", "--step"]),
        Command::anthropic(&provider, "test-middle").args(["--stream", "--count", "3", "--step"]),
    ] {
        let before = provider.calls().len();
        let mut client = command.start();
        client.expect("ready");
        client.step();
        client.expect("done");
        let agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
        let mut ids = Vec::new();
        for _ in 0..2 {
            client.step();
            ids.push(client.expect("done")["id"].as_str().expect("it has an id").to_owned());
        }
        client.wait().exited(0);
        let report = agent.stop().exited(0);
        let calls = provider.calls().split_off(before);
        let connections: BTreeSet<_> = calls.iter().map(|c| c.connection).collect();
        assert_eq!((calls.len(), connections.len()), (3, 1), "one connection for all");
        assert_eq!(report.spans.len(), 2, "{report:#?}");
        for id in &ids {
            assert_eq!(report.span(id).get("plainspan.call.ended"), "complete");
        }
    }
}

#[test]
fn client_killed_in_the_middle_of_a_stream() {
    let provider = Local::new();
    for command in [
        Command::openai(&provider, "test-slow-50-events-200"),
        Command::anthropic(&provider, "test-slow-50-events-200"),
    ] {
        let mut client = command.args(["--stream", "--echo", "--step"]).start();
        client.expect("ready");
        let mut agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
        client.step();
        for _ in 0..5 {
            client.expect("chunk");
        }
        client.kill();
        let spans = agent.wait_for_spans(1);
        agent.stop().exited(0);
        assert_cut(&spans[0], &["process_exit"]);
        assert_eq!(spans[0].response_id(), provider.calls().last().expect("a call").facts.id.as_deref());
        assert!(spans[0].get("plainspan.stream.chunks").as_u64() >= Some(5));
    }
}

#[test]
fn client_that_gives_up_in_the_middle_of_a_stream() {
    let provider = Local::new();
    let body = json!({"model": "test-slow-50-events-200", "stream": true, "messages": []});
    let curl = Command::curl(&provider, "/v1/chat/completions", &body).args(["--max-time", "0.6"]);
    let report = AgentCommand::new().run(curl).exited(28);
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    // It was waiting when its time was up: from here that looks like a server that closes.
    assert_cut(&report.spans[0], &["connection_closed"]);
}

#[test]
fn client_that_leaves_in_the_middle_of_a_stream() {
    let provider = Local::new();
    let script = "import http.client, json, ssl, sys\n\
         host, port = sys.argv[1].split(':')\n\
         c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context())\n\
         body = {'model': 'test-slow-50-events-200', 'stream': True, 'messages': []}\n\
         c.request('POST', '/v1/chat/completions', json.dumps(body), {'authorization': 'Bearer k'})\n\
         r = c.getresponse()\nr.read(100)\nr.close()\nc.close()";
    let at = format!("localhost:{}", provider.port());
    let report = AgentCommand::new().run(Command::new("python3").args(["-c", script, &at])).exited(0);
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    assert_cut(&report.spans[0], &["client_closed"]);
    assert_eq!(report.spans[0].get("plainspan.stream.stopped_by"), "client", "{report:#?}");
}

#[test]
fn calls_that_are_throttled() {
    let provider = Local::new();
    let body = json!({"model": "test-error-429", "messages": []});
    let report = AgentCommand::new().run(Command::curl(&provider, "/v1/chat/completions", &body)).exited(0);
    let span = &report.spans[0];
    assert_eq!(span.get("error.type"), "rate_limit_exceeded", "{span:#?}");
    assert_eq!(span.get("plainspan.error.code"), "rate_limit_exceeded");
    assert_eq!(span.get("plainspan.error.type"), "requests");
    for (key, wanted) in [
        ("plainspan.response.retry_after", 7.0),
        ("plainspan.rate_limit.requests.limit", 60.0),
        ("plainspan.rate_limit.requests.remaining", 0.0),
        ("plainspan.rate_limit.requests.reset", 60.5),
    ] {
        assert_eq!(span.get(key).as_f64(), Some(wanted), "{key}: {span:#?}");
    }
}

#[test]
fn client_that_gives_up_before_the_answer() {
    let provider = Local::new();
    let body = json!({"model": "test-late-5000", "messages": []});
    let command = Command::curl(&provider, "/v1/chat/completions", &body).args(["--max-time", "1"]);
    let report = AgentCommand::new().run(command).exited(28);
    let span = &report.spans[0];
    let (ended, kind) = (span.get("plainspan.call.ended"), span.get("error.type"));
    assert!(["client_closed", "connection_closed"].iter().any(|end| ended == end), "{span:#?}");
    assert_eq!(kind, &json!(format!("{}_before_answer", ended.as_str().unwrap_or_default())), "{span:#?}");
    assert_eq!(span.get("http.response.status_code"), &Value::Null);
}

#[test]
fn streams_that_stall_or_loop() {
    let provider = Local::new();
    for (model, stalled, period) in [
        ("test-slow-20", false, Value::Null),
        ("test-slow-20-stall-2500", true, Value::Null),
        ("test-loop-events-40", false, json!(29)),
    ] {
        for command in [Command::openai(&provider, model), Command::anthropic(&provider, model)] {
            let report = AgentCommand::new().run(command.args(["--stream"])).exited(0);
            assert_eq!(report.spans.len(), 1, "{report:#?}");
            assert_nothing_missed(&report);
            let span = &report.spans[0];
            assert_eq!(span.get("plainspan.stream.stalled"), stalled, "{span:#?}");
            let seconds = |key: &str| span.get(key).as_f64().expect(key);
            let (mean, max) = (seconds("plainspan.stream.gap.mean"), seconds("plainspan.stream.gap.max"));
            assert!((max >= 2.4) == stalled && mean <= max, "{mean} {max}: {span:#?}");
            assert_eq!(span.get("plainspan.response.repetition.period"), &period, "{span:#?}");
            assert_eq!(span.get("plainspan.stream.stopped_by"), &Value::Null, "{span:#?}");
        }
    }
}

#[test]
fn agent_stopped_in_the_middle_of_a_stream() {
    let provider = Local::new();
    let command =
        Command::openai(&provider, "test-slow-50-events-200").args(["--stream", "--echo", "--step"]);
    let mut client = command.start();
    client.expect("ready");
    let agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
    client.step();
    for _ in 0..5 {
        client.expect("chunk");
    }
    let report = agent.stop().exited(0);
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    assert_eq!(report.spans[0].get("plainspan.call.ended"), "capture_end");
    assert_eq!(report.spans[0].get("error.type"), &Value::Null, "nothing of the call failed");
    // The client is none the worse for it.
    client.expect("chunk");
    client.kill();
}

#[test]
fn server_dies_in_the_middle() {
    let provider = Local::new();
    for death in ["reset", "quit", "close"] {
        for (path, stream) in
            [("/v1/chat/completions", true), ("/v1/messages", true), ("/v1/chat/completions", false)]
        {
            let body =
                json!({"model": format!("test-{death}"), "max_tokens": 9, "stream": stream, "messages": []});
            let report = AgentCommand::new().run(Command::curl(&provider, path, &body));
            assert_ne!(report.finished.status.code(), Some(0), "curl has noticed");
            assert_eq!(report.spans.len(), 1, "{death}: {report:#?}");
            let call = provider.calls().pop().expect("it arrived");
            assert!(matches!(call.ending, Ending::Died(_)));
            let why = report.spans[0].get("plainspan.call.ended").as_str().unwrap_or("absent").to_owned();
            assert!(["connection_closed", "server_closed"].contains(&why.as_str()), "{death}: {why}");
            assert_eq!(report.spans[0].get("error.type"), &json!(why));
            assert_eq!(report.spans[0].status, 2);
        }
    }
}

#[test]
fn a_stream_that_reports_an_error() {
    let provider = Local::new();
    for (path, error) in [("/v1/chat/completions", "server_error"), ("/v1/messages", "overloaded_error")] {
        let body = json!({"model": "test-fail", "max_tokens": 9, "stream": true, "messages": []});
        let report = AgentCommand::new().run(Command::curl(&provider, path, &body)).exited(0);
        assert_eq!(report.spans.len(), 1, "{report:#?}");
        let span = &report.spans[0];
        assert_eq!(span.get("error.type"), error);
        assert_eq!(span.get("gen_ai.response.finish_reasons"), &json!(["error"]));
        assert_eq!((span.get("http.response.status_code"), span.status), (&json!(200), 2));
    }
}

#[test]
fn compressed_answers() {
    let provider = Local::new();
    for (command, options) in [
        (Command::openai(&provider, "test-gzip-cached"), vec![]),
        (Command::openai(&provider, "test-gzip-slow-20"), vec!["--stream", "--usage"]),
        (Command::anthropic(&provider, "test-gzip-slow-20-cached"), vec!["--stream"]),
        (Command::anthropic(&provider, "test-gzip-big-300000"), vec![]),
    ] {
        let command = command.args(options);
        let mut agent = AgentCommand::new().start_with(command.clone());
        let parent = agent.process().pid();
        let report = agent.wait().exited(0);
        let call = provider.calls().pop().expect("it arrived");
        assert_ne!(call.response_wire_len, call.response_body.len() as u64, "it was compressed");
        assert_eq!(report.spans.len(), 1, "{report:#?}");
        assert_nothing_missed(&report);
        let expected = Expected::of(&call, &provider, &command, report.finished.pid(), parent);
        assert_span(&report.spans[0], &expected);
    }
}

#[test]
fn a_request_with_trace_context_joins_its_trace() {
    let provider = Local::new();
    let command = Command::openai(&provider, "test-traced").args([
        "--header",
        "traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "--header",
        "tracestate=vendor=one,other=two",
    ]);
    let report = AgentCommand::new().run(command).exited(0);
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    let span = &report.spans[0];
    assert_eq!(span.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span.parent_span_id, "00f067aa0ba902b7");
    assert_eq!(span.flags & 0xff, 1);
    assert_eq!(span.trace_state, "vendor=one,other=two");
    assert_ne!(span.span_id, "00f067aa0ba902b7");
}

#[test]
fn what_is_no_call_makes_no_span() {
    let provider = Local::new();
    let url = provider.url();
    let curl = Command::new("curl")
        .args(["-sS", "--http1.1", "--fail", "--cacert"])
        .args([provider.ca()])
        .args([format!("{url}/plain?bytes=200000"), format!("{url}/v1/models"), format!("{url}/plain")]);
    let count = Command::curl(&provider, "/v1/messages/count_tokens", &json!({"model": "m", "messages": []}));
    let script = format!("{} >/dev/null && {} >/dev/null", curl.quoted(), count.quoted());
    let report = AgentCommand::new().run(Command::shell(&script)).exited(0);
    assert_eq!(provider.exchanges().len(), 4);
    assert_eq!(report.spans, [], "{report:#?}");
    assert_eq!(report.account.get("genai", "LLM calls"), 0);
    assert_eq!(
        // Of a model list on a host that nobody knows nothing tells that it is one.
        report.account.get("genai", "LLM API requests that are no inference"),
        1,
        "{:#?}",
        report.account
    );
}
