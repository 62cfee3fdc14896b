//! Errors in the form of `google.rpc.Status` (<https://cloud.google.com/apis/design/errors#http_mapping>).

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::CallError,
    field::{Field, Kind},
    openai::error::message,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail<'a> {
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
}

/// The error of a body: `{"error": {code, message, status}}`, in a list of one where the answer was to be a list. The kind
/// is the status, a name; else the code, a number.
pub(in crate::genai) fn read(root: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    let mut first = None;
    if root.kind() == Kind::Array {
        root.each(budget, |item, _| _ = first.get_or_insert(item));
    }
    let envelope: Envelope<'_> = first.unwrap_or(root).object(budget)?;
    detail(envelope.error, budget)
}

/// The error itself.
pub(in crate::genai) fn detail(error: Field<'_>, budget: &mut Budget) -> Option<CallError> {
    match error.kind() {
        Kind::Absent => None,
        Kind::Object => {
            let detail: Detail<'_> = error.object(budget)?;
            let code = (detail.code.kind() == Kind::Number).then(|| detail.code.json().to_owned());
            let provider_type = detail.status.label(budget);
            let kind = provider_type.clone().or_else(|| code.clone()).unwrap_or_default();
            Some(CallError { kind, code, provider_type, message: message(detail.message, budget) })
        }
        // A gateway's.
        _ => Some(CallError { message: message(error, budget), ..CallError::default() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    #[test]
    fn errors() {
        let cases = [
            (
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                Some(("RESOURCE_EXHAUSTED", Some("m"))),
            ),
            (r#"[{"error":{"code":403,"status":"PERMISSION_DENIED"}}]"#, Some(("PERMISSION_DENIED", None))),
            (r#"{"error":{"code":404}}"#, Some(("404", None))),
            (r#"{"error":"no such route"}"#, Some(("", Some("no such route")))),
            (r#"{"error":null}"#, None),
            ("[]", None),
            ("7", None),
        ];
        for (body, expected) in cases {
            let error = read(Field::root(body.as_bytes()).unwrap(), &mut budget());
            let found = error.as_ref().map(|e| (e.kind.as_str(), e.message.as_deref()));
            assert_eq!(found, expected, "{body}");
        }
    }
}
