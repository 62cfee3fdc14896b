use std::sync::Arc;

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, OutputType, Part, Provider, Usage,
        tests::harness::{Exchange, head},
    },
    wire::{Body, EventKind, ExchangeEnd, SseEvent},
};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const ASKED: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
const AWS: (&str, &str) = ("content-type", "application/vnd.amazon.eventstream");

fn at(path: &str) -> Exchange {
    Exchange::new(head("POST", HOST, path))
}

fn request(fields: &str) -> (Call, u64) {
    let exchange = at("/model/us.m-v1%3A0/converse").request(&format!("{{{fields}}}"));
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
        Part::ServerToolCall { id, name, arguments } => {
            format!("server:{}:{name}:{}", id.as_deref().unwrap_or("-"), arguments.text)
        }
        Part::ToolCallResponse { id, response } => {
            format!("result:{}:{}", id.as_deref().unwrap_or("-"), response.text)
        }
        Part::ServerToolCallResponse { id, response } => {
            format!("served:{}:{}", id.as_deref().unwrap_or("-"), response.text)
        }
        Part::Blob { modality, mime_type, encoded_len, .. } => {
            format!("blob:{modality}:{}:{encoded_len}", mime_type.as_deref().unwrap_or("-"))
        }
        Part::Uri { modality, uri, .. } => format!("uri:{modality}:{uri}"),
        Part::Generic { kind, .. } => format!("generic:{kind}"),
        other => format!("{other:?}"),
    }
}

fn parts(call: &Call) -> Vec<String> {
    call.response.generations[0].message.parts.iter().map(short).collect()
}

#[test]
fn parameters() {
    let (call, unknown) = request(
        r#""messages":[],"inferenceConfig":{"maxTokens":5,"temperature":0.5,"topP":1,"stopSequences":["|"]},
        "additionalModelRequestFields":{"top_k":40,"reasoning_effort":"low"},"serviceTier":{"type":"priority"},
        "outputConfig":{"textFormat":{"type":"json_schema","structure":{}}},"performanceConfig":{"latency":"optimized"}"#,
    );
    let request = call.request;
    assert_eq!((request.model.as_deref(), call.provider), (Some("us.m-v1:0"), Provider::AwsBedrock));
    assert_eq!((request.stream, request.max_tokens, request.temperature), (None, Some(5), Some(0.5)));
    assert_eq!(
        (request.top_p, request.top_k, request.stop_sequences),
        (Some(1.0), Some(40), vec!["|".to_owned()])
    );
    assert_eq!(
        (request.output_type, request.service_tier.as_deref()),
        (Some(OutputType::Json), Some("priority"))
    );
    assert_eq!((request.reasoning_level.as_deref(), unknown), (Some("low"), 0));
}

