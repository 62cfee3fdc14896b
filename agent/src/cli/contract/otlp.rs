//! OTLP as the registry's checks want it: messages of any of the three signals, from the wire or from files.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{Metric, metric::Data},
    resource::v1::Resource,
    trace::v1::Span,
};
use plainspan_registry::{
    Instrument, SpanKind,
    telemetry::{self, Attributes, Value},
};

/// An export of one signal.
#[derive(Debug)]
pub enum Export {
    /// Spans.
    Traces(ExportTraceServiceRequest),
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// Log records, of which those with an event name are events.
    Logs(ExportLogsServiceRequest),
}

/// Something of an export, in the order in which it stands there.
#[derive(Debug, PartialEq)]
pub enum Item {
    /// What the items after it came from.
    Resource(Attributes),
    /// A span.
    Span(telemetry::Span),
    /// A metric.
    Metric(telemetry::Metric),
    /// An event that is no span's.
    Event(telemetry::Event),
    /// A log record without an event name, which is in no contract.
    Log,
}

impl Export {
    /// Hands over its items. Its own memory is freed on the way.
    pub fn items(self, mut take: impl FnMut(Item)) {
        match self {
            Self::Traces(request) => {
                for resource in request.resource_spans {
                    take(Item::Resource(of_resource(resource.resource)));
                    let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    spans.for_each(|span| take(Item::Span(of_span(span))));
                }
            }
            Self::Metrics(request) => {
                for resource in request.resource_metrics {
                    take(Item::Resource(of_resource(resource.resource)));
                    let metrics = resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
                    metrics.for_each(|metric| take(Item::Metric(of_metric(metric))));
                }
            }
            Self::Logs(request) => {
                for resource in request.resource_logs {
                    take(Item::Resource(of_resource(resource.resource)));
                    for record in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                        take(if record.event_name.is_empty() {
                            Item::Log
                        } else {
                            Item::Event(telemetry::Event {
                                name: record.event_name,
                                attributes: of_attributes(record.attributes),
                            })
                        });
                    }
                }
            }
        }
    }

    /// Reads one line of the OTLP file format, of any signal (opentelemetry.io/docs/specs/otel/protocol/file-exporter).
    pub fn of_json_line(line: &str) -> serde_json::Result<Self> {
        // The key of the outermost object tells the signal; a message of another signal would read as an empty one.
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Keys {
            resource_metrics: Option<serde::de::IgnoredAny>,
            resource_logs: Option<serde::de::IgnoredAny>,
        }
        let keys: Keys = serde_json::from_str(line)?;
        Ok(if keys.resource_metrics.is_some() {
            Self::Metrics(serde_json::from_str(line)?)
        } else if keys.resource_logs.is_some() {
            Self::Logs(serde_json::from_str(line)?)
        } else {
            Self::Traces(serde_json::from_str(line)?)
        })
    }
}

fn of_resource(resource: Option<Resource>) -> Attributes {
    of_attributes(resource.map(|resource| resource.attributes).unwrap_or_default())
}

fn of_attributes(attributes: Vec<KeyValue>) -> Attributes {
    attributes.into_iter().map(|pair| (pair.key, of_value(pair.value))).collect()
}

fn of_value(value: Option<AnyValue>) -> Value {
    match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => Value::Text(text),
        Some(any_value::Value::BoolValue(value)) => Value::Bool(value),
        Some(any_value::Value::IntValue(number)) => Value::Int(number),
        Some(any_value::Value::DoubleValue(number)) => Value::Double(number),
        // The decoders limit how deep arrays lie in arrays.
        Some(any_value::Value::ArrayValue(array)) => {
            Value::List(array.values.into_iter().map(|value| of_value(Some(value))).collect())
        }
        Some(any_value::Value::KvlistValue(_)) => Value::Other("map"),
        Some(any_value::Value::BytesValue(_)) => Value::Other("bytes"),
        _ => Value::Other("nothing"),
    }
}

