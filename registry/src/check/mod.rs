//! Telemetry of any origin, held against a contract.

mod rule;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

pub use rule::{Rule, Violation};
pub use tally::{Tally, Told};

use crate::{
    Attribute, Entity, Kind, Privacy, Registry, Requirement, Span, Use, Values, namespace, naming,
    telemetry::{self, Attributes, Value, get},
};

/// What is longer than this is not quoted in a violation.
const QUOTED: usize = 64;

/// Takes violations one by one: there may be as many as a request has bytes.
pub type Tell<'a> = &'a mut dyn FnMut(Violation);

/// A contract, made ready for checking.
pub struct Checker<'a> {
    registry: &'a Registry,
    own: BTreeSet<String>,
    /// By the current name, the older ones.
    older: BTreeMap<&'a str, Vec<&'a str>>,
    /// Of all entities.
    resource: Vec<Use>,
}

impl<'a> Checker<'a> {
    /// For a contract.
    pub fn new(registry: &'a Registry) -> Self {
        let mut older: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for attribute in &registry.attributes {
            if let Some(current) = attribute.renamed_to() {
                older.entry(current).or_default().push(&attribute.key);
            }
        }
        let resource = registry.entities.iter().flat_map(|entity| entity.attributes.clone()).collect();
        Self { registry, own: namespace::own(registry), older, resource }
    }

    /// Tells the violations of a span and its events. False if it is none of the contract's: neither its name nor an attribute is.
    pub fn span(&self, span: &telemetry::Span, tell: Tell<'_>) -> bool {
        let claims = span.attributes.iter().any(|(key, _)| namespace::holds(&self.own, key));
        let Some(definition) = self.definition(span, claims) else { return false };
        let signal = format!("span {}", definition.name);
        let mut say = |rule: Rule, name: &str| {
            tell(Violation { rule, signal: signal.clone(), name: name.to_owned() });
        };
        if let Some(wanted) = wrong_name(definition, span) {
            say(Rule::SpanName { wanted }, &cut(&span.name));
        }
        let kind = span.kind.unwrap_or(crate::SpanKind::Internal);
        if !definition.kinds.contains(&kind) {
            let kinds: Vec<_> = definition.kinds.iter().map(|kind| kind.name()).collect();
            say(Rule::SpanKind { wanted: kinds.join(" or "), found: kind.name() }, "kind");
        }
        self.attributes(&definition.attributes, &span.attributes, span.failed, &mut say);
        for event in &span.events {
            self.event(event, tell);
        }
        true
    }

    /// Tells the violations of an event. False if it is none of the contract's.
    pub fn event(&self, event: &telemetry::Event, tell: Tell<'_>) -> bool {
        let signal = format!("event {}", cut(&event.name));
        let mut say = |rule: Rule, name: &str| {
            tell(Violation { rule, signal: signal.clone(), name: name.to_owned() });
        };
        if let Some(definition) = self.registry.event(&event.name) {
            self.attributes(&definition.attributes, &event.attributes, false, &mut say);
            return true;
        }
        let ours = namespace::holds(&self.own, &event.name);
        if ours {
            say(Rule::UnknownEvent, &cut(&event.name));
        }
        ours
    }

    /// Tells the violations of a metric. False if it is none of the contract's.
    pub fn metric(&self, metric: &telemetry::Metric, tell: Tell<'_>) -> bool {
        let signal = format!("metric {}", cut(&metric.name));
        let mut say = |rule: Rule, name: &str| {
            tell(Violation { rule, signal: signal.clone(), name: name.to_owned() });
        };
        let Some(definition) = self.registry.metric(&metric.name) else {
            let ours = namespace::holds(&self.own, &metric.name);
            if ours {
                say(Rule::UnknownMetric, &cut(&metric.name));
            }
            return ours;
        };
        if metric.unit != definition.unit {
            say(Rule::Unit { wanted: definition.unit.clone(), found: cut(&metric.unit) }, "unit");
        }
        if metric.instrument != Some(definition.instrument) {
            let found = metric.instrument.map_or("summary", crate::Instrument::name);
            say(Rule::Instrument { wanted: definition.instrument.name(), found }, "instrument");
        }
        let bound = !definition.boundaries.is_empty() && !metric.boundaries.is_empty();
        if bound && metric.boundaries != definition.boundaries {
            say(Rule::Boundaries, "boundaries");
        }
        for point in &metric.points {
            self.attributes(&definition.attributes, point, false, &mut say);
        }
        true
    }

