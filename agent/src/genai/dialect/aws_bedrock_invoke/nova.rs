//! Amazon Nova (<https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html>), whose bodies are nearly those of
//! Converse, and its embeddings (<https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html>).

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::{
    genai::{
        bedrock::{converse, request, stream},
        budget::Budget,
        call::{Call, CallError, OperationName},
        dialect::{Carried, Fold, Malformed},
        document::Document,
        field::Field,
        finish::Ending,
    },
    wire::SseEvent,
};

pub(super) static CHAT: Family = Family {
    models: &["amazon.nova-"],
    members: &["schemaVersion", "inferenceConfig", "output", "messageStart", "contentBlockDelta"],
    operation: OperationName::Chat,
    open: || Box::new(Chat { stream: stream::Stream::of_nova() }),
};

pub(super) static EMBEDDINGS: Family = Family {
    models: &["amazon.nova-2-multimodal-embeddings"],
    members: &["singleEmbeddingParams", "segmentedEmbeddingParams"],
    operation: OperationName::Embeddings,
    open: words::fold::<Embeddings>,
};

struct Chat {
    stream: stream::Stream,
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

    /// Errors are Bedrock's.
    fn error(&self, _: Field<'_>, _: &mut Budget) -> Option<CallError> {
        None
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        converse::read(body, call, budget)
    }

    /// Chunks have the event by its name.
    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        let document = Document::read(&event.data);
        let chunk: Chunk<'_> = document.object(budget).ok_or(Malformed)?;
        let payloads = [
            chunk.message_start,
            chunk.content_block_start,
            chunk.content_block_delta,
            chunk.content_block_stop,
            chunk.message_stop,
            chunk.metadata,
        ];
        let mut carried = Carried::Data;
        for (kind, payload) in stream::EVENTS.into_iter().zip(payloads) {
            if payload.is_some() && self.stream.event(kind, payload, call, budget) == Carried::Content {
                carried = Carried::Content;
            }
        }
        Ok(carried)
    }

    fn terminated(&self, _: &Call) -> bool {
        self.stream.terminated()
    }

    fn finish(&mut self, ending: Ending, _: bool, call: &mut Call, budget: &mut Budget) {
        self.stream.finish(ending, call, budget);
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow)]
    message_start: Field<'a>,
    #[serde(borrow)]
    content_block_start: Field<'a>,
    #[serde(borrow)]
    content_block_delta: Field<'a>,
    #[serde(borrow)]
    content_block_stop: Field<'a>,
    #[serde(borrow)]
    message_stop: Field<'a>,
    #[serde(borrow)]
    metadata: Field<'a>,
}

struct Embeddings;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(alias = "segmentedEmbeddingParams", borrow)]
    single_embedding_params: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    embedding_dimension: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    embeddings: Field<'a>,
}

impl Words for Embeddings {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let parameters: Parameters<'_> = body.single_embedding_params.object(budget).unwrap_or_default();
        call.request.dimensions = parameters.embedding_dimension.integer(budget);
    }

    fn answered(body: Field<'_>, _: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        body.object::<Answered<'_>>(budget).is_some_and(|body| body.embeddings.is_some())
    }
}
