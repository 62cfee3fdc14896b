//! Requests of Anthropic Messages.

use serde::Deserialize;

use super::block;
use crate::genai::{
    budget::Budget,
    call::{Call, Message, OutputType, Part, ToolDefinition},
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    openai::tool::{schema, whole},
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
    system: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    output_config: Field<'a>,
    /// The beta's name of `output_config.format`.
    #[serde(borrow)]
    output_format: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    effort: Field<'a>,
    #[serde(borrow)]
    format: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Format<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireMessage<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    content: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    /// Absent, or `custom`, for the caller's own.
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    input_schema: Field<'a>,
}

/// Reads a request body into the call. `Ok(false)`: another service's message.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<bool, Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    // The API requires max_tokens too, but a call without it is one of the broken ones that people look for.
    let fits = body.messages.kind() == Kind::Array && body.model.kind() == Kind::Text;
    let config: OutputConfig<'_> = body.output_config.object(budget).unwrap_or_default();
    let request = &mut call.request;
    request.model = body.model.label(budget);
    request.stream = body.stream.flag(budget);
    request.temperature = body.temperature.number(budget);
    request.top_p = body.top_p.number(budget);
    request.top_k = body.top_k.integer(budget);
    request.max_tokens = body.max_tokens.integer(budget);
    request.service_tier = body.service_tier.label(budget);
    request.stop_sequences = text::stop_sequences(body.stop_sequences, budget);
    request.reasoning_level = config.effort.label(budget);
    request.output_type = output_type(config.format.or(body.output_format), budget);
    system(body.system, budget, &mut request.system);
    if body.messages.is_some() {
        body.messages.each(budget, |item, budget| {
            if budget.item()
                && let Some(message) = item.object::<WireMessage<'_>>(budget)
            {
                let role = message.role.label(budget).unwrap_or_default();
                let mut parts = Vec::new();
                block::parts(message.content, budget, &mut parts);
                request.messages.push(Message { role, name: None, parts });
            }
        });
    }
    if body.tools.is_some() {
        body.tools.each(budget, |item, budget| {
            if budget.item()
                && let Some(tool) = item.object::<Tool<'_>>(budget)
            {
                request.tools.push(define(&tool, budget));
            }
        });
    }
    Ok(fits)
}

fn system(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if field.is_some() {
        block::parts(field, budget, out);
    }
}

fn output_type(format: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    let format: Format<'_> = format.object(budget)?;
    match format.kind.label(budget)?.as_str() {
        "json_schema" => Some(OutputType::Json),
        "text" => Some(OutputType::Text),
        _ => {
            budget.unknown += 1;
            None
        }
    }
}

fn define(tool: &Tool<'_>, budget: &mut Budget) -> ToolDefinition {
    let kind = tool.kind.label(budget).filter(|kind| kind != "custom");
    ToolDefinition {
        kind: kind.unwrap_or_else(|| "function".to_owned()),
        name: tool.name.label(budget),
        description: whole(tool.description, budget),
        parameters: schema(tool.input_schema, budget),
    }
}
