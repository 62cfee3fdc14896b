//! The measure of the gate: a consumer that tries everything. It knows nothing of how changes are found: it writes down every
//! shape of telemetry that a contract allows, and looks whether what another contract promised is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{Attribute, Deprecated, Instrument, Registry, Requirement, SpanKind, Use, Values},
    pattern::{Part, Pattern},
    version::Version,
};

/// A signal as a consumer knows it.
struct Signal<'a> {
    id: String,
    deprecated: Option<&'a Deprecated>,
    uses: BTreeMap<&'a str, &'a Use>,
    kinds: &'a [SpanKind],
    patterns: &'a [Pattern],
    older_until: Option<Version>,
    metric: Option<(Instrument, &'a str, &'a [f64])>,
}

fn by_key<'a>(uses: impl Iterator<Item = &'a Use>) -> BTreeMap<&'a str, &'a Use> {
    uses.map(|used| (used.key.as_str(), used)).collect()
}

/// As they are promised to be at a version.
fn signals(registry: &Registry, at: Version) -> Vec<Signal<'_>> {
    let mut all = Vec::new();
    for span in &registry.spans {
        all.push(Signal {
            id: format!("span {}", span.name),
            deprecated: span.deprecated.as_ref(),
            uses: by_key(span.attributes.iter()),
            kinds: &span.kinds,
            patterns: span.shown(at),
            older_until: span.older.as_ref().map(|older| older.until),
            metric: None,
        });
    }
    for metric in &registry.metrics {
        all.push(Signal {
            id: format!("metric {}", metric.name),
            deprecated: metric.deprecated.as_ref(),
            uses: by_key(metric.attributes.iter()),
            kinds: &[],
            patterns: &[],
            older_until: None,
            metric: Some((metric.instrument, &metric.unit, &metric.boundaries)),
        });
    }
    for event in &registry.events {
        all.push(Signal {
            id: format!("event {}", event.name),
            deprecated: event.deprecated.as_ref(),
            uses: by_key(event.attributes.iter()),
            kinds: &[],
            patterns: &[],
            older_until: None,
            metric: None,
        });
    }
    all.push(Signal {
        id: "resource".into(),
        deprecated: None,
        uses: by_key(registry.entities.iter().flat_map(|e| &e.attributes)),
        kinds: &[],
        patterns: &[],
        older_until: None,
        metric: None,
    });
    all
}

/// One shape of telemetry: which attributes are there, and on which occasion.
struct Shape<'a> {
    there: BTreeSet<&'a str>,
    error: bool,
    asked: bool,
    /// Values whose condition in words is met.
    met: BTreeSet<&'a str>,
}

fn in_words(used: &Use) -> bool {
    used.level == Requirement::Conditional && used.required_with.is_none() && !used.required_on_error
}

/// One word for each value: both names of what is renamed mean the same.
#[derive(Clone, Copy)]
struct Words<'a> {
    old: &'a Registry,
    new: &'a Registry,
}

impl<'a> Words<'a> {
    fn of<'b>(self, key: &'b str) -> &'b str
    where
        'a: 'b,
    {
        if self.new.attribute(key).is_some() {
            current(self.new, key)
        } else {
            current(self.new, current(self.old, key))
        }
    }
}

/// Must the attribute be there?
fn must(words: Words<'_>, used: &Use, shape: &Shape<'_>) -> bool {
    match used.level {
        Requirement::Required => true,
        Requirement::Recommended | Requirement::OptIn => false,
        Requirement::Conditional => {
            (in_words(used) && shape.met.contains(words.of(&used.key)))
                || (used.required_on_error && shape.error)
                || used.required_with.as_deref().is_some_and(|other| shape.there.contains(other))
        }
    }
}

fn current<'b, 'a: 'b>(registry: &'a Registry, key: &'b str) -> &'b str {
    registry.attribute(key).and_then(Attribute::renamed_to).unwrap_or(key)
}

