//! Spans in the types of the OTLP protocol, and back.
//!
//! One span stands under its own resource, as the OTLP file format has it (OpenTelemetry protocol file exporter
//! specification); [`encode`] and [`decode`] are the same message in protobuf.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry::trace::TraceState;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    resource::v1::Resource as ProtoResource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as ProtoSpan, SpanFlags, Status as ProtoStatus, TracesData,
        span::{Link as ProtoLink, SpanKind},
        status::StatusCode,
    },
};
use prost::Message;
use thiserror::Error;

use super::{
    Attribute, Delivery, Kind, Link, LinkReason, Resource, Span, Status, Text, Value, definition, names,
};
use crate::time::Timestamp;

/// Most names that no version of the contract known here has, and that are kept all the same; they stay in memory for good.
const MAX_FOREIGN_NAMES: usize = 1024;

/// Bytes that are no span.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum DecodeError {
    /// No protobuf of this type.
    #[error("it is no OTLP: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// It is, and something is missing in it.
    #[error("it is OTLP without {0}")]
    Incomplete(&'static str),
}

/// Who made the spans: the agent.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// One span under its resource, both under a version of the contract.
pub fn traces_data(delivery: &Delivery, schema_url: &str) -> TracesData {
    TracesData {
        resource_spans: vec![resource_spans(&delivery.resource, vec![span(&delivery.span)], schema_url)],
    }
}

/// Spans of one resource.
pub fn resource_spans(resource: &Resource, spans: Vec<ProtoSpan>, schema_url: &str) -> ResourceSpans {
    ResourceSpans {
        resource: Some(self::resource(resource)),
        scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, schema_url: schema_url.to_owned() }],
        schema_url: schema_url.to_owned(),
    }
}

/// A span as the protocol has it.
pub fn span(span: &Span) -> ProtoSpan {
    // Whether the parent is remote is known: it was read from a request.
    let remote = if span.parent_span_id.is_some() { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let flags = u32::from(span.flags) | SpanFlags::ContextHasIsRemoteMask as u32;
    ProtoSpan {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        // One that is not valid is not passed on (W3C Trace Context, 3.3.1).
        trace_state: span.trace_state.parse::<TraceState>().unwrap_or_default().header(),
        parent_span_id: span.parent_span_id.map(Vec::from).unwrap_or_default(),
        flags: flags | remote,
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Client => SpanKind::Client,
            Kind::Server => SpanKind::Server,
        } as i32,
        start_time_unix_nano: span.start.0,
        end_time_unix_nano: span.end.0,
        attributes: span.attributes.iter().map(key_value).collect(),
        links: span
            .link
            .map(|link| ProtoLink {
                trace_id: link.trace_id.to_vec(),
                span_id: link.span_id.to_vec(),
                flags,
                ..ProtoLink::default()
            })
            .into_iter()
            .collect(),
        status: Some(match &span.status {
            Status::Unset => ProtoStatus::default(),
            Status::Error(description) => {
                ProtoStatus { code: StatusCode::Error as i32, message: description.clone() }
            }
        }),
        ..ProtoSpan::default()
    }
}

/// A resource as the protocol has it: what the user added comes last and replaces nothing.
pub(super) fn resource(resource: &Resource) -> ProtoResource {
    let own = resource.attributes.iter().map(key_value);
    let extra = resource
        .extra
        .iter()
        .filter(|(key, _)| !resource.attributes.iter().any(|attribute| attribute.key == key))
        .map(|(key, text)| pair(key, Any::StringValue(text.clone())));
    ProtoResource { attributes: own.chain(extra).collect(), ..ProtoResource::default() }
}

