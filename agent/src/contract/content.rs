//! Content attributes: messages, instructions and tools as the JSON that the conventions describe.
//!
//! A JSON text cannot be cut like other text, so the limit is minded while it is written: the part that no longer fits is shortened, what
//! comes after it is left out, and the bytes of both are counted in `plainspan.content.cut`.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    attributes::Attributes,
    inference::finish_reason,
    key::{Json, Key, Text as _},
    names,
    profile::Profile,
};
use crate::genai::{Call, Content, Message, Part, ToolDefinition};

/// Deepest JSON that is passed on as JSON; deeper text stands as a string, since consumers parse with recursion.
const MAX_DEPTH: usize = 64;

/// Sets the content attributes that there is something to say in; tells whether there are any.
pub(super) fn set(set: &mut Attributes, call: &Call, profile: &Profile) -> bool {
    let (mut cut, mut any) = (0, false);
    let mut list = |key: Key<Json>, write: &dyn Fn(&mut List)| {
        let mut list = List::new(key.def().max_bytes.unwrap_or(0));
        write(&mut list);
        cut += list.cut;
        if let Some(json) = list.finish() {
            any = true;
            set.set(key, Json(json));
        }
    };
    list(names::GEN_AI_SYSTEM_INSTRUCTIONS, &|list| list.parts(&call.request.system));
    list(names::GEN_AI_INPUT_MESSAGES, &|list| {
        for message in &call.request.messages {
            list.message(message, None);
        }
    });
    list(names::GEN_AI_OUTPUT_MESSAGES, &|list| {
        for generation in &call.response.generations {
            // The conventions have it on the span alone by now; there are receivers that drop messages without it.
            let reason = profile.older_fields.then(|| finish_reason(generation, call).into_text());
            list.message(&generation.message, reason);
        }
    });
    list(names::GEN_AI_TOOL_DEFINITIONS, &|list| {
        for tool in &call.request.tools {
            list.tool(tool);
        }
    });
    set.set_count(names::PLAINSPAN_CONTENT_CUT, cut);
    any
}

/// Sets what a tool is called with, and what it answered; tells whether there is anything of it.
pub(super) fn set_tool(set: &mut Attributes, arguments: Option<&Content>, result: Option<&Content>) -> bool {
    let mut cut = 0;
    for (key, content) in
        [(names::GEN_AI_TOOL_CALL_ARGUMENTS, arguments), (names::GEN_AI_TOOL_CALL_RESULT, result)]
    {
        let Some(content) = content else { continue };
        // Two for the quotes of what can't stand as JSON.
        let (payload, left_out) = payload(&content.text, key.def().max_bytes.unwrap_or(0).saturating_sub(2));
        cut += content.cut + left_out;
        if let Some(json) = to_json(&payload) {
            set.set(key, Json(json));
        }
    }
    set.set_count(names::PLAINSPAN_CONTENT_CUT, cut);
    arguments.is_some() || result.is_some()
}

/// A JSON array that is written element by element, and never longer than its limit.
struct List {
    out: String,
    max: usize,
    /// Bytes of content that were left out.
    cut: u64,
    /// The limit was reached: the rest is only counted.
    full: bool,
}

impl List {
    fn new(max: usize) -> Self {
        Self { out: "[".to_owned(), max, cut: 0, full: false }
    }

    /// The array; `None` when nothing is in it.
    fn finish(mut self) -> Option<String> {
        if self.out.len() == 1 {
            return None;
        }
        self.out.push(']');
        Some(self.out)
    }

    /// Bytes that may still be written, with `reserve` kept for what closes the element and the array.
    fn room(&self, reserve: usize) -> usize {
        // One for the comma before the element, one for the bracket at the end.
        self.max.saturating_sub(self.out.len() + reserve + 2)
    }

    fn separate(&mut self) {
        if !self.out.ends_with('[') {
            self.out.push(',');
        }
    }

    fn parts(&mut self, parts: &[Part]) {
        let mut server_tool = ServerTool::default();
        for part in parts {
            self.part(part, &mut server_tool, 0);
        }
    }

