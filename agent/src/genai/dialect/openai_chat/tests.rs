use std::sync::Arc;

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, Generation, OutputType, Part, Provider, Request, Usage,
        tests::harness::{Exchange, head, sse, stream_of},
    },
    wire::ExchangeEnd,
};

const MINIMAL: &str = r#"{"model":"m","messages":[]}"#;

fn request(fields: &str) -> (Request, u64) {
    let exchange = Exchange::openai().request(&format!(r#"{{"model":"m","messages":[]{fields}}}"#));
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert!(!call.damage.request_malformed, "{fields}");
    (call.request, account.get(Counter::UnknownValues))
}

fn answer(body: &str) -> Call {
    Exchange::openai().request(MINIMAL).json(200, body).call()
}

/// A stream of chunks, ended by `[DONE]`.
fn stream(chunks: &[&str]) -> Call {
    let body = stream_of(chunks);
    Exchange::openai().request(MINIMAL).stream(&format!("{body}data: [DONE]\n\n")).call()
}

/// Parts in short.
fn parts(generation: &Generation) -> Vec<String> {
    generation.message.parts.iter().map(short).collect()
}

fn short(part: &Part) -> String {
    match part {
        Part::Text(content) => format!("text:{}", content.text),
        Part::Reasoning(content) => format!("reasoning:{}", content.text),
        Part::Refusal(content) => format!("refusal:{}", content.text),
        Part::ToolCall { id, name, arguments } => {
            format!("call:{}:{name}:{}", id.as_deref().unwrap_or("-"), arguments.text)
        }
        Part::Blob { modality, encoded_len, .. } => format!("blob:{modality}:{encoded_len}"),
        Part::Generic { kind, json } => format!("generic:{kind}:{}", json.text),
        other => format!("{other:?}"),
    }
}

#[test]
fn parameters() {
    let (request, unknown) = request(
        r#","stream":true,"temperature":1,"top_p":0.5,"top_k":40,"frequency_penalty":-0.5,"presence_penalty":0.25,
        "max_tokens":9,"max_completion_tokens":100,"n":2,"seed":42,"stop":["a","b"],"reasoning_effort":"low",
        "service_tier":"flex","response_format":{"type":"json_schema","json_schema":{}}"#,
    );
    assert_eq!(request.model.as_deref(), Some("m"));
    assert_eq!((request.stream, request.temperature, request.top_p), (Some(true), Some(1.0), Some(0.5)));
    assert_eq!(
        (request.top_k, request.frequency_penalty, request.presence_penalty),
        (Some(40), Some(-0.5), Some(0.25))
    );
    assert_eq!((request.max_tokens, request.choice_count, request.seed), (Some(100), Some(2), Some(42)));
    assert_eq!(request.stop_sequences, ["a", "b"]);
    assert_eq!(
        (request.reasoning_level.as_deref(), request.service_tier.as_deref()),
        (Some("low"), Some("flex"))
    );
    assert_eq!((request.output_type, unknown), (Some(OutputType::Json), 0));
}

#[test]
fn parameters_that_are_absent_or_of_another_type() {
    let (request, unknown) =
        request(r#","stream":"yes","temperature":null,"top_p":"0.5","n":[1],"max_tokens":null,"stop":null"#);
    assert_eq!((request.stream, request.temperature, request.top_p), (None, None, None));
    assert_eq!((request.choice_count, request.max_tokens, request.stop_sequences.len()), (None, None, 0));
    assert_eq!((request.model.as_deref(), unknown), (Some("m"), 3));
}

#[test]
fn output_types() {
    let cases = [
        ("", None, 0),
        (r#","response_format":{"type":"text"}"#, Some(OutputType::Text), 0),
        (r#","response_format":{"type":"json_object"}"#, Some(OutputType::Json), 0),
        (r#","response_format":{"type":"grammar"}"#, None, 1),
        (r#","response_format":null"#, None, 0),
        (r#","modalities":["text"]"#, Some(OutputType::Text), 0),
        (r#","modalities":["text","audio"]"#, Some(OutputType::Speech), 0),
        (r#","modalities":["image","text"]"#, Some(OutputType::Image), 0),
        (r#","modalities":["text"],"response_format":{"type":"json_object"}"#, Some(OutputType::Json), 0),
    ];
    for (fields, expected, unknown) in cases {
        let (request, counted) = request(fields);
        assert_eq!((request.output_type, counted), (expected, unknown), "{fields}");
    }
}

#[test]
fn other_spellings_of_parameters() {
    let (request, unknown) =
        request(r#","stop":"end","max_tokens":7.0,"reasoning":{"effort":"high"},"random_seed":3"#);
    assert_eq!(request.stop_sequences, ["end"]);
    assert_eq!((request.max_tokens, request.seed, unknown), (Some(7), Some(3), 0));
    assert_eq!(request.reasoning_level.as_deref(), Some("high"));
}

#[test]
fn conversations_keep_their_roles() {
    let (request, _) = request("");
    assert!(request.messages.is_empty());
    let call = Exchange::openai()
        .request(
            r#"{"model":"m","messages":[
            {"role":"system","content":"s"},{"role":"developer","content":"d"},
            {"role":"user","name":"ann","content":[{"type":"text","text":"u"}]},
            {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"c1","content":"r"}]}"#,
        )
        .call();
    let messages = &call.request.messages;
    let roles: Vec<_> = messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "developer", "user", "assistant", "tool"]);
    assert_eq!(messages[2].name.as_deref(), Some("ann"));
    assert_eq!(short(&messages[3].parts[0]), "call:c1:f:{}");
    assert!(call.request.system.is_empty());
}

#[test]
fn azure_deployments_name_the_model_where_the_body_does_not() {
    let cases = [
        ("/openai/deployments/my%20gpt/chat/completions", r#"{"messages":[]}"#, Some("my gpt")),
        ("/openai/deployments/d/chat/completions", r#"{"model":"gpt-4o","messages":[]}"#, Some("gpt-4o")),
        ("/openai/deployments/d/chat/completions", "broken", Some("d")),
        ("/openai/deployments/chat/completions", r#"{"messages":[]}"#, None),
        ("/openai/v1/chat/completions", r#"{"messages":[]}"#, None),
    ];
    for (path, body, model) in cases {
        let call = Exchange::new(head("POST", "me.openai.azure.com", path)).request(body).call();
        assert_eq!(call.request.model.as_deref(), model, "{path} {body}");
    }
}

#[test]
fn answers() {
    let call = answer(
        r#"{"id":"c1","object":"chat.completion","model":"m-1","service_tier":"default","system_fingerprint":"fp",
        "choices":[
            {"index":1,"message":{"role":"assistant","content":"two"},"finish_reason":"length"},
            {"index":0,"message":{"role":"assistant","content":"one","refusal":null},"finish_reason":"stop"},
            {"index":2,"message":{"content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"},
            {"index":3,"message":{"content":"","refusal":"no"},"finish_reason":"brand_new"},
            {"index":4,"message":{"content":"x"},"finish_reason":""}],
        "usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11,"completion_tokens_details":{"reasoning_tokens":2}}}"#,
    );
    let response = &call.response;
    assert_eq!((response.id.as_deref(), response.model.as_deref()), (Some("c1"), Some("m-1")));
    assert_eq!(
        (response.service_tier.as_deref(), response.system_fingerprint.as_deref()),
        (Some("default"), Some("fp"))
    );
    let found: Vec<_> = response
        .generations
        .iter()
        .map(|g| (parts(g).join("|"), g.finish_reason.clone(), g.provider_finish_reason.as_deref()))
        .collect();
    let expected = [
        ("text:one".to_owned(), Some(FinishReason::Stop), Some("stop")),
        ("text:two".to_owned(), Some(FinishReason::Length), Some("length")),
        ("call:t:f:{}".to_owned(), Some(FinishReason::ToolCall), Some("tool_calls")),
        ("refusal:no".to_owned(), Some(FinishReason::Other("brand_new".into())), Some("brand_new")),
        ("text:x".to_owned(), None, None),
    ];
    assert_eq!(found, expected);
    let usage = Usage { input: Some(5), output: Some(6), reasoning: Some(2), ..Usage::default() };
    assert_eq!((call.usage, call.error), (usage, None));
}

#[test]
fn errors() {
    let cases = [
        (
            404,
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_not_found"}}"#,
            "model_not_found",
            Some("m"),
        ),
        (429, r#"{"error":{"message":"m","type":"requests","code":null}}"#, "requests", Some("m")),
        (500, r#"{"error":"boom"}"#, "500", Some("boom")),
        (503, "{}", "503", None),
        (401, "", "401", None),
        (200, r#"{"error":{"message":"m","code":"content_filter"}}"#, "content_filter", Some("m")),
        (200, r#"{"error":{}}"#, "_OTHER", None),
    ];
    for (status, body, kind, message) in cases {
        let call = Exchange::openai().request(MINIMAL).json(status, body).call();
        let error = call.error.expect(body);
        assert_eq!((error.kind.as_str(), error.message.as_deref()), (kind, message), "{status} {body}");
        assert!(call.response.generations.is_empty(), "{status} {body}");
    }
}

#[test]
fn streams() {
    let call = stream(&[
        // Azure's first chunk.
        r#"{"id":"","model":"","choices":[],"prompt_filter_results":[]}"#,
        r#"{"id":"c1","model":"m-1","system_fingerprint":"fp","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null}}]}"#,
        r#"{"id":"c1","choices":[{"index":1,"delta":{"role":"assistant","content":"B"}}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"hm "}}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"reasoning":"so"}}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"A\u00e9"}}]}"#,
        r#"{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
    ]);
    let response = &call.response;
    assert_eq!((response.id.as_deref(), response.model.as_deref()), (Some("c1"), Some("m-1")));
    assert_eq!(
        (response.service_tier.as_deref(), response.system_fingerprint.as_deref()),
        (Some("default"), Some("fp"))
    );
    let found: Vec<_> = response.generations.iter().map(|g| (parts(g), g.finish_reason.clone())).collect();
    let expected = [
        (vec!["reasoning:hm so".to_owned(), "text:Aé".to_owned()], Some(FinishReason::Stop)),
        (vec!["text:B".to_owned()], Some(FinishReason::Length)),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        (call.usage, call.streaming.chunks),
        (Usage { input: Some(3), output: Some(4), ..Usage::default() }, 8)
    );
}

#[test]
fn streamed_tool_calls() {
    let delta = |delta: &str| format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#);
    let cases: [(&[&str], &[&str]); 7] = [
        // OpenAI: by index, interleaved.
        (
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":""}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]}"#,
                r#"{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#,
            ],
            &[r#"call:a:f:{"x":1}"#, "call:b:g:{}"],
        ),
        // The id and name repeated with every fragment.
        (
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"}"}}]}"#,
            ],
            &["call:a:f:{}"],
        ),
        // Every call under index 0 (Gemini), and none at all.
        (
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"g","arguments":"{}"}}]}"#,
            ],
            &["call:a:f:{}", "call:b:g:{}"],
        ),
        (
            &[
                r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
                r#"{"tool_calls":[{"function":{"arguments":"}"}}]}"#,
                r#"{"tool_calls":[{"id":"b","function":{"name":"g","arguments":"{}"}}]}"#,
            ],
            &["call:a:f:{}", "call:b:g:{}"],
        ),
        // A name in pieces.
        (
            &[
                r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"get_"}}]}"#,
                r#"{"tool_calls":[{"index":0,"function":{"name":"time","arguments":"{}"}}]}"#,
            ],
            &["call:a:get_time:{}"],
        ),
        (
            &[r#"{"function_call":{"name":"f","arguments":"{"}}"#, r#"{"function_call":{"arguments":"}"}}"#],
            &["call:-:f:{}"],
        ),
        // Mistral's content in parts.
        (
            &[
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}]}]}"#,
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"m"}]},{"type":"text","text":"a"}]}"#,
                r#"{"content":"b","audio":{"id":"x","data":"AAAA","transcript":"c"}}"#,
            ],
            &["reasoning:hm", "text:abc", "blob:audio:4"],
        ),
    ];
    for (deltas, expected) in cases {
        let chunks: Vec<String> = deltas.iter().map(|d| delta(d)).collect();
        let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
        assert_eq!(parts(&stream(&chunks).response.generations[0]), expected, "{deltas:?}");
    }
}

