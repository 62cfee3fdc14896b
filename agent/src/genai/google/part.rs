//! Content: turns and their parts (`Content`, `Part`).

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::{Content, Message, Part},
    field::{Field, Kind},
    media,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Turn<'a> {
    #[serde(borrow)]
    role: Field<'a>,
    #[serde(borrow)]
    parts: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    text: Field<'a>,
    /// The text is thought, not said.
    #[serde(borrow)]
    thought: Field<'a>,
    #[serde(alias = "thought_signature", borrow)]
    thought_signature: Field<'a>,
    #[serde(alias = "inline_data", borrow)]
    inline_data: Field<'a>,
    #[serde(alias = "file_data", borrow)]
    file_data: Field<'a>,
    #[serde(alias = "function_call", borrow)]
    function_call: Field<'a>,
    #[serde(alias = "function_response", borrow)]
    function_response: Field<'a>,
    #[serde(alias = "executable_code", borrow)]
    executable_code: Field<'a>,
    #[serde(alias = "code_execution_result", borrow)]
    code_execution_result: Field<'a>,
    /// A tool of the provider, other than the running of code.
    #[serde(alias = "tool_call", borrow)]
    tool_call: Field<'a>,
    #[serde(alias = "tool_response", borrow)]
    tool_response: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Media<'a> {
    #[serde(alias = "mime_type", borrow)]
    mime_type: Field<'a>,
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(alias = "file_uri", borrow)]
    file_uri: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Call<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(alias = "tool_type", borrow)]
    tool_type: Field<'a>,
    #[serde(borrow)]
    args: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
    /// What a function answered that is no JSON.
    #[serde(borrow)]
    parts: Field<'a>,
}

/// What the running of code is called where a tool has a name.
const CODE: &str = "code_execution";

/// Reads a turn; `None` if there is no room for it, or it is none. Whose it is when it does not say so depends on where it
/// stands.
pub(in crate::genai) fn message(field: Field<'_>, role: &str, budget: &mut Budget) -> Option<Message> {
    if !budget.item() {
        return None;
    }
    let mut parts = Vec::new();
    let said = read(field, budget, &mut parts);
    if !matches!(field.kind(), Kind::Text | Kind::Object) {
        return None;
    }
    let role = match said.as_deref().unwrap_or(role) {
        "model" => "assistant",
        "function" => "tool",
        // What functions answer is sent in the user's name.
        "user" if matches!(parts.first(), Some(Part::ToolCallResponse { .. })) => "tool",
        other => other,
    };
    Some(Message { role: role.to_owned(), name: None, parts })
}

/// Reads the parts of a turn, which may be a bare text; gives its role, if it says one.
pub(in crate::genai) fn read(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) -> Option<String> {
    if field.kind() == Kind::Text {
        if let Some(content) = field.content(budget)
            && budget.item()
        {
            out.push(Part::Text(content));
        }
        return None;
    }
    let turn: Turn<'_> = field.object(budget)?;
    if turn.parts.is_some() {
        turn.parts.each(budget, |item, budget| part(item, budget, out));
    }
    turn.role.label(budget)
}

/// Reads one part.
pub(in crate::genai) fn part(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    let Some(wire) = field.object::<Wire<'_>>(budget) else { return };
    let Some(part) = wire.read(field, budget) else { return };
    if budget.item() {
        out.push(part);
    }
    if wire.function_response.is_some()
        && let Some(call) = wire.function_response.object::<Call<'_>>(budget)
        && call.parts.is_some()
    {
        call.parts.each(budget, |item, budget| {
            if let Some(part) = item.object::<Wire<'_>>(budget).and_then(|wire| wire.media(budget))
                && budget.item()
            {
                out.push(part);
            }
        });
    }
}

/// A `FunctionCall` by itself, as Live has it.
pub(in crate::genai) fn called(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if let Some(call) = field.object::<Call<'_>>(budget)
        && budget.item()
    {
        out.push(call.called(budget));
    }
}

/// The same of a `FunctionResponse`.
pub(in crate::genai) fn answered(field: Field<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    if let Some(call) = field.object::<Call<'_>>(budget)
        && budget.item()
    {
        out.push(call.answered(budget));
    }
}

impl Call<'_> {
    fn called(&self, budget: &mut Budget) -> Part {
        let arguments = if self.args.is_some() { self.args.json_content(budget) } else { Content::default() };
        let name = self.name.label(budget).unwrap_or_default();
        Part::ToolCall { id: self.id.label(budget), name, arguments }
    }

    fn answered(&self, budget: &mut Budget) -> Part {
        Part::ToolCallResponse { id: self.id.label(budget), response: self.response.json_content(budget) }
    }
}

impl Wire<'_> {
    fn read(&self, field: Field<'_>, budget: &mut Budget) -> Option<Part> {
        if self.text.is_some() {
            let content = self.text.content(budget)?;
            let thought = self.thought.flag(budget) == Some(true);
            return Some(if thought { Part::Reasoning(content) } else { Part::Text(content) });
        }
        if let Some(part) = self.media(budget) {
            return Some(part);
        }
        if self.function_call.is_some() {
            return self.function_call.object::<Call<'_>>(budget).map(|call| call.called(budget));
        }
        if self.function_response.is_some() {
            return self.function_response.object::<Call<'_>>(budget).map(|call| call.answered(budget));
        }
        let asked = self.executable_code.or(self.tool_call);
        if asked.is_some() {
            let call: Call<'_> = asked.object(budget)?;
            let code = self.executable_code.is_some();
            let name = if code { None } else { call.tool_type.label(budget) };
            let arguments = if code { asked } else { call.args };
            return Some(Part::ServerToolCall {
                id: call.id.label(budget),
                name: name.unwrap_or_else(|| CODE.to_owned()),
                arguments: arguments.json_content(budget),
            });
        }
        let answer = self.code_execution_result.or(self.tool_response);
        if answer.is_some() {
            let call: Call<'_> = answer.object(budget)?;
            let response = if self.code_execution_result.is_some() { answer } else { call.response };
            return Some(Part::ServerToolCallResponse {
                id: call.id.label(budget),
                response: response.json_content(budget),
            });
        }
        // A signature alone is encrypted thought; an empty part says nothing.
        if self.thought_signature.is_some() || self.thought.is_some() || field.json() == "{}" {
            return None;
        }
        budget.unknown += 1;
        Some(Part::Generic { kind: "part".to_owned(), json: field.json_content(budget) })
    }

    /// Content that is no text: sent along, or by reference.
    fn media(&self, budget: &mut Budget) -> Option<Part> {
        let data: Media<'_> = if self.inline_data.is_some() {
            self.inline_data.object(budget)?
        } else if self.file_data.is_some() {
            self.file_data.object(budget)?
        } else {
            return None;
        };
        blob_or_uri(&data, budget)
    }
}

fn blob_or_uri(data: &Media<'_>, budget: &mut Budget) -> Option<Part> {
    let mime_type = data.mime_type.label(budget);
    let modality = media::modality(mime_type.as_deref().unwrap_or_default());
    if data.file_uri.is_some() {
        return match media::of_url(modality, data.file_uri, budget)? {
            Part::Uri { modality, uri, .. } => Some(Part::Uri { modality, mime_type, uri }),
            part => Some(part),
        };
    }
    Some(media::blob(modality, mime_type, data.data, budget))
}
