//! What the wire of the smaller APIs says, read naively.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Recorded,
    naive::{Choice, Said, content_text, filled},
};
use crate::genai::Call;

fn whole(recorded: &Recorded) -> Value {
    serde_json::from_slice(&recorded.response).unwrap()
}

/// The events of a stream.
fn events(recorded: &Recorded) -> Vec<Value> {
    let events = recorded.events().into_iter().filter(|event| event.data.as_ref() != b"[DONE]");
    events.map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
}

pub(super) fn cohere_chat(recorded: &Recorded) -> Said {
    let mut choice: Choice = Choice::default();
    let mut said = Said::default();
    let mut usage = Value::Null;
    if recorded.streamed() {
        let mut calls = BTreeMap::<u64, (String, String)>::new();
        for event in events(recorded) {
            let message = &event["delta"]["message"];
            said.id = said.id.or_else(|| filled(&event["id"]));
            choice.0 += message["content"]["text"].as_str().unwrap_or_default();
            if let Some(function) = message["tool_calls"].get("function") {
                let call = calls.entry(event["index"].as_u64().unwrap()).or_default();
                call.0 += function["name"].as_str().unwrap_or_default();
                call.1 += function["arguments"].as_str().unwrap_or_default();
            }
            if event["type"] == "message-end" {
                choice.1 = filled(&event["delta"]["finish_reason"]);
                usage = event["delta"]["usage"].clone();
            }
        }
        choice.2 = calls.into_values().collect();
    } else {
        let body = whole(recorded);
        let message = &body["message"];
        said.id = filled(&body["id"]);
        choice.0 = content_text(&message["content"]);
        choice.1 = filled(&body["finish_reason"]);
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let text = |key: &str| function[key].as_str().unwrap().to_owned();
            choice.2.push((text("name"), text("arguments")));
        }
        usage = body["usage"].clone();
    }
    said.input = usage["tokens"]["input_tokens"].as_i64();
    said.output = usage["tokens"]["output_tokens"].as_i64();
    said.choices = vec![choice];
    said
}

pub(super) fn cohere_chat_v1(recorded: &Recorded) -> Said {
    let body = whole(recorded);
    let tokens = &body["meta"]["tokens"];
    Said {
        id: filled(&body["response_id"]),
        model: None,
        input: tokens["input_tokens"].as_i64(),
        output: tokens["output_tokens"].as_i64(),
        choices: vec![(
            body["text"].as_str().unwrap().to_owned(),
            filled(&body["finish_reason"]),
            Vec::new(),
        )],
    }
}

pub(super) fn same_history(body: &Value, call: &Call, source: &str) {
    let mut roles: Vec<_> = body["chat_history"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|turn| turn["role"].as_str().unwrap().to_lowercase().replace("chatbot", "assistant"))
        .collect();
    roles.push("user".to_owned());
    let found: Vec<_> = call.request.messages.iter().map(|message| message.role.clone()).collect();
    assert_eq!(found, roles, "{source}");
}

/// Embeddings and reranking, which generate nothing. Voyage AI counts tokens, Cohere what it bills.
pub(super) fn judged(recorded: &Recorded) -> Said {
    let body = whole(recorded);
    let input = body["usage"]["total_tokens"].as_i64();
    let billed = body["meta"]["billed_units"]["input_tokens"].as_i64();
    Said {
        id: filled(&body["id"]),
        model: filled(&body["model"]),
        input: input.or(billed),
        ..Said::default()
    }
}

pub(super) fn ollama(recorded: &Recorded) -> Said {
    let list = if recorded.streamed() { events(recorded) } else { vec![whole(recorded)] };
    let last = list.last().unwrap();
    assert_eq!(last["done"], true);
    let mut choice: Choice = Choice::default();
    for chunk in &list {
        choice.0 += chunk["message"]["content"].as_str().or(chunk["response"].as_str()).unwrap();
    }
    choice.1 = filled(&last["done_reason"]);
    Said {
        id: None,
        model: filled(&last["model"]),
        input: last["prompt_eval_count"].as_i64(),
        output: last["eval_count"].as_i64(),
        choices: vec![choice],
    }
}

pub(super) fn same_ollama(body: &Value, call: &Call, source: &str) {
    let roles: Vec<_> = call.request.messages.iter().map(|message| message.role.as_str()).collect();
    let list = body["messages"].as_array().into_iter().flatten();
    let mut expected: Vec<_> = list.map(|message| message["role"].as_str().unwrap()).collect();
    if !call.response.generations.is_empty() && body["messages"].is_null() {
        expected.push("user");
    }
    assert_eq!(roles, expected, "{source}");
}

pub(super) fn embed_content(recorded: &Recorded) -> Said {
    Said { input: whole(recorded)["usageMetadata"]["promptTokenCount"].as_i64(), ..Said::default() }
}
