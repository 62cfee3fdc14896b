//! The agent's account: what it says it captured and lost adds up to what really went through.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::{
    harness::{Account, AgentCommand, Command, Local, Span},
    provider::record::Moved,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Captured and named loss are all that the libraries moved, and that is what the provider saw.
fn assert_adds_up(account: &Account, moved: Moved) {
    let get = |name| account.get("capture", name);
    assert_eq!(get("bytes moved by the libraries"), moved.received + moved.sent, "{account:#?} {moved:?}");
    assert_eq!(
        get("bytes moved by the libraries"),
        get("bytes captured") + account.bytes_not_captured(),
        "{account:#?}"
    );
}

#[test]
fn everything_is_captured_and_counted() {
    let provider = Local::new();
    let body = json!({"model": "test-events-40", "stream": true, "messages": ["x".repeat(300_000)]});
    let cases = [
        (Command::openai(&provider, "test-big-70000").args(["--count", "3"]), 3),
        (Command::anthropic(&provider, "test-gzip").args(["--prompt-bytes", "300000"]), 1),
        // Not by an SDK: those leave the end of a stream unread.
        (Command::curl(&provider, "/v1/chat/completions", &body), 1),
    ];
    let mut before = provider.moved();
    for (command, calls) in cases {
        let report = AgentCommand::new().run(command).exited(0);
        let after = provider.moved();
        let moved = Moved {
            connections: 1,
            received: after.received - before.received,
            sent: after.sent - before.sent,
        };
        assert_eq!(after.connections, before.connections + 1);
        before = after;
        assert_adds_up(&report.account, moved);
        assert_eq!(report.account.bytes_not_captured(), 0);
        assert_eq!(report.account.get("genai", "LLM calls"), calls);
        assert_eq!(report.account.get("wire", "HTTP exchanges"), calls);
        assert_eq!(report.account.get("export", "spans"), calls);
        assert_eq!(report.account.get("export", "spans delivered"), calls);
        assert_eq!(report.account.get("stream", "connections"), 1);
        assert_eq!(report.account.get("stream", "bytes missing in streams"), 0);
    }
}

#[test]
fn what_is_left_in_the_kernel_is_counted() {
    let provider = Local::new();
    let url = format!("{}/plain?bytes=40000000", provider.url());
    let curl = Command::new("curl").args(["-sS", "--http1.1", "--cacert"]).args([provider.ca()]);
    let report =
        AgentCommand::new().run(curl.args(["-o", "/dev/null", "-o", "/dev/null", &url, &url])).exited(0);
    assert_adds_up(&report.account, provider.moved());
    assert!(
        report.account.get("capture", "bytes ignored, not LLM traffic") > 1_000_000,
        "{:#?}",
        report.account
    );
    assert_eq!(report.spans, []);
}

#[test]
fn a_full_ring_is_named_loss_and_no_end() {
    let provider = Local::new();
    let options = ["--prompt-bytes", "500000", "--count", "5", "--step"];
    let mut client = Command::openai(&provider, "test-flood-big-100000").args(options).start();
    client.expect("ready");
    let pid = client.pid().to_string();
    let mut agent = AgentCommand::new().args(["--pid", &pid, "--ring-size", "1048576"]).start();
    // An agent that does not read for a while: the ring overflows, whatever the machine's speed.
    agent.process().signal(Signal::STOP);
    for _ in 0..3 {
        client.step();
        client.expect("done");
    }
    agent.process().signal(Signal::CONT);
    // When it has caught up, nothing is lost any more. The next answer shows where the stream goes on; whose
    // answer it is can't be told for certain, so it is the call after that which must be whole.
    std::thread::sleep(std::time::Duration::from_secs(1));
    client.step();
    client.expect("done");
    client.step();
    let last = client.expect("done")["id"].clone();
    client.wait().exited(0);
    let report = agent.stop().exited(0);
    assert_adds_up(&report.account, provider.moved());
    assert!(report.account.get("capture", "bytes lost, ring buffer full") > 0, "{:#?}", report.account);
    let degraded = |s: &&Span| !s.get("plainspan.capture.degraded").is_null();
    for span in report.spans.iter().filter(|s| !degraded(s)) {
        // What does not say that it is damaged is right.
        let id =
            span.response_id().unwrap_or_else(|| panic!("an undamaged span knows its answer: {span:#?}"));
        let call = provider.calls().into_iter().find(|c| c.facts.id.as_deref() == Some(id));
        let call = call.expect("it is one of this provider's");
        assert_eq!(span.get("gen_ai.response.model"), &json!(call.facts.model));
        assert_eq!(span.get("gen_ai.usage.input_tokens"), &json!(call.facts.usage.map(|u| u.input)));
    }
    let last = report.span(last.as_str().expect("an id"));
    assert_eq!(last.get("plainspan.capture.degraded"), &Value::Null, "{last:#?}");
    assert_eq!(last.get("gen_ai.request.model"), "test-flood-big-100000");
}

#[test]
fn a_call_over_the_cap_is_cut_and_says_so() {
    let provider = Local::new();
    let command = Command::openai(&provider, "test-capped").args(["--prompt-bytes", "400000"]);
    let report = AgentCommand::new().args(["--call-cap", "4096"]).run(command).exited(0);
    assert_adds_up(&report.account, provider.moved());
    let cut = report.account.get("capture", "bytes cut, over the cap of a call");
    assert!(cut > 200_000, "{:#?}", report.account);
    assert_eq!(report.spans.len(), 1);
    let span = &report.spans[0];
    assert_eq!(span.get("plainspan.capture.degraded"), &json!(["request_bytes_cut"]), "{span:#?}");
    assert_eq!(span.get("plainspan.capture.request.bytes_cut"), &json!(cut));
    // The answer is whole.
    let call = &provider.calls()[0];
    assert_eq!(span.response_id(), call.facts.id.as_deref());
    assert_eq!(span.get("gen_ai.usage.input_tokens"), &json!(call.facts.usage.map(|u| u.input)));
}

#[test]
fn the_account_can_be_asked_for() {
    let provider = Local::new();
    let mut client = Command::openai(&provider, "m").args(["--step", "--count", "2"]).start();
    client.expect("ready");
    let mut agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
    client.step();
    client.expect("done");
    agent.wait_for_spans(1);
    agent.process().signal(Signal::USR1);
    let line = agent.process().wait_for_stderr("LLM calls");
    assert_eq!(Account::parse([line.as_str()]).get("genai", "LLM calls"), 1);
    // It goes on.
    client.step();
    client.expect("done");
    let report = agent.stop().exited(0);
    assert_eq!((report.spans.len(), report.account.get("genai", "LLM calls")), (2, 2));
}
