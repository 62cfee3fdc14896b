//! A first contract, from telemetry that was recorded: what a team starts from, not what it ends with.
//!
//! All that is guessed is marked for review in the YAML that is written. Memory is bounded, and what is over a limit is left out and
//! counted.

mod guess;
mod observed;
mod write;

use std::collections::BTreeMap;

use observed::Group;
pub use write::Identity;

use crate::{
    Instrument, SpanKind,
    read::File,
    telemetry::{Attributes, Event, Metric, Span},
};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Kinds of spans, metrics and events, of each at most so many.
    pub signals: usize,
    /// Attributes of each.
    pub attributes: usize,
    /// Distinct values of an attribute that are told apart.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { signals: 200, attributes: 500, values: 1000 }
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Inference {
    limits: Limits,
    /// By the pattern of their names.
    spans: BTreeMap<String, SpanGroup>,
    metrics: BTreeMap<String, MetricGroup>,
    events: BTreeMap<String, Group>,
    resource: Group,
    left_out: LeftOut,
}

/// What a limit, or a name that no contract can have, kept out of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Spans, metrics and events whose kind was one too many.
    pub signals: u64,
    /// Attributes that were too many on their signal, or whose key or type no contract has.
    pub attributes: u64,
}

#[derive(Debug, Default)]
struct SpanGroup {
    kinds: BTreeMap<SpanKind, u64>,
    group: Group,
}

#[derive(Debug)]
struct MetricGroup {
    instrument: Instrument,
    unit: String,
    boundaries: Vec<f64>,
    group: Group,
}

impl Inference {
    /// One with these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds a span.
    pub fn span(&mut self, span: &Span) {
        let pattern = guess::pattern(&span.name, &span.attributes);
        if name_is_usable(&pattern) && fits(&self.spans, &pattern, self.limits.signals) {
            let seen = self.spans.entry(pattern).or_default();
            *seen.kinds.entry(span.kind.unwrap_or(SpanKind::Internal)).or_default() += 1;
            self.left_out.attributes += seen.group.add(&span.attributes, span.failed, self.limits);
        } else {
            self.left_out.signals += 1;
        }
        for event in &span.events {
            self.event(event);
        }
    }

    /// Adds an event.
    pub fn event(&mut self, event: &Event) {
        if plain(&event.name) && fits(&self.events, &event.name, self.limits.signals) {
            let seen = self.events.entry(event.name.clone()).or_default();
            self.left_out.attributes += seen.add(&event.attributes, false, self.limits);
        } else {
            self.left_out.signals += 1;
        }
    }

    /// Adds the points of a metric.
    pub fn metric(&mut self, metric: &Metric) {
        let usable = plain(&metric.name) && fits(&self.metrics, &metric.name, self.limits.signals);
        let Some(instrument) = metric.instrument.filter(|_| usable) else {
            self.left_out.signals += 1;
            return;
        };
        let seen = self.metrics.entry(metric.name.clone()).or_insert_with(|| MetricGroup {
            instrument,
            unit: metric.unit.clone(),
            boundaries: metric.boundaries.clone(),
            group: Group::default(),
        });
        for point in &metric.points {
            self.left_out.attributes += seen.group.add(point, false, self.limits);
        }
    }

    /// Adds a resource, once for each time that something came under it.
    pub fn resource(&mut self, attributes: &Attributes) {
        self.left_out.attributes += self.resource.add(attributes, false, self.limits);
    }

    /// What is missing from the contract.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// How many kinds of spans, metrics and events there are.
    pub fn signals(&self) -> (usize, usize, usize) {
        (self.spans.len(), self.metrics.len(), self.events.len())
    }

    /// The contract: the files of its registry.
    pub fn files(&self, identity: &Identity) -> Vec<File> {
        write::files(self, identity)
    }
}

fn fits<T>(held: &BTreeMap<String, T>, name: &str, limit: usize) -> bool {
    held.contains_key(name) || held.len() < limit
}

/// Longest name of a signal or attribute that is taken over.
const MAX_NAME: usize = 256;

/// A name that a contract can have.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_NAME
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}'))
}

fn name_is_usable(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.len() <= MAX_NAME && !pattern.contains(char::is_control)
}

#[cfg(test)]
mod tests;
