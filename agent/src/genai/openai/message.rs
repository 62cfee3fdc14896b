//! Messages and their parts in the form of Chat Completions.

use serde::Deserialize;

use super::{
    super::{
        budget::Budget,
        call::{Message, Part},
        field::{Field, Kind},
        media,
    },
    tool,
};

/// A message, or a piece of one in a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::genai) struct Wire<'a> {
    #[serde(borrow)]
    pub(in crate::genai) role: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    refusal: Field<'a>,
    /// DeepSeek, vLLM and others.
    #[serde(borrow)]
    reasoning_content: Field<'a>,
    /// Groq, OpenRouter and others.
    #[serde(borrow)]
    reasoning: Field<'a>,
    /// OpenRouter; repeats `reasoning` where both are there.
    #[serde(borrow)]
    reasoning_details: Field<'a>,
    /// Ollama.
    #[serde(borrow)]
    thinking: Field<'a>,
    /// Cohere: what the model means to do with the tools that it calls.
    #[serde(borrow)]
    tool_plan: Field<'a>,
    /// Ollama: bare base64.
    #[serde(borrow)]
    images: Field<'a>,
    #[serde(borrow)]
    audio: Field<'a>,
    #[serde(borrow)]
    pub(in crate::genai) tool_calls: Field<'a>,
    #[serde(borrow)]
    pub(in crate::genai) function_call: Field<'a>,
    #[serde(borrow)]
    tool_call_id: Field<'a>,
    /// Groq's own tools.
    #[serde(borrow)]
    executed_tools: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContentPart<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    refusal: Field<'a>,
    #[serde(borrow)]
    thinking: Field<'a>,
    #[serde(borrow)]
    image_url: Field<'a>,
    #[serde(borrow)]
    video_url: Field<'a>,
    #[serde(borrow)]
    audio_url: Field<'a>,
    #[serde(borrow)]
    document_url: Field<'a>,
    #[serde(borrow)]
    input_audio: Field<'a>,
    #[serde(borrow)]
    file: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Media<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    url: Field<'a>,
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    format: Field<'a>,
    #[serde(borrow)]
    transcript: Field<'a>,
    #[serde(borrow)]
    file_id: Field<'a>,
    #[serde(borrow)]
    file_data: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoned<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    summary: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Executed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    arguments: Field<'a>,
    #[serde(borrow)]
    output: Field<'a>,
}

/// Where the parts of a message go: each to its own part of a whole message, or appended to what earlier
/// pieces of a stream brought. Texts are never empty.
pub(in crate::genai) trait Sink {
    /// Text.
    fn text(&mut self, text: &str, budget: &mut Budget);
    /// Reasoning.
    fn reasoning(&mut self, text: &str, budget: &mut Budget);
    /// A refusal.
    fn refusal(&mut self, text: &str, budget: &mut Budget);
    /// Generated audio: its id, and its base64 text.
    fn audio(&mut self, id: Option<String>, data: Field<'_>, budget: &mut Budget);
    /// Anything else.
    fn part(&mut self, part: Part, budget: &mut Budget);
}

impl Sink for Vec<Part> {
    fn text(&mut self, text: &str, budget: &mut Budget) {
        if budget.item() {
            self.push(Part::Text(budget.content(text)));
        }
    }

    fn reasoning(&mut self, text: &str, budget: &mut Budget) {
        if budget.item() {
            self.push(Part::Reasoning(budget.content(text)));
        }
    }

    fn refusal(&mut self, text: &str, budget: &mut Budget) {
        if budget.item() {
            self.push(Part::Refusal(budget.content(text)));
        }
    }

    fn audio(&mut self, id: Option<String>, data: Field<'_>, budget: &mut Budget) {
        if let Some(part) = media::of_base64("audio", None, nonempty(data, Field::default()), budget) {
            self.part(part, budget);
        } else if let Some(file_id) = id {
            // A request names the audio of an earlier answer by its id.
            self.part(Part::File { modality: "audio", file_id }, budget);
        }
    }