/// May the contract's signal have this shape?
fn allowed(words: Words<'_>, registry: &Registry, signal: &Signal<'_>, shape: &Shape<'_>) -> bool {
    signal.uses.iter().all(|(key, used)| {
        let there = shape.there.contains(key);
        let pair = current(registry, key);
        // Both names or none.
        if pair != *key && signal.uses.contains_key(pair) && there != shape.there.contains(pair) {
            return false;
        }
        if !there {
            return !must(words, used, shape);
        }
        // What is only there when asked for comes unasked when another name of it does.
        let mut names = signal.uses.iter().filter(|(other, _)| {
            let name = |key| {
                if signal.uses.contains_key(current(registry, key)) { current(registry, key) } else { key }
            };
            name(**other) == name(*key)
        });
        shape.asked || names.any(|(_, other)| other.level != Requirement::OptIn)
    })
}

fn subsets<'a>(keys: &[&'a str]) -> Vec<BTreeSet<&'a str>> {
    let pick =
        |mask: usize| keys.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == 1).map(|(_, key)| *key);
    (0..1_usize << keys.len()).map(|mask| pick(mask).collect()).collect()
}

/// Every shape that the signal may have, on every occasion that either contract knows.
fn shapes<'a>(
    words: Words<'a>,
    registry: &'a Registry,
    signal: &Signal<'a>,
    conditions: &BTreeSet<&'a str>,
) -> Vec<Shape<'a>> {
    let keys: Vec<&str> = signal.uses.keys().copied().collect();
    let conditions: Vec<&str> = conditions.iter().copied().collect();
    let mut all = Vec::new();
    for there in subsets(&keys) {
        for met in subsets(&conditions) {
            for (error, asked) in [(false, false), (false, true), (true, false), (true, true)] {
                let shape = Shape { there: there.clone(), error, asked, met: met.clone() };
                if allowed(words, registry, signal, &shape) {
                    all.push(shape);
                }
            }
        }
    }
    all
}

/// What an old contract promises and a new one does not keep.
pub(super) fn broken(old: &Registry, new: &Registry) -> Vec<String> {
    let lapsed = |d: Option<&Deprecated>| d.is_some_and(|d| d.until <= new.version);
    let words = Words { old, new };
    let mut broken = Vec::new();
    let now = signals(new, new.version);
    for was in signals(old, new.version).iter().filter(|was| !lapsed(was.deprecated)) {
        let mut fail = |what: String| broken.push(format!("{}: {what}", was.id));
        let Some(is) = now.iter().find(|is| is.id == was.id) else {
            fail("is gone".into());
            continue;
        };
        if ends_earlier(was.deprecated, is.deprecated, new.version) {
            fail("ends earlier".into());
        }
        let older = (was.older_until.filter(|until| *until > new.version), is.older_until);
        if let (Some(before), Some(now)) = older
            && now < before
        {
            fail("has its older name for a shorter time".into());
        }
        let told = was.uses.values().chain(is.uses.values()).filter(|used| in_words(used));
        let conditions: BTreeSet<&str> = told.map(|used| words.of(&used.key)).collect();
        let seen = shapes(words, new, is, &conditions);
        let before = shapes(words, old, was, &conditions);
        for (key, used) in &was.uses {
            let attribute = old.attribute(key).unwrap();
            if lapsed(attribute.deprecated.as_ref()) {
                continue;
            }
            if seen.iter().all(|shape| !shape.there.contains(key)) {
                fail(format!("{key} is never there"));
                continue;
            }
            let unasked = |list: &[Shape<'_>]| list.iter().any(|s| !s.asked && s.there.contains(key));
            if unasked(&before) && !unasked(&seen) {
                fail(format!("{key} is not there unasked"));
            }
            if seen.iter().any(|shape| must(words, used, shape) && !shape.there.contains(key)) {
                fail(format!("{key} is missing"));
            }
            for what in value(attribute, new.attribute(key).unwrap()) {
                fail(format!("{key}: {what}"));
            }
            if ends_earlier(
                attribute.deprecated.as_ref(),
                new.attribute(key).unwrap().deprecated.as_ref(),
                new.version,
            ) {
                fail(format!("{key} ends earlier"));
            }
        }
        if was.kinds.iter().any(|kind| !is.kinds.contains(kind)) {
            fail("a kind is gone".into());
        }
        for shape in &seen {
            let (then, name) = (name(words, was, shape), name(words, is, shape));
            if then.is_some() && then != name {
                fail(format!("{then:?} is named {name:?}"));
            }
        }
        if let (Some(then), Some(measured)) = (was.metric, is.metric) {
            let buckets = then.2.is_empty() || then.2 == measured.2;
            if (then.0, then.1) != (measured.0, measured.1) || !buckets {
                fail("is measured differently".into());
            }
        }
    }
    for was in &old.entities {
        let set = |keys: &[String]| keys.iter().cloned().collect::<BTreeSet<_>>();
        if new.entities.iter().any(|is| is.name == was.name && set(&is.identity) != set(&was.identity)) {
            broken.push(format!("entity {}", was.name));
        }
    }
    broken
}

/// Is there a version in which it was promised, and is not?
fn ends_earlier(old: Option<&Deprecated>, new: Option<&Deprecated>, from: Version) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return false };
    let step = |minor| Version { major: from.major, minor, patch: 0 };
    let versions = (0..40).map(step).chain([1, 2, 3].map(|major| Version { major, minor: 0, patch: 0 }));
    versions.filter(|v| *v >= from).any(|version| version < old.until && version >= new.until)
}

