//! OpenAI Realtime, as the API answers (platform.openai.com/docs/api-reference/realtime-server-events): audio in, which is taken
//! for a whole utterance each time, text in, and text with sound out.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    answer::{Answer, TOOL_ARGUMENTS, TOOL_NAME, usage},
    openai,
    record::{Facts, Usage},
    script::Script,
};

/// Some sound in base64.
const SOUND: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";

/// The model that the query of a session's URL names.
pub fn model(query: &str) -> String {
    query.split('&').find_map(|pair| pair.strip_prefix("model=")).unwrap_or_default().to_owned()
}

/// What a session begins with.
pub fn created(model: &str) -> Value {
    json!({"type": "session.created", "session": {
        "type": "realtime", "object": "realtime.session", "id": "sess_local", "model": model, "instructions": "",
        "output_modalities": ["audio"], "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
    }})
}

/// What is said at once to a message, and whether a response follows.
pub fn heard(message: &Value) -> (Vec<Value>, bool) {
    let said = |kind: &str| json!({"type": kind, "item_id": "item_heard"});
    match message["type"].as_str() {
        Some("session.update") => {
            (vec![json!({"type": "session.updated", "session": message["session"]})], false)
        }
        Some("conversation.item.create") => {
            (vec![json!({"type": "conversation.item.added", "item": message["item"]})], false)
        }
        Some("input_audio_buffer.append") => {
            let kinds = ["speech_started", "speech_stopped", "committed"];
            (kinds.map(|kind| said(&format!("input_audio_buffer.{kind}"))).into(), true)
        }
        Some("response.create") => (Vec::new(), true),
        _ => (
            vec![json!({"type": "error", "error": {"type": "invalid_request_error", "code": "unknown"}})],
            false,
        ),
    }
}

/// A response.
pub fn answer(number: u64, authorized: bool, model: &str) -> Answer {
    let script = Script::of(model);
    let mut answer = match script.error {
        _ if !authorized => openai::error(401, "You didn't provide an API key."),
        Some(status) => openai::error(status, &format!("scripted error of request {number}")),
        None => response(number, &script),
    };
    answer.script = script;
    answer
}

fn response(number: u64, script: &Script) -> Answer {
    let text = if script.tool { Vec::new() } else { script.text(number, 0) };
    let usage = usage(number, script, text.len());
    let facts = Facts {
        id: Some(format!("resp_{number:048x}")),
        finish_reasons: vec![if script.length { "max_output_tokens" } else { "completed" }.to_owned()],
        usage: Some(usage),
        texts: vec![text.concat()],
        ..Facts::default()
    };
    let item = if script.tool {
        json!({"type": "function_call", "call_id": format!("call_{number}"), "name": TOOL_NAME, "arguments": TOOL_ARGUMENTS})
    } else {
        let content = json!([{"type": "output_audio", "transcript": text.concat()}]);
        json!({"type": "message", "role": "assistant", "content": content})
    };
    let whole = |status: &str, details: Value, output: Value, usage: Value| {
        json!({
            "object": "realtime.response", "id": facts.id, "status": status, "status_details": details, "output": output,
            "conversation_id": "conv_local", "output_modalities": ["audio"], "usage": usage, "metadata": null,
        })
    };
    let place =
        |kind: &str| json!({"type": kind, "response_id": facts.id, "output_index": 0, "content_index": 0});
    let mut events = vec![
        json!({"type": "response.created", "response": whole("in_progress", Value::Null, json!([]), Value::Null)}),
        json!({"type": "response.output_item.added", "response_id": facts.id, "output_index": 0, "item": item}),
    ];
    for piece in &text {
        let mut words = place("response.output_audio_transcript.delta");
        words["delta"] = json!(piece);
        let mut sound = place("response.output_audio.delta");
        sound["delta"] = json!(SOUND);
        events.extend([words, sound]);
    }
    let (status, details) = if script.length {
        ("incomplete", json!({"type": "incomplete", "reason": "max_output_tokens"}))
    } else {
        ("completed", Value::Null)
    };
    events.push(json!({"type": "response.done", "response": whole(status, details, json!([item]), wire_usage(&usage))}));
    let events = events.into_iter().map(|event| Bytes::from(format!("data: {event}\n\n")));
    Answer::events(events.collect(), facts.clone())
}

fn wire_usage(usage: &Usage) -> Value {
    json!({
        "total_tokens": usage.input + usage.output, "input_tokens": usage.input, "output_tokens": usage.output,
        "input_token_details": {"text_tokens": usage.input, "audio_tokens": 0, "cached_tokens": usage.cache_read},
        "output_token_details": {"text_tokens": 1, "audio_tokens": usage.output - 1},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::responses::messages;

    #[test]
    fn deltas_make_the_words_of_the_last_event() {
        let answer = answer(7, true, "test-cached");
        let events: Vec<Value> =
            messages(&answer).iter().map(|message| serde_json::from_slice(message).unwrap()).collect();
        let words = events.iter().filter(|e| e["type"] == "response.output_audio_transcript.delta");
        let words: String = words.filter_map(|e| e["delta"].as_str()).collect();
        let last = &events[events.len() - 1]["response"];
        assert_eq!(last["output"][0]["content"][0]["transcript"], words.as_str());
        assert_eq!((vec![words], last["id"].as_str()), (answer.facts.texts, answer.facts.id.as_deref()));
    }

    #[test]
    fn what_asks() {
        let cases = [
            ("session.update", 1, false),
            ("conversation.item.create", 1, false),
            ("input_audio_buffer.append", 3, true),
            ("response.create", 0, true),
            ("nonsense", 1, false),
        ];
        for (kind, said, asks) in cases {
            let (events, asked) = heard(&json!({"type": kind}));
            assert_eq!((events.len(), asked), (said, asks), "{kind}");
        }
        assert_eq!(model("a=b&model=m"), "m");
    }
}