    fn part(&mut self, part: Part, budget: &mut Budget) {
        if budget.item() {
            self.push(part);
        }
    }
}

/// The elements of `messages`.
pub(in crate::genai) fn conversation(messages: Field<'_>, budget: &mut Budget, out: &mut Vec<Message>) {
    messages.each(budget, |item, budget| {
        if budget.item()
            && let Some(wire) = item.object::<Wire<'_>>(budget)
        {
            out.push(whole(&wire, "", budget));
        }
    });
}

/// A whole message; `role` is what an answer's message is when it doesn't say so.
pub(in crate::genai) fn whole(wire: &Wire<'_>, role: &str, budget: &mut Budget) -> Message {
    let role = wire.role.label(budget).unwrap_or_else(|| role.to_owned());
    let name = wire.name.label(budget);
    let mut parts = Vec::new();
    if role == "tool" || role == "function" {
        if budget.item() {
            let id = wire.tool_call_id.label(budget);
            parts.push(Part::ToolCallResponse { id, response: wire.content.json_content(budget) });
        }
    } else {
        wire.said(&mut parts, budget);
        wire.called(&mut parts, budget);
    }
    Message { role, name, parts }
}

impl Wire<'_> {
    /// Everything but tool calls, in the order in which a model makes it.
    pub(in crate::genai) fn said(&self, sink: &mut impl Sink, budget: &mut Budget) {
        let reasoning = nonempty(nonempty(self.reasoning_content, self.reasoning), self.thinking);
        let reasoning = nonempty(reasoning, self.tool_plan);
        if reasoning.kind() == Kind::Text {
            with_text(reasoning, budget, |text, budget| sink.reasoning(text, budget));
        } else if self.reasoning_details.is_some() {
            self.reasoning_details.each(budget, |item, budget| {
                let Some(detail) = item.object::<Reasoned<'_>>(budget) else { return };
                with_text(detail.text.or(detail.summary), budget, |text, budget| {
                    sink.reasoning(text, budget);
                });
            });
        }
        self.executed_tools(sink, budget);
        match self.content.kind() {
            Kind::Array => self.content.each(budget, |item, budget| content_part(item, sink, budget)),
            _ => with_text(self.content, budget, |text, budget| sink.text(text, budget)),
        }
        if self.images.is_some() {
            images(self.images, sink, budget);
        }
        with_text(self.refusal, budget, |text, budget| sink.refusal(text, budget));
        if let Some(audio) = self.audio.object::<Media<'_>>(budget) {
            with_text(audio.transcript, budget, |text, budget| sink.text(text, budget));
            sink.audio(audio.id.label(budget), audio.data, budget);
        }
    }

    /// The calls that a whole message makes.
    pub(in crate::genai) fn called(&self, out: &mut Vec<Part>, budget: &mut Budget) {
        tool::calls(self.tool_calls, self.function_call, budget, out);
    }

    fn executed_tools(&self, sink: &mut impl Sink, budget: &mut Budget) {
        if !self.executed_tools.is_some() {
            return;
        }
        self.executed_tools.each(budget, |item, budget| {
            let Some(executed) = item.object::<Executed<'_>>(budget) else { return };
            let name = executed.kind.label(budget).unwrap_or_default();
            let arguments = executed.arguments.content(budget).unwrap_or_default();
            sink.part(Part::ServerToolCall { id: None, name, arguments }, budget);
            if executed.output.is_some() {
                let response = executed.output.json_content(budget);
                sink.part(Part::ServerToolCallResponse { id: None, response }, budget);
            }
        });
    }
}

/// Ollama's images, each of them base64 and no more.
pub(in crate::genai) fn images(list: Field<'_>, sink: &mut impl Sink, budget: &mut Budget) {
    list.each(budget, |item, budget| {
        let part = media::blob("image", None, item, budget);
        sink.part(part, budget);
    });
}

/// The first, unless it is absent or an empty string.
fn nonempty<'a>(first: Field<'a>, second: Field<'a>) -> Field<'a> {
    if first.json() == "\"\"" { second } else { first.or(second) }
}

