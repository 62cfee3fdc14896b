use std::sync::Arc;

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, Limits, OutputType, Part, Provider, Usage,
        tests::harness::{Exchange, head, sse, stream_of},
    },
    wire::ExchangeEnd,
};

const MINIMAL: &str = r#"{"model":"m","max_tokens":5,"messages":[]}"#;

fn request(fields: &str) -> (Call, u64) {
    let exchange = Exchange::anthropic().request(&format!(r#"{{"model":"m","max_tokens":5{fields}}}"#));
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert!(!call.damage.request_malformed, "{fields}");
    (call, account.get(Counter::UnknownValues))
}

fn short(part: &Part) -> String {
    match part {
        Part::Text(content) => format!("text:{}", content.text),
        Part::Reasoning(content) => format!("reasoning:{}", content.text),
        Part::ToolCall { id, name, arguments } => {
            format!("call:{}:{name}:{}", id.as_deref().unwrap_or("-"), arguments.text)
        }
        Part::ToolCallResponse { id, response } => {
            format!("result:{}:{}", id.as_deref().unwrap_or("-"), response.text)
        }
        Part::ServerToolCall { id, name, arguments } => {
            format!("server:{}:{name}:{}", id.as_deref().unwrap_or("-"), arguments.text)
        }
        Part::ServerToolCallResponse { id, response } => {
            format!("served:{}:{}", id.as_deref().unwrap_or("-"), response.text)
        }
        Part::Blob { modality, mime_type, encoded_len, .. } => {
            format!("blob:{modality}:{}:{encoded_len}", mime_type.as_deref().unwrap_or("-"))
        }
        Part::Uri { modality, uri, .. } => format!("uri:{modality}:{uri}"),
        Part::File { modality, file_id } => format!("file:{modality}:{file_id}"),
        Part::Generic { kind, .. } => format!("generic:{kind}"),
        Part::Refusal(content) => format!("refusal:{}", content.text),
    }
}

fn parts(call: &Call) -> Vec<String> {
    call.response.generations[0].message.parts.iter().map(short).collect()
}

#[test]
fn parameters() {
    let (call, unknown) = request(
        r#","stream":true,"temperature":0.5,"top_p":0.25,"top_k":40,"stop_sequences":["a"],"service_tier":"auto",
        "output_config":{"effort":"high","format":{"type":"json_schema","schema":{}}},"thinking":{"type":"enabled","budget_tokens":1024},
        "messages":[]"#,
    );
    let request = call.request;
    assert_eq!((request.model.as_deref(), request.max_tokens), (Some("m"), Some(5)));
    assert_eq!(
        (request.stream, request.temperature, request.top_p, request.top_k),
        (Some(true), Some(0.5), Some(0.25), Some(40))
    );
    assert_eq!(
        (request.stop_sequences, request.service_tier.as_deref()),
        (vec!["a".to_owned()], Some("auto"))
    );
    assert_eq!(
        (request.reasoning_level.as_deref(), request.output_type),
        (Some("high"), Some(OutputType::Json))
    );
    assert_eq!(unknown, 0);
}

#[test]
fn system_instructions() {
    let cases = [
        ("", vec![]),
        (r#","system":"be kind""#, vec!["text:be kind"]),
        (
            r#","system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]"#,
            vec!["text:a", "text:b"],
        ),
        (r#","system":null"#, vec![]),
    ];
    for (fields, expected) in cases {
        let (call, unknown) = request(fields);
        let found: Vec<_> = call.request.system.iter().map(short).collect();
        assert_eq!((found, unknown), (expected.iter().map(|s| (*s).to_owned()).collect(), 0), "{fields}");
    }
}

#[test]
fn blocks_of_every_kind() {
    // Block, part, values that are new to us.
    let cases = [
        (r#"{"type":"text","text":"hi"}"#, "text:hi", 0),
        (r#"{"type":"thinking","thinking":"hm","signature":"s"}"#, "reasoning:hm", 0),
        (r#"{"type":"redacted_thinking","data":"x"}"#, "generic:redacted_thinking", 0),
        (r#"{"type":"tool_use","id":"t","name":"f","input":{"a": 1}}"#, r#"call:t:f:{"a": 1}"#, 0),
        (r#"{"type":"tool_result","tool_use_id":"t","content":"r"}"#, r#"result:t:"r""#, 0),
        (r#"{"type":"tool_result","tool_use_id":"t","is_error":true}"#, "result:t:null", 0),
        (
            r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#,
            "server:s:web_search:{}",
            0,
        ),
        (r#"{"type":"mcp_tool_use","id":"s","name":"f","input":{}}"#, "server:s:f:{}", 0),
        (r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[]}"#, "served:s:[]", 0),
        (r#"{"type":"mcp_tool_result","tool_use_id":"s","content":[]}"#, "served:s:[]", 0),
        (
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}"#,
            "blob:image:image/png:4",
            0,
        ),
        (r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#, "uri:image:https://x", 0),
        (r#"{"type":"document","source":{"type":"file","file_id":"file_1"}}"#, "file:document:file_1", 0),
        (
            r#"{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA"}}"#,
            "blob:document:application/pdf:2",
            0,
        ),
        (
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"AA"}}"#,
            "generic:document",
            0,
        ),
        (r#"{"type":"container_upload","file_id":"file_1"}"#, "file:document:file_1", 0),
        (r#"{"type":"search_result","source":"x"}"#, "generic:search_result", 0),
        (r#"{"type":"hologram"}"#, "generic:hologram", 1),
    ];
    for (block, expected, new) in cases {
        let (call, unknown) = request(&format!(r#","messages":[{{"role":"user","content":[{block}]}}]"#));
        let found: Vec<_> = call.request.messages[0].parts.iter().map(short).collect();
        assert_eq!((found, unknown), (vec![expected.to_owned()], new), "{block}");
        // An answer has the same blocks.
        let body = format!(r#"{{"type":"message","id":"m1","content":[{block}],"stop_reason":"end_turn"}}"#);
        assert_eq!(
            parts(&Exchange::anthropic().request(MINIMAL).json(200, &body).call()),
            [expected],
            "{block}"
        );
    }
}

#[test]
fn tools() {
    let (call, unknown) = request(
        r#","messages":[],"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}},{"type":"custom","name":"g"},
        {"type":"web_search_20250305","name":"web_search"}]"#,
    );
    let found: Vec<_> = call
        .request
        .tools
        .iter()
        .map(|t| {
            (
                t.kind.as_str(),
                t.name.as_deref(),
                t.description.as_deref(),
                t.parameters.as_ref().map(|p| p.get()),
            )
        })
        .collect();
    let expected = [
        ("function", Some("f"), Some("d"), Some(r#"{"type":"object"}"#)),
        ("function", Some("g"), None, None),
        ("web_search_20250305", Some("web_search"), None, None),
    ];
    assert_eq!((found, unknown), (expected.to_vec(), 0));
}

#[test]
fn usages() {
    let cases = [
        (
            r#"{"input_tokens":10,"output_tokens":4}"#,
            Usage { input: Some(10), output: Some(4), ..Usage::default() },
        ),
        (
            r#"{"input_tokens":10,"output_tokens":4,"cache_creation_input_tokens":3,"cache_read_input_tokens":20,"output_tokens_details":{"thinking_tokens":2}}"#,
            Usage {
                input: Some(33),
                output: Some(4),
                cache_write: Some(3),
                cache_read: Some(20),
                reasoning: Some(2),
                ..Usage::default()
            },
        ),
        (
            r#"{"input_tokens":10,"cache_read_input_tokens":null}"#,
            Usage { input: Some(10), ..Usage::default() },
        ),
        (r#"{"cache_read_input_tokens":5}"#, Usage { cache_read: Some(5), ..Usage::default() }),
        (
            r#"{"input_tokens":9223372036854775807,"output_tokens":-1,"cache_read_input_tokens":1}"#,
            Usage { cache_read: Some(1), ..Usage::default() },
        ),
    ];
    for (usage, expected) in cases {
        let body = format!(r#"{{"type":"message","content":[],"usage":{usage}}}"#);
        assert_eq!(Exchange::anthropic().request(MINIMAL).json(200, &body).call().usage, expected, "{usage}");
    }
}

#[test]
fn answers() {
    let body = r#"{"type":"message","id":"msg_1","model":"m-1","role":"assistant","content":"plain","stop_reason":"refusal","usage":{"service_tier":"standard"}}"#;
    let call = Exchange::anthropic().request(MINIMAL).json(200, body).call();
    let response = &call.response;
    assert_eq!((response.id.as_deref(), response.model.as_deref()), (Some("msg_1"), Some("m-1")));
    assert_eq!(response.service_tier.as_deref(), Some("standard"));
    let generation = &response.generations[0];
    assert_eq!(generation.finish_reason, Some(FinishReason::ContentFilter));
    assert_eq!(generation.provider_finish_reason.as_deref(), Some("refusal"));
    assert_eq!(
        (generation.message.role.as_str(), parts(&call)),
        ("assistant", vec!["text:plain".to_owned()])
    );
}

#[test]
fn errors() {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    let cases = [
        (529, overloaded, "overloaded_error"),
        (200, overloaded, "overloaded_error"),
        (500, "oops", "500"),
        (400, "{}", "400"),
    ];
    for (status, body, kind) in cases {
        let call = Exchange::anthropic().request(MINIMAL).json(status, body).call();
        assert_eq!(call.error.expect(body).kind, kind, "{status} {body}");
        assert!(call.response.generations.is_empty());
    }
}

const START: &str = r#"{"type":"message_start","message":{"type":"message","id":"msg_1","model":"m-1","role":"assistant","content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1,"service_tier":"standard"}}}"#;
const TEXT: &str = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HI: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#;
const DELTA: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#;
const SO_FAR: &str = r#"{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":3}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;

fn stream(list: &[&str], end: ExchangeEnd) -> Call {
    Exchange::anthropic().request(MINIMAL).stream(&stream_of(list)).run(end).unwrap()
}

#[test]
fn streams() {
    let call = stream(
        &[
            START,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"x"}}"#,
            r#"{"type":"content_block_start","index":2,"content_block":{"type":"text","text":"a"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"b"}}"#,
            r#"{"type":"content_block_delta","index":2,"delta":{"type":"citations_delta","citation":{}}}"#,
            r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}"#,
            r#"{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"1}"}}"#,
            r#"{"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"u","name":"g","input":{}}}"#,
            r#"{"type":"content_block_start","index":5,"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}"#,
            r#"{"type":"content_block_delta","index":5,"delta":{"type":"input_json_delta","partial_json":"{\"q\":1}"}}"#,
            r#"{"type":"content_block_start","index":6,"content_block":{"type":"web_search_tool_result","tool_use_id":"s","content":[]}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"input_tokens":12,"output_tokens":9}}"#,
            STOP,
        ],
        ExchangeEnd::Complete,
    );
    assert_eq!((call.response.id.as_deref(), call.response.model.as_deref()), (Some("msg_1"), Some("m-1")));
    assert_eq!(call.response.service_tier.as_deref(), Some("standard"));
    let expected = [
        "reasoning:hm",
        "generic:redacted_thinking",
        "text:ab",
        r#"call:t:f:{"x":1}"#,
        "call:u:g:{}",
        r#"server:s:web_search:{"q":1}"#,
        "served:s:[]",
    ];
    assert_eq!(parts(&call), expected);
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::ToolCall));
    // The last report counts, and says only what has changed.
    let usage = Usage { input: Some(17), output: Some(9), cache_read: Some(5), ..Usage::default() };
    assert_eq!((call.usage, call.error), (usage, None));
    // All but the ping.
    assert_eq!(call.streaming.chunks, 18);
}

#[test]
fn streams_that_break_off() {
    let closed = ExchangeEnd::ClosedLocally;
    // Events; how it ended; output tokens, and whether they are partial; the finish reason.
    let cases = [
        (vec![START, TEXT, HI, DELTA, STOP], ExchangeEnd::Complete, Some(7), false, Some(FinishReason::Stop)),
        (vec![START, TEXT, HI, DELTA], ExchangeEnd::Complete, Some(7), false, Some(FinishReason::Stop)),
        (vec![START, TEXT, HI], closed, Some(1), true, Some(FinishReason::Error)),
        (vec![START, TEXT, HI, SO_FAR], closed, Some(3), true, Some(FinishReason::Error)),
        (vec![START], closed, Some(1), true, Some(FinishReason::Error)),
    ];
    for (list, ended, output, partial, finish) in cases {
        let call = stream(&list, closed);
        assert_eq!(call.ended, Some(ended), "{list:?}");
        assert_eq!((call.usage.output, call.usage.partial), (output, partial), "{list:?}");
        assert_eq!(call.response.generations[0].finish_reason, finish, "{list:?}");
        assert_eq!(call.error.is_some(), ended == closed, "{list:?}");
    }
    let call = stream(&[], closed);
    assert!(call.response.generations.is_empty() && call.error.is_some());
}

#[test]
fn what_a_gap_swallowed_is_not_made_up() {
    // The beginning of the message.
    let call = Exchange::anthropic()
        .request(MINIMAL)
        .stream("")
        .gap(Some(500))
        .more(sse(&stream_of(&[HI, DELTA, STOP])))
        .call();
    assert_eq!((call.response.id.as_deref(), parts(&call)), (None, vec!["text:hi".to_owned()]));
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (None, Some(7), false));
    // What was cached stood there; input without it is not all.
    let delta = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"output_tokens":7}}"#;
    let call = Exchange::anthropic()
        .request(MINIMAL)
        .stream("")
        .gap(Some(500))
        .more(sse(&stream_of(&[HI, delta, STOP])))
        .call();
    assert_eq!((call.usage.input, call.usage.partial), (Some(10), true));
    // The total: what `message_start` had counted is not it.
    let call = Exchange::anthropic()
        .request(MINIMAL)
        .stream(&stream_of(&[START, TEXT, HI]))
        .gap(Some(90))
        .more(sse(&stream_of(&[STOP])))
        .call();
    assert_eq!((call.usage.output, call.usage.partial), (Some(1), true));
    assert_eq!((call.ended, call.error), (Some(ExchangeEnd::Complete), None));
    assert_eq!(call.response.generations[0].finish_reason, None);
    // A tool's name: arguments without it are nobody's.
    let fragment =
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#;
    let call = Exchange::anthropic()
        .request(MINIMAL)
        .stream(&stream_of(&[START]))
        .gap(None)
        .more(sse(&stream_of(&[fragment, DELTA])))
        .call();
    assert!(parts(&call).is_empty());
}

#[test]
fn errors_in_streams() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    let call = stream(&[START, TEXT, HI, error], ExchangeEnd::Complete);
    assert_eq!(call.error.unwrap().kind, "overloaded_error");
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    let call = stream(&[error], ExchangeEnd::Complete);
    assert_eq!(call.error.unwrap().kind, "overloaded_error");
    assert!(call.response.generations.is_empty());
}

#[test]
fn odd_events_are_counted_and_survived() {
    let mut exchange = Exchange::anthropic().request(MINIMAL).stream(&stream_of(&[
        START,
        TEXT,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"smell_delta"}}"#,
        r#"{"type":"new_event"}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":"over the limit"}}"#,
        HI,
        DELTA,
        STOP,
    ]));
    exchange.limits = Limits { items: 1, ..Limits::default() };
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert_eq!(parts(&call), ["text:hi"]);
    assert_eq!((account.get(Counter::UnknownValues), call.omitted), (4, 1));
}

/// The path has what the body of the API at home has.
#[test]
fn at_vertex_ai() {
    let path = |method: &str| {
        format!("/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4%4020250514:{method}")
    };
    let exchange = |method: &str| {
        let head = head("POST", "us-east5-aiplatform.googleapis.com", &path(method));
        let body = r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
        Exchange::new(head).request(body)
    };
    let model = Some("claude-sonnet-4@20250514");
    let call = exchange("streamRawPredict").stream(&stream_of(&[START, TEXT, HI, DELTA, STOP])).call();
    assert_eq!((call.dialect, call.provider), ("anthropic.messages", Provider::GcpVertexAi));
    assert_eq!((call.request.model.as_deref(), call.request.stream), (model, Some(true)));
    assert_eq!((parts(&call), call.request.messages.len()), (vec!["text:hi".to_owned()], 1));
    let error = r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#;
    let call = exchange("rawPredict").json(404, error).call();
    assert_eq!((call.request.model.as_deref(), call.request.stream), (model, None));
    assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("NOT_FOUND"));
    // Its request was missed.
    let head = head("POST", "us-east5-aiplatform.googleapis.com", &path("rawPredict"));
    let call = Exchange::new(head).json(200, r#"{"type":"message","id":"m"}"#).call();
    assert_eq!((call.request.model.as_deref(), call.response.id.as_deref()), (model, Some("m")));
}
