//! Anthropic's models
//! (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html>): Messages, without the
//! model, and the older text completions.

use serde::Deserialize;

use super::{
    super::anthropic_messages,
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName},
    field::Field,
    text,
};

pub(super) static MESSAGES: Family = Family {
    models: &["anthropic."],
    members: &["anthropic_version", "type"],
    operation: OperationName::Chat,
    open: anthropic_messages::fold,
};

pub(super) static TEXT: Family = Family {
    models: &["anthropic."],
    members: &["max_tokens_to_sample", "completion"],
    operation: OperationName::TextCompletion,
    open: words::fold::<Text>,
};

struct Text;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked<'a> {
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    max_tokens_to_sample: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    completion: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let request = &mut call.request;
        request.max_tokens = body.max_tokens_to_sample.integer(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.top_p.number(budget);
        request.top_k = body.top_k.integer(budget);
        request.stop_sequences = text::stop_sequences(body.stop_sequences, budget);
        words::prompt(body.prompt, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Answered<'_>>(budget) else { return false };
        let fits = body.completion.is_some();
        if fits {
            said.text(0, body.completion, body.stop_reason, budget);
        }
        fits
    }
}
