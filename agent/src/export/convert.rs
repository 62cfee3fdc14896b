//! Spans in the types of `opentelemetry_sdk` and of the OTLP protocol.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Array, InstrumentationScope, Key, KeyValue, StringValue, Value as SdkValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status as SdkStatus, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::{
    tonic::{
        resource::v1::Resource as ProtoResource,
        trace::v1::{ResourceSpans, ScopeSpans, TracesData},
    },
    transform::common::tonic::Attributes,
};
use opentelemetry_sdk::{
    Resource as SdkResource,
    trace::{SpanData, SpanEvents, SpanLinks},
};

use crate::{
    contract::{Attribute, Delivery, Kind, Resource, Span, Status, Value},
    time::Timestamp,
};

/// Who made the spans: the agent, under a version of the contract.
pub(super) fn scope(schema_url: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(schema_url)
        .build()
}

/// A span as the SDK has it.
pub(super) fn span_data(span: &Span, scope: &InstrumentationScope) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(span.trace_id),
            SpanId::from_bytes(span.span_id),
            TraceFlags::new(span.flags),
            false,
            // One that is not valid is not passed on (W3C Trace Context, 3.3.1).
            span.trace_state.parse::<TraceState>().unwrap_or_default(),
        ),
        parent_span_id: span.parent_span_id.map_or(SpanId::INVALID, SpanId::from_bytes),
        // It was read from a request.
        parent_span_is_remote: span.parent_span_id.is_some(),
        span_kind: match span.kind {
            Kind::Client => SpanKind::Client,
            Kind::Server => SpanKind::Server,
        },
        name: span.name.clone().into(),
        start_time: system_time(span.start),
        end_time: system_time(span.end),
        attributes: span.attributes.iter().map(key_value).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: links(span),
        status: match &span.status {
            Status::Unset => SdkStatus::Unset,
            Status::Error(description) => SdkStatus::error(description.clone()),
        },
        instrumentation_scope: scope.clone(),
    }
}

fn links(span: &Span) -> SpanLinks {
    let mut links = SpanLinks::default();
    links.links.extend(span.link.map(|link| {
        let (trace, id) = (TraceId::from_bytes(link.trace_id), SpanId::from_bytes(link.span_id));
        Link::with_context(SpanContext::new(trace, id, TraceFlags::new(span.flags), false, TraceState::NONE))
    }));
    links
}

/// A resource as the SDK has it.
pub(super) fn resource(resource: &Resource, schema_url: &'static str) -> SdkResource {
    SdkResource::builder_empty().with_schema_url(resource_attributes(resource), schema_url).build()
}

/// One span under its resource, as the OTLP file format has it.
pub(super) fn traces_data(delivery: &Delivery, scope: &InstrumentationScope) -> TracesData {
    let schema_url = scope.schema_url().unwrap_or_default().to_owned();
    TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(ProtoResource {
                attributes: Attributes::from(resource_attributes(&delivery.resource)).0,
                ..ProtoResource::default()
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some((scope, None).into()),
                spans: vec![span_data(&delivery.span, scope).into()],
                schema_url: schema_url.clone(),
            }],
            schema_url,
        }],
    }
}

/// Positions in the batch, by resource; resources and their spans in the order of the batch.
pub(super) fn by_resource(batch: &[Arc<Delivery>]) -> Vec<(&Resource, Vec<usize>)> {
    let mut groups: Vec<(&Arc<Resource>, Vec<usize>)> = Vec::new();
    for (at, delivery) in batch.iter().enumerate() {
        // Processes come in runs, so the search is short from the end.
        let known = groups.iter_mut().rev().find(|(resource, _)| {
            Arc::ptr_eq(resource, &delivery.resource) || **resource == delivery.resource
        });
        match known {
            Some((_, members)) => members.push(at),
            None => groups.push((&delivery.resource, vec![at])),
        }
    }
    groups.into_iter().map(|(resource, members)| (&**resource, members)).collect()
}

