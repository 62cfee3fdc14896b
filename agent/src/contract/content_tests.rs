use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::{Value as Parsed, json};

use super::*;
use crate::contract::Value;
use crate::genai::{Digest, FinishReason, Generation, Request, Response};

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

/// Every type of part, with the JSON that it becomes.
#[rustfmt::skip]
fn parts() -> Vec<(Part, Parsed)> {
    let id = || Some("id1".to_owned());
    vec![
        (Part::Text("hi \"you\"\n".into()), json!({"type": "text", "content": "hi \"you\"\n"})),
        (Part::Reasoning("hm".into()), json!({"type": "reasoning", "content": "hm"})),
        (Part::Refusal("no".into()), json!({"type": "refusal", "content": "no"})),
        (Part::ToolCall { id: id(), name: "f".into(), arguments: r#"{"a": [1, "x"]}"#.into() },
            json!({"type": "tool_call", "id": "id1", "name": "f", "arguments": {"a": [1, "x"]}})),
        (Part::ToolCall { id: None, name: "f".into(), arguments: r#"{"a": [1, "#.into() },
            json!({"type": "tool_call", "name": "f", "arguments": "{\"a\": [1, "})),
        (Part::ToolCallResponse { id: id(), response: r#""sunny""#.into() },
            json!({"type": "tool_call_response", "id": "id1", "response": "sunny"})),
        (Part::ServerToolCall { id: id(), name: "web_search".into(), arguments: r#"{"q": "x"}"#.into() },
            json!({"type": "server_tool_call", "id": "id1", "name": "web_search",
                "server_tool_call": {"type": "web_search", "arguments": {"q": "x"}}})),
        (Part::ServerToolCallResponse { id: id(), response: "[1]".into() },
            json!({"type": "server_tool_call_response", "id": "id1",
                "server_tool_call_response": {"type": "web_search", "response": [1]}})),
        (Part::ServerToolCallResponse { id: Some("id2".into()), response: "[1]".into() },
            json!({"type": "server_tool_call_response", "id": "id2",
                "server_tool_call_response": {"type": "unknown", "response": [1]}})),
        (Part::Blob { modality: "image", mime_type: Some("image/png".into()), encoded_len: 700, digest: None },
            json!({"type": "blob", "modality": "image", "mime_type": "image/png", "encoded_len": 700, "content": ""})),
        (Part::Blob { modality: "audio", mime_type: None, encoded_len: 4, digest: Some(Digest { size: 3, sha256: [0xa5; 32] }) },
            json!({"type": "blob", "modality": "audio", "encoded_len": 4, "size": 3, "sha256": "a5".repeat(32), "content": ""})),
        (Part::Uri { modality: "image", mime_type: None, uri: "https://h/x.png".into() },
            json!({"type": "uri", "modality": "image", "uri": "https://h/x.png"})),
        (Part::Uri { modality: "image", mime_type: Some("image/png".into()), uri: "https://h/x".into() },
            json!({"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://h/x"})),
        (Part::File { modality: "document", file_id: "file-1".into() },
            json!({"type": "file", "modality": "document", "file_id": "file-1"})),
        (Part::Generic { kind: "compaction".into(), json: r#"{"type": "compaction", "n": 1}"#.into() },
            json!({"type": "compaction", "content": {"type": "compaction", "n": 1}})),
    ]
}

fn call() -> Call {
    let all = || parts().into_iter().map(|(part, _)| part).collect::<Vec<_>>();
    let message = |role: &str| Message { role: role.to_owned(), name: Some("n".into()), parts: all() };
    Call {
        request: Request {
            system: all(),
            messages: vec![message("user"), Message { role: "tool".into(), ..Message::default() }],
            tools: vec![
                ToolDefinition {
                    kind: "function".into(),
                    name: Some("f".into()),
                    description: Some("does f".into()),
                    parameters: Some(raw(r#"{"type": "object", "properties": {"a": {"type": "array"}}}"#)),
                },
                ToolDefinition { kind: "web_search".into(), name: None, description: None, parameters: None },
            ],
            ..Request::default()
        },
        response: Response {
            generations: vec![Generation {
                finish_reason: Some(FinishReason::ToolCall),
                message: message("assistant"),
                ..Generation::default()
            }],
            ..Response::default()
        },
        ..Call::default()
    }
}

/// The content attributes of a call, parsed, and the bytes that were cut.
fn contents(call: &Call) -> (serde_json::Map<String, Parsed>, i64) {
    contents_under(call, Profile::DEFAULT)
}

fn contents_under(call: &Call, profile: &Profile) -> (serde_json::Map<String, Parsed>, i64) {
    let mut attributes = Attributes::default();
    set(&mut attributes, call, profile);
    let mut map = serde_json::Map::new();
    let mut cut = 0;
    for attribute in attributes.finish() {
        match attribute.value {
            Value::String(json) => {
                map.insert(attribute.key.to_owned(), serde_json::from_str(&json).unwrap());
            }
            Value::Int(n) => cut = n,
            other => panic!("{other:?}"),
        }
    }
    (map, cut)
}

#[test]
fn every_part_has_the_form_of_the_conventions() {
    let (contents, cut) = contents(&call());
    let wanted: Vec<_> = parts().into_iter().map(|(_, json)| json).collect();
    assert_eq!(contents["gen_ai.system_instructions"], json!(wanted));
    assert_eq!(
        contents["gen_ai.input.messages"],
        json!([{"role": "user", "name": "n", "parts": wanted}, {"role": "tool", "parts": []}])
    );
    assert_eq!(
        contents["gen_ai.output.messages"],
        json!([{"role": "assistant", "name": "n", "parts": wanted, "finish_reason": "tool_call"}])
    );
    assert_eq!(
        contents["gen_ai.tool.definitions"],
        json!([
            {"type": "function", "name": "f", "description": "does f",
                "parameters": {"type": "object", "properties": {"a": {"type": "array"}}}},
            {"type": "web_search", "name": "web_search"},
        ])
    );
    assert_eq!(cut, 3 * (700 + 4), "the blobs in each of the three lists");
}

#[test]
fn messages_have_older_fields_where_the_profile_has_them() {
    for profile in names::PROFILES {
        let (contents, _) = contents_under(&call(), profile);
        let reason = contents["gen_ai.output.messages"][0].get("finish_reason");
        let wanted = (profile.name != "current").then(|| json!("tool_call"));
        assert_eq!(reason, wanted.as_ref(), "{}", profile.name);
    }
}

#[test]
fn a_call_without_content_says_nothing() {
    assert_eq!(contents(&Call::default()), (serde_json::Map::new(), 0));
}

#[test]
fn contents_fit_our_schema() {
    let schema: Parsed = serde_json::from_str(include_str!("../../../contract/content.schema.json")).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let (contents, _) = contents(&call());
    let errors: Vec<_> = validator.iter_errors(&json!(contents)).map(|e| e.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let wrong = json!({"gen_ai.output.messages": [{"role": "assistant", "parts": []}]});
    assert!(!validator.is_valid(&wrong), "an output message needs its finish_reason");
}

/// The upstream schemas stand beside the recorded exchanges.
#[test]
fn contents_fit_the_schemas_of_the_conventions() {
    let exchanges = std::env::var_os("PLAINSPAN_EXCHANGES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/exchanges")),
        PathBuf::from,
    );
    let schemas = exchanges.join("../semconv-genai/schemas");
    let (contents, _) = contents(&call());
    for (key, file) in [
        ("gen_ai.system_instructions", "gen-ai-system-instructions.json"),
        ("gen_ai.input.messages", "gen-ai-input-messages.json"),
        ("gen_ai.output.messages", "gen-ai-output-messages.json"),
        ("gen_ai.tool.definitions", "gen-ai-tool-definitions.json"),
    ] {
        let path = schemas.join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; PLAINSPAN_EXCHANGES must name the recorded exchanges", path.display())
        });
        // The validator has no copy of the meta-schema that tool parameters are held against.
        let text =
            text.replace(r#""$ref": "http://json-schema.org/draft-07/schema#""#, r#""type": "object""#);
        let validator = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&contents[key]).map(|e| e.to_string()).collect();
        assert_eq!(errors, [""; 0], "{key}");
    }
}

#[test]
fn deep_json_stands_as_text() {
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(matches!(payload(&nested(MAX_DEPTH), usize::MAX).0, Payload::Json(_)));
    assert!(matches!(payload(&nested(MAX_DEPTH + 1), usize::MAX).0, Payload::Text(_)));
    assert!(matches!(payload(&nested(1_000_000), usize::MAX).0, Payload::Text(_)));
    assert_eq!(depth(r#"{"a[[[": "\"[[", "b": [{}]}"#), 3);
}

#[test]
fn a_prefix_is_measured_as_it_is_written() {
    for (text, budget, wanted) in [
        ("abc", 2, "ab"),
        ("aé", 2, "a"),
        ("aé", 3, "aé"),
        ("\"\"", 3, "\""),
        ("\u{1}x", 5, ""),
        ("\u{1}x", 6, "\u{1}"),
        ("\n\t", 4, "\n\t"),
        ("", 0, ""),
    ] {
        assert_eq!(escaped_prefix(text, budget), wanted, "{text:?} {budget}");
    }
}

#[test]
fn the_limit_shortens_the_part_that_reaches_it() {
    let text = |text: &str| Part::Text(text.into());
    let mut list = List::new(r#"[{"type":"text","content":"1234"},{"type":"text","content":"12"}]"#.len());
    list.parts(&[text("1234"), text("1234"), text("1234")]);
    assert_eq!(list.cut, 2 + 4);
    assert_eq!(
        list.finish().unwrap(),
        r#"[{"type":"text","content":"1234"},{"type":"text","content":"12"}]"#
    );
}

fn any_part() -> impl Strategy<Value = Part> {
    prop_oneof![
        "\\PC{0,40}".prop_map(|text| Part::Text(text.as_str().into())),
        "[\\x00-\\x7f]{0,40}".prop_map(|text| Part::Reasoning(text.as_str().into())),
        ("[a-z]{0,8}", "[0-9]{1,20}|\\{\"a\": \\[\\]\\}|\\{").prop_map(|(name, json)| Part::ToolCall {
            id: None,
            name,
            arguments: json.as_str().into()
        }),
    ]
}

proptest! {
    /// Whatever the limit: valid JSON, never over it, and every byte is either there or counted.
    #[test]
    fn a_list_keeps_its_limit_and_counts_the_rest(
        messages in prop::collection::vec((prop::collection::vec(any_part(), 0..5), "[a-z\"]{0,9}"), 0..5),
        max in 2usize..900,
    ) {
        let mut list = List::new(max);
        for (parts, role) in &messages {
            let message = Message { role: role.clone(), name: None, parts: parts.clone() };
            list.message(&message, Some("stop".into()));
        }
        let total: u64 = messages.iter().flat_map(|(parts, _)| parts).map(length).sum();
        let cut = list.cut;
        let mut kept = 0;
        if let Some(json) = list.finish() {
            prop_assert!(json.len() <= max, "{} > {max}: {json}", json.len());
            let parsed: Vec<Parsed> = serde_json::from_str(&json).unwrap();
            for part in parsed.iter().flat_map(|m| m["parts"].as_array().unwrap()) {
                let payload = part.get("content").or_else(|| part.get("arguments")).unwrap();
                kept += match payload {
                    Parsed::String(text) => text.len(),
                    // The three JSON texts that the strategy makes keep their length, but for one space.
                    Parsed::Object(_) => r#"{"a": []}"#.len(),
                    _ => continue,
                } as u64;
            }
            let numbers: u64 = messages.iter().flat_map(|(parts, _)| parts).filter_map(|part| match part {
                Part::ToolCall { arguments, .. } if serde_json::from_str::<f64>(&arguments.text).is_ok() => Some(arguments.text.len() as u64),
                _ => None,
            }).sum();
            prop_assert!(kept + cut <= total && total <= kept + cut + numbers, "{kept} + {cut} of {total} ({numbers})");
        } else {
            prop_assert_eq!(cut, total);
        }
    }
}
