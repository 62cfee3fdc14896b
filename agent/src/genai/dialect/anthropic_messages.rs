//! Anthropic Messages.

mod block;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Generation, Message, Provider, Usage},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        google::path as google,
        openai::error::message,
        provider,
    },
    wire::{RequestHead, SseEvent},
};

/// The dialect.
pub(super) struct AnthropicMessages;

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic.messages"
    }

    fn provider(&self) -> Provider {
        Provider::Anthropic
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        const PATH: &str = "/v1/messages";
        // Vertex AI hands the body on as it is.
        match google::published(&head.path, VERTEX) {
            Some((model, "rawPredict")) if model == "count-tokens" => {
                return Claim::NotInference("count_tokens");
            }
            Some((_, method)) if google::raw(method).is_some() && &*head.method == "POST" => {
                return Claim::Yes;
            }
            _ => {}
        }
        let path = head.path.strip_suffix('/').unwrap_or(&head.path);
        // The API requires the version header; recordings and gateways may have lost it.
        let at_home = provider::of_authority(head.authority.as_deref()) == Some(Provider::Anthropic)
            || head.headers.get("anthropic-version").is_some();
        if path.ends_with(PATH) && &*head.method == "POST" {
            // Other services have messages too: there the body decides.
            return if at_home { Claim::Yes } else { Claim::Maybe };
        }
        match path.split_once("/v1/messages/") {
            Some((_, "count_tokens")) => Claim::NotInference("count_tokens"),
            Some((_, rest)) if at_home && rest.split('/').next() == Some("batches") => {
                Claim::NotInference("batches")
            }
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let (model, method) = google::published(&head.path, VERTEX).unzip();
        let streamed = method.and_then(google::raw).unwrap_or(false);
        Box::new(Messages { model, streamed, stream: stream::Stream::default() })
    }
}

/// A fold for bodies that came by another path.
pub(super) fn fold() -> Box<dyn Fold> {
    Box::new(Messages::default())
}

/// Anthropic's name as a publisher at Vertex AI.
const VERTEX: &str = "anthropic";

#[derive(Default)]
struct Messages {
    /// The model of a path that names it.
    model: Option<String>,
    /// The path asks for a stream.
    streamed: bool,
    stream: stream::Stream,
}

impl Messages {
    /// What the path says, which stands also where the body was missed.
    fn identify(&mut self, call: &mut Call) {
        if let Some(model) = self.model.take() {
            call.request.model = Some(model);
        }
        if self.streamed {
            call.request.stream = Some(true);
        }
    }
}

/// A whole message, or the one in `message_start`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    /// What Vertex AI says itself is in Google's form.
    #[serde(borrow)]
    status: Field<'a>,
}

/// `{"type": "error", "error": {type, message}}`.
fn error(root: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let envelope: Envelope<'_> = root.object(budget)?;
    let detail: Detail<'_> = envelope.error.object(budget)?;
    let provider_type = detail.kind.or(detail.status).label(budget);
    let kind = provider_type.clone().unwrap_or_default();
    Some(CallError { kind, provider_type, message: message(detail.message, budget), ..CallError::default() })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UsageFields<'a> {
    #[serde(borrow)]
    input_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens: Field<'a>,
    #[serde(borrow)]
    cache_creation_input_tokens: Field<'a>,
    #[serde(borrow)]
    cache_read_input_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens_details: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails<'a> {
    #[serde(borrow)]
    thinking_tokens: Field<'a>,
}

/// Tokens as this API reports them: cached ones beside `input`. Later reports are cumulative, and may leave
/// out what has not changed.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    input: Option<i64>,
    output: Option<i64>,
    cache_write: Option<i64>,
    cache_read: Option<i64>,
    reasoning: Option<i64>,
}

impl Counts {
    fn update(&mut self, usage: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(fields) = usage.object::<UsageFields<'_>>(budget) else { return };
        let details: OutputDetails<'_> = fields.output_tokens_details.object(budget).unwrap_or_default();
        let slots = [
            (&mut self.input, fields.input_tokens),
            (&mut self.output, fields.output_tokens),
            (&mut self.cache_write, fields.cache_creation_input_tokens),
            (&mut self.cache_read, fields.cache_read_input_tokens),
            (&mut self.reasoning, details.thinking_tokens),
        ];
        for (slot, field) in slots {
            *slot = field.count(budget).or(*slot);
        }
        if let Some(tier) = fields.service_tier.label(budget) {
            call.response.service_tier = Some(tier);
        }
    }

    fn usage(self, partial: bool) -> Usage {
        let cached = self.cache_write.unwrap_or(0).checked_add(self.cache_read.unwrap_or(0));
        Usage {
            input: self.input.and_then(|input| input.checked_add(cached?)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            reasoning: self.reasoning,
            partial: partial && (self.input.is_some() || self.output.is_some()),
            ..Usage::default()
        }
    }
}

impl Fold for Messages {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let fits = request::read(body, call, budget);
        self.identify(call);
        fits
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let root = body.root().ok_or(Malformed)?;
        let answer: Answer<'_> = root.object(budget).ok_or(Malformed)?;
        match answer.kind.text(budget).as_deref() {
            Some("message") => {}
            Some("error") => {
                call.error = error(root, budget);
                return Ok(());
            }
            _ => return Err(Malformed),
        }
        call.response.id = answer.id.label(budget);
        call.response.model = answer.model.label(budget);
        let mut counts = Counts::default();
        counts.update(answer.usage, call, budget);
        call.usage = counts.usage(false);
        let role = answer.role.label(budget).unwrap_or_else(|| "assistant".to_owned());
        let mut parts = Vec::new();
        if answer.content.kind() != Kind::Absent {
            block::parts(answer.content, budget, &mut parts);
        }
        let mut generation =
            Generation { message: Message { role, name: None, parts }, ..Generation::default() };
        generation.finish(answer.stop_reason.label(budget), Ending::Whole, budget);
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

    fn finish(&mut self, ending: Ending, _damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.identify(call);
        self.stream.finish(ending, call, budget);
    }
}
