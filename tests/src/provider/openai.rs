//! OpenAI Chat Completions, as the API answers (platform.openai.com/docs/api-reference/chat).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, TOOL_ARGUMENTS, TOOL_NAME, pieces, served, usage},
    record::{Facts, Usage},
    script::Script,
};

const CREATED: u64 = 1_767_225_600;
const FINGERPRINT: &str = "fp_0123456789";
const TIER: &str = "default";

/// Answers `POST /v1/chat/completions`.
pub fn answer(number: u64, authorized: bool, body: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let answer = match request["model"].as_str() {
        None => error(400, "you must provide a model parameter"),
        Some(_) if !authorized => error(401, "You didn't provide an API key."),
        Some(model) => {
            let script = Script::of(model);
            let mut answer = match script.error {
                Some(status) => error(status, &format!("scripted error of request {number}")),
                None => completion(number, model, &script, &request),
            };
            answer.script = script;
            answer
        }
    };
    answer
        .with_request_id("x-request-id", format!("req_{number:032x}"))
        .with("openai-version", "2020-10-01")
        .with("openai-processing-ms", "17")
}

/// The answer of an error, the same in both of OpenAI's APIs.
pub fn error(status: u16, message: &str) -> Answer {
    let (kind, code) = match status {
        400 => ("invalid_request_error", Some("context_length_exceeded")),
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        _ => ("server_error", None),
    };
    let facts = Facts {
        error: Some(code.unwrap_or(kind).to_owned()),
        error_told: (Some(kind.to_owned()), code.map(str::to_owned)),
        ..Facts::default()
    };
    let body = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    Answer::json(status, &body, facts)
}

fn completion(number: u64, model: &str, script: &Script, request: &Value) -> Answer {
    let choices = request["n"].as_u64().unwrap_or(1).clamp(1, 16) as usize;
    let texts: Vec<Vec<String>> =
        (0..choices).map(|i| if script.tool { Vec::new() } else { script.text(number, i) }).collect();
    let finish = if script.tool {
        "tool_calls"
    } else if script.length {
        "length"
    } else if script.filter {
        "content_filter"
    } else {
        "stop"
    };
    let usage = usage(number, script, texts.iter().map(Vec::len).sum());
    let mut facts = Facts {
        id: Some(format!("chatcmpl-Test{number:025}")),
        model: Some(served(model)),
        finish_reasons: vec![finish.to_owned(); choices],
        usage: Some(usage),
        texts: texts.iter().map(|t| t.concat()).collect(),
        error: None,
        error_told: (None, None),
        service_tier: Some(TIER.to_owned()),
        system_fingerprint: Some(FINGERPRINT.to_owned()),
    };
    if request["stream"].as_bool() == Some(true) {
        let with_usage = request["stream_options"]["include_usage"].as_bool() == Some(true);
        if !with_usage {
            facts.usage = None;
        }
        let mut chunks = chunks(number, &facts, &texts, script, finish);
        if script.fail {
            let error =
                json!({"message": "scripted failure", "type": "server_error", "param": null, "code": null});
            chunks.truncate(chunks.len() / 2);
            chunks.push(format!("data: {}\n\n", json!({"error": error})).into());
            facts = Facts {
                error: Some("server_error".to_owned()),
                error_told: (Some("server_error".to_owned()), None),
                finish_reasons: Vec::new(),
                usage: None,
                ..facts
            };
        }
        Answer::events(chunks, facts)
    } else {
        let choices: Vec<Value> = facts
            .texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let mut message = json!({
                    "role": "assistant", "content": text, "refusal": null, "annotations": [],
                });
                if script.tool {
                    message["content"] = Value::Null;
                    message["tool_calls"] = json!([{
                        "id": tool_id(number, index), "type": "function",
                        "function": {"name": TOOL_NAME, "arguments": TOOL_ARGUMENTS},
                    }]);
                }
                json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish})
            })
            .collect();
        let body = json!({
            "id": facts.id, "object": "chat.completion", "created": CREATED, "model": facts.model,
            "choices": choices, "usage": wire_usage(&usage), "service_tier": TIER,
            "system_fingerprint": FINGERPRINT,
        });
        Answer::json(200, &body, facts)
    }
}

