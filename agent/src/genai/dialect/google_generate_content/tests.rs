use std::sync::Arc;

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, OperationName, OutputType, Part, Provider, Usage,
        tests::harness::{Exchange, head, stream_of},
    },
    wire::{Body, EventKind, ExchangeEnd},
};

const HOST: &str = "generativelanguage.googleapis.com";
const WHOLE: &str = "/v1beta/models/gemini-m:generateContent";
const STREAM: &str = "/v1beta/models/gemini-m:streamGenerateContent";
const MINIMAL: &str = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;

fn gemini(path: &str) -> Exchange {
    Exchange::new(head("POST", HOST, path))
}

/// A call with this request, and how many values of it were new.
fn asked(body: &str) -> (Call, u64) {
    let exchange = gemini(WHOLE).request(body);
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert!(!call.damage.request_malformed, "{body}");
    (call, account.get(Counter::UnknownValues))
}

fn answered(body: &str) -> Call {
    gemini(WHOLE).request(MINIMAL).json(200, body).call()
}

fn short(part: &Part) -> String {
    let id = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    match part {
        Part::Text(content) => format!("text:{}", content.text),
        Part::Reasoning(content) => format!("reasoning:{}", content.text),
        Part::ToolCall { id: i, name, arguments } => format!("call:{}:{name}:{}", id(i), arguments.text),
        Part::ToolCallResponse { id: i, response } => format!("result:{}:{}", id(i), response.text),
        Part::ServerToolCall { id: i, name, arguments } => {
            format!("server:{}:{name}:{}", id(i), arguments.text)
        }
        Part::ServerToolCallResponse { id: i, response } => format!("served:{}:{}", id(i), response.text),
        Part::Blob { modality, mime_type, encoded_len, .. } => {
            format!("blob:{modality}:{}:{encoded_len}", id(mime_type))
        }
        Part::Uri { modality, mime_type, uri } => {
            format!("uri:{modality}:{}:{uri}", mime_type.as_deref().unwrap_or_default())
        }
        other => format!("{other:?}"),
    }
}

fn output(call: &Call) -> Vec<String> {
    call.response.generations.iter().flat_map(|g| &g.message.parts).map(short).collect()
}

/// Finish reasons, and the provider's words.
fn finish(call: &Call) -> Vec<(Option<FinishReason>, Option<&str>)> {
    let all = call.response.generations.iter();
    all.map(|g| (g.finish_reason.clone(), g.provider_finish_reason.as_deref())).collect()
}

#[test]
fn paths_and_hosts() {
    let vertex = "/v1/projects/p/locations/l/publishers/google/models/gemini-m:generateContent";
    let cases = [
        (HOST, WHOLE, Some("gemini-m"), None, Provider::GcpGemini),
        (HOST, STREAM, Some("gemini-m"), Some(true), Provider::GcpGemini),
        (HOST, "/v1beta/tunedModels/my%2Dm:generateContent", Some("my-m"), None, Provider::GcpGemini),
        ("us-central1-aiplatform.googleapis.com", vertex, Some("gemini-m"), None, Provider::GcpVertexAi),
        ("aiplatform.googleapis.com", vertex, Some("gemini-m"), None, Provider::GcpVertexAi),
        (
            "cloudcode-pa.googleapis.com",
            "/v1internal:streamGenerateContent",
            None,
            Some(true),
            Provider::GcpGenAi,
        ),
        ("gateway.example", WHOLE, Some("gemini-m"), None, Provider::GcpGenAi),
    ];
    for (host, path, model, stream, provider) in cases {
        // Also where the body is missed.
        for request in [MINIMAL, "not json"] {
            let call = Exchange::new(head("POST", host, path)).request(request).json(200, "{}").call();
            assert_eq!((call.request.model.as_deref(), call.request.stream), (model, stream), "{host}{path}");
            assert_eq!(
                (call.provider, call.operation),
                (provider, OperationName::GenerateContent),
                "{host}{path}"
            );
        }
    }
}

