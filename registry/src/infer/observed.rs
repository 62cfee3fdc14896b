//! What was seen of the attributes of one kind of signal.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{Limits, plain};
use crate::{
    Kind,
    telemetry::{Attributes, Value},
};

/// Most values that are kept as they are, to become members.
const KEPT: usize = 12;
/// Longest value that may become a member.
const MEMBER_BYTES: usize = 48;

/// A kind of signal.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) failed: u64,
    pub(super) attributes: BTreeMap<String, Observed>,
}

/// An attribute on it.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) count: u64,
    /// How often on a signal that failed.
    pub(super) on_failed: u64,
    /// How often it was of each type.
    pub(super) kinds: BTreeMap<&'static str, (Kind, u64)>,
    /// Values, or items of arrays.
    pub(super) items: u64,
    /// Hashes of distinct ones, up to the limit.
    distinct: HashSet<u64>,
    /// More than the limit.
    pub(super) many: bool,
    /// The first few texts.
    kept: BTreeSet<String>,
    /// There was a text that is not among them.
    unlisted: bool,
    pub(super) max_bytes: usize,
    pub(super) max_items: usize,
    /// What values look like.
    pub(super) looks: Looks,
}

/// What values of an attribute look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// Something of the form of an e-mail address.
    pub(super) address: bool,
    /// Texts of sentences, or longer than names are.
    pub(super) prose: bool,
    /// Long hexadecimal numbers and the like.
    pub(super) identifier: bool,
}

impl Group {
    /// Adds the attributes of one; returns how many were left out.
    pub(super) fn add(&mut self, attributes: &Attributes, failed: bool, limits: Limits) -> u64 {
        self.count += 1;
        self.failed += u64::from(failed);
        let mut left_out = 0;
        let mut seen = BTreeSet::new();
        for (key, value) in attributes {
            let known = self.attributes.contains_key(key);
            let empty = matches!(value, Value::List(items) if items.is_empty());
            let usable = plain(key) && (value.kind().is_some() || empty) && seen.insert(key.as_str());
            if !usable || (!known && self.attributes.len() >= limits.attributes) {
                left_out += 1;
                continue;
            }
            let observed = self.attributes.entry(key.clone()).or_default();
            observed.on_failed += u64::from(failed);
            observed.add(value, limits.values);
        }
        left_out
    }
}

impl Observed {
    fn add(&mut self, value: &Value, limit: usize) {
        self.count += 1;
        if let Some(kind) = value.kind() {
            self.kinds.entry(kind.name()).or_insert((kind, 0)).1 += 1;
        }
        let items = match value {
            Value::List(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        self.max_items = self.max_items.max(items.len());
        for item in items {
            self.items += 1;
            let Some(text) = item.plain() else { continue };
            self.max_bytes = self.max_bytes.max(text.len());
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            let hash = hasher.finish();
            if self.distinct.len() < limit {
                self.distinct.insert(hash);
            } else if !self.distinct.contains(&hash) {
                self.many = true;
            }
            if matches!(item, Value::Text(_)) {
                self.looks.add(&text);
                self.keep(text);
            }
        }
    }

    /// Keeps a text, unless there are too many already or it is too long to be listed.
    fn keep(&mut self, text: String) {
        let listable = !text.is_empty() && text.len() <= MEMBER_BYTES && !text.contains(char::is_control);
        if listable && self.kept.len() < KEPT {
            self.kept.insert(text);
        } else if !self.kept.contains(&text) {
            self.unlisted = true;
        }
    }

    /// The type that most of them have; an int that is sometimes a double is a double.
    pub(super) fn kind(&self) -> Option<Kind> {
        let has = |kind: Kind| self.kinds.contains_key(kind.name());
        if has(Kind::Int) && has(Kind::Double) && self.kinds.len() == 2 {
            return Some(Kind::Double);
        }
        self.kinds.values().max_by_key(|(_, count)| *count).map(|(kind, _)| *kind)
    }

    /// Were there types that no one type holds?
    pub(super) fn mixed(&self) -> bool {
        self.kinds.len() > 1 && self.kind() != Some(Kind::Double)
    }

    /// How many distinct values there were; at least so many, if [`Observed::many`].
    pub(super) fn distinct(&self) -> usize {
        self.distinct.len()
    }

    /// Were there few values, all of them short?
    pub(super) fn few(&self) -> bool {
        !self.unlisted
    }

    /// The first few values.
    pub(super) fn kept(&self) -> &BTreeSet<String> {
        &self.kept
    }

    /// All values, where they are few and come again and again.
    pub(super) fn members(&self) -> Option<&BTreeSet<String>> {
        let repeat = self.few() && self.kept.len() >= 2 && self.items >= 4 * self.kept.len() as u64;
        repeat.then_some(&self.kept)
    }
}

impl Looks {
    fn add(&mut self, text: &str) {
        let words = text.split_whitespace().count();
        self.address |=
            words == 1 && text.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'));
        self.prose |= words > 8 || text.len() > 512 || (text.len() > 32 && text.starts_with(['{', '[']));
        let digits = text.chars().filter(char::is_ascii_digit).count();
        self.identifier |= words == 1 && text.len() >= 20 && digits >= 6 && !text.contains('/');
    }
}
