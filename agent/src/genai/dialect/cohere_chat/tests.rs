use super::*;
use crate::{
    genai::{
        FinishReason, Part,
        call::OutputType,
        tests::harness::{Exchange, head, stream_of},
    },
    wire::ExchangeEnd,
};

const REQUEST: &str = r#"{"model":"command-r","messages":[{"role":"system","content":"s"},
    {"role":"user","content":[{"type":"text","text":"Tokyo?"},{"type":"image_url","image_url":{"url":"https://x.example/a.png"}}]},
    {"role":"assistant","tool_plan":"I look.","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c1","content":"20"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],
    "temperature":0.3,"p":0.9,"k":5,"max_tokens":7,"seed":1,"stop_sequences":["x"],"response_format":{"type":"json_object"}}"#;

fn exchange(host: &str, body: &str) -> Exchange {
    Exchange::new(head("POST", host, "/v2/chat")).request(body)
}

fn parts(call: &Call) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Text(content) => format!("text {}", content.text),
        Part::Reasoning(content) => format!("reasoning {}", content.text),
        Part::ToolCall { id, name, arguments } => {
            format!("call {} {name} {}", id.as_deref().unwrap_or("-"), arguments.text)
        }
        other => format!("{other:?}"),
    };
    call.response
        .generations
        .iter()
        .flat_map(|generation| generation.message.parts.iter().map(part))
        .collect()
}

#[test]
fn a_whole_call() {
    let answer = r#"{"id":"a","message":{"role":"assistant","tool_plan":"I plan.","content":[{"type":"thinking","thinking":"hm"},
        {"type":"text","text":"hot"}],"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}],
        "citations":[{"start":1,"end":2,"text":"o"}]},"finish_reason":"TOOL_CALL",
        "usage":{"billed_units":{"input_tokens":6,"output_tokens":2},"tokens":{"input_tokens":968,"output_tokens":83}}}"#;
    let call = exchange("api.cohere.com", REQUEST).json(200, answer).call();
    assert_eq!((call.dialect, call.provider), ("cohere.chat", Provider::Cohere));
    let request = &call.request;
    assert_eq!((request.model.as_deref(), request.max_tokens), (Some("command-r"), Some(7)));
    assert_eq!((request.top_p, request.top_k, request.seed), (Some(0.9), Some(5), Some(1)));
    assert_eq!((request.messages.len(), request.tools.len(), request.stop_sequences.len()), (4, 1, 1));
    assert_eq!(request.output_type, Some(OutputType::Json));
    assert_eq!(call.response.id.as_deref(), Some("a"));
    assert_eq!((call.usage.input, call.usage.output), (Some(968), Some(83)));
    assert_eq!(parts(&call), ["reasoning I plan.", "reasoning hm", "text hot", r#"call c f {"a":1}"#]);
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::ToolCall));
}

const EVENTS: [&str; 10] = [
    r#"{"id":"a","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#,
    r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I plan."}}}"#,
    r#"{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}"#,
    r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"ho"}}}}"#,
    r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"t"}}}}"#,
    r#"{"type":"content-end","index":0}"#,
    r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c","type":"function","function":{"name":"f","arguments":""}}}}}"#,
    r#"{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{}"}}}}}"#,
    r#"{"type":"tool-call-end","index":0}"#,
    r#"{"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"tokens":{"input_tokens":9,"output_tokens":4}}}}"#,
];

#[test]
fn streams() {
    let call = exchange("api.cohere.com", REQUEST).stream(&stream_of(&EVENTS)).call();
    assert_eq!(parts(&call), ["reasoning I plan.", "text hot", "call c f {}"]);
    assert_eq!((call.response.id.as_deref(), call.streaming.chunks), (Some("a"), 10));
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(9), Some(4), false));
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Complete)));
    // It breaks off.
    let call = exchange("api.cohere.com", REQUEST).stream(&stream_of(&EVENTS[..4]));
    let call = call.run(ExchangeEnd::ClosedRemotely).unwrap();
    assert_eq!(parts(&call), ["reasoning I plan.", "text ho"]);
    assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("server_closed"));
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    // It fails.
    let failed = r#"{"type":"message-end","delta":{"error":"internal","finish_reason":"ERROR"}}"#;
    let call = exchange("api.cohere.com", REQUEST).stream(&stream_of(&[EVENTS[0], failed])).call();
    let error = call.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_deref()), ("_OTHER", Some("internal")));
    // A kind of event that is new to us is counted and changes nothing.
    let new =
        exchange("api.cohere.com", REQUEST).stream(&stream_of(&[EVENTS[0], r#"{"type":"new"}"#, EVENTS[9]]));
    let account = new.account.clone();
    assert_eq!(new.call().response.id.as_deref(), Some("a"));
    assert_eq!(account.get(crate::account::Counter::UnknownValues), 1);
}

#[test]
fn errors_and_what_is_none() {
    let call =
        exchange("api.cohere.com", REQUEST).json(404, r#"{"id":"i","message":"no such model"}"#).call();
    let error = call.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_deref()), ("404", Some("no such model")));
    let run = |host, body| exchange(host, body).json(200, "{}").run(ExchangeEnd::Complete);
    assert!(run("gateway.example", REQUEST).is_some());
    assert!(run("gateway.example", r#"{"model":"m","text":"hello"}"#).is_none());
    assert!(run("api.cohere.com", "no JSON").unwrap().damage.request_malformed);
    assert!(Exchange::new(head("GET", "api.cohere.com", "/v2/chat")).run(ExchangeEnd::Complete).is_none());
}
