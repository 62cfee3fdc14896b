use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::harness::{Exchange, counted, head, headers};
use crate::{
    account::Counter,
    genai::{FinishReason, Limits, Party, Role},
    time::Timestamp,
    wire::{Body, EventKind, ExchangeEnd, Missing, SseEvent, Version},
};

const REQUEST: &str = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const ANSWER: &str = r#"{"id":"c1","model":"gpt-4o-1","choices":[{"index":0,"message":{"role":"assistant","content":"yo"},"finish_reason":"stop"}]}"#;
const CHUNKS: &str = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n\
    data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"yo\"}}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[test]
fn transport_and_trace() {
    let mut head = head("POST", "[::1]:8443", "/v1/chat/completions");
    head.role = Role::Server;
    head.headers = headers(&[
        ("user-agent", "test/1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "a=1"),
    ]);
    let call = Exchange::new(head)
        .request(REQUEST)
        .status(200, &[("content-type", "application/json"), ("x-request-id", "req_1")])
        .then(EventKind::ResponseBody(Body::Bytes(ANSWER.into())))
        .call();
    let transport = &call.transport;
    assert_eq!((transport.server_address.as_deref(), transport.server_port), (Some("::1"), Some(8443)));
    assert_eq!((transport.method.as_str(), transport.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((transport.version, transport.status), (Some(Version::Http11), Some(200)));
    assert_eq!(
        (transport.request_id.as_deref(), transport.user_agent.as_deref()),
        (Some("req_1"), Some("test/1"))
    );
    assert_eq!((call.role, call.ended), (Some(Role::Server), Some(ExchangeEnd::Complete)));
    assert_eq!(call.dialect, "openai.chat_completions");
    assert_eq!(call.trace.unwrap().state.as_deref(), Some("a=1"));
}

#[test]
fn timing() {
    // head 1000, body 1001 and 1002, end 1003, response head 1004, events from 1005.
    let call = Exchange::openai().request(REQUEST).stream(&format!("{CHUNKS}{LAST}{DONE}")).call();
    assert_eq!((call.start, call.end), (Timestamp(1000), Timestamp(1009)));
    let streaming = call.streaming;
    assert!(streaming.streamed);
    assert_eq!(streaming.first_chunk, Some(Timestamp(1005)));
    assert_eq!(streaming.first_content, Some(Timestamp(1006)));
    assert_eq!(streaming.chunks, 3);

    // The first content came at 1006, one chunk followed; [DONE] is none.
    assert_eq!(
        (streaming.mean_gap, streaming.largest_gap, streaming.stalled),
        (Some(Duration::from_nanos(1)), Some(Duration::from_nanos(1)), Some(false))
    );

    let call = Exchange::openai().request(REQUEST).json(200, ANSWER).call();
    assert!(!call.streaming.streamed);
    assert_eq!((call.streaming.largest_gap, call.streaming.stalled), (None, None));
    assert_eq!((call.streaming.first_chunk, call.streaming.first_content), (Some(Timestamp(1005)), None));
    assert_eq!((call.end, call.streaming.chunks), (Timestamp(1006), 0));
}

#[test]
fn what_headers_tell_of_limits() {
    let call = Exchange::openai()
        .request(REQUEST)
        .status(429, &[("retry-after", "7"), ("x-ratelimit-remaining-tokens", "0")])
        .then(EventKind::ResponseBody(Body::Bytes(r#"{"error":{"code":"c","type":"t"}}"#.into())))
        .call();
    assert_eq!(call.transport.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(call.transport.rate_limits.tokens.remaining, Some(0));
    let error = call.error.unwrap();
    assert_eq!((error.kind.as_str(), error.provider_type.as_deref()), ("c", Some("t")));
}

/// What came before, in or behind a gap is not known: neither when the first chunk came nor how far apart they were.
#[test]
fn the_pace_of_a_stream_with_gaps() {
    let chunks = || super::harness::sse(CHUNKS);
    let exchange = || Exchange::openai().request(REQUEST).stream("");
    let cases = [
        (exchange().more(chunks()).gap(Some(7)).more(chunks()), Some(1005), Some(1006)),
        (exchange().gap(None).more(chunks()), None, None),
        (exchange().more(chunks()[..1].to_vec()).gap(Some(7)).more(chunks()), Some(1005), None),
    ];
    for (exchange, first_chunk, first_content) in cases {
        let streaming = exchange.run(ExchangeEnd::ClosedRemotely).unwrap().streaming;
        assert_eq!(streaming.first_chunk.map(|at| at.0), first_chunk);
        assert_eq!(streaming.first_content.map(|at| at.0), first_content);
        assert_eq!((streaming.mean_gap, streaming.largest_gap), (None, None));
        assert_eq!((streaming.stalled, streaming.stopped_by), (None, None));
    }
}

#[test]
fn a_stream_that_is_stopped() {
    use ExchangeEnd::{ClosedLocally, ClosedRemotely, Complete};
    for (tail, end, by) in [
        ("", ClosedLocally, Some(Party::Client)),
        ("", ClosedRemotely, Some(Party::Server)),
        ("", Complete, Some(Party::Server)),
        (LAST, ClosedLocally, None),
        (DONE, Complete, None),
    ] {
        let exchange = Exchange::openai().request(REQUEST).stream(&format!("{CHUNKS}{tail}"));
        assert_eq!(exchange.run(end).unwrap().streaming.stopped_by, by, "{tail} {end:?}");
    }
    // No stream has begun.
    let call = Exchange::openai().request(REQUEST).run(ClosedRemotely).unwrap();
    assert_eq!(call.streaming.stopped_by, None);
}

/// The text is joined from chunks that know nothing of its fragments; each choice has its own.
#[test]
fn a_stream_that_loops() {
    let chunk = |index: u32, text: &str| {
        format!("data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let text = "Let me check that once more. ".repeat(20);
    let chunks: String = text
        .as_bytes()
        .chunks(7)
        .enumerate()
        .map(|(n, piece)| chunk(0, &n.to_string()) + &chunk(1, std::str::from_utf8(piece).unwrap()))
        .collect();
    let exchange = || Exchange::openai().request(REQUEST).stream(&format!("{chunks}{LAST}{DONE}"));
    let found = exchange().call().response.repetition.unwrap();
    assert_eq!(found.period, 29);
    assert!((18..=20).contains(&found.count), "{found:?}");
    let mut damaged = exchange();
    damaged.events.insert(10, EventKind::ResponseBody(Body::Missing(Missing { len: Some(3), cut: false })));
    assert_eq!(damaged.call().response.repetition, None);
}

/// How an exchange ended, whether the stream had said that it is over, and what the call says of it.
#[test]
fn endings() {
    use ExchangeEnd::{CaptureEnd, Closed, ClosedLocally, ClosedRemotely, Complete, ProcessExit, Unreadable};
    let none: Option<&str> = None;
    let error = Some(FinishReason::Error);
    let stop = Some(FinishReason::Stop);
    let cases = [
        ("", ClosedLocally, Some("client_closed"), ClosedLocally, error.clone()),
        ("", ClosedRemotely, Some("server_closed"), ClosedRemotely, error.clone()),
        ("", Closed, Some("connection_closed"), Closed, error.clone()),
        ("", ProcessExit, Some("process_exit"), ProcessExit, error.clone()),
        ("", Unreadable, none, Unreadable, None),
        ("", Complete, Some("incomplete_stream"), Complete, error),
        ("", CaptureEnd, none, CaptureEnd, None),
        (LAST, ClosedLocally, none, Complete, stop.clone()),
        (LAST, CaptureEnd, none, Complete, stop.clone()),
        (LAST, Complete, none, Complete, stop),
        (DONE, ClosedLocally, none, Complete, None),
    ];
    for (tail, end, kind, ended, finish) in cases {
        let exchange = Exchange::openai().request(REQUEST).stream(&format!("{CHUNKS}{tail}"));
        let account = Arc::clone(&exchange.account);
        let call = exchange.run(end).unwrap();
        let case = format!("{tail:?} {end:?}");
        assert_eq!(call.error.as_ref().map(|e| e.kind.as_str()), kind, "{case}");
        assert_eq!(call.ended, Some(ended), "{case}");
        assert_eq!(call.response.generations[0].finish_reason, finish, "{case}");
        let cut = u64::from(ended != Complete || kind.is_some());
        assert_eq!((account.get(Counter::Calls), account.get(Counter::CallsCut)), (1, cut), "{case}");
        // A connection may be kept for hours after the answer.
        let last = u64::from(ended == Complete && end != Complete);
        assert_eq!(call.end.0, 1007 + u64::from(!tail.is_empty()) - last, "{case}");
    }
}

#[test]
fn the_server_side_closes_the_other_way_round() {
    let cases = [
        (Role::Client, ExchangeEnd::ClosedLocally, "client_closed"),
        (Role::Client, ExchangeEnd::ClosedRemotely, "server_closed"),
        (Role::Server, ExchangeEnd::ClosedLocally, "server_closed"),
        (Role::Server, ExchangeEnd::ClosedRemotely, "client_closed"),
        (Role::Client, ExchangeEnd::Closed, "connection_closed"),
    ];
    for (role, end, kind) in cases {
        let exchange = || {
            let mut head = head("POST", "api.openai.com", "/v1/chat/completions");
            head.role = role;
            Exchange::new(head).request(REQUEST)
        };
        let case = format!("{role:?} {end:?}");
        let before = exchange().run(end).unwrap();
        assert_eq!(before.error.unwrap().kind, format!("{kind}_before_answer"), "{case}");
        // The head, or all of the answer, may be what is missing.
        let missed = exchange().gap(Some(100)).json(200, "{").run(end).unwrap();
        assert_eq!(missed.error.unwrap().kind, kind, "{case}");
        for begun in [exchange().status(200, &[]), exchange().json(200, &ANSWER[..20])] {
            assert_eq!(begun.run(end).unwrap().error.unwrap().kind, kind, "{case}");
        }
    }
}

/// A gap may hide anything that would have stood in it, so nothing is said of that.
#[test]
fn gaps_in_streams() {
    let chunks = || Exchange::openai().request(REQUEST).stream(CHUNKS);
    let call = chunks().gap(Some(70)).run(ExchangeEnd::ClosedLocally).unwrap();
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::ClosedLocally)));
    assert_eq!(call.response.generations[0].finish_reason, None);
    assert_eq!(call.damage.response.lost, 70);

    // Something came after the gap, so it did break off; what the gap hid is still not known.
    let more = super::harness::sse(CHUNKS);
    let call = chunks().gap(None).more(more).run(ExchangeEnd::ClosedLocally).unwrap();
    assert_eq!(call.error.unwrap().kind, "client_closed");
    assert_eq!(call.response.generations[0].finish_reason, None);
    assert!(call.damage.response.unknown);

    let exchange = chunks().gap(Some(70)).more(super::harness::sse(DONE));
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Complete)));
    assert_eq!(counted(&account), [(Counter::Calls, 1), (Counter::CallsDamaged, 1)]);
}

/// What went unread was not seen to fail, but it was not seen whole either.
#[test]
fn a_response_that_was_never_seen_is_no_error() {
    let call = Exchange::openai().request(REQUEST).run(ExchangeEnd::Unreadable).unwrap();
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Unreadable)));
    assert!(call.damage.response.unknown);
}

