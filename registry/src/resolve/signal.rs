//! Spans, metrics, events and entities, with the attributes that they refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Attributes, Groups, Scope, check_name, deprecated, one_line, twice};
use crate::{
    error::{Error, Fault, Rule, Within, ensure},
    model::{
        Deprecated, Entity, Event, Instrument, Metric, OlderNames, Privacy, Requirement, Span, SpanKind, Use,
    },
    pattern::Pattern,
    source::{
        self, Definitions, EventNotes, Level, MetricNotes, Occasion, Reference, ReferenceNotes, SpanNotes,
    },
    version::Version,
};

/// What was found so far.
#[derive(Default)]
pub(super) struct Found {
    pub(super) spans: Vec<Span>,
    pub(super) metrics: Vec<Metric>,
    pub(super) events: Vec<Event>,
    pub(super) entities: Vec<Entity>,
}

impl Found {
    /// Every use of an attribute.
    pub(super) fn uses(&self) -> impl Iterator<Item = &Use> {
        let spans = self.spans.iter().flat_map(|s| &s.attributes);
        let metrics = self.metrics.iter().flat_map(|m| &m.attributes);
        let events = self.events.iter().flat_map(|e| &e.attributes);
        spans.chain(metrics).chain(events).chain(self.entities.iter().flat_map(|e| &e.attributes))
    }
}

/// Resolves file after file.
pub(super) struct Signals<'a> {
    scope: &'a Scope,
    attributes: &'a Attributes,
    groups: &'a Groups<'a>,
    found: Found,
    /// The file of each element, by its kind and name.
    files: BTreeMap<(&'static str, String), String>,
}

impl<'a> Signals<'a> {
    pub(super) fn new(scope: &'a Scope, attributes: &'a Attributes, groups: &'a Groups<'a>) -> Self {
        Self { scope, attributes, groups, found: Found::default(), files: BTreeMap::new() }
    }

