//! What spans are called.
//!
//! A span has one name. Where a name was renamed, the older one stays it for the time of the overlap, so that who reads it reads on, and
//! the current one stands in an attribute, so that who wants to can move before; with `--contract current` it is the name.

use super::{
    attributes::Attributes,
    key::{AttributeDef, Shape},
    names::{self, OLDER_NAMES},
    profile::Profile,
};
use crate::text::floor;

/// The forms of the names that spans of a kind had before.
#[derive(Debug)]
pub struct OlderName {
    /// The kind of span, as the registry calls it.
    pub span: &'static str,
    /// The forms; a span has the first whose attributes it carries.
    pub patterns: &'static [&'static [NamePart]],
}

/// A piece of such a form.
#[derive(Clone, Copy, Debug)]
pub enum NamePart {
    /// The same text in every name.
    Text(&'static str),
    /// The value of an attribute.
    Value(&'static AttributeDef),
}

/// The name of a span of this kind, before names of attributes are left out, and of the length that these will have on it.
pub(super) fn name(set: &mut Attributes, shape: &Shape, profile: &Profile) -> String {
    chosen(set, shape, profile.older_span_names, OLDER_NAMES)
}

fn chosen(set: &mut Attributes, shape: &Shape, by_older: &[&str], all: &[OlderName]) -> String {
    let current = current(set);
    let older = all.iter().find(|older| older.span == shape.name && by_older.contains(&older.span));
    match older.and_then(|older| older.patterns.iter().find_map(|pattern| filled(set, pattern))) {
        Some(name) => {
            set.set(names::PLAINSPAN_SPAN_NAME, current);
            name
        }
        None => current,
    }
}

/// The form with its values, if the span carries all of them.
fn filled(set: &Attributes, pattern: &[NamePart]) -> Option<String> {
    let parts = pattern.iter().map(|part| match part {
        NamePart::Text(text) => Some(*text),
        NamePart::Value(def) => Some(text(set, def)).filter(|text| !text.is_empty()),
    });
    parts.collect()
}

fn text<'a>(set: &'a Attributes, def: &'static AttributeDef) -> &'a str {
    let text = set.text(def);
    &text[..floor(text, def.max_bytes.unwrap_or(usize::MAX))]
}

/// What is called, and which: the method and the tool or prompt, else the operation and the model, agent or data source. What is cut
/// is cut in the name too.
fn current(set: &Attributes) -> String {
    let text = |def| text(set, def);
    let method = text(names::MCP_METHOD_NAME.def());
    let (what, which) = if method.is_empty() {
        let operation = text(names::GEN_AI_OPERATION_NAME.def());
        let which = match operation {
            "invoke_agent" => names::GEN_AI_AGENT_NAME.def(),
            "retrieval" => names::GEN_AI_DATA_SOURCE_ID.def(),
            _ => names::GEN_AI_REQUEST_MODEL.def(),
        };
        (operation, text(which))
    } else {
        let tool = text(names::GEN_AI_TOOL_NAME.def());
        (method, if tool.is_empty() { text(names::GEN_AI_PROMPT_NAME.def()) } else { tool })
    };
    if which.is_empty() { what.to_owned() } else { format!("{what} {which}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Value;

    /// As if `chat gpt-4o` had been `llm chat/gpt-4o`, or `llm` without a model.
    static RENAMED: [OlderName; 1] = [OlderName {
        span: "gen_ai.client.inference",
        patterns: &[
            &[
                NamePart::Text("llm "),
                NamePart::Value(names::GEN_AI_OPERATION_NAME.def()),
                NamePart::Text("/"),
                NamePart::Value(names::GEN_AI_REQUEST_MODEL.def()),
            ],
            &[NamePart::Text("llm")],
        ],
    }];

    #[test]
    fn a_renamed_span_has_both_names() {
        let shape = &names::GEN_AI_CLIENT_INFERENCE;
        let of = |model: Option<&str>, shape: &Shape, by_older: &[&str]| {
            let mut set = Attributes::default();
            set.set(names::GEN_AI_OPERATION_NAME, names::GenAiOperationName::Chat);
            set.set_some(names::GEN_AI_REQUEST_MODEL, model.map(str::to_owned));
            let name = chosen(&mut set, shape, by_older, &RENAMED);
            let beside = set.of("plainspan.span.name").cloned();
            (name, beside)
        };
        let beside = |name: &str| Some(Value::String(name.to_owned()));
        let older = [shape.name];
        let rows = [
            (Some("gpt-4o"), shape, &older[..], "llm chat/gpt-4o", beside("chat gpt-4o")),
            (None, shape, &older, "llm", beside("chat")),
            (Some("gpt-4o"), shape, &[], "chat gpt-4o", None),
            // Another kind of span was not renamed.
            (Some("gpt-4o"), &names::MCP_CLIENT, &older, "chat gpt-4o", None),
        ];
        for (model, shape, by_older, name, current) in rows {
            assert_eq!(of(model, shape, by_older), (name.to_owned(), current), "{model:?} {by_older:?}");
        }
    }

    #[test]
    fn what_may_be_renamed_is_on_the_span() {
        for older in OLDER_NAMES {
            assert!(!older.patterns.is_empty(), "{older:?}");
        }
        assert!(names::GEN_AI_CLIENT_INFERENCE.has(names::PLAINSPAN_SPAN_NAME.def()));
    }
}
