//! What was checked, and what it came to.

use std::{collections::BTreeSet, fmt::Write};

use plainspan_registry::{
    Registry,
    check::{Checker, Tally},
    telemetry::{Attributes, Value, get},
};
use serde_json::json;

use super::super::otlp::{Export, Item};

/// Violations that are told apart; more are only counted.
const DISTINCT: usize = 1000;
/// Violations that the text shows; JSON has all that were told apart.
const SHOWN: usize = 50;

/// A check that goes on.
pub struct Session<'a> {
    registry: &'a Registry,
    checker: Checker<'a>,
    tally: Tally,
    /// Metrics of the contract that came.
    metrics: BTreeSet<String>,
    /// Of the contract: spans, metrics, events.
    checked: Counts,
    /// Not of the contract.
    outside: Counts,
    refused: u64,
    first_refused: Option<String>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    spans: u64,
    metrics: u64,
    events: u64,
}

impl Counts {
    fn total(self) -> u64 {
        self.spans + self.metrics + self.events
    }
}

impl<'a> Session<'a> {
    /// One that holds what comes against a contract.
    pub fn new(registry: &'a Registry) -> Self {
        Self {
            registry,
            checker: Checker::new(registry),
            tally: Tally::new(DISTINCT),
            metrics: BTreeSet::new(),
            checked: Counts::default(),
            outside: Counts::default(),
            refused: 0,
            first_refused: None,
        }
    }

    /// Checks an export.
    pub fn take(&mut self, export: Export) {
        let mut resource = Attributes::new();
        let mut service = String::new();
        let mut resource_checked = false;
        export.items(|item| {
            let tell = &mut |violation| self.tally.add(violation, &service);
            let (ours, counts) = match &item {
                Item::Resource(attributes) => {
                    service = match get(attributes, "service.name") {
                        Some(Value::Text(name)) => name.chars().take(128).collect(),
                        _ => String::new(),
                    };
                    resource.clone_from(attributes);
                    resource_checked = false;
                    return;
                }
                Item::Log => return,
                Item::Span(span) => (self.checker.span(span, tell), (1, 0, 0)),
                Item::Metric(metric) => (self.checker.metric(metric, tell), (0, 1, 0)),
                Item::Event(event) => (self.checker.event(event, tell), (0, 0, 1)),
            };
            // Once for what came under it, and only if that is the contract's.
            if ours && !std::mem::replace(&mut resource_checked, true) {
                if matches!(item, Item::Metric(_)) {
                    self.checker.resource_of_metrics(&resource, tell);
                } else {
                    self.checker.resource(&resource, tell);
                }
            }
            if let Item::Metric(metric) = &item
                && self.registry.metric(&metric.name).is_some()
                && !self.metrics.contains(&metric.name)
            {
                self.metrics.insert(metric.name.clone());
            }
            let side = if ours { &mut self.checked } else { &mut self.outside };
            side.spans += counts.0;
            side.metrics += counts.1;
            side.events += counts.2;
        });
    }

    /// Adds what only the end shows.
    pub fn finish(&mut self) {
        self.checker.older_metrics(&self.metrics, &mut |violation| self.tally.add(violation, ""));
    }

    /// Counts a request that was none.
    pub fn refuse(&mut self, reason: String) {
        self.refused += 1;
        self.first_refused.get_or_insert(reason);
    }

    /// Did anything of the contract come?
    pub fn checked_any(&self) -> bool {
        self.checked.total() > 0
    }

    /// Was all of it as the contract has it, and readable?
    pub fn kept(&self) -> bool {
        self.tally.total() == 0 && self.refused == 0
    }

