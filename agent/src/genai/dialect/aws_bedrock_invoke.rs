//! Amazon Bedrock's InvokeModel and InvokeModelWithResponseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>): bodies in the form of the model's
//! own API, which the [families](family::FAMILIES) read.

mod ai21;
mod anthropic;
mod chunk;
mod cohere;
mod family;
mod llama;
mod mistral;
mod nova;
mod openai;
mod titan;
mod words;

use self::{chunk::Chunk, family::Family};
use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        bedrock::{error, path, usage::Counts},
        budget::Budget,
        call::{Call, CallError, FinishReason, Generation, Provider},
        document::Document,
        field::Field,
        finish::Ending,
    },
    wire::{RequestHead, ResponseHead, SseEvent},
};

/// The dialect.
pub(super) struct AwsBedrockInvoke;

fn asked(head: &RequestHead) -> Option<path::Asked> {
    path::asked(&head.path, "invoke", "invoke-with-response-stream")
}

impl Dialect for AwsBedrockInvoke {
    fn name(&self) -> &'static str {
        "aws.bedrock.invoke_model"
    }

    fn provider(&self) -> Provider {
        Provider::AwsBedrock
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        match asked(head) {
            Some(asked) if !family::makes_other_things(&asked.model) => path::claim(head),
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Invoke { asked: asked(head), ..Invoke::default() })
    }
}

#[derive(Default)]
struct Invoke {
    /// What the path says.
    asked: Option<path::Asked>,
    /// Reads the bodies, once it is known whose they are.
    family: Option<Box<dyn Fold>>,
    /// What Bedrock has counted itself.
    counts: Counts,
    /// The error that the head of the answer tells.
    error: Option<String>,
    /// The stream has told one.
    failed: bool,
    /// The stream has come to what Bedrock adds to its end.
    over: bool,
    /// A guardrail has changed or blocked the answer.
    intervened: bool,
}

impl Invoke {
    /// Finds out whose body this is.
    fn identify(&mut self, body: Field<'_>, call: &mut Call) {
        if self.family.is_none() {
            let model = self.asked.as_ref().map_or("", |asked| &asked.model);
            if let Some(Family { open, operation, .. }) = family::of(model, body) {
                call.operation = *operation;
                self.family = Some(open());
            }
        }
    }

    /// What Bedrock adds to the model's answer.
    fn take_added(&mut self, chunk: &Document<'_>, budget: &mut Budget) {
        let Some(added) = chunk::added(chunk, budget) else { return };
        self.intervened |= added.guardrail_action.text(budget).as_deref() == Some("INTERVENED");
        if let Some(counts) = Counts::of_metrics(added.metrics, budget) {
            (self.counts, self.over) = (counts, true);
        }
    }
}

impl Fold for Invoke {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        path::identify(self.asked.as_ref(), call);
        // The API takes any body, also none, and lets the model judge it.
        if body.is_empty() {
            return Ok(false);
        }
        self.identify(body.root().ok_or(Malformed)?, call);
        let Some(family) = &mut self.family else { return Ok(false) };
        let read = family.request(body, call, budget);
        path::identify(self.asked.as_ref(), call);
        read.map(|_| true)
    }

    fn head(&mut self, head: &ResponseHead, budget: &mut Budget) {
        self.error = error::of_head(head, budget);
        self.counts = Counts::of_head(&head.headers);
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, self.error.as_deref(), budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.identify(body.root().ok_or(Malformed)?, call);
        self.take_added(body, budget);
        let Some(family) = &mut self.family else {
            budget.unknown += 1;
            return Ok(());
        };
        family.response(body, call, budget)
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let payload = match Chunk::of(event, budget)? {
            Chunk::Payload(payload) => payload,
            Chunk::Failed(error) => {
                self.failed = true;
                call.error = Some(error);
                return Ok(Carried::Data);
            }
            Chunk::Nothing => return Ok(Carried::Nothing),
        };
        let document = Document::read(&payload);
        self.take_added(&document, budget);
        self.identify(document.root().ok_or(Malformed)?, call);
        let Some(family) = &mut self.family else {
            budget.unknown += 1;
            return Ok(Carried::Data);
        };
        let event = SseEvent { event: Box::default(), data: payload.into() };
        family.event(&event, call, budget)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.over || self.family.as_ref().is_some_and(|family| family.terminated(call))
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        path::identify(self.asked.as_ref(), call);
        error::settle(self.error.take(), &mut call.error);
        if self.family.is_none() {
            let known = self.asked.as_ref().and_then(|asked| family::operation(&asked.model));
            call.operation = known.unwrap_or(call.operation);
        }
        if let Some(family) = &mut self.family {
            // An error in the stream is why there is no stop reason.
            let ending = if self.failed { Ending::Broken } else { ending };
            family.finish(ending, damaged, call, budget);
        }
        self.counts.complete(&mut call.usage);
        if self.over {
            // These are the totals, whatever else was lost.
            call.usage.partial = false;
        }
        if self.intervened {
            // An answer that broke off has ended for another reason.
            let ended = |generation: &&mut Generation| generation.provider_finish_reason.is_some();
            for generation in call.response.generations.iter_mut().filter(ended) {
                generation.finish_reason = Some(FinishReason::ContentFilter);
            }
        }
    }
}

#[cfg(test)]
mod tests;