fn value(old: &Attribute, new: &Attribute) -> Vec<&'static str> {
    let mut broken = Vec::new();
    if new.privacy > old.privacy {
        broken.push("is more private");
    }
    if new.cardinality > old.cardinality {
        broken.push("has more values");
    }
    if old.kind != new.kind {
        broken.push("is of another type");
        return broken;
    }
    if old.unit.is_some() && old.unit != new.unit {
        broken.push("is in another unit");
    }
    let lists = |a: &Attribute, value: &str| a.members.iter().any(|m| m.value == value);
    if old.members.iter().any(|m| !lists(new, &m.value)) {
        broken.push("lacks a value");
    }
    let any = |a: &Attribute| a.values != Some(Values::Closed);
    if any(old) && !any(new) {
        broken.push("lacks unlisted values");
    }
    for length in 0..40_u32 {
        let fits = |a: &Attribute| {
            if any(a) {
                a.max_bytes.is_none_or(|max| length <= max)
            } else {
                a.members.iter().any(|m| length as usize <= m.value.len())
            }
        };
        if old.kind.is_text() && any(new) && fits(old) && !fits(new) {
            broken.push("is cut");
        }
        let counts = |a: &Attribute| a.max_items.is_none_or(|max| length <= max);
        if counts(old) && !counts(new) {
            broken.push("has fewer items");
        }
    }
    broken
}

/// The name that a span of a shape has under a signal's patterns, with one word for each value.
fn name(words: Words<'_>, signal: &Signal<'_>, shape: &Shape<'_>) -> Option<String> {
    let there: BTreeSet<&str> = shape.there.iter().map(|key| words.of(key)).collect();
    let form =
        signal.patterns.iter().find(|pattern| pattern.keys().all(|key| there.contains(words.of(key))))?;
    let parts = form.parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Value(key) => format!("<{}>", words.of(key)),
    });
    Some(parts.collect())
}

/// Is there something under the new contract that never was under the old one?
pub(super) fn adds(old: &Registry, new: &Registry) -> bool {
    let before = signals(old, new.version);
    let fresh_signal = signals(new, new.version).iter().any(|is| {
        let Some(was) = before.iter().find(|was| was.id == is.id) else { return true };
        is.uses.keys().any(|key| !was.uses.contains_key(key))
            || is.kinds.iter().any(|kind| !was.kinds.contains(kind))
    });
    let fresh_value = new.attributes.iter().any(|is| {
        let was = old.attribute(&is.key).filter(|was| was.kind == is.kind);
        was.is_some_and(|was| {
            let opened = was.values == Some(Values::Closed) && is.values != Some(Values::Closed);
            opened || is.members.iter().any(|m| was.members.iter().all(|old| old.value != m.value))
        })
    });
    fresh_signal || fresh_value
}