fn of_span(span: Span) -> telemetry::Span {
    use opentelemetry_proto::tonic::trace::v1::{span::SpanKind as Kind, status::StatusCode};
    telemetry::Span {
        kind: match span.kind() {
            Kind::Unspecified => None,
            Kind::Internal => Some(SpanKind::Internal),
            Kind::Server => Some(SpanKind::Server),
            Kind::Client => Some(SpanKind::Client),
            Kind::Producer => Some(SpanKind::Producer),
            Kind::Consumer => Some(SpanKind::Consumer),
        },
        failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
        name: span.name,
        attributes: of_attributes(span.attributes),
        events: span
            .events
            .into_iter()
            .map(|event| telemetry::Event { name: event.name, attributes: of_attributes(event.attributes) })
            .collect(),
    }
}

fn of_metric(metric: Metric) -> telemetry::Metric {
    let mut boundaries = Vec::new();
    let (instrument, points) = match metric.data {
        None => (None, Vec::new()),
        Some(Data::Gauge(gauge)) => {
            (Some(Instrument::Gauge), gauge.data_points.into_iter().map(|p| p.attributes).collect())
        }
        Some(Data::Sum(sum)) => {
            let kind = if sum.is_monotonic { Instrument::Counter } else { Instrument::UpDownCounter };
            (Some(kind), sum.data_points.into_iter().map(|p| p.attributes).collect())
        }
        Some(Data::Histogram(histogram)) => {
            boundaries = histogram.data_points.first().map(|p| p.explicit_bounds.clone()).unwrap_or_default();
            let points = histogram.data_points.into_iter().map(|p| p.attributes).collect();
            (Some(Instrument::Histogram), points)
        }
        Some(Data::ExponentialHistogram(histogram)) => {
            (Some(Instrument::Histogram), histogram.data_points.into_iter().map(|p| p.attributes).collect())
        }
        Some(Data::Summary(summary)) => {
            (None, summary.data_points.into_iter().map(|p| p.attributes).collect::<Vec<_>>())
        }
    };
    telemetry::Metric {
        name: metric.name,
        unit: metric.unit,
        instrument,
        boundaries,
        points: points.into_iter().map(of_attributes).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(line: &str) -> Vec<Item> {
        let mut items = Vec::new();
        Export::of_json_line(line).unwrap().items(|item| items.push(item));
        items
    }

    #[test]
    fn a_line_of_each_signal() {
        let traces = r#"{"resourceSpans": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": "7"}}]},
            "scopeSpans": [{"spans": [{"name": "n", "kind": 3, "status": {"code": 2}, "attributes": [
                {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
                {"key": "m", "value": {"kvlistValue": {"values": []}}}],
                "events": [{"name": "e", "attributes": []}]}]}]}]}"#;
        let span = telemetry::Span {
            name: "n".into(),
            kind: Some(SpanKind::Client),
            failed: true,
            attributes: vec![
                ("l".into(), Value::List(vec![Value::Text("x".into())])),
                ("m".into(), Value::Other("map")),
            ],
            events: vec![telemetry::Event { name: "e".into(), attributes: vec![] }],
        };
        assert_eq!(items(traces), [Item::Resource(vec![("a".into(), Value::Int(7))]), Item::Span(span)]);

        let metrics = r#"{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "unit": "s", "histogram":
            {"dataPoints": [{"explicitBounds": [1, 2.5], "attributes": [{"key": "b", "value": {"boolValue": true}}]}]}}]}]}]}"#;
        let metric = telemetry::Metric {
            name: "m".into(),
            unit: "s".into(),
            instrument: Some(Instrument::Histogram),
            boundaries: vec![1.0, 2.5],
            points: vec![vec![("b".into(), Value::Bool(true))]],
        };
        assert_eq!(items(metrics), [Item::Resource(vec![]), Item::Metric(metric)]);

        let logs = r#"{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "e"}, {"body": {"stringValue": "x"}}]}]}]}"#;
        let event = telemetry::Event { name: "e".into(), attributes: vec![] };
        assert_eq!(items(logs), [Item::Resource(vec![]), Item::Event(event), Item::Log]);
    }

    #[test]
    fn what_is_no_otlp_is_refused() {
        for line in
            ["", "[]", "{\"resourceSpans\": 1}", "{\"resourceSpans\": [{\"scopeSpans\": [{\"spans\": 1}]}]}"]
        {
            assert!(Export::of_json_line(line).is_err(), "{line}");
        }
    }
}
