//! Content blocks of Converse (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html>), which
//! Nova's own bodies have too: objects of one member, whose name says what they are.

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::{Content, Part},
    field::{Field, Kind},
    media,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Block<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    image: Field<'a>,
    #[serde(borrow)]
    document: Field<'a>,
    #[serde(borrow)]
    video: Field<'a>,
    #[serde(borrow)]
    audio: Field<'a>,
    #[serde(borrow)]
    tool_use: Field<'a>,
    #[serde(borrow)]
    tool_result: Field<'a>,
    #[serde(borrow)]
    guard_content: Field<'a>,
    #[serde(borrow)]
    reasoning_content: Field<'a>,
    #[serde(borrow)]
    citations_content: Field<'a>,
}

/// A tool's call, or the beginning of one.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ToolUse<'a> {
    #[serde(rename = "toolUseId", borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    pub(super) input: Field<'a>,
    /// That of a tool which the provider runs has one.
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ToolResult<'a> {
    #[serde(borrow)]
    tool_use_id: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Media<'a> {
    #[serde(borrow)]
    format: Field<'a>,
    #[serde(borrow)]
    source: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Source<'a> {
    #[serde(borrow)]
    bytes: Field<'a>,
    #[serde(borrow)]
    s3_location: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct S3Location<'a> {
    #[serde(borrow)]
    uri: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow)]
    reasoning_text: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Text<'a> {
    #[serde(borrow)]
    text: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Citations<'a> {
    #[serde(borrow)]
    content: Field<'a>,
}

/// Marks to what a prompt is cached, which is nothing that is said.
const CACHE_POINT: &str = "cachePoint";

/// Blocks that have no part type of their own in the conventions, and pass whole.
const WHOLE: [&str; 4] = ["reasoningContent", "searchResult", "citationsContent", "guardContent"];

/// A message's content, a list of blocks. In Nova's own bodies it may be a text.
pub(super) fn parts(content: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if content.kind() == Kind::Text {
        out.extend(content.content(budget).filter(|_| budget.item()).map(Part::Text));
        return;
    }
    content.each(budget, |item, budget| {
        if let Some(part) = part(item, budget)
            && budget.item()
        {
            out.push(part);
        }
    });
}

/// One block; `None` for one that says nothing.
fn part(item: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let block: Block<'_> = item.object(budget)?;
    if block.text.is_some() {
        return block.text.content(budget).map(Part::Text);
    }
    let media = [
        ("image", block.image),
        ("document", block.document),
        ("video", block.video),
        ("audio", block.audio),
    ];
    let known = if let Some((modality, field)) = media.into_iter().find(|(_, field)| field.is_some()) {
        return Some(of_media(modality, field, budget).unwrap_or_else(|| whole(modality, item, budget)));
    } else if let Some(tool) = block.tool_use.object::<ToolUse<'_>>(budget) {
        Some(called(&tool, tool.input.json_content(budget), budget))
    } else if let Some(result) = block.tool_result.object::<ToolResult<'_>>(budget) {
        Some(answered(&result, result.content.json_content(budget), budget))
    } else if let Some(guarded) = block.guard_content.object::<Text<'_>>(budget) {
        let text: Text<'_> = guarded.text.object(budget).unwrap_or_default();
        text.text.content(budget).map(Part::Text)
    } else if let Some(reasoning) = block.reasoning_content.object::<Reasoning<'_>>(budget) {
        let text: Text<'_> = reasoning.reasoning_text.object(budget).unwrap_or_default();
        // It may be signed and yet not shown.
        if text.text.kind() == Kind::Text {
            return text.text.content(budget).map(Part::Reasoning);
        }
        None
    } else if let Some(cited) = block.citations_content.object::<Citations<'_>>(budget) {
        cited_text(cited.content, budget).map(Part::Text)
    } else {
        None
    };
    if known.is_some() {
        return known;
    }
    let kind = item.key(|_| true).and_then(|name| budget.label(&name)).unwrap_or_default();
    if kind == CACHE_POINT {
        return None;
    }
    budget.unknown += u64::from(!WHOLE.contains(&kind.as_str()));
    Some(whole(&kind, item, budget))
}

fn whole(kind: &str, item: Field<'_>, budget: &mut Budget) -> Part {
    Part::Generic { kind: kind.to_owned(), json: item.json_content(budget) }
}

/// What the model says of documents, which comes in pieces.
fn cited_text(list: Field<'_>, budget: &mut Budget) -> Option<Content> {
    let mut content = Content::default();
    list.each(budget, |item, budget| {
        if let Some(piece) = item.object::<Text<'_>>(budget)
            && let Some(text) = piece.text.text(budget)
        {
            budget.append(&mut content, &text);
        }
    });
    (content != Content::default()).then_some(content)
}

/// The call of a tool, of which the provider runs some.
pub(super) fn called(tool: &ToolUse<'_>, arguments: Content, budget: &mut Budget) -> Part {
    let id = tool.id.label(budget);
    let name = tool.name.label(budget).unwrap_or_default();
    if tool.kind.text(budget).as_deref() == Some("server_tool_use") {
        Part::ServerToolCall { id, name, arguments }
    } else {
        Part::ToolCall { id, name, arguments }
    }
}

/// What a tool has answered; one that the provider has run says of what type it is.
pub(super) fn answered(result: &ToolResult<'_>, response: Content, budget: &mut Budget) -> Part {
    let id = result.tool_use_id.label(budget);
    if result.kind.is_some() {
        Part::ServerToolCallResponse { id, response }
    } else {
        Part::ToolCallResponse { id, response }
    }
}

/// An image, a document, a video, a sound: its bytes, or where it lies. A document of texts passes whole.
fn of_media(modality: &'static str, field: Field<'_>, budget: &mut Budget) -> Option<Part> {
    let media: Media<'_> = field.object(budget)?;
    let source: Source<'_> = media.source.object(budget)?;
    if let Some(location) = source.s3_location.object::<S3Location<'_>>(budget) {
        let uri = location.uri.text(budget)?;
        return Some(Part::Uri { modality, mime_type: None, uri: budget.whole(&uri)? });
    }
    let mime_type = media.format.label(budget).map(|format| mime_type(modality, format));
    media::of_base64(modality, mime_type, source.bytes, budget)
}

/// The MIME type of a format, which clients have also sent in its place.
fn mime_type(modality: &str, format: String) -> String {
    if format.contains('/') {
        return format;
    }
    match (modality, format.as_str()) {
        ("document", "pdf") => "application/pdf".to_owned(),
        ("document", "doc") => "application/msword".to_owned(),
        ("document", "docx") => {
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document".to_owned()
        }
        ("document", "xls") => "application/vnd.ms-excel".to_owned(),
        ("document", "xlsx") => {
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet".to_owned()
        }
        ("document", "txt") => "text/plain".to_owned(),
        ("document", "md") => "text/markdown".to_owned(),
        ("document", _) => format!("text/{format}"),
        ("video", "mov") => "video/quicktime".to_owned(),
        ("video", "mkv") => "video/x-matroska".to_owned(),
        ("video", "three_gp") => "video/3gpp".to_owned(),
        _ => format!("{modality}/{format}"),
    }
}
