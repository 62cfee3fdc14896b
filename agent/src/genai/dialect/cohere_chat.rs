//! Cohere's chat, version 2 (<https://docs.cohere.com/reference/chat>,
//! <https://docs.cohere.com/reference/chat-stream>).

mod request;
mod stream;
#[cfg(test)]
mod tests;

use serde::Deserialize;

pub(super) use self::request::output_type;
use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Generation, Provider},
        cohere,
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{message, path},
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct CohereChat;

impl Dialect for CohereChat {
    fn name(&self) -> &'static str {
        "cohere.chat"
    }

    fn provider(&self) -> Provider {
        Provider::Cohere
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // Others may have such a path too.
        Claim::of_post(head, path::ends_with(&head.path, "/v2/chat"), cohere::at_home)
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Chat::default())
    }
}

#[derive(Default)]
struct Chat {
    stream: stream::Stream,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
}

impl Fold for Chat {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        request::read(body, call, budget)
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
        if answer.message.kind() != Kind::Object {
            return Err(Malformed);
        }
        call.response.id = answer.id.label(budget);
        if let Some(usage) = cohere::usage(answer.usage, budget) {
            call.usage = usage;
        }
        let wire: message::Wire<'_> = answer.message.object(budget).unwrap_or_default();
        let message = message::whole(&wire, "assistant", budget);
        let mut generation = Generation { message, ..Generation::default() };
        generation.finish(answer.finish_reason.label(budget), Ending::Whole, budget);
        call.response.generations.push(generation);
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

    fn terminated(&self, _: &Call) -> bool {
        self.stream.terminated()
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.stream.finish(ending, damaged, call, budget);
    }
}
