//! Items of a request's `input` and of a response's `output`, which are the same kinds of things.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::{Content, Message, Part},
    field::{Field, Kind},
    media,
};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Item<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    summary: Field<'a>,
    #[serde(borrow)]
    pub(super) call_id: Field<'a>,
    #[serde(borrow)]
    pub(super) name: Field<'a>,
    #[serde(borrow)]
    arguments: Field<'a>,
    /// Of a custom tool: free text.
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    output: Field<'a>,
    #[serde(borrow)]
    outputs: Field<'a>,
    #[serde(borrow)]
    result: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    action: Field<'a>,
    #[serde(borrow)]
    operation: Field<'a>,
    #[serde(borrow)]
    queries: Field<'a>,
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(borrow)]
    execution: Field<'a>,
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
    image_url: Field<'a>,
    #[serde(borrow)]
    file_id: Field<'a>,
    #[serde(borrow)]
    file_url: Field<'a>,
    #[serde(borrow)]
    file_data: Field<'a>,
    #[serde(borrow)]
    input_audio: Field<'a>,
    /// Realtime's, as base64.
    #[serde(borrow)]
    audio: Field<'a>,
    /// What is said in it.
    #[serde(borrow)]
    transcript: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Audio<'a> {
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    format: Field<'a>,
}

/// Tools that the provider runs itself.
const SERVER_TOOLS: [(&str, &str); 5] = [
    ("web_search_call", "web_search"),
    ("file_search_call", "file_search"),
    ("code_interpreter_call", "code_interpreter"),
    ("image_generation_call", "image_generation"),
    ("mcp_call", ""),
];

/// Tools that the client runs, other than functions.
const CLIENT_TOOLS: [(&str, &str); 4] = [
    ("computer_call", "computer"),
    ("local_shell_call", "local_shell"),
    ("shell_call", "shell"),
    ("apply_patch_call", "apply_patch"),
];

/// Items that have no place among the conventions' parts.
const OTHERS: [&str; 6] = [
    "additional_tools",
    "compaction",
    "item_reference",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_list_tools",
];

/// Reads an item as a message; `None` if there is nothing to show of it, or no room.
pub(in crate::genai::dialect) fn read(field: Field<'_>, budget: &mut Budget) -> Option<Message> {
    let item: Item<'_> = field.object(budget)?;
    if !budget.item() {
        return None;
    }
    let kind = item.kind.label(budget).unwrap_or_else(|| "message".to_owned());
    let mut parts = Vec::new();
    let mut role = "assistant".to_owned();
    match kind.as_str() {
        "message" => {
            role = item.role.label(budget).unwrap_or_default();
            contents(item.content, budget, &mut parts);
        }
        // What is only there encrypted can't be shown.
        "reasoning" => {
            contents(item.summary, budget, &mut parts);
            contents(item.content, budget, &mut parts);
            for part in &mut parts {
                if let Part::Text(text) = part {
                    *part = Part::Reasoning(std::mem::take(text));
                }
            }
            if parts.is_empty() {
                return None;
            }
        }
        "function_call" | "custom_tool_call" => parts.push(item.call(budget)),
        "tool_search_call" if item.by_client(budget) => parts.push(item.client_tool("tool_search", budget)),
        "tool_search_call" => item.server_tool("tool_search", budget, &mut parts),
        "tool_search_output" if !item.by_client(budget) => {
            let response = item.tools.json_content(budget);
            parts.push(Part::ServerToolCallResponse { id: item.call_id(budget), response });
        }
        name if name.ends_with("_output") => {
            "tool".clone_into(&mut role);
            let response = item.output.or(item.tools).json_content(budget);
            parts.push(Part::ToolCallResponse { id: item.call_id(budget), response });
        }
        name => {
            let find = |table: &[(&str, &'static str)]| {
                table.iter().find(|(kind, _)| *kind == name).map(|(_, tool)| *tool)
            };
            if let Some(tool) = find(&SERVER_TOOLS) {
                item.server_tool(tool, budget, &mut parts);
            } else if let Some(tool) = find(&CLIENT_TOOLS) {
                parts.push(item.client_tool(tool, budget));
            } else {
                budget.unknown += u64::from(!OTHERS.contains(&name));
                role = item.role.label(budget).unwrap_or(role);
                parts.push(Part::Generic { kind, json: field.json_content(budget) });
            }
        }
    }
    Some(Message { role, name: None, parts })
}

impl Item<'_> {
    fn call_id(&self, budget: &mut Budget) -> Option<String> {
        self.call_id.or(self.id).label(budget)
    }

    fn by_client(&self, budget: &mut Budget) -> bool {
        self.execution.label(budget).as_deref() == Some("client")
    }

    fn call(&self, budget: &mut Budget) -> Part {
        Part::ToolCall {
            id: self.call_id(budget),
            name: self.name.label(budget).unwrap_or_default(),
            arguments: text_or_json(self.arguments.or(self.input), budget),
        }
    }

    /// What a tool of another kind is asked for.
    fn asked(&self, budget: &mut Budget) -> Content {
        let field = self.action.or(self.operation).or(self.queries).or(self.code).or(self.arguments);
        if field.is_some() { text_or_json(field, budget) } else { Content::default() }
    }

    fn client_tool(&self, name: &str, budget: &mut Budget) -> Part {
        Part::ToolCall { id: self.call_id(budget), name: name.to_owned(), arguments: self.asked(budget) }
    }

    fn server_tool(&self, name: &str, budget: &mut Budget, out: &mut Vec<Part>) {
        let id = self.call_id(budget);
        let name = match name {
            "" => self.name.label(budget).unwrap_or_default(),
            name => name.to_owned(),
        };
        out.push(Part::ServerToolCall { id: id.clone(), name, arguments: self.asked(budget) });
        if self.result.kind() == Kind::Text {
            // A generated image in base64.
            if budget.item() {
                out.push(media::blob("image", None, self.result, budget));
            }
            return;
        }
        let answer = self.output.or(self.outputs).or(self.results).or(self.error);
        if answer.is_some() && budget.item() {
            out.push(Part::ServerToolCallResponse { id, response: answer.json_content(budget) });
        }
    }
}

