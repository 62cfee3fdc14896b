//! Whole answers of Converse, and of Nova by InvokeModel.

use serde::Deserialize;

use super::{
    super::{
        budget::Budget,
        call::{Call, Generation},
        dialect::Malformed,
        document::Document,
        field::Field,
        finish::Ending,
    },
    request,
    usage::Counts,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    output: Field<'a>,
    #[serde(borrow)]
    stop_reason: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Output<'a> {
    #[serde(borrow)]
    message: Field<'a>,
}

/// Reads the whole body of an answer into the call.
pub(in crate::genai) fn read(
    body: &Document<'_>,
    call: &mut Call,
    budget: &mut Budget,
) -> Result<(), Malformed> {
    let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
    if !answer.output.is_some() && !answer.stop_reason.is_some() {
        return Err(Malformed);
    }
    if let Some(counts) = Counts::of_body(answer.usage, budget) {
        call.usage = counts.usage();
    }
    call.response.service_tier = request::word(answer.service_tier, budget);
    let output: Output<'_> = answer.output.object(budget).unwrap_or_default();
    let message = request::message(output.message, budget).unwrap_or_default();
    let mut generation = Generation { message, ..Generation::default() };
    if generation.message.role.is_empty() {
        "assistant".clone_into(&mut generation.message.role);
    }
    generation.finish(answer.stop_reason.label(budget), Ending::Whole, budget);
    call.response.generations.push(generation);
    Ok(())
}
