//! Cohere's chat, version 1 (<https://docs.cohere.com/v1/reference/chat>), whose streams are JSON lines.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, cohere_chat::output_type};
use crate::{
    genai::{
        budget::Budget,
        call::{
            Call, CallError, Content, Generation, Message, Part, Provider, Request, ToolDefinition, Usage,
        },
        cohere,
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{
            answer::Chunk,
            path,
            tool::{schema, whole},
        },
        text,
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct CohereChatV1;

impl Dialect for CohereChatV1 {
    fn name(&self) -> &'static str {
        "cohere.chat_v1"
    }

    fn provider(&self) -> Provider {
        Provider::Cohere
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // Others have such a path too, Writer among them.
        Claim::of_post(head, path::ends_with(&head.path, "/v1/chat"), cohere::at_home)
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Chat::default())
    }
}

/// An answer, as far as it has come.
#[derive(Default)]
struct Chat {
    started: bool,
    text: Content,
    /// By their number. Whole ones take the place of their pieces.
    calls: BTreeMap<i64, (String, Content)>,
    usage: Option<Usage>,
    finish_reason: Option<String>,
    ended: bool,
    failed: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    chat_history: Field<'a>,
    #[serde(borrow)]
    preamble: Field<'a>,
    #[serde(borrow)]
    conversation_id: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    p: Field<'a>,
    #[serde(borrow)]
    k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
    #[serde(borrow)]
    response_format: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    tool_results: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
    #[serde(borrow)]
    tool_results: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    parameter_definitions: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Called<'a> {
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    response_id: Field<'a>,
    #[serde(borrow)]
    generation_id: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    meta: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "event_type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    tool_calls: Field<'a>,
    #[serde(borrow)]
    tool_call_delta: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
}

/// `USER`, `CHATBOT`, `SYSTEM`, `TOOL`, in the words of the conventions.
fn role(field: Field<'_>, budget: &mut Budget) -> String {
    let role = field.label(budget).unwrap_or_default().to_lowercase();
    if role == "chatbot" { "assistant".to_owned() } else { role }
}

fn results(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if field.is_some() {
        field.each(budget, |item, budget| {
            if budget.item() {
                out.push(Part::ToolCallResponse { id: None, response: item.json_content(budget) });
            }
        });
    }
}

fn turn(turn: &Turn<'_>, budget: &mut Budget) -> Message {
    let mut parts: Vec<_> = turn.message.content(budget).map(Part::Text).into_iter().collect();
    if turn.tool_calls.is_some() {
        turn.tool_calls.each(budget, |item, budget| {
            if budget.item()
                && let Some(called) = item.object::<Called<'_>>(budget)
            {
                let name = called.name.label(budget).unwrap_or_default();
                parts.push(Part::ToolCall {
                    id: None,
                    name,
                    arguments: called.parameters.json_content(budget),
                });
            }
        });
    }
    results(turn.tool_results, budget, &mut parts);
    Message { role: role(turn.role, budget), name: None, parts }
}

/// The history, and the message that is new.
fn messages(body: &Body<'_>, request: &mut Request, budget: &mut Budget) {
    request.system.extend(body.preamble.content(budget).map(Part::Text));
    if body.chat_history.is_some() {
        body.chat_history.each(budget, |item, budget| {
            if budget.item()
                && let Some(wire) = item.object::<Turn<'_>>(budget)
            {
                request.messages.push(turn(&wire, budget));
            }
        });
    }
    let mut answers = Vec::new();
    results(body.tool_results, budget, &mut answers);
    if !answers.is_empty() {
        request.messages.push(Message { role: "tool".to_owned(), name: None, parts: answers });
    }
    // It is empty where the answers of tools are all that is new.
    if let Some(text) = body.message.content(budget)
        && budget.item()
    {
        let parts = vec![Part::Text(text)];
        request.messages.push(Message { role: "user".to_owned(), name: None, parts });
    }
}

impl Chat {
    /// What a whole answer has, and the last event of a stream.
    fn take(&mut self, answer: &Answer<'_>, call: &mut Call, budget: &mut Budget) {
        call.response.id = answer.response_id.label(budget);
        self.finish_reason = answer.finish_reason.label(budget).or(self.finish_reason.take());
        self.usage = cohere::usage(answer.meta, budget);
        // It repeats what the events before it have brought, unless these were missed.
        if self.text.text.is_empty() && self.text.cut == 0 {
            let text = answer.text.text(budget).unwrap_or_default();
            budget.append(&mut self.text, &text);
        }
        if self.calls.is_empty() {
            self.called(answer.tool_calls, budget);
        }
    }

