//! Streamed answers of Chat Completions: chunks in, generations out.

use std::collections::BTreeMap;

use super::{Answer, Choice};
use crate::{
    genai::{
        blob::{Code, Measure},
        budget::Budget,
        call::{Call, Content, Generation, Message, Part, Usage},
        dialect::{Carried, Malformed},
        field::{Escaped, Field},
        finish::Ending,
        openai::{
            answer::{self, Chunk},
            message, tool, usage,
        },
    },
    wire::SseEvent,
};

/// Index of the older `function_call`, of which there is one and which has none.
const FUNCTION_CALL: i64 = i64::MIN;

/// Longest name of a tool that is put together from pieces, in bytes.
const NAME_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Stream {
    choices: BTreeMap<i64, Partial>,
    usage: Option<Usage>,
    /// The last usage came when every choice had its finish reason: it is the total.
    usage_is_final: bool,
    done: bool,
    failed: bool,
}

/// A choice that is being put together.
#[derive(Default)]
struct Partial {
    role: Option<String>,
    reasoning: Content,
    text: Content,
    refusal: Content,
    audio: Option<Measure>,
    others: Vec<Part>,
    calls: Vec<Slot>,
    /// Position in `calls` of the last call with an index.
    by_index: BTreeMap<i64, usize>,
    finish_reason: Option<String>,
    carried: bool,
}

/// A tool call that is being put together.
struct Slot {
    id: Option<String>,
    name: String,
    arguments: Content,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct XGroq<'a> {
    #[serde(borrow)]
    usage: Field<'a>,
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
                self.done = true;
                return Ok(Carried::Nothing);
            }
        };
        let chunk: Answer<'_> = document.object(budget).ok_or(Malformed)?;
        if let Some(error) = answer::failure(event, &document, chunk.error, budget) {
            self.failed = true;
            call.error = Some(error);
        }
        chunk.identify(call, budget);
        let mut carried = Carried::Data;
        if chunk.choices.is_some() {
            chunk.choices.each(budget, |item, budget| {
                if self.choice(item, budget) {
                    carried = Carried::Content;
                }
            });
        }
        self.take_usage(&chunk, budget);
        Ok(carried)
    }

    fn take_usage(&mut self, chunk: &Answer<'_>, budget: &mut Budget) {
        let mut field = chunk.usage;
        if !field.is_some() && chunk.x_groq.is_some() {
            field = chunk.x_groq.object::<XGroq<'_>>(budget).unwrap_or_default().usage;
        }
        if field.is_some()
            && let Some(usage) = usage::read(field, budget)
        {
            self.usage = Some(usage);
            self.usage_is_final = self.all_finished();
        }
    }

    /// Folds one choice of a chunk; says whether it brought content.
    fn choice(&mut self, item: Field<'_>, budget: &mut Budget) -> bool {
        let Some(wire) = item.object::<Choice<'_>>(budget) else { return false };
        let index = wire.index.integer(budget).unwrap_or(0);
        if !self.choices.contains_key(&index) && self.choices.len() >= budget.limits().choices {
            budget.omitted += 1;
            return false;
        }
        let choice = self.choices.entry(index).or_default();
        if let Some(reason) = wire.reason().label(budget) {
            choice.finish_reason = Some(reason);
        }
        // Some servers end a stream with a whole `message` instead of a `delta`.
        let Some(delta) = wire.delta.or(wire.message).object::<message::Wire<'_>>(budget) else {
            return false;
        };
        if choice.role.is_none() {
            choice.role = delta.role.label(budget);
        }
        choice.carried = false;
        delta.said(choice, budget);
        if delta.tool_calls.is_some() {
            delta.tool_calls.each(budget, |item, budget| {
                if let Some(fragment) = item.object::<tool::ToolCall<'_>>(budget) {
                    let index = fragment.index.integer(budget);
                    let id = fragment.id.label(budget);
                    choice.fragment(index, id, &fragment.called(budget), budget);
                }
            });
        }
        if delta.function_call.is_some()
            && let Some(called) = delta.function_call.object::<tool::Called<'_>>(budget)
        {
            choice.fragment(Some(FUNCTION_CALL), None, &called, budget);
        }
        choice.carried
    }

    fn all_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.finish_reason.is_some())
    }

    pub(super) fn terminated(&self, call: &Call) -> bool {
        let asked = call.request.choice_count.unwrap_or(1);
        self.done || self.all_finished() && self.choices.len() as i64 >= asked
    }

    pub(super) fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        if let Some(mut usage) = self.usage {
            usage.partial = !self.usage_is_final && (damaged || !self.done);
            call.usage = usage;
        }
        // An error in the stream is why a choice has no finish reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        for choice in std::mem::take(&mut self.choices).into_values() {
            call.response.generations.push(choice.into_generation(ending, damaged, budget));
        }
    }
}