fn tool_id(number: u64, choice: usize) -> String {
    format!("call_{number:020}{choice:04}")
}

fn wire_usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input, "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write, "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn chunks(number: u64, facts: &Facts, texts: &[Vec<String>], script: &Script, finish: &str) -> Vec<Bytes> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": facts.id, "object": "chat.completion.chunk", "created": CREATED, "model": facts.model,
            "service_tier": TIER, "system_fingerprint": FINGERPRINT, "choices": choices,
        });
        if facts.usage.is_some() {
            // With include_usage every chunk has the member, null in all but the last.
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let delta = |index: usize, delta: Value, finish: Value| {
        let choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": finish});
        chunk(json!([choice]), Value::Null)
    };
    let mut out = Vec::new();
    for index in 0..texts.len() {
        let mut first = json!({"role": "assistant", "content": "", "refusal": null});
        if script.tool {
            first = json!({"role": "assistant", "content": null, "tool_calls": [{
                "index": 0, "id": tool_id(number, index), "type": "function",
                "function": {"name": TOOL_NAME, "arguments": ""},
            }]});
        }
        out.push(delta(index, first, Value::Null));
    }
    if script.tool {
        for piece in pieces(TOOL_ARGUMENTS, 9) {
            for index in 0..texts.len() {
                let call = json!({"index": 0, "function": {"arguments": piece}});
                out.push(delta(index, json!({"tool_calls": [call]}), Value::Null));
            }
        }
    }
    // The choices of a stream arrive interleaved.
    for i in 0..texts.iter().map(Vec::len).max().unwrap_or(0) {
        for (index, text) in texts.iter().enumerate() {
            if let Some(piece) = text.get(i) {
                out.push(delta(index, json!({"content": piece}), Value::Null));
            }
        }
    }
    for index in 0..texts.len() {
        out.push(delta(index, json!({}), json!(finish)));
    }
    if let Some(usage) = &facts.usage {
        out.push(chunk(json!([]), wire_usage(usage)));
    }
    out.push(Bytes::from_static(b"data: [DONE]\n\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::answer::Content;

    fn ask(request: &Value) -> Answer {
        answer(7, true, request.to_string().as_bytes())
    }

    fn events(answer: &Answer) -> Vec<Value> {
        let Content::Events(events) = &answer.content else { panic!("not a stream") };
        let texts = events.iter().map(|e| std::str::from_utf8(e).unwrap().trim());
        let data: Vec<&str> = texts.map(|e| e.strip_prefix("data: ").unwrap()).collect();
        assert_eq!(data.last(), Some(&"[DONE]"));
        data[..data.len() - 1].iter().map(|d| serde_json::from_str(d).unwrap()).collect()
    }

    #[test]
    fn stream_and_facts_agree() {
        let answer = ask(&json!({
            "model": "test-cached-reason", "stream": true, "n": 2, "stream_options": {"include_usage": true},
        }));
        let events = events(&answer);
        for choice in 0..2 {
            let text: String = events
                .iter()
                .flat_map(|e| e["choices"].as_array().unwrap())
                .filter(|c| c["index"] == choice)
                .filter_map(|c| c["delta"]["content"].as_str())
                .collect();
            assert_eq!(text, answer.facts.texts[choice]);
        }
        let last = events.last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["prompt_tokens"], answer.facts.usage.unwrap().input);
    }

    #[test]
    fn usage_in_a_stream_only_when_asked() {
        let answer = ask(&json!({"model": "m", "stream": true}));
        assert_eq!(answer.facts.usage, None);
        assert!(events(&answer).iter().all(|e| e.get("usage").is_none()));
    }

    #[test]
    fn errors_have_the_providers_code() {
        for (status, code) in [(401, "invalid_api_key"), (429, "rate_limit_exceeded"), (500, "server_error")]
        {
            let answer = ask(&json!({"model": format!("test-error-{status}")}));
            assert_eq!((answer.status, answer.facts.error.as_deref()), (status, Some(code)));
        }
        assert_eq!(answer(1, false, br#"{"model":"m"}"#).status, 401);
        assert_eq!(answer(1, true, b"not json").status, 400);
    }
}
