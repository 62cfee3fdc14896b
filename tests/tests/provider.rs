//! The tests' own tools: what the provider says that it sent is what unmodified clients got, and the receiver
//! tells what it was sent. Needs no privileges.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::time::Duration;

use plainspan_tests::{
    harness::{Command, Local, Receiver},
    provider::{
        HTTP2,
        record::{Ending, Protocol},
        script::Death,
    },
};
use serde_json::json;

#[test]
fn sdks_get_what_is_recorded() {
    let provider = Local::new();
    let cases: [(Command, &[&str]); 6] = [
        (Command::openai(&provider, "gpt-4o-mini"), &["--rich"]),
        (Command::openai(&provider, "test-cached"), &["--stream", "--usage", "--choices", "2"]),
        (Command::openai(&provider, "test-tool-gzip"), &["--stream", "--tools", "--asynchronous"]),
        (Command::anthropic(&provider, "claude-sonnet-5"), &["--rich"]),
        (Command::anthropic(&provider, "test-cached-gzip"), &["--stream", "--asynchronous"]),
        (Command::anthropic(&provider, "test-tool"), &["--stream", "--tools"]),
    ];
    for (number, (command, options)) in cases.into_iter().enumerate() {
        let done = command.args(options).run().exited(0).done();
        let calls = provider.calls();
        assert_eq!((done.len(), calls.len()), (1, number + 1));
        let call = &calls[number];
        assert_eq!(call.ending, Ending::Complete);
        assert_eq!(done[0]["id"], json!(call.facts.id));
        assert_eq!(done[0]["texts"], json!(call.facts.texts));
        assert_eq!(done[0]["finish"], json!(call.facts.finish_reasons));
        assert_eq!(call.streamed, options.contains(&"--stream"));
    }
}

#[test]
fn http2_with_who_offers_it() {
    let provider = Local::speaking(HTTP2);
    let paths = ["/v1/chat/completions", "/v1/responses", "/v1beta/models/gemini:generateContent"];
    let body = json!({"model": "m", "stream": true, "messages": []});
    for path in paths {
        // The later option wins over the one that the helper sets.
        let command = Command::curl(&provider, path, &body).args(["--http2"]);
        command.run().exited(0);
    }
    Command::curl(&provider, paths[0], &body).run().exited(0);
    let calls = provider.calls();
    let http2 = Protocol::Http2;
    assert_eq!(calls.iter().map(|c| c.protocol).collect::<Vec<_>>(), [http2, http2, http2, Protocol::Http1]);
    assert!(calls.iter().all(|c| c.status == 200 && c.ending == Ending::Complete), "{calls:#?}");
    let connections = provider.connections();
    assert_eq!(
        connections.iter().map(|c| c.protocol).collect::<Vec<_>>(),
        [http2, http2, http2, Protocol::Http1]
    );
    for (call, connection) in calls.iter().zip(&connections) {
        let least = (call.request_body.len() as u64, call.response_wire_len);
        assert!(connection.received > least.0 && connection.sent > least.1, "{connection:?} {call:?}");
    }
}

#[test]
fn answers_die_as_told() {
    let provider = Local::new();
    // curl: 18 is a transfer that ended early, 56 a failure to receive.
    for (word, death, statuses) in [
        ("close", Death::Close, [18, 18]),
        ("quit", Death::Quit, [18, 56]),
        ("reset", Death::Reset, [56, 56]),
    ] {
        for stream in [false, true] {
            let body = json!({"model": format!("test-{word}"), "stream": stream});
            let ended = Command::curl(&provider, "/v1/chat/completions", &body).run();
            assert!(statuses.map(Some).contains(&ended.status.code()), "{word}: {ended:?}");
            let call = provider.calls().pop().expect("it arrived");
            assert_eq!(call.ending, Ending::Died(death));
            let half = ended.stdout.join("\n");
            assert!(!half.is_empty() && !half.contains("[DONE]"), "{half}");
        }
    }
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let provider = Local::new();
    for model in ["test-slow-100-events-100", "test-late-9000"] {
        let body = json!({"model": model, "stream": true});
        let curl = Command::curl(&provider, "/v1/chat/completions", &body).args(["--max-time", "0.4"]);
        assert_eq!(curl.run().status.code(), Some(28));
        let left = provider
            .wait(Duration::from_secs(5), |all| all.last().is_some_and(|e| e.ending == Ending::ClientGone));
        assert!(left, "{:?}", provider.exchanges());
    }
}

#[test]
fn plaintext_is_counted() {
    let provider = Local::new();
    let curl = Command::curl(&provider, "/v1/messages", &json!({"model": "test-big-50000", "max_tokens": 9}));
    let got = curl.args(["--include"]).run().exited(0);
    let moved = provider.moved();
    assert_eq!(moved.connections, 1);
    // Head and body, with the line endings that reading by lines took away (two bytes each in the head).
    let lines: usize = got.stdout.iter().map(String::len).sum();
    let head = got.stdout.iter().position(String::is_empty).expect("a head ends with an empty line") + 1;
    assert_eq!(moved.sent as usize, lines + 2 * head);
    let call = &provider.calls()[0];
    assert!(moved.received as usize > call.request_body.len());
    assert!(call.response_body.len() > 50_000);
}

#[test]
fn the_receiver_tells_what_it_received() {
    let receiver = Receiver::start();
    let attribute = json!([{"key": "a.b", "value": {"stringValue": "text"}}]);
    let span = json!({
        "traceId": "0a".repeat(16), "spanId": "0b".repeat(8), "name": "chat m", "kind": 3,
        "startTimeUnixNano": "1767225600000000001", "endTimeUnixNano": "1767225600000000002", "attributes": attribute,
    });
    let scope = json!({"scope": {"name": "s"}, "schemaUrl": "u", "spans": [span]});
    let traces = json!({"resourceSpans": [{"resource": {"attributes": attribute}, "scopeSpans": [scope]}]});
    let url = format!("{}/v1/traces", receiver.http());
    let curl = Command::new("curl").args(["-sSf", "-H", "content-type: application/json", "-d"]);
    curl.args([&traces.to_string(), &url]).run().exited(0);
    let [arrived] = &receiver.stop()[..] else { panic!("one span was sent") };
    assert_eq!((arrived.name.as_str(), arrived.span_id.as_str()), ("chat m", "0b0b0b0b0b0b0b0b"));
    assert_eq!((arrived.start, arrived.schema_url.as_str()), (1_767_225_600_000_000_001, "u"));
    assert_eq!(
        (&arrived.attributes["a.b"], &arrived.resource["a.b"]),
        (&"Str(text)".into(), &"Str(text)".into())
    );
}
