use std::sync::Arc;

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, OutputType, Part, Usage,
        tests::harness::{Exchange, head, sse, stream_of},
    },
    wire::{Body, EventKind, ExchangeEnd, ExchangeId, SseEvent},
};

const MINIMAL: &str = r#"{"model":"m","input":"hi"}"#;

fn openai() -> Exchange {
    Exchange::new(head("POST", "api.openai.com", "/v1/responses"))
}

/// A call with this request, and how many values of it were new.
fn asked(body: &str) -> (Call, u64) {
    let exchange = openai().request(body);
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert!(!call.damage.request_malformed, "{body}");
    (call, account.get(Counter::UnknownValues))
}

fn answered(body: &str) -> Call {
    openai().request(MINIMAL).json(200, body).call()
}

fn streamed(events: &[&str], end: ExchangeEnd) -> Call {
    openai().request(MINIMAL).stream(&stream_of(events)).run(end).unwrap()
}

fn short(part: &Part) -> String {
    let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    match part {
        Part::Text(content) => format!("text:{}", content.text),
        Part::Reasoning(content) => format!("reasoning:{}", content.text),
        Part::Refusal(content) => format!("refusal:{}", content.text),
        Part::ToolCall { id: i, name, arguments } => format!("call:{}:{name}:{}", id(i), arguments.text),
        Part::ToolCallResponse { id: i, response } => format!("result:{}:{}", id(i), response.text),
        Part::ServerToolCall { id: i, name, arguments } => {
            format!("server:{}:{name}:{}", id(i), arguments.text)
        }
        Part::ServerToolCallResponse { id: i, response } => format!("served:{}:{}", id(i), response.text),
        Part::Blob { modality, mime_type, encoded_len, .. } => {
            format!("blob:{modality}:{}:{encoded_len}", id(mime_type))
        }
        Part::Uri { modality, uri, .. } => format!("uri:{modality}:{uri}"),
        Part::File { modality, file_id } => format!("file:{modality}:{file_id}"),
        Part::Generic { kind, .. } => format!("generic:{kind}"),
    }
}

fn output(call: &Call) -> Vec<String> {
    call.response.generations.iter().flat_map(|g| &g.message.parts).map(short).collect()
}

/// The finish reason, and the provider's word.
fn finish(call: &Call) -> (Option<FinishReason>, Option<&str>) {
    let generation = &call.response.generations[0];
    (generation.finish_reason.clone(), generation.provider_finish_reason.as_deref())
}

