//! Requests of generateContent.

use serde::Deserialize;

use crate::genai::{
    budget::Budget,
    call::Call,
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    google::{config, part, tool},
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    contents: Field<'a>,
    #[serde(alias = "system_instruction", borrow)]
    system_instruction: Field<'a>,
    #[serde(borrow)]
    tools: Field<'a>,
    #[serde(alias = "generation_config", borrow)]
    generation_config: Field<'a>,
    #[serde(alias = "service_tier", borrow)]
    service_tier: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    /// All of the above but the model, in Code Assist.
    #[serde(borrow)]
    request: Field<'a>,
    #[serde(alias = "session_id", borrow)]
    session_id: Field<'a>,
}

/// Reads a request body into the call.
pub(super) fn read(body: &Document<'_>, call: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
    let mut body: Body<'_> = body.object(budget).ok_or(Malformed)?;
    let model = body.model;
    if body.request.kind() == Kind::Object && !body.contents.is_some() {
        body = body.request.object(budget).ok_or(Malformed)?;
    }
    let request = &mut call.request;
    if request.model.is_none() {
        request.model = model.label(budget);
    }
    request.conversation_id = body.session_id.label(budget);
    request.service_tier = body.service_tier.label(budget);
    if body.generation_config.is_some() {
        config::read(body.generation_config, request, budget);
    }
    if body.system_instruction.is_some() {
        part::read(body.system_instruction, budget, &mut request.system);
    }
    if body.contents.is_some() {
        body.contents.each(budget, |item, budget| {
            request.messages.extend(part::message(item, "user", budget));
        });
    }
    if body.tools.is_some() {
        tool::definitions(body.tools, budget, &mut request.tools);
    }
    Ok(())
}
