//! From the names in queries to those of the contract.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    declaration::{Reading, Subject},
    found::{Found, Usage, Value, What},
    prometheus::{forms, mangled, without_series},
};
use crate::{Registry, namespace, naming};

/// The names of a contract in every form in which a query may have them.
pub struct Names<'a> {
    registry: &'a Registry,
    own: BTreeSet<String>,
    /// As Prometheus and flat tables have them.
    mangled_own: Vec<String>,
    keys: BTreeMap<&'a str, Where>,
    mangled: BTreeMap<String, &'a str>,
    metrics: BTreeMap<String, &'a str>,
}

#[derive(Clone, Copy, Default)]
struct Where {
    signal: bool,
    resource: bool,
}

impl<'a> Names<'a> {
    /// Those of a contract.
    pub fn new(registry: &'a Registry) -> Self {
        let mut keys: BTreeMap<&str, Where> = BTreeMap::new();
        let signals = (registry.spans.iter().map(|s| &s.attributes))
            .chain(registry.metrics.iter().map(|m| &m.attributes))
            .chain(registry.events.iter().map(|e| &e.attributes));
        for used in signals.flatten() {
            keys.entry(&used.key).or_default().signal = true;
        }
        for used in registry.entities.iter().flat_map(|e| &e.attributes) {
            keys.entry(&used.key).or_default().resource = true;
        }
        let own = namespace::own(registry);
        Self {
            registry,
            mangled_own: own.iter().map(|first| format!("{}_", mangled(first))).collect(),
            own,
            mangled: keys.keys().map(|key| (mangled(key), *key)).collect(),
            metrics: registry
                .metrics
                .iter()
                .flat_map(|metric| {
                    let all = forms(metric).into_iter().chain([metric.name.clone()]);
                    all.map(|form| (form, metric.name.as_str()))
                })
                .collect(),
            keys,
        }
    }

    /// The contract.
    pub fn registry(&self) -> &'a Registry {
        self.registry
    }

    /// Is there such a thing in the contract?
    pub fn has(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Attribute(key) => self.keys.get(key.as_str()).is_some_and(|w| w.signal),
            Subject::ResourceAttribute(key) => self.keys.get(key.as_str()).is_some_and(|w| w.resource),
            Subject::SpanName(name) => self.registry.span(name).is_some(),
            Subject::Metric(name) => self.registry.metric(name).is_some(),
        }
    }

    /// What the queries read of the contract, and what they read under its namespaces that it does not have. All else is left out.
    pub fn resolve(&self, found: &[Found]) -> Vec<Reading> {
        let mut readings: BTreeMap<Subject, (BTreeSet<Usage>, BTreeSet<String>)> = BTreeMap::new();
        for found in found {
            for subject in self.subjects(found) {
                let (usages, values) = readings.entry(subject.clone()).or_default();
                usages.insert(found.usage);
                // The values of a span's name are not the contract's.
                if !matches!(subject, Subject::SpanName(_)) {
                    values.extend(found.values.iter().flat_map(alternatives));
                }
            }
        }
        readings
            .into_iter()
            .map(|(subject, (mut usages, values))| {
                // That it is shown goes without saying where more is done with it.
                if usages.len() > 1 {
                    usages.remove(&Usage::Reads);
                }
                Reading { subject, usages, values }
            })
            .collect()
    }

    fn subjects(&self, found: &Found) -> Vec<Subject> {
        match found.what {
            What::SpanName => self.spans(&found.values).into_iter().map(Subject::SpanName).collect(),
            What::Metric => self.metric(&found.name).into_iter().map(Subject::Metric).collect(),
            What::Resource => {
                self.key(&found.name).into_iter().map(|(key, _)| Subject::ResourceAttribute(key)).collect()
            }
            What::Attribute => {
                self.key(&found.name).into_iter().map(|(key, _)| Subject::Attribute(key)).collect()
            }
            What::Either | What::Column => {
                let resolved =
                    if found.what == What::Column { self.column(&found.name) } else { self.key(&found.name) };
                let either = resolved.map(|(key, place)| {
                    if place.resource && !place.signal {
                        Subject::ResourceAttribute(key)
                    } else {
                        Subject::Attribute(key)
                    }
                });
                either.into_iter().collect()
            }
            What::Key => {
                let key = self.key(&found.name).filter(|(key, _)| *key == found.name);
                key.map(|(key, _)| Subject::Attribute(key)).into_iter().collect()
            }
        }
    }

    /// The key that a name stands for; the name itself if it is under the contract's namespaces and not in it.
    fn key(&self, name: &str) -> Option<(String, Where)> {
        if let Some(place) = self.keys.get(name) {
            return Some((name.to_owned(), *place));
        }
        if let Some(key) = self.mangled.get(name) {
            return Some(((*key).to_owned(), self.keys.get(key).copied().unwrap_or_default()));
        }
        let unknown = namespace::holds(&self.own, name)
            || (!name.contains('.') && self.mangled_own.iter().any(|own| name.starts_with(own.as_str())));
        unknown.then(|| (name.to_owned(), Where { signal: true, resource: false }))
    }

    /// The key in a path of columns, `t.attributes.gen_ai.request.model`.
    fn column(&self, path: &str) -> Option<(String, Where)> {
        let mut rest = path;
        // No table lies deeper than catalog, schema, table, column and scope.
        for _ in 0..6 {
            if let Some(found) = self.key(rest) {
                return Some(found);
            }
            rest = rest.split_once('.')?.1;
        }
        None
    }

    fn metric(&self, name: &str) -> Option<String> {
        let known = self.metrics.get(name).or_else(|| self.metrics.get(without_series(name)));
        if let Some(metric) = known {
            return Some((*metric).to_owned());
        }
        let unknown = namespace::holds(&self.own, name)
            || self.mangled_own.iter().any(|own| name.starts_with(own.as_str()));
        unknown.then(|| name.to_owned())
    }

    /// The kinds of spans that have such a name: all, where the values do not tell; the value itself, where none has.
    fn spans(&self, values: &[Value]) -> Vec<String> {
        let exact: Vec<&str> = values.iter().filter(|v| !v.pattern).map(|v| v.text.as_str()).collect();
        if exact.is_empty() {
            return self.registry.spans.iter().map(|s| s.name.clone()).collect();
        }
        let mut spans = Vec::new();
        for value in exact {
            let before = spans.len();
            spans.extend(
                self.registry.spans.iter().filter(|s| naming::may_have(s, value)).map(|s| s.name.clone()),
            );
            if spans.len() == before {
                spans.push(value.to_owned());
            }
        }
        spans
    }
}

/// The plain values of a comparison: itself, or those that a simple alternation lists.
fn alternatives(value: &Value) -> Vec<String> {
    if !value.pattern {
        return vec![value.text.clone()];
    }
    let text = value.text.trim_start_matches('^').trim_end_matches('$');
    let text = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | ' '))
    };
    let parts: Vec<_> = text.split('|').map(str::to_owned).collect();
    if parts.iter().all(|part| plain(part)) { parts } else { Vec::new() }
}
