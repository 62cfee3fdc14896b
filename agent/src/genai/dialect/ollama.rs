//! Ollama's own API (<https://github.com/ollama/ollama/blob/main/docs/api.md>), at any host: `/api/chat`, and
//! `/api/generate`, which continues a prompt. Streams are JSON lines.

mod request;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{
            Call, CallError, Content, FinishReason, Generation, Message, OperationName, Part, Provider, Usage,
        },
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{answer::Chunk, error, message, path},
    },
    wire::{RequestHead, SseEvent},
};

/// `/api/chat`.
pub(super) struct OllamaChat;

/// `/api/generate`.
pub(super) struct OllamaGenerate;

impl Dialect for OllamaChat {
    fn name(&self) -> &'static str {
        "ollama.chat"
    }

    fn provider(&self) -> Provider {
        Provider::Ollama
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        maybe(head, "/api/chat")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Turn::default())
    }
}

impl Dialect for OllamaGenerate {
    fn name(&self) -> &'static str {
        "ollama.generate"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn provider(&self) -> Provider {
        Provider::Ollama
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        maybe(head, "/api/generate")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Turn { generates: true, ..Turn::default() })
    }
}

/// Any web service may have such a path: the body tells.
pub(super) fn maybe(head: &RequestHead, end: &str) -> Claim {
    if &*head.method == "POST" && path::ends_with(&head.path, end) { Claim::Maybe } else { Claim::No }
}

/// An answer, as far as it has come: a whole one is a stream of one.
#[derive(Default)]
struct Turn {
    /// A prompt is continued.
    generates: bool,
    started: bool,
    role: Option<String>,
    reasoning: Content,
    text: Content,
    others: Vec<Part>,
    usage: Usage,
    done: bool,
    done_reason: Option<String>,
    failed: bool,
    carried: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
    /// Beside `response`.
    #[serde(borrow)]
    thinking: Field<'a>,
    #[serde(borrow)]
    done: Field<'a>,
    #[serde(borrow)]
    done_reason: Field<'a>,
    /// Absent where the whole prompt was in the cache.
    #[serde(borrow)]
    prompt_eval_count: Field<'a>,
    #[serde(borrow)]
    eval_count: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

impl Turn {
    fn take(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.error.is_some() && !answer.done.is_some() {
            self.failed = true;
            call.error = body.root().and_then(|root| error::read(root, budget));
            return Ok(Carried::Data);
        }
        let said = if self.generates { answer.response } else { answer.message };
        if answer.done.kind() != Kind::Bool || !said.is_some() {
            return Err(Malformed);
        }
        self.started = true;
        if call.response.model.is_none() {
            call.response.model = answer.model.label(budget);
        }
        self.carried = false;
        if self.generates {
            for (field, to) in [(answer.thinking, &mut self.reasoning), (answer.response, &mut self.text)] {
                let text = field.text(budget).unwrap_or_default();
                budget.append(to, &text);
                self.carried |= !text.is_empty();
            }
        } else if let Some(wire) = answer.message.object::<message::Wire<'_>>(budget) {
            if self.role.is_none() {
                self.role = wire.role.label(budget);
            }
            wire.said(self, budget);
            let before = self.others.len();
            wire.called(&mut self.others, budget);
            self.carried |= self.others.len() > before;
        }
        if answer.done.flag(budget) == Some(true) {
            self.done = true;
            self.done_reason = answer.done_reason.label(budget);
            self.usage.input = answer.prompt_eval_count.count(budget);
            self.usage.output = answer.eval_count.count(budget);
        }
        Ok(if self.carried { Carried::Content } else { Carried::Data })
    }
}

impl message::Sink for Turn {
    fn text(&mut self, text: &str, budget: &mut Budget) {
        self.carried = true;
        budget.append(&mut self.text, text);
    }

    fn reasoning(&mut self, text: &str, budget: &mut Budget) {
        self.carried = true;
        budget.append(&mut self.reasoning, text);
    }

    fn refusal(&mut self, text: &str, budget: &mut Budget) {
        self.text(text, budget);
    }

    fn audio(&mut self, _: Option<String>, _: Field<'_>, _: &mut Budget) {}

    fn part(&mut self, part: Part, budget: &mut Budget) {
        self.carried = true;
        if budget.item() {
            self.others.push(part);
        }
    }
}

impl Fold for Turn {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        request::read(body, self.generates, call, budget)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.take(body, call, budget).map(|_| ())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        match Chunk::of(event) {
            Chunk::Data(document) => self.take(&document, call, budget),
            _ => Ok(Carried::Nothing),
        }
    }

    fn terminated(&self, _: &Call) -> bool {
        self.done || self.failed
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        if !self.started {
            return;
        }
        call.usage = self.usage;
        let kept = |content: &Content| !content.text.is_empty() || content.cut > 0;
        let mut parts = Vec::new();
        if kept(&self.reasoning) {
            parts.push(Part::Reasoning(std::mem::take(&mut self.reasoning)));
        }
        if kept(&self.text) {
            parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
        parts.append(&mut self.others);
        let calls = parts.iter().any(|part| matches!(part, Part::ToolCall { .. }));
        let role = self.role.take().unwrap_or_else(|| "assistant".to_owned());
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        // An error in the stream is why there is no reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        generation.finish(self.done_reason.take(), ending, budget);
        // Ollama says `stop` of calls too.
        if calls && generation.finish_reason == Some(FinishReason::Stop) {
            generation.finish_reason = Some(FinishReason::ToolCall);
        }
        call.response.generations.push(generation);
    }
}
