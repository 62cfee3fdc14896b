//! OpenAI Realtime (<https://platform.openai.com/docs/api-reference/realtime>), as other providers speak it too: each response in
//! a session is a call. Responses are those of Responses, in events that differ in little.

mod request;

use super::{Carried, Claim, Dialect, Fold, Malformed, openai_responses::stream::Stream};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Provider},
        document::Document,
        field::Field,
        finish::Ending,
        openai::{error, path},
        text,
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct OpenAiRealtime;

impl Dialect for OpenAiRealtime {
    fn name(&self) -> &'static str {
        "openai.realtime"
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        if path::ends_with(&head.path, "/realtime") { Claim::in_sessions(head) } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Realtime { model: model(&head.query), stream: Stream::default() })
    }
}

/// The model that a query names, or the deployment on Azure.
fn model(query: &str) -> Option<String> {
    let named = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, value)| *key == name && !value.is_empty()))
    };
    let (_, value) = named("model").or_else(|| named("deployment"))?;
    text::percent_decode(value)
}

struct Realtime {
    /// The model that the session was opened for.
    model: Option<String>,
    stream: Stream,
}

impl Realtime {
    fn identify(&mut self, call: &mut Call) {
        if let Some(model) = self.model.take() {
            call.request.model = Some(model);
        }
        call.request.stream = Some(true);
    }
}

impl Fold for Realtime {
    /// What a response is asked with are messages.
    fn request(&mut self, body: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<bool, Malformed> {
        if body.is_empty() { Ok(true) } else { Err(Malformed) }
    }

    fn asked(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        request::read(body, call, budget).map(|()| true)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    /// All of an answer is events.
    fn response(&mut self, _: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<(), Malformed> {
        Err(Malformed)
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

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        self.identify(call);
        self.stream.finish(ending, call, budget);
    }
}

#[cfg(test)]
mod tests;
