//! What Cohere's APIs have in common (<https://docs.cohere.com/reference/about>).

use serde::Deserialize;

use super::{
    budget::Budget,
    call::{CallError, Provider, Usage},
    field::Field,
    openai::error::message,
    provider,
};
use crate::wire::RequestHead;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counted<'a> {
    #[serde(borrow)]
    tokens: Field<'a>,
    #[serde(borrow)]
    billed_units: Field<'a>,
    #[serde(borrow)]
    cached_tokens: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Units<'a> {
    #[serde(borrow)]
    input_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens: Field<'a>,
    /// Of images that are embedded, beside those of texts.
    #[serde(borrow)]
    image_tokens: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    #[serde(borrow)]
    message: Field<'a>,
}

/// The tokens of a v2 `usage` or of a v1 `meta`. `tokens` is what the model read and wrote, as every other provider
/// counts it; what is billed leaves out the templates and tools that Cohere adds to the prompt, so it stands in only
/// where there is nothing else.
pub(super) fn usage(field: Field<'_>, budget: &mut Budget) -> Option<Usage> {
    let counted: Counted<'_> = field.object(budget)?;
    let units: Units<'_> = counted.tokens.or(counted.billed_units).object(budget)?;
    let texts = units.input_tokens.count(budget);
    let images = units.image_tokens.count(budget);
    Some(Usage {
        input: texts.map_or(images, |texts| Some(texts.saturating_add(images.unwrap_or(0)))),
        output: units.output_tokens.count(budget),
        cache_read: counted.cached_tokens.count(budget),
        ..Usage::default()
    })
}

/// `{"id": ..., "message": ...}`: there is no code but the status.
pub(super) fn error(body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let told: Told<'_> = body.object(budget)?;
    let message = message(told.message, budget)?;
    Some(CallError { kind: String::new(), message: Some(message) })
}

/// Is this one of Cohere's own hosts, at which a path has one meaning?
pub(super) fn at_home(head: &RequestHead) -> bool {
    provider::of_authority(head.authority.as_deref()) == Some(Provider::Cohere)
}

#[cfg(test)]
mod tests {
    use super::{super::budget::tests::budget, *};

    #[test]
    fn usages() {
        let none = Usage::default();
        let cases = [
            (
                r#"{"billed_units":{"input_tokens":62,"output_tokens":28},"tokens":{"input_tokens":968,"output_tokens":83},"cached_tokens":40}"#,
                Some(Usage { input: Some(968), output: Some(83), cache_read: Some(40), ..none }),
            ),
            (
                r#"{"api_version":{"version":"2"},"billed_units":{"input_tokens":2,"image_tokens":3}}"#,
                Some(Usage { input: Some(5), ..none }),
            ),
            (r#"{"billed_units":{"image_tokens":3}}"#, Some(Usage { input: Some(3), ..none })),
            (r#"{"billed_units":{"search_units":1}}"#, Some(none)),
            (r#"{"tokens":null}"#, None),
            ("null", None),
        ];
        for (json, expected) in cases {
            assert_eq!(usage(Field::root(json.as_bytes()).unwrap(), &mut budget()), expected, "{json}");
        }
    }

    #[test]
    fn errors() {
        for (json, expected) in [
            (r#"{"id":"i","message":"no such model"}"#, Some("no such model")),
            (r#"{"message":""}"#, None),
            ("[]", None),
        ] {
            let error = error(Field::root(json.as_bytes()).unwrap(), &mut budget());
            assert_eq!(error.and_then(|error| error.message).as_deref(), expected, "{json}");
        }
    }
}
