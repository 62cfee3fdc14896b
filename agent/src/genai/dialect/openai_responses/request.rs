//! Requests of Responses.

use serde::Deserialize;

use super::item;
use crate::genai::{
    budget::Budget,
    call::{Call, Message, OutputType, Part},
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    openai::tool,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    instructions: Field<'a>,
    /// A stored prompt, which may name the model.
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    /// vLLM.
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    max_output_tokens: Field<'a>,
    #[serde(borrow)]
    reasoning: Field<'a>,
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    conversation: Field<'a>,
    #[serde(borrow)]
    previous_response_id: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoning<'a> {
    #[serde(borrow)]
    effort: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Text<'a> {
    #[serde(borrow)]
    format: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    id: Field<'a>,
}

/// Reads a request body into the call; false if it asks for nothing.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<bool, Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    if !body.model.is_some() && !body.input.is_some() && !body.prompt.is_some() {
        return Ok(false);
    }
    let request = &mut call.request;
    request.model = body.model.label(budget);
    request.stream = body.stream.flag(budget);
    request.temperature = body.temperature.number(budget);
    request.top_p = body.top_p.number(budget);
    request.top_k = body.top_k.integer(budget);
    request.frequency_penalty = body.frequency_penalty.number(budget);
    request.presence_penalty = body.presence_penalty.number(budget);
    request.max_tokens = body.max_output_tokens.integer(budget);
    let reasoning: Reasoning<'_> = body.reasoning.object(budget).unwrap_or_default();
    request.reasoning_level = reasoning.effort.label(budget);
    request.output_type = output_type(body.text, budget);
    request.service_tier = body.service_tier.label(budget);
    request.conversation_id = conversation(body.conversation, budget);
    request.previous_response_id = body.previous_response_id.label(budget);
    instructions(body.instructions, budget, &mut request.system);
    match body.input.kind() {
        Kind::Absent => {}
        Kind::Array => body.input.each(budget, |field, budget| {
            if let Some(message) = item::read(field, budget) {
                request.messages.push(message);
            }
        }),
        _ => {
            if let Some(content) = body.input.content(budget)
                && budget.item()
            {
                let parts = vec![Part::Text(content)];
                request.messages.push(Message { role: "user".to_owned(), name: None, parts });
            }
        }
    }
    if body.tools.is_some() {
        tool::definitions(body.tools, budget, &mut request.tools);
    }
    Ok(true)
}

/// A text, or items as `input` has them.
fn instructions(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if field.kind() == Kind::Array {
        field.each(budget, |field, budget| {
            out.extend(item::read(field, budget).into_iter().flat_map(|message| message.parts));
        });
    } else if let Some(content) = field.content(budget)
        && budget.item()
    {
        out.push(Part::Text(content));
    }
}

/// A conversation's id: the text itself, or in an object.
pub(super) fn conversation(field: Field<'_>, budget: &mut Budget) -> Option<String> {
    match field.kind() {
        Kind::Object => field.object::<Named<'_>>(budget)?.id.label(budget),
        _ => field.label(budget),
    }
}

fn output_type(text: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    let text: Text<'_> = text.object(budget)?;
    let format: Typed<'_> = text.format.object(budget)?;
    match format.kind.label(budget)?.as_str() {
        "text" => Some(OutputType::Text),
        "json_object" | "json_schema" => Some(OutputType::Json),
        _ => {
            budget.unknown += 1;
            None
        }
    }
}
