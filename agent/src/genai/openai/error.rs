//! Errors in the form that OpenAI and its followers use.

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::CallError,
    field::{Field, Kind},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Field<'a>,
    #[serde(borrow)]
    object: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
}

/// The error of a body: `{"error": {code, type, message}}`, also in a list of one (Gemini's compatible
/// endpoint), `{"error": "message"}`, or bare with `"object": "error"` (Mistral, vLLM). The kind is empty
/// where the provider gives neither code nor type.
pub(in crate::genai) fn read(root: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    if root.kind() == Kind::Array {
        let mut first = None;
        root.each(budget, |item, budget| {
            if first.is_none() && item.kind() == Kind::Object {
                first = Some(of_object(item, budget));
            }
        });
        return first?;
    }
    of_object(root, budget)
}

fn of_object(root: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let envelope: Envelope<'_> = root.object(budget)?;
    match envelope.error.kind() {
        Kind::Object => Some(detail(envelope.error.object(budget)?, budget)),
        Kind::Text => Some(CallError { message: message(envelope.error, budget), ..CallError::default() }),
        _ if envelope.object.kind() == Kind::Text && envelope.object.json() == "\"error\"" => {
            Some(detail(root.object(budget)?, budget))
        }
        _ => None,
    }
}

/// The details of an error by themselves.
pub(in crate::genai) fn detail_of(field: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    Some(detail(field.object(budget)?, budget))
}

fn detail(detail: Detail<'_>, budget: &mut Budget) -> CallError {
    // A code that is a number repeats the HTTP status (vLLM, OpenRouter): a type says more.
    let named = detail.code.kind() == Kind::Text;
    let code = match detail.code.kind() {
        Kind::Text => detail.code.label(budget),
        Kind::Number => Some(detail.code.json().to_owned()),
        _ => None,
    };
    let provider_type = detail.kind.label(budget);
    let kind = code.clone().filter(|_| named).or_else(|| provider_type.clone()).or_else(|| code.clone());
    let message = message(detail.message, budget);
    CallError { kind: kind.unwrap_or_default(), code, provider_type, message }
}

/// A message, cut at the limits of content: it may quote a prompt.
pub(in crate::genai) fn message(field: Field<'_>, budget: &mut Budget) -> Option<String> {
    Some(field.content(budget)?.text)
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    #[test]
    fn errors() {
        let cases = [
            (
                r#"{"error":{"code":"model_not_found","type":"t","message":"m"}}"#,
                Some(("model_not_found", Some("m"))),
            ),
            (
                r#"{"error":{"code":null,"type":"invalid_request_error","message":""}}"#,
                Some(("invalid_request_error", None)),
            ),
            (r#"{"error":{"code":404,"type":"NotFoundError"}}"#, Some(("NotFoundError", None))),
            (r#"{"error":{"code":502,"message":"m"}}"#, Some(("502", Some("m")))),
            (r#"{"error":"overloaded"}"#, Some(("", Some("overloaded")))),
            (r#"{"object":"error","code":"1500","message":"m"}"#, Some(("1500", Some("m")))),
            (r#"[{"error":{"code":429,"message":"m"}}]"#, Some(("429", Some("m")))),
            (r#"{"error":null,"id":"x"}"#, None),
            (r#"{"object":"chat.completion"}"#, None),
            ("[]", None),
            ("7", None),
        ];
        for (body, expected) in cases {
            let error = read(Field::root(body.as_bytes()).unwrap(), &mut budget());
            let found = error.as_ref().map(|e| (e.kind.as_str(), e.message.as_deref()));
            assert_eq!(found, expected, "{body}");
        }
    }

    #[test]
    fn code_and_type_are_both_told() {
        let cases = [
            (r#"{"code":"model_not_found","type":"t"}"#, (Some("model_not_found"), Some("t"))),
            (r#"{"code":null,"type":"invalid_request_error"}"#, (None, Some("invalid_request_error"))),
            (r#"{"code":404,"type":"NotFoundError"}"#, (Some("404"), Some("NotFoundError"))),
            (r#"{"message":"m"}"#, (None, None)),
        ];
        for (body, expected) in cases {
            let error = detail_of(Field::root(body.as_bytes()).unwrap(), &mut budget()).unwrap();
            assert_eq!((error.code.as_deref(), error.provider_type.as_deref()), expected, "{body}");
        }
    }
}