/// A text as it is, anything else as JSON.
fn text_or_json(field: Field<'_>, budget: &mut Budget) -> Content {
    match field.kind() {
        Kind::Absent => Content::default(),
        Kind::Text => field.content(budget).unwrap_or_default(),
        _ => field.json_content(budget),
    }
}

/// The content of a message: a text, or a list of parts.
fn contents(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    match field.kind() {
        Kind::Absent => {}
        Kind::Array => field.each(budget, |item, budget| {
            if let Some(part) = content_part(item, budget)
                && budget.item()
            {
                out.push(part);
            }
        }),
        _ => {
            if let Some(content) = field.content(budget)
                && budget.item()
            {
                out.push(Part::Text(content));
            }
        }
    }
}

fn content_part(field: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let part: ContentPart<'_> = field.object(budget)?;
    let kind = part.kind.label(budget).unwrap_or_default();
    let known = match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" => {
            return part.text.content(budget).map(Part::Text);
        }
        "reasoning_text" => return part.text.content(budget).map(Part::Reasoning),
        "refusal" => return part.refusal.content(budget).map(Part::Refusal),
        "input_image" | "computer_screenshot" => part.media("image", budget),
        "input_file" => part.media("document", budget),
        "output_audio" | "audio" | "input_audio" if !part.input_audio.is_some() => Some(part.spoken(budget)),
        "input_audio" => part.input_audio.object::<Audio<'_>>(budget).and_then(|audio| {
            let mime_type = audio.format.label(budget).map(|format| format!("audio/{format}"));
            media::of_base64("audio", mime_type, audio.data, budget)
        }),
        _ => {
            budget.unknown += 1;
            None
        }
    };
    Some(known.unwrap_or_else(|| Part::Generic { kind, json: field.json_content(budget) }))
}

impl ContentPart<'_> {
    /// The words, where they are told.
    fn spoken(&self, budget: &mut Budget) -> Part {
        if let Some(words) = self.transcript.content(budget) {
            return Part::Text(words);
        }
        media::blob("audio", None, self.audio, budget)
    }

    /// By a provider's id, by URL, or sent along.
    fn media(&self, modality: &'static str, budget: &mut Budget) -> Option<Part> {
        if let Some(file_id) = self.file_id.label(budget) {
            return Some(Part::File { modality, file_id });
        }
        let url = self.image_url.or(self.file_url);
        if url.is_some() {
            return media::of_url(modality, url, budget);
        }
        if media::is_data_url(self.file_data) {
            return media::of_url(modality, self.file_data, budget);
        }
        media::of_base64(modality, None, self.file_data, budget)
    }
}
