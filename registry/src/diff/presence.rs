//! Which attributes must be there with which others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::names::Aliases;
use crate::model::{Registry, Requirement, Use};

/// When an attribute must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When<'a> {
    /// Always.
    Always,
    /// Whenever the other one is.
    With(&'a str),
    /// Whenever the span's status is an error.
    OnError,
    /// On a condition in words. It is another one for each attribute, and the same for both names of one.
    InWords,
}

/// Every occasion on which an attribute must be there.
pub(super) fn occasions(used: &Use) -> Vec<When<'_>> {
    match used.level {
        Requirement::Required => vec![When::Always],
        Requirement::Recommended | Requirement::OptIn => Vec::new(),
        Requirement::Conditional => {
            let with = used.required_with.as_deref().map(When::With);
            let on_error = used.required_on_error.then_some(When::OnError);
            let told: Vec<_> = with.into_iter().chain(on_error).collect();
            if told.is_empty() { vec![When::InWords] } else { told }
        }
    }
}

/// What one signal must carry.
pub(super) struct Presence<'a> {
    aliases: &'a Aliases<'a>,
    uses: BTreeMap<&'a str, &'a Use>,
    /// For each key, the keys that must be there with it. Both names of what is renamed come together.
    implied: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Presence<'a> {
    /// Of a signal with these attributes. Where a key is there twice, what asks more holds.
    pub(super) fn of(
        registry: &'a Registry,
        aliases: &'a Aliases<'a>,
        uses: impl Iterator<Item = &'a Use>,
    ) -> Self {
        let mut by_key: BTreeMap<&str, &Use> = BTreeMap::new();
        for used in uses {
            let held = by_key.entry(&used.key).or_insert(used);
            if rank(used.level) < rank(held.level) {
                *held = used;
            }
        }
        let mut implied: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, used) in &by_key {
            for when in occasions(used) {
                if let When::With(other) = when {
                    implied.entry(other).or_default().push(key);
                }
            }
            let current = registry.attribute(key).and_then(|attribute| attribute.renamed_to());
            if let Some(current) = current.filter(|current| by_key.contains_key(current)) {
                implied.entry(key).or_default().push(current);
                implied.entry(current).or_default().push(key);
            }
        }
        Self { aliases, uses: by_key, implied }
    }

    /// The attributes by their keys.
    pub(super) fn uses(&self) -> &BTreeMap<&'a str, &'a Use> {
        &self.uses
    }

    /// The fewest attributes that are there when `start` is: with an error or without, and with the words' condition of one
    /// attribute met or of none. What is not on the signal is left out of `start`.
    pub(super) fn least<'b>(
        &self,
        start: impl Iterator<Item = &'b str>,
        error: bool,
        met: Option<&str>,
    ) -> BTreeSet<&'a str> {
        let given: BTreeSet<&str> = start.collect();
        let mut there: BTreeSet<&'a str> = BTreeSet::new();
        let mut queue: VecDeque<&'a str> = VecDeque::new();
        for (key, used) in &self.uses {
            let must = occasions(used).into_iter().any(|when| match when {
                When::Always => true,
                When::OnError => error,
                When::InWords => met.is_some_and(|met| self.aliases.name(met) == self.aliases.name(key)),
                When::With(_) => false,
            });
            if must || given.contains(key) {
                queue.push_back(key);
            }
        }
        while let Some(key) = queue.pop_front() {
            if there.insert(key) {
                queue.extend(self.implied.get(key).into_iter().flatten());
            }
        }
        there
    }

    /// Whether each occasion of a use, made under another contract, is one here, too.
    pub(super) fn keeps(&self, used: &Use) -> bool {
        occasions(used).into_iter().all(|when| {
            let none = std::iter::empty();
            let there = match when {
                When::Always => self.least(none, false, None),
                When::OnError => self.least(none, true, None),
                When::InWords => self.least(none, false, Some(&used.key)),
                // What is not here any more promises nothing.
                When::With(other) if !self.uses.contains_key(other) => return true,
                When::With(other) => self.least(std::iter::once(other), false, None),
            };
            there.contains(used.key.as_str())
        })
    }

    /// Whether an attribute is there without being asked for: by itself, or beside its other name.
    pub(super) fn unasked(&self, registry: &Registry, key: &str) -> bool {
        let group = |key: &str| {
            let current = registry.attribute(key).and_then(|a| a.renamed_to());
            current.filter(|current| self.uses.contains_key(current)).unwrap_or(key).to_owned()
        };
        let mine = group(key);
        self.uses.values().any(|used| used.level != Requirement::OptIn && group(&used.key) == mine)
    }
}

fn rank(level: Requirement) -> u8 {
    match level {
        Requirement::Required => 0,
        Requirement::Conditional => 1,
        Requirement::Recommended => 2,
        Requirement::OptIn => 3,
    }
}
