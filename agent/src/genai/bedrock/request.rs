//! Requests of Converse (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>), and of Nova
//! by InvokeModel, which are nearly the same.

use serde::Deserialize;

use super::{
    super::{
        budget::Budget,
        call::{Call, Message, OutputType, Request, ToolDefinition},
        dialect::Malformed,
        document::Document,
        field::{Field, Kind},
        openai::tool::{schema, whole},
        text,
    },
    content,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    messages: Field<'a>,
    #[serde(borrow)]
    system: Field<'a>,
    #[serde(borrow)]
    inference_config: Field<'a>,
    #[serde(borrow)]
    tool_config: Field<'a>,
    #[serde(borrow)]
    additional_model_request_fields: Field<'a>,
    #[serde(borrow)]
    output_config: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
}

/// Nova has names of its own for some.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Inference<'a> {
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(rename = "max_new_tokens", borrow)]
    max_new_tokens: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    stop_sequences: Field<'a>,
    #[serde(borrow)]
    reasoning_config: Field<'a>,
}

/// What goes to the model as it is, in the model's own words.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Additional<'a> {
    #[serde(alias = "topK", borrow)]
    top_k: Field<'a>,
    #[serde(rename = "inferenceConfig", borrow)]
    inference_config: Field<'a>,
    #[serde(borrow)]
    output_config: Field<'a>,
    #[serde(alias = "reasoningConfig", borrow)]
    reasoning_config: Field<'a>,
    #[serde(borrow)]
    reasoning_effort: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reasoning<'a> {
    #[serde(borrow)]
    max_reasoning_effort: Field<'a>,
    #[serde(borrow)]
    effort: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OutputConfig<'a> {
    #[serde(borrow)]
    text_format: Field<'a>,
}

/// A word for one of several forms, or for a tier.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Typed<'a> {
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
struct ToolConfig<'a> {
    #[serde(borrow)]
    tools: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Tool<'a> {
    #[serde(borrow)]
    tool_spec: Field<'a>,
    #[serde(borrow)]
    system_tool: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ToolSpec<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    input_schema: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputSchema<'a> {
    #[serde(borrow)]
    json: Field<'a>,
}

/// Reads a request body into the call; says whether it has what such a call is asked with.
pub(in crate::genai) fn read(
    body: &Document<'_>,
    call: &mut Call,
    budget: &mut Budget,
) -> Result<bool, Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    let request = &mut call.request;
    if let Some(inference) = body.inference_config.object::<Inference<'_>>(budget) {
        parameters(&inference, request, budget);
    }
    if let Some(additional) = body.additional_model_request_fields.object::<Additional<'_>>(budget) {
        more_parameters(&additional, request, budget);
    }
    let output: OutputConfig<'_> = body.output_config.object(budget).unwrap_or_default();
    request.output_type = output_type(output.text_format, budget);
    request.service_tier = word(body.service_tier, budget);
    if body.system.is_some() {
        content::parts(body.system, budget, &mut request.system);
    }
    if body.messages.is_some() {
        body.messages.each(budget, |item, budget| {
            if budget.item()
                && let Some(message) = item.object::<WireMessage<'_>>(budget)
            {
                request.messages.push(said(&message, budget));
            }
        });
    }
    let config: ToolConfig<'_> = body.tool_config.object(budget).unwrap_or_default();
    if config.tools.is_some() {
        config.tools.each(budget, |item, budget| tool(item, request, budget));
    }
    Ok(body.messages.kind() == Kind::Array)
}

fn said(message: &WireMessage<'_>, budget: &mut Budget) -> Message {
    let role = message.role.label(budget).unwrap_or_default();
    let mut parts = Vec::new();
    if message.content.is_some() {
        content::parts(message.content, budget, &mut parts);
    }
    Message { role, name: None, parts }
}

/// A whole message, of a request or of an answer.
pub(super) fn message(field: Field<'_>, budget: &mut Budget) -> Option<Message> {
    let message: WireMessage<'_> = field.object(budget)?;
    Some(said(&message, budget))
}

fn parameters(wire: &Inference<'_>, request: &mut Request, budget: &mut Budget) {
    request.max_tokens = wire.max_tokens.or(wire.max_new_tokens).integer(budget);
    request.temperature = wire.temperature.number(budget);
    request.top_p = wire.top_p.number(budget);
    request.top_k = wire.top_k.integer(budget);
    request.stop_sequences = text::stop_sequences(wire.stop_sequences, budget);
    request.reasoning_level = level(wire.reasoning_config, budget);
}

fn more_parameters(wire: &Additional<'_>, request: &mut Request, budget: &mut Budget) {
    let nested: Inference<'_> = wire.inference_config.object(budget).unwrap_or_default();
    let top_k = wire.top_k.or(nested.top_k).integer(budget);
    request.top_k = top_k.or(request.top_k);
    let levels = [wire.output_config, wire.reasoning_config, wire.reasoning_effort];
    let level = levels.into_iter().find_map(|field| level(field, budget));
    request.reasoning_level = level.or(request.reasoning_level.take());
}

/// How much is to be reasoned: a word, or an object that has it.
fn level(field: Field<'_>, budget: &mut Budget) -> Option<String> {
    if field.kind() != Kind::Object {
        return field.label(budget);
    }
    let reasoning: Reasoning<'_> = field.object(budget)?;
    reasoning.max_reasoning_effort.or(reasoning.effort).label(budget)
}

/// The `type` of an object, which is all that it says.
pub(super) fn word(field: Field<'_>, budget: &mut Budget) -> Option<String> {
    field.object::<Typed<'_>>(budget)?.kind.label(budget)
}

fn output_type(format: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    match word(format, budget)?.as_str() {
        "json_schema" => Some(OutputType::Json),
        "text" => Some(OutputType::Text),
        _ => {
            budget.unknown += 1;
            None
        }
    }
}

/// The caller's own tool, or one that the provider runs. A mark to what the tools are cached is none.
fn tool(item: Field<'_>, request: &mut Request, budget: &mut Budget) {
    let Some(tool) = item.object::<Tool<'_>>(budget) else { return };
    let (kind, field) = match (tool.tool_spec.is_some(), tool.system_tool.is_some()) {
        (true, _) => ("function", tool.tool_spec),
        (false, true) => ("system_tool", tool.system_tool),
        (false, false) => {
            budget.unknown += u64::from(item.key(|name| name == "cachePoint").is_none());
            return;
        }
    };
    if !budget.item() {
        return;
    }
    let spec: ToolSpec<'_> = field.object(budget).unwrap_or_default();
    let input: InputSchema<'_> = spec.input_schema.object(budget).unwrap_or_default();
    request.tools.push(ToolDefinition {
        kind: kind.to_owned(),
        name: spec.name.label(budget),
        description: whole(spec.description, budget),
        parameters: schema(input.json, budget),
    });
}
