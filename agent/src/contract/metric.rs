//! What the contract says about metrics.

use super::{
    key::Shape,
    span::{Attribute, Resource},
};
use crate::{metrics::Exemplar, time::Timestamp};

/// How a metric adds up; the instruments of OpenTelemetry that the contract uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// A sum that only grows.
    Counter,
    /// A distribution.
    Histogram,
}

/// What the contract says about a metric.
#[derive(Debug)]
pub struct MetricDef {
    /// Its name.
    pub name: &'static str,
    /// Its place in [`METRICS`](super::names::METRICS).
    pub index: usize,
    /// What it says, in one sentence.
    pub brief: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// How it adds up.
    pub instrument: Instrument,
    /// Upper bounds of its buckets; empty of a counter.
    pub boundaries: &'static [f64],
    /// The metric whose older name this is.
    pub current: Option<&'static str>,
    /// The attributes of its points.
    pub shape: Shape,
}

/// Some of the contract's metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricSet(u64);

impl MetricSet {
    /// Only generated code lists them. Does not compile when the contract has more metrics than there is room for.
    pub(super) const fn of(metrics: &[&MetricDef]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < metrics.len() {
            set |= 1 << metrics[at].index;
            at += 1;
        }
        Self(set)
    }

    /// Is it one of them?
    pub const fn has(self, metric: &MetricDef) -> bool {
        self.0 >> metric.index & 1 == 1
    }
}

/// What a point of a metric says.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A sum of whole things.
    Count(u64),
    /// A sum of anything.
    Sum(f64),
    /// A distribution over the metric's buckets.
    Distribution {
        /// How many values each bucket has; the last one is for those over all bounds.
        buckets: Vec<u64>,
        /// Their sum.
        sum: f64,
        /// Least and largest, if there is any value.
        range: Option<(f64, f64)>,
        /// Values that a span can be shown for, and the bucket of each.
        exemplars: Vec<(usize, Exemplar)>,
    },
}

/// One series of a metric, since it began.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What tells it from the others.
    pub attributes: Vec<Attribute>,
    /// Since when it adds up.
    pub start: Timestamp,
    /// What it says.
    pub measured: Measured,
}

/// A metric and its points, none without any.
#[derive(Debug)]
pub struct Metric {
    /// Which.
    pub def: &'static MetricDef,
    /// The points; no two with the same attributes.
    pub points: Vec<Point>,
}

/// The metrics of one resource.
#[derive(Debug)]
pub struct ResourceMetrics {
    /// Whose they are.
    pub resource: Resource,
    /// In the order of the contract.
    pub metrics: Vec<Metric>,
}
