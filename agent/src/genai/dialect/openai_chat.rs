//! OpenAI Chat Completions, which many providers and gateways speak.

mod request;
mod stream;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Generation, Provider},
        document::Document,
        field::Field,
        finish::Ending,
        google::path as google,
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
        } else if published(head).is_some() && &*head.method == "POST" {
            Claim::Yes
        } else {
            Claim::No
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        match published(head) {
            Some((model, streamed)) => Box::new(Chat { streamed, ..Chat::of(Some(model)) }),
            None => Box::new(Chat::of(path::deployment(&head.path, PATH))),
        }
    }
}

/// Vertex AI hands requests to the models of Mistral and AI21 on as they are: the model, and whether a stream is asked for.
fn published(head: &RequestHead) -> Option<(String, bool)> {
    let of = |publisher| google::published(&head.path, publisher);
    let (model, method) = of("mistralai").or_else(|| of("ai21"))?;
    Some((model, google::raw(method)?))
}

/// The fold of this dialect and of those that share its answers.
pub(super) struct Chat {
    /// Azure's deployment, or the model of another path, which names the model where the body does not.
    deployment: Option<String>,
    /// The path is no sign of this API: the bodies have to look like it.
    unsure: bool,
    /// The path asks for a stream.
    streamed: bool,
    /// Streams end with their body.
    unmarked: bool,
    stream: stream::Stream,
}

impl Chat {
    pub(super) fn of(deployment: Option<String>) -> Self {
        let stream = stream::Stream::default();
        Self { deployment, unsure: false, streamed: false, unmarked: false, stream }
    }

    /// For a path that others have too.
    pub(super) fn unsure(self) -> Self {
        Self { unsure: true, ..self }
    }

    /// For streams that don't say that they are over.
    pub(super) fn unmarked(self) -> Self {
        Self { unmarked: true, ..self }
    }
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
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let read = request::read(body, call, budget);
        if call.request.model.is_none() {
            call.request.model = self.deployment.take();
        }
        let request = &mut call.request;
        if self.streamed {
            request.stream = Some(true);
        }
        read.map(|()| !self.unsure || request.model.is_some() && !request.messages.is_empty())
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
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        answer.identify(call, budget);
        if answer.error.is_some() {
            call.error = body.root().and_then(|root| error::read(root, budget));
        } else if self.unsure && !answer.choices.is_some() {
            return Err(Malformed);
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

    fn ends_with_its_body(&self) -> bool {
        self.unmarked
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
