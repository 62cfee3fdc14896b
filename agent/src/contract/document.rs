//! The content of a call as a file of its own, to which its span refers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    key::{ValueKind, definition},
    names,
    span::{Attribute, Delivery, Span, Value},
};
use crate::{text::hex, time::Timestamp};

/// The name of the file below the directory of all: of the minute in which the call ended, then of its trace and span.
pub fn file_name(trace_id: [u8; 16], span_id: [u8; 8], end: Timestamp) -> String {
    format!("{}/{}-{}.json", minute(end), hex(&trace_id), hex(&span_id))
}

/// The directory of a minute, as `20261126T1317Z`: in the order of their names they are in the order of time.
pub fn minute(time: Timestamp) -> String {
    time.utc().strftime("%Y%m%dT%H%MZ").to_string()
}

/// Of which call it is, and what was said in it.
#[derive(Serialize)]
struct Document<'a> {
    trace_id: String,
    span_id: String,
    #[serde(flatten)]
    content: BTreeMap<&'a str, Content<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Texts(&'a [String]),
}

/// The path below the directory of all, and the text, of the file of a call; none if the call has no content.
pub fn document(delivery: &Delivery) -> Option<(String, Vec<u8>)> {
    let span = &delivery.span;
    // Without it nobody would find the file, nor know of its form.
    span.get(names::PLAINSPAN_CONTENT_REFERENCE.name())?;
    let all = span.attributes.iter().chain(&delivery.resource.attributes);
    let content: BTreeMap<_, _> = all.filter_map(|of| Some((of.key, content(of)?))).collect();
    let Span { trace_id, span_id, end, .. } = *span;
    let document = Document { trace_id: hex(&trace_id), span_id: hex(&span_id), content };
    // Keys are texts, and so nothing in it can fail.
    let mut text = serde_json::to_vec(&document).ok()?;
    text.push(b'\n');
    Some((file_name(trace_id, span_id, end), text))
}

fn content(of: &Attribute) -> Option<Content<'_>> {
    let is_json = definition(of.key).is_some_and(|def| def.kind == ValueKind::Json);
    Some(match &of.value {
        _ if !of.is_content() => return None,
        Value::String(text) => match (is_json, serde_json::from_str(text)) {
            (true, Ok(json)) => Content::Json(json),
            _ => Content::Text(text),
        },
        Value::Strings(texts) => Content::Texts(texts),
        Value::Int(_) | Value::Double(_) | Value::Bool(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::{Kind, Resource, Status};

    fn delivery(attributes: Vec<(&'static str, Value)>) -> Delivery {
        let of = |(key, value)| Attribute { key, value };
        Delivery {
            span: Span {
                trace_id: [0xab; 16],
                span_id: [1; 8],
                parent_span_id: None,
                link: None,
                flags: 1,
                trace_state: String::new(),
                name: "chat".into(),
                kind: Kind::Client,
                start: Timestamp(0),
                end: Timestamp(1_795_699_079_000_000_000),
                attributes: attributes.into_iter().map(of).collect(),
                status: Status::Unset,
            },
            resource: Arc::new(Resource {
                attributes: vec![of(("process.command_args", Value::Strings(vec!["app".into()])))],
                extra: Vec::new(),
            }),
        }
    }

    #[test]
    fn a_file_has_what_was_said_and_nothing_else() {
        let text = |text: &str| Value::String(text.to_owned());
        let found = document(&delivery(vec![
            ("plainspan.content.reference", text("file:///x")),
            ("gen_ai.request.model", text("m")),
            ("gen_ai.input.messages", text(r#"[{"role":"user","n":1.50}]"#)),
            ("gen_ai.output.messages", text("[torn")),
            ("plainspan.error.message", text("[1]")),
        ]));
        let (name, text) = found.unwrap();
        assert_eq!(name, format!("20261126T1317Z/{}-{}.json", "ab".repeat(16), "01".repeat(8)));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!(
                r#"{{"trace_id":"{}","span_id":"{}","gen_ai.input.messages":[{{"role":"user","n":1.50}}],"gen_ai.output.messages":"[torn","plainspan.error.message":"[1]","process.command_args":["app"]}}"#,
                "ab".repeat(16),
                "01".repeat(8)
            ) + "\n"
        );
    }

    #[test]
    fn a_call_without_a_reference_has_no_file() {
        let messages = ("gen_ai.input.messages", Value::String("[]".into()));
        assert_eq!(document(&delivery(vec![messages])), None);
    }
}
