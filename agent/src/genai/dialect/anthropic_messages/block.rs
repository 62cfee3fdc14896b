//! Content blocks of Anthropic Messages.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::Part,
    field::{Field, Kind},
    media,
};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Block<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Field<'a>,
    #[serde(borrow)]
    pub(super) text: Field<'a>,
    #[serde(borrow)]
    pub(super) thinking: Field<'a>,
    #[serde(borrow)]
    pub(super) id: Field<'a>,
    #[serde(borrow)]
    pub(super) name: Field<'a>,
    #[serde(borrow)]
    pub(super) input: Field<'a>,
    #[serde(borrow)]
    tool_use_id: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    source: Field<'a>,
    #[serde(borrow)]
    file_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    media_type: Field<'a>,
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    url: Field<'a>,
    #[serde(borrow)]
    file_id: Field<'a>,
}

/// Blocks that have no part type of their own in the conventions, and pass whole.
const WHOLE: [&str; 6] =
    ["redacted_thinking", "search_result", "tool_reference", "tool_addition", "tool_removal", "compaction"];

/// A message's content: a string, or a list of blocks.
pub(super) fn parts(content: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if content.kind() == Kind::Array {
        content.each(budget, |item, budget| {
            if budget.item()
                && let Some(block) = item.object::<Block<'_>>(budget)
                && let Some(part) = part(item, &block, budget)
            {
                out.push(part);
            }
        });
    } else if let Some(text) = content.content(budget)
        && budget.item()
    {
        out.push(Part::Text(text));
    }
}

/// One whole block; `None` for a text without text.
pub(super) fn part(item: Field<'_>, block: &Block<'_>, budget: &mut Budget) -> Option<Part> {
    let kind = block.kind.label(budget).unwrap_or_default();
    let known = match kind.as_str() {
        "text" => return block.text.content(budget).map(Part::Text),
        // Thinking may be signed and yet not shown.
        "thinking" => return block.thinking.content(budget).map(Part::Reasoning),
        "tool_use" => Some(Part::ToolCall {
            id: block.id.label(budget),
            name: block.name.label(budget).unwrap_or_default(),
            arguments: block.input.json_content(budget),
        }),
        "tool_result" => Some(Part::ToolCallResponse {
            id: block.tool_use_id.label(budget),
            response: block.content.json_content(budget),
        }),
        kind if is_server_call(kind) => Some(Part::ServerToolCall {
            id: block.id.label(budget),
            name: block.name.label(budget).unwrap_or_default(),
            arguments: block.input.json_content(budget),
        }),
        kind if kind.ends_with("_tool_result") => Some(Part::ServerToolCallResponse {
            id: block.tool_use_id.label(budget),
            response: block.content.json_content(budget),
        }),
        "image" => source("image", block.source, budget),
        "document" => source("document", block.source, budget),
        "container_upload" => {
            block.file_id.label(budget).map(|file_id| Part::File { modality: "document", file_id })
        }
        _ => {
            budget.unknown += u64::from(!WHOLE.contains(&kind.as_str()));
            None
        }
    };
    Some(known.unwrap_or_else(|| Part::Generic { kind, json: item.json_content(budget) }))
}

/// Tools that the provider runs, its own or those of an MCP server.
pub(super) fn is_server_call(kind: &str) -> bool {
    matches!(kind, "server_tool_use" | "mcp_tool_use")
}

/// An image or a document. A document of plain text or of blocks passes whole.
fn source(modality: &'static str, field: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let source: Source<'_> = field.object(budget)?;
    match source.kind.label(budget)?.as_str() {
        "base64" => {
            let mime_type = source.media_type.label(budget);
            media::of_base64(modality, mime_type, source.data, budget)
        }
        "url" => media::of_url(modality, source.url, budget),
        "file" => Some(Part::File { modality, file_id: source.file_id.label(budget)? }),
        _ => None,
    }
}
