//! What providers say of a failure, with a status and in the middle of a stream whose status is 200: of each API.

use super::harness::{Exchange, head};
use crate::{
    genai::{Call, CallError},
    wire::{Body, EventKind, ExchangeEnd, SseEvent},
};

const OPENAI: &str = "api.openai.com";
const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";
const AGENTS: &str = "bedrock-agent-runtime.us-east-1.amazonaws.com";
const VERTEX: &str = "us-east1-aiplatform.googleapis.com";
const GEMINI: &str = "generativelanguage.googleapis.com";
const WATSONX: &str = "us-south.ml.cloud.ibm.com";

/// Fits every API that asks by a body.
const ASKED: &str = r#"{"model":"m","model_id":"m","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"a"}],"contents":[],"message":"a","prompt":"a","input":"a","inputs":"a","inputText":"a","query":"a","documents":["a"],"texts":["a"]}"#;

fn asked(host: &str, path: &str) -> Exchange {
    Exchange::new(head("POST", host, path)).request(ASKED)
}

/// Kind, code and type.
fn said(call: &Call) -> (&str, Option<&str>, Option<&str>) {
    let CallError { kind, code, provider_type, .. } = call.error.as_ref().expect("an error");
    (kind, code.as_deref(), provider_type.as_deref())
}