#[test]
fn what_goes_to_the_model_in_its_own_words() {
    // Additional fields; top-k; how much is to be reasoned.
    let cases = [
        ("{}", None, None),
        (r#"{"topK":7}"#, Some(7), None),
        (r#"{"inferenceConfig":{"topK":9}}"#, Some(9), None),
        (r#"{"reasoning_config":"high"}"#, None, Some("high")),
        (r#"{"reasoningConfig":{"type":"enabled","maxReasoningEffort":"medium"}}"#, None, Some("medium")),
        (r#"{"thinking":{"type":"adaptive"},"output_config":{"effort":"max"}}"#, None, Some("max")),
        (r#"{"reasoning_config":{"type":"enabled","budget_tokens":1024}}"#, None, None),
    ];
    for (fields, top_k, level) in cases {
        let (call, unknown) = request(&format!(r#""messages":[],"additionalModelRequestFields":{fields}"#));
        assert_eq!((call.request.top_k, call.request.reasoning_level.as_deref()), (top_k, level), "{fields}");
        assert_eq!(unknown, 0, "{fields}");
    }
}

#[test]
fn blocks_of_every_kind() {
    // Block, part, values that are new to us.
    let cases = [
        (r#"{"text":"hi"}"#, Some("text:hi"), 0),
        (r#"{"text":""}"#, None, 0),
        (r#"{"cachePoint":{"type":"default"}}"#, None, 0),
        (r#"{"image":{"format":"png","source":{"bytes":"AAAA"}}}"#, Some("blob:image:image/png:4"), 0),
        (
            r#"{"image":{"format":"jpeg","source":{"s3Location":{"uri":"s3://b/k"}}}}"#,
            Some("uri:image:s3://b/k"),
            0,
        ),
        (r#"{"video":{"format":"video/mp4","source":{"bytes":"AA"}}}"#, Some("blob:video:video/mp4:2"), 0),
        (r#"{"video":{"format":"three_gp","source":{"bytes":"AA"}}}"#, Some("blob:video:video/3gpp:2"), 0),
        (r#"{"audio":{"format":"wav","source":{"bytes":"AA"}}}"#, Some("blob:audio:audio/wav:2"), 0),
        (
            r#"{"document":{"name":"n","format":"pdf","source":{"bytes":"AA"}}}"#,
            Some("blob:document:application/pdf:2"),
            0,
        ),
        (
            r#"{"document":{"name":"n","format":"csv","source":{"bytes":"AA"}}}"#,
            Some("blob:document:text/csv:2"),
            0,
        ),
        (r#"{"document":{"name":"n","source":{"text":"said"}}}"#, Some("generic:document"), 0),
        (r#"{"toolUse":{"toolUseId":"t","name":"f","input":{"a": 1}}}"#, Some(r#"call:t:f:{"a": 1}"#), 0),
        (
            r#"{"toolUse":{"toolUseId":"t","name":"f","input":{},"type":"server_tool_use"}}"#,
            Some("server:t:f:{}"),
            0,
        ),
        (
            r#"{"toolResult":{"toolUseId":"t","content":[{"json":1}],"status":"success"}}"#,
            Some(r#"result:t:[{"json":1}]"#),
            0,
        ),
        (
            r#"{"toolResult":{"toolUseId":"t","content":[],"type":"nova_code_interpreter_result"}}"#,
            Some("served:t:[]"),
            0,
        ),
        (r#"{"guardContent":{"text":{"text":"guarded","qualifiers":["query"]}}}"#, Some("text:guarded"), 0),
        (r#"{"guardContent":{"image":{"format":"png"}}}"#, Some("generic:guardContent"), 0),
        (r#"{"reasoningContent":{"reasoningText":{"text":"hm","signature":"s"}}}"#, Some("reasoning:hm"), 0),
        (r#"{"reasoningContent":{"reasoningText":{"text":"","signature":"s"}}}"#, None, 0),
        (r#"{"reasoningContent":{"redactedContent":"AA"}}"#, Some("generic:reasoningContent"), 0),
        (
            r#"{"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[]}}"#,
            Some("text:ab"),
            0,
        ),
        (r#"{"searchResult":{"source":"s"}}"#, Some("generic:searchResult"), 0),
        (r#"{"hologram":{}}"#, Some("generic:hologram"), 1),
    ];
    for (block, expected, new) in cases {
        let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        let (call, unknown) = request(&format!(r#""messages":[{{"role":"user","content":[{block}]}}]"#));
        let found: Vec<_> = call.request.messages[0].parts.iter().map(short).collect();
        assert_eq!((found, unknown), (expected.clone(), new), "{block}");
        // An answer has the same blocks.
        let body = format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{block}]}}}},"stopReason":"end_turn"}}"#
        );
        let call = at("/model/m/converse").request(ASKED).json(200, &body).call();
        assert_eq!(parts(&call), expected, "{block}");
    }
}

#[test]
fn system_instructions_and_tools() {
    let (call, unknown) = request(
        r#""messages":[],"system":[{"text":"be kind"},{"cachePoint":{"type":"default"}}],"toolConfig":{"tools":[
        {"toolSpec":{"name":"f","description":"d","inputSchema":{"json":{"type":"object"}}}},
        {"cachePoint":{"type":"default"}},{"systemTool":{"name":"nova_code_interpreter"}},{"brandNew":{}}]}"#,
    );
    let system: Vec<_> = call.request.system.iter().map(short).collect();
    assert_eq!((system, unknown), (vec!["text:be kind".to_owned()], 1));
    let tools = call.request.tools.iter();
    let tools: Vec<_> = tools
        .map(|t| {
            (&*t.kind, t.name.as_deref(), t.description.as_deref(), t.parameters.as_ref().map(|p| p.get()))
        })
        .collect();
    let expected = [
        ("function", Some("f"), Some("d"), Some(r#"{"type":"object"}"#)),
        ("system_tool", Some("nova_code_interpreter"), None, None),
    ];
    assert_eq!(tools, expected);
}

#[test]
fn answers() {
    // The word on the wire, and the contract's.
    let cases = [
        ("end_turn", FinishReason::Stop),
        ("tool_use", FinishReason::ToolCall),
        ("max_tokens", FinishReason::Length),
        ("guardrail_intervened", FinishReason::ContentFilter),
        ("content_filtered", FinishReason::ContentFilter),
        ("malformed_tool_use", FinishReason::Error),
        ("model_context_window_exceeded", FinishReason::Length),
    ];
    for (word, expected) in cases {
        let body = format!(
            r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"a"}}]}}}},"stopReason":"{word}",
            "usage":{{"inputTokens":3,"outputTokens":2,"totalTokens":15,"cacheReadInputTokens":10}}}}"#
        );
        let call = at("/model/m/converse").request(ASKED).json(200, &body).call();
        let generation = &call.response.generations[0];
        assert_eq!(generation.finish_reason, Some(expected), "{word}");
        assert_eq!(
            (generation.provider_finish_reason.as_deref(), parts(&call)),
            (Some(word), vec!["text:a".to_owned()])
        );
        let usage = Usage { input: Some(13), output: Some(2), cache_read: Some(10), ..Usage::default() };
        assert_eq!((call.usage, call.response.id, call.error), (usage, None, None));
    }
}

#[test]
fn errors() {
    let told = ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/coral/");
    let json = ("content-type", "application/json");
    // Status, head, body; kind and message.
    let cases = [
        (429, vec![told, json], r#"{"message":"slow down"}"#, "ThrottlingException", Some("slow down")),
        (429, vec![told], "", "ThrottlingException", None),
        (403, vec![json], r#"{"__type":"a.b#AccessDenied","Message":"no"}"#, "AccessDenied", Some("no")),
        (400, vec![json], r#"{"message":"bad"}"#, "400", Some("bad")),
        (502, vec![], "<html>", "502", None),
    ];
    for (status, headers, body, kind, message) in cases {
        let exchange = at("/model/m/converse").request(ASKED).status(status, &headers);
        let body = Body::Bytes(body.to_owned().into());
        let call = exchange.then(EventKind::ResponseBody(body)).call();
        let error = call.error.unwrap();
        assert_eq!((&*error.kind, error.message.as_deref()), (kind, message), "{status} {headers:?}");
        assert!(call.response.generations.is_empty());
    }
}

fn event(kind: &str, data: &str) -> SseEvent {
    SseEvent { event: kind.into(), data: data.to_owned().into() }
}

fn stream(events: &[(&str, &str)], end: ExchangeEnd) -> (Call, u64) {
    let events = events.iter().map(|(kind, data)| event(kind, data)).collect();
    let exchange = at("/model/m/converse-stream").request(ASKED).status(200, &[AWS]).more(events);
    let account = Arc::clone(&exchange.account);
    (exchange.run(end).unwrap(), account.get(Counter::UnknownValues))
}

const START: (&str, &str) = ("messageStart", r#"{"p":"abc","role":"assistant"}"#);
const TEXT: (&str, &str) = ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"a"}}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const METADATA: (&str, &str) =
    ("metadata", r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"outputTokens":2}}"#);

#[test]
fn streams() {
    let (call, unknown) = stream(
        &[
            START,
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"hm"}}}"#),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"x"}}}"#,
            ),
            ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"a"}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"citation":{}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"b"}}"#),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#,
            ),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"x\":"}}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"1}"}}}"#),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"u","name":"g"}}}"#,
            ),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"s","name":"h","type":"server_tool_use"}}}"#,
            ),
            (
                "contentBlockStart",
                r#"{"contentBlockIndex":5,"start":{"toolResult":{"toolUseId":"s","type":"h_result"}}}"#,
            ),
            ("contentBlockDelta", r#"{"contentBlockIndex":5,"delta":{"toolResult":[{"json":{}}]}}"#),
            (
                "contentBlockDelta",
                r#"{"contentBlockIndex":6,"delta":{"reasoningContent":{"redactedContent":"x"}}}"#,
            ),
            ("messageStop", r#"{"stopReason":"tool_use"}"#),
            METADATA,
        ],
        ExchangeEnd::Complete,
    );
    let expected = [
        "reasoning:hm",
        "text:ab",
        r#"call:t:f:{"x":1}"#,
        "call:u:g:{}",
        "server:s:h:{}",
        r#"served:s:[{"json":{}}]"#,
        "generic:reasoningContent",
    ];
    assert_eq!((parts(&call), unknown), (expected.map(str::to_owned).to_vec(), 0));
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::ToolCall));
    assert_eq!((call.request.stream, call.request.model.as_deref()), (Some(true), Some("m")));
    assert_eq!(call.usage, Usage { input: Some(3), output: Some(2), ..Usage::default() });
    assert_eq!((call.streaming.chunks, call.error), (17, None));
}

