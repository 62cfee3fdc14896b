//! Events in the types of the OTLP protocol: log records with an event name.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as Any},
    logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs, SeverityNumber},
};
use serde_json::Value as Parsed;

use super::{
    key::{ValueKind, definition},
    names,
    otlp::{key_value, resource, scope},
    span::{Attribute, Delivery, Place, Resource, Span, Value},
};

/// The event of a call whose content is kept; none of others, and none of calls of MCP.
///
/// It has what the span has, so that who reads events needs no spans; what is JSON in a text there is structured here, as the conventions
/// want it.
pub fn details(span: &Span) -> Option<LogRecord> {
    let shape = &names::EVENT_GEN_AI_CLIENT_INFERENCE_OPERATION_DETAILS;
    let own = |of: &&Attribute| definition(of.key).is_some_and(|def| shape.has(def));
    let wanted = span.goes_to(Place::Events) && span.attributes.iter().filter(own).any(Attribute::is_content);
    // Calls of MCP have other content.
    if !wanted || span.read(names::MCP_METHOD_NAME).is_some() {
        return None;
    }
    Some(LogRecord {
        time_unix_nano: span.end.0,
        observed_time_unix_nano: span.end.0,
        severity_number: SeverityNumber::Info as i32,
        severity_text: "INFO".to_owned(),
        event_name: shape.name.to_owned(),
        attributes: span.attributes.iter().filter(own).map(structured).collect(),
        flags: u32::from(span.flags),
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        ..LogRecord::default()
    })
}

/// Events of one resource, under a version of the contract.
pub fn resource_logs(of: &Resource, log_records: Vec<LogRecord>, schema_url: &str) -> ResourceLogs {
    ResourceLogs {
        resource: Some(resource(of)),
        scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: schema_url.to_owned() }],
        schema_url: schema_url.to_owned(),
    }
}

/// The event of a call under its resource, if it has one.
pub fn logs_data(delivery: &Delivery, schema_url: &str) -> Option<LogsData> {
    let records = vec![details(&delivery.span)?];
    Some(LogsData { resource_logs: vec![resource_logs(&delivery.resource, records, schema_url)] })
}

fn structured(of: &Attribute) -> KeyValue {
    let is_json = definition(of.key).is_some_and(|def| def.kind == ValueKind::Json);
    let parsed = match &of.value {
        Value::String(text) if is_json => serde_json::from_str(text).ok(),
        _ => None,
    };
    match parsed {
        Some(parsed) => KeyValue { key: of.key.to_owned(), value: Some(any(parsed)), ..KeyValue::default() },
        None => key_value(of),
    }
}

