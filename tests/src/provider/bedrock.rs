//! Amazon Bedrock's Converse, ConverseStream and InvokeModel, as the runtime answers
//! (docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html).

use bytes::Bytes;
use flate2::Crc;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Content, TOOL_ARGUMENTS, TOOL_NAME, pieces, usage},
    record::{Facts, Usage},
    script::Script,
};

/// The model that a path like `/model/MODEL/converse` names, and what is asked of it.
pub fn model(path: &str) -> Option<(&str, &str)> {
    let (model, action) = path.strip_prefix("/model/")?.split_once('/')?;
    matches!(action, "converse" | "converse-stream" | "invoke").then_some((model, action))
}

/// Answers `POST /model/MODEL/ACTION`.
pub fn answer(number: u64, authorized: bool, model: &str, action: &str) -> Answer {
    let script = Script::of(model);
    let mut answer = match script.error {
        _ if !authorized => error(403, "The security token included in the request is invalid."),
        Some(status) => error(status, &format!("scripted error of request {number}")),
        None if action == "invoke" => embedding(number),
        None => converse(number, &script, action == "converse-stream"),
    };
    answer.script = script;
    answer.with_request_id("x-amzn-requestid", format!("00000000-0000-0000-0000-{number:012}"))
}

fn error(status: u16, message: &str) -> Answer {
    let kind = match status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    };
    let facts = Facts { error: Some(kind.to_owned()), ..Facts::default() };
    Answer::json(status, &json!({"message": message}), facts)
        .with("x-amzn-errortype", format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"))
}

/// An embedding by Titan; its tokens are told in a header, too.
fn embedding(number: u64) -> Answer {
    let input = usage(number, &Script::default(), 0).input;
    let body = json!({"embedding": [0.25, -0.5], "inputTextTokenCount": input});
    Answer::json(200, &body, Facts::default()).with("x-amzn-bedrock-input-token-count", input.to_string())
}

fn converse(number: u64, script: &Script, streamed: bool) -> Answer {
    let text = if script.tool { Vec::new() } else { script.text(number, 0) };
    let stop = match (script.tool, script.length, script.filter) {
        (true, ..) => "tool_use",
        (_, true, _) => "max_tokens",
        (.., true) => "guardrail_intervened",
        _ => "end_turn",
    };
    let usage = usage(number, script, text.len());
    let facts = Facts {
        finish_reasons: vec![stop.to_owned()],
        usage: Some(usage),
        texts: vec![text.concat()],
        ..Facts::default()
    };
    let metrics = json!({"latencyMs": 17});
    if streamed {
        let mut events = vec![event("messageStart", &json!({"role": "assistant"}))];
        events.extend(block(number, script, &text));
        events.push(event("messageStop", &json!({"stopReason": stop})));
        events.push(event("metadata", &json!({"usage": wire_usage(&usage), "metrics": metrics})));
        return Answer {
            headers: vec![("content-type", "application/vnd.amazon.eventstream".to_owned())],
            content: Content::Events(events),
            ..Answer::json(200, &Value::Null, facts)
        };
    }
    let content = if script.tool {
        let input: Value = serde_json::from_str(TOOL_ARGUMENTS).unwrap_or_default();
        json!([{"toolUse": {"toolUseId": tool_id(number), "name": TOOL_NAME, "input": input}}])
    } else {
        json!([{"text": text.concat()}])
    };
    let body = json!({
        "output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
        "usage": wire_usage(&usage), "metrics": metrics,
    });
    Answer::json(200, &body, facts)
}

/// The events of the one block of content.
fn block(number: u64, script: &Script, text: &[String]) -> Vec<Bytes> {
    let delta = |delta: Value| event("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": delta}));
    let mut events = Vec::new();
    if script.tool {
        let tool = json!({"toolUse": {"toolUseId": tool_id(number), "name": TOOL_NAME}});
        events.push(event("contentBlockStart", &json!({"contentBlockIndex": 0, "start": tool})));
        events.extend(
            pieces(TOOL_ARGUMENTS, 7).iter().map(|piece| delta(json!({"toolUse": {"input": piece}}))),
        );
    } else {
        events.extend(text.iter().map(|piece| delta(json!({"text": piece}))));
    }
    events.push(event("contentBlockStop", &json!({"contentBlockIndex": 0})));
    events
}

fn tool_id(number: u64) -> String {
    format!("tooluse_{number:022}")
}

/// On this wire `inputTokens` are those that no cache had anything to do with.
fn wire_usage(usage: &Usage) -> Value {
    let input = usage.input - usage.cache_read - usage.cache_write;
    json!({
        "inputTokens": input, "outputTokens": usage.output, "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cache_read, "cacheWriteInputTokens": usage.cache_write,
    })
}

/// A message of the event stream encoding (smithy.io/2.0/aws/amazon-eventstream.html).
fn event(kind: &str, payload: &Value) -> Bytes {
    // The type of a header's value that is a string.
    const STRING: u8 = 7;
    let mut headers = Vec::new();
    let of_event = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    for (name, value) in of_event {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(STRING);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    // Two lengths and the sum over them come before the headers, and the sum over all comes last.
    let length = 12 + headers.len() + payload.len() + 4;
    let mut message = Vec::with_capacity(length);
    message.extend((length as u32).to_be_bytes());
    message.extend((headers.len() as u32).to_be_bytes());
    message.extend(crc(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload.as_bytes());
    message.extend(crc(&message).to_be_bytes());
    message.into()
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_model_and_action() {
        let cases = [
            ("/model/test-tool/converse", Some(("test-tool", "converse"))),
            ("/model/m/converse-stream", Some(("m", "converse-stream"))),
            ("/model/m/invoke", Some(("m", "invoke"))),
            ("/model/m/count-tokens", None),
            ("/v1/messages", None),
        ];
        for (path, expected) in cases {
            assert_eq!(model(path), expected, "{path}");
        }
    }

    #[test]
    fn messages_are_framed() {
        let message = event("messageStart", &json!({}));
        // Prelude, three headers (each: length and name, type, length and value), body, checksum.
        let headers = [(11, 12), (13, 16), (13, 5)].map(|(name, value)| 1 + name + 1 + 2 + value);
        assert_eq!(message.len(), 12 + headers.iter().sum::<usize>() + 2 + 4);
        assert_eq!(message[..4], (message.len() as u32).to_be_bytes());
        assert_eq!(message[8..12], crc(&message[..8]).to_be_bytes());
        assert!(message.ends_with(&crc(&message[..message.len() - 4]).to_be_bytes()));
    }
}
