//! OpenAI Responses (<https://platform.openai.com/docs/api-reference/responses>), over HTTP and as messages of a WebSocket.

mod fetch;
pub(super) mod item;
mod request;
pub(super) mod stream;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, opens_session};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, FinishReason, Generation, Message, Part, Provider, Usage},
        document::Document,
        field::{Field, Kind},
        finish::{self, Ending},
        openai::{error, path},
        provider,
    },
    wire::{RequestHead, SseEvent},
};

pub(super) use fetch::OpenAiFetchResponse;

/// The dialect.
pub(super) struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai.responses"
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        if !path::ends_with(&head.path, "/responses") {
            return Claim::No;
        }
        match &*head.method {
            _ if head.session.is_some() => Claim::Yes,
            _ if opens_session(head) => Claim::Session,
            // Other services have responses too, to surveys for one.
            "POST" if provider::is_named(head) => Claim::Yes,
            "POST" => Claim::Maybe,
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Responses { session: head.session.is_some(), stream: stream::Stream::default() })
    }
}

struct Responses {
    /// It is a message of a session, where every answer is a stream.
    session: bool,
    stream: stream::Stream,
}

/// A response, whole or as an event has it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    object: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow)]
    incomplete_details: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    #[serde(borrow)]
    output: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    conversation: Field<'a>,
    /// Realtime's: why it is incomplete, or what failed.
    #[serde(borrow)]
    status_details: Field<'a>,
    #[serde(borrow)]
    conversation_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    #[serde(borrow)]
    input_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens: Field<'a>,
    /// Without the plural in Realtime.
    #[serde(alias = "input_token_details", borrow)]
    input_tokens_details: Field<'a>,
    #[serde(alias = "output_token_details", borrow)]
    output_tokens_details: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(rename = "cached_tokens", borrow)]
    cached: Field<'a>,
    #[serde(rename = "cache_write_tokens", borrow)]
    cache_write: Field<'a>,
    #[serde(rename = "reasoning_tokens", borrow)]
    reasoning: Field<'a>,
    #[serde(rename = "audio_tokens", borrow)]
    audio: Field<'a>,
}

/// A `usage` object. Cached tokens are within `input_tokens`, and reasoning within `output_tokens`.
pub(super) fn usage(field: Field<'_>, budget: &mut Budget) -> Option<Usage> {
    let counts: Counts<'_> = field.object(budget)?;
    let input: Details<'_> = counts.input_tokens_details.object(budget).unwrap_or_default();
    let output: Details<'_> = counts.output_tokens_details.object(budget).unwrap_or_default();
    Some(Usage {
        input: counts.input_tokens.count(budget),
        output: counts.output_tokens.count(budget),
        cache_read: input.cached.count(budget),
        cache_write: input.cache_write.count(budget),
        reasoning: output.reasoning.count(budget),
        audio_input: input.audio.count(budget),
        audio_output: output.audio.count(budget),
        partial: false,
    })
}

/// How a response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Completed,
    /// Why, in the provider's word.
    Incomplete(Option<String>),
    /// Failed or cancelled, in the provider's word.
    Failed(String),
    /// It is still to come: it was asked for in the background.
    Pending,
}

impl Answer<'_> {
    /// What stands in every response. Until it is over, the service tier is the one that was asked for.
    fn identify(&self, over: bool, call: &mut Call, budget: &mut Budget) {
        let response = &mut call.response;
        let tier = if over { self.service_tier } else { Field::default() };
        let fields = [
            (&mut response.id, self.id),
            (&mut response.model, self.model),
            (&mut response.service_tier, tier),
        ];
        for (slot, field) in fields {
            if let Some(value) = field.label(budget) {
                *slot = Some(value);
            }
        }
        if call.request.conversation_id.is_none() {
            call.request.conversation_id =
                request::conversation(self.conversation.or(self.conversation_id), budget);
        }
        if let Some(usage) = usage(self.usage, budget) {
            call.usage = usage;
        }
        let mut failure = self.error;
        if failure.kind() != Kind::Object && self.status_details.kind() == Kind::Object {
            failure = self.status_details.object::<Incomplete<'_>>(budget).unwrap_or_default().error;
        }
        if failure.kind() == Kind::Object {
            call.error = error::detail_of(failure, budget);
        }
    }

    fn status(&self, budget: &mut Budget) -> Option<Status> {
        let status = self.status.label(budget)?;
        Some(match status.as_str() {
            "completed" => Status::Completed,
            "incomplete" => {
                let details = self.incomplete_details.or(self.status_details);
                let details: Incomplete<'_> = details.object(budget).unwrap_or_default();
                Status::Incomplete(details.reason.label(budget))
            }
            "failed" | "cancelled" => Status::Failed(status),
            "queued" | "in_progress" => Status::Pending,
            _ => {
                budget.unknown += 1;
                return None;
            }
        })
    }

    /// The items of the output.
    fn output(&self, budget: &mut Budget) -> Output {
        let mut output = Output::default();
        if self.output.is_some() {
            self.output.each(budget, |item, budget| output.item(item, budget));
        }
        output
    }
}

/// What the model made: all items of a response are parts of one message.
#[derive(Default)]
struct Output {
    parts: Vec<Part>,
    /// The last item is for the client to do.
    calls: bool,
}

impl Output {
    fn item(&mut self, item: Field<'_>, budget: &mut Budget) {
        let message = item::read(item, budget);
        if let Some(message) = message {
            self.calls = matches!(message.parts.last(), Some(Part::ToolCall { .. }));
            self.parts.extend(message.parts);
        }
    }

    /// The one choice of a response that ended like this.
    fn generation(self, status: Option<Status>, ending: Ending, budget: &mut Budget) -> Generation {
        let (finish_reason, provider_finish_reason) = match status {
            Some(Status::Completed) => {
                let reason = if self.calls { FinishReason::ToolCall } else { FinishReason::Stop };
                (Some(reason), Some("completed".to_owned()))
            }
            Some(Status::Incomplete(Some(reason))) => {
                (Some(finish::normalise(&reason, budget)), Some(reason))
            }
            Some(Status::Incomplete(None)) => (None, Some("incomplete".to_owned())),
            Some(Status::Failed(word)) => (Some(FinishReason::Error), Some(word)),
            Some(Status::Pending) | None => ((ending == Ending::Broken).then_some(FinishReason::Error), None),
        };
        let message = Message { role: "assistant".to_owned(), name: None, parts: self.parts };
        Generation { finish_reason, provider_finish_reason, message }
    }
}

impl Fold for Responses {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let fits = request::read(body, call, budget)?;
        if self.session {
            call.request.stream = Some(true);
        }
        Ok(fits)
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
        if answer.object.label(budget).as_deref() != Some("response") && !answer.output.is_some() {
            return Err(Malformed);
        }
        let status = answer.status(budget);
        answer.identify(status != Some(Status::Pending), call, budget);
        if status != Some(Status::Pending) {
            let output = answer.output(budget);
            call.response.generations = vec![output.generation(status, Ending::Whole, budget)];
        }
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

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        self.stream.finish(ending, call, budget);
    }
}

#[cfg(test)]
mod tests;
