//! A process that serves calls by making others: both sides of it, and what links them.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Local, Span, workspace};
use serde_json::json;

/// Kinds of spans, in OTLP's numbers.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A client calls a gateway, which calls the provider: the spans of the client, and of the gateway's two sides.
fn through_a_gateway(options: &[&str], headers: &[&str]) -> [Span; 3] {
    let provider = Local::new();
    let own =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    let certificate = provider.file("gateway", &(own.cert.pem() + &own.signing_key.serialize_pem()));
    let body = json!({"model": "through", "messages": []}).to_string();
    let command = Command::new("python3")
        .args([workspace().join("tests/clients/gateway.py")])
        .args(["--certificate".as_ref(), certificate.as_os_str()])
        .args(["--provider", &provider.port().to_string()])
        .args(options)
        .args(["--", "curl", "--silent", "--show-error", "--fail", "--insecure"])
        .args(["-H", "content-type: application/json", "-H", "authorization: Bearer k"])
        .args(headers.iter().flat_map(|header| ["-H", header]))
        .args(["--data-binary", &body, "https://localhost:PORT/v1/chat/completions"])
        .env("SSL_CERT_FILE", provider.ca());
    let report = AgentCommand::new().run(command).exited(0);
    let of = |program: &str, kind: u64| {
        let is = |span: &&Span| {
            span.kind == kind
                && span.resource["process.executable.name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with(program))
        };
        let all: Vec<_> = report.spans.iter().filter(is).collect();
        assert_eq!(all.len(), 1, "{program}, kind {kind}: {report:#?}");
        all[0].clone()
    };
    let spans = [of("curl", CLIENT), of("python", SERVER), of("python", CLIENT)];
    assert_eq!(report.spans.len(), spans.len(), "{report:#?}");
    for span in &spans {
        assert_eq!(span.name, "chat through");
        assert_eq!(span.get("plainspan.call.ended"), "complete");
        assert_eq!(
            span.get("gen_ai.response.id"),
            spans[0].get("gen_ai.response.id"),
            "one answer, passed on"
        );
    }
    let [asked, served, made] = &spans;
    assert!(asked.start <= served.start && served.start <= made.start, "{spans:#?}");
    assert!(asked.links.is_empty() && served.links.is_empty(), "{spans:#?}");
    spans
}

#[test]
fn calls_made_on_the_thread_that_serves() {
    let [_, served, made] = through_a_gateway(&[], &[]);
    assert_eq!(made.links, [(served.trace_id.clone(), served.span_id.clone())]);
    assert_eq!(made.get("plainspan.link.reason"), "same_thread");
    assert!(served.trace_id != made.trace_id && made.parent_span_id.is_empty(), "a link is no parent");
}

#[test]
fn calls_that_carry_the_trace_on() {
    let parent = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01");
    let [asked, served, made] = through_a_gateway(&["--carry", "--elsewhere"], &[&parent]);
    assert_eq!(made.links, [(served.trace_id.clone(), served.span_id.clone())]);
    assert_eq!(made.get("plainspan.link.reason"), "trace_context");
    for span in [asked, served, made] {
        assert_eq!((span.trace_id.as_str(), span.parent_span_id.as_str()), (TRACE, "b7ad6b7169203331"));
    }
}

#[test]
fn calls_of_which_nothing_tells_why_they_are_made() {
    let [_, _, made] = through_a_gateway(&["--elsewhere"], &[]);
    assert!(made.links.is_empty(), "{made:#?}");
    assert!(made.get("plainspan.link.reason").is_null());
}
