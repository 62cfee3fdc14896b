//! Google's generateContent, as the API answers (ai.google.dev/api/generate-content).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, TOOL_ARGUMENTS, TOOL_NAME, served, usage},
    record::{Facts, Usage},
    script::Script,
};

/// The model that a path like `/v1beta/models/MODEL:streamGenerateContent` names, and whether it asks for a stream.
pub fn model(path: &str) -> Option<(&str, bool)> {
    let (model, method) = path.rsplit('/').next()?.split_once(':')?;
    match method {
        "generateContent" => Some((model, false)),
        "streamGenerateContent" => Some((model, true)),
        _ => None,
    }
}

/// Answers `POST /v1beta/models/MODEL:generateContent` and `:streamGenerateContent?alt=sse`.
pub fn answer(number: u64, authorized: bool, model: &str, streamed: bool) -> Answer {
    let script = Script::of(model);
    let mut answer = match script.error {
        _ if !authorized => error(403, "Method doesn't allow unregistered callers"),
        Some(status) => error(status, &format!("scripted error of request {number}")),
        None => content(number, model, &script, streamed),
    };
    answer.script = script;
    answer
}

/// The codes of google.rpc.Code that go with an HTTP status.
fn error(status: u16, message: &str) -> Answer {
    let code = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        _ => "INTERNAL",
    };
    let body = json!({"error": {"code": status, "message": message, "status": code}});
    Answer::json(status, &body, Facts { error: Some(code.to_owned()), ..Facts::default() })
}

fn content(number: u64, model: &str, script: &Script, streamed: bool) -> Answer {
    let text = if script.tool { Vec::new() } else { script.text(number, 0) };
    let finish = match (script.length, script.filter) {
        (true, _) => "MAX_TOKENS",
        (_, true) => "SAFETY",
        _ => "STOP",
    };
    let usage = usage(number, script, text.len());
    let facts = Facts {
        id: Some(format!("Test{number:018}")),
        model: Some(served(model)),
        finish_reasons: vec![finish.to_owned()],
        usage: Some(usage),
        texts: vec![text.concat()],
        ..Facts::default()
    };
    let response = |parts: Value, last: bool| {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if last {
            candidate["finishReason"] = json!(finish);
        }
        json!({
            "candidates": [candidate], "usageMetadata": wire_usage(&usage),
            "modelVersion": facts.model, "responseId": facts.id,
        })
    };
    let parts: Vec<Value> = if script.tool {
        let arguments: Value = serde_json::from_str(TOOL_ARGUMENTS).unwrap_or_default();
        vec![json!({"functionCall": {"name": TOOL_NAME, "args": arguments}})]
    } else if streamed {
        text.iter().map(|piece| json!({"text": piece})).collect()
    } else {
        vec![json!({"text": text.concat()})]
    };
    if !streamed {
        return Answer::json(200, &response(json!(parts), true), facts);
    }
    let last = parts.len().saturating_sub(1);
    let event = |(i, part)| Bytes::from(format!("data: {}\r\n\r\n", response(json!([part]), i == last)));
    let mut events: Vec<Bytes> = parts.into_iter().enumerate().map(event).collect();
    if !script.fail {
        return Answer::events(events, facts);
    }
    let error = json!({"error": {"code": 503, "message": "scripted failure", "status": "UNAVAILABLE"}});
    events.truncate(events.len() / 2);
    events.push(format!("data: {error}\r\n\r\n").into());
    let failed = Facts { error: Some("UNAVAILABLE".to_owned()), finish_reasons: Vec::new(), ..facts };
    Answer::events(events, failed)
}

/// On this wire the candidates' tokens are counted without those of thoughts.
fn wire_usage(usage: &Usage) -> Value {
    let thoughts = usage.reasoning.unwrap_or(0);
    let mut wire = json!({
        "promptTokenCount": usage.input, "candidatesTokenCount": usage.output - thoughts,
        "totalTokenCount": usage.input + usage.output,
    });
    if usage.cache_read > 0 {
        wire["cachedContentTokenCount"] = json!(usage.cache_read);
    }
    if thoughts > 0 {
        wire["thoughtsTokenCount"] = json!(thoughts);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::answer::Content;

    #[test]
    fn paths_name_model_and_method() {
        let cases = [
            ("/v1beta/models/gemini-3-pro:generateContent", Some(("gemini-3-pro", false))),
            ("/v1beta/models/test-slow-5:streamGenerateContent", Some(("test-slow-5", true))),
            ("/v1beta/models/gemini-3-pro:countTokens", None),
            ("/v1beta/models/gemini-3-pro", None),
            ("/v1/responses", None),
        ];
        for (path, expected) in cases {
            assert_eq!(model(path), expected, "{path}");
        }
    }

    #[test]
    fn a_stream_says_in_pieces_what_the_plain_answer_says() {
        let streamed = answer(7, true, "test-cached", true);
        let Content::Events(events) = &streamed.content else { panic!("not a stream") };
        let text: String = events
            .iter()
            .map(|e| std::str::from_utf8(e).unwrap().trim().strip_prefix("data: ").unwrap())
            .map(|data| serde_json::from_str::<Value>(data).unwrap())
            .map(|e| e["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap().to_owned())
            .collect();
        let plain = answer(7, true, "test-cached", false);
        assert_eq!((vec![text], &streamed.facts), (plain.facts.texts.clone(), &plain.facts));
    }

    #[test]
    fn errors_have_googles_code() {
        let code = |authorized, model| answer(1, authorized, model, true).facts.error;
        assert_eq!(code(true, "test-error-429").as_deref(), Some("RESOURCE_EXHAUSTED"));
        assert_eq!(code(false, "m").as_deref(), Some("PERMISSION_DENIED"));
    }
}
