use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    account::Counter,
    genai::{
        Call, FinishReason, OperationName, Part, Provider, Request, Usage,
        tests::harness::{Exchange, head},
    },
    wire::{Body, EventKind, ExchangeEnd, SseEvent},
};

const HOST: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const AWS: (&str, &str) = ("content-type", "application/vnd.amazon.eventstream");
const JSON: (&str, &str) = ("content-type", "application/json");

fn at(model: &str, streamed: bool) -> Exchange {
    let action = if streamed { "invoke-with-response-stream" } else { "invoke" };
    Exchange::new(head("POST", HOST, &format!("/model/{model}/{action}")))
}

fn chunk(payload: &str) -> SseEvent {
    let data = format!(r#"{{"bytes":"{}","p":"abc"}}"#, STANDARD.encode(payload));
    SseEvent { event: "chunk".into(), data: data.into() }
}

/// A call of this model, its answer being whole, or chunks.
fn whole(model: &str, request: &str, answer: &str) -> Call {
    let exchange = at(model, false).request(request).json(200, answer);
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert_eq!(account.get(Counter::UnknownValues), 0, "{model}");
    assert!(!call.damage.request_malformed && !call.damage.response_malformed, "{model}");
    call
}

fn streamed(model: &str, request: &str, chunks: &[&str]) -> Call {
    let events = chunks.iter().map(|payload| chunk(payload)).collect();
    let exchange = at(model, true).request(request).status(200, &[AWS]).more(events);
    let account = Arc::clone(&exchange.account);
    let call = exchange.call();
    assert_eq!(account.get(Counter::UnknownValues), 0, "{model}");
    assert!(!call.damage.request_malformed && !call.damage.response_malformed, "{model}");
    call
}

fn short(part: &Part) -> String {
    match part {
        Part::Text(content) => content.text.clone(),
        Part::ToolCall { name, arguments, .. } => format!("call:{name}:{}", arguments.text),
        other => format!("{other:?}"),
    }
}

fn said(call: &Call) -> Vec<(Vec<String>, Option<&str>)> {
    let generations = call.response.generations.iter();
    generations
        .map(|g| (g.message.parts.iter().map(short).collect(), g.provider_finish_reason.as_deref()))
        .collect()
}

fn asked(request: &Request) -> Vec<(&str, String)> {
    request.messages.iter().map(|m| (m.role.as_str(), m.parts.iter().map(short).collect())).collect()
}

const METRICS: &str = r#""amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":5}"#;

/// What is asked with, what is answered, and the same answer in chunks; the last without what Bedrock adds to it.
struct Family {
    model: &'static str,
    request: &'static str,
    answer: &'static str,
    chunks: &'static [&'static str],
    operation: OperationName,
    text: &'static str,
    reason: &'static str,
}

