//! Attributes as they are defined, wherever they are.

use std::collections::BTreeSet;

use super::{Change, ChangeKind, Class, Element, ElementKind, Found};
use crate::model::{Attribute, Registry, Requirement, Use, Values};

/// Finds what changed in the definitions.
pub(super) fn compare(old: &Registry, new: &Registry, found: &mut Found<'_>) {
    let promised = promised(old, found);
    for attribute in &old.attributes {
        let element = Element::new(ElementKind::Attribute, &attribute.key);
        match new.attribute(&attribute.key) {
            Some(current) => {
                let promised = promised.contains(attribute.key.as_str());
                definition(attribute, current, promised, found);
            }
            // Where nothing was promised any more, its signals were on their way out.
            None if !promised.contains(attribute.key.as_str())
                && !found.lapsed(attribute.deprecated.as_ref()) =>
            {
                found.push(
                    false,
                    Change::new(
                        Class::Compatible,
                        ChangeKind::OverlapEnded,
                        element,
                        "is gone, as announced",
                    ),
                );
            }
            None => {
                let successor = successor(attribute, old, new);
                found.gone(element, attribute.deprecated.as_ref(), successor);
            }
        }
    }
    for attribute in &new.attributes {
        if old.attribute(&attribute.key).is_none() {
            let element = Element::new(ElementKind::Attribute, &attribute.key);
            let (places, required) = places(&attribute.key, old, new);
            let message = format!("is new, on {}", places.join(", "));
            let added = Change::new(Class::Additive, ChangeKind::Added, element, message);
            found.push(true, added.breaking_producers(required));
        }
    }
}

/// Keys that a consumer may rely on: on a signal that is not on its way out, and not on their own.
fn promised<'a>(old: &'a Registry, found: &Found<'_>) -> BTreeSet<&'a str> {
    let spans = old.spans.iter().map(|s| (&s.deprecated, &s.attributes));
    let metrics = old.metrics.iter().map(|m| (&m.deprecated, &m.attributes));
    let events = old.events.iter().map(|e| (&e.deprecated, &e.attributes));
    let entities = old.entities.iter().map(|e| (&None, &e.attributes));
    let signals = spans.chain(metrics).chain(events).chain(entities);
    let alive = signals.filter(|(deprecated, _)| !found.lapsed(deprecated.as_ref()));
    let keys = alive.flat_map(|(_, uses)| uses).map(|used| used.key.as_str());
    keys.filter(|key| old.attribute(key).is_some_and(|a| !found.lapsed(a.deprecated.as_ref()))).collect()
}

/// The one new attribute that says the same, if there is one: then this looks like a rename.
fn successor<'a>(attribute: &Attribute, old: &Registry, new: &'a Registry) -> Option<&'a str> {
    let mut alike = new.attributes.iter().filter(|candidate| {
        old.attribute(&candidate.key).is_none()
            && candidate.kind == attribute.kind
            && candidate.unit == attribute.unit
            && candidate.members == attribute.members
            && candidate.brief == attribute.brief
    });
    let first = alike.next()?;
    alike.next().is_none().then_some(first.key.as_str())
}

/// Where a new attribute is, and whether a signal that was there before must carry it.
fn places(key: &str, old: &Registry, new: &Registry) -> (Vec<String>, bool) {
    let mut places = Vec::new();
    let mut required = false;
    let mut look = |place: String, known: bool, uses: &[Use]| {
        if let Some(used) = uses.iter().find(|used| used.key == key) {
            places.push(place);
            required |= known && matches!(used.level, Requirement::Required | Requirement::Conditional);
        }
    };
    for span in &new.spans {
        look(format!("span {}", span.name), old.span(&span.name).is_some(), &span.attributes);
    }
    for metric in &new.metrics {
        look(format!("metric {}", metric.name), old.metric(&metric.name).is_some(), &metric.attributes);
    }
    for event in &new.events {
        look(format!("event {}", event.name), old.event(&event.name).is_some(), &event.attributes);
    }
    for entity in &new.entities {
        look(format!("entity {}", entity.name), true, &entity.attributes);
    }
    (places, required)
}