#[test]
fn parameters() {
    let (call, unknown) = asked(
        r#"{"model":"m","input":"hi","instructions":"be brief","stream":true,"temperature":0.5,"top_p":1,
        "max_output_tokens":9,"reasoning":{"effort":"low","summary":"auto"},"text":{"format":{"type":"json_schema"},
        "verbosity":"low"},"service_tier":"flex","conversation":{"id":"conv_1"},"previous_response_id":"resp_0",
        "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"}},{"type":"web_search"}]}"#,
    );
    let request = &call.request;
    assert_eq!((request.model.as_deref(), request.stream, unknown), (Some("m"), Some(true), 0));
    assert_eq!((request.temperature, request.top_p, request.max_tokens), (Some(0.5), Some(1.0), Some(9)));
    assert_eq!(request.reasoning_level.as_deref(), Some("low"));
    assert_eq!(
        (request.output_type, request.service_tier.as_deref()),
        (Some(OutputType::Json), Some("flex"))
    );
    assert_eq!(request.conversation_id.as_deref(), Some("conv_1"));
    assert_eq!(request.previous_response_id.as_deref(), Some("resp_0"));
    assert_eq!(request.system.iter().map(short).collect::<Vec<_>>(), ["text:be brief"]);
    assert_eq!(
        (&*request.messages[0].role, short(&request.messages[0].parts[0])),
        ("user", "text:hi".to_owned())
    );
    let tools: Vec<_> =
        request.tools.iter().map(|t| (&*t.kind, t.name.as_deref(), t.parameters.is_some())).collect();
    assert_eq!(tools, [("function", Some("f"), true), ("web_search", None, false)]);
    assert_eq!(
        asked(r#"{"model":"m","conversation":"conv_2"}"#).0.request.conversation_id.as_deref(),
        Some("conv_2")
    );
    let (call, unknown) = asked(r#"{"model":"m","text":{"format":{"type":"new"}},"temperature":"warm"}"#);
    assert_eq!((call.request.output_type, call.request.temperature, unknown), (None, None, 2));
}

#[test]
fn items_of_every_kind() {
    let cases = [
        (r#"{"role":"user","content":"u"}"#, "user", vec!["text:u"]),
        (
            r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"u"},
            {"type":"input_image","image_url":"data:image/png;base64,AAAA"},{"type":"input_image","file_id":"file_1"},
            {"type":"input_file","file_url":"https://x.example/a.pdf"},{"type":"input_file","filename":"a","file_data":"AAA"},
            {"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}"#,
            "user",
            vec![
                "text:u",
                "blob:image:image/png:4",
                "file:image:file_1",
                "uri:document:https://x.example/a.pdf",
                "blob:document:-:3",
                "blob:audio:audio/wav:2",
            ],
        ),
        (
            r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"no"}]}"#,
            "assistant",
            vec!["text:a", "refusal:no"],
        ),
        (
            r#"{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"s"}],"content":[{"type":"reasoning_text","text":"r"}]}"#,
            "assistant",
            vec!["reasoning:s", "reasoning:r"],
        ),
        (
            r#"{"type":"function_call","id":"fc","call_id":"c1","name":"f","arguments":"{}"}"#,
            "assistant",
            vec!["call:c1:f:{}"],
        ),
        (
            r#"{"type":"custom_tool_call","call_id":"c2","name":"g","input":"free"}"#,
            "assistant",
            vec!["call:c2:g:free"],
        ),
        (
            r#"{"type":"function_call_output","call_id":"c1","output":"ok"}"#,
            "tool",
            vec![r#"result:c1:"ok""#],
        ),
        (
            r#"{"type":"local_shell_call","call_id":"c3","action":{"command":["ls"]}}"#,
            "assistant",
            vec![r#"call:c3:local_shell:{"command":["ls"]}"#],
        ),
        (r#"{"type":"shell_call_output","call_id":"c3","output":[]}"#, "tool", vec!["result:c3:[]"]),
        (
            r#"{"type":"web_search_call","id":"ws","action":{"type":"search","query":"q"}}"#,
            "assistant",
            vec![r#"server:ws:web_search:{"type":"search","query":"q"}"#],
        ),
        (
            r#"{"type":"code_interpreter_call","id":"ci","code":"1+1","outputs":[{"type":"logs","logs":"2"}]}"#,
            "assistant",
            vec!["server:ci:code_interpreter:1+1", r#"served:ci:[{"type":"logs","logs":"2"}]"#],
        ),
        (
            r#"{"type":"image_generation_call","id":"ig","result":"AAAA"}"#,
            "assistant",
            vec!["server:ig:image_generation:", "blob:image:-:4"],
        ),
        (
            r#"{"type":"mcp_call","id":"mcp","name":"roll","arguments":"{\"d\":6}","output":"4"}"#,
            "assistant",
            vec![r#"server:mcp:roll:{"d":6}"#, r#"served:mcp:"4""#],
        ),
        (
            r#"{"type":"tool_search_call","execution":"client","call_id":"t","arguments":{"q":1}}"#,
            "assistant",
            vec![r#"call:t:tool_search:{"q":1}"#],
        ),
        (
            r#"{"type":"tool_search_output","execution":"client","call_id":"t","tools":[]}"#,
            "tool",
            vec!["result:t:[]"],
        ),
        (
            r#"{"type":"tool_search_call","execution":"server","id":"t","arguments":{"q":1}}"#,
            "assistant",
            vec![r#"server:t:tool_search:{"q":1}"#],
        ),
        (
            r#"{"type":"tool_search_output","execution":"server","id":"t","tools":[]}"#,
            "assistant",
            vec!["served:t:[]"],
        ),
        (r#"{"type":"compaction","encrypted_content":"x"}"#, "assistant", vec!["generic:compaction"]),
        (
            r#"{"type":"additional_tools","role":"developer","tools":[]}"#,
            "developer",
            vec!["generic:additional_tools"],
        ),
    ];
    for (item, role, parts) in cases {
        let (call, unknown) = asked(&format!(r#"{{"model":"m","input":[{item}]}}"#));
        let message = &call.request.messages[0];
        assert_eq!((&*message.role, unknown), (role, 0), "{item}");
        assert_eq!(message.parts.iter().map(short).collect::<Vec<_>>(), parts, "{item}");
    }
    let (call, unknown) = asked(
        r#"{"model":"m","input":[{"type":"hologram"},{"type":"reasoning","encrypted_content":"x"},7]}"#,
    );
    assert_eq!(
        (short(&call.request.messages[0].parts[0]), call.request.messages.len(), unknown),
        ("generic:hologram".into(), 1, 2)
    );
}

#[test]
fn whole_answers() {
    let call = answered(
        r#"{"id":"resp_1","object":"response","model":"m-1","status":"completed","service_tier":"default","error":null,
        "conversation":{"id":"conv_1"},"output":[{"type":"reasoning","summary":[]},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}],
        "usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,
        "output_tokens_details":{"reasoning_tokens":3},"total_tokens":15}}"#,
    );
    assert_eq!((call.response.id.as_deref(), call.response.model.as_deref()), (Some("resp_1"), Some("m-1")));
    assert_eq!(
        (call.response.service_tier.as_deref(), call.request.conversation_id.as_deref()),
        (Some("default"), Some("conv_1"))
    );
    assert_eq!(
        (output(&call), finish(&call)),
        (vec!["text:hi".to_owned()], (Some(FinishReason::Stop), Some("completed")))
    );
    let usage = Usage {
        input: Some(10),
        output: Some(5),
        cache_read: Some(4),
        reasoning: Some(3),
        ..Usage::default()
    };
    assert_eq!((call.usage, call.error), (usage, None));
}

#[test]
fn finish_reasons_and_errors() {
    let call = r#"[{"type":"message","role":"assistant","content":[]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#;
    let search = r#"[{"type":"web_search_call","id":"w","action":{}}]"#;
    let cases = [
        ("completed", "null", call, Some(FinishReason::ToolCall), Some("completed"), None),
        ("completed", "null", search, Some(FinishReason::Stop), Some("completed"), None),
        (
            "incomplete",
            r#"{"reason":"max_output_tokens"}"#,
            "[]",
            Some(FinishReason::Length),
            Some("max_output_tokens"),
            None,
        ),
        (
            "incomplete",
            r#"{"reason":"content_filter"}"#,
            "[]",
            Some(FinishReason::ContentFilter),
            Some("content_filter"),
            None,
        ),
        ("incomplete", "null", "[]", None, Some("incomplete"), None),
        ("failed", "null", "[]", Some(FinishReason::Error), Some("failed"), Some("server_error")),
        ("cancelled", "null", "[]", Some(FinishReason::Error), Some("cancelled"), None),
    ];
    for (status, details, items, reason, word, error) in cases {
        let failure = error.map_or("null".to_owned(), |code| format!(r#"{{"code":"{code}","message":"m"}}"#));
        let body = format!(
            r#"{{"object":"response","status":"{status}","incomplete_details":{details},"output":{items},"error":{failure}}}"#
        );
        let event = format!(r#"{{"type":"response.{status}","response":{body}}}"#);
        for call in [answered(&body), streamed(&[&event], ExchangeEnd::Complete)] {
            assert_eq!(finish(&call), (reason.clone(), word), "{status}");
            assert_eq!(call.error.map(|error| error.kind).as_deref(), error, "{status}");
        }
    }
    let queued = answered(r#"{"object":"response","id":"resp_1","status":"queued","output":[]}"#);
    assert!(queued.response.generations.is_empty() && queued.error.is_none());
    let refused = openai()
        .request(MINIMAL)
        .json(400, r#"{"error":{"code":null,"type":"invalid_request_error","message":"m"}}"#);
    assert_eq!(refused.call().error.unwrap().kind, "invalid_request_error");
    let other = openai().request(MINIMAL).json(200, "{}").call();
    assert!(other.damage.response_malformed);
}

const STREAM: [&str; 9] = [
    r#"{"type":"response.created","response":{"object":"response","id":"resp_1","model":"m-1","status":"in_progress","service_tier":"auto","output":[],"usage":null}}"#,
    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","summary":[]}}"#,
    r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"delta":"hm"}"#,
    r#"{"type":"response.output_item.added","output_index":1,"item":{"type":"message","role":"assistant","content":[]}}"#,
    r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"he"}"#,
    r#"{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"llo"}"#,
    r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hello"}]}}"#,
    r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c1","name":"f","arguments":""}}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\":1"}"#,
];

#[test]
fn streams_put_together_from_their_events() {
    // The client goes away.
    let call = streamed(&STREAM, ExchangeEnd::ClosedLocally);
    assert_eq!(output(&call), ["reasoning:hm", "text:hello", r#"call:c1:f:{"a":1"#]);
    assert_eq!(finish(&call), (Some(FinishReason::Error), None));
    assert_eq!(call.error.as_ref().unwrap().kind, "client_closed");
    // The tier that was asked for is not the one that serves.
    assert_eq!(call.response.service_tier, None);
    assert_eq!((call.response.id.as_deref(), call.usage), (Some("resp_1"), Usage::default()));
    assert_eq!((call.streaming.chunks, call.streaming.first_content.map(|t| t.0)), (9, Some(1007)));

    // Its last event repeats all of it, or leaves it out.
    for (items, parts) in [
        ("[]", vec!["reasoning:hm", "text:hello", r#"call:c1:f:{"a":1"#]),
        (
            r#"[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"all"}]}]"#,
            vec!["text:all"],
        ),
    ] {
        let last = format!(
            r#"{{"type":"response.completed","response":{{"object":"response","status":"completed","service_tier":"default","output":{items},"usage":{{"input_tokens":1,"output_tokens":2}}}}}}"#
        );
        let call = streamed(&[&STREAM[..], &[&last]].concat(), ExchangeEnd::ClosedLocally);
        assert_eq!(output(&call), parts);
        assert_eq!((call.ended, call.error.is_none()), (Some(ExchangeEnd::Complete), true));
        assert_eq!((call.usage.input, call.usage.output), (Some(1), Some(2)));
        assert_eq!(call.response.service_tier.as_deref(), Some("default"));
    }
}

#[test]
fn errors_in_streams() {
    for (event, kind) in [
        (r#"{"type":"error","code":"server_error","message":"m","param":null}"#, "server_error"),
        (
            r#"{"type":"error","status":400,"error":{"type":"invalid_request_error","code":"previous_response_not_found","message":"m"}}"#,
            "previous_response_not_found",
        ),
        (r#"{"type":"error","message":"m"}"#, "_OTHER"),
    ] {
        let call = streamed(&[STREAM[0], event], ExchangeEnd::Complete);
        let error = call.error.clone().unwrap();
        // Without a code, the status is all there is to say.
        assert_eq!((&*error.kind, error.message.as_deref()), (kind, Some("m")), "{event}");
        assert_eq!(finish(&call).0, Some(FinishReason::Error));
    }
}

#[test]
fn messages_of_a_session() {
    let mut head = head("GET", "api.openai.com", "/v1/responses");
    head.session = Some(ExchangeId(0));
    let events: Vec<SseEvent> = sse(&stream_of(&STREAM));
    let last = r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#;
    let call = Exchange::new(head)
        .request(r#"{"type":"response.create","model":"m","input":[],"previous_response_id":"resp_0"}"#)
        .status(101, &[("upgrade", "websocket")])
        .more(events)
        .then(EventKind::ResponseBody(Body::Sse(SseEvent { event: "".into(), data: last.into() })))
        .call();
    assert_eq!(
        (call.request.stream, call.request.previous_response_id.as_deref()),
        (Some(true), Some("resp_0"))
    );
    assert_eq!(
        (call.streaming.streamed, call.ended, call.error.is_none()),
        (true, Some(ExchangeEnd::Complete), true)
    );
    assert_eq!((finish(&call).0, call.transport.status), (Some(FinishReason::ToolCall), Some(101)));
}
