use crate::{
    genai::{
        Call, FinishReason, OperationName, OutputType, Part, Provider, Usage,
        tests::harness::{Exchange, head},
    },
    wire::{Body, EventKind, ExchangeEnd, ExchangeId, SseEvent},
};

fn message(text: &str) -> Body {
    Body::Sse(SseEvent { event: Box::default(), data: text.to_owned().into() })
}

fn call(asked: &[&str], answered: &[&str], end: ExchangeEnd) -> Call {
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let mut head = head("GET", "generativelanguage.googleapis.com", path);
    head.session = Some(ExchangeId(0));
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

fn short(part: &Part) -> String {
    match part {
        Part::Text(content) => format!("text:{}", content.text),
        Part::Reasoning(content) => format!("reasoning:{}", content.text),
        Part::ToolCall { name, arguments, .. } => format!("call:{name}:{}", arguments.text),
        Part::ToolCallResponse { response, .. } => format!("result:{}", response.text),
        Part::Blob { modality, encoded_len, .. } => format!("blob:{modality}:{encoded_len}"),
        other => format!("{other:?}"),
    }
}

fn output(call: &Call) -> Vec<String> {
    call.response.generations.iter().flat_map(|g| &g.message.parts).map(short).collect()
}

fn input(call: &Call) -> Vec<String> {
    let messages = call.request.messages.iter();
    messages.flat_map(|m| m.parts.iter().map(|part| format!("{} {}", m.role, short(part)))).collect()
}

const SETUP: &str = r#"{"setup":{"model":"models/gemini-live","generationConfig":{"responseModalities":["AUDIO"],"temperature":0.5},
    "systemInstruction":{"parts":[{"text":"be brief"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}]}}"#;
const COMPLETE: &str = r#"{"setupComplete":{"sessionId":"s1"}}"#;
const ASK: &str =
    r#"{"client_content":{"turns":[{"role":"user","parts":[{"text":"hi"}]}],"turn_complete":true}}"#;
const WORDS: &str = r#"{"serverContent":{"outputTranscription":{"text":"hel"}}}"#;
const SOUND: &str =
    r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}"#;
const DONE: &str = r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":30,"responseTokenCount":10,
    "thoughtsTokenCount":2,"totalTokenCount":42,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":10}]}}"#;

#[test]
fn answers() {
    let thought = r#"{"serverContent":{"modelTurn":{"parts":[{"text":"hm","thought":true}]}}}"#;
    let answered = [thought, WORDS, SOUND, WORDS, SOUND, DONE];
    let call = call(&[SETUP, COMPLETE, ASK], &answered, ExchangeEnd::Complete);
    let request = &call.request;
    assert_eq!((request.model.as_deref(), request.stream), (Some("gemini-live"), Some(true)));
    assert_eq!((request.temperature, request.output_type), (Some(0.5), Some(OutputType::Speech)));
    assert_eq!((request.conversation_id.as_deref(), request.tools.len()), (Some("s1"), 1));
    assert_eq!(request.system.iter().map(short).collect::<Vec<_>>(), ["text:be brief"]);
    assert_eq!((call.provider, call.operation), (Provider::GcpGemini, OperationName::GenerateContent));
    assert_eq!(input(&call), ["user text:hi"]);
    assert_eq!(output(&call), ["reasoning:hm", "text:helhel", "blob:audio:8"]);
    let usage = Usage {
        input: Some(30),
        output: Some(12),
        reasoning: Some(2),
        audio_output: Some(10),
        ..Usage::default()
    };
    assert_eq!((call.usage, call.error, call.streaming.chunks), (usage, None, 6));
}

#[test]
fn what_is_said_and_what_tools_answer() {
    let heard = |text: &str| format!(r#"{{"serverContent":{{"inputTranscription":{{"text":"{text}"}}}}}}"#);
    let response = r#"{"tool_response":{"functionResponses":[{"id":"c","name":"f","response":{"x":1}}]}}"#;
    let typed = r#"{"realtimeInput":{"text":"typed"}}"#;
    let call =
        call(&[SETUP, response, typed, &heard("he")], &[&heard("llo"), WORDS, DONE], ExchangeEnd::Complete);
    assert_eq!(input(&call), [r#"tool result:{"x":1}"#, "user text:typed", "user text:hello"]);
}

/// Messages, the finish reason, the provider's word for it, and the error.
type Row<'a> = (Vec<&'a str>, Option<FinishReason>, Option<&'a str>, Option<&'a str>);

#[test]
fn ends() {
    let tool = r#"{"toolCall":{"functionCalls":[{"id":"c","name":"f","args":{}}]}}"#;
    let interrupted = r#"{"serverContent":{"interrupted":true}}"#;
    let rejected =
        r#"{"serverContent":{"turnComplete":true,"turnCompleteReason":"MALFORMED_FUNCTION_CALL"}}"#;
    let error = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}"#;
    let cases: [Row<'_>; 5] = [
        (vec![WORDS, DONE], Some(FinishReason::Stop), Some("turnComplete"), None),
        (vec![tool, DONE], Some(FinishReason::ToolCall), Some("turnComplete"), None),
        (vec![WORDS, interrupted, DONE], Some(FinishReason::Error), Some("interrupted"), None),
        (vec![rejected], Some(FinishReason::Error), Some("MALFORMED_FUNCTION_CALL"), None),
        (vec![error], Some(FinishReason::Error), None, Some("RESOURCE_EXHAUSTED")),
    ];
    for (answered, reason, word, kind) in cases {
        let call = call(&[SETUP, ASK], &answered, ExchangeEnd::Complete);
        let generation = &call.response.generations[0];
        assert_eq!(
            (&generation.finish_reason, generation.provider_finish_reason.as_deref()),
            (&reason, word),
            "{answered:?}"
        );
        assert_eq!(call.error.map(|error| error.kind).as_deref(), kind, "{answered:?}");
    }
    let call = call(&[SETUP, ASK], &[WORDS], ExchangeEnd::ClosedLocally);
    assert_eq!(
        (output(&call), call.error.unwrap().kind),
        (vec!["text:hel".to_owned()], "client_closed".into())
    );
}
