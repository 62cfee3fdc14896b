use super::*;
use crate::{
    genai::{
        FinishReason, Part,
        tests::harness::{Exchange, head, stream_of},
    },
    wire::ExchangeEnd,
};

fn exchange(path: &str, body: &str) -> Exchange {
    Exchange::new(head("POST", "us-south.ml.cloud.ibm.com", path)).request(body)
}

fn said(call: &Call) -> (String, Option<FinishReason>) {
    let generation = &call.response.generations[0];
    match &generation.message.parts[..] {
        [Part::Text(content)] => (content.text.clone(), generation.finish_reason.clone()),
        parts => (format!("{parts:?}"), generation.finish_reason.clone()),
    }
}

const CHAT: &str = r#"{"model_id":"ibm/granite-3","project_id":"p","messages":[{"role":"user","content":"hi"}],"max_tokens":9}"#;
const GENERATION: &str = r#"{"model_id":"ibm/granite-3","input":"Tell me","project_id":"p",
    "parameters":{"decoding_method":"sample","temperature":0.5,"top_k":3,"max_new_tokens":20,"random_seed":7,"stop_sequences":["x"]}}"#;

#[test]
fn chats() {
    let answer = r#"{"id":"cmpl-1","model_id":"ibm/granite-3-8b","choices":[{"index":0,"message":{"role":"assistant","content":"yo"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;
    let call = exchange("/ml/v1/text/chat", CHAT).json(200, answer).call();
    assert_eq!((call.dialect, call.provider), ("watsonx.chat", Provider::IbmWatsonxAi));
    assert_eq!((call.request.model.as_deref(), call.request.max_tokens), (Some("ibm/granite-3"), Some(9)));
    assert_eq!((call.request.stream, call.response.id.as_deref()), (None, Some("cmpl-1")));
    assert_eq!(call.response.model.as_deref(), Some("ibm/granite-3-8b"));
    assert_eq!((call.usage.input, said(&call)), (Some(5), ("yo".to_owned(), Some(FinishReason::Stop))));
    let chunks = [
        r#"{"id":"c","model_id":"m","choices":[{"index":0,"finish_reason":null,"delta":{"role":"assistant","content":"y"}}]}"#,
        r#"{"id":"c","model_id":"m","choices":[{"index":0,"finish_reason":"length","delta":{"content":"o"}}]}"#,
        r#"{"id":"c","model_id":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    ];
    let path = "/ml/v1/deployments/d/text/chat_stream";
    let call = exchange(path, r#"{"messages":[]}"#).stream(&stream_of(&chunks)).call();
    assert_eq!((call.request.model.as_deref(), call.request.stream), (None, Some(true)));
    assert_eq!((call.response.model.as_deref(), call.usage.output), (Some("m"), Some(2)));
    assert_eq!(said(&call), ("yo".to_owned(), Some(FinishReason::Length)));
}

#[test]
fn generations() {
    let answer = r#"{"model_id":"ibm/granite-3","created_at":"2024-01-01T00:00:00Z","results":[{"generated_text":"a joke","generated_token_count":4,
        "input_token_count":6,"stop_reason":"eos_token"}]}"#;
    let call = exchange("/ml/v1/text/generation", GENERATION).json(200, answer).call();
    assert_eq!((call.dialect, call.operation), ("watsonx.generation", OperationName::TextCompletion));
    assert_eq!((call.request.temperature, call.request.top_k), (Some(0.5), Some(3)));
    assert_eq!((call.request.max_tokens, call.request.seed), (Some(20), Some(7)));
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(6), Some(4), false));
    assert_eq!(said(&call), ("a joke".to_owned(), Some(FinishReason::Stop)));
    let events = [
        r#"{"model_id":"m","results":[{"generated_text":"","generated_token_count":0,"input_token_count":6,"stop_reason":"not_finished"}]}"#,
        r#"{"model_id":"m","results":[{"generated_text":"a ","generated_token_count":2,"input_token_count":0,"stop_reason":"not_finished"}]}"#,
        r#"{"model_id":"m","results":[{"generated_text":"joke","generated_token_count":4,"input_token_count":0,"stop_reason":"max_tokens"}]}"#,
    ];
    let streamed =
        |n: usize| exchange("/ml/v1/text/generation_stream", GENERATION).stream(&stream_of(&events[..n]));
    let call = streamed(3).call();
    assert_eq!(said(&call), ("a joke".to_owned(), Some(FinishReason::Length)));
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(6), Some(4), false));
    assert_eq!((call.request.stream, call.error), (Some(true), None));
    let call = streamed(2).run(ExchangeEnd::ClosedRemotely).unwrap();
    assert_eq!(said(&call), ("a ".to_owned(), Some(FinishReason::Error)));
    assert_eq!((call.usage.output, call.usage.partial), (Some(2), true));
}

#[test]
fn errors_and_what_is_none() {
    let error = r#"{"errors":[{"code":"model_not_supported","message":"m"}],"trace":"t","status_code":404}"#;
    for (path, body) in [("/ml/v1/text/chat", CHAT), ("/ml/v1/text/generation_stream", GENERATION)] {
        let call = exchange(path, body).json(404, error).call();
        assert_eq!(call.error.unwrap().kind, "model_not_supported", "{path}");
        assert!(call.response.generations.is_empty());
    }
    let call = exchange("/ml/v1/text/generation_stream", GENERATION).stream(&stream_of(&[error])).call();
    assert_eq!(call.error.unwrap().kind, "model_not_supported");
    for path in ["/text/chat", "/ml/v1/text/tokenization"] {
        let none = Exchange::new(head("POST", "chat.example", path)).request(CHAT).json(200, "{}");
        assert!(none.run(ExchangeEnd::Complete).is_none(), "{path}");
    }
}

#[test]
fn embeddings_and_reranking() {
    let embedded = r#"{"model_id":"slate-30m","created_at":"2026-01-01","results":[{"embedding":[0.5,1]}],"input_token_count":11}"#;
    let ranked = r#"{"model_id":"slate-30m","results":[{"index":1,"score":0.7}],"input_token_count":11}"#;
    let failed = r#"{"errors":[{"code":"model_not_supported","message":"m"}],"trace":"t","status_code":404}"#;
    for (end, answer, dialect, operation) in [
        ("embeddings", embedded, "watsonx.embeddings", OperationName::Embeddings),
        ("rerank", ranked, "watsonx.rerank", OperationName::Rerank),
    ] {
        let path = format!("/ml/v1/text/{end}");
        let asked = || exchange(&path, r#"{"model_id":"slate","inputs":["a"],"query":"q","project_id":"p"}"#);
        let call = asked().json(200, answer).call();
        assert_eq!(
            (call.dialect, call.operation, call.provider),
            (dialect, operation, Provider::IbmWatsonxAi)
        );
        assert_eq!(
            (call.request.model.as_deref(), call.response.model.as_deref()),
            (Some("slate"), Some("slate-30m"))
        );
        assert_eq!((call.usage.input, call.usage.output), (Some(11), None));
        let error = asked().json(404, failed).call().error.unwrap();
        assert_eq!(
            (error.kind.as_str(), error.code.as_deref()),
            ("model_not_supported", Some("model_not_supported"))
        );
        assert!(asked().json(200, "{}").call().damage.response_malformed);
    }
}
