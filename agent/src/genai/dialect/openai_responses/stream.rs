//! Streamed answers of Responses: events in, a generation out.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answer, Output, Status, item::Item};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Part},
        dialect::{Carried, Malformed},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::error,
    },
    wire::SseEvent,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
    #[serde(borrow)]
    item: Field<'a>,
    #[serde(borrow)]
    output_index: Field<'a>,
    #[serde(borrow)]
    content_index: Field<'a>,
    #[serde(borrow)]
    summary_index: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    /// Of the response, beside it (xAI's Realtime).
    #[serde(borrow)]
    usage: Field<'a>,
}

#[derive(Default)]
pub(in crate::genai::dialect) struct Stream {
    /// Items of the output, by their index.
    items: BTreeMap<i64, Slot>,
    status: Option<Status>,
    /// The output of the last event, which repeats all of it.
    whole: Option<Output>,
    begun: bool,
    done: bool,
    failed: bool,
}

/// An item that is being put together.
#[derive(Default)]
struct Slot {
    /// A call, by its id and name.
    call: Option<(Option<String>, String)>,
    arguments: Content,
    /// By kind and index: a summary comes before the reasoning, and that before the text.
    texts: BTreeMap<(Spoken, i64), Content>,
    /// All of it, once it is complete.
    done: Option<Output>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spoken {
    Summary,
    Reasoning,
    Text,
    Refusal,
}

impl Stream {
    pub(in crate::genai::dialect) fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let data = event.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(Carried::Nothing);
        }
        let document = Document::read(data);
        let wire: Event<'_> = document.object(budget).ok_or(Malformed)?;
        let kind = wire.kind.label(budget).unwrap_or_else(|| event.event.to_string());
        let spoken = match kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.begun = true;
                self.response(wire.response, call, budget);
                return Ok(Carried::Data);
            }
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                (self.begun, self.done) = (true, true);
                self.response(wire.response, call, budget);
                if wire.usage.is_some()
                    && let Some(usage) = super::usage(wire.usage, budget)
                {
                    call.usage = usage;
                }
                return Ok(Carried::Data);
            }
            "error" => {
                (self.done, self.failed) = (true, true);
                // With the details in `error`, or beside the type.
                let detail =
                    if wire.error.kind() == Kind::Object { Some(wire.error) } else { document.root() };
                let error = detail.and_then(|detail| error::detail_of(detail, budget)).unwrap_or_default();
                // The type of the event is not that of the error.
                let kind = if error.kind == "error" { String::new() } else { error.kind };
                let provider_type = error.provider_type.filter(|kind| kind != "error");
                call.error = Some(CallError { kind, provider_type, ..error });
                return Ok(Carried::Data);
            }
            "response.output_item.added" => {
                self.added(&wire, budget);
                return Ok(Carried::Data);
            }
            "response.output_item.done" => {
                if let Some(slot) = self.slot(&wire, budget) {
                    let mut output = Output::default();
                    output.item(wire.item, budget);
                    *slot = Slot { done: Some(output), ..Slot::default() };
                }
                return Ok(Carried::Data);
            }
            "response.output_text.delta" | "response.text.delta" => Some(Spoken::Text),
            // What is spoken, in words.
            "response.output_audio_transcript.delta" | "response.audio_transcript.delta" => {
                Some(Spoken::Text)
            }
            "response.output_audio.delta" | "response.audio.delta" => return Ok(Carried::Content),
            "response.refusal.delta" => Some(Spoken::Refusal),
            "response.reasoning_text.delta" | "response.reasoning.delta" => Some(Spoken::Reasoning),
            "response.reasoning_summary_text.delta" => Some(Spoken::Summary),
            kind if kind.ends_with("_arguments.delta") || kind.ends_with("_input.delta") => None,
            "keepalive" | "ping" => return Ok(Carried::Nothing),
            _ => return Ok(Carried::Data),
        };
        Ok(self.delta(spoken, &wire, budget))
    }

    /// A response as far as it is.
    fn response(&mut self, field: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(answer) = field.object::<Answer<'_>>(budget) else { return };
        answer.identify(self.done, call, budget);
        self.status = answer.status(budget);
        if self.done {
            let output = answer.output(budget);
            self.whole = (!output.parts.is_empty()).then_some(output);
        }
    }

    /// The item of an event, if there is room for it.
    fn slot(&mut self, wire: &Event<'_>, budget: &mut Budget) -> Option<&mut Slot> {
        let index = wire.output_index.integer(budget).unwrap_or(0);
        if !self.items.contains_key(&index) && !budget.item() {
            return None;
        }
        Some(self.items.entry(index).or_default())
    }

    fn added(&mut self, wire: &Event<'_>, budget: &mut Budget) {
        let Some(item) = wire.item.object::<Item<'_>>(budget) else { return };
        let kind = item.kind.label(budget);
        let Some(slot) = self.slot(wire, budget) else { return };
        if matches!(kind.as_deref(), Some("function_call" | "custom_tool_call")) {
            slot.call = Some((item.call_id.label(budget), item.name.label(budget).unwrap_or_default()));
        }
    }

    fn delta(&mut self, spoken: Option<Spoken>, wire: &Event<'_>, budget: &mut Budget) -> Carried {
        let Some(text) = wire.delta.text(budget).filter(|text| !text.is_empty()) else {
            return Carried::Data;
        };
        let index = wire.content_index.or(wire.summary_index).integer(budget).unwrap_or(0);
        let Some(slot) = self.slot(wire, budget).filter(|slot| slot.done.is_none()) else {
            return Carried::Content;
        };
        match spoken {
            None => budget.append(&mut slot.arguments, &text),
            Some(spoken) if slot.texts.contains_key(&(spoken, index)) || budget.item() => {
                budget.append(slot.texts.entry((spoken, index)).or_default(), &text);
            }
            Some(_) => {}
        }
        Carried::Content
    }

    pub(in crate::genai::dialect) fn terminated(&self) -> bool {
        self.done
    }

    pub(in crate::genai::dialect) fn finish(&mut self, ending: Ending, call: &mut Call, budget: &mut Budget) {
        let items = std::mem::take(&mut self.items);
        let output = self.whole.take().unwrap_or_else(|| {
            let mut output = Output::default();
            for slot in items.into_values() {
                slot.end(&mut output);
            }
            output
        });
        let ending = if self.failed { Ending::Broken } else { ending };
        let status = self.status.take().filter(|status| *status != Status::Pending);
        if self.begun || !output.parts.is_empty() {
            call.response.generations.push(output.generation(status, ending, budget));
        }
    }
}

impl Slot {
    fn end(self, output: &mut Output) {
        if let Some(done) = self.done {
            output.calls = done.calls;
            output.parts.extend(done.parts);
            return;
        }
        output.calls = self.call.is_some();
        output.parts.extend(self.texts.into_iter().map(|((spoken, _), content)| match spoken {
            Spoken::Summary | Spoken::Reasoning => Part::Reasoning(content),
            Spoken::Text => Part::Text(content),
            Spoken::Refusal => Part::Refusal(content),
        }));
        if let Some((id, name)) = self.call {
            output.parts.push(Part::ToolCall { id, name, arguments: self.arguments });
        }
    }
}
