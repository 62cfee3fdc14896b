//! Mistral AI's texts (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html>);
//! its newer models speak as [OpenAI's](super::openai) do.

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName},
    field::Field,
    text,
};

pub(super) static TEXT: Family = Family {
    models: &["mistral."],
    members: &["outputs"],
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
    max_tokens: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    outputs: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Output<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let request = &mut call.request;
        request.max_tokens = body.max_tokens.integer(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.top_p.number(budget);
        request.top_k = body.top_k.integer(budget);
        request.stop_sequences = text::stop_sequences(body.stop, budget);
        words::prompt(body.prompt, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Answered<'_>>(budget) else { return false };
        let mut index = 0;
        body.outputs.each(budget, |item, budget| {
            let Some(output) = item.object::<Output<'_>>(budget) else { return };
            said.text(index, output.text, output.stop_reason, budget);
            index += 1;
        });
        body.outputs.is_some()
    }
}
