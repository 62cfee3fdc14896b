//! The hash of the whole input.

use std::borrow::Cow;

use crate::{
    genai::{Call, Content, Message, Part},
    policy::content::{Key, Keyed},
};

/// The keyed hash of system instructions and messages; none if there are none, or not all of them are known.
pub(super) fn print(call: &Call, key: &Key) -> Option<String> {
    let request = &call.request;
    let nothing = request.system.is_empty() && request.messages.is_empty();
    if nothing || call.omitted > 0 || call.damage.request.any() || !is_whole(call) {
        return None;
    }
    let mut hash = key.begin("prompt");
    parts(&mut hash, &request.system);
    for message in &request.messages {
        self::message(&mut hash, message);
    }
    Some(hash.finish(32))
}

fn is_whole(call: &Call) -> bool {
    let messages = call.request.messages.iter().flat_map(|message| &message.parts);
    call.request.system.iter().chain(messages).all(|part| text(part).is_none_or(|text| text.cut == 0))
}

/// Every field with its length, so that no two inputs read alike.
fn message(hash: &mut Keyed, message: &Message) {
    hash.field(message.role.as_bytes());
    hash.field(message.name.as_deref().unwrap_or_default().as_bytes());
    parts(hash, &message.parts);
}

fn parts(hash: &mut Keyed, parts: &[Part]) {
    hash.field(&parts.len().to_be_bytes());
    for part in parts {
        let (kind, told) = part_told(part);
        hash.field(kind.as_bytes());
        hash.field(told.as_bytes());
        hash.field(text(part).map_or("", |content| &content.text).as_bytes());
    }
}

/// The text of a part.
pub(super) fn text(part: &Part) -> Option<&Content> {
    match part {
        Part::Text(content)
        | Part::Reasoning(content)
        | Part::Refusal(content)
        | Part::ToolCall { arguments: content, .. }
        | Part::ToolCallResponse { response: content, .. }
        | Part::ServerToolCall { arguments: content, .. }
        | Part::ServerToolCallResponse { response: content, .. }
        | Part::Generic { json: content, .. } => Some(content),
        Part::Blob { .. } | Part::Uri { .. } | Part::File { .. } => None,
    }
}

/// What kind of part it is, and what it says besides its text. Ids of calls are the provider's, and differ where nothing else does.
fn part_told(part: &Part) -> (&'static str, Cow<'_, str>) {
    match part {
        Part::Text(_) => ("text", "".into()),
        Part::Reasoning(_) => ("reasoning", "".into()),
        Part::Refusal(_) => ("refusal", "".into()),
        Part::ToolCall { name, .. } => ("tool_call", name.into()),
        Part::ToolCallResponse { .. } => ("tool_call_response", "".into()),
        Part::ServerToolCall { name, .. } => ("server_tool_call", name.into()),
        Part::ServerToolCallResponse { .. } => ("server_tool_call_response", "".into()),
        Part::Blob { modality, encoded_len, .. } => ("blob", format!("{modality} {encoded_len}").into()),
        Part::Uri { uri, .. } => ("uri", uri.into()),
        Part::File { file_id, .. } => ("file", file_id.into()),
        Part::Generic { kind, .. } => ("generic", kind.into()),
    }
}
