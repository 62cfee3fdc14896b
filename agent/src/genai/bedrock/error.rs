//! Errors of AWS, in the form of its JSON protocols
//! (<https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>).

use serde::Deserialize;

use super::super::{
    budget::Budget, call::CallError, document::Document, field::Field, openai, openai::error::message,
};
use crate::wire::{ResponseHead, SseEvent};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(rename = "__type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(alias = "Message", borrow)]
    message: Field<'a>,
}

/// The name of an error's shape, without the namespace before it and the URI behind it.
fn shape(told: &str) -> &str {
    let name = told.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default().trim()
}

/// The error that the head of a response with a status of 400 or more tells.
pub(in crate::genai) fn of_head(head: &ResponseHead, budget: &mut Budget) -> Option<String> {
    let told = head.headers.get("x-amzn-errortype").filter(|_| head.status >= 400)?;
    budget.label(shape(told))
}

/// The error of a body; `told` is what the head says that it is. A gateway has errors in a form of its own.
pub(in crate::genai) fn read(root: Field<'_>, told: Option<&str>, budget: &mut Budget) -> Option<CallError> {
    let body: Body<'_> = root.object(budget)?;
    let kind = told.map(str::to_owned).or_else(|| {
        let kind = body.kind.text(budget).or_else(|| body.code.text(budget))?;
        budget.label(shape(&kind))
    });
    let message = message(body.message, budget);
    if kind.is_none() && message.is_none() {
        return openai::error::read(root, budget);
    }
    Some(CallError::of_type(kind.unwrap_or_default(), message))
}

/// What the head alone says stands, if the body says nothing.
pub(in crate::genai) fn settle(told: Option<String>, error: &mut Option<CallError>) {
    if let Some(kind) = told {
        let error = error.get_or_insert_default();
        if error.kind.is_empty() {
            (error.kind, error.provider_type) = (kind.clone(), Some(kind));
        }
    }
}

/// The error that a message of an event stream is, if its type is none of the events that the API has. An exception is
/// named so; what is wrong with the connection has a code in its head and no payload.
pub(in crate::genai) fn in_stream(event: &SseEvent, budget: &mut Budget) -> Option<CallError> {
    let empty = event.data.is_empty();
    if event.event.is_empty() || !(empty || event.event.ends_with("Exception")) {
        return None;
    }
    let kind = budget.label(&event.event)?;
    let document = Document::read(&event.data);
    let body: Option<Body<'_>> = document.object(budget);
    Some(CallError::of_type(kind, body.and_then(|body| message(body.message, budget))))
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    fn error(kind: &str, message: Option<&str>) -> CallError {
        CallError::of_type(kind.to_owned(), message.map(str::to_owned))
    }

    #[test]
    fn bodies() {
        let cases = [
            (
                r#"{"message":"m"}"#,
                Some("ValidationException"),
                Some(error("ValidationException", Some("m"))),
            ),
            (r#"{"Message":"m"}"#, None, Some(error("", Some("m")))),
            (
                r#"{"__type":"com.amazon.coral.service#ExpiredTokenException"}"#,
                None,
                Some(error("ExpiredTokenException", None)),
            ),
            (r#"{"code":"aws.x#A:http://b/"}"#, None, Some(error("A", None))),
            // A gateway's.
            (r#"{"error":{"type":"budget","message":"m"}}"#, None, Some(error("budget", Some("m")))),
            ("{}", None, None),
            ("{}", Some("A"), Some(error("A", None))),
            ("[]", Some("A"), None),
        ];
        for (body, told, expected) in cases {
            let found = read(Field::root(body.as_bytes()).unwrap(), told, &mut budget());
            assert_eq!(found, expected, "{body} {told:?}");
        }
    }

    #[test]
    fn streams() {
        let cases = [
            ("throttlingException", r#"{"message":"m"}"#, Some(error("throttlingException", Some("m")))),
            ("modelStreamErrorException", "no JSON", Some(error("modelStreamErrorException", None))),
            ("InternalError", "", Some(error("InternalError", None))),
            ("brandNewEvent", "{}", None),
            ("", "", None),
        ];
        for (kind, data, expected) in cases {
            let event = SseEvent { event: kind.into(), data: data.into() };
            assert_eq!(in_stream(&event, &mut budget()), expected, "{kind} {data}");
        }
    }

    #[test]
    fn what_the_head_says_stands_where_the_body_says_nothing() {
        let cases = [
            (Some("A"), None, Some(error("A", None))),
            (Some("A"), Some(error("", Some("m"))), Some(error("A", Some("m")))),
            (Some("A"), Some(error("B", None)), Some(error("B", None))),
            (None, None, None),
        ];
        for (told, mut found, expected) in cases {
            settle(told.map(str::to_owned), &mut found);
            assert_eq!(found, expected, "{told:?}");
        }
    }
}
