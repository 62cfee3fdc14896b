//! OpenAI Chat Completions, which many providers and gateways speak.

mod request;
mod stream;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, Generation, Provider},
        field::Field,
        finish::Ending,
        openai::{error, message, path, usage},
    },
    wire::{RequestHead, SseEvent},
};

const PATH: &str = "/chat/completions";

/// The dialect.
pub(super) struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai.chat_completions"
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let path = head.path.strip_suffix('/').unwrap_or(&head.path);
        if path.ends_with(PATH) {
            match &*head.method {
                "POST" => Claim::Yes,
                "GET" => Claim::NotInference("stored_completions"),
                _ => Claim::No,
            }
        } else if path.contains("/v1/chat/completions/") {
            // Reading back, changing and deleting what was stored.
            Claim::NotInference("stored_completions")
        } else {
            Claim::No
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Chat { deployment: path::deployment(&head.path, PATH), stream: stream::Stream::default() })
    }
}

struct Chat {
    /// Azure's deployment, which names the model where the body does not.
    deployment: Option<String>,
    stream: stream::Stream,
}

/// A response, or one chunk of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    choices: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    system_fingerprint: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    /// Groq's extension; once the only place of a stream's usage.
    #[serde(borrow)]
    x_groq: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    index: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    delta: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
}

impl Answer<'_> {
    /// What stands in whole responses and in chunks alike. The first value counts: Azure's first chunk has
    /// empty ones.
    fn identify(&self, call: &mut Call, budget: &mut Budget) {
        let response = &mut call.response;
        let fields = [
            (&mut response.id, self.id),
            (&mut response.model, self.model),
            (&mut response.service_tier, self.service_tier),
            (&mut response.system_fingerprint, self.system_fingerprint),
        ];
        for (slot, field) in fields {
            if slot.is_none() {
                *slot = field.label(budget);
            }
        }
    }
}

impl Fold for Chat {
    fn request(&mut self, body: &[u8], call: &mut Call, budget: &mut Budget) -> Result<bool, Malformed> {
        let read = request::read(body, call, budget);
        if call.request.model.is_none() {
            call.request.model = self.deployment.take();
        }
        read.map(|()| true)
    }

    fn response(
        &mut self,
        status: u16,
        body: &[u8],
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        if status >= 400 {
            call.error = error::read(Field::root(body).ok_or(Malformed)?, budget);
            return Ok(());
        }
        let answer: Answer<'_> = Field::body(body, budget).ok_or(Malformed)?;
        answer.identify(call, budget);
        if answer.error.is_some() {
            call.error = Field::root(body).and_then(|root| error::read(root, budget));
        }
        if let Some(usage) = usage::read(answer.usage, budget) {
            call.usage = usage;
        }
        let mut generations = Vec::new();
        answer.choices.each(budget, |item, budget| {
            if !budget.item() {
                return;
            }
            let Some(choice) = item.object::<Choice<'_>>(budget) else { return };
            let index = choice.index.integer(budget).unwrap_or(generations.len() as i64);
            let wire: message::Wire<'_> = choice.message.object(budget).unwrap_or_default();
            let mut generation =
                Generation { message: message::whole(&wire, "assistant", budget), ..Generation::default() };
            generation.finish(choice.finish_reason.label(budget), Ending::Whole, budget);
            generations.push((index, generation));
        });
        generations.sort_by_key(|(index, _)| *index);
        call.response.generations = generations.into_iter().map(|(_, generation)| generation).collect();
        Ok(())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        self.stream.event(event, call, budget)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.stream.terminated(call)
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        if call.request.model.is_none() {
            call.request.model = self.deployment.take();
        }
        self.stream.finish(ending, damaged, call, budget);
    }
}

#[cfg(test)]
mod tests;