#[test]
fn bodies_with_holes_are_not_read() {
    let missing = |cut| Body::Missing(Missing { len: Some(5), cut });
    let call = Exchange::openai()
        .then(EventKind::RequestBody(Body::Bytes(REQUEST.into())))
        .then(EventKind::RequestBody(missing(true)))
        .then(EventKind::RequestEnd)
        .json(200, ANSWER)
        .then(EventKind::ResponseBody(missing(false)))
        .call();
    assert_eq!((call.request.model, call.response.id), (None, None));
    assert_eq!((call.damage.request.cut, call.damage.response.lost), (5, 5));
    assert!(!call.damage.request_malformed && !call.damage.response_malformed);
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Complete)));
}

#[test]
fn limits_are_reached() {
    let mut exchange = Exchange::openai();
    exchange.limits = Limits { body: 100, ..Limits::default() };
    let long = format!(r#"{{"model":"m","messages":[],"x":"{}"}}"#, "y".repeat(300));
    let call = exchange.request(&long).json(200, r#"{"id":"c1","model":"m"}"#).call();
    assert_eq!((call.request.model, call.response.id.as_deref()), (None, Some("c1")));
    assert!(call.damage.request.cut > 0 && !call.damage.response.any());

    let mut exchange = Exchange::openai();
    exchange.limits = Limits { content: 3, items: 2, choices: 1, ..Limits::default() };
    let account = Arc::clone(&exchange.account);
    let request =
        r#"{"model":"m","messages":[{"role":"user","content":"abcdef"},{"role":"user","content":"x"}]}"#;
    let chunk = "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"wxyz\"}},{\"index\":1,\"delta\":{\"content\":\"q\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
    let call = exchange.request(request).stream(&format!("{chunk}{DONE}")).call();
    assert_eq!(format!("{:?}", call.request.messages[0].parts), r#"[Text(Content { text: "abc", cut: 3 })]"#);
    assert_eq!(call.request.messages.len(), 1);
    let parts = format!("{:?}", call.response.generations[0].message.parts);
    assert_eq!(parts, r#"[Text(Content { text: "wxy", cut: 1 })]"#);
    assert_eq!((call.response.generations.len(), call.usage.output), (1, Some(4)));
    assert_eq!(call.omitted, 2);
    assert_eq!(account.get(Counter::PartsOmitted), 2);
}

#[test]
fn malformed_bodies_are_counted() {
    let exchange = Exchange::openai().request("{").json(200, "<html>");
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert!(call.damage.request_malformed && call.damage.response_malformed);
    assert_eq!(counted(&account), [(Counter::Calls, 1), (Counter::BodiesMalformed, 2)]);

    // A proxy's page is no answer of the API, and half an answer is no malformed one.
    let call = Exchange::openai().request(REQUEST).json(502, "<html>").call();
    assert_eq!((call.damage.response_malformed, call.error.unwrap().kind.as_str()), (false, "502"));
    let call = Exchange::openai().request(REQUEST).json(200, &ANSWER[..20]).run(ExchangeEnd::ClosedRemotely);
    let call = call.unwrap();
    assert_eq!((call.damage.response_malformed, call.error.unwrap().kind.as_str()), (false, "server_closed"));
    let call = Exchange::openai().request(REQUEST).json(200, ANSWER).run(ExchangeEnd::ClosedLocally).unwrap();
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Complete)));

    let call = Exchange::openai().request(REQUEST).stream(&format!("data: {{oops\n\n{CHUNKS}{DONE}")).call();
    assert!(call.damage.response_malformed);
    assert_eq!(call.response.id.as_deref(), Some("c1"));
}

#[test]
fn a_request_that_was_never_finished() {
    let call = Exchange::openai()
        .then(EventKind::RequestBody(Body::Bytes(REQUEST[..30].into())))
        .run(ExchangeEnd::ProcessExit)
        .unwrap();
    assert_eq!((call.request.model, call.damage.request_malformed), (None, false));
    assert_eq!(call.error.unwrap().kind, "process_exit");
}

/// JSON that looks like what the APIs speak, with anything in any place.
fn json() -> impl Strategy<Value = String> {
    const KEYS: &[&str] = &[
        "type",
        "index",
        "delta",
        "message",
        "content",
        "choices",
        "id",
        "model",
        "usage",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "text",
        "input",
        "content_block",
        "partial_json",
        "stop_reason",
        "finish_reason",
        "error",
        "code",
        "messages",
        "role",
        "system",
        "tools",
        "source",
        "data",
        "stop",
        "response_format",
        "input_tokens",
        "prompt_tokens",
        "audio",
        "thinking",
        "reasoning",
    ];
    const WORDS: &[&str] = &[
        "text",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "message_delta",
        "message_stop",
        "text_delta",
        "input_json_delta",
        "tool_use",
        "tool_result",
        "image",
        "base64",
        "message",
        "stop",
        "tool",
        "",
        "data:,x",
        "é\\ud800",
        "image_url",
        "error",
    ];
    let leaf = prop_oneof![
        proptest::sample::select(WORDS).prop_map(|word| format!("\"{word}\"")),
        any::<i64>().prop_map(|n| n.to_string()),
        (-2i64..3).prop_map(|n| n.to_string()),
        Just("1e999".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let pair = (proptest::sample::select(KEYS), inner.clone()).prop_map(|(k, v)| format!("\"{k}\":{v}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(pair, 0..8).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_survived(request in json(), events in proptest::collection::vec(json(), 0..6), openai: bool) {
        let new = || if openai { Exchange::openai() } else { Exchange::anthropic() };
        let events = events.into_iter().map(|data| SseEvent { event: "".into(), data: data.into() }).collect::<Vec<_>>();
        let body = events.first().map_or_else(String::new, |e| String::from_utf8_lossy(&e.data).into_owned());
        prop_assert!(new().request(&request).json(200, &body).run(ExchangeEnd::Complete).is_some());
        prop_assert!(new().request(&request).json(400, &body).run(ExchangeEnd::Complete).is_some());
        prop_assert!(new().request(&request).stream("").more(events).run(ExchangeEnd::ClosedLocally).is_some());
    }

    #[test]
    fn any_bytes_are_survived(request: Vec<u8>, response: Vec<u8>, openai: bool) {
        let new = || if openai { Exchange::openai() } else { Exchange::anthropic() };
        let bytes = EventKind::ResponseBody(Body::Bytes(response.clone().into()));
        prop_assert!(new().request_bytes(&request).status(200, &[]).then(bytes).run(ExchangeEnd::Complete).is_some());
        let event = SseEvent { event: "".into(), data: response.into() };
        prop_assert!(new().request_bytes(&request).stream("").more(vec![event]).run(ExchangeEnd::Complete).is_some());
    }
}
