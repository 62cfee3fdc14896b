//! Programs whose TLS is seen at its ciphers: rustls on ring.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Local, Report, built};

/// The client makes so many calls on one connection under a suite, and all of them are there, byte by byte.
fn captured(suite: &str, calls: usize, options: &[&str]) -> Report {
    let provider = Local::new();
    let command = Command::at(built("rustls_client"))
        .args(["--url", &provider.url(), "--suite", suite, "--calls", &calls.to_string(), "--ca"])
        .args([provider.ca()])
        .args(options);
    let report = AgentCommand::new().run(command).exited(0);
    assert_eq!(report.finished.stdout, [suite], "{report:#?}");
    assert_eq!((provider.calls().len(), report.spans.len()), (calls, calls), "{suite}: {report:#?}");
    for call in provider.calls() {
        let span = report.span(call.facts.id.as_deref().expect("each answer has an id"));
        assert_eq!(span.name, "chat gpt-4o-mini");
        assert_eq!(span.get("plainspan.call.ended"), "complete");
        assert_eq!(span.get("plainspan.capture.degraded"), &serde_json::Value::Null, "{span:#?}");
    }
    let count = |name| report.account.get("capture", name);
    let moved = provider.moved();
    assert_eq!(count("bytes moved by the libraries"), moved.sent + moved.received, "{suite}: {report:#?}");
    assert_eq!(count("bytes captured"), moved.sent + moved.received, "{suite}: {report:#?}");
    report
}

#[test]
fn ring_with_each_cipher() {
    for suite in [
        "TLS13_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ] {
        captured(suite, 4, &[]);
    }
}

/// A new key has a context of its own, and the connection stays what it was.
#[test]
fn keys_that_are_updated_in_the_middle() {
    for suite in ["TLS13_AES_256_GCM_SHA384", "TLS13_CHACHA20_POLY1305_SHA256"] {
        captured(suite, 5, &["--update-keys"]);
    }
}