    /// Tells the metrics that came under an older name and never under the current one; both beside each other are as they should be.
    pub fn older_metrics(&self, came: &BTreeSet<String>, tell: Tell<'_>) {
        for metric in self.registry.metrics.iter().filter(|metric| came.contains(&metric.name)) {
            let Some(deprecated) = &metric.deprecated else { continue };
            let current = deprecated.renamed_to.clone();
            // What goes without a successor is promised until then.
            let as_promised = match &current {
                Some(current) => came.contains(current),
                None => self.registry.version < deprecated.until,
            };
            if !as_promised {
                let (signal, name) = (format!("metric {}", metric.name), metric.name.clone());
                tell(Violation { rule: Rule::Deprecated { current }, signal, name });
            }
        }
    }

    /// Tells the violations of a resource under which something of the contract's came.
    pub fn resource(&self, attributes: &Attributes, tell: Tell<'_>) {
        let mut say = |rule: Rule, name: &str| {
            tell(Violation { rule, signal: "resource".to_owned(), name: name.to_owned() });
        };
        if !self.resource.is_empty() {
            self.attributes(&self.resource, attributes, false, &mut say);
        }
    }

    /// The same under which only metrics came: they are those of a service, say, and not of one process, so that whole entities may be
    /// missing.
    pub fn resource_of_metrics(&self, attributes: &Attributes, tell: Tell<'_>) {
        let is_there =
            |entity: &&Entity| entity.attributes.iter().any(|used| get(attributes, &used.key).is_some());
        let entities = self.registry.entities.iter();
        let missing: BTreeSet<&str> = entities
            .filter(|entity| !is_there(entity))
            .flat_map(|entity| entity.attributes.iter().map(|used| used.key.as_str()))
            .collect();
        self.resource(attributes, &mut |violation| {
            if !missing.contains(violation.name.as_str()) {
                tell(violation);
            }
        });
    }