#[test]
fn requests() {
    let (call, unknown) = asked(
        r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]},{"role":"model","parts":[{"text":"t","thought":true},
        {"functionCall":{"id":"c1","name":"f","args":{"x":1}},"thoughtSignature":"s"}]},
        {"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":{"y":2}}}]}],
        "systemInstruction":{"parts":[{"text":"be brief"}]},"generationConfig":{"temperature":0,"maxOutputTokens":5,
        "responseMimeType":"application/json"},"tools":[{"functionDeclarations":[{"name":"f"}]},{"googleSearch":{}}],
        "safetySettings":[],"serviceTier":"flex"}"#,
    );
    let request = &call.request;
    assert_eq!((request.temperature, request.max_tokens, unknown), (Some(0.0), Some(5), 0));
    assert_eq!(
        (request.output_type, request.service_tier.as_deref()),
        (Some(OutputType::Json), Some("flex"))
    );
    assert_eq!(request.system.iter().map(short).collect::<Vec<_>>(), ["text:be brief"]);
    let messages: Vec<_> =
        request.messages.iter().map(|m| (&*m.role, m.parts.iter().map(short).collect::<Vec<_>>())).collect();
    assert_eq!(
        messages,
        [
            ("user", vec!["text:a".to_owned(), "text:b".to_owned()]),
            ("assistant", vec!["reasoning:t".to_owned(), r#"call:c1:f:{"x":1}"#.to_owned()]),
            ("tool", vec![r#"result:c1:{"y":2}"#.to_owned()]),
        ]
    );
    let tools: Vec<_> = request.tools.iter().map(|t| (&*t.kind, t.name.as_deref())).collect();
    assert_eq!(tools, [("function", Some("f")), ("googleSearch", None)]);
}

#[test]
fn parts_of_every_kind() {
    let cases = [
        (r#"{"text":""}"#, vec![], 0),
        (r#"{"thoughtSignature":"x"}"#, vec![], 0),
        ("{}", vec![], 0),
        (r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#, vec!["blob:image:image/png:4"], 0),
        (r#"{"inline_data":{"mime_type":"audio/wav","data":"AA"}}"#, vec!["blob:audio:audio/wav:2"], 0),
        (
            r#"{"fileData":{"mimeType":"video/mp4","fileUri":"gs://b/a.mp4"}}"#,
            vec!["uri:video:video/mp4:gs://b/a.mp4"],
            0,
        ),
        (r#"{"file_data":{"file_uri":"https://x.example/a"}}"#, vec!["uri:document::https://x.example/a"], 0),
        (r#"{"function_call":{"name":"f"}}"#, vec!["call:-:f:"], 0),
        (
            r#"{"functionResponse":{"name":"f","response":{},"parts":[{"inlineData":{"mimeType":"image/png","data":"A"}}]}}"#,
            vec!["result:-:{}", "blob:image:image/png:1"],
            0,
        ),
        (
            r#"{"executableCode":{"language":"PYTHON","code":"1","id":"e"}}"#,
            vec![r#"server:e:code_execution:{"language":"PYTHON","code":"1","id":"e"}"#],
            0,
        ),
        (
            r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK"}}"#,
            vec![r#"served:-:{"outcome":"OUTCOME_OK"}"#],
            0,
        ),
        (r#"{"toolCall":{"id":"t","toolType":"FILE_SEARCH","args":{}}}"#, vec!["server:t:FILE_SEARCH:{}"], 0),
        (r#"{"tool_response":{"id":"t","response":{"r":[]}}}"#, vec![r#"served:t:{"r":[]}"#], 0),
        (
            r#"{"hologram":{}}"#,
            vec![r#"Generic { kind: "part", json: Content { text: "{\"hologram\":{}}", cut: 0 } }"#],
            1,
        ),
        ("7", vec![], 1),
    ];
    for (part, expected, unknown) in cases {
        let (call, counted) = asked(&format!(r#"{{"contents":[{{"parts":[{part}]}}]}}"#));
        let parts: Vec<_> = call.request.messages[0].parts.iter().map(short).collect();
        assert_eq!((parts, counted), (expected.into_iter().map(str::to_owned).collect(), unknown), "{part}");
    }
}

#[test]
fn whole_answers() {
    let call = answered(
        r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}],"role":"model"},"finishReason":"STOP","index":0},
        {"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]},"finishReason":"MAX_TOKENS","index":1}],
        "usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"thoughtsTokenCount":3,"cachedContentTokenCount":5,
        "toolUsePromptTokenCount":2,"serviceTier":"standard"},"modelVersion":"gemini-m-001","responseId":"r1"}"#,
    );
    assert_eq!(
        (call.response.id.as_deref(), call.response.model.as_deref()),
        (Some("r1"), Some("gemini-m-001"))
    );
    assert_eq!(output(&call), ["text:a", "text:b", "call:-:f:{}"]);
    assert_eq!(
        finish(&call),
        [(Some(FinishReason::Stop), Some("STOP")), (Some(FinishReason::Length), Some("MAX_TOKENS"))]
    );
    let usage = Usage {
        input: Some(11),
        output: Some(7),
        cache_read: Some(5),
        reasoning: Some(3),
        ..Usage::default()
    };
    assert_eq!((call.usage, call.error), (usage, None));
    assert_eq!(call.response.service_tier.as_deref(), Some("standard"));
}

#[test]
fn finish_reasons() {
    let cases = [
        (r#""SAFETY""#, FinishReason::ContentFilter, "SAFETY"),
        (r#""MODEL_ARMOR""#, FinishReason::ContentFilter, "MODEL_ARMOR"),
        (r#""MALFORMED_FUNCTION_CALL""#, FinishReason::Error, "MALFORMED_FUNCTION_CALL"),
        (r#""BRAND_NEW""#, FinishReason::Other("brand_new".into()), "BRAND_NEW"),
        // `$alt=json;enum-encoding=int`
        ("2", FinishReason::Length, "MAX_TOKENS"),
        ("6", FinishReason::ContentFilter, "LANGUAGE"),
        ("99", FinishReason::Other("99".into()), "99"),
    ];
    for (json, reason, word) in cases {
        let call = answered(&format!(r#"{{"candidates":[{{"finishReason":{json}}}]}}"#));
        assert_eq!(finish(&call), [(Some(reason), Some(word))], "{json}");
    }
    // The two APIs number them differently.
    let vertex = "/v1/projects/p/locations/l/publishers/google/models/m:generateContent";
    let exchange = Exchange::new(head("POST", "aiplatform.googleapis.com", vertex)).request(MINIMAL);
    let call = exchange.json(200, r#"{"candidates":[{"finishReason":6}]}"#).call();
    assert_eq!(finish(&call), [(Some(FinishReason::ContentFilter), Some("BLOCKLIST"))]);
}

#[test]
fn blocked_prompts() {
    for reason in [r#""OTHER""#, "2"] {
        let body = format!(
            r#"{{"promptFeedback":{{"blockReason":{reason}}},"usageMetadata":{{"promptTokenCount":4,"totalTokenCount":4}}}}"#
        );
        let streamed =
            gemini(STREAM).request(MINIMAL).stream(&stream_of(&[&body])).run(ExchangeEnd::ClosedLocally);
        for call in [answered(&body), streamed.unwrap()] {
            assert_eq!(finish(&call), [(Some(FinishReason::ContentFilter), Some("OTHER"))], "{reason}");
            assert_eq!(
                (call.usage.input, call.usage.output, call.error.is_none()),
                (Some(4), None, true),
                "{reason}"
            );
        }
    }
}

const CHUNKS: [&str; 4] = [
    r#"{"candidates":[{"content":{"parts":[{"text":"h","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":1},"modelVersion":"gemini-m-001","responseId":"r1"}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"m","thought":true},{"text":"he"}],"role":"model"},"index":0}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"llo, ]"}],"role":"model"},"index":0}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"x":"]"}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":6,"thoughtsTokenCount":2}}"#,
];

/// The first chunks of a stream in both forms, cut into pieces of any size where there are no events.
fn streamed(chunks: &[&str], array: bool, closed: bool, end: ExchangeEnd) -> Call {
    let exchange = gemini(STREAM).request(MINIMAL);
    if !array {
        return exchange.stream(&stream_of(chunks)).run(end).unwrap();
    }
    let body = format!("[{}{}", chunks.join(",\r\n"), if closed { "]" } else { "\r\n" });
    let mut exchange = exchange.status(200, &[("content-type", "application/json; charset=UTF-8")]);
    for piece in body.as_bytes().chunks(7) {
        exchange = exchange.then(EventKind::ResponseBody(Body::Bytes(piece.to_vec().into())));
    }
    exchange.run(end).unwrap()
}

#[test]
fn streams_in_both_forms() {
    for array in [false, true] {
        let call = streamed(&CHUNKS, array, true, ExchangeEnd::Complete);
        assert_eq!(output(&call), ["reasoning:hm", "text:hello, ]", r#"call:-:f:{"x":"]"}"#], "{array}");
        assert_eq!(finish(&call), [(Some(FinishReason::Stop), Some("STOP"))], "{array}");
        assert_eq!((call.usage.input, call.usage.output), (Some(9), Some(8)), "{array}");
        assert_eq!((call.usage.partial, call.error.is_none()), (false, true), "{array}");
        assert_eq!((call.streaming.streamed, call.streaming.chunks), (true, 4), "{array}");
        assert!(call.streaming.first_content.is_some() && !call.damage.response_malformed, "{array}");
        // The client goes away.
        let call = streamed(&CHUNKS[..2], array, false, ExchangeEnd::ClosedLocally);
        // Whether an element is complete is known at the comma behind it.
        let said = if array { vec!["reasoning:h"] } else { vec!["reasoning:hm", "text:he"] };
        assert_eq!(
            (output(&call), call.usage.partial),
            (said.into_iter().map(str::to_owned).collect(), true)
        );
        assert_eq!(finish(&call), [(Some(FinishReason::Error), None)], "{array}");
        assert_eq!(call.error.unwrap().kind, "client_closed", "{array}");
    }
}

#[test]
fn an_array_with_a_gap_is_read_up_to_it() {
    let exchange = gemini(STREAM).request(MINIMAL).json(200, &format!("[{},{{", CHUNKS[0]));
    let end = format!("}},{}]", CHUNKS[3]);
    let rest = EventKind::ResponseBody(Body::Bytes(end.into()));
    let call = exchange.gap(Some(20)).then(rest).run(ExchangeEnd::Complete).unwrap();
    assert_eq!((output(&call), call.damage.response.lost), (vec!["reasoning:h".to_owned()], 20));
    assert!(call.usage.partial && !call.damage.response_malformed);
}

#[test]
fn errors() {
    let error = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#;
    let list = format!("[{error}]");
    for (path, status, body) in [(WHOLE, 429, error), (STREAM, 429, &list), (STREAM, 200, &list)] {
        let call = gemini(path).request(MINIMAL).json(status, body).call();
        let found = call.error.unwrap();
        assert_eq!(
            (&*found.kind, found.message.as_deref()),
            ("RESOURCE_EXHAUSTED", Some("m")),
            "{path} {status}"
        );
    }
    let call =
        gemini(STREAM).request(MINIMAL).stream(&stream_of(&[CHUNKS[0], error])).run(ExchangeEnd::Complete);
    let call = call.unwrap();
    assert_eq!(finish(&call), [(Some(FinishReason::Error), None)]);
    assert_eq!(call.error.unwrap().kind, "RESOURCE_EXHAUSTED");
    assert!(gemini(WHOLE).request(MINIMAL).json(200, r#"{"x":1}"#).call().damage.response_malformed);
}

/// Code Assist, as gemini-cli asks it.
#[test]
fn wrapped_bodies() {
    let path = "/v1internal:streamGenerateContent";
    let request = r#"{"model":"gemini-2.5-pro","project":"p","user_prompt_id":"u","request":{"contents":[{"role":"user",
        "parts":[{"text":"hi"}]}],"session_id":"s1","generationConfig":{"topK":64}}}"#;
    let chunks = CHUNKS.map(|chunk| format!(r#"{{"response":{chunk},"traceId":"t"}}"#));
    let call = Exchange::new(head("POST", "cloudcode-pa.googleapis.com", path))
        .request(request)
        .stream(&stream_of(&chunks))
        .call();
    assert_eq!(
        (call.request.model.as_deref(), call.request.conversation_id.as_deref()),
        (Some("gemini-2.5-pro"), Some("s1"))
    );
    assert_eq!((call.request.top_k, call.request.messages.len()), (Some(64), 1));
    assert_eq!(
        (call.response.id.as_deref(), call.response.model.as_deref()),
        (Some("r1"), Some("gemini-m-001"))
    );
    assert_eq!((call.usage.input, call.usage.output, call.error.is_none()), (Some(9), Some(8), true));
}
