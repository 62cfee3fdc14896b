//! Spans, metrics and events.

use std::collections::BTreeSet;

use super::{
    Change, ChangeKind, Class, Element, ElementKind, Found,
    names::{Aliases, clash},
    presence::Presence,
};
use crate::model::{Deprecated, Event, Metric, Registry, Requirement, Span, Use};
use crate::{pattern::Pattern, version::Version};

/// Finds what changed in them.
pub(super) fn compare(old: &Registry, new: &Registry, found: &mut Found<'_>) {
    let aliases = Aliases::of(old, new);
    each(ElementKind::Span, &old.spans, &new.spans, found, |was, is, element, promised, found| {
        carried(old, new, &aliases, (was.uses(), is.uses()), element, promised, found);
        span(was, is, element, promised, found);
        names(new, was, is, &aliases, element, promised, found);
    });
    each(ElementKind::Metric, &old.metrics, &new.metrics, found, |was, is, element, promised, found| {
        carried(old, new, &aliases, (was.uses(), is.uses()), element, promised, found);
        metric(was, is, element, promised, found);
    });
    each(ElementKind::Event, &old.events, &new.events, found, |was, is, element, promised, found| {
        carried(old, new, &aliases, (was.uses(), is.uses()), element, promised, found);
        let same = (&was.brief, &was.note, &was.stability, &was.upstream, was.since)
            == (&is.brief, &is.note, &is.stability, &is.upstream, is.since);
        found.described(element.clone(), same);
    });
}

/// What spans, metrics and events have in common.
trait Signal {
    fn name(&self) -> &str;
    fn deprecated(&self) -> Option<&Deprecated>;
    fn uses(&self) -> &[Use];
    /// Whether another one under another name looks like this one.
    fn is_like(&self, other: &Self) -> bool;
}

impl Signal for Span {
    fn name(&self) -> &str {
        &self.name
    }
    fn deprecated(&self) -> Option<&Deprecated> {
        self.deprecated.as_ref()
    }
    fn uses(&self) -> &[Use] {
        &self.attributes
    }
    fn is_like(&self, other: &Self) -> bool {
        self.brief == other.brief && self.kinds == other.kinds
    }
}

impl Signal for Metric {
    fn name(&self) -> &str {
        &self.name
    }
    fn deprecated(&self) -> Option<&Deprecated> {
        self.deprecated.as_ref()
    }
    fn uses(&self) -> &[Use] {
        &self.attributes
    }
    fn is_like(&self, other: &Self) -> bool {
        self.brief == other.brief && self.instrument == other.instrument && self.unit == other.unit
    }
}

impl Signal for Event {
    fn name(&self) -> &str {
        &self.name
    }
    fn deprecated(&self) -> Option<&Deprecated> {
        self.deprecated.as_ref()
    }
    fn uses(&self) -> &[Use] {
        &self.attributes
    }
    fn is_like(&self, other: &Self) -> bool {
        self.brief == other.brief
    }
}

