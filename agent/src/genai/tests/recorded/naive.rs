//! What the wire says, read naively.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{super::harness::sse, Recorded};

/// Text, provider's finish reason, names and arguments of tool calls.
pub(super) type Choice<Calls = Vec<(String, String)>> = (String, Option<String>, Calls);

/// What the wire says, read naively.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) choices: Vec<Choice>,
}

pub(super) fn filled(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The text of an OpenAI `content`.
pub(super) fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

fn chat_choice(message: &Value, finish: &Value) -> Choice {
    let mut calls: Vec<_> = message["tool_calls"].as_array().into_iter().flatten().collect();
    let old = serde_json::json!({"function": message["function_call"]});
    if filled(&message["function_call"]["name"]).is_some() {
        calls.push(&old);
    }
    let calls = calls.iter().map(|call| {
        let function = &call["function"];
        (function["name"].as_str().unwrap().to_owned(), function["arguments"].as_str().unwrap().to_owned())
    });
    (content_text(&message["content"]), filled(finish), calls.collect())
}

pub(super) fn chat(recorded: &Recorded) -> Said {
    let mut said = Said::default();
    if !recorded.streamed() {
        let body: Value = serde_json::from_slice(&recorded.response).unwrap();
        let choices = body["choices"].as_array().into_iter().flatten();
        said.choices = choices.map(|c| chat_choice(&c["message"], &c["finish_reason"])).collect();
        (said.id, said.model) = (filled(&body["id"]), filled(&body["model"]));
        said.input = body["usage"]["prompt_tokens"].as_i64();
        said.output = body["usage"]["completion_tokens"].as_i64();
        return said;
    }
    let mut choices = BTreeMap::<u64, Choice<BTreeMap<_, (String, String)>>>::new();
    for event in sse(recorded.text()).iter().filter(|event| event.data.as_ref() != b"[DONE]") {
        let chunk: Value = serde_json::from_slice(&event.data).unwrap();
        said.id = said.id.or_else(|| filled(&chunk["id"]));
        said.model = said.model.or_else(|| filled(&chunk["model"]));
        for usage in [&chunk["usage"], &chunk["x_groq"]["usage"]] {
            said.input = usage["prompt_tokens"].as_i64().or(said.input);
            said.output = usage["completion_tokens"].as_i64().or(said.output);
        }
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let entry = choices.entry(choice["index"].as_u64().unwrap()).or_default();
            entry.0 += choice["delta"]["content"].as_str().unwrap_or_default();
            entry.1 = entry.1.take().or_else(|| filled(&choice["finish_reason"]));
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let slot = entry.2.entry(call["index"].as_u64().unwrap()).or_default();
                slot.0 += call["function"]["name"].as_str().unwrap_or_default();
                slot.1 += call["function"]["arguments"].as_str().unwrap_or_default();
            }
        }
    }
    said.choices = choices.into_values().map(|(t, f, calls)| (t, f, calls.into_values().collect())).collect();
    said
}

/// Only what was made in the background tells its tokens when it is fetched.
pub(super) fn fetched(recorded: &Recorded) -> Said {
    let said = responses(recorded);
    if recorded.streamed() || recorded.text().contains("\"background\": true") {
        return said;
    }
    Said { input: None, output: None, ..said }
}

pub(super) fn responses(recorded: &Recorded) -> Said {
    let response = if recorded.streamed() {
        let events = sse(recorded.text()).into_iter();
        let mut events = events.map(|event| serde_json::from_slice::<Value>(&event.data).unwrap());
        let last = events.rfind(|event| event["response"].is_object()).unwrap();
        last["response"].clone()
    } else {
        serde_json::from_slice(&recorded.response).unwrap()
    };
    let mut said = Said {
        id: filled(&response["id"]),
        model: filled(&response["model"]),
        input: response["usage"]["input_tokens"].as_i64(),
        output: response["usage"]["output_tokens"].as_i64(),
        choices: Vec::new(),
    };
    let status = response["status"].as_str().unwrap();
    if ["queued", "in_progress"].contains(&status) {
        return said;
    }
    let mut choice: Choice = (String::new(), Some(status.to_owned()), Vec::new());
    for item in response["output"].as_array().unwrap() {
        match item["type"].as_str().unwrap() {
            "message" => choice.0 += &content_text(&item["content"]),
            "function_call" => choice.2.push((
                item["name"].as_str().unwrap().to_owned(),
                item["arguments"].as_str().unwrap().to_owned(),
            )),
            "tool_search_call" if item["execution"] == "client" => {
                choice.2.push(("tool_search".to_owned(), item["arguments"].to_string()));
            }
            _ => {}
        }
    }
    said.choices.push(choice);
    said
}