/// It is not deeper than what `serde_json` reads, which is 128 levels.
fn any(parsed: Parsed) -> AnyValue {
    let value = match parsed {
        Parsed::Null => None,
        Parsed::Bool(flag) => Some(Any::BoolValue(flag)),
        Parsed::Number(number) => Some(match number.as_i64() {
            Some(number) => Any::IntValue(number),
            None => Any::DoubleValue(number.as_f64().unwrap_or_default()),
        }),
        Parsed::String(text) => Some(Any::StringValue(text)),
        Parsed::Array(items) => {
            Some(Any::ArrayValue(ArrayValue { values: items.into_iter().map(any).collect() }))
        }
        Parsed::Object(members) => {
            let values = members.into_iter().map(|(key, value)| KeyValue {
                key,
                value: Some(any(value)),
                ..KeyValue::default()
            });
            Some(Any::KvlistValue(KeyValueList { values: values.collect() }))
        }
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        account::Account,
        contract::{Options, Profile, Relations, SpanIds, Status, build, document},
        genai::{Call, CallError, Content, Generation, Mcp, Message, Part},
        policy::content::{Form, Placement},
        time::Timestamp,
    };

    const IDS: SpanIds = SpanIds { trace_id: [1; 16], span_id: [2; 8] };

    /// A call that asked for a tool, and failed with a message that quotes it.
    fn call() -> Call {
        let mut call =
            Call { dialect: "openai.chat_completions", end: Timestamp(60_000_000_000), ..Call::default() };
        call.request.model = Some("m".into());
        let part = Part::ToolCall {
            id: Some("1".into()),
            name: "get".into(),
            arguments: Content::from(r#"{"n":[1,2.5,null,true,18446744073709551615],"deep":{"er":"asked"}}"#),
        };
        let message = Message { role: "assistant".into(), name: None, parts: vec![part] };
        call.response.generations = vec![Generation { message, ..Generation::default() }];
        let message = Some("you asked for get".into());
        call.error = Some(CallError { kind: "server_error".into(), message, ..CallError::default() });
        call
    }

    fn span(call: &Call, content: Form, placement: Placement, profile: &'static Profile) -> Span {
        let options = Options { content, placement, profile, ..Options::default() };
        build(call, IDS, Relations::default(), &options, &Account::default())
    }

    fn events() -> Placement {
        Placement { spans: false, events: true, files: None }
    }

    #[test]
    fn content_is_structured_and_the_rest_is_as_on_the_span() {
        for profile in ["overlap", "current", "otel-1.41"] {
            let span = span(&call(), Form::Full, events(), Profile::parse(profile).unwrap());
            let event = details(&span).unwrap();
            assert_eq!(event.event_name, "gen_ai.client.inference.operation.details");
            assert_eq!((event.trace_id.as_slice(), event.span_id.as_slice()), (&[1; 16][..], &[2; 8][..]));
            assert_eq!((event.time_unix_nano, event.severity_text.as_str()), (span.end.0, "INFO"));
            let keys =
                |attributes: &[KeyValue]| attributes.iter().map(|of| of.key.clone()).collect::<Vec<_>>();
            let own: Vec<_> = span.attributes.iter().map(|of| of.key.to_owned()).collect();
            assert_eq!(keys(&event.attributes), own, "{profile}");
            let said = event.attributes.iter().find(|of| of.key == "gen_ai.output.messages").unwrap();
            let json = serde_json::to_string(&said.value).unwrap();
            for part in [
                r#"{"key":"n","value":{"arrayValue":{"values":[{"intValue":"1"},{"doubleValue":2.5},{},{"boolValue":true},{"doubleValue":1.8446744073709552e+19}]}}}"#,
                r#"{"key":"er","value":{"stringValue":"asked"}}"#,
            ] {
                assert!(json.contains(part), "{part} is not in {json}");
            }
        }
    }

    #[test]
    fn what_is_asked_goes_where_it_is_wanted_and_nowhere_else() {
        let files = || Some("file:///c".into());
        for (spans, events, files) in [
            (true, false, None),
            (true, true, None),
            (false, true, None),
            (false, false, files()),
            (true, true, files()),
        ] {
            let placement = Placement { spans, events, files };
            let built = span(&call(), Form::Full, placement.clone(), Profile::DEFAULT);
            let message = built.status == Status::Error("you asked for get".into());
            assert_eq!(message, spans, "{placement:?}: {:?}", built.status);
            let elsewhere = built.get("plainspan.error.message");
            assert_eq!(elsewhere.is_some(), !placement.is_spans_alone(), "{placement:?}");
            let places =
                [(Place::Spans, spans), (Place::Events, events), (Place::Files, placement.files.is_some())];
            for (place, wanted) in places {
                assert_eq!(built.goes_to(place), wanted, "{placement:?} {place:?}");
            }
            assert_eq!(details(&built).is_some(), events, "{placement:?}");
            let args = Attribute { key: "process.command_args", value: Value::Strings(vec!["asked".into()]) };
            let resource = Arc::new(Resource { attributes: vec![args], ..Resource::default() });
            let delivery = Delivery { span: built, resource };
            let reference = format!("file:///c/19700101T0001Z/{}-{}.json", "01".repeat(16), "02".repeat(8));
            let reference = placement.files.is_some().then_some(Value::String(reference));
            assert_eq!(delivery.span.get("plainspan.content.reference"), reference.as_ref());
            let file = document(&delivery).map(|(_, text)| String::from_utf8(text).unwrap());
            assert_eq!(file.is_some(), placement.files.is_some());
            assert!(file.is_none_or(
                |file| file.contains(r#""arguments":{"n":[1,2.5,null"#) && file.contains("you asked")
            ));
            // As it is exported where spans have no content.
            let bare = delivery.without_content();
            let status = Status::Error("server_error".into());
            let bare = Delivery { span: Span { status, ..bare.span }, ..bare };
            assert!(!format!("{bare:?}").contains("asked"), "{bare:?}");
            assert!(details(&bare.span).is_none());
            assert_eq!(bare.span.get("plainspan.content.form"), Some(&Value::String("full".into())));
        }
    }

    #[test]
    fn only_calls_of_models_with_content_have_an_event() {
        let none = span(&call(), Form::None, events(), Profile::DEFAULT);
        assert!(details(&none).is_none() && none.get("plainspan.error.message").is_none());
        let mcp = Mcp { method: "tools/call".into(), arguments: Some(Content::from("{}")), ..Mcp::default() };
        let mcp = Call { mcp: Some(Box::new(mcp)), ..call() };
        let mcp = span(&mcp, Form::Full, events(), Profile::DEFAULT);
        assert!(mcp.attributes.iter().any(Attribute::is_content) && details(&mcp).is_none());
    }
}
