//! AI21's Jurassic-2 (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-jurassic2.html>); Jamba speaks as
//! [OpenAI's models](super::openai) do.

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName},
    field::{Field, Kind},
    text,
};

pub(super) static TEXT: Family = Family {
    models: &["ai21.j2"],
    members: &["completions"],
    operation: OperationName::TextCompletion,
    open: words::fold::<Text>,
};

struct Text;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Asked<'a> {
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    num_results: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    completions: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Completion<'a> {
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    finish_reason: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data<'a> {
    #[serde(borrow)]
    text: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FinishReason<'a> {
    #[serde(borrow)]
    reason: Field<'a>,
}

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let request = &mut call.request;
        request.max_tokens = body.max_tokens.integer(budget);
        request.choice_count = body.num_results.integer(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.top_p.number(budget);
        request.stop_sequences = text::stop_sequences(body.stop_sequences, budget);
        words::prompt(body.prompt, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, call: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Answered<'_>>(budget) else { return false };
        // It is a number.
        call.response.id = match body.id.kind() {
            Kind::Number => budget.label(body.id.json()),
            _ => body.id.label(budget),
        };
        let mut index = 0;
        body.completions.each(budget, |item, budget| {
            let Some(completion) = item.object::<Completion<'_>>(budget) else { return };
            let data: Data<'_> = completion.data.object(budget).unwrap_or_default();
            let finish: FinishReason<'_> = completion.finish_reason.object(budget).unwrap_or_default();
            said.text(index, data.text, finish.reason, budget);
            index += 1;
        });
        body.completions.is_some()
    }
}