impl Partial {
    /// Folds one fragment of a tool call. The index says which call it is of; a new id under an old index is
    /// a new call (Gemini's compatible endpoint numbers them all 0).
    fn fragment(
        &mut self,
        index: Option<i64>,
        id: Option<String>,
        called: &tool::Called<'_>,
        budget: &mut Budget,
    ) {
        let known = match index {
            Some(index) => self.by_index.get(&index).copied(),
            None => self.calls.len().checked_sub(1),
        };
        let known = known.filter(|at| match (&id, self.calls.get(*at).and_then(|slot| slot.id.as_ref())) {
            (Some(new), Some(old)) => new == old,
            (Some(_), None) => index.is_some(),
            (None, _) => true,
        });
        let at = match known {
            Some(at) => at,
            None if budget.item() => {
                self.calls.push(Slot { id: None, name: String::new(), arguments: Content::default() });
                let at = self.calls.len() - 1;
                if let Some(index) = index {
                    self.by_index.insert(index, at);
                }
                at
            }
            None => return,
        };
        let Some(slot) = self.calls.get_mut(at) else { return };
        if slot.id.is_none() {
            slot.id = id;
        }
        // A name comes whole, or in pieces, or whole with every fragment.
        if let Some(name) = called.name.label(budget)
            && name != slot.name
            && slot.name.len() + name.len() <= NAME_MAX
        {
            slot.name.push_str(&name);
        }
        self.carried |= called.append_arguments(&mut slot.arguments, budget);
    }

    fn into_generation(self, ending: Ending, damaged: bool, budget: &mut Budget) -> Generation {
        let mut parts = Vec::new();
        let kept = |content: &Content| !content.text.is_empty() || content.cut > 0;
        if kept(&self.reasoning) {
            parts.push(Part::Reasoning(self.reasoning));
        }
        if kept(&self.text) {
            parts.push(Part::Text(self.text));
        }
        if kept(&self.refusal) {
            parts.push(Part::Refusal(self.refusal));
        }
        if let Some(audio) = self.audio {
            let encoded_len = audio.encoded_len();
            let digest = audio.digest().filter(|_| ending == Ending::Whole && !damaged);
            parts.push(Part::Blob { modality: "audio", mime_type: None, encoded_len, digest });
        }
        parts.extend(self.others);
        parts.extend(
            self.calls
                .into_iter()
                .filter(|slot| slot.id.is_some() || !slot.name.is_empty() || kept(&slot.arguments))
                .map(|slot| Part::ToolCall { id: slot.id, name: slot.name, arguments: slot.arguments }),
        );
        let role = self.role.unwrap_or_else(|| "assistant".to_owned());
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        generation.finish(self.finish_reason, ending, budget);
        generation
    }
}

impl message::Sink for Partial {
    fn text(&mut self, text: &str, budget: &mut Budget) {
        self.carried = true;
        budget.append(&mut self.text, text);
    }

    fn reasoning(&mut self, text: &str, budget: &mut Budget) {
        self.carried = true;
        budget.append(&mut self.reasoning, text);
    }

    fn refusal(&mut self, text: &str, budget: &mut Budget) {
        self.carried = true;
        budget.append(&mut self.refusal, text);
    }

    /// Each piece is base64 of its own.
    fn audio(&mut self, _: Option<String>, data: Field<'_>, budget: &mut Budget) {
        let Some(data) = data.escaped(budget).filter(|data| *data != Escaped::EMPTY) else { return };
        self.carried = true;
        let audio = self.audio.get_or_insert_with(|| budget.measure(Code::Base64));
        data.pieces(|piece| audio.push(piece));
        audio.end_text();
    }

    fn part(&mut self, part: Part, budget: &mut Budget) {
        self.carried = true;
        if budget.item() {
            self.others.push(part);
        }
    }
}