fn with_text(field: Field<'_>, budget: &mut Budget, f: impl FnOnce(&str, &mut Budget)) {
    if let Some(text) = field.text(budget)
        && !text.is_empty()
    {
        f(&text, budget);
    }
}

/// One element of a `content` that is a list.
fn content_part(item: Field<'_>, sink: &mut impl Sink, budget: &mut Budget) {
    if item.kind() == Kind::Text {
        return with_text(item, budget, |text, budget| sink.text(text, budget));
    }
    let Some(part) = item.object::<ContentPart<'_>>(budget) else { return };
    let kind = part.kind.label(budget).unwrap_or_default();
    match kind.as_str() {
        "text" => return with_text(part.text, budget, |text, budget| sink.text(text, budget)),
        "refusal" => return with_text(part.refusal, budget, |text, budget| sink.refusal(text, budget)),
        "thinking" => return thinking(part.thinking, sink, budget),
        _ => {}
    }
    let known = match kind.as_str() {
        "image_url" => by_url("image", part.image_url, budget),
        "video_url" => by_url("video", part.video_url, budget),
        "audio_url" => by_url("audio", part.audio_url, budget),
        "document_url" => by_url("document", part.document_url, budget),
        "input_audio" => part.input_audio.object::<Media<'_>>(budget).and_then(|audio| {
            let mime_type = audio.format.label(budget).map(|format| format!("audio/{format}"));
            media::of_base64("audio", mime_type, audio.data, budget)
        }),
        "file" => part.file.object::<Media<'_>>(budget).and_then(|file| held_or_sent(&file, budget)),
        _ => {
            budget.unknown += 1;
            None
        }
    };
    let part = known.unwrap_or_else(|| Part::Generic { kind, json: item.json_content(budget) });
    sink.part(part, budget);
}

/// Mistral's reasoning: a list of text parts, or a string.
fn thinking(field: Field<'_>, sink: &mut impl Sink, budget: &mut Budget) {
    if field.kind() == Kind::Array {
        field.each(budget, |item, budget| {
            if let Some(part) = item.object::<ContentPart<'_>>(budget) {
                with_text(part.text, budget, |text, budget| sink.reasoning(text, budget));
            }
        });
    } else {
        with_text(field, budget, |text, budget| sink.reasoning(text, budget));
    }
}

/// `{"url": "..."}`, or the URL itself (Mistral).
fn by_url(modality: &'static str, field: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let url = match field.kind() {
        Kind::Object => field.object::<Media<'_>>(budget)?.url,
        _ => field,
    };
    media::of_url(modality, url, budget)
}