    /// The summary for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let told = self.tally.told();
        let width = told.first().map_or(1, |(_, told)| told.count.to_string().len());
        for (violation, told) in told.iter().take(SHOWN) {
            let service =
                if told.service.is_empty() { String::new() } else { format!(" ({})", told.service) };
            let _ = writeln!(out, "{:>width$}x  {violation}{service}", told.count);
        }
        if told.len() > SHOWN {
            let _ = writeln!(out, "and {} more kinds of violations: --json lists them", told.len() - SHOWN);
        }
        if self.tally.untold() > 0 {
            let _ = writeln!(out, "and {} violations that were only counted", self.tally.untold());
        }
        if let Some(reason) = &self.first_refused {
            let _ = writeln!(out, "{} requests could not be read, the first: {reason}", self.refused);
        }
        let Registry { name, version, .. } = self.registry;
        let _ = writeln!(
            out,
            "checked {} under {name} {version}; outside it: {}",
            shown(self.checked),
            shown(self.outside)
        );
        let rules = self.tally.by_rule().iter().map(|(rule, count)| format!("{rule} {count}"));
        let rules: Vec<_> = rules.collect();
        let _ = match self.tally.total() {
            0 => writeln!(out, "no violations"),
            1 => writeln!(out, "1 violation: {}", rules.join(", ")),
            n => writeln!(out, "{n} violations: {}", rules.join(", ")),
        };
        out
    }

    /// The summary for machines: one object.
    pub fn json(&self) -> String {
        let counts = |c: Counts| json!({"spans": c.spans, "metrics": c.metrics, "events": c.events});
        let violations: Vec<_> = self
            .tally
            .told()
            .into_iter()
            .map(|(violation, told)| {
                json!({
                    "rule": violation.rule.name(),
                    "signal": violation.signal,
                    "name": violation.name,
                    "message": violation.to_string(),
                    "count": told.count,
                    "service": told.service,
                })
            })
            .collect();
        let summary = json!({
            "contract": {"name": self.registry.name, "version": self.registry.version.to_string()},
            "checked": counts(self.checked),
            "outside": counts(self.outside),
            "violations": violations,
            "by_rule": self.tally.by_rule(),
            "total": self.tally.total(),
            "only_counted": self.tally.untold(),
            "unreadable_requests": self.refused,
        });
        format!("{summary}\n")
    }
}

fn shown(counts: Counts) -> String {
    let all = [(counts.spans, "span"), (counts.metrics, "metric"), (counts.events, "event")];
    let there: Vec<_> = all
        .iter()
        .filter(|(n, what)| *n > 0 || *what == "span")
        .map(|(n, what)| format!("{n} {what}{}", if *n == 1 { "" } else { "s" }))
        .collect();
    there.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{super::super::own, *};

    fn export(name: &str, attributes: &serde_json::Value) -> Export {
        let line = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"spans": [{"name": name, "kind": 3, "attributes": attributes}]}],
        }]});
        Export::of_json_line(&line.to_string()).unwrap()
    }

    #[test]
    fn violations_are_told_with_their_service_and_counted() {
        let registry = own::contract(None).unwrap();
        let mut session = Session::new(&registry);
        let attributes = json!([{"key": "gen_ai.request.modle", "value": {"stringValue": "m"}}]);
        for _ in 0..3 {
            session.take(export("chat", &attributes));
        }
        session.take(export("GET /", &json!([])));
        let text = session.text();
        assert!(
            text.contains(
                "3x  span gen_ai.client.inference: `gen_ai.request.modle` is not in the contract (shop)"
            ),
            "{text}"
        );
        assert!(text.contains("checked 3 spans under plainspan"), "{text}");
        assert!(text.contains("; outside it: 1 span\n"), "{text}");
        assert!(session.checked_any() && !session.kept());
        let json: serde_json::Value = serde_json::from_str(&session.json()).unwrap();
        assert_eq!(json["by_rule"]["unknown_attribute"], 3);
        assert_eq!(json["outside"]["spans"], 1);
    }

    #[test]
    fn a_flood_of_violations_is_counted() {
        let registry = own::contract(None).unwrap();
        let mut session = Session::new(&registry);
        let names =
            (0..DISTINCT + 100).map(|n| json!({"key": format!("gen_ai.x{n}"), "value": {"intValue": "1"}}));
        session.take(export("chat", &names.collect::<Vec<_>>().into()));
        let json: serde_json::Value = serde_json::from_str(&session.json()).unwrap();
        assert_eq!(json["violations"].as_array().unwrap().len(), DISTINCT);
        assert_eq!(json["by_rule"]["unknown_attribute"], DISTINCT + 100);
        assert!(json["only_counted"].as_u64().unwrap() >= 100);
        assert!(session.text().lines().count() <= SHOWN + 5);
    }

    #[test]
    fn nothing_wrong_is_said_so() {
        let registry = own::contract(None).unwrap();
        let session = Session::new(&registry);
        assert!(session.text().ends_with("no violations\n"), "{}", session.text());
        assert!(session.kept() && !session.checked_any());
    }
}