    /// Adds what a file defines.
    pub(super) fn add(&mut self, file: &str, definitions: &Definitions) -> Result<(), Fault> {
        for raw in &definitions.spans {
            self.claim(file, "span", &raw.r#type)?;
            let span = self.span(raw).within(|| format!("span {}", raw.r#type))?;
            self.found.spans.push(span);
        }
        for raw in &definitions.metrics {
            self.claim(file, "metric", &raw.name)?;
            let metric = self.metric(raw).within(|| format!("metric {}", raw.name))?;
            self.found.metrics.push(metric);
        }
        for raw in &definitions.events {
            self.claim(file, "event", &raw.name)?;
            let event = self.event(raw).within(|| format!("event {}", raw.name))?;
            self.found.events.push(event);
        }
        for raw in &definitions.entities {
            self.claim(file, "entity", &raw.r#type)?;
            let entity = self.entity(raw).within(|| format!("entity {}", raw.r#type))?;
            self.found.entities.push(entity);
        }
        Ok(())
    }

    /// Checks what only the whole contract shows: where renames lead.
    pub(super) fn finish(self) -> Result<Found, Error> {
        let Found { spans, metrics, events, .. } = &self.found;
        for span in spans {
            let target =
                |name: &str| spans.iter().find(|s| s.name == name).map(|s| (s.deprecated.as_ref(), true));
            self.check_rename("span", &span.name, span.deprecated.as_ref(), target)?;
        }
        for metric in metrics {
            let like = |m: &Metric| m.instrument == metric.instrument && m.unit == metric.unit;
            let target = |name: &str| {
                metrics.iter().find(|m| m.name == name).map(|m| (m.deprecated.as_ref(), like(m)))
            };
            self.check_rename("metric", &metric.name, metric.deprecated.as_ref(), target)?;
        }
        for event in events {
            let target =
                |name: &str| events.iter().find(|e| e.name == name).map(|e| (e.deprecated.as_ref(), true));
            self.check_rename("event", &event.name, event.deprecated.as_ref(), target)?;
        }
        Ok(self.found)
    }

    fn claim(&mut self, file: &str, what: &'static str, name: &str) -> Result<(), Fault> {
        let place = || format!("{what} {name}");
        check_name(name).within(place)?;
        match self.files.insert((what, name.to_owned()), file.to_owned()) {
            Some(first) => Err(twice(place(), first)),
            None => Ok(()),
        }
    }

    fn check_rename<'b>(
        &self,
        what: &'static str,
        name: &str,
        deprecated: Option<&Deprecated>,
        target: impl Fn(&str) -> Option<(Option<&'b Deprecated>, bool)>,
    ) -> Result<(), Error> {
        let file = self.files.get(&(what, name.to_owned())).map_or("", String::as_str);
        super::check_rename(deprecated, target)
            .within(|| format!("{what} {name}"))
            .map_err(|fault| fault.at(file))
    }

    fn span(&self, raw: &source::Span) -> Result<Span, Fault> {
        let notes: Option<SpanNotes> = source::notes(&raw.annotations)?;
        let notes = notes.ok_or(Rule::NoAnnotations("since"))?;
        let since = self.scope.since(&notes.since)?;
        let names = notes.kinds.unwrap_or_else(|| vec![raw.kind.clone()]);
        ensure(names.contains(&raw.kind), || Rule::Kinds(raw.kind.clone()))?;
        let kinds: Result<Vec<_>, _> = names
            .iter()
            .map(|name| SpanKind::of_name(name).ok_or_else(|| Rule::SpanKind(name.clone())))
            .collect();
        let attributes = self.uses(&raw.attributes)?;
        self.check_content(&attributes)?;
        let patterns = match &notes.name_pattern {
            Some(texts) => patterns(texts, &attributes)?,
            None => Vec::new(),
        };
        let older = notes.older_name.as_ref().map(|older| self.older(older, &attributes)).transpose()?;
        ensure(older.is_none() || !patterns.is_empty(), || Rule::OlderName)?;
        Ok(Span {
            name: raw.r#type.clone(),
            kinds: kinds?,
            naming: one_line(&raw.name.note),
            patterns,
            older,
            brief: one_line(&raw.brief),
            note: raw.note.as_deref().map(one_line),
            stability: raw.stability.clone(),
            since,
            deprecated: deprecated(raw.deprecated.as_ref(), notes.until.as_deref(), since)?,
            upstream: self.scope.upstream(&raw.r#type, notes.upstream.as_ref())?,
            attributes,
        })
    }

    fn older(&self, raw: &source::OlderName, attributes: &[Use]) -> Result<OlderNames, Fault> {
        let replaced = self.scope.since(&raw.replaced)?;
        let until: Version = raw.until.parse().map_err(Rule::from)?;
        ensure(until > replaced, || Rule::UntilTooEarly { until, since: replaced })?;
        Ok(OlderNames { patterns: patterns(&raw.name_pattern, attributes)?, replaced, until })
    }

    fn metric(&self, raw: &source::Metric) -> Result<Metric, Fault> {
        let notes: Option<MetricNotes> = source::notes(&raw.annotations)?;
        let notes = notes.ok_or(Rule::NoAnnotations("since"))?;
        let since = self.scope.since(&notes.since)?;
        let attributes = self.uses(&raw.attributes)?;
        for used in &attributes {
            ensure(self.privacy(used) != Privacy::Content, || Rule::ContentOnMetric(used.key.clone()))?;
        }
        let histogram = raw.instrument == Instrument::Histogram;
        ensure(histogram || notes.boundaries.is_none(), || Rule::Boundaries)?;
        let boundaries = notes.boundaries.unwrap_or_default();
        let grow = boundaries.is_sorted_by(|a, b| a < b) && boundaries.iter().all(|b| b.is_finite());
        ensure(grow, || Rule::BoundariesOrder)?;
        Ok(Metric {
            name: raw.name.clone(),
            instrument: raw.instrument,
            unit: raw.unit.clone(),
            brief: one_line(&raw.brief),
            note: raw.note.as_deref().map(one_line),
            stability: raw.stability.clone(),
            since,
            deprecated: deprecated(raw.deprecated.as_ref(), notes.until.as_deref(), since)?,
            upstream: self.scope.upstream(&raw.name, notes.upstream.as_ref())?,
            boundaries,
            attributes,
        })
    }

    fn event(&self, raw: &source::Event) -> Result<Event, Fault> {
        let notes: Option<EventNotes> = source::notes(&raw.annotations)?;
        let notes = notes.ok_or(Rule::NoAnnotations("since"))?;
        let since = self.scope.since(&notes.since)?;
        let attributes = self.uses(&raw.attributes)?;
        self.check_content(&attributes)?;
        Ok(Event {
            name: raw.name.clone(),
            brief: one_line(&raw.brief),
            note: raw.note.as_deref().map(one_line),
            stability: raw.stability.clone(),
            since,
            deprecated: deprecated(raw.deprecated.as_ref(), notes.until.as_deref(), since)?,
            upstream: self.scope.upstream(&raw.name, notes.upstream.as_ref())?,
            attributes,
        })
    }

    fn entity(&self, raw: &source::Entity) -> Result<Entity, Fault> {
        ensure(!raw.identity.is_empty(), || Rule::NoIdentity)?;
        let identity = self.uses(&raw.identity)?.into_iter().map(|used| used.key).collect();
        let all: Vec<_> = raw.identity.iter().chain(&raw.description).cloned().collect();
        Ok(Entity {
            name: raw.r#type.clone(),
            brief: one_line(&raw.brief),
            stability: raw.stability.clone(),
            identity,
            attributes: self.uses(&all)?,
        })
    }

    fn privacy(&self, used: &Use) -> Privacy {
        self.attributes.get(&used.key).map_or(Privacy::Structural, |held| held.value.privacy)
    }

    fn check_content(&self, uses: &[Use]) -> Result<(), Rule> {
        uses.iter().try_for_each(|used| {
            let fine = self.privacy(used) != Privacy::Content || used.level == Requirement::OptIn;
            ensure(fine, || Rule::Content(used.key.clone()))
        })
    }

    fn uses(&self, references: &[Reference]) -> Result<Vec<Use>, Fault> {
        let mut uses = Vec::new();
        for reference in references {
            match (&reference.r#ref, &reference.ref_group) {
                (Some(_), None) => uses.push(self.single(reference)?),
                (None, Some(group)) => {
                    let held = self.groups.get(group.as_str());
                    for member in held.ok_or_else(|| Rule::UnknownGroup(group.clone()))?.value {
                        let place = || format!("group {group}");
                        ensure(member.ref_group.is_none(), || Rule::GroupInGroup).within(place)?;
                        uses.push(self.single(member).within(place)?);
                    }
                }
                _ => return Err(Rule::Reference.into()),
            }
        }
        let mut seen = BTreeSet::new();
        for used in &uses {
            ensure(seen.insert(&used.key), || Rule::ReferredTwice(used.key.clone()))?;
        }
        for Use { key, required_with, .. } in &uses {
            let current = self.attributes.get(key).and_then(|held| held.value.renamed_to());
            if let Some(current) = current.filter(|current| !seen.contains(&(*current).to_owned())) {
                return Err(Rule::OlderAlone { older: key.clone(), current: current.to_owned() }.into());
            }
            if let Some(other) = required_with {
                let rule = || Rule::RequiredWith { key: key.clone(), other: other.clone() };
                ensure(seen.contains(other), rule)?;
            }
        }
        Ok(uses)
    }

    fn single(&self, reference: &Reference) -> Result<Use, Rule> {
        let key = reference.r#ref.clone().ok_or(Rule::Reference)?;
        ensure(self.attributes.contains_key(&key), || Rule::UnknownRef(key.clone()))?;
        let (level, when) = match &reference.requirement_level {
            None => return Err(Rule::NoLevel(key)),
            Some(Level::Bare(level)) => (level.as_str(), None),
            Some(Level::When(map)) => match map.iter().next() {
                Some((level, when)) if map.len() == 1 => (level.as_str(), Some(one_line(when))),
                _ => return Err(Rule::OneLevel(key)),
            },
        };
        let level = match (level, &when) {
            ("required", None) => Requirement::Required,
            ("conditionally_required", Some(_)) => Requirement::Conditional,
            ("recommended", _) => Requirement::Recommended,
            ("opt_in", _) => Requirement::OptIn,
            (level, _) => return Err(Rule::Level { key, level: level.to_owned() }),
        };
        let notes: ReferenceNotes = source::notes(&reference.annotations)?.unwrap_or_default();
        let required_on_error = notes.required_on == Some(Occasion::Error);
        let condition = required_on_error || notes.required_with.is_some();
        ensure(!condition || level == Requirement::Conditional, || Rule::ConditionLevel(key.clone()))?;
        Ok(Use { key, level, when, required_with: notes.required_with, required_on_error })
    }
}

/// The forms of a span's name, of attributes that it has.
fn patterns(texts: &source::OneOrMore, attributes: &[Use]) -> Result<Vec<Pattern>, Fault> {
    let mut patterns = Vec::new();
    for text in texts.texts() {
        let pattern = Pattern::parse(text)?;
        for key in pattern.keys() {
            ensure(attributes.iter().any(|u| u.key == key), || Rule::NamePatternKey(key.to_owned()))?;
        }
        ensure(!patterns.contains(&pattern), || Rule::NamePatternTwice(text.clone()))?;
        patterns.push(pattern);
    }
    Ok(patterns)
}