fn held_or_sent(file: &Media<'_>, budget: &mut Budget) -> Option<Part> {
    if let Some(file_id) = file.file_id.label(budget) {
        return Some(Part::File { modality: "document", file_id });
    }
    // Without a `data:` head it is bare base64.
    if !media::is_data_url(file.file_data) {
        return media::of_base64("document", None, file.file_data, budget);
    }
    let mut part = media::of_url("document", file.file_data, budget)?;
    if let Part::Blob { modality, mime_type: Some(mime_type), .. } = &mut part {
        *modality = media::modality(mime_type);
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    fn read(json: &str) -> (String, u64) {
        let mut budget = budget();
        let wire = Field::root(json.as_bytes()).unwrap().object::<Wire<'_>>(&mut budget).unwrap();
        (format!("{:?}", whole(&wire, "assistant", &mut budget).parts), budget.unknown)
    }

    fn content(text: &str) -> String {
        format!("Content {{ text: {text:?}, cut: 0 }}")
    }

    #[test]
    fn parts_of_every_kind() {
        let cases = [
            (r#"{"role":"user","content":"hi"}"#, format!("[Text({})]", content("hi"))),
            (r#"{"role":"user","content":["a",{"type":"text","text":"b"}]}"#, format!("[Text({}), Text({})]", content("a"), content("b"))),
            (
                r#"{"role":"tool","tool_call_id":"c1","content":"42"}"#,
                format!(r#"[ToolCallResponse {{ id: Some("c1"), response: {} }}]"#, content("\"42\"")),
            ),
            (
                r#"{"role":"function","name":"f","content":null}"#,
                format!("[ToolCallResponse {{ id: None, response: {} }}]", content("null")),
            ),
            (
                r#"{"content":[{"type":"image_url","image_url":{"url":"https://x"}},{"type":"image_url","image_url":"data:image/png;base64,AA"}]}"#,
                r#"[Uri { modality: "image", mime_type: None, uri: "https://x" }, Blob { modality: "image", mime_type: Some("image/png"), encoded_len: 2, digest: None }]"#.into(),
            ),
            (
                r#"{"content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}"#,
                r#"[Blob { modality: "audio", mime_type: Some("audio/wav"), encoded_len: 4, digest: None }]"#.into(),
            ),
            (
                r#"{"content":[{"type":"file","file":{"file_id":"file-1"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,AAA"}},{"type":"file","file":{"file_data":"AAAAA"}}]}"#,
                r#"[File { modality: "document", file_id: "file-1" }, Blob { modality: "document", mime_type: Some("application/pdf"), encoded_len: 3, digest: None }, Blob { modality: "document", mime_type: None, encoded_len: 5, digest: None }]"#.into(),
            ),
            (
                r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"refusal","refusal":"no"}]}"#,
                format!("[Reasoning({}), Refusal({})]", content("hm"), content("no")),
            ),
            (
                r#"{"reasoning_content":"","reasoning":"r","content":"a","refusal":null}"#,
                format!("[Reasoning({}), Text({})]", content("r"), content("a")),
            ),
            (
                r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"s"},{"type":"reasoning.encrypted","data":"x"}]}"#,
                format!("[Reasoning({})]", content("s")),
            ),
            (
                r#"{"audio":{"id":"a","data":"AAAA","transcript":"hello"},"content":null}"#,
                format!(r#"[Text({}), Blob {{ modality: "audio", mime_type: None, encoded_len: 4, digest: None }}]"#, content("hello")),
            ),
            (
                r#"{"role":"user","content":"a","images":["AAAA"],"thinking":""}"#,
                format!(r#"[Text({}), Blob {{ modality: "image", mime_type: None, encoded_len: 4, digest: None }}]"#, content("a")),
            ),
            (r#"{"thinking":"t","content":""}"#, format!("[Reasoning({})]", content("t"))),
            (r#"{"tool_plan":"p","content":null}"#, format!("[Reasoning({})]", content("p"))),
            (r#"{"audio":{"id":"audio_1"}}"#, r#"[File { modality: "audio", file_id: "audio_1" }]"#.into()),
            (
                r#"{"executed_tools":[{"type":"search","arguments":"{}","output":"o"}],"content":"a"}"#,
                format!(
                    r#"[ServerToolCall {{ id: None, name: "search", arguments: {} }}, ServerToolCallResponse {{ id: None, response: {} }}, Text({})]"#,
                    content("{}"), content("\"o\""), content("a")
                ),
            ),
            (r#"{"content":"","refusal":"","audio":{"id":"","data":"","transcript":""},"function_call":{"name":"","arguments":""}}"#, "[]".into()),
        ];
        for (json, expected) in cases {
            assert_eq!(read(json), (expected, 0), "{json}");
        }
    }

    #[test]
    fn unknown_parts_pass_whole_and_are_counted() {
        let (parts, unknown) = read(r#"{"content":[{"type":"hologram","x":1}]}"#);
        let json = content(r#"{"type":"hologram","x":1}"#);
        assert_eq!(parts, format!(r#"[Generic {{ kind: "hologram", json: {json} }}]"#));
        assert_eq!(unknown, 1);
        assert_eq!(read(r#"{"content":7,"refusal":"no"}"#), (format!("[Refusal({})]", content("no")), 1));
    }
}
