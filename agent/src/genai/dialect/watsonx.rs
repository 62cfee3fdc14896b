//! IBM watsonx.ai (<https://cloud.ibm.com/apidocs/watsonx-ai>): chat, which answers as Chat Completions do, generation
//! of text, embeddings and reranking. Models are asked for by name, or as deployments.

mod generation;
#[cfg(test)]
mod tests;
mod vectors;

use serde::Deserialize;

pub(super) use self::vectors::{WatsonxEmbeddings, WatsonxRerank};
use super::{Carried, Claim, Dialect, Fold, Malformed, openai_chat::Chat};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::Field,
        finish::Ending,
        openai::{error, path},
    },
    wire::{RequestHead, SseEvent},
};

/// Chat.
pub(super) struct WatsonxChat;

/// Generation of text.
pub(super) struct WatsonxGeneration;

impl Dialect for WatsonxChat {
    fn name(&self) -> &'static str {
        "watsonx.chat"
    }

    fn provider(&self) -> Provider {
        Provider::IbmWatsonxAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        claim(head, "/text/chat")
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Asked { streamed: streamed(head), chat: Chat::of(None).unmarked() })
    }
}

impl Dialect for WatsonxGeneration {
    fn name(&self) -> &'static str {
        "watsonx.generation"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn provider(&self) -> Provider {
        Provider::IbmWatsonxAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        claim(head, "/text/generation")
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(generation::Generated::of(streamed(head)))
    }
}

/// `/ml/v1/text/chat`, `/ml/v1/deployments/ID/text/chat`, and the same with `_stream` behind.
fn claim(head: &RequestHead, end: &str) -> Claim {
    let path = path::trimmed(&head.path);
    let is_mine = path.strip_suffix("_stream").unwrap_or(path).ends_with(end) && path.contains("/ml/v1/");
    if &*head.method == "POST" && is_mine { Claim::Yes } else { Claim::No }
}

/// The path asks for a stream.
fn streamed(head: &RequestHead) -> bool {
    path::ends_with(&head.path, "_stream")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Model<'a> {
    #[serde(borrow)]
    model_id: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Errors<'a> {
    #[serde(borrow)]
    errors: Field<'a>,
}

/// `{"errors": [{code, message}], "trace": ...}`: the first.
fn first_error(body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let told: Errors<'_> = body.object(budget)?;
    let mut first = None;
    told.errors.each(budget, |item, budget| {
        if first.is_none() {
            first = error::detail_of(item, budget);
        }
    });
    first
}

/// Names its model in a way of its own, and is answered as Chat Completions are.
struct Asked {
    streamed: bool,
    chat: Chat,
}

impl Asked {
    /// The path says so also where the body was missed.
    fn identify(&self, call: &mut Call) {
        if self.streamed {
            call.request.stream = Some(true);
        }
    }
}

impl Fold for Asked {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let fits = self.chat.request(body, call, budget)?;
        let wire: Model<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.model = wire.model_id.label(budget);
        Ok(fits)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        first_error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.chat.response(body, call, budget)?;
        if call.response.model.is_none()
            && let Some(wire) = body.object::<Model<'_>>(budget)
        {
            call.response.model = wire.model_id.label(budget);
        }
        Ok(())
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let carried = self.chat.event(event, call, budget)?;
        let failed = &*event.event == "error";
        if !failed && call.response.model.is_some() {
            return Ok(carried);
        }
        let document = Document::read(&event.data);
        if call.response.model.is_none()
            && let Some(wire) = document.object::<Model<'_>>(budget)
        {
            call.response.model = wire.model_id.label(budget);
        }
        if failed {
            call.error = document.root().and_then(|root| first_error(root, budget)).or(call.error.take());
        }
        Ok(carried)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.chat.terminated(call)
    }

    fn ends_with_its_body(&self) -> bool {
        self.chat.ends_with_its_body()
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.identify(call);
        self.chat.finish(ending, damaged, call, budget);
    }
}
