use super::*;
use crate::{
    genai::{
        FinishReason,
        tests::harness::{Exchange, head},
    },
    wire::ExchangeEnd,
};

const REQUEST: &str = r#"{"model":"command","message":"and now?","chat_history":[{"role":"USER","message":"hi"},
    {"role":"CHATBOT","message":"yo","tool_calls":[{"name":"f","parameters":{"a":1}}]},
    {"role":"TOOL","tool_results":[{"call":{"name":"f"},"outputs":[{"b":2}]}]}],"preamble":"s","conversation_id":"conv","p":0.5,"k":3,
    "max_tokens":9,"tools":[{"name":"f","description":"d","parameter_definitions":{"a":{"type":"int"}}}],"stream":true}"#;

fn exchange(host: &str, body: &str) -> Exchange {
    Exchange::new(head("POST", host, "/v1/chat")).request(body)
}

fn lines(exchange: Exchange, list: &[&str]) -> Exchange {
    let events =
        list.iter().map(|line| SseEvent { event: "".into(), data: (*line).to_owned().into() }).collect();
    exchange.status(200, &[("content-type", "application/stream+json")]).more(events)
}

fn said(call: &Call) -> String {
    format!("{:?}", call.response.generations[0].message.parts)
}

#[test]
fn a_whole_call() {
    let answer = r#"{"response_id":"r","text":"hello","generation_id":"g","chat_history":[],"finish_reason":"MAX_TOKENS",
        "tool_calls":[{"name":"f","parameters":{"a":1}}],
        "meta":{"billed_units":{"input_tokens":58,"output_tokens":11},"tokens":{"input_tokens":69,"output_tokens":12}}}"#;
    let call = exchange("api.cohere.ai", REQUEST).json(200, answer).call();
    assert_eq!((call.dialect, call.provider), ("cohere.chat_v1", Provider::Cohere));
    let request = &call.request;
    let roles: Vec<_> = request.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "user"]);
    let parts: Vec<_> = request.messages.iter().map(|message| message.parts.len()).collect();
    assert_eq!((parts, request.system.len()), (vec![1, 2, 1, 1], 1));
    assert_eq!(request.conversation_id.as_deref(), Some("conv"));
    assert_eq!((request.top_p, request.top_k, request.max_tokens), (Some(0.5), Some(3), Some(9)));
    assert_eq!(request.tools[0].parameters.as_ref().map(|p| p.get()), Some(r#"{"a":{"type":"int"}}"#));
    assert_eq!(call.response.id.as_deref(), Some("r"));
    assert_eq!((call.usage.input, call.usage.output), (Some(69), Some(12)));
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Length));
    assert!(said(&call).contains("hello") && said(&call).contains(r#"name: "f""#));
}

const EVENTS: [&str; 7] = [
    r#"{"is_finished":false,"event_type":"stream-start","generation_id":"g"}"#,
    r#"{"is_finished":false,"event_type":"text-generation","text":"hel"}"#,
    r#"{"is_finished":false,"event_type":"text-generation","text":"lo"}"#,
    r#"{"is_finished":false,"event_type":"tool-calls-chunk","tool_call_delta":{"name":"f","index":0,"parameters":"{\"a\""}}"#,
    r#"{"is_finished":false,"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"parameters":":1}"}}"#,
    r#"{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":[{"name":"f","parameters":{"a":1}}]}"#,
    r#"{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"r","text":"hello","generation_id":"g",
        "finish_reason":"COMPLETE","meta":{"tokens":{"input_tokens":9,"output_tokens":4}}}}"#,
];

#[test]
fn streams() {
    let call = lines(exchange("api.cohere.com", REQUEST), &EVENTS).call();
    let expected = r#"[Text(Content { text: "hello", cut: 0 }), ToolCall { id: None, name: "f", arguments: Content { text: "{\"a\":1}", cut: 0 } }]"#;
    assert_eq!(said(&call), expected);
    assert_eq!((call.response.id.as_deref(), call.usage.output), (Some("r"), Some(4)));
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Stop));
    assert_eq!((call.error, call.streaming.chunks), (None, 7));
    // What was missed stands in the last event again.
    let call = lines(exchange("api.cohere.com", REQUEST), &EVENTS[6..]).call();
    assert_eq!(said(&call), r#"[Text(Content { text: "hello", cut: 0 })]"#);
    // It breaks off among the pieces of a call.
    let call = lines(exchange("api.cohere.com", REQUEST), &EVENTS[..4]).run(ExchangeEnd::ClosedLocally);
    let call = call.unwrap();
    assert!(said(&call).contains(r#"text: "{\"a\"""#), "{}", said(&call));
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    // It fails.
    let failed = r#"{"is_finished":true,"event_type":"stream-end","finish_reason":"ERROR"}"#;
    let call = lines(exchange("api.cohere.com", REQUEST), &[EVENTS[0], EVENTS[1], failed]).call();
    assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("_OTHER"));
}

#[test]
fn errors_and_what_is_none() {
    let call = exchange("api.cohere.com", REQUEST).json(429, r#"{"message":"slow down"}"#).call();
    assert_eq!(call.error.unwrap().message.as_deref(), Some("slow down"));
    let dialect =
        |host, body| exchange(host, body).json(200, "{}").run(ExchangeEnd::Complete).map(|call| call.dialect);
    assert_eq!(dialect("gateway.example", REQUEST), Some("cohere.chat_v1"));
    assert_eq!(dialect("api.cohere.com", r#"{"message":"hi"}"#), Some("cohere.chat_v1"));
    assert_eq!(dialect("chat.example", r#"{"message":"hi","room":5}"#), None);
}
