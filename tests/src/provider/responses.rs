//! OpenAI Responses, as the API answers (platform.openai.com/docs/api-reference/responses): JSON, a stream of events,
//! and the same events as messages of a WebSocket (platform.openai.com/docs/guides/websocket-mode).

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Content, TOOL_ARGUMENTS, TOOL_NAME, pieces, served, usage},
    openai,
    record::{Facts, Usage},
    script::Script,
};

const CREATED: u64 = 1_767_225_600;
const TIER: &str = "default";

/// Answers `POST /v1/responses`.
pub fn answer(number: u64, authorized: bool, body: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    reply(number, authorized, &request, request["stream"].as_bool() == Some(true))
}

/// Answers a `response.create` on a WebSocket, where every answer is a stream.
pub fn answer_message(number: u64, authorized: bool, message: &Value) -> Answer {
    reply(number, authorized, message, true)
}

/// The data of each event of an answer: what a WebSocket carries as messages.
pub fn messages(answer: &Answer) -> Vec<Bytes> {
    match &answer.content {
        Content::Events(events) => events
            .iter()
            .map(|event| {
                let text = String::from_utf8_lossy(event);
                Bytes::from(text.split_once("data: ").map_or("", |(_, data)| data.trim_end()).to_owned())
            })
            .collect(),
        Content::Plain(body) => {
            let error: Value = serde_json::from_slice(body).unwrap_or_default();
            let event = json!({"type": "error", "status": answer.status, "error": error["error"]});
            vec![event.to_string().into()]
        }
    }
}

fn reply(number: u64, authorized: bool, request: &Value, streamed: bool) -> Answer {
    let answer = match request["model"].as_str() {
        None => openai::error(400, "you must provide a model parameter"),
        Some(_) if !authorized => openai::error(401, "You didn't provide an API key."),
        Some(model) => {
            let script = Script::of(model);
            let mut answer = match script.error {
                Some(status) => openai::error(status, &format!("scripted error of request {number}")),
                None => response(number, model, &script, request, streamed),
            };
            answer.script = script;
            answer
        }
    };
    answer.with_request_id("x-request-id", format!("req_{number:032x}"))
}

fn response(number: u64, model: &str, script: &Script, request: &Value, streamed: bool) -> Answer {
    // A client that warms its connection up asks for no output.
    let silent = request["generate"].as_bool() == Some(false);
    let text = if script.tool || silent { Vec::new() } else { script.text(number, 0) };
    let (status, reason) = match (script.length, script.filter) {
        (true, _) => ("incomplete", Some("max_output_tokens")),
        (_, true) => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    };
    let usage = usage(number, script, text.len());
    let facts = Facts {
        id: Some(format!("resp_{number:048x}")),
        model: Some(served(model)),
        finish_reasons: vec![reason.unwrap_or(status).to_owned()],
        usage: Some(usage),
        texts: vec![text.concat()],
        service_tier: Some(TIER.to_owned()),
        ..Facts::default()
    };
    let item = item(number, script, &text);
    let output = if silent { json!([]) } else { json!([item]) };
    let whole = |status: &str, output: Value, usage: Value| {
        json!({
            "id": facts.id, "object": "response", "created_at": CREATED, "status": status, "error": null,
            "incomplete_details": reason.filter(|_| status == "incomplete").map(|r| json!({"reason": r})),
            "instructions": null, "max_output_tokens": request["max_output_tokens"], "model": facts.model,
            "output": output, "parallel_tool_calls": true, "previous_response_id": request["previous_response_id"],
            "reasoning": {"effort": null, "summary": null}, "service_tier": TIER, "store": false,
            "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
            "top_p": 1.0, "truncation": "disabled", "usage": usage, "user": null, "metadata": {},
        })
    };
    let done = whole(status, output, wire_usage(&usage));
    if !streamed {
        return Answer::json(200, &done, facts);
    }
    let begun = whole("in_progress", json!([]), Value::Null);
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    if !silent {
        events.extend(item_events(&item, &text, script));
    }
    events.push(json!({"type": format!("response.{status}"), "response": done}));
    if !script.fail {
        return Answer::events(wire(events), facts);
    }
    let mut failed = whole("failed", json!([]), Value::Null);
    failed["error"] = json!({"code": "server_error", "message": "scripted failure"});
    events.truncate(events.len() / 2);
    events.push(json!({"type": "response.failed", "response": failed}));
    let facts = Facts {
        error: Some("server_error".to_owned()),
        finish_reasons: Vec::new(),
        usage: None,
        ..facts.clone()
    };
    Answer::events(wire(events), facts)
}

