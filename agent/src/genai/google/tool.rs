//! Tool definitions (`Tool`).

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::ToolDefinition,
    field::Field,
    openai::tool::{schema, whole},
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Function<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    description: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
    #[serde(alias = "parameters_json_schema", borrow)]
    parameters_json_schema: Field<'a>,
}

/// The elements of `tools`: each holds functions, or settings of tools that the provider has, by name.
pub(in crate::genai) fn definitions(tools: Field<'_>, budget: &mut Budget, out: &mut Vec<ToolDefinition>) {
    tools.each(budget, |tool, budget| {
        let Some(kinds) = tool.object::<BTreeMap<Cow<'_, str>, Field<'_>>>(budget) else { return };
        for (kind, settings) in kinds {
            if matches!(&*kind, "functionDeclarations" | "function_declarations") {
                settings.each(budget, |item, budget| {
                    if budget.item()
                        && let Some(function) = item.object::<Function<'_>>(budget)
                    {
                        out.push(ToolDefinition {
                            kind: "function".to_owned(),
                            name: function.name.label(budget),
                            description: whole(function.description, budget),
                            parameters: schema(
                                function.parameters.or(function.parameters_json_schema),
                                budget,
                            ),
                        });
                    }
                });
            } else if settings.is_some()
                && let Some(kind) = budget.label(&kind)
                && budget.item()
            {
                out.push(ToolDefinition { kind, name: None, description: None, parameters: None });
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    #[test]
    fn tools() {
        let json = r#"[{"functionDeclarations":[{"name":"f","description":"d","parameters":{"type":"OBJECT"}},{"name":"g",
            "parametersJsonSchema":{"type":"object"}}],"googleSearch":{}},{"function_declarations":[{"name":"h"}]},
            {"codeExecution":{}},{"urlContext":null},7]"#;
        let (mut out, mut budget) = (Vec::new(), budget());
        definitions(Field::root(json.as_bytes()).unwrap(), &mut budget, &mut out);
        let found: Vec<_> =
            out.iter().map(|tool| (&*tool.kind, tool.name.as_deref(), tool.parameters.is_some())).collect();
        let expected = [
            ("function", Some("f"), true),
            ("function", Some("g"), true),
            ("googleSearch", None, false),
            ("function", Some("h"), false),
            ("codeExecution", None, false),
        ];
        assert_eq!((&found[..], budget.unknown), (&expected[..], 1));
    }
}