const FAMILIES: &[Family] = &[
    Family {
        model: "anthropic.claude-v2:1",
        request: r#"{"prompt":"hi","max_tokens_to_sample":9,"temperature":0.5,"top_p":0.25,"stop_sequences":["|"]}"#,
        answer: r#"{"type":"completion","completion":"ab","stop_reason":"stop_sequence","stop":"|"}"#,
        chunks: &[
            r#"{"completion":"a","stop_reason":null}"#,
            r#"{"completion":"b","stop_reason":"stop_sequence"}"#,
        ],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "stop_sequence",
    },
    Family {
        model: "anthropic.claude-3-haiku-20240307-v1%3A0",
        request: r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"temperature":0.5,"top_p":0.25,"stop_sequences":["|"],"messages":[{"role":"user","content":"hi"}]}"#,
        answer: r#"{"type":"message","content":[{"type":"text","text":"ab"}],"stop_reason":"end_turn"}"#,
        chunks: &[
            r#"{"type":"message_start","message":{"role":"assistant"}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            r#"{"type":"message_stop"}"#,
        ],
        operation: OperationName::Chat,
        text: "ab",
        reason: "end_turn",
    },
    Family {
        model: "us.amazon.nova-lite-v1:0",
        request: r#"{"schemaVersion":"messages-v1","inferenceConfig":{"max_new_tokens":9,"temperature":0.5,"topP":0.25,"stopSequences":["|"]},"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#,
        answer: r#"{"output":{"message":{"role":"assistant","content":[{"text":"ab"}]}},"stopReason":"end_turn"}"#,
        chunks: &[
            r#"{"messageStart":{"role":"assistant"}}"#,
            r#"{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"a"}}}"#,
            r#"{"contentBlockStop":{"contentBlockIndex":0}}"#,
            r#"{"contentBlockDelta":{"contentBlockIndex":1,"delta":{"text":"b"}}}"#,
            r#"{"messageStop":{"stopReason":"end_turn"}}"#,
            r#"{"metadata":{"metrics":{}}}"#,
        ],
        operation: OperationName::Chat,
        text: "ab",
        reason: "end_turn",
    },
    Family {
        model: "amazon.titan-text-express-v1",
        request: r#"{"inputText":"hi","textGenerationConfig":{"maxTokenCount":9,"temperature":0.5,"topP":0.25,"stopSequences":["|"]}}"#,
        answer: r#"{"results":[{"outputText":"ab","completionReason":"FINISH"}]}"#,
        chunks: &[
            r#"{"outputText":"a","index":0,"completionReason":null}"#,
            r#"{"outputText":"b","index":0.0,"completionReason":"FINISH"}"#,
        ],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "FINISH",
    },
    Family {
        model: "meta.llama3-70b-instruct-v1:0",
        request: r#"{"prompt":"hi","max_gen_len":9,"temperature":0.5,"top_p":0.25}"#,
        answer: r#"{"generation":"ab","stop_reason":"stop"}"#,
        chunks: &[r#"{"generation":"a","stop_reason":null}"#, r#"{"generation":"b","stop_reason":"stop"}"#],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "stop",
    },
    Family {
        model: "cohere.command-text-v14",
        request: r#"{"prompt":"hi","max_tokens":9,"temperature":0.5,"p":0.25,"stop_sequences":["|"]}"#,
        answer: r#"{"generations":[{"text":"ab","finish_reason":"COMPLETE"}]}"#,
        chunks: &[
            r#"{"text":"a","is_finished":false,"index":0}"#,
            r#"{"text":"b","is_finished":false}"#,
            r#"{"is_finished":true,"finish_reason":"COMPLETE"}"#,
        ],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "COMPLETE",
    },
    Family {
        model: "cohere.command-r-plus-v1:0",
        request: r#"{"message":"hi","max_tokens":9,"temperature":0.5,"p":0.25,"stop_sequences":["|"]}"#,
        answer: r#"{"text":"ab","generation_id":"g","finish_reason":"COMPLETE"}"#,
        chunks: &[
            r#"{"event_type":"stream-start","is_finished":false,"generation_id":"g"}"#,
            r#"{"event_type":"text-generation","text":"a","is_finished":false}"#,
            r#"{"event_type":"text-generation","text":"b","is_finished":false}"#,
            r#"{"event_type":"stream-end","finish_reason":"COMPLETE","response":{"text":"ab","finish_reason":"COMPLETE"},"is_finished":true}"#,
        ],
        operation: OperationName::Chat,
        text: "ab",
        reason: "COMPLETE",
    },
    Family {
        model: "mistral.mistral-7b-instruct-v0:2",
        request: r#"{"prompt":"hi","max_tokens":9,"temperature":0.5,"top_p":0.25,"stop":["|"]}"#,
        answer: r#"{"outputs":[{"text":"ab","stop_reason":"stop"}]}"#,
        chunks: &[
            r#"{"outputs":[{"text":"a","stop_reason":null}]}"#,
            r#"{"outputs":[{"text":"b","stop_reason":"stop"}]}"#,
        ],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "stop",
    },
    Family {
        model: "mistral.mistral-large-2407-v1:0",
        request: r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":9,"temperature":0.5,"top_p":0.25,"stop":["|"]}"#,
        answer: r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ab"},"stop_reason":"stop"}]}"#,
        chunks: &[
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"stop_reason":null}]}"#,
            r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"b"},"stop_reason":"stop"}]}"#,
        ],
        operation: OperationName::Chat,
        text: "ab",
        reason: "stop",
    },
    Family {
        model: "ai21.j2-mid-v1",
        request: r#"{"prompt":"hi","maxTokens":9,"temperature":0.5,"topP":0.25,"stopSequences":["|"]}"#,
        answer: r#"{"id":1234,"completions":[{"data":{"text":"ab"},"finishReason":{"reason":"endoftext"}}]}"#,
        chunks: &[],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "endoftext",
    },
    Family {
        model: "us.deepseek.r1-v1:0",
        request: r#"{"prompt":"hi","max_tokens":9,"temperature":0.5,"top_p":0.25,"stop":["|"]}"#,
        answer: r#"{"choices":[{"text":"ab","stop_reason":"stop"}]}"#,
        chunks: &[
            r#"{"choices":[{"index":0,"text":"a","stop_reason":null}]}"#,
            r#"{"choices":[{"index":0,"text":"b","stop_reason":"stop"}]}"#,
        ],
        operation: OperationName::TextCompletion,
        text: "ab",
        reason: "stop",
    },
    Family {
        model: "minimax.minimax-m2",
        request: r#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":9,"temperature":0.5,"top_p":0.25,"stop":["|"]}"#,
        answer: r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"ab"},"finish_reason":"stop"}]}"#,
        chunks: &[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        ],
        operation: OperationName::Chat,
        text: "ab",
        reason: "stop",
    },
];

