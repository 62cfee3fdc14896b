//! Requests of Cohere's chat, version 2.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::{Call, OutputType},
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    openai::{message, tool},
    text,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    messages: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    p: Field<'a>,
    #[serde(borrow)]
    k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
    #[serde(borrow)]
    response_format: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

/// Reads a request body into the call. `Ok(false)`: another service's chat.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<bool, Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    let fits = body.messages.kind() == Kind::Array && body.model.kind() == Kind::Text;
    let request = &mut call.request;
    request.model = body.model.label(budget);
    request.stream = body.stream.flag(budget);
    request.temperature = body.temperature.number(budget);
    request.top_p = body.p.number(budget);
    request.top_k = body.k.integer(budget);
    request.frequency_penalty = body.frequency_penalty.number(budget);
    request.presence_penalty = body.presence_penalty.number(budget);
    request.max_tokens = body.max_tokens.integer(budget);
    request.seed = body.seed.integer(budget);
    request.stop_sequences = text::stop_sequences(body.stop_sequences, budget);
    request.output_type = output_type(body.response_format, budget);
    if body.messages.is_some() {
        message::conversation(body.messages, budget, &mut request.messages);
    }
    if body.tools.is_some() {
        tool::definitions(body.tools, budget, &mut request.tools);
    }
    Ok(fits)
}

/// `{"type": "json_object"}`, with or without a schema.
pub(in super::super) fn output_type(format: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    let format: Format<'_> = format.object(budget)?;
    match format.kind.label(budget)?.as_str() {
        "json_object" => Some(OutputType::Json),
        "text" => Some(OutputType::Text),
        _ => {
            budget.unknown += 1;
            None
        }
    }
}