pub(super) fn key_value(attribute: &Attribute) -> KeyValue {
    let value = match &attribute.value {
        Value::String(text) => Any::StringValue(text.clone()),
        Value::Int(number) => Any::IntValue(*number),
        Value::Double(number) => Any::DoubleValue(*number),
        Value::Bool(flag) => Any::BoolValue(*flag),
        Value::Strings(texts) => Any::ArrayValue(ArrayValue {
            values: texts
                .iter()
                .map(|text| AnyValue { value: Some(Any::StringValue(text.clone())) })
                .collect(),
        }),
    };
    pair(attribute.key, value)
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A span under its resource as the bytes of a `TracesData`, under this version of the contract.
pub fn encode(delivery: &Delivery) -> Vec<u8> {
    traces_data(delivery, super::SCHEMA_URL).encode_to_vec()
}

/// The span in the bytes of a `TracesData` with one span. Its attributes may be those of another version of the contract.
///
/// # Errors
/// Bytes that are no such message.
pub fn decode(bytes: &[u8]) -> Result<Delivery, DecodeError> {
    let missing = DecodeError::Incomplete;
    let data = TracesData::decode(bytes)?;
    let outer = data.resource_spans.into_iter().next().ok_or(missing("a resource"))?;
    let scope = outer.scope_spans.into_iter().next().ok_or(missing("a scope"))?;
    let span = scope.spans.into_iter().next().ok_or(missing("a span"))?;
    Ok(Delivery { span: of_span(span)?, resource: Arc::new(of_resource(outer.resource)) })
}

/// The spans of a resource, whoever made them, in their order.
///
/// # Errors
/// Of each span that is none.
pub fn deliveries(spans: ResourceSpans) -> impl Iterator<Item = Result<Delivery, DecodeError>> {
    let resource = Arc::new(of_resource(spans.resource));
    let spans = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| Ok(Delivery { span: of_span(span)?, resource: Arc::clone(&resource) }))
}

fn of_resource(found: Option<ProtoResource>) -> Resource {
    let mut resource = Resource::default();
    for KeyValue { key, value, .. } in found.map(|r| r.attributes).unwrap_or_default() {
        match (definition(&key), value.and_then(value_of)) {
            (None, Some(Value::String(text))) => resource.extra.push((key, text)),
            (_, Some(value)) => resource.attributes.extend(attribute(&key, value)),
            (_, None) => {}
        }
    }
    resource
}

fn of_span(span: ProtoSpan) -> Result<Span, DecodeError> {
    let attributes: Vec<Attribute> = span
        .attributes
        .into_iter()
        .filter_map(|KeyValue { key, value, .. }| attribute(&key, value.and_then(value_of)?))
        .collect();
    let link = span.links.first().map(|link| {
        Ok::<_, DecodeError>(Link {
            trace_id: id(&link.trace_id, "the trace id of a link")?,
            span_id: id(&link.span_id, "the span id of a link")?,
            reason: link_reason(&attributes),
        })
    });
    let status = span.status.unwrap_or_default();
    Ok(Span {
        trace_id: id(&span.trace_id, "a trace id")?,
        span_id: id(&span.span_id, "a span id")?,
        parent_span_id: match &*span.parent_span_id {
            [] => None,
            parent => Some(id(parent, "a whole parent's id")?),
        },
        link: link.transpose()?,
        flags: (span.flags & 0xff) as u8,
        trace_state: span.trace_state,
        name: span.name,
        kind: if span.kind == SpanKind::Server as i32 { Kind::Server } else { Kind::Client },
        start: Timestamp(span.start_time_unix_nano),
        end: Timestamp(span.end_time_unix_nano),
        attributes,
        status: if status.code == StatusCode::Error as i32 {
            Status::Error(status.message)
        } else {
            Status::Unset
        },
    })
}

fn link_reason(attributes: &[Attribute]) -> LinkReason {
    let thread = Value::String(LinkReason::SameThread.into_text());
    let said = attributes.iter().find(|a| a.key == names::PLAINSPAN_LINK_REASON.name());
    if said.is_some_and(|a| a.value == thread) { LinkReason::SameThread } else { LinkReason::TraceContext }
}

fn id<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::Incomplete(what))
}