#[test]
fn families() {
    for family in FAMILIES {
        let Family { model, request, answer, chunks, .. } = family;
        let call = whole(model, request, answer);
        let asked_with = &call.request;
        assert_eq!((call.operation, call.provider), (family.operation, Provider::AwsBedrock), "{model}");
        assert_eq!(asked_with.model, Some(model.replace("%3A", ":")), "{model}");
        assert_eq!((asked_with.max_tokens, asked_with.stream), (Some(9), None), "{model}");
        assert_eq!((asked_with.temperature, asked_with.top_p), (Some(0.5), Some(0.25)), "{model}");
        // Llama has none.
        let stops = usize::from(request.contains('|'));
        assert_eq!(
            (asked_with.stop_sequences.len(), asked(asked_with)),
            (stops, vec![("user", "hi".to_owned())])
        );
        let expected = vec![(vec![family.text.to_owned()], Some(family.reason))];
        assert_eq!(said(&call), expected, "{model}");
        let Some((last, before)) = chunks.split_last() else { continue };
        // Bedrock adds what it has counted to the last chunk.
        let last = format!("{},{METRICS}}}", last.strip_suffix('}').unwrap());
        let chunks: Vec<_> = before.iter().copied().chain([last.as_str()]).collect();
        let call = streamed(model, request, &chunks);
        assert_eq!((said(&call), call.operation), (expected, family.operation), "{model}");
        assert_eq!(call.request.stream, Some(true), "{model}");
        let usage = Usage { input: Some(7), output: Some(5), ..Usage::default() };
        assert_eq!(
            (call.usage, call.error, call.ended),
            (usage, None, Some(ExchangeEnd::Complete)),
            "{model}"
        );
        assert_eq!(call.streaming.chunks, chunks.len() as u64, "{model}");
        assert!(call.streaming.first_content.is_some(), "{model}");
        // Cut anywhere, it says that it is, and makes nothing up.
        for n in 0..chunks.len() {
            let events = chunks[..n].iter().map(|payload| chunk(payload)).collect();
            let exchange = at(model, true).request(request).status(200, &[AWS]).more(events);
            let call = exchange.run(ExchangeEnd::ClosedLocally).unwrap();
            for (parts, reason) in said(&call) {
                assert!(family.text.starts_with(&parts.concat()), "{model} {n}");
                assert!(reason.is_none() || reason == Some(family.reason), "{model} {n}");
            }
            assert_eq!(call.error.is_none(), call.ended == Some(ExchangeEnd::Complete), "{model} {n}");
        }
    }
}

