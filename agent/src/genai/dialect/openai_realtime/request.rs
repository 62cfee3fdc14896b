//! What a response is asked with: how the session is set up, what was said since, and what the client wants of it.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::{Call, OutputType, Part},
    dialect::{Malformed, openai_responses::item},
    document::Document,
    field::{Field, Kind},
    openai::tool,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    session: Field<'a>,
    #[serde(borrow)]
    item: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
}

/// A session, or what differs from it in one response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    instructions: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    /// Without the prefix before the API was generally available.
    #[serde(alias = "modalities", borrow)]
    output_modalities: Field<'a>,
    #[serde(alias = "max_response_output_tokens", borrow)]
    max_output_tokens: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    reasoning: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reasoning<'a> {
    #[serde(borrow)]
    effort: Field<'a>,
}

/// Reads a message into the call.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
    let wire: Wire<'_> = body.object(budget).ok_or(Malformed)?;
    let kind = wire.kind.label(budget).ok_or(Malformed)?;
    match kind.as_str() {
        "session.created" | "session.updated" | "session.update" => settings(wire.session, call, budget),
        "response.create" => settings(wire.response, call, budget),
        "conversation.item.create" => call.request.messages.extend(item::read(wire.item, budget)),
        _ => budget.unknown += 1,
    }
    Ok(())
}

/// What is told replaces what was told before.
fn settings(field: Field<'_>, call: &mut Call, budget: &mut Budget) {
    let Some(settings) = field.object::<Settings<'_>>(budget) else { return };
    let request = &mut call.request;
    if let Some(model) = settings.model.label(budget) {
        request.model = Some(model);
    }
    if let Some(content) = settings.instructions.content(budget)
        && budget.item()
    {
        request.system = vec![Part::Text(content)];
    }
    if settings.tools.is_some() {
        request.tools.clear();
        tool::definitions(settings.tools, budget, &mut request.tools);
    }
    if settings.output_modalities.is_some() {
        request.output_type = output_type(settings.output_modalities, budget);
    }
    match settings.max_output_tokens.kind() {
        Kind::Absent => {}
        Kind::Number => request.max_tokens = settings.max_output_tokens.integer(budget),
        // `inf`: as many as there are.
        _ => request.max_tokens = None,
    }
    // xAI says -1 where none was asked for.
    let temperature = settings.temperature.number(budget).filter(|temperature| *temperature >= 0.0);
    request.temperature = temperature.or(request.temperature);
    let reasoning: Reasoning<'_> = settings.reasoning.object(budget).unwrap_or_default();
    if let Some(effort) = reasoning.effort.label(budget) {
        request.reasoning_level = Some(effort);
    }
    if settings.input.is_some() {
        settings.input.each(budget, |field, budget| request.messages.extend(item::read(field, budget)));
    }
}

/// Speech has its text beside it.
fn output_type(field: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    let mut found = None;
    field.each(budget, |item, budget| {
        found = match item.label(budget).as_deref() {
            Some("audio") => Some(OutputType::Speech),
            Some("text") => found.or(Some(OutputType::Text)),
            _ => found,
        };
    });
    found
}