fn definition(old: &Attribute, new: &Attribute, promised: bool, found: &mut Found<'_>) {
    let element = Element::new(ElementKind::Attribute, &old.key);
    found.deprecation(element.clone(), old.deprecated.as_ref(), new.deprecated.as_ref(), promised);
    if old.kind == new.kind {
        unit(old, new, promised, found);
        values(old, new, promised, found);
        limits(old, new, promised, found);
    } else {
        let message = format!("is of type {}, and was of {}", new.kind.name(), old.kind.name());
        let change = Change::new(Class::Breaking, ChangeKind::Type, element.clone(), message);
        let change = change.from(old.kind.name()).to(new.kind.name());
        found.push(promised, change.breaking_producers(true));
    }
    if old.privacy != new.privacy {
        let class = if new.privacy > old.privacy { Class::Breaking } else { Class::Compatible };
        let message = format!("is {}, and was {}", new.privacy.name(), old.privacy.name());
        let change = Change::new(class, ChangeKind::Privacy, element.clone(), message);
        let change = change.from(old.privacy.name()).to(new.privacy.name());
        found.push(promised, change.breaking_producers(new.privacy < old.privacy));
    }
    if old.cardinality != new.cardinality {
        let class = if new.cardinality > old.cardinality { Class::Breaking } else { Class::Compatible };
        let message = format!("is {}, and was {}", new.cardinality.name(), old.cardinality.name());
        let change = Change::new(class, ChangeKind::Cardinality, element.clone(), message);
        let change = change.from(old.cardinality.name()).to(new.cardinality.name());
        found.push(promised, change.breaking_producers(new.cardinality < old.cardinality));
    }
    let briefs =
        |a: &Attribute| a.members.iter().map(|m| (m.id.clone(), m.brief.clone())).collect::<BTreeSet<_>>();
    let same_members = old.members.len() != new.members.len() || briefs(old) == briefs(new);
    let same = (&old.brief, &old.note, &old.examples, &old.stability, &old.upstream, old.since)
        == (&new.brief, &new.note, &new.examples, &new.stability, &new.upstream, new.since);
    found.described(element, same && same_members);
}

fn unit(old: &Attribute, new: &Attribute, promised: bool, found: &mut Found<'_>) {
    if old.unit == new.unit {
        return;
    }
    let element = Element::new(ElementKind::Attribute, &old.key);
    let name = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "no unit".into());
    let (was, is) = (name(&old.unit), name(&new.unit));
    // A unit that was not told was no promise.
    let class = if old.unit.is_some() { Class::Breaking } else { Class::Compatible };
    let change = Change::new(class, ChangeKind::Unit, element, format!("is in {is}, and was in {was}"));
    let change = change.from(was).to(is).breaking_producers(old.unit.is_some() && new.unit.is_some());
    found.push(promised, change);
}

fn values(old: &Attribute, new: &Attribute, promised: bool, found: &mut Found<'_>) {
    let element = Element::new(ElementKind::Attribute, &old.key);
    let listed = |a: &'_ Attribute| a.members.iter().map(|m| m.value.clone()).collect::<BTreeSet<_>>();
    let (was, is) = (listed(old), listed(new));
    let closed = |a: &Attribute| a.values == Some(Values::Closed);
    for value in was.difference(&is) {
        let message = format!("does not list `{value}` any more");
        let change = Change::new(Class::Breaking, ChangeKind::MemberRemoved, element.clone(), message);
        found.push(promised, change.from(value.clone()).breaking_producers(closed(new)));
    }
    for value in is.difference(&was) {
        let message = format!("also has the value `{value}`");
        let change = Change::new(Class::Additive, ChangeKind::MemberAdded, element.clone(), message);
        found.push(promised, change.to(value.clone()));
    }
    if closed(old) != closed(new) {
        let (class, kind, message) = if closed(new) {
            (Class::Breaking, ChangeKind::ValuesClosed, "has listed values only, and had others, too")
        } else {
            (Class::Additive, ChangeKind::ValuesOpened, "may have values that are not listed")
        };
        found.push(promised, Change::new(class, kind, element, message).breaking_producers(closed(new)));
    }
}

/// Longest text that a consumer may see.
fn longest(attribute: &Attribute) -> usize {
    if attribute.values == Some(Values::Closed) {
        return attribute.members.iter().map(|m| m.value.len()).max().unwrap_or(0);
    }
    attribute.max_bytes.map_or(usize::MAX, |max| max as usize)
}

fn limits(old: &Attribute, new: &Attribute, promised: bool, found: &mut Found<'_>) {
    let element = Element::new(ElementKind::Attribute, &old.key);
    let closed = |a: &Attribute| a.values == Some(Values::Closed);
    let (was, is) = (longest(old), longest(new));
    // A list that is closed or opened says the most; it only matters whether its values still fit.
    let told = match (closed(old), closed(new)) {
        (_, true) => false,
        (true, false) => is < was,
        (false, false) => true,
    };
    if old.kind.is_text() && told {
        limit(ChangeKind::MaxBytes, "bytes", was, is, element.clone(), promised, found);
    }
    let most = |a: &Attribute| a.max_items.map_or(usize::MAX, |max| max as usize);
    let (was, is) = (most(old), most(new));
    limit(ChangeKind::MaxItems, "items", was, is, element, promised, found);
}

fn limit(
    kind: ChangeKind,
    what: &str,
    old: usize,
    new: usize,
    element: Element,
    promised: bool,
    found: &mut Found<'_>,
) {
    if old == new {
        return;
    }
    let lowered = new < old;
    let name = |limit: usize| if limit == usize::MAX { "any number".to_owned() } else { limit.to_string() };
    let message = match (old, new) {
        (usize::MAX, _) => format!("has up to {new} {what}, and had any number"),
        (_, usize::MAX) => format!("has any number of {what}, and had up to {old}"),
        _ => format!("has up to {new} {what}, and had up to {old}"),
    };
    let class = if lowered { Class::Breaking } else { Class::Compatible };
    let change = Change::new(class, kind, element, message).from(name(old)).to(name(new));
    found.push(promised, change.breaking_producers(lowered));
}
