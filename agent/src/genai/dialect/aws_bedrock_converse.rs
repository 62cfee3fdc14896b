//! Amazon Bedrock's Converse and ConverseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        bedrock::{converse, error, path, request, stream},
        budget::Budget,
        call::{Call, CallError, Provider},
        document::Document,
        field::Field,
        finish::Ending,
    },
    wire::{RequestHead, ResponseHead, SseEvent},
};

/// The dialect.
pub(super) struct AwsBedrockConverse;

fn asked(head: &RequestHead) -> Option<path::Asked> {
    path::asked(&head.path, "converse", "converse-stream")
}

impl Dialect for AwsBedrockConverse {
    fn name(&self) -> &'static str {
        "aws.bedrock.converse"
    }

    fn provider(&self) -> Provider {
        Provider::AwsBedrock
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        if asked(head).is_some() {
            path::claim(head)
        } else if path::asked(&head.path, "count-tokens", "count-tokens").is_some() {
            Claim::NotInference("count_tokens")
        } else {
            Claim::No
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Converse { asked: asked(head), ..Converse::default() })
    }
}

#[derive(Default)]
struct Converse {
    /// What the path says.
    asked: Option<path::Asked>,
    stream: stream::Stream,
    /// The error that the head of the answer tells.
    error: Option<String>,
    /// The stream has told one.
    failed: bool,
}

impl Fold for Converse {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        path::identify(self.asked.as_ref(), call);
        request::read(body, call, budget)
    }

    fn head(&mut self, head: &ResponseHead, budget: &mut Budget) {
        self.error = error::of_head(head, budget);
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
        converse::read(body, call, budget)
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        if stream::EVENTS.contains(&&*event.event) {
            let document = Document::read(&event.data);
            let payload = document.root().ok_or(Malformed)?;
            return Ok(self.stream.event(&event.event, payload, call, budget));
        }
        if let Some(error) = error::in_stream(event, budget) {
            self.failed = true;
            call.error = Some(error);
            return Ok(Carried::Data);
        }
        budget.unknown += u64::from(!event.event.is_empty());
        Ok(Carried::Nothing)
    }

    fn terminated(&self, _: &Call) -> bool {
        self.stream.terminated()
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        path::identify(self.asked.as_ref(), call);
        error::settle(self.error.take(), &mut call.error);
        // An error in the stream is why there is no stop reason.
        let ending = if self.failed { Ending::Broken } else { ending };
        self.stream.finish(ending, call, budget);
    }
}

#[cfg(test)]
mod tests;
