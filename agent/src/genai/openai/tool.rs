//! Tool definitions and tool calls in the form of Chat Completions.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::{
    budget::Budget,
    call::{Content, Part, ToolDefinition},
    field::Field,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    function: Field<'a>,
    #[serde(borrow)]
    custom: Field<'a>,
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

/// A function as it is defined: in `function`, or as an element of the older `functions`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Function<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

/// The elements of `tools`.
pub(in crate::genai) fn definitions(tools: Field<'_>, budget: &mut Budget, out: &mut Vec<ToolDefinition>) {
    tools.each(budget, |item, budget| {
        if !budget.item() {
            return;
        }
        let Some(tool) = item.object::<Tool<'_>>(budget) else { return };
        let detail = tool.function.or(tool.custom);
        let kind = tool.kind.label(budget);
        if detail.is_some() {
            let function = detail.object(budget).unwrap_or_default();
            out.push(define(kind.unwrap_or_else(|| "function".to_owned()), function, budget));
        } else if let Some(kind) = kind {
            // Responses has all of it beside the type.
            let Tool { name, description, parameters, .. } = tool;
            out.push(define(kind, Function { name, description, parameters }, budget));
        } else {
            budget.unknown += 1;
        }
    });
}

/// The elements of the older `functions`.
pub(in crate::genai) fn functions(functions: Field<'_>, budget: &mut Budget, out: &mut Vec<ToolDefinition>) {
    functions.each(budget, |item, budget| {
        if budget.item()
            && let Some(function) = item.object(budget)
        {
            out.push(define("function".to_owned(), function, budget));
        }
    });
}

fn define(kind: String, function: Function<'_>, budget: &mut Budget) -> ToolDefinition {
    ToolDefinition {
        kind,
        name: function.name.label(budget),
        description: whole(function.description, budget),
        parameters: schema(function.parameters, budget),
    }
}

/// A text that is of use only as a whole.
pub(in crate::genai) fn whole(field: Field<'_>, budget: &mut Budget) -> Option<String> {
    let text = field.text(budget)?;
    budget.whole(&text)
}

/// A JSON schema, as on the wire.
pub(in crate::genai) fn schema(field: Field<'_>, budget: &mut Budget) -> Option<Box<RawValue>> {
    let json = field.is_some().then(|| budget.whole(field.json()))??;
    RawValue::from_string(json).ok()
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::genai) struct ToolCall<'a> {
    #[serde(borrow)]
    pub(in crate::genai) index: Field<'a>,
    #[serde(borrow)]
    pub(in crate::genai) id: Field<'a>,
    #[serde(borrow)]
    function: Field<'a>,
    #[serde(borrow)]
    custom: Field<'a>,
}

/// The function that is called, or a piece of it in a stream. A custom tool has free text as `input`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::genai) struct Called<'a> {
    #[serde(borrow)]
    pub(in crate::genai) name: Field<'a>,
    #[serde(borrow)]
    arguments: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
}

impl<'a> ToolCall<'a> {
    pub(in crate::genai) fn called(&self, budget: &mut Budget) -> Called<'a> {
        self.function.or(self.custom).object(budget).unwrap_or_default()
    }
}

impl Called<'_> {
    /// Appends the arguments, or a fragment of them; says whether there were any.
    pub(in crate::genai) fn append_arguments(&self, to: &mut Content, budget: &mut Budget) -> bool {
        let field = self.arguments.or(self.input);
        match field.kind() {
            // Some servers send the arguments as an object, where the API has a string with JSON in it.
            super::super::field::Kind::Object => {
                budget.append(to, field.json());
                true
            }
            _ => field.text(budget).is_some_and(|text| {
                budget.append(to, &text);
                !text.is_empty()
            }),
        }
    }
}

/// The elements of `tool_calls`, or the older `function_call`, of a whole message.
pub(in crate::genai) fn calls(
    tool_calls: Field<'_>,
    function_call: Field<'_>,
    budget: &mut Budget,
    out: &mut Vec<Part>,
) {
    tool_calls.each(budget, |item, budget| {
        if let Some(call) = item.object::<ToolCall<'_>>(budget) {
            let called = call.called(budget);
            let id = call.id.label(budget);
            one(id, called, budget, out);
        }
    });
    if let Some(called) = function_call.object::<Called<'_>>(budget) {
        one(None, called, budget, out);
    }
}

fn one(id: Option<String>, called: Called<'_>, budget: &mut Budget, out: &mut Vec<Part>) {
    let name = called.name.label(budget);
    // Some gateways send an empty call where there is none.
    if (id.is_some() || name.is_some()) && budget.item() {
        let mut arguments = Content::default();
        called.append_arguments(&mut arguments, budget);
        out.push(Part::ToolCall { id, name: name.unwrap_or_default(), arguments });
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    fn field(json: &str) -> Field<'_> {
        Field::root(json.as_bytes()).unwrap()
    }

    #[test]
    fn definitions_of_every_kind() {
        let json = r#"[
            {"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}},
            {"function":{"name":"g"}},
            {"type":"custom","custom":{"name":"c"}},
            {"type":"openrouter:web_search"},
            {}, 7]"#;
        let (mut budget, mut out) = (budget(), Vec::new());
        definitions(field(json), &mut budget, &mut out);
        functions(field(r#"[{"name":"h","parameters":{}}]"#), &mut budget, &mut out);
        let found: Vec<_> = out
            .iter()
            .map(|t| (t.kind.as_str(), t.name.as_deref(), t.parameters.as_ref().map(|p| p.get())))
            .collect();
        let expected = [
            ("function", Some("f"), Some(r#"{"type":"object"}"#)),
            ("function", Some("g"), None),
            ("custom", Some("c"), None),
            ("openrouter:web_search", None, None),
            ("function", Some("h"), Some("{}")),
        ];
        assert_eq!(found, expected);
        assert_eq!((out[0].description.as_deref(), budget.unknown), (Some("d"), 2));
    }

    #[test]
    fn calls_of_every_kind() {
        let json = r#"[
            {"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},
            {"id":"2","type":"custom","custom":{"name":"c","input":"free text"}},
            {"id":"3","function":{"name":"o","arguments":{"a":1}}},
            {"id":"","function":{"name":"","arguments":""}}]"#;
        let mut out = Vec::new();
        calls(field(json), field(r#"{"name":"old","arguments":"{}"}"#), &mut budget(), &mut out);
        let found: Vec<_> = out
            .iter()
            .map(|part| match part {
                Part::ToolCall { id, name, arguments } => {
                    (id.as_deref(), name.as_str(), arguments.text.as_str())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            (Some("1"), "f", r#"{"a":1}"#),
            (Some("2"), "c", "free text"),
            (Some("3"), "o", r#"{"a":1}"#),
            (None, "old", "{}"),
        ];
        assert_eq!(found, expected);
    }
}
