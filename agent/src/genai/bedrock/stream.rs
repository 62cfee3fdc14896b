//! Streamed answers of Converse
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStreamOutput.html>), and of Nova by
//! InvokeModel: events in, one generation out.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Deserialize;

use super::{
    super::{
        budget::Budget,
        call::{Call, Content, Generation, Message, Part},
        dialect::Carried,
        field::{Field, Kind},
        finish::Ending,
    },
    content::{self, ToolResult, ToolUse},
    request,
    usage::Counts,
};

#[derive(Default)]
pub(in crate::genai) struct Stream {
    /// Every piece of a text is a block: Nova counts so by InvokeModel.
    pieces_are_blocks: bool,
    /// Something of the message was seen.
    started: bool,
    role: Option<String>,
    blocks: BTreeMap<i64, Partial>,
    stop_reason: Option<String>,
    usage: Option<Counts>,
}

/// A content block that is being put together.
enum Partial {
    Text(Content),
    Reasoning(Content),
    /// The call of a tool, or its answer, whose JSON goes on.
    Tool(Part, Content),
    /// A block that arrives whole.
    Whole(Part),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content_block_index: Field<'a>,
    #[serde(borrow)]
    start: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
}

/// The beginning of a block, or a piece of one.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    tool_use: Field<'a>,
    #[serde(borrow)]
    tool_result: Field<'a>,
    #[serde(borrow)]
    reasoning_content: Field<'a>,
    #[serde(borrow)]
    citation: Field<'a>,
}

/// A piece of reasoning.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    redacted_content: Field<'a>,
}

/// The events that a stream has.
pub(in crate::genai) const EVENTS: [&str; 6] =
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];

impl Stream {
    /// A stream of Nova's by InvokeModel.
    pub(in crate::genai) fn of_nova() -> Self {
        Self { pieces_are_blocks: true, ..Self::default() }
    }