#[test]
fn tokens() {
    let llama = "meta.llama3-70b-instruct-v1:0";
    let claude = "anthropic.claude-3-haiku-20240307-v1:0";
    let head = [
        JSON,
        ("x-amzn-bedrock-input-token-count", "4"),
        ("x-amzn-bedrock-output-token-count", "50"),
        ("x-amzn-bedrock-cache-read-input-token-count", "100"),
    ];
    let usage = |input, output, cache_read| Usage { input, output, cache_read, ..Usage::default() };
    // Model, whole answer, its tokens with this head and without it.
    let cases = [
        (llama, r#"{"generation":"a"}"#, usage(Some(104), Some(50), Some(100)), Usage::default()),
        (
            llama,
            r#"{"generation":"a","prompt_token_count":3,"generation_token_count":2}"#,
            usage(Some(3), Some(2), None),
            usage(Some(3), Some(2), None),
        ),
        (
            claude,
            r#"{"type":"message","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":10,"output_tokens":6}}"#,
            usage(Some(15), Some(6), Some(10)),
            usage(Some(15), Some(6), Some(10)),
        ),
        (
            "amazon.titan-text-lite-v1",
            r#"{"inputTextTokenCount":5,"results":[{"tokenCount":2,"outputText":"a"},{"tokenCount":3,"outputText":"b"}]}"#,
            usage(Some(5), Some(5), None),
            usage(Some(5), Some(5), None),
        ),
        // A guardrail has taken the rest out.
        (
            "amazon.nova-lite-v1:0",
            r#"{"output":{"message":{"content":[]}},"stopReason":"end_turn","usage":{"inputTokens":30}}"#,
            usage(Some(30), Some(50), None),
            usage(Some(30), None, None),
        ),
    ];
    for (model, answer, with, without) in cases {
        for (headers, expected) in [(&head[..], with), (&head[..1], without)] {
            let exchange = at(model, false).request("{}").status(200, headers);
            let body = Body::Bytes(answer.to_owned().into());
            let call = exchange.then(EventKind::ResponseBody(body)).call();
            assert_eq!(call.usage, expected, "{model} {answer}");
        }
    }
}

#[test]
fn what_is_counted_in_a_stream_that_breaks_off_is_partial() {
    let events = vec![chunk(r#"{"generation":"a","prompt_token_count":3,"generation_token_count":1}"#)];
    let exchange = at("meta.llama3-v1:0", true).request("{}").status(200, &[AWS]).more(events);
    let call = exchange.run(ExchangeEnd::ClosedLocally).unwrap();
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(3), Some(1), true));
}

#[test]
fn embeddings() {
    let cases = [
        (
            "amazon.titan-embed-text-v2:0",
            r#"{"inputText":"hi","dimensions":256,"embeddingTypes":["float"]}"#,
            r#"{"embedding":[0.5],"inputTextTokenCount":5}"#,
            (Some(256), 1, None, Some(5)),
        ),
        (
            "amazon.titan-embed-image-v1",
            r#"{"inputImage":"AA","embeddingConfig":{"outputEmbeddingLength":384}}"#,
            r#"{"embedding":[0.5]}"#,
            (Some(384), 0, None, None),
        ),
        (
            "cohere.embed-v4:0",
            r#"{"texts":["hi"],"input_type":"clustering","output_dimension":64,"embedding_types":["int8","float"],"max_tokens":256}"#,
            r#"{"id":"e","embeddings":{"float":[[0.5]]},"response_type":"embeddings_by_type","texts":["hi"]}"#,
            (Some(64), 2, Some("e"), None),
        ),
        (
            "amazon.nova-2-multimodal-embeddings-v1:0",
            r#"{"taskType":"SINGLE_EMBEDDING","singleEmbeddingParams":{"embeddingDimension":3072,"text":{"value":"hi"}}}"#,
            r#"{"embeddings":[{"embeddingType":"TEXT","embedding":[0.5]}]}"#,
            (Some(3072), 0, None, None),
        ),
    ];
    for (model, request, answer, (dimensions, formats, id, input)) in cases {
        let call = whole(model, request, answer);
        assert_eq!(
            (call.operation, call.request.dimensions),
            (OperationName::Embeddings, dimensions),
            "{model}"
        );
        assert_eq!(
            (call.request.encoding_formats.len(), call.response.id.as_deref()),
            (formats, id),
            "{model}"
        );
        assert_eq!((call.usage.input, call.response.generations.len()), (input, 0), "{model}");
    }
}

#[test]
fn coheres_chat() {
    let call = whole(
        "cohere.command-r-v1:0",
        r#"{"message":"now","preamble":"be kind","chat_history":[{"role":"USER","message":"hi"},{"role":"CHATBOT","message":"ho"}],"k":3,"seed":1,
        "tools":[{"name":"f","description":"d","parameter_definitions":{}}]}"#,
        r#"{"response_id":"r","text":"","tool_calls":[{"name":"f","parameters":{"a":1}}],"finish_reason":"COMPLETE"}"#,
    );
    let expected = [("user", "hi".to_owned()), ("assistant", "ho".to_owned()), ("user", "now".to_owned())];
    assert_eq!((asked(&call.request), call.request.system.len()), (expected.to_vec(), 1));
    assert_eq!((call.request.top_k, call.request.seed, call.request.tools.len()), (Some(3), Some(1), 1));
    assert_eq!(call.response.id.as_deref(), Some("r"));
    assert_eq!(said(&call), [(vec![r#"call:f:{"a":1}"#.to_owned()], Some("COMPLETE"))]);
}

#[test]
fn a_guardrail_that_intervened_is_a_content_filter() {
    let added = r#""amazon-bedrock-guardrailAction":"INTERVENED""#;
    let none = r#""amazon-bedrock-guardrailAction":"NONE""#;
    for (added, expected) in [(added, FinishReason::ContentFilter), (none, FinishReason::Stop)] {
        let model = "amazon.titan-text-lite-v1";
        let body = format!(r#"{{"results":[{{"outputText":"a","completionReason":"FINISH"}}],{added}}}"#);
        let chunk = format!(r#"{{"outputText":"a","completionReason":"FINISH",{added}}}"#);
        for call in [whole(model, "{}", &body), streamed(model, "{}", &[&chunk])] {
            let generation = &call.response.generations[0];
            assert_eq!(generation.finish_reason, Some(expected.clone()), "{added}");
            assert_eq!(generation.provider_finish_reason.as_deref(), Some("FINISH"));
        }
    }
}

#[test]
fn streams_that_fail() {
    let failure = |kind: &str, data: &str| SseEvent { event: kind.into(), data: data.to_owned().into() };
    let text = || chunk(r#"{"generation":"a","stop_reason":null}"#);
    // Events; the error; are they what the API promises?
    let cases = [
        (
            vec![text(), failure("modelStreamErrorException", r#"{"message":"m"}"#)],
            "modelStreamErrorException",
            true,
        ),
        (vec![text()], "incomplete_stream", true),
        (vec![text(), failure("chunk", r#"{"bytes":"%"}"#)], "incomplete_stream", false),
        (vec![text(), failure("chunk", r#"{"bytes":7}"#)], "incomplete_stream", false),
        (vec![text(), failure("chunk", r#"{"bytes":"e3"}"#)], "incomplete_stream", false),
    ];
    for (events, error, promised) in cases {
        let call = at("meta.llama3-v1:0", true).request("{}").status(200, &[AWS]).more(events).call();
        assert_eq!(call.error.unwrap().kind, error);
        assert_eq!(call.damage.response_malformed, !promised, "{error}");
        assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    }
}

#[test]
fn a_model_that_nobody_knows() {
    // The body tells.
    let endpoint = "arn%3Aaws%3Asagemaker%3Aus-east-1%3A1%3Aendpoint%2Fe";
    let call = whole(
        endpoint,
        r#"{"prompt":"hi","max_tokens":9}"#,
        r#"{"object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":"length"}],"usage":{"prompt_tokens":6,"completion_tokens":1}}"#,
    );
    assert_eq!(call.request.model.as_deref(), Some("arn:aws:sagemaker:us-east-1:1:endpoint/e"));
    assert_eq!((said(&call), call.usage.input), (vec![(vec!["a".to_owned()], Some("length"))], Some(6)));
    // It does not: what Bedrock says stands.
    let head = [JSON, ("x-amzn-bedrock-input-token-count", "4")];
    let exchange = at(endpoint, false).request(r#"{"inputs":"hi"}"#).status(200, &head);
    let account = Arc::clone(&exchange.account);
    let body = Body::Bytes(r#"[{"generated_text":"a"}]"#.into());
    let call = exchange.then(EventKind::ResponseBody(body)).call();
    assert_eq!((call.usage.input, call.response.generations.len()), (Some(4), 0));
    assert!(!call.damage.response_malformed);
    assert_eq!(account.get(Counter::UnknownValues), 1);
}

#[test]
fn requests_that_are_none() {
    let told = ("x-amzn-errortype", "ValidationException:");
    let call = at("does-not-exist", false).request("").status(400, &[told]).call();
    assert_eq!(
        (call.error.unwrap().kind.as_str(), call.damage.request_malformed),
        ("ValidationException", false)
    );
    assert_eq!(call.request.model.as_deref(), Some("does-not-exist"));
    let call = at("meta.llama3-v1:0", false).request("no JSON").status(400, &[told]).call();
    assert!(call.damage.request_malformed);
}

#[test]
fn at_other_hosts_the_body_decides() {
    let cases = [
        ("meta.llama3-v1:0", r#"{"prompt":"hi"}"#, true),
        ("mine", r#"{"anthropic_version":"x","messages":[]}"#, true),
        ("mine", r#"{"x":1}"#, false),
        ("mine", "", false),
    ];
    for (model, body, expected) in cases {
        let exchange = Exchange::new(head("POST", "gateway.example", &format!("/model/{model}/invoke")));
        let call = exchange.request(body).status(204, &[]).run(ExchangeEnd::Complete);
        assert_eq!(call.is_some(), expected, "{model} {body}");
    }
}