    /// A part, shortened or left out when it does not fit.
    fn part<'a>(&mut self, part: &'a Part, server_tool: &mut ServerTool<'a>, reserve: usize) {
        self.cut += missing(part);
        server_tool.see(part);
        let room = self.room(reserve);
        let mut written = None;
        if !self.full {
            written = fitting(element(part, *server_tool, usize::MAX), room).or_else(|| {
                self.full = true;
                let (skeleton, _) = element(part, *server_tool, 0);
                let left = room.checked_sub(to_json(&skeleton)?.len())?;
                fitting(element(part, *server_tool, left), room)
            });
        }
        match written {
            Some((json, left_out)) => {
                self.cut += left_out;
                self.separate();
                self.out.push_str(&json);
            }
            None => self.cut += length(part),
        }
    }

    fn message(&mut self, message: &Message, finish_reason: Option<String>) {
        let head = MessageHead { role: &message.role, name: message.name.as_deref() };
        let tail = MessageTail { finish_reason };
        let (Some(head), Some(tail)) = (to_json(&head), to_json(&tail)) else { return };
        // `{"role":"user"` + `,"parts":[` ... `]` + `,"finish_reason":"stop"}`
        let open = format!("{},\"parts\":[", head.trim_end_matches('}'));
        let close = if tail == "{}" { "]}".to_owned() } else { format!("],{}", &tail[1..]) };
        if self.full || self.room(0) < open.len() + close.len() {
            self.full = true;
            self.cut += message.parts.iter().map(|part| missing(part) + length(part)).sum::<u64>();
            return;
        }
        self.separate();
        self.out.push_str(&open);
        let mut server_tool = ServerTool::default();
        for part in &message.parts {
            self.part(part, &mut server_tool, close.len());
        }
        self.out.push_str(&close);
    }

    fn tool(&mut self, tool: &ToolDefinition) {
        let parameters = tool.parameters.as_deref();
        let json = to_json(&Tool {
            kind: &tool.kind,
            // The schema wants a name; a tool that the provider has built in is named by its type.
            name: tool.name.as_deref().unwrap_or(&tool.kind),
            description: tool.description.as_deref(),
            parameters: parameters.map(|raw| payload(raw.get(), usize::MAX).0),
        });
        if let Some(json) = json.filter(|json| !self.full && json.len() <= self.room(0)) {
            self.separate();
            self.out.push_str(&json);
        } else {
            self.full = true;
            let description = tool.description.as_ref().map_or(0, String::len);
            self.cut += (description + parameters.map_or(0, |raw| raw.get().len())) as u64;
        }
    }
}

fn to_json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

#[derive(Serialize)]
struct MessageHead<'a> {
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct MessageTail {
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<String>,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Payload<'a>>,
}

/// A text, or a JSON text that stands as what it is.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Text(&'a str),
    Json(&'a RawValue),
}

fn fitting((element, left_out): (Element<'_>, u64), room: usize) -> Option<(String, u64)> {
    to_json(&element).filter(|json| json.len() <= room).map(|json| (json, left_out))
}

/// A part as the conventions' schemas have it; each type of part uses some of the fields.
#[derive(Default, Serialize)]
struct Element<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modality: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<&'a str>,
    /// Length of a blob's text, which itself is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoded_len: Option<u64>,
    /// Length of the bytes that it stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_call: Option<Box<Self>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_tool_call_response: Option<Box<Self>>,
}

/// The last tool that the provider ran: its answer does not name it again.
#[derive(Clone, Copy, Default)]
struct ServerTool<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> ServerTool<'a> {
    fn see(&mut self, part: &'a Part) {
        if let Part::ServerToolCall { id, name, .. } = part {
            *self = Self { id: id.as_deref(), name: Some(name) };
        }
    }

    fn name_for(self, id: Option<&str>) -> &'a str {
        self.name.filter(|_| self.id == id).unwrap_or("unknown")
    }
}