    /// The next event, of which `kind` is one of [`EVENTS`].
    pub(in crate::genai) fn event(
        &mut self,
        kind: &str,
        payload: Field<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Carried {
        let Some(event) = payload.object::<Event<'_>>(budget) else { return Carried::Data };
        let mut carries = false;
        match kind {
            "messageStart" => {
                self.started = true;
                self.role = event.role.label(budget);
            }
            "contentBlockStart" => carries = self.open(&event, budget),
            "contentBlockDelta" => carries = self.delta(&event, budget),
            "messageStop" => {
                self.started = true;
                self.stop_reason = event.stop_reason.label(budget);
            }
            "metadata" => {
                self.usage = Counts::of_body(event.usage, budget).or(self.usage);
                let tier = request::word(event.service_tier, budget);
                call.response.service_tier = tier.or(call.response.service_tier.take());
            }
            _ => {}
        }
        if carries { Carried::Content } else { Carried::Data }
    }

    /// A block begins, of a kind that says more than its pieces do.
    fn open(&mut self, event: &Event<'_>, budget: &mut Budget) -> bool {
        self.started = true;
        let Some(index) = index(event, budget) else { return false };
        let Some(start) = event.start.object::<Piece<'_>>(budget) else { return false };
        let begun = if let Some(tool) = start.tool_use.object::<ToolUse<'_>>(budget) {
            Partial::Tool(content::called(&tool, Content::default(), budget), Content::default())
        } else if let Some(result) = start.tool_result.object::<ToolResult<'_>>(budget) {
            Partial::Tool(content::answered(&result, Content::default(), budget), Content::default())
        } else {
            let name = event.start.key(|_| true);
            budget.unknown += u64::from(name.is_some_and(|name| name != "text"));
            return false;
        };
        if !self.blocks.contains_key(&index) && budget.item() {
            self.blocks.insert(index, begun);
        }
        false
    }

    /// More of a block; says whether it brings content.
    fn delta(&mut self, event: &Event<'_>, budget: &mut Budget) -> bool {
        self.started = true;
        let Some(index) = index(event, budget) else { return false };
        let Some(delta) = event.delta.object::<Piece<'_>>(budget) else { return false };
        if delta.text.is_some() {
            let text = delta.text.text(budget).unwrap_or_default();
            return self.append(index, &text, budget, Partial::Text);
        }
        if let Some(reasoning) = delta.reasoning_content.object::<Reasoning<'_>>(budget) {
            if reasoning.redacted_content.is_some() && !self.blocks.contains_key(&index) && budget.item() {
                let json = delta.reasoning_content.json_content(budget);
                let kind = "reasoningContent".to_owned();
                self.blocks.insert(index, Partial::Whole(Part::Generic { kind, json }));
                return true;
            }
            // Neither a signature nor what is encrypted is anything that is said.
            let text = reasoning.text.text(budget).unwrap_or_default();
            return self.append(index, &text, budget, Partial::Reasoning);
        }
        if let Some(tool) = delta.tool_use.object::<ToolUse<'_>>(budget) {
            let text = tool.input.text(budget).unwrap_or_default();
            return self.tool(index, &text, budget);
        }
        if delta.tool_result.kind() == Kind::Array {
            return self.tool(index, delta.tool_result.json(), budget);
        }
        budget.unknown += u64::from(!delta.citation.is_some());
        false
    }

    /// Adds to a text, or begins one: only blocks of other kinds have a beginning of their own.
    fn append(
        &mut self,
        index: i64,
        text: &str,
        budget: &mut Budget,
        begin: impl Fn(Content) -> Partial,
    ) -> bool {
        if text.is_empty() {
            return false;
        }
        let block = match self.blocks.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) if budget.item() => new.insert(begin(Content::default())),
            Entry::Vacant(_) => return true,
        };
        match (block, begin(Content::default())) {
            (Partial::Text(content), Partial::Text(_))
            | (Partial::Reasoning(content), Partial::Reasoning(_)) => budget.append(content, text),
            _ => budget.unknown += 1,
        }
        true
    }

    /// Adds to the JSON of a tool. Its name stood where the block began: without it, arguments go nowhere.
    fn tool(&mut self, index: i64, text: &str, budget: &mut Budget) -> bool {
        match self.blocks.get_mut(&index) {
            Some(Partial::Tool(_, json)) => budget.append(json, text),
            Some(_) => budget.unknown += 1,
            None => {}
        }
        !text.is_empty()
    }

    pub(in crate::genai) fn terminated(&self) -> bool {
        // The usage comes last, and the reason to stop may have been in a gap.
        self.stop_reason.is_some() || self.usage.is_some()
    }

    /// Nothing more comes.
    pub(in crate::genai) fn finish(&mut self, ending: Ending, call: &mut Call, budget: &mut Budget) {
        if let Some(counts) = self.usage {
            call.usage = counts.usage();
        }
        if !self.started {
            return;
        }
        let mut parts: Vec<Part> = Vec::new();
        for part in std::mem::take(&mut self.blocks).into_values().filter_map(Partial::into_part) {
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) if self.pieces_are_blocks => before.join(&text),
                (_, part) => parts.push(part),
            }
        }
        let role = self.role.take().unwrap_or_else(|| "assistant".to_owned());
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        generation.finish(self.stop_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}

fn index(event: &Event<'_>, budget: &mut Budget) -> Option<i64> {
    let index = event.content_block_index.integer(budget);
    budget.unknown += u64::from(!event.content_block_index.is_some());
    index
}

fn kept(content: &Content) -> bool {
    !content.text.is_empty() || content.cut > 0
}

impl Partial {
    fn into_part(self) -> Option<Part> {
        match self {
            Self::Text(content) => kept(&content).then_some(Part::Text(content)),
            Self::Reasoning(content) => kept(&content).then_some(Part::Reasoning(content)),
            Self::Whole(part) => Some(part),
            Self::Tool(mut part, json) => {
                // A tool without arguments may be called without any piece of them.
                let (slot, empty) = match &mut part {
                    Part::ToolCall { arguments, .. } | Part::ServerToolCall { arguments, .. } => {
                        (arguments, "{}")
                    }
                    Part::ToolCallResponse { response, .. }
                    | Part::ServerToolCallResponse { response, .. } => (response, "[]"),
                    _ => return Some(part),
                };
                *slot = if kept(&json) { json } else { empty.into() };
                Some(part)
            }
        }
    }
}
