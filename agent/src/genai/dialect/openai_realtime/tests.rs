use crate::{
    genai::{
        Call, FinishReason, OutputType, Part, Usage,
        tests::harness::{Exchange, head},
    },
    wire::{Body, EventKind, ExchangeEnd, ExchangeId, SseEvent},
};

fn message(text: &str) -> Body {
    Body::Sse(SseEvent { event: Box::default(), data: text.to_owned().into() })
}

/// A response of a session that was opened for a model.
fn call(query: &str, asked: &[&str], answered: &[&str], end: ExchangeEnd) -> Call {
    let mut head = head("GET", "api.openai.com", "/v1/realtime");
    (head.session, head.query) = (Some(ExchangeId(0)), query.into());
    let mut exchange = Exchange::new(head);
    for text in asked {
        exchange = exchange.then(EventKind::RequestBody(message(text)));
    }
    exchange = exchange.then(EventKind::RequestEnd).status(101, &[("upgrade", "websocket")]);
    for text in answered {
        exchange = exchange.then(EventKind::ResponseBody(message(text)));
    }
    exchange.run(end).unwrap()
}

fn texts(call: &Call) -> Vec<String> {
    let parts = call.response.generations.iter().flat_map(|generation| &generation.message.parts);
    parts
        .map(|part| match part {
            Part::Text(content) => content.text.clone(),
            Part::ToolCall { name, arguments, .. } => format!("{name}({})", arguments.text),
            other => format!("{other:?}"),
        })
        .collect()
}

const SESSION: &str = r#"{"type":"session.updated","session":{"model":"gpt-realtime-2025","instructions":"be brief",
    "output_modalities":["audio"],"max_output_tokens":"inf","tools":[{"type":"function","name":"f","parameters":{}}]}}"#;
const ITEM: &str = r#"{"type":"conversation.item.create","item":{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"},
    {"type":"input_audio","audio":"AAAA"}]}}"#;
const CREATED: &str = r#"{"type":"response.created","response":{"object":"realtime.response","id":"resp_1","status":"in_progress",
    "conversation_id":"conv_1","output":[],"usage":null}}"#;
const ADDED: &str = r#"{"type":"response.output_item.added","response_id":"resp_1","output_index":0,"item":{"type":"message","role":"assistant","content":[]}}"#;
const WORDS: &str = r#"{"type":"response.output_audio_transcript.delta","response_id":"resp_1","output_index":0,"content_index":0,"delta":"hel"}"#;
const SOUND: &str = r#"{"type":"response.output_audio.delta","response_id":"resp_1","output_index":0,"content_index":0,"delta":"AAAA"}"#;
const DONE: &str = r#"{"type":"response.done","response":{"object":"realtime.response","id":"resp_1","status":"completed","status_details":null,
    "output":[{"type":"message","role":"assistant","content":[{"type":"output_audio","transcript":"hello"}]}],"conversation_id":"conv_1",
    "usage":{"total_tokens":40,"input_tokens":30,"output_tokens":10,"input_token_details":{"text_tokens":12,"audio_tokens":18,
    "cached_tokens":6},"output_token_details":{"text_tokens":3,"audio_tokens":7}}}}"#;

#[test]
fn responses() {
    let create = r#"{"type":"response.create","response":{"instructions":"be long","max_output_tokens":50}}"#;
    let call = call(
        "model=gpt-realtime",
        &[SESSION, ITEM, create],
        &[CREATED, ADDED, WORDS, SOUND, DONE],
        ExchangeEnd::Complete,
    );
    let request = &call.request;
    assert_eq!((request.model.as_deref(), request.stream), (Some("gpt-realtime"), Some(true)));
    assert_eq!((request.output_type, request.max_tokens), (Some(OutputType::Speech), Some(50)));
    assert_eq!(request.conversation_id.as_deref(), Some("conv_1"));
    assert_eq!((request.messages.len(), request.messages[0].parts.len()), (1, 2));
    assert!(matches!(&request.messages[0].parts[1], Part::Blob { encoded_len: 4, .. }));
    assert!(matches!(&request.system[..], [Part::Text(text)] if text.text == "be long"));
    assert_eq!(request.tools.len(), 1);
    assert_eq!((call.response.id.as_deref(), texts(&call)), (Some("resp_1"), vec!["hello".to_owned()]));
    let usage = Usage {
        input: Some(30),
        output: Some(10),
        cache_read: Some(6),
        audio_input: Some(18),
        audio_output: Some(7),
        ..Usage::default()
    };
    assert_eq!((call.usage, call.error, call.streaming.chunks), (usage, None, 5));
    let generation = &call.response.generations[0];
    assert_eq!(
        (&generation.finish_reason, generation.provider_finish_reason.as_deref()),
        (&Some(FinishReason::Stop), Some("completed"))
    );
    // The third event is the first that says something.
    assert!(call.streaming.first_content > call.streaming.first_chunk);
}

#[test]
fn the_model_is_the_sessions_where_no_query_names_one() {
    for (query, expected) in [
        ("", "gpt-realtime-2025"),
        ("api-version=1&deployment=my%2Dmodel", "my-model"),
        ("model=&x", "gpt-realtime-2025"),
    ] {
        let call = call(query, &[SESSION], &[CREATED, DONE], ExchangeEnd::Complete);
        assert_eq!(call.request.model.as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn ends() {
    let done = |status: &str, details: &str| {
        format!(
            r#"{{"type":"response.done","response":{{"id":"resp_1","status":"{status}","status_details":{details},"output":[]}}}}"#
        )
    };
    let cases = [
        (done("completed", "null"), Some(FinishReason::Stop), Some("completed"), None),
        (
            done("incomplete", r#"{"type":"incomplete","reason":"max_output_tokens"}"#),
            Some(FinishReason::Length),
            Some("max_output_tokens"),
            None,
        ),
        (
            done("cancelled", r#"{"type":"cancelled","reason":"turn_detected"}"#),
            Some(FinishReason::Error),
            Some("cancelled"),
            None,
        ),
        (
            done("failed", r#"{"type":"failed","error":{"type":"server_error","code":null}}"#),
            Some(FinishReason::Error),
            Some("failed"),
            Some("server_error"),
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"no_audio","message":"m"}}"#
                .to_owned(),
            Some(FinishReason::Error),
            None,
            Some("no_audio"),
        ),
    ];
    for (last, reason, word, error) in cases {
        let call = call("model=m", &[], &[CREATED, &last], ExchangeEnd::Complete);
        let generation = &call.response.generations[0];
        assert_eq!(
            (&generation.finish_reason, generation.provider_finish_reason.as_deref()),
            (&reason, word),
            "{last}"
        );
        assert_eq!(call.error.map(|error| error.kind).as_deref(), error, "{last}");
    }
    // Cut off, its words are those that came.
    let call = call("model=m", &[], &[CREATED, ADDED, WORDS, WORDS], ExchangeEnd::ClosedLocally);
    assert_eq!((texts(&call), call.error.unwrap().kind), (vec!["helhel".to_owned()], "client_closed".into()));
}
