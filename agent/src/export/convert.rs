//! Batches as exporters send them.

use std::sync::Arc;

use crate::contract::{Delivery, Resource};

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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        contract::{Attribute, Kind, Span, Status, Value, otlp},
        time::Timestamp,
    };
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
        serde_json::to_value(otlp::traces_data(delivery, "https://example.com/1")).unwrap()
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
    }

    #[test]
    fn batches_are_grouped_by_resource() {
        let (a, b) = (delivery(1, &[]), delivery(2, &[]));
        let equal_to_a = delivery(1, &[]);
        let batch: Vec<_> = [&a, &b, &a, &equal_to_a, &b].map(|d| Arc::new(d.clone())).into();
        let groups: Vec<_> = by_resource(&batch).into_iter().map(|(_, members)| members).collect();
        assert_eq!(groups, [vec![0, 2, 3], vec![1, 4]]);
    }
}