/// About how much memory a span takes, in bytes, its resource not counted.
pub(super) fn size(span: &Span) -> usize {
    const FIXED: usize = 256;
    const ATTRIBUTE: usize = 48;
    let attributes: usize = span
        .attributes
        .iter()
        .map(|attribute| {
            let value = match &attribute.value {
                Value::String(text) => text.len(),
                Value::Strings(texts) => texts.iter().map(|text| text.len() + 24).sum(),
                Value::Int(_) | Value::Double(_) | Value::Bool(_) => 8,
            };
            ATTRIBUTE + attribute.key.len() + value
        })
        .sum();
    FIXED + span.name.len() + span.trace_state.len() + attributes
}

/// What the user added comes last and replaces nothing.
fn resource_attributes(resource: &Resource) -> Vec<KeyValue> {
    let own = resource.attributes.iter().map(key_value);
    let extra = resource
        .extra
        .iter()
        .filter(|(key, _)| !resource.attributes.iter().any(|attribute| attribute.key == key))
        .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    own.chain(extra).collect()
}

fn key_value(attribute: &Attribute) -> KeyValue {
    let value = match &attribute.value {
        Value::String(text) => SdkValue::String(text.clone().into()),
        Value::Int(number) => SdkValue::I64(*number),
        Value::Double(number) => SdkValue::F64(*number),
        Value::Bool(flag) => SdkValue::Bool(*flag),
        Value::Strings(texts) => {
            SdkValue::Array(Array::String(texts.iter().cloned().map(StringValue::from).collect()))
        }
    };
    KeyValue::new(Key::from_static_str(attribute.key), value)
}