    /// Whole calls.
    fn called(&mut self, calls: Field<'_>, budget: &mut Budget) {
        if !calls.is_some() {
            return;
        }
        self.calls.clear();
        calls.each(budget, |item, budget| {
            if budget.item()
                && let Some(called) = item.object::<Called<'_>>(budget)
            {
                let name = called.name.label(budget).unwrap_or_default();
                let number = self.calls.len() as i64;
                self.calls.insert(number, (name, called.parameters.json_content(budget)));
            }
        });
    }

    /// A piece of a call; says whether there was any.
    fn fragment(&mut self, delta: Field<'_>, budget: &mut Budget) -> bool {
        let Some(called) = delta.object::<Called<'_>>(budget) else { return false };
        let index = called.index.integer(budget).unwrap_or(0);
        if !self.calls.contains_key(&index) && !budget.item() {
            return false;
        }
        let (name, arguments) = self.calls.entry(index).or_default();
        if let Some(new) = called.name.label(budget) {
            *name = new;
        }
        let piece = called.parameters.text(budget).unwrap_or_default();
        budget.append(arguments, &piece);
        !piece.is_empty()
    }
}

impl Fold for Chat {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let fits = body.message.kind() == Kind::Text && body.chat_history.kind() == Kind::Array;
        let request = &mut call.request;
        request.model = body.model.label(budget);
        request.conversation_id = body.conversation_id.label(budget);
        request.stream = body.stream.flag(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.p.number(budget);
        request.top_k = body.k.integer(budget);
        request.frequency_penalty = body.frequency_penalty.number(budget);
        request.presence_penalty = body.presence_penalty.number(budget);
        request.max_tokens = body.max_tokens.integer(budget);
        request.seed = body.seed.integer(budget);
        request.stop_sequences = text::stop_sequences(body.stop_sequences, budget);
        request.output_type = output_type(body.response_format, budget);
        messages(&body, request, budget);
        if body.tools.is_some() {
            body.tools.each(budget, |item, budget| {
                if budget.item()
                    && let Some(tool) = item.object::<Tool<'_>>(budget)
                {
                    request.tools.push(ToolDefinition {
                        kind: "function".to_owned(),
                        name: tool.name.label(budget),
                        description: whole(tool.description, budget),
                        parameters: schema(tool.parameter_definitions, budget),
                    });
                }
            });
        }
        Ok(fits)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        cohere::error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.text.kind() != Kind::Text || !answer.generation_id.or(answer.response_id).is_some() {
            return Err(Malformed);
        }
        self.started = true;
        self.take(&answer, call, budget);
        Ok(())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let Chunk::Data(document) = Chunk::of(event) else { return Ok(Carried::Nothing) };
        let wire: Event<'_> = document.object(budget).ok_or(Malformed)?;
        let kind = wire.kind.text(budget).ok_or(Malformed)?;
        let mut carried = false;
        match &*kind {
            "text-generation" => {
                let text = wire.text.text(budget).unwrap_or_default();
                budget.append(&mut self.text, &text);
                carried = !text.is_empty();
            }
            "tool-calls-chunk" => carried = self.fragment(wire.tool_call_delta, budget),
            "tool-calls-generation" => {
                self.called(wire.tool_calls, budget);
                carried = true;
            }
            "stream-end" => {
                self.ended = true;
                self.finish_reason = wire.finish_reason.label(budget);
                self.failed = self.finish_reason.as_deref() == Some("ERROR");
                if let Some(answer) = wire.response.object::<Answer<'_>>(budget) {
                    self.take(&answer, call, budget);
                }
            }
            // What was searched for and found, and where a text comes from, is no part of it.
            "stream-start" | "search-queries-generation" | "search-results" | "citation-generation" => {}
            "debug" => return Ok(Carried::Nothing),
            _ => {
                budget.unknown += 1;
                return Ok(Carried::Nothing);
            }
        }
        self.started = true;
        Ok(if carried { Carried::Content } else { Carried::Data })
    }

    fn terminated(&self, _: &Call) -> bool {
        self.ended
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        if !self.started {
            return;
        }
        if let Some(usage) = self.usage {
            call.usage = usage;
        }
        if self.failed && call.error.is_none() {
            call.error = Some(CallError::default());
        }
        let text = std::mem::take(&mut self.text);
        let mut parts = Vec::new();
        if !text.text.is_empty() || text.cut > 0 {
            parts.push(Part::Text(text));
        }
        let calls = std::mem::take(&mut self.calls).into_values();
        parts.extend(calls.map(|(name, arguments)| Part::ToolCall { id: None, name, arguments }));
        let message = Message { role: "assistant".to_owned(), name: None, parts };
        let mut generation = Generation { message, ..Generation::default() };
        generation.finish(self.finish_reason.take(), ending, budget);
        call.response.generations.push(generation);
    }
}
