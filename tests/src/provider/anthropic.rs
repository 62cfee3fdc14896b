//! Anthropic Messages, as the API answers (docs.anthropic.com/en/api/messages).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, TOOL_ARGUMENTS, TOOL_NAME, pieces, served, usage},
    record::{Facts, Usage},
    script::Script,
};

/// Answers `POST /v1/messages`.
pub fn answer(number: u64, authorized: bool, body: &[u8]) -> Answer {
    let request_id = format!("req_{number:024}");
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let answer = match request["model"].as_str() {
        None => error(400, "model: Field required", &request_id),
        Some(_) if request["max_tokens"].as_u64().is_none() => {
            error(400, "max_tokens: Field required", &request_id)
        }
        Some(_) if !authorized => error(401, "x-api-key header is required", &request_id),
        Some(model) => {
            let script = Script::of(model);
            let mut answer = match script.error {
                Some(status) => error(status, &format!("scripted error of request {number}"), &request_id),
                None => message(number, model, &script, &request),
            };
            answer.script = script;
            answer
        }
    };
    answer.with_request_id("request-id", request_id)
}

fn error(status: u16, message: &str, request_id: &str) -> Answer {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let body =
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id});
    Answer::json(
        status,
        &body,
        Facts { error: Some(kind.to_owned()), error_told: (Some(kind.to_owned()), None), ..Facts::default() },
    )
}

fn message(number: u64, model: &str, script: &Script, request: &Value) -> Answer {
    let text = if script.tool { Vec::new() } else { script.text(number, 0) };
    let stop = if script.tool {
        "tool_use"
    } else if script.length {
        "max_tokens"
    } else if script.filter {
        "refusal"
    } else {
        "end_turn"
    };
    let mut usage = usage(number, script, text.len());
    if !script.reason {
        usage.reasoning = None;
    }
    let mut facts = Facts {
        id: Some(format!("msg_01{number:022}")),
        model: Some(served(model)),
        finish_reasons: vec![stop.to_owned()],
        usage: Some(usage),
        texts: vec![text.concat()],
        error: None,
        error_told: (None, None),
        service_tier: Some("standard".to_owned()),
        system_fingerprint: None,
    };
    if request["stream"].as_bool() == Some(true) {
        let mut events = events(number, &facts, &usage, &text, script, stop);
        if script.fail {
            let error = json!({"type": "overloaded_error", "message": "scripted failure"});
            let data = json!({"type": "error", "error": error});
            events.truncate(events.len() / 2);
            events.push(format!("event: error\ndata: {data}\n\n").into());
            let kind = Some("overloaded_error".to_owned());
            facts =
                Facts { error: kind.clone(), error_told: (kind, None), finish_reasons: Vec::new(), ..facts };
        }
        Answer::events(events, facts)
    } else {
        let content = if script.tool {
            let input: Value = serde_json::from_str(TOOL_ARGUMENTS).unwrap_or_default();
            json!([{"type": "tool_use", "id": tool_id(number), "name": TOOL_NAME, "input": input}])
        } else {
            json!([{"type": "text", "text": text.concat()}])
        };
        let mut body = head(&facts, wire_usage(&usage, usage.output));
        body["content"] = content;
        body["stop_reason"] = json!(stop);
        Answer::json(200, &body, facts)
    }
}

fn tool_id(number: u64) -> String {
    format!("toolu_01{number:022}")
}

fn head(facts: &Facts, usage: Value) -> Value {
    json!({
        "id": facts.id, "type": "message", "role": "assistant", "model": facts.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage,
    })
}

/// On this wire `input_tokens` are those that no cache had anything to do with.
fn wire_usage(usage: &Usage, output: u64) -> Value {
    let written = usage.cache_write;
    let mut wire = json!({
        "input_tokens": usage.input - usage.cache_read - written,
        "cache_creation_input_tokens": written, "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output, "service_tier": "standard",
    });
    if let Some(thinking) = usage.reasoning {
        wire["output_tokens_details"] = json!({"thinking_tokens": thinking});
    }
    wire
}

fn events(
    number: u64,
    facts: &Facts,
    usage: &Usage,
    text: &[String],
    script: &Script,
    stop: &str,
) -> Vec<Bytes> {
    let event = |data: Value| {
        let name = data["type"].as_str().unwrap_or_default();
        Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
    };
    // The first report of output tokens is a beginning, not a part: the last one is the total.
    let started = Usage { reasoning: None, ..*usage };
    let mut out =
        vec![event(json!({"type": "message_start", "message": head(facts, wire_usage(&started, 1))}))];
    let (block, deltas): (Value, Vec<Value>) = if script.tool {
        let deltas = pieces(TOOL_ARGUMENTS, 9).into_iter();
        (
            json!({"type": "tool_use", "id": tool_id(number), "name": TOOL_NAME, "input": {}}),
            deltas.map(|p| json!({"type": "input_json_delta", "partial_json": p})).collect(),
        )
    } else {
        let deltas = text.iter();
        (
            json!({"type": "text", "text": ""}),
            deltas.map(|p| json!({"type": "text_delta", "text": p})).collect(),
        )
    };
    out.push(event(json!({"type": "content_block_start", "index": 0, "content_block": block})));
    out.push(event(json!({"type": "ping"})));
    for delta in deltas {
        out.push(event(json!({"type": "content_block_delta", "index": 0, "delta": delta})));
    }
    out.push(event(json!({"type": "content_block_stop", "index": 0})));
    let mut total = wire_usage(usage, usage.output);
    if let Some(total) = total.as_object_mut() {
        total.remove("service_tier");
        total.remove("cache_creation");
    }
    out.push(event(json!({
        "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": total,
    })));
    out.push(event(json!({"type": "message_stop"})));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::answer::Content;

    #[test]
    fn stream_and_facts_agree() {
        let request = json!({"model": "test-cached", "max_tokens": 9, "stream": true});
        let answer = answer(7, true, request.to_string().as_bytes());
        let Content::Events(events) = &answer.content else { panic!("not a stream") };
        let data: Vec<Value> = events
            .iter()
            .map(|e| {
                serde_json::from_str(std::str::from_utf8(e).unwrap().split_once("\ndata: ").unwrap().1)
                    .unwrap()
            })
            .collect();
        let text: String = data.iter().filter_map(|e| e["delta"]["text"].as_str()).collect();
        assert_eq!(text, answer.facts.texts[0]);
        let usage = answer.facts.usage.unwrap();
        let start = &data[0]["message"]["usage"];
        let wire = |key: &str| start[key].as_u64().unwrap();
        assert_eq!(
            wire("input_tokens") + wire("cache_creation_input_tokens") + wire("cache_read_input_tokens"),
            usage.input
        );
        assert_ne!(wire("output_tokens"), usage.output);
        assert_eq!(data[data.len() - 2]["usage"]["output_tokens"], usage.output);
    }

    #[test]
    fn errors_have_the_providers_type() {
        let ask = |request: Value| answer(1, true, request.to_string().as_bytes());
        assert_eq!(ask(json!({"model": "m"})).status, 400);
        let overloaded = ask(json!({"model": "test-error-529", "max_tokens": 9}));
        assert_eq!(overloaded.facts.error.as_deref(), Some("overloaded_error"));
    }
}
