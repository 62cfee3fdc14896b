//! OpenAI Chat Completions, which many providers and gateways speak.

mod request;
mod stream;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Generation, Provider},
        field::Field,
        finish::Ending,
        openai::{answer, error, message, path, usage},
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
        if path::ends_with(&head.path, PATH) {
            match &*head.method {
                "POST" => Claim::Yes,
                "GET" => Claim::NotInference("stored_completions"),
                _ => Claim::No,
            }
        } else if path::trimmed(&head.path).contains("/v1/chat/completions/") {
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

/// A fold for bodies that came by another path.
pub(super) fn fold() -> Box<dyn Fold> {
    Box::new(Chat { deployment: None, stream: stream::Stream::default() })
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
    /// Mistral's name of it at Bedrock. Others (vLLM) have both.
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl<'a> Choice<'a> {
    fn reason(&self) -> Field<'a> {
        self.finish_reason.or(self.stop_reason)
    }
}

impl Answer<'_> {
    /// What stands in whole responses and in chunks alike.
    fn identify(&self, call: &mut Call, budget: &mut Budget) {
        let response = &mut call.response;
        let slots = [
            (&mut response.id, self.id),
            (&mut response.model, self.model),
            (&mut response.service_tier, self.service_tier),
            (&mut response.system_fingerprint, self.system_fingerprint),
        ];
        answer::identify(slots, budget);
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

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    fn response(&mut self, body: &[u8], call: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
        let answer: Answer<'_> = Field::body(body, budget).ok_or(Malformed)?;
        answer.identify(call, budget);
        if answer.error.is_some() {
            call.error = Field::root(body).and_then(|root| error::read(root, budget));
        }
        if let Some(usage) = usage::read(answer.usage, budget) {
            call.usage = usage;
        }
        call.response.generations = answer::choices(
            answer.choices,
            budget,
            |choice: &Choice<'_>| choice.index,
            |choice, budget| {
                let wire: message::Wire<'_> = choice.message.object(budget).unwrap_or_default();
                let message = message::whole(&wire, "assistant", budget);
                let mut generation = Generation { message, ..Generation::default() };
                generation.finish(choice.reason().label(budget), Ending::Whole, budget);
                generation
            },
        );
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
