//! Meta's Llama (<https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html>).

use serde::Deserialize;

use super::{
    family::Family,
    words::{self, Said, Words},
};
use crate::genai::{
    budget::Budget,
    call::{Call, OperationName},
    field::Field,
};

pub(super) static TEXT: Family = Family {
    models: &["meta."],
    members: &["max_gen_len", "generation", "prompt_token_count"],
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
    max_gen_len: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
}

/// A whole answer, or a chunk: its counts are those of all until then.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered<'a> {
    #[serde(borrow)]
    generation: Field<'a>,
    #[serde(borrow)]
    prompt_token_count: Field<'a>,
    #[serde(borrow)]
    generation_token_count: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
}

impl Words for Text {
    fn asked(body: Field<'_>, call: &mut Call, budget: &mut Budget) {
        let Some(body) = body.object::<Asked<'_>>(budget) else { return };
        let request = &mut call.request;
        request.max_tokens = body.max_gen_len.integer(budget);
        request.temperature = body.temperature.number(budget);
        request.top_p = body.top_p.number(budget);
        words::prompt(body.prompt, call, budget);
    }

    fn answered(body: Field<'_>, said: &mut Said, _: &mut Call, budget: &mut Budget) -> bool {
        let Some(body) = body.object::<Answered<'_>>(budget) else { return false };
        Said::count(&mut said.input, body.prompt_token_count, budget);
        Said::count(&mut said.output, body.generation_token_count, budget);
        let fits = body.generation.is_some();
        if fits {
            said.text(0, body.generation, body.stop_reason, budget);
        }
        fits
    }
}