#[test]
fn streams_that_break_off_or_fail() {
    let closed = ExchangeEnd::ClosedLocally;
    let throttled = ("throttlingException", r#"{"message":"m"}"#);
    // Events and end; how it ended; the finish reason; the error.
    let cases = [
        (vec![START, TEXT, STOP, METADATA], closed, ExchangeEnd::Complete, Some(FinishReason::Stop), None),
        (vec![START, TEXT, STOP], closed, ExchangeEnd::Complete, Some(FinishReason::Stop), None),
        (vec![START, TEXT], closed, closed, Some(FinishReason::Error), Some("client_closed")),
        (
            vec![START, TEXT],
            ExchangeEnd::Complete,
            ExchangeEnd::Complete,
            Some(FinishReason::Error),
            Some("incomplete_stream"),
        ),
        (
            vec![START, TEXT, throttled],
            ExchangeEnd::Complete,
            ExchangeEnd::Complete,
            Some(FinishReason::Error),
            Some("throttlingException"),
        ),
        (
            vec![START, ("InternalError", "")],
            ExchangeEnd::Complete,
            ExchangeEnd::Complete,
            Some(FinishReason::Error),
            Some("InternalError"),
        ),
        (vec![throttled], ExchangeEnd::Complete, ExchangeEnd::Complete, None, Some("throttlingException")),
    ];
    for (events, end, ended, finish, error) in cases {
        let (call, unknown) = stream(&events, end);
        assert_eq!((call.ended, unknown), (Some(ended), 0), "{events:?}");
        let found = call.response.generations.first().and_then(|generation| generation.finish_reason.clone());
        assert_eq!(found, finish, "{events:?}");
        assert_eq!(call.error.map(|error| error.kind).as_deref(), error, "{events:?}");
        assert!(call.streaming.streamed);
    }
}

#[test]
fn odd_events_are_counted_and_survived() {
    let (call, unknown) = stream(
        &[
            START,
            ("contentBlockDelta", r#"{"delta":{"text":"x"}}"#),
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"smell":1}}"#),
            ("contentBlockStart", r#"{"contentBlockIndex":0,"start":{"smell":1}}"#),
            ("brandNew", "{}"),
            TEXT,
            ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"toolUse":{"input":"{}"}}}"#),
            // Arguments whose tool was in a gap are nobody's.
            ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
            STOP,
        ],
        ExchangeEnd::Complete,
    );
    assert_eq!((parts(&call), unknown), (vec!["text:a".to_owned()], 5));
}

#[test]
fn at_other_hosts_the_body_decides() {
    let cases = [(ASKED, true), (r#"{"text":"hi"}"#, false), ("no JSON", false)];
    for (body, expected) in cases {
        let exchange =
            Exchange::new(head("POST", "localhost:8787", "/bedrock/model/m/converse")).request(body);
        let call = exchange.status(204, &[]).run(ExchangeEnd::Complete);
        assert_eq!(call.map(|call| call.provider), expected.then_some(Provider::AwsBedrock), "{body}");
    }
}

#[test]
fn the_path_stands_where_the_body_was_missed() {
    let call = at("/model/m/converse-stream").status(200, &[AWS]).more(vec![event(STOP.0, STOP.1)]).call();
    assert_eq!((call.request.model.as_deref(), call.request.stream), (Some("m"), Some(true)));
}
