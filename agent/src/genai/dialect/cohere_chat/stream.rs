//! Streamed answers of Cohere's chat, version 2: typed events in, one generation out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, Part, Usage},
        cohere,
        dialect::{Carried, Malformed},
        field::{Field, Kind},
        finish::Ending,
        openai::{answer::Chunk, error::message, tool},
    },
    wire::SseEvent,
};

#[derive(Default)]
pub(super) struct Stream {
    started: bool,
    role: Option<String>,
    plan: Content,
    blocks: BTreeMap<i64, Block>,
    /// They are numbered apart from the blocks of content.
    calls: BTreeMap<i64, ToolCall>,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    ended: bool,
    failed: bool,
}

/// A block of content that is being put together.
enum Block {
    Text(Content),
    Thinking(Content),
}

#[derive(Default)]
struct ToolCall {
    id: Option<String>,
    name: String,
    arguments: Content,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

/// The piece of a message. What is a list in a whole message is one element here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Piece<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    tool_plan: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    thinking: Field<'a>,
}

impl Stream {
    pub(super) fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let document = match Chunk::of(event) {
            Chunk::Data(document) => document,
            Chunk::Nothing => return Ok(Carried::Nothing),
            Chunk::Done => {
                self.ended = true;
                return Ok(Carried::Nothing);
            }
        };
        let wire: Event<'_> = document.object(budget).ok_or(Malformed)?;
        let kind = wire.kind.text(budget).ok_or(Malformed)?;
        let delta: Delta<'_> = wire.delta.object(budget).unwrap_or_default();
        let piece: Piece<'_> = delta.message.object(budget).unwrap_or_default();
        let index = wire.index.integer(budget).unwrap_or(0);
        let mut carried = false;
        match &*kind {
            "message-start" => {
                call.response.id = wire.id.label(budget);
                self.role = piece.role.label(budget);
            }
            "content-start" | "content-delta" => carried = self.said(index, piece.content, budget),
            "tool-plan-delta" => {
                let text = piece.tool_plan.text(budget).unwrap_or_default();
                budget.append(&mut self.plan, &text);
                carried = !text.is_empty();
            }
            "tool-call-start" | "tool-call-delta" => carried = self.called(index, piece.tool_calls, budget),
            // Citations say where a text comes from: they are no part of it.
            "content-end" | "tool-call-end" | "citation-start" | "citation-end" => {}
            "message-end" => self.end(&delta, call, budget),
            "debug" => return Ok(Carried::Nothing),
            _ => {
                budget.unknown += 1;
                return Ok(Carried::Nothing);
            }
        }
        self.started = true;
        Ok(if carried { Carried::Content } else { Carried::Data })
    }

    /// More of a block of content; says whether there was any.
    fn said(&mut self, index: i64, content: Field<'_>, budget: &mut Budget) -> bool {
        let Some(said) = content.object::<Said<'_>>(budget) else { return false };
        let thinks = said.thinking.kind() == Kind::Text;
        let text = if thinks { said.thinking } else { said.text }.text(budget).unwrap_or_default();
        if text.is_empty() || !self.blocks.contains_key(&index) && !budget.item() {
            return false;
        }
        let block = self.blocks.entry(index).or_insert_with(|| {
            if thinks { Block::Thinking(Content::default()) } else { Block::Text(Content::default()) }
        });
        let (Block::Text(to) | Block::Thinking(to)) = block;
        budget.append(to, &text);
        true
    }

    /// More of a call; says whether it brought arguments.
    fn called(&mut self, index: i64, call: Field<'_>, budget: &mut Budget) -> bool {
        let Some(wire) = call.object::<tool::ToolCall<'_>>(budget) else { return false };
        if !self.calls.contains_key(&index) && !budget.item() {
            return false;
        }
        let slot = self.calls.entry(index).or_default();
        let called = wire.called(budget);
        slot.id = slot.id.take().or_else(|| wire.id.label(budget));
        if let Some(name) = called.name.label(budget) {
            slot.name = name;
        }
        called.append_arguments(&mut slot.arguments, budget)
    }

    fn end(&mut self, delta: &Delta<'_>, call: &mut Call, budget: &mut Budget) {
        self.ended = true;
        self.finish_reason = delta.finish_reason.label(budget);
        self.usage = cohere::usage(delta.usage, budget);
        if delta.error.is_some() {
            self.failed = true;
            call.error = Some(CallError { message: message(delta.error, budget), ..CallError::default() });
        }
    }

    pub(super) fn terminated(&self) -> bool {
        self.ended
    }

    pub(super) fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        if !self.started {
            return;
        }
        if let Some(mut usage) = self.usage {
            usage.partial = damaged && !self.ended;
            call.usage = usage;
        }
        let kept = |content: &Content| !content.text.is_empty() || content.cut > 0;
        let mut parts = Vec::new();
        if kept(&self.plan) {
            parts.push(Part::Reasoning(std::mem::take(&mut self.plan)));
        }
        parts.extend(std::mem::take(&mut self.blocks).into_values().map(|block| match block {
            Block::Text(content) => Part::Text(content),
            Block::Thinking(content) => Part::Reasoning(content),
        }));
        parts.extend(std::mem::take(&mut self.calls).into_values().map(|slot| Part::ToolCall {
            id: slot.id,
            name: slot.name,
            arguments: slot.arguments,
        }));
        let role = self.role.take().unwrap_or_else(|| "assistant".to_owned());
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        // An error in the stream is why there is no finish reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        generation.finish(self.finish_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}
