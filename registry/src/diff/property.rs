//! Random contracts, random edits: the gate says what a consumer who tries everything finds.

use proptest::prelude::*;

use super::{ChangeKind, Class, Diff, consumer};
use crate::{
    model::{
        Attribute, Cardinality, Deprecated, Entity, Event, Instrument, Kind, Member, Metric, OlderNames,
        Privacy, Registry, Requirement, Span, SpanKind, Use, Values,
    },
    pattern::Pattern,
    version::Version,
};

/// Decisions, one after another; when they run out, the first choice is taken.
struct Dice<'a>(&'a [u8]);

impl Dice<'_> {
    fn below(&mut self, sides: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % sides
    }

    fn yes(&mut self) -> bool {
        self.below(2) == 1
    }

    fn rarely(&mut self) -> bool {
        self.below(4) == 3
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const PATTERNS: [&str; 8] = ["{a} {b}", "{b}", "{a}", "x {c}", "{c} {a}", "fixed", "{d}", "{e} {b}"];
const KINDS: [Kind; 4] = [Kind::String, Kind::Strings, Kind::Int, Kind::Double];

fn version(minor: u32) -> Version {
    Version { major: 0, minor, patch: 0 }
}

fn member(value: &str) -> Member {
    Member { id: value.into(), value: value.into(), brief: String::new() }
}

fn kind(dice: &mut Dice<'_>, attribute: &mut Attribute) {
    attribute.kind = dice.one(&KINDS);
    attribute.members.clear();
    if attribute.kind.is_text() && dice.rarely() {
        attribute.members = [member("v"), member("longer")][..=dice.below(2)].to_vec();
        attribute.values = Some(dice.one(&[Values::Open, Values::Closed]));
    }
    attribute.unit = dice.rarely().then(|| "s".into());
    attribute.max_bytes = dice.rarely().then(|| dice.one(&[8, 4]));
    attribute.max_items = dice.rarely().then_some(3);
}

fn attribute(key: &str, dice: &mut Dice<'_>) -> Attribute {
    let mut attribute = Attribute {
        key: key.into(),
        kind: Kind::String,
        brief: format!("Says {key}."),
        note: None,
        examples: Vec::new(),
        stability: "stable".into(),
        members: Vec::new(),
        values: None,
        unit: None,
        privacy: dice.one(&[Privacy::Structural, Privacy::Identifying]),
        cardinality: dice.one(&[Cardinality::Bounded, Cardinality::Unbounded]),
        since: version(1),
        max_bytes: None,
        max_items: None,
        deprecated: deprecated(dice, &KEYS),
        upstream: None,
    };
    kind(dice, &mut attribute);
    attribute
}

fn deprecated(dice: &mut Dice<'_>, names: &[&str]) -> Option<Deprecated> {
    let renamed_to = dice.yes().then(|| dice.one(names).to_owned());
    let until = version(2 + dice.below(4) as u32);
    dice.rarely().then_some(Deprecated { renamed_to, until })
}

fn level(used: &mut Use, dice: &mut Dice<'_>) {
    let levels =
        [Requirement::Recommended, Requirement::Required, Requirement::Conditional, Requirement::OptIn];
    used.level = dice.one(&levels);
    used.required_with = dice.yes().then(|| dice.one(&KEYS).to_owned());
    used.required_on_error = dice.rarely();
}

fn uses(dice: &mut Dice<'_>) -> Vec<Use> {
    let mut uses = Vec::new();
    for key in KEYS {
        if dice.yes() {
            uses.push(a_use(key, dice));
        }
    }
    uses
}

fn a_use(key: &str, dice: &mut Dice<'_>) -> Use {
    let key = key.to_owned();
    let mut used = Use {
        key,
        level: Requirement::Recommended,
        when: None,
        required_with: None,
        required_on_error: false,
    };
    level(&mut used, dice);
    used
}

fn patterns(dice: &mut Dice<'_>) -> Vec<Pattern> {
    let count = dice.below(4);
    (0..count).map(|_| Pattern::parse(dice.one(&PATTERNS)).unwrap()).collect()
}

fn span(name: &str, dice: &mut Dice<'_>) -> Span {
    Span {
        name: name.into(),
        kinds: [SpanKind::Client, SpanKind::Server][..=dice.below(2)].to_vec(),
        naming: String::new(),
        patterns: patterns(dice),
        older: None,
        brief: String::new(),
        note: None,
        stability: String::new(),
        since: version(1),
        deprecated: deprecated(dice, &["s", "t"]),
        upstream: None,
        attributes: uses(dice),
    }
}

fn metric(name: &str, dice: &mut Dice<'_>) -> Metric {
    Metric {
        name: name.into(),
        instrument: dice.one(&[Instrument::Histogram, Instrument::Counter]),
        unit: dice.one(&["s", "By"]).into(),
        brief: String::new(),
        note: None,
        stability: String::new(),
        since: version(1),
        deprecated: deprecated(dice, &["m"]),
        upstream: None,
        boundaries: [1.0, 2.0][..dice.below(3)].to_vec(),
        attributes: uses(dice),
    }
}

fn contract(dice: &mut Dice<'_>) -> Registry {
    let attributes = KEYS.iter().map(|key| attribute(key, dice)).collect();
    let spans = ["s", "t"][..=dice.below(2)].iter().map(|name| span(name, dice)).collect();
    let metrics = ["m"][..dice.below(2)].iter().map(|name| metric(name, dice)).collect();
    let events = ["h"][..dice.below(2)].iter().map(|name| Event {
        name: (*name).into(),
        brief: String::new(),
        note: None,
        stability: String::new(),
        since: version(1),
        deprecated: deprecated(dice, &["h"]),
        upstream: None,
        attributes: uses(dice),
    });
    let events = events.collect();
    let entity = Entity {
        name: "n".into(),
        brief: String::new(),
        stability: String::new(),
        identity: vec![dice.one(&KEYS).into()],
        attributes: uses(dice),
    };
    let mut registry = Registry {
        name: "random".into(),
        version: version(1),
        schema_url: String::new(),
        description: String::new(),
        based_on: Vec::new(),
        attributes,
        spans,
        metrics,
        events,
        entities: vec![entity],
    };
    repair(&mut registry);
    registry
}

fn lists(registry: &mut Registry) -> Vec<&mut Vec<Use>> {
    let spans = registry.spans.iter_mut().map(|s| &mut s.attributes);
    let metrics = registry.metrics.iter_mut().map(|m| &mut m.attributes);
    let events = registry.events.iter_mut().map(|e| &mut e.attributes);
    spans
        .chain(metrics)
        .chain(events)
        .chain(registry.entities.iter_mut().map(|e| &mut e.attributes))
        .collect()
}

/// Makes it a contract that could have been loaded. Leaving something out may leave something else alone.
fn repair(registry: &mut Registry) {
    for _ in 0..=KEYS.len() {
        repair_once(registry);
    }
}

fn repair_once(registry: &mut Registry) {
    registry.attributes.sort_by(|a, b| a.key.cmp(&b.key));
    registry.attributes.dedup_by(|a, b| a.key == b.key);
    for attribute in &mut registry.attributes {
        let listed = !attribute.members.is_empty();
        attribute.values = attribute.values.or(Some(Values::Open)).filter(|_| listed);
        let closed = attribute.values == Some(Values::Closed);
        attribute.max_bytes = attribute.max_bytes.filter(|_| attribute.kind.is_text() && !closed);
        attribute.max_items = attribute.max_items.filter(|_| attribute.kind.is_array());
        attribute.unit = attribute.unit.take().filter(|_| attribute.kind.is_number());
    }
    let known: Vec<Attribute> = registry.attributes.clone();
    for uses in lists(registry) {
        uses.retain(|used| known.iter().any(|a| a.key == used.key));
        uses.sort_by(|a, b| a.key.cmp(&b.key));
        uses.dedup_by(|a, b| a.key == b.key);
        let keys: Vec<String> = uses.iter().map(|used| used.key.clone()).collect();
        let current = |key: &str| known.iter().find(|a| a.key == key).and_then(Attribute::renamed_to);
        uses.retain(|used| current(&used.key).is_none_or(|current| keys.iter().any(|key| key == current)));
        for used in uses {
            let conditional = used.level == Requirement::Conditional;
            let with = used.required_with.take().filter(|with| *with != used.key && keys.contains(with));
            used.required_with = with.filter(|_| conditional);
            used.required_on_error &= conditional;
        }
    }
    let used: Vec<String> = lists(registry).into_iter().flatten().map(|used| used.key.clone()).collect();
    registry.attributes.retain(|attribute| used.contains(&attribute.key));
    let known = registry.attributes.clone();
    for attribute in &mut registry.attributes {
        let Some(deprecated) = &mut attribute.deprecated else { continue };
        let (kind, unit) = (attribute.kind, &attribute.unit);
        let fits = |a: &&Attribute| a.renamed_to().is_none() && a.kind == kind && a.unit == *unit;
        let target = deprecated.renamed_to.take();
        deprecated.renamed_to =
            target.filter(|name| known.iter().find(|a| a.key == *name).is_some_and(|a| fits(&a)));
    }
    registry.spans.sort_by(|a, b| a.name.cmp(&b.name));
    registry.spans.dedup_by(|a, b| a.name == b.name);
    for span in &mut registry.spans {
        let keys: Vec<&str> = span.attributes.iter().map(|used| used.key.as_str()).collect();
        span.patterns.retain(|pattern| pattern.keys().all(|key| keys.contains(&key)));
        if let Some(older) = &mut span.older {
            older.patterns.retain(|pattern| pattern.keys().all(|key| keys.contains(&key)));
        }
        span.older =
            span.older.take().filter(|older| !older.patterns.is_empty() && !span.patterns.is_empty());
        let mut seen = Vec::new();
        span.patterns.retain(|pattern| {
            !seen.contains(pattern) && {
                seen.push(pattern.clone());
                true
            }
        });
    }
}

fn edit_attribute(attribute: &mut Attribute, dice: &mut Dice<'_>) {
    match dice.below(10) {
        0 => kind(dice, attribute),
        1 => attribute.unit = dice.one(&[None, Some("s".into()), Some("ms".into())]),
        2 => attribute.members = [member("v"), member("longer"), member("w")][..dice.below(4)].to_vec(),
        3 => attribute.values = Some(dice.one(&[Values::Open, Values::Closed])),
        4 => attribute.privacy = dice.one(&[Privacy::Structural, Privacy::Identifying, Privacy::Content]),
        5 => attribute.cardinality = dice.one(&[Cardinality::Bounded, Cardinality::Unbounded]),
        6 => attribute.max_bytes = dice.one(&[None, Some(4), Some(8), Some(9)]),
        7 => attribute.max_items = dice.one(&[None, Some(2), Some(4)]),
        8 => attribute.brief.push('!'),
        _ => attribute.deprecated = deprecated(dice, &KEYS),
    }
}

fn edit(registry: &mut Registry, dice: &mut Dice<'_>) {
    let at = dice.below(registry.attributes.len().max(1));
    match dice.below(9) {
        0 | 1 => {
            if let Some(attribute) = registry.attributes.get_mut(at) {
                edit_attribute(attribute, dice);
            }
        }
        // Gone, or renamed, with an overlap or without.
        2 if !registry.attributes.is_empty() => {
            let attribute = registry.attributes.remove(at);
            if dice.yes() {
                let mut renamed = attribute.clone();
                renamed.key = "z".into();
                renamed.deprecated = None;
                registry.attributes.push(renamed);
                let overlap = dice.yes();
                for uses in lists(registry) {
                    if let Some(mut used) = uses.iter().find(|used| used.key == attribute.key).cloned() {
                        used.key = "z".into();
                        uses.push(used);
                    }
                }
                if dice.yes() {
                    let swapped =
                        |p: &Pattern| p.to_string().replace(&format!("{{{}}}", attribute.key), "{z}");
                    for span in &mut registry.spans {
                        span.patterns =
                            span.patterns.iter().map(|p| Pattern::parse(&swapped(p)).unwrap()).collect();
                    }
                }
                if overlap {
                    let deprecated = Some(Deprecated { renamed_to: Some("z".into()), until: version(5) });
                    registry.attributes.push(Attribute { deprecated, ..attribute });
                }
            }
        }
        3 | 4 => {
            let mut lists = lists(registry);
            let list = dice.below(lists.len().max(1));
            let Some(uses) = lists.get_mut(list) else { return };
            let key = dice.one(&KEYS);
            match uses.iter().position(|used| used.key == key) {
                None => uses.push(a_use(key, dice)),
                Some(at) if dice.rarely() => drop(uses.remove(at)),
                Some(at) => level(&mut uses[at], dice),
            }
        }
        5 | 6 if !registry.spans.is_empty() => {
            let at = dice.below(registry.spans.len());
            match dice.below(6) {
                0 => drop(registry.spans.remove(at)),
                1 => registry.spans[at].kinds = vec![dice.one(&[SpanKind::Client, SpanKind::Server])],
                2 => {
                    let was = std::mem::replace(&mut registry.spans[at].patterns, patterns(dice));
                    match dice.below(4) {
                        0 | 1 => {
                            let until = version(2 + dice.below(4) as u32);
                            let older = OlderNames { patterns: was, replaced: version(1), until };
                            registry.spans[at].older = Some(older);
                        }
                        2 => registry.spans[at].older = None,
                        _ => {}
                    }
                }
                3 => registry.spans[at].patterns.reverse(),
                4 => registry.spans[at].deprecated = deprecated(dice, &["s", "t"]),
                _ => registry.spans[at].name = "u".into(),
            }
        }
        7 if !registry.metrics.is_empty() => match dice.below(4) {
            0 => registry.metrics.clear(),
            1 => registry.metrics[0].instrument = dice.one(&[Instrument::Histogram, Instrument::Counter]),
            2 => registry.metrics[0].unit = dice.one(&["s", "By"]).into(),
            _ => registry.metrics[0].boundaries = [1.0, 3.0][..dice.below(3)].to_vec(),
        },
        8 => match registry.entities.pop().filter(|_| !dice.rarely()) {
            Some(mut entity) => {
                entity.identity = vec![dice.one(&KEYS).into()];
                registry.entities.push(entity);
            }
            None => registry.events.clear(),
        },
        _ => registry.version.minor += 1,
    }
}

fn edited(old: &Registry, dice: &mut Dice<'_>) -> Registry {
    let mut new = old.clone();
    new.version = version(1 + dice.below(4) as u32);
    for _ in 0..dice.below(4) {
        edit(&mut new, dice);
    }
    repair(&mut new);
    new
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_gate_agrees_with_a_consumer_who_tries_everything(
        first in prop::collection::vec(any::<u8>(), 0..160),
        second in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let old = contract(&mut Dice(&first));
        let new = edited(&old, &mut Dice(&second));
        let diff = Diff::between(&old, &new);
        let changes = || diff.changes.iter().filter(|change| change.kind != ChangeKind::Version);
        let class = changes().map(|change| change.class).max().unwrap_or(Class::Compatible);
        let broken = consumer::broken(&old, &new);
        let wanted = match (broken.is_empty(), consumer::adds(&old, &new)) {
            (false, _) => Class::Breaking,
            (true, true) => Class::Additive,
            (true, false) => Class::Compatible,
        };
        prop_assert_eq!(
            class, wanted,
            "the consumer misses {:?}; the gate found {:#?}\nold {:#?}\nnew {:#?}", broken, diff.changes, old, new
        );
    }

    #[test]
    fn nothing_changes_from_a_contract_to_itself(dice in prop::collection::vec(any::<u8>(), 0..160)) {
        let contract = contract(&mut Dice(&dice));
        prop_assert_eq!(Diff::between(&contract, &contract).changes, vec![]);
    }
}