/// Events are numbered, and their name stands in their data as well.
fn wire(events: Vec<Value>) -> Vec<Bytes> {
    let event = |(i, mut data): (usize, Value)| {
        data["sequence_number"] = json!(i);
        format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()).into()
    };
    events.into_iter().enumerate().map(event).collect()
}

fn item(number: u64, script: &Script, text: &[String]) -> Value {
    if script.tool {
        return json!({
            "id": format!("fc_{number:048x}"), "type": "function_call", "status": "completed",
            "call_id": format!("call_{number:024}"), "name": TOOL_NAME, "arguments": TOOL_ARGUMENTS,
        });
    }
    json!({
        "id": format!("msg_{number:048x}"), "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": text.concat()}],
    })
}

fn item_events(item: &Value, text: &[String], script: &Script) -> Vec<Value> {
    let id = &item["id"];
    let mut begun = item.clone();
    begun["status"] = json!("in_progress");
    let place = |kind: &str| json!({"type": kind, "item_id": id, "output_index": 0});
    let with = |mut event: Value, members: Value| {
        if let (Some(event), Value::Object(members)) = (event.as_object_mut(), members) {
            event.extend(members);
        }
        event
    };
    let mut events = Vec::new();
    if script.tool {
        begun["arguments"] = json!("");
        events.push(json!({"type": "response.output_item.added", "output_index": 0, "item": begun}));
        for piece in pieces(TOOL_ARGUMENTS, 9) {
            events.push(with(place("response.function_call_arguments.delta"), json!({"delta": piece})));
        }
        let done = json!({"name": TOOL_NAME, "arguments": TOOL_ARGUMENTS});
        events.push(with(place("response.function_call_arguments.done"), done));
    } else {
        begun["content"] = json!([]);
        events.push(json!({"type": "response.output_item.added", "output_index": 0, "item": begun}));
        let part =
            |text: &str| json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text});
        let added = json!({"content_index": 0, "part": part("")});
        events.push(with(place("response.content_part.added"), added));
        for piece in text {
            let delta = json!({"content_index": 0, "delta": piece, "logprobs": []});
            events.push(with(place("response.output_text.delta"), delta));
        }
        let whole = text.concat();
        let done = json!({"content_index": 0, "text": whole, "logprobs": []});
        events.push(with(place("response.output_text.done"), done));
        let done = json!({"content_index": 0, "part": part(&whole)});
        events.push(with(place("response.content_part.done"), done));
    }
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events
}

fn wire_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning.unwrap_or(0)},
        "total_tokens": usage.input + usage.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(request: &Value) -> Vec<Value> {
        let answer = answer_message(7, true, request);
        messages(&answer).iter().map(|m| serde_json::from_slice(m).unwrap()).collect()
    }

    #[test]
    fn deltas_make_the_text_of_the_last_event() {
        let events = events(&json!({"model": "test-cached-reason"}));
        let text: String = events.iter().filter_map(|e| e["delta"].as_str()).collect();
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], text.as_str());
        assert_eq!(last["sequence_number"], events.len() - 1);
    }

    #[test]
    fn arguments_of_a_tool_come_in_pieces() {
        let events = events(&json!({"model": "test-tool"}));
        let arguments: String = events.iter().filter_map(|e| e["delta"].as_str()).collect();
        assert_eq!(arguments, TOOL_ARGUMENTS);
    }

    #[test]
    fn ends() {
        let cases = [
            ("test-length", "response.incomplete"),
            ("test-fail", "response.failed"),
            ("test-error-429", "error"),
        ];
        for (model, kind) in cases {
            assert_eq!(events(&json!({"model": model})).last().unwrap()["type"], kind, "{model}");
        }
        let silent = events(&json!({"model": "m", "generate": false}));
        assert_eq!(silent.last().unwrap()["response"]["output"], json!([]));
    }
}
