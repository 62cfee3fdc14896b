//! What the wire of Amazon Bedrock says, read naively.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Recorded, base64,
    naive::{Choice, Said, filled},
};
use crate::{genai::Call, wire::SseEvent};

/// The messages of an AWS event stream: lengths of all and of the headers, a checksum, headers, payload, a checksum.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<SseEvent> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let (total, headers) = (word(0), word(4));
        let head = String::from_utf8_lossy(&bytes[12..12 + headers]).into_owned();
        let (_, kind) = head.split_once("-type\u{7}\0").unwrap();
        let kind = kind[1..].split(|c: char| !c.is_ascii_alphabetic()).next().unwrap();
        let data = bytes[12 + headers..total - 4].to_vec();
        events.push(SseEvent { event: kind.into(), data: data.into() });
        bytes = &bytes[total..];
    }
    events
}

fn model(recorded: &Recorded) -> String {
    let (_, rest) = recorded.path.split_once("/model/").unwrap();
    let (model, _) = rest.rsplit_once('/').unwrap();
    model.replace("%3A", ":").replace("%2F", "/")
}

fn sum(value: &Value, keys: &[&str]) -> Option<i64> {
    value[keys[0]].as_i64()?;
    Some(keys.iter().filter_map(|key| value[*key].as_f64()).sum::<f64>() as i64)
}

/// Input tokens of Converse and Nova.
fn input(usage: &Value) -> Option<i64> {
    sum(usage, &["inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"])
}

/// Takes the content of a whole message, or of the events of one.
fn block(choice: &mut Choice, calls: &mut BTreeMap<u64, (String, String)>, kind: &str, payload: &Value) {
    let index = payload["contentBlockIndex"].as_u64().unwrap_or(0);
    match kind {
        "contentBlockStart" if payload["start"]["toolUse"]["type"] == "server_tool_use" => {}
        "contentBlockStart" => {
            if let Some(name) = filled(&payload["start"]["toolUse"]["name"]) {
                calls.insert(index, (name, String::new()));
            }
        }
        "contentBlockDelta" => {
            choice.0 += payload["delta"]["text"].as_str().unwrap_or_default();
            if let Some(call) = calls.get_mut(&index) {
                call.1 += payload["delta"]["toolUse"]["input"].as_str().unwrap_or_default();
            }
        }
        "messageStop" => choice.1 = filled(&payload["stopReason"]),
        _ => {}
    }
}

fn whole(body: &Value) -> Choice {
    let mut choice: Choice = (String::new(), filled(&body["stopReason"]), Vec::new());
    for block in body["output"]["message"]["content"].as_array().unwrap() {
        choice.0 += block["text"].as_str().unwrap_or_default();
        let tool = &block["toolUse"];
        if tool.is_object() && tool["type"] != "server_tool_use" {
            choice.2.push((tool["name"].as_str().unwrap().to_owned(), tool["input"].to_string()));
        }
    }
    choice
}

pub(super) fn converse(recorded: &Recorded) -> Said {
    let mut said = Said::default();
    if !recorded.streamed() {
        let body: Value = serde_json::from_slice(&recorded.response).unwrap();
        said.choices.push(whole(&body));
        said.input = input(&body["usage"]);
        said.output = body["usage"]["outputTokens"].as_i64();
        return said;
    }
    let (mut choice, mut calls) = (Choice::default(), BTreeMap::new());
    for event in messages(&recorded.response) {
        let payload: Value = serde_json::from_slice(&event.data).unwrap();
        block(&mut choice, &mut calls, &event.event, &payload);
        said.input = input(&payload["usage"]).or(said.input);
        said.output = payload["usage"]["outputTokens"].as_i64().or(said.output);
    }
    choice.2 = calls.into_values().collect();
    said.choices.push(choice);
    said
}

/// The bodies that a model answers with: one, or the chunks of a stream.
fn bodies(recorded: &Recorded) -> Vec<Value> {
    if !recorded.streamed() {
        return vec![serde_json::from_slice(&recorded.response).unwrap()];
    }
    let bytes = |event: SseEvent| {
        let part: Value = serde_json::from_slice(&event.data).unwrap();
        serde_json::from_slice(&base64(part["bytes"].as_str().unwrap())).unwrap()
    };
    messages(&recorded.response).into_iter().map(bytes).collect()
}