/// The kinds of values that spans have here; others were never written.
fn value_of(value: AnyValue) -> Option<Value> {
    Some(match value.value? {
        Any::StringValue(text) => Value::String(text),
        Any::IntValue(number) => Value::Int(number),
        Any::DoubleValue(number) => Value::Double(number),
        Any::BoolValue(flag) => Value::Bool(flag),
        Any::ArrayValue(array) => Value::Strings(
            array
                .values
                .into_iter()
                .filter_map(|item| match item.value? {
                    Any::StringValue(text) => Some(text),
                    _ => None,
                })
                .collect(),
        ),
        _ => return None,
    })
}

/// The attribute; none if its name is one too many that the contract does not know.
fn attribute(key: &str, value: Value) -> Option<Attribute> {
    let key = definition(key).map(|def| def.name).or_else(|| foreign(key))?;
    Some(Attribute { key, value })
}

/// A name of another version of the contract, kept for good.
fn foreign(key: &str) -> Option<&'static str> {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(key) {
        return Some(known);
    }
    if names.len() >= MAX_FOREIGN_NAMES {
        return None;
    }
    let kept: &'static str = Box::leak(key.to_owned().into_boxed_str());
    names.insert(kept);
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::SCHEMA_URL;
    use proptest::prelude::*;

    fn full() -> Delivery {
        let attribute = |key, value| Attribute { key, value };
        Delivery {
            span: Span {
                trace_id: [0xab; 16],
                span_id: [0xcd; 8],
                parent_span_id: Some([7; 8]),
                link: Some(Link { trace_id: [8; 16], span_id: [9; 8], reason: LinkReason::SameThread }),
                flags: 1,
                trace_state: "a=1,b@c=2".into(),
                name: "chat gpt-4o".into(),
                kind: Kind::Server,
                start: Timestamp(1_700_000_000_123_456_789),
                end: Timestamp(1_700_000_001_943_456_789),
                attributes: vec![
                    attribute("gen_ai.request.model", Value::String("é\n".into())),
                    attribute("gen_ai.usage.input_tokens", Value::Int(i64::MIN)),
                    attribute("gen_ai.request.temperature", Value::Double(0.25)),
                    attribute("gen_ai.request.stream", Value::Bool(true)),
                    attribute("gen_ai.response.finish_reasons", Value::Strings(vec!["stop".into()])),
                    attribute("gen_ai.request.stop_sequences", Value::Strings(vec![])),
                    attribute("plainspan.link.reason", Value::String("same_thread".into())),
                    attribute("of.an.older.version", Value::Int(1)),
                ],
                status: Status::Error("overloaded".into()),
            },
            resource: Arc::new(Resource {
                attributes: vec![
                    attribute("service.name", Value::String("app".into())),
                    attribute("process.pid", Value::Int(42)),
                ],
                extra: vec![("team".into(), "a b".into())],
            }),
        }
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        let written = full();
        let read = decode(&encode(&written)).unwrap();
        assert_eq!((&read.span, &*read.resource), (&written.span, &*written.resource));
        let Delivery { mut span, resource } = written;
        (span.parent_span_id, span.link, span.status, span.kind) = (None, None, Status::Unset, Kind::Client);
        let read = decode(&encode(&Delivery { span: span.clone(), resource })).unwrap();
        assert_eq!(read.span, span);
    }

    #[test]
    fn stored_bytes_name_their_contract() {
        let data = TracesData::decode(&*encode(&full())).unwrap();
        assert_eq!(data.resource_spans[0].schema_url, SCHEMA_URL);
        assert_eq!(data.resource_spans[0].scope_spans[0].scope.as_ref().unwrap().name, "plainspan");
    }

    #[test]
    fn what_is_no_span_says_what_is_missing() {
        assert!(matches!(decode(b"\xff\xff"), Err(DecodeError::Protobuf(_))));
        assert_eq!(decode(b""), Err(DecodeError::Incomplete("a resource")));
        let mut data = traces_data(&full(), SCHEMA_URL);
        data.resource_spans[0].scope_spans[0].spans[0].trace_id.pop();
        assert_eq!(decode(&data.encode_to_vec()), Err(DecodeError::Incomplete("a trace id")));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_cut_never_panics(at in any::<proptest::sample::Index>()) {
            let bytes = encode(&full());
            let _ = decode(&bytes[..at.index(bytes.len())]);
        }
    }
}