fn system_time(time: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(time.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    /// A delivery with these attributes, of the process with this id.
    pub fn delivery(pid: i64, attributes: &[(&'static str, Value)]) -> Delivery {
        let attributes_of = |list: &[(&'static str, Value)]| {
            list.iter().map(|(key, value)| Attribute { key, value: value.clone() }).collect()
        };
        Delivery {
            span: Span {
                trace_id: [0xab; 16],
                span_id: [0xcd; 8],
                parent_span_id: None,
                link: None,
                flags: 1,
                trace_state: String::new(),
                name: "chat gpt-4o".into(),
                kind: Kind::Client,
                start: Timestamp(1_700_000_000_123_456_789),
                end: Timestamp(1_700_000_001_943_456_789),
                attributes: attributes_of(attributes),
                status: Status::Unset,
            },
            resource: Arc::new(Resource {
                attributes: attributes_of(&[
                    ("service.name", Value::String("app".into())),
                    ("process.pid", Value::Int(pid)),
                ]),
                extra: Vec::new(),
            }),
        }
    }

    fn json_of(delivery: &Delivery) -> Json {
        serde_json::to_value(traces_data(delivery, &scope("https://example.com/1"))).unwrap()
    }

    #[test]
    fn a_span_keeps_all_that_it_has() {
        let mut delivery = delivery(
            42,
            &[
                ("a.string", Value::String("é\n".into())),
                ("a.int", Value::Int(i64::MAX)),
                ("a.double", Value::Double(0.25)),
                ("a.bool", Value::Bool(true)),
                ("a.list", Value::Strings(vec!["stop".into(), "length".into()])),
                ("an.empty", Value::Strings(vec![])),
            ],
        );
        delivery.span.parent_span_id = Some([7; 8]);
        let reason = crate::contract::LinkReason::SameThread;
        delivery.span.link = Some(crate::contract::Link { trace_id: [8; 16], span_id: [9; 8], reason });
        delivery.span.trace_state = "a=1, b@c=2".into();
        delivery.span.status = Status::Error("overloaded".into());
        delivery.span.kind = Kind::Server;
        let json = json_of(&delivery);
        let resource_spans = &json["resourceSpans"][0];
        let scope_spans = &resource_spans["scopeSpans"][0];
        assert_eq!(resource_spans["schemaUrl"], "https://example.com/1");
        assert_eq!(scope_spans["schemaUrl"], "https://example.com/1");
        assert_eq!(scope_spans["scope"]["name"], "plainspan");
        assert_eq!(scope_spans["scope"]["version"], env!("CARGO_PKG_VERSION"));
        let span = &scope_spans["spans"][0];
        assert_eq!(span["traceId"], "ab".repeat(16));
        assert_eq!(span["spanId"], "cd".repeat(8));
        assert_eq!(span["parentSpanId"], "07".repeat(8));
        assert_eq!(span["traceState"], "a=1,b@c=2");
        assert_eq!(span["links"][0]["traceId"], "08".repeat(16));
        assert_eq!(span["links"][0]["spanId"], "09".repeat(8));
        assert_eq!(span["flags"], 0x301, "sampled, and the parent is known to be remote");
        assert_eq!(span["name"], "chat gpt-4o");
        assert_eq!(span["kind"], 2);
        assert_eq!(span["startTimeUnixNano"], "1700000000123456789");
        assert_eq!(span["endTimeUnixNano"], "1700000001943456789");
        assert_eq!(span["status"], json!({"code": 2, "message": "overloaded"}));
        assert_eq!(
            span["attributes"],
            json!([
                {"key": "a.string", "value": {"stringValue": "é\n"}},
                {"key": "a.int", "value": {"intValue": "9223372036854775807"}},
                {"key": "a.double", "value": {"doubleValue": 0.25}},
                {"key": "a.bool", "value": {"boolValue": true}},
                {"key": "a.list", "value": {"arrayValue": {"values": [{"stringValue": "stop"}, {"stringValue": "length"}]}}},
                {"key": "an.empty", "value": {"arrayValue": {"values": []}}},
            ])
        );
    }

    #[test]
    fn what_a_span_lacks_stays_absent() {
        let mut delivery = delivery(42, &[]);
        delivery.span.trace_state = "NOT VALID".into();
        let json = json_of(&delivery);
        let span = &json["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((&span["parentSpanId"], &span["traceState"]), (&json!(""), &json!("")));
        assert_eq!(span["flags"], 0x101);
        assert_eq!(span["status"]["code"], 0);
    }

    #[test]
    fn a_resource_keeps_its_order_and_its_own() {
        let mut delivery = delivery(42, &[]);
        Arc::make_mut(&mut delivery.resource).extra =
            vec![("deployment".into(), "prod".into()), ("process.pid".into(), "1".into())];
        assert_eq!(
            json_of(&delivery)["resourceSpans"][0]["resource"]["attributes"],
            json!([
                {"key": "service.name", "value": {"stringValue": "app"}},
                {"key": "process.pid", "value": {"intValue": "42"}},
                {"key": "deployment", "value": {"stringValue": "prod"}},
            ])
        );
        let sdk = resource(&delivery.resource, "https://example.com/1");
        assert_eq!((sdk.len(), sdk.schema_url()), (3, Some("https://example.com/1")));
        assert_eq!(sdk.get(&Key::new("process.pid")), Some(SdkValue::I64(42)));
    }

    #[test]
    fn batches_are_grouped_by_resource() {
        let (a, b) = (delivery(1, &[]), delivery(2, &[]));
        let equal_to_a = delivery(1, &[]);
        let batch: Vec<_> = [&a, &b, &a, &equal_to_a, &b].map(|d| Arc::new(d.clone())).into();
        let groups: Vec<_> = by_resource(&batch).into_iter().map(|(_, members)| members).collect();
        assert_eq!(groups, [vec![0, 2, 3], vec![1, 4]]);
    }

    #[test]
    fn sizes_follow_the_content() {
        let small = size(&delivery(1, &[]).span);
        let large = size(&delivery(1, &[("k", Value::String("x".repeat(1000)))]).span);
        assert!(small >= 200 && (small + 1000..small + 1200).contains(&large), "{small} {large}");
    }
}