pub(super) fn invoke(recorded: &Recorded) -> Said {
    let model = model(recorded);
    let is = |name: &str| model.contains(name);
    let bodies = bodies(recorded);
    let mut said = Said::default();
    let mut choice: Choice = Choice::default();
    let mut calls = BTreeMap::<u64, (String, String)>::new();
    let mut usage = BTreeMap::<&str, i64>::new();
    for body in &bodies {
        for id in [&body["id"], &body["response_id"], &body["message"]["id"]] {
            let number = id.as_i64().map(|id| id.to_string());
            said.id = filled(id).or(number).or(said.id);
        }
        for model in [&body["model"], &body["message"]["model"]] {
            said.model = filled(model).or(said.model);
        }
        let counts = [
            &body["usage"],
            &body["message"]["usage"],
            &body["metadata"]["usage"],
            body,
            &body["results"][0],
        ];
        for count in counts {
            for (key, slot) in [
                ("input_tokens", "input"),
                ("cache_read_input_tokens", "read"),
                ("cache_creation_input_tokens", "write"),
                ("inputTokens", "input"),
                ("prompt_tokens", "input"),
                ("prompt_token_count", "input"),
                ("inputTextTokenCount", "input"),
                ("output_tokens", "output"),
                ("outputTokens", "output"),
                ("completion_tokens", "output"),
                ("generation_token_count", "output"),
                ("tokenCount", "output"),
                ("totalOutputTextTokenCount", "output"),
            ] {
                count[key].as_f64().map(|n| usage.insert(slot, n as i64));
            }
        }
        for text in [
            &body["outputText"],
            &body["results"][0]["outputText"],
            &body["generation"],
            &body["generations"][0]["text"],
            &body["outputs"][0]["text"],
            &body["completions"][0]["data"]["text"],
            &body["choices"][0]["text"],
            &body["text"],
            &body["delta"]["text"],
        ] {
            choice.0 += text.as_str().unwrap_or_default();
        }
        for reason in [
            &body["completionReason"],
            &body["results"][0]["completionReason"],
            &body["stop_reason"],
            &body["delta"]["stop_reason"],
            &body["finish_reason"],
            &body["generations"][0]["finish_reason"],
            &body["outputs"][0]["stop_reason"],
            &body["completions"][0]["finishReason"]["reason"],
            &body["choices"][0]["finish_reason"],
        ] {
            choice.1 = filled(reason).or(choice.1);
        }
        // Anthropic's.
        for block in body["content"].as_array().into_iter().flatten() {
            choice.0 += block["text"].as_str().unwrap_or_default();
            if block["type"] == "tool_use" {
                choice.2.push((filled(&block["name"]).unwrap(), block["input"].to_string()));
            }
        }
        let index = body["index"].as_f64().unwrap_or_default() as u64;
        if let Some(name) = filled(&body["content_block"]["name"]) {
            calls.insert(index, (name, String::new()));
        }
        if let Some(json) = body["delta"]["partial_json"].as_str() {
            calls.get_mut(&index).unwrap().1 += json;
        }
        // Nova's.
        for (kind, payload) in body.as_object().unwrap() {
            block(&mut choice, &mut calls, kind, payload);
        }
        if body["output"].is_object() {
            choice = whole(body);
        }
    }
    let header = |name: &str| {
        let found = recorded
            .response_headers
            .iter()
            .find(|(n, _)| n == &format!("x-amzn-bedrock-{name}-token-count"));
        found.map(|(_, value)| value.parse().unwrap())
    };
    let cached = ["read", "write"].iter().filter_map(|slot| usage.get(slot)).sum::<i64>();
    said.input = usage.get("input").map(|input| input + cached).or(header("input"));
    said.output = usage.get("output").copied().or(header("output"));
    choice.2.extend(calls.into_values());
    if !is("embed") {
        said.choices.push(choice);
    }
    said
}

/// What the request asks for, naively.
pub(super) fn same_request(recorded: &Recorded, call: &Call) {
    let (source, request) = (&recorded.source, &call.request);
    assert_eq!(request.model.as_deref(), Some(&*model(recorded)), "{source}");
    assert_eq!(request.stream, recorded.path.contains("stream").then_some(true), "{source}");
    if recorded.request.is_empty() {
        assert!(request.messages.is_empty(), "{source}");
        return;
    }
    let body: Value = serde_json::from_slice(&recorded.request).unwrap();
    let places = [&body, &body["inferenceConfig"], &body["textGenerationConfig"]];
    let number =
        |keys: &[&str]| places.iter().find_map(|place| keys.iter().find_map(|key| place[*key].as_f64()));
    let embeds = model(recorded).contains("embed");
    assert_eq!(request.temperature, number(&["temperature"]), "{source}");
    let max = ["max_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "maxTokenCount"];
    let max = number(&max).map(|max| max as i64).filter(|_| !embeds);
    assert_eq!(request.max_tokens, max, "{source}");
    let stops = places.iter().find_map(|place| {
        let keys = ["stopSequences", "stop_sequences", "stop"];
        keys.iter().find_map(|key| place[*key].as_array().map(Vec::len))
    });
    assert_eq!(request.stop_sequences.len(), stops.unwrap_or(0), "{source}");
    let messages = body["messages"].as_array().map_or(1, Vec::len);
    assert_eq!(request.messages.len(), if embeds { 0 } else { messages }, "{source}");
    let tools = body["tools"].as_array().or(body["toolConfig"]["tools"].as_array());
    assert_eq!(request.tools.len(), tools.map_or(0, Vec::len), "{source}");
    let system =
        body["system"].as_array().map(|list| list.iter().filter(|part| part["text"].is_string()).count());
    let system = system.unwrap_or(usize::from(body["system"].is_string()));
    assert_eq!(request.system.len(), system, "{source}");
    if embeds {
        assert_eq!(request.dimensions, body["dimensions"].as_i64(), "{source}");
    }
}

/// The error that the head of an answer tells, by its name or its status.
pub(super) fn error(recorded: &Recorded) -> String {
    let told = recorded.response_headers.iter().find(|(name, _)| name == "x-amzn-errortype");
    let name = told.and_then(|(_, told)| told.split(':').next());
    name.map_or_else(|| recorded.status.to_string(), str::to_owned)
}
