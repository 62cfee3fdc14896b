//! Every text of a call that is content.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{
    genai::{Call, Content, Message, Part, ToolDefinition},
    policy::redact::{Counts, Redactor},
};

/// One text.
pub(super) struct Text<'a> {
    pub(super) value: &'a mut String,
    /// It is a JSON text; another one may be put in its place, JSON or not.
    json: bool,
    /// Its end was cut off.
    cut: Option<&'a mut u64>,
}

impl<'a> Text<'a> {
    fn plain(text: &'a mut String) -> Self {
        Self { value: text, json: false, cut: None }
    }

    fn content(content: &'a mut Content, json: bool) -> Self {
        Self { value: &mut content.text, json, cut: Some(&mut content.cut) }
    }
}

/// Hands out all texts, those that follow each other and are one to their reader together.
pub(super) fn texts(call: &mut Call, take: &mut dyn FnMut(&mut [Text<'_>])) {
    parts(&mut call.request.system, take);
    for message in &mut call.request.messages {
        self::message(message, take);
    }
    for generation in &mut call.response.generations {
        message(&mut generation.message, take);
    }
    for tool in &mut call.request.tools {
        self::tool(tool, take);
    }
    if let Some(mcp) = &mut call.mcp {
        for json in [&mut mcp.arguments, &mut mcp.result].into_iter().flatten() {
            take(&mut [Text::content(json, true)]);
        }
    }
    for text in &mut call.request.stop_sequences {
        take(&mut [Text::plain(text)]);
    }
    if let Some(message) = call.error.as_mut().and_then(|error| error.message.as_mut()) {
        take(&mut [Text::plain(message)]);
    }
}

fn message(message: &mut Message, take: &mut dyn FnMut(&mut [Text<'_>])) {
    if let Some(name) = &mut message.name {
        take(&mut [Text::plain(name)]);
    }
    parts(&mut message.parts, take);
}

fn parts(parts: &mut [Part], take: &mut dyn FnMut(&mut [Text<'_>])) {
    // An answer with citations comes as one part a citation, in the midst of sentences.
    let kind = |part: &Part| match part {
        Part::Text(_) => Some(false),
        Part::Reasoning(_) => Some(true),
        _ => None,
    };
    for run in parts.chunk_by_mut(|a, b| kind(a).is_some() && kind(a) == kind(b)) {
        let mut texts: Vec<Text<'_>> = run.iter_mut().filter_map(text).collect();
        if !texts.is_empty() {
            take(&mut texts);
        }
    }
}

fn text(part: &mut Part) -> Option<Text<'_>> {
    Some(match part {
        Part::Text(content) | Part::Reasoning(content) | Part::Refusal(content) => {
            Text::content(content, false)
        }
        Part::ToolCall { arguments: json, .. }
        | Part::ServerToolCall { arguments: json, .. }
        | Part::ToolCallResponse { response: json, .. }
        | Part::ServerToolCallResponse { response: json, .. }
        | Part::Generic { json, .. } => Text::content(json, true),
        Part::Uri { uri, .. } => Text::plain(uri),
        Part::Blob { .. } | Part::File { .. } => return None,
    })
}

fn tool(tool: &mut ToolDefinition, take: &mut dyn FnMut(&mut [Text<'_>])) {
    if let Some(description) = &mut tool.description {
        take(&mut [Text::plain(description)]);
    }
    if let Some(parameters) = &mut tool.parameters {
        let before = parameters.get();
        let mut text = before.to_owned();
        take(&mut [Text { value: &mut text, json: true, cut: None }]);
        if text != before {
            *parameters = raw(text);
        }
    }
}

/// As JSON, or as a JSON string with what is none.
fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text)
        .or_else(|_| serde_json::value::to_raw_value("[redacted]"))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Takes out of texts that follow each other what is found in them.
pub(super) fn redact(redactor: &Redactor, texts: &mut [Text<'_>], counts: &mut Counts) {
    for Text { value: text, cut, .. } in texts.iter_mut() {
        if let Some(cut) = cut.as_deref_mut().filter(|cut| **cut > 0) {
            let whole = settled(text);
            *cut += (text.len() - whole) as u64;
            text.truncate(whole);
        }
    }
    if let [Text { value: text, json: true, .. }] = texts {
        if let Cow::Owned(redacted) = redactor.json(text, counts) {
            **text = redacted;
        }
        return;
    }
    let mut plain: Vec<&mut String> = texts.iter_mut().map(|text| &mut *text.value).collect();
    redactor.adjacent(&mut plain, counts);
}

/// Where the last word of a text begins: where its end was cut off, what is left of a secret can't be known for one. Groups of
/// digits are one word.
fn settled(text: &str) -> usize {
    let before_word = text.trim_end_matches(|c: char| !c.is_whitespace());
    let numbers = before_word
        .trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')' | '+'));
    // Of long digits and spaces there is no secret.
    if before_word.len() - numbers.len() <= 64 { numbers.len() } else { before_word.len() }
}