/// The part with at most `budget` bytes (as written in JSON) of its payload, and how many bytes of that were left out.
fn element<'a>(part: &'a Part, server_tool: ServerTool<'a>, budget: usize) -> (Element<'a>, u64) {
    let text = |kind: &'a str, content: &'a Content| {
        let (payload, left_out) = text(&content.text, budget);
        (Element { kind, content: Some(payload), ..Element::default() }, left_out)
    };
    match part {
        Part::Text(content) => text("text", content),
        Part::Reasoning(content) => text("reasoning", content),
        Part::Refusal(content) => text("refusal", content),
        Part::ToolCall { id, name, arguments } => {
            let (arguments, left_out) = payload(&arguments.text, budget);
            let element = Element {
                kind: "tool_call",
                id: id.as_deref(),
                name: Some(name),
                arguments: Some(arguments),
                ..Element::default()
            };
            (element, left_out)
        }
        Part::ToolCallResponse { id, response } => {
            let (response, left_out) = payload(&response.text, budget);
            let element = Element {
                kind: "tool_call_response",
                id: id.as_deref(),
                response: Some(response),
                ..Element::default()
            };
            (element, left_out)
        }
        Part::ServerToolCall { id, name, arguments } => {
            let (arguments, left_out) = payload(&arguments.text, budget);
            let call = Element { kind: name, arguments: Some(arguments), ..Element::default() };
            let element = Element {
                kind: "server_tool_call",
                id: id.as_deref(),
                name: Some(name),
                server_tool_call: Some(Box::new(call)),
                ..Element::default()
            };
            (element, left_out)
        }
        Part::ServerToolCallResponse { id, response } => {
            let (response, left_out) = payload(&response.text, budget);
            let kind = server_tool.name_for(id.as_deref());
            let answer = Element { kind, response: Some(response), ..Element::default() };
            let element = Element {
                kind: "server_tool_call_response",
                id: id.as_deref(),
                server_tool_call_response: Some(Box::new(answer)),
                ..Element::default()
            };
            (element, left_out)
        }
        Part::Blob { modality, mime_type, encoded_len, digest } => {
            let element = Element {
                kind: "blob",
                modality: Some(modality),
                mime_type: mime_type.as_deref(),
                encoded_len: Some(*encoded_len),
                size: digest.map(|digest| digest.size),
                sha256: digest.map(|digest| digest.hex()),
                // The schema wants it; `encoded_len` says that there was more.
                content: Some(Payload::Text("")),
                ..Element::default()
            };
            (element, 0)
        }
        Part::Uri { modality, mime_type, uri } => {
            let element = Element {
                kind: "uri",
                modality: Some(modality),
                mime_type: mime_type.as_deref(),
                uri: Some(uri),
                ..Element::default()
            };
            (element, 0)
        }
        Part::File { modality, file_id } => {
            let element = Element {
                kind: "file",
                modality: Some(modality),
                file_id: Some(file_id),
                ..Element::default()
            };
            (element, 0)
        }
        Part::Generic { kind, json } => {
            let (content, left_out) = payload(&json.text, budget);
            (Element { kind, content: Some(content), ..Element::default() }, left_out)
        }
    }
}

/// Bytes that were already missing when the part came here.
fn missing(part: &Part) -> u64 {
    match part {
        Part::Blob { encoded_len, .. } => *encoded_len,
        Part::Uri { .. } | Part::File { .. } => 0,
        _ => payload_of(part).map_or(0, |content| content.cut),
    }
}

/// Bytes that are lost when the part is left out.
fn length(part: &Part) -> u64 {
    let text = match part {
        Part::Uri { uri, .. } => uri.len(),
        Part::File { file_id, .. } => file_id.len(),
        _ => payload_of(part).map_or(0, |content| content.text.len()),
    };
    text as u64
}

fn payload_of(part: &Part) -> Option<&Content> {
    match part {
        Part::Text(content) | Part::Reasoning(content) | Part::Refusal(content) => Some(content),
        Part::ToolCall { arguments, .. } | Part::ServerToolCall { arguments, .. } => Some(arguments),
        Part::ToolCallResponse { response, .. } | Part::ServerToolCallResponse { response, .. } => {
            Some(response)
        }
        Part::Generic { json, .. } => Some(json),
        Part::Blob { .. } | Part::Uri { .. } | Part::File { .. } => None,
    }
}

/// JSON stands as JSON where it is whole and not too deep; else as a text.
fn payload(json: &str, budget: usize) -> (Payload<'_>, u64) {
    let raw = || serde_json::from_str::<&RawValue>(json).ok();
    match Some(json).filter(|json| json.len() <= budget && depth(json) <= MAX_DEPTH).and_then(|_| raw()) {
        Some(raw) => (Payload::Json(raw), 0),
        None => text(json, budget),
    }
}

fn text(text: &str, budget: usize) -> (Payload<'_>, u64) {
    let kept = escaped_prefix(text, budget);
    (Payload::Text(kept), (text.len() - kept.len()) as u64)
}

/// The longest prefix that takes at most `budget` bytes inside a JSON string, RFC 8259, section 7.
fn escaped_prefix(text: &str, budget: usize) -> &str {
    if text.len().saturating_mul(6) <= budget {
        return text;
    }
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += match letter {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..='\u{1f}' => 6,
            other => other.len_utf8(),
        };
        if used > budget {
            return &text[..at];
        }
    }
    text
}

/// How deep the brackets of a JSON text nest; strings do not count.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
