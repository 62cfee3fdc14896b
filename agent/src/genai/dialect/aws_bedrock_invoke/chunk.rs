//! Chunks of InvokeModelWithResponseStream
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_PayloadPart.html>), and what Bedrock adds to bodies.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{
    genai::{
        bedrock::error, budget::Budget, call::CallError, dialect::Malformed, document::Document, field::Field,
    },
    wire::SseEvent,
};

/// What a message of the stream is.
pub(super) enum Chunk {
    /// A piece of the model's answer.
    Payload(Vec<u8>),
    /// The stream has failed.
    Failed(CallError),
    /// Nothing that is known.
    Nothing,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PayloadPart<'a> {
    #[serde(borrow)]
    bytes: Field<'a>,
}

impl Chunk {
    pub(super) fn of(event: &SseEvent, budget: &mut Budget) -> Result<Self, Malformed> {
        if &*event.event == "chunk" {
            let document = Document::read(&event.data);
            let part: PayloadPart<'_> = document.object(budget).ok_or(Malformed)?;
            let bytes = part.bytes.text(budget).ok_or(Malformed)?;
            return STANDARD.decode(bytes.as_bytes()).map(Self::Payload).map_err(|_| Malformed);
        }
        if let Some(error) = error::in_stream(event, budget) {
            return Ok(Self::Failed(error));
        }
        budget.unknown += u64::from(!event.event.is_empty());
        Ok(Self::Nothing)
    }
}

/// Members that are Bedrock's own, in the model's body.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Added<'a> {
    #[serde(rename = "amazon-bedrock-guardrailAction", borrow)]
    pub(super) guardrail_action: Field<'a>,
    #[serde(rename = "amazon-bedrock-invocationMetrics", borrow)]
    pub(super) metrics: Field<'a>,
}

/// What Bedrock has added to a body. Most have nothing, and are not looked through for it.
pub(super) fn added<'a>(body: &'a Document<'_>, budget: &mut Budget) -> Option<Added<'a>> {
    memchr::memmem::find(body.bytes(), b"\"amazon-bedrock-")?;
    body.object(budget)
}