    /// The definition that a span follows, or comes nearest to.
    fn definition(&self, span: &telemetry::Span, claims: bool) -> Option<&'a Span> {
        let rank = |definition: &Span| {
            let exact = !definition.patterns.is_empty() && wrong_name(definition, span).is_none();
            let carried = |used: &&Use| get(&span.attributes, &used.key).is_some();
            let kind = definition.kinds.contains(&span.kind.unwrap_or(crate::SpanKind::Internal));
            (exact, kind, definition.attributes.iter().filter(carried).count())
        };
        // The first of those that rank the same.
        let ranked = self.registry.spans.iter().rev().map(|definition| (rank(definition), definition));
        let ((exact, kind, carried), best) = ranked.max_by_key(|(rank, _)| *rank)?;
        // Without names of the contract's own, a span is the contract's only if all else says so.
        let named = best.patterns.iter().any(|pattern| pattern.keys().next().is_none());
        (claims || (exact && kind && (carried > 0 || named))).then_some(best)
    }

    fn attributes(
        &self,
        uses: &[Use],
        attributes: &Attributes,
        failed: bool,
        say: &mut dyn FnMut(Rule, &str),
    ) {
        let known: BTreeSet<&str> = uses.iter().map(|used| used.key.as_str()).collect();
        let there: BTreeSet<&str> = attributes.iter().map(|(key, _)| key.as_str()).collect();
        for (key, value) in attributes {
            if !known.contains(key.as_str()) {
                if namespace::holds(&self.own, key) {
                    say(
                        if self.registry.attribute(key).is_some() { Rule::NotHere } else { Rule::Unknown },
                        &cut(key),
                    );
                }
                continue;
            }
            let Some(attribute) = self.registry.attribute(key) else { continue };
            if let Some(rule) = wrong_value(attribute, value) {
                say(rule, key);
            }
            if let Some(deprecated) = &attribute.deprecated {
                // In the time in which both are emitted, the older name beside the current one is as it should be.
                let current = deprecated.renamed_to.clone();
                if !current.as_deref().is_some_and(|current| there.contains(current)) {
                    say(Rule::Deprecated { current }, key);
                }
            }
        }
        for used in uses {
            let key = used.key.as_str();
            if there.contains(key) {
                continue;
            }
            let because = match (&used.level, &used.required_with) {
                (Requirement::Required, _) => Some(None),
                (_, Some(other)) if there.contains(other.as_str()) => {
                    Some(Some(format!("`{other}` is there")))
                }
                _ if used.required_on_error && failed => Some(Some("the span failed".to_owned())),
                _ => None,
            };
            let Some(because) = because else { continue };
            // An older name in its place is said as that.
            let older = self.older.get(key).is_some_and(|older| older.iter().any(|key| there.contains(key)));
            // So is an older name that only the overlap requires.
            let itself_older = self.registry.attribute(key).is_some_and(|a| a.deprecated.is_some());
            if !older && !itself_older {
                say(Rule::Missing { because }, key);
            }
        }
    }
}

/// How a value does not fit its attribute.
fn wrong_value(attribute: &Attribute, value: &Value) -> Option<Rule> {
    let wanted = attribute.kind;
    let fits = match (wanted, value) {
        // JSON in a text on spans, a map where the exporter can send one.
        (Kind::Json, Value::Text(_) | Value::List(_) | Value::Other("map")) => true,
        (wanted, Value::List(items)) if items.is_empty() => wanted.is_array(),
        (wanted, value) => value.kind() == Some(wanted),
    };
    if !fits {
        return Some(Rule::Type { wanted: wanted.name(), found: value.kind_name() });
    }
    let items = match value {
        Value::List(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    if attribute.max_items.is_some_and(|max| wanted.is_array() && items.len() > max as usize) {
        return Some(Rule::TooMany { max: attribute.max_items.unwrap_or_default() });
    }
    for item in items {
        let text = item.plain().unwrap_or_default();
        if attribute.values == Some(Values::Closed) && !attribute.members.iter().any(|m| m.value == text) {
            // Only what says nothing about people is quoted.
            let quoted = attribute.privacy == Privacy::Structural && text.len() <= QUOTED;
            return Some(Rule::NotListed { found: quoted.then_some(text) });
        }
        if attribute.max_bytes.is_some_and(|max| text.len() > max as usize) {
            return Some(Rule::TooLong { max: attribute.max_bytes.unwrap_or_default() });
        }
    }
    None
}

/// A name that others chose, as long as it may be in a report.
fn cut(name: &str) -> String {
    match name.char_indices().nth(2 * QUOTED) {
        Some((at, _)) => format!("{}...", &name[..at]),
        None => name.to_owned(),
    }
}

/// The form that the span's name should have; `None` if it has it. It is the first whose attributes the span carries. That one of
/// them is missing is said elsewhere: then the name is right if it is of the form.
fn wrong_name(definition: &Span, span: &telemetry::Span) -> Option<String> {
    for pattern in definition.all_patterns() {
        match naming::filled(pattern, |key| get(&span.attributes, key)?.plain()) {
            Some(name) if name == span.name => return None,
            Some(_) => return Some(pattern.to_string()),
            None if naming::may_match(pattern, &span.name) => return None,
            None => {}
        }
    }
    definition.patterns.first().map(ToString::to_string)
}

#[cfg(test)]
mod tests;
