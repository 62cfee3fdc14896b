//! Streamed answers of Anthropic Messages: events in, one generation out.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Deserialize;

use super::{
    Answer, Counts,
    block::{self, Block},
    error,
};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, Part},
        dialect::{Carried, Malformed},
        document::Document,
        field::Field,
        finish::Ending,
    },
    wire::SseEvent,
};

#[derive(Default)]
pub(super) struct Stream {
    /// Something of the message was seen.
    started: bool,
    /// Its `message_start` was.
    greeted: bool,
    role: Option<String>,
    blocks: BTreeMap<i64, Partial>,
    counts: Counts,
    /// `message_delta` has brought the total.
    counts_are_final: bool,
    stop_reason: Option<String>,
    stopped: bool,
    failed: bool,
}

/// A content block that is being put together.
enum Partial {
    Text(Content),
    Thinking(Content),
    Tool {
        server: bool,
        id: Option<String>,
        name: String,
        /// Input as the block began, usually `{}`; it counts where no fragment follows.
        initial: Content,
        input: Content,
    },
    /// A block that arrives whole.
    Whole(Part),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    content_block: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    thinking: Field<'a>,
    #[serde(borrow)]
    partial_json: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl Stream {
    pub(super) fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        if event.data.trim_ascii().is_empty() {
            return Ok(Carried::Nothing);
        }
        let document = Document::read(&event.data);
        let wire: Event<'_> = document.object(budget).ok_or(Malformed)?;
        let kind = wire.kind.text(budget).ok_or(Malformed)?;
        let mut carried = Carried::Data;
        match &*kind {
            "message_start" => self.start(&wire, call, budget),
            "content_block_start" => {
                if self.open(&wire, budget) {
                    carried = Carried::Content;
                }
            }
            "content_block_delta" => {
                if self.delta(&wire, budget) {
                    carried = Carried::Content;
                }
            }
            "content_block_stop" => {}
            "message_delta" => self.message_delta(&wire, call, budget),
            "message_stop" => {
                self.started = true;
                self.stopped = true;
            }
            "ping" => return Ok(Carried::Nothing),
            "error" => {
                self.failed = true;
                call.error = document
                    .root()
                    .and_then(|root| error(root, budget))
                    .or_else(|| Some(CallError::default()));
            }
            _ => {
                budget.unknown += 1;
                return Ok(Carried::Nothing);
            }
        }
        Ok(carried)
    }

    fn start(&mut self, wire: &Event<'_>, call: &mut Call, budget: &mut Budget) {
        (self.started, self.greeted) = (true, true);
        let Some(message) = wire.message.object::<Answer<'_>>(budget) else { return };
        call.response.id = message.id.label(budget);
        call.response.model = message.model.label(budget);
        self.role = message.role.label(budget);
        self.counts.update(message.usage, call, budget);
    }

    fn message_delta(&mut self, wire: &Event<'_>, call: &mut Call, budget: &mut Budget) {
        self.started = true;
        if let Some(delta) = wire.delta.object::<Delta<'_>>(budget)
            && let Some(reason) = delta.stop_reason.label(budget)
        {
            self.stop_reason = Some(reason);
        }
        if wire.usage.is_some() {
            self.counts.update(wire.usage, call, budget);
            self.counts_are_final = self.stop_reason.is_some();
        }
    }

    /// A block begins; says whether it brings content at once.
    fn open(&mut self, wire: &Event<'_>, budget: &mut Budget) -> bool {
        self.started = true;
        let Some(index) = wire.index.integer(budget) else {
            budget.unknown += 1;
            return false;
        };
        let Some(block) = wire.content_block.object::<Block<'_>>(budget) else { return false };
        if self.blocks.contains_key(&index) || !budget.item() {
            return false;
        }
        let kind = block.kind.text(budget).unwrap_or_default();
        let partial = match &*kind {
            "text" => Partial::Text(block.text.content(budget).unwrap_or_default()),
            "thinking" => Partial::Thinking(block.thinking.content(budget).unwrap_or_default()),
            kind if kind == "tool_use" || block::is_server_call(kind) => Partial::Tool {
                server: kind != "tool_use",
                id: block.id.label(budget),
                name: block.name.label(budget).unwrap_or_default(),
                initial: block.input.json_content(budget),
                input: Content::default(),
            },
            _ => match block::part(wire.content_block, &block, budget) {
                Some(part) => Partial::Whole(part),
                None => return false,
            },
        };
        let carried = match &partial {
            Partial::Text(content) | Partial::Thinking(content) => kept(content),
            Partial::Tool { .. } => false,
            Partial::Whole(_) => true,
        };
        self.blocks.insert(index, partial);
        carried
    }

    /// More of a block; says whether it brings content.
    fn delta(&mut self, wire: &Event<'_>, budget: &mut Budget) -> bool {
        self.started = true;
        let Some(index) = wire.index.integer(budget) else {
            budget.unknown += 1;
            return false;
        };
        let Some(delta) = wire.delta.object::<Delta<'_>>(budget) else { return false };
        let kind = delta.kind.text(budget).unwrap_or_default();
        let field = match &*kind {
            "text_delta" => delta.text,
            "thinking_delta" => delta.thinking,
            "input_json_delta" => delta.partial_json,
            // Neither a signature nor a citation is what the model says.
            "signature_delta" | "citations_delta" => return false,
            _ => {
                budget.unknown += 1;
                return false;
            }
        };
        let text = field.text(budget).unwrap_or_default();
        if text.is_empty() {
            return false;
        }
        let block = match self.blocks.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            // The beginning of a block may have been lost: what its pieces are says what it is. A tool's name
            // stood there, so its arguments go nowhere.
            Entry::Vacant(lost) => match &*kind {
                "text_delta" if budget.item() => lost.insert(Partial::Text(Content::default())),
                "thinking_delta" if budget.item() => lost.insert(Partial::Thinking(Content::default())),
                _ => return true,
            },
        };
        match (block, &*kind) {
            (Partial::Text(content), "text_delta")
            | (Partial::Thinking(content), "thinking_delta")
            | (Partial::Tool { input: content, .. }, "input_json_delta") => budget.append(content, &text),
            _ => budget.unknown += 1,
        }
        true
    }

    pub(super) fn terminated(&self) -> bool {
        self.stopped || self.stop_reason.is_some()
    }

    pub(super) fn finish(&mut self, ending: Ending, call: &mut Call, budget: &mut Budget) {
        if !self.started {
            return;
        }
        // Cached tokens may have stood in a `message_start` that was lost.
        let partial = !self.counts_are_final || !self.greeted && self.counts.input.is_some();
        call.usage = self.counts.usage(partial);
        let parts = std::mem::take(&mut self.blocks).into_values().filter_map(Partial::into_part).collect();
        let role = self.role.take().unwrap_or_else(|| "assistant".to_owned());
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        // An error in the stream is why there is no stop reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        generation.finish(self.stop_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}

fn kept(content: &Content) -> bool {
    !content.text.is_empty() || content.cut > 0
}

impl Partial {
    fn into_part(self) -> Option<Part> {
        match self {
            Self::Text(content) => kept(&content).then_some(Part::Text(content)),
            Self::Thinking(content) => kept(&content).then_some(Part::Reasoning(content)),
            Self::Tool { server, id, name, initial, input } => {
                let arguments = if kept(&input) { input } else { initial };
                Some(if server {
                    Part::ServerToolCall { id, name, arguments }
                } else {
                    Part::ToolCall { id, name, arguments }
                })
            }
            Self::Whole(part) => Some(part),
        }
    }
}