#[test]
fn usage_of_streams() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":1}"#;
    let total = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
    let text = |extra: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}}}}],{extra}}}"#);
    let last =
        |extra: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{extra}}}"#);
    let groq = r#""x_groq":{"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let none = r#""usage":null"#;
    // Chunks; whether `[DONE]` follows; output tokens, and whether they are partial.
    let cases = [
        (vec![text(none), last(total)], true, Some(2), false),
        (vec![text(none), last(none), format!(r#"{{"choices":[],{total}}}"#)], true, Some(2), false),
        (vec![text(none), last(groq)], true, Some(2), false),
        (vec![text(none), last(none)], true, None, false),
        (vec![text(usage), last(total)], true, Some(2), false),
        // Servers that report as they go (vLLM): the last report counts.
        (vec![text(usage), last(total)], false, Some(2), false),
        (vec![text(usage)], false, Some(1), true),
        (vec![text(usage), last(none)], false, Some(1), true),
        (vec![text(usage), last(none)], true, Some(1), false),
    ];
    for (chunks, done, output, partial) in cases {
        let body = stream_of(&chunks);
        let done = if done { "data: [DONE]\n\n" } else { "" };
        let exchange = Exchange::openai().request(MINIMAL).stream(&format!("{body}{done}"));
        let call = exchange.run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!((call.usage.output, call.usage.partial), (output, partial), "{chunks:?} {done}");
    }
    // The total may have been in the gap.
    let first = format!("data: {}\n\n", text(usage));
    let done = sse("data: [DONE]\n\n");
    let call = Exchange::openai().request(MINIMAL).stream(&first).gap(Some(9)).more(done).call();
    assert_eq!((call.usage.output, call.usage.partial), (Some(1), true));
}

#[test]
fn every_choice_asked_for_must_end() {
    let body =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    for (n, ended) in [(1, ExchangeEnd::Complete), (2, ExchangeEnd::ClosedLocally)] {
        let request = format!(r#"{{"model":"m","messages":[],"n":{n}}}"#);
        let call = Exchange::openai().request(&request).stream(body).run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!(call.ended, Some(ended), "{n}");
    }
}

#[test]
fn errors_in_streams() {
    let text = r#"{"id":"c1","choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    let cases = [
        (
            format!(
                "data: {text}\n\nevent: error\ndata: {{\"error\":{{\"code\":\"tool_use_failed\",\"message\":\"m\"}}}}\n\n"
            ),
            "tool_use_failed",
        ),
        (
            format!(
                "data: {text}\n\ndata: {{\"error\":{{\"code\":502,\"message\":\"m\"}}}}\n\ndata: [DONE]\n\n"
            ),
            "502",
        ),
        (format!("data: {text}\n\nevent: error\ndata: {{}}\n\n"), "_OTHER"),
    ];
    for (body, kind) in cases {
        let call = Exchange::openai().request(MINIMAL).stream(&body).call();
        assert_eq!(call.error.expect(&body).kind, kind, "{body}");
        let generation = &call.response.generations[0];
        assert_eq!(generation.finish_reason, Some(FinishReason::Error), "{body}");
        assert_eq!(
            (parts(generation), generation.provider_finish_reason.as_deref()),
            (vec!["text:x".into()], None)
        );
    }
}

/// Vertex AI hands the body on, and the path says more.
#[test]
fn of_others_at_vertex_ai() {
    for (publisher, method, stream) in [
        ("mistralai", "rawPredict", None),
        ("mistralai", "streamRawPredict", Some(true)),
        ("ai21", "rawPredict", None),
        ("ai21", "streamRawPredict", Some(true)),
    ] {
        let path = format!("/v1/projects/p/locations/l/publishers/{publisher}/models/codestral-2:{method}");
        let head = head("POST", "europe-west4-aiplatform.googleapis.com", &path);
        let answer = r#"{"id":"c","model":"codestral-2","choices":[{"index":0,"message":{"content":"yo"},"finish_reason":"stop"}]}"#;
        let call = Exchange::new(head).request(r#"{"messages":[]}"#).json(200, answer).call();
        assert_eq!((call.dialect, call.provider), ("openai.chat_completions", Provider::GcpVertexAi));
        assert_eq!((call.request.model.as_deref(), call.request.stream), (Some("codestral-2"), stream));
        assert_eq!((call.response.id.as_deref(), call.response.generations.len()), (Some("c"), 1));
    }
}

/// Each piece is base64 of its own; together they are what was said.
#[test]
fn streamed_audio_has_a_digest_if_all_of_it_was_seen() {
    const ABC: &str = "3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let piece = |data: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"audio\":{{\"data\":\"{data}\"}}}}}}]}}\n\n")
    };
    let (first, second) = (piece("YQ=="), piece("YmM="));
    let done =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let asked = |digests| Exchange { digests, ..Exchange::openai().request(MINIMAL) }.stream(&first);
    let rest = || sse(&format!("{second}{done}"));
    let cases = [
        (asked(true).more(rest()).call(), Some(ABC)),
        (asked(false).more(rest()).call(), None),
        (asked(true).gap(Some(9)).more(rest()).call(), None),
        (asked(true).run(ExchangeEnd::ClosedRemotely).unwrap(), None),
    ];
    for (call, expected) in cases {
        let [Part::Blob { encoded_len, digest, .. }] = &call.response.generations[0].message.parts[..] else {
            panic!("{call:?}")
        };
        assert!([4, 8].contains(encoded_len));
        assert_eq!(digest.map(|digest| format!("{digest:?}")).as_deref(), expected);
    }
}