fn each<T: Signal>(
    kind: ElementKind,
    old: &[T],
    new: &[T],
    found: &mut Found<'_>,
    both: impl Fn(&T, &T, &Element, bool, &mut Found<'_>),
) {
    let find = |list: &'_ [T], name: &str| list.iter().position(|signal| signal.name() == name);
    for was in old {
        let element = Element::new(kind, was.name());
        if let Some(at) = find(new, was.name()) {
            let is = &new[at];
            let promised = !found.lapsed(was.deprecated());
            found.deprecation(element.clone(), was.deprecated(), is.deprecated(), promised);
            both(was, is, &element, promised, found);
        } else {
            let fresh = |signal: &&T| find(old, signal.name()).is_none() && was.is_like(signal);
            let mut alike = new.iter().filter(fresh);
            let successor = alike.next().filter(|_| alike.next().is_none()).map(T::name);
            found.gone(element, was.deprecated(), successor);
        }
    }
    for is in new.iter().filter(|is| find(old, is.name()).is_none()) {
        let element = Element::new(kind, is.name());
        found.push(true, Change::new(Class::Additive, ChangeKind::Added, element, "is new"));
    }
}

/// The attributes that a signal carries. Those that the whole contract lost or gained are told of by themselves.
pub(super) fn carried(
    old: &Registry,
    new: &Registry,
    aliases: &Aliases<'_>,
    (was, is): (&[Use], &[Use]),
    element: &Element,
    promised: bool,
    found: &mut Found<'_>,
) {
    let before = Presence::of(old, aliases, was.iter());
    let after = Presence::of(new, aliases, is.iter());
    for (key, used) in before.uses() {
        let deprecated = old.attribute(key).and_then(|attribute| attribute.deprecated.as_ref());
        let promised = promised && !found.lapsed(deprecated);
        match after.uses().get(key) {
            Some(current) => {
                requirement(old, new, (used, current), (&before, &after), element, promised, found);
            }
            None if new.attribute(key).is_none() => {}
            None => {
                let (class, kind) = (Class::Breaking, ChangeKind::TakenOff);
                let change = Change::new(class, kind, element.with(key), "is not there any more");
                found.push(promised, change.breaking_producers(true));
            }
        }
    }
    for (key, used) in after.uses() {
        if before.uses().contains_key(key) || old.attribute(key).is_none() {
            continue;
        }
        let change = Change::new(Class::Additive, ChangeKind::Added, element.with(key), "is new there");
        let must = matches!(used.level, Requirement::Required | Requirement::Conditional);
        found.push(true, change.breaking_producers(must));
    }
}

fn requirement(
    old: &Registry,
    new: &Registry,
    (was, is): (&Use, &Use),
    (before, after): (&Presence<'_>, &Presence<'_>),
    element: &Element,
    promised: bool,
    found: &mut Found<'_>,
) {
    let asked = |presence: &Presence<'_>, registry: &Registry| !presence.unasked(registry, &was.key);
    let loosened = !after.keeps(was) || (asked(after, new) && !asked(before, old));
    let same = (was.level, &was.required_with, was.required_on_error)
        == (is.level, &is.required_with, is.required_on_error);
    if same && !loosened {
        if was.when != is.when {
            let message = "has a condition in other words: does it mean the same?";
            let element = element.with(&was.key);
            found.push(true, Change::new(Class::Compatible, ChangeKind::Described, element, message));
        }
        return;
    }
    let class = if loosened { Class::Breaking } else { Class::Compatible };
    let (was_name, is_name) = (in_words(was), in_words(is));
    let message = format!("is {is_name}, and was {was_name}");
    let change = Change::new(class, ChangeKind::Requirement, element.with(&was.key), message);
    let change = change.from(was_name).to(is_name).breaking_producers(!before.keeps(is));
    found.push(promised, change);
}

fn in_words(used: &Use) -> String {
    let level = used.level.name().replace('_', " ");
    let with = used.required_with.as_deref().map(|other| format!(" with {other}")).unwrap_or_default();
    let on_error = if used.required_on_error { " on an error" } else { "" };
    format!("{level}{with}{on_error}")
}

fn span(was: &Span, is: &Span, element: &Element, promised: bool, found: &mut Found<'_>) {
    for kind in was.kinds.iter().filter(|kind| !is.kinds.contains(kind)) {
        let message = format!("does not come as {} any more", kind.name());
        let change = Change::new(Class::Breaking, ChangeKind::SpanKind, element.clone(), message);
        found.push(promised, change.from(kind.name()).breaking_producers(true));
    }
    for kind in is.kinds.iter().filter(|kind| !was.kinds.contains(kind)) {
        let message = format!("also comes as {}", kind.name());
        let change = Change::new(Class::Additive, ChangeKind::SpanKind, element.clone(), message);
        found.push(promised, change.to(kind.name()));
    }
    let same = (&was.brief, &was.note, &was.naming, &was.stability, &was.upstream, was.since)
        == (&is.brief, &is.note, &is.naming, &is.stability, &is.upstream, is.since);
    found.described(element.clone(), same);
}

fn names(
    new: &Registry,
    was: &Span,
    is: &Span,
    aliases: &Aliases<'_>,
    element: &Element,
    promised: bool,
    found: &mut Found<'_>,
) {
    older_names(new.version, was, is, element, promised, found);
    // A promise of an older name ends with its time, and then the current one counts.
    let (old, now) = (was.shown(new.version), is.shown(new.version));
    if old == now {
        return;
    }
    let presence = Presence::of(new, aliases, is.attributes.iter());
    let (class, was_name, is_name) = match clash(old, now, &presence, aliases) {
        Some((old, new)) => (Class::Breaking, Some(old), new),
        None => {
            (Class::Compatible, old.first().map(ToString::to_string), now.first().map(ToString::to_string))
        }
    };
    let name = |pattern: Option<&String>| pattern.map_or_else(|| "not bound".into(), |p| format!("`{p}`"));
    let message = match class {
        Class::Breaking => {
            format!("is named {}, and was {}", name(is_name.as_ref()), name(was_name.as_ref()))
        }
        _ => "is named the same, by other patterns".to_owned(),
    };
    let mut change = Change::new(class, ChangeKind::NamePattern, element.clone(), message);
    (change.old, change.new) = (was_name, is_name);
    found.push(promised, change.breaking_producers(class == Class::Breaking));
}

/// What is promised of the names that spans had before.
fn older_names(
    version: Version,
    was: &Span,
    is: &Span,
    element: &Element,
    promised: bool,
    found: &mut Found<'_>,
) {
    let (Some(new), old) = (&is.older, &was.older) else { return };
    let (class, kind, message) = match old {
        Some(old) if old == new => return,
        Some(old) if new.until < old.until && version < old.until => (
            Class::Breaking,
            ChangeKind::UntilLowered,
            format!("has its older name until {} only, and had it until {}", new.until, old.until),
        ),
        _ => {
            let message = format!("is renamed, and has its older name until {}", new.until);
            (Class::Compatible, ChangeKind::Deprecated, message)
        }
    };
    let change = Change::new(class, kind, element.clone(), message);
    let first = |patterns: &[Pattern]| patterns.first().map_or_else(String::new, ToString::to_string);
    let change = change.from(first(&new.patterns)).to(first(&is.patterns));
    found.push(promised, change);
}

fn metric(was: &Metric, is: &Metric, element: &Element, promised: bool, found: &mut Found<'_>) {
    if was.instrument != is.instrument {
        let message = format!("is a {}, and was a {}", is.instrument.name(), was.instrument.name());
        let change = Change::new(Class::Breaking, ChangeKind::Instrument, element.clone(), message);
        let change = change.from(was.instrument.name()).to(is.instrument.name());
        found.push(promised, change.breaking_producers(true));
    }
    if was.unit != is.unit {
        let message = format!("is in {}, and was in {}", is.unit, was.unit);
        let change = Change::new(Class::Breaking, ChangeKind::Unit, element.clone(), message);
        let change = change.from(was.unit.clone()).to(is.unit.clone());
        found.push(promised, change.breaking_producers(true));
    }
    // Buckets of old and new agents are summed: one boundary more is as wrong as one less.
    if was.boundaries != is.boundaries {
        let class = if was.boundaries.is_empty() { Class::Compatible } else { Class::Breaking };
        let (old, new) = (format!("{:?}", was.boundaries), format!("{:?}", is.boundaries));
        let message = format!("has its buckets at {new}, and had them at {old}");
        let change = Change::new(class, ChangeKind::Boundaries, element.clone(), message);
        let bound = !is.boundaries.is_empty();
        found.push(promised, change.from(old).to(new).breaking_producers(bound));
    }
    let same = (&was.brief, &was.note, &was.stability, &was.upstream, was.since)
        == (&is.brief, &is.note, &is.stability, &is.upstream, is.since);
    found.described(element.clone(), same);
}

/// Keys as a text.
pub(super) fn keys(keys: &[String]) -> (BTreeSet<&str>, String) {
    (keys.iter().map(String::as_str).collect(), keys.join(", "))
}