pub(super) fn messages(recorded: &Recorded) -> Said {
    let mut said = Said::default();
    let mut usage = BTreeMap::<String, i64>::new();
    let mut add_usage = |value: &Value| {
        for (key, n) in value.as_object().into_iter().flatten() {
            n.as_i64().map(|n| usage.insert(key.clone(), n));
        }
    };
    let mut choice = (String::new(), None, Vec::new());
    if recorded.streamed() {
        let mut calls = BTreeMap::<u64, (String, String, String)>::new();
        for event in sse(recorded.text()) {
            let event: Value = serde_json::from_slice(&event.data).unwrap();
            match event["type"].as_str().unwrap() {
                "message_start" => {
                    said.id = filled(&event["message"]["id"]);
                    said.model = filled(&event["message"]["model"]);
                    add_usage(&event["message"]["usage"]);
                }
                "message_delta" => {
                    choice.1 = filled(&event["delta"]["stop_reason"]);
                    add_usage(&event["usage"]);
                }
                "content_block_start" if event["content_block"]["type"] == "tool_use" => {
                    let block = &event["content_block"];
                    let name = block["name"].as_str().unwrap().to_owned();
                    calls.insert(
                        event["index"].as_u64().unwrap(),
                        (name, String::new(), block["input"].to_string()),
                    );
                }
                "content_block_delta" => {
                    choice.0 += event["delta"]["text"].as_str().unwrap_or_default();
                    if let Some(call) = calls.get_mut(&event["index"].as_u64().unwrap()) {
                        call.1 += event["delta"]["partial_json"].as_str().unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        let whole = |(name, joined, initial): (String, String, String)| {
            (name, if joined.is_empty() { initial } else { joined })
        };
        choice.2 = calls.into_values().map(whole).collect();
    } else {
        let body: Value = serde_json::from_slice(&recorded.response).unwrap();
        (said.id, said.model) = (filled(&body["id"]), filled(&body["model"]));
        choice.1 = filled(&body["stop_reason"]);
        for block in body["content"].as_array().unwrap() {
            choice.0 += block["text"].as_str().unwrap_or_default();
            if block["type"] == "tool_use" {
                choice.2.push((block["name"].as_str().unwrap().to_owned(), block["input"].to_string()));
            }
        }
        add_usage(&body["usage"]);
    }
    let sum = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];
    said.input = Some(sum.iter().filter_map(|key| usage.get(*key)).sum());
    said.output = usage.get("output_tokens").copied();
    said.choices = vec![choice];
    said
}

pub(super) fn generate_content(recorded: &Recorded) -> Said {
    let list: Vec<Value> = if recorded.streamed() {
        sse(recorded.text()).iter().map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
    } else {
        vec![serde_json::from_slice(&recorded.response).unwrap()]
    };
    let mut said = Said::default();
    let mut choices = BTreeMap::<u64, Choice>::new();
    for chunk in list {
        said.id = filled(&chunk["responseId"]).or(said.id);
        said.model = filled(&chunk["modelVersion"]).or(said.model);
        let usage = &chunk["usageMetadata"];
        let sum = |a: &str, b: &str| {
            let counts = [usage[a].as_i64(), usage[b].as_i64()];
            counts.iter().any(Option::is_some).then(|| counts.into_iter().flatten().sum())
        };
        said.input = sum("promptTokenCount", "toolUsePromptTokenCount").or(said.input);
        said.output = sum("candidatesTokenCount", "thoughtsTokenCount").or(said.output);
        for candidate in chunk["candidates"].as_array().into_iter().flatten() {
            let choice = choices.entry(candidate["index"].as_u64().unwrap_or(0)).or_default();
            // Vertex AI's own client asks for numbers.
            let number = candidate["finishReason"].as_u64().map(|n| ["", "STOP", "MAX_TOKENS"][n as usize]);
            choice.1 = filled(&candidate["finishReason"]).or(number.map(str::to_owned)).or(choice.1.take());
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                if part["thought"] != true {
                    choice.0 += part["text"].as_str().unwrap_or_default();
                }
                let call = &part["functionCall"];
                if call.is_object() {
                    choice.2.push((call["name"].as_str().unwrap().to_owned(), call["args"].to_string()));
                }
            }
        }
    }
    said.choices = choices.into_values().collect();
    said
}

pub(super) fn completions(recorded: &Recorded) -> Said {
    let chunks: Vec<Value> = if recorded.streamed() {
        let events = sse(recorded.text()).into_iter().filter(|event| event.data.as_ref() != b"[DONE]");
        events.map(|event| serde_json::from_slice(&event.data).unwrap()).collect()
    } else {
        vec![serde_json::from_slice(&recorded.response).unwrap()]
    };
    let mut said = Said::default();
    let mut choices = BTreeMap::<u64, Choice>::new();
    for chunk in &chunks {
        said.id = said.id.or_else(|| filled(&chunk["id"]));
        said.model = said.model.or_else(|| filled(&chunk["model"]));
        said.input = chunk["usage"]["prompt_tokens"].as_i64().or(said.input);
        said.output = chunk["usage"]["completion_tokens"].as_i64().or(said.output);
        if let Some(words) = chunk["value"].as_str() {
            choices.entry(0).or_default().0 += words;
        }
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let entry = choices.entry(choice["index"].as_u64().unwrap_or(0)).or_default();
            entry.0 += choice["text"].as_str().unwrap_or_default();
            entry.1 = entry.1.take().or_else(|| filled(&choice["finish_reason"]));
        }
    }
    said.choices = choices.into_values().collect();
    said
}

pub(super) fn embeddings(recorded: &Recorded) -> Said {
    let body: Value = serde_json::from_slice(&recorded.response).unwrap();
    let (id, model) = (filled(&body["id"]), filled(&body["model"]));
    // Voyage AI tells the total alone.
    let usage = &body["usage"];
    let input = usage["prompt_tokens"].as_i64().or(usage["total_tokens"].as_i64());
    Said { id, model, input, ..Said::default() }
}
