//! Requests of Chat Completions.

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
    top_p: Field<'a>,
    /// vLLM and others.
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    presence_penalty: Field<'a>,
    #[serde(borrow)]
    max_completion_tokens: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    n: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    /// Mistral's name of it.
    #[serde(borrow)]
    random_seed: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
    #[serde(borrow)]
    response_format: Field<'a>,
    #[serde(borrow)]
    modalities: Field<'a>,
    #[serde(borrow)]
    reasoning_effort: Field<'a>,
    /// OpenRouter.
    #[serde(borrow)]
    reasoning: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(borrow)]
    functions: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoning<'a> {
    #[serde(borrow)]
    effort: Field<'a>,
}

/// Reads a request body into the call.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
    let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    let request = &mut call.request;
    request.model = body.model.label(budget);
    request.stream = body.stream.flag(budget);
    request.temperature = body.temperature.number(budget);
    request.top_p = body.top_p.number(budget);
    request.top_k = body.top_k.integer(budget);
    request.frequency_penalty = body.frequency_penalty.number(budget);
    request.presence_penalty = body.presence_penalty.number(budget);
    request.max_tokens = body.max_completion_tokens.or(body.max_tokens).integer(budget);
    request.choice_count = body.n.integer(budget);
    request.seed = body.seed.or(body.random_seed).integer(budget);
    request.output_type = output_type(&body, budget);
    request.reasoning_level = body.reasoning_effort.label(budget).or_else(|| {
        let reasoning: Reasoning<'_> = body.reasoning.object(budget)?;
        reasoning.effort.label(budget)
    });
    request.service_tier = body.service_tier.label(budget);
    request.stop_sequences = text::stop_sequences(body.stop, budget);
    if body.messages.is_some() {
        message::conversation(body.messages, budget, &mut request.messages);
    }
    if body.tools.is_some() {
        tool::definitions(body.tools, budget, &mut request.tools);
    }
    if body.functions.is_some() {
        tool::functions(body.functions, budget, &mut request.tools);
    }
    Ok(())
}

/// Asking for audio is asking for speech, with text only as its transcript; else the format decides.
fn output_type(body: &Body<'_>, budget: &mut Budget) -> Option<OutputType> {
    let mut asked = None;
    if body.modalities.is_some() {
        body.modalities.each(budget, |item, budget| {
            let modality = match item.text(budget).as_deref() {
                Some("text") => OutputType::Text,
                Some("audio") => OutputType::Speech,
                Some("image") => OutputType::Image,
                _ => return budget.unknown += 1,
            };
            if asked.is_none_or(|asked| asked == OutputType::Text) {
                asked = Some(modality);
            }
        });
    }
    if asked.is_some_and(|asked| asked != OutputType::Text) {
        return asked;
    }
    let format = match body.response_format.kind() {
        // LiteLLM and others take a bare word.
        Kind::Object => body.response_format.object::<ResponseFormat<'_>>(budget)?.kind,
        _ => body.response_format,
    };
    match format.label(budget).as_deref() {
        Some("text") => Some(OutputType::Text),
        Some("json_object" | "json_schema") => Some(OutputType::Json),
        Some(_) => {
            budget.unknown += 1;
            asked
        }
        None => asked,
    }
}
