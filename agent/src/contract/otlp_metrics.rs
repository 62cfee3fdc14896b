//! Metrics in the types of the OTLP protocol. Sums are cumulative: what a collector misses once, the next request has.

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar as ProtoExemplar, Histogram as ProtoHistogram, HistogramDataPoint,
    Metric as ProtoMetric, NumberDataPoint, ResourceMetrics as ProtoResourceMetrics, ScopeMetrics, Sum,
    exemplar::Value as ExemplarValue, metric::Data, number_data_point::Value as Number,
};

use super::{
    metric::{Instrument, Measured, Metric, MetricDef, Point, ResourceMetrics},
    otlp::{key_value, resource, scope},
};
use crate::{metrics::Exemplar, time::Timestamp};

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// The metrics of one resource at a moment, under a version of the contract.
pub fn resource_metrics(of: &ResourceMetrics, time: Timestamp, schema_url: &str) -> ProtoResourceMetrics {
    ProtoResourceMetrics {
        resource: Some(resource(&of.resource)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: of.metrics.iter().map(|of| metric(of, time)).collect(),
            schema_url: schema_url.to_owned(),
        }],
        schema_url: schema_url.to_owned(),
    }
}

fn metric(of: &Metric, time: Timestamp) -> ProtoMetric {
    let points = of.points.iter();
    let data = match of.def.instrument {
        Instrument::Counter => Data::Sum(Sum {
            data_points: points.filter_map(|point| number(point, time)).collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Instrument::Histogram => Data::Histogram(ProtoHistogram {
            data_points: points.filter_map(|point| distribution(of.def, point, time)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    ProtoMetric {
        name: of.def.name.to_owned(),
        description: of.def.brief.to_owned(),
        unit: of.def.unit.to_owned(),
        data: Some(data),
        ..ProtoMetric::default()
    }
}

fn number(point: &Point, time: Timestamp) -> Option<NumberDataPoint> {
    let value = match point.measured {
        Measured::Count(count) => Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX)),
        Measured::Sum(sum) => Number::AsDouble(sum),
        Measured::Distribution { .. } => return None,
    };
    Some(NumberDataPoint {
        attributes: point.attributes.iter().map(key_value).collect(),
        start_time_unix_nano: point.start.0,
        time_unix_nano: time.0,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

fn distribution(def: &MetricDef, point: &Point, time: Timestamp) -> Option<HistogramDataPoint> {
    let Measured::Distribution { buckets, sum, range, exemplars } = &point.measured else { return None };
    Some(HistogramDataPoint {
        attributes: point.attributes.iter().map(key_value).collect(),
        start_time_unix_nano: point.start.0,
        time_unix_nano: time.0,
        count: buckets.iter().sum(),
        sum: Some(*sum),
        bucket_counts: buckets.clone(),
        explicit_bounds: def.boundaries.to_vec(),
        exemplars: exemplars.iter().map(|(_, of)| exemplar(of)).collect(),
        min: range.map(|(least, _)| least),
        max: range.map(|(_, largest)| largest),
        ..HistogramDataPoint::default()
    })
}

fn exemplar(of: &Exemplar) -> ProtoExemplar {
    ProtoExemplar {
        time_unix_nano: of.time.0,
        span_id: of.span_id.to_vec(),
        trace_id: of.trace_id.to_vec(),
        value: Some(ExemplarValue::AsDouble(of.value)),
        ..ProtoExemplar::default()
    }
}
