//! How spans are named.

use std::collections::{BTreeMap, BTreeSet};

use super::presence::Presence;
use crate::{
    model::Registry,
    pattern::{Part, Pattern},
};

/// Two names of the same value, by what the contracts say of renames: `current` and older ones have one name here.
pub(super) struct Aliases<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Aliases<'a> {
    /// What the new contract says, and the old one of what is not there any more.
    pub(super) fn of(old: &'a Registry, new: &'a Registry) -> Self {
        let current = |key: &str| new.attribute(key).and_then(|attribute| attribute.renamed_to());
        let mut map = BTreeMap::new();
        for attribute in &new.attributes {
            if let Some(current) = attribute.renamed_to() {
                map.insert(attribute.key.as_str(), current);
            }
        }
        for attribute in old.attributes.iter().filter(|a| new.attribute(&a.key).is_none()) {
            if let Some(name) = attribute.renamed_to() {
                map.insert(attribute.key.as_str(), current(name).unwrap_or(name));
            }
        }
        Self(map)
    }

    /// The one name of a value.
    pub(super) fn name<'b>(&self, key: &'b str) -> &'b str
    where
        'a: 'b,
    {
        self.0.get(key).copied().unwrap_or(key)
    }

    /// A pattern with one name for each value.
    fn plain(&self, pattern: &Pattern) -> Pattern {
        let parts = pattern.parts.iter().map(|part| match part {
            Part::Text(text) => Part::Text(text.clone()),
            Part::Value(key) => Part::Value(self.name(key).to_owned()),
        });
        Pattern { parts: parts.collect() }
    }
}

/// The first pair of an old and a new form that one span could have: the same attributes, another name.
///
/// A span has the first form whose attributes it carries. Whenever two forms meet on some span, they meet on the one that carries
/// the least, so that only that one is looked at.
pub(super) fn clash(
    old: &[Pattern],
    new: &[Pattern],
    presence: &Presence<'_>,
    aliases: &Aliases<'_>,
) -> Option<(String, Option<String>)> {
    let was: Vec<Pattern> = old.iter().map(|pattern| aliases.plain(pattern)).collect();
    let is: Vec<Pattern> = new.iter().map(|pattern| aliases.plain(pattern)).collect();
    let on_span: Vec<(&str, &str)> = presence.uses().keys().map(|key| (*key, aliases.name(key))).collect();
    let fits = |pattern: &Pattern, there: &BTreeSet<&str>| pattern.keys().all(|key| there.contains(key));
    for (index, form) in was.iter().enumerate() {
        for other in is.iter().map(Some).chain([None]) {
            let wanted: BTreeSet<&str> =
                form.keys().chain(other.into_iter().flat_map(Pattern::keys)).collect();
            let start = on_span.iter().filter(|(_, name)| wanted.contains(name)).map(|(key, _)| *key);
            let there = presence.least(start, false, None);
            let there: BTreeSet<&str> = there.iter().map(|key| aliases.name(key)).collect();
            let first = was.iter().position(|pattern| fits(pattern, &there));
            let now = is.iter().find(|pattern| fits(pattern, &there));
            if first == Some(index) && now == other && now != Some(form) {
                return Some((form.to_string(), now.map(ToString::to_string)));
            }
        }
    }
    None
}