#[test]
fn with_a_status() {
    let openai = r#"{"error":{"message":"m","type":"t","code":"c"}}"#;
    let google = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#;
    let anthropic = r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#;
    let aws = r#"{"__type":"com.amazon#ThrottlingException","message":"m"}"#;
    let cohere = r#"{"id":"i","message":"m"}"#;
    let watsonx = r#"{"errors":[{"code":"token_quota_reached","message":"m"}],"status_code":403}"#;
    let tgi = r#"{"error":"m","error_type":"overloaded"}"#;
    #[rustfmt::skip]
    let rows = [
        (OPENAI, "/v1/chat/completions", openai, ("c", Some("c"), Some("t"))),
        (OPENAI, "/v1/responses", openai, ("c", Some("c"), Some("t"))),
        (OPENAI, "/v1/completions", openai, ("c", Some("c"), Some("t"))),
        (OPENAI, "/v1/embeddings", openai, ("c", Some("c"), Some("t"))),
        ("api.anthropic.com", "/v1/messages", anthropic, ("overloaded_error", None, Some("overloaded_error"))),
        (VERTEX, "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", anthropic, ("overloaded_error", None, Some("overloaded_error"))),
        (GEMINI, "/v1beta/models/m:generateContent", google, ("RESOURCE_EXHAUSTED", Some("429"), Some("RESOURCE_EXHAUSTED"))),
        (GEMINI, "/v1beta/models/m:embedContent", google, ("RESOURCE_EXHAUSTED", Some("429"), Some("RESOURCE_EXHAUSTED"))),
        (BEDROCK, "/model/m/converse", aws, ("ThrottlingException", None, Some("ThrottlingException"))),
        (BEDROCK, "/model/meta.llama3-v1/invoke", aws, ("ThrottlingException", None, Some("ThrottlingException"))),
        (AGENTS, "/knowledgebases/k/retrieve", aws, ("ThrottlingException", None, Some("ThrottlingException"))),
        ("api.cohere.com", "/v2/chat", cohere, ("429", None, None)),
        ("api.cohere.com", "/v1/chat", cohere, ("429", None, None)),
        ("api.cohere.com", "/v2/embed", cohere, ("429", None, None)),
        ("api.cohere.com", "/v2/rerank", cohere, ("429", None, None)),
        (WATSONX, "/ml/v1/text/chat", watsonx, ("token_quota_reached", Some("token_quota_reached"), None)),
        (WATSONX, "/ml/v1/text/generation", watsonx, ("token_quota_reached", Some("token_quota_reached"), None)),
        (WATSONX, "/ml/v1/text/embeddings", watsonx, ("token_quota_reached", Some("token_quota_reached"), None)),
        ("localhost:11434", "/api/chat", r#"{"error":"model not found"}"#, ("429", None, None)),
        ("tgi.example", "/generate", tgi, ("overloaded", None, Some("overloaded"))),
    ];
    for (host, path, body, expected) in rows {
        let call = asked(host, path).json(429, body).call();
        assert_eq!(said(&call), expected, "{host}{path}");
        assert_eq!(call.ended, Some(ExchangeEnd::Complete), "{host}{path}");
    }
}

#[test]
fn in_the_middle_of_a_stream() {
    const AWS: &str = "application/vnd.amazon.eventstream";
    const SSE: &str = "text/event-stream";
    const LINES: &str = "application/x-ndjson";
    #[rustfmt::skip]
    let rows = [
        (OPENAI, "/v1/chat/completions", SSE, "", r#"{"error":{"message":"m","type":"t","code":"c"}}"#, ("c", Some("c"), Some("t"))),
        (OPENAI, "/v1/completions", SSE, "", r#"{"error":{"message":"m","type":"t","code":"c"}}"#, ("c", Some("c"), Some("t"))),
        (OPENAI, "/v1/responses", SSE, "error", r#"{"type":"error","code":"c","message":"m"}"#, ("c", Some("c"), None)),
        (OPENAI, "/v1/responses", SSE, "", r#"{"type":"response.failed","response":{"object":"response","status":"failed","error":{"code":"c","message":"m"}}}"#, ("c", Some("c"), None)),
        ("api.anthropic.com", "/v1/messages", SSE, "error", r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, ("overloaded_error", None, Some("overloaded_error"))),
        (GEMINI, "/v1beta/models/m:streamGenerateContent", SSE, "", r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, ("UNAVAILABLE", Some("503"), Some("UNAVAILABLE"))),
        (BEDROCK, "/model/m/converse-stream", AWS, "throttlingException", r#"{"message":"m"}"#, ("throttlingException", None, Some("throttlingException"))),
        (BEDROCK, "/model/meta.llama3-v1/invoke-with-response-stream", AWS, "throttlingException", r#"{"message":"m"}"#, ("throttlingException", None, Some("throttlingException"))),
        (AGENTS, "/agents/s", AWS, "throttlingException", r#"{"message":"m"}"#, ("throttlingException", None, Some("throttlingException"))),
        (AGENTS, "/retrieveAndGenerateStream", AWS, "throttlingException", r#"{"message":"m"}"#, ("throttlingException", None, Some("throttlingException"))),
        ("api.cohere.com", "/v2/chat", SSE, "message-end", r#"{"type":"message-end","delta":{"error":"m","finish_reason":"ERROR"}}"#, ("_OTHER", None, None)),
        ("api.cohere.com", "/v1/chat", SSE, "", r#"{"event_type":"stream-end","is_finished":true,"finish_reason":"ERROR"}"#, ("_OTHER", None, None)),
        (WATSONX, "/ml/v1/text/chat_stream", SSE, "error", r#"{"errors":[{"code":"c","message":"m"}]}"#, ("c", Some("c"), None)),
        (WATSONX, "/ml/v1/text/generation_stream", SSE, "error", r#"{"errors":[{"code":"c","message":"m"}]}"#, ("c", Some("c"), None)),
        ("localhost:11434", "/api/chat", LINES, "", r#"{"error":"m"}"#, ("_OTHER", None, None)),
        ("tgi.example", "/generate_stream", SSE, "", r#"{"error":"m","error_type":"generation"}"#, ("generation", None, Some("generation"))),
    ];
    for (host, path, media_type, name, data, expected) in rows {
        let event = SseEvent { event: name.into(), data: data.to_owned().into() };
        let call = asked(host, path)
            .status(200, &[("content-type", media_type)])
            .then(EventKind::ResponseBody(Body::Sse(event)))
            .call();
        assert_eq!(said(&call), expected, "{host}{path} {data}");
        assert!(!call.damage.response_malformed, "{host}{path} {data}");
    }
}
