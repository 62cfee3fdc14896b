//! What is known of templates: a bounded number of them, found by the features that they have in common with a prompt.

use std::collections::HashMap;

use super::section::{Likeness, Section};

/// By so many of a template's features it is found.
const KEYS: usize = 16;
/// Under one feature at most so many are found, the latest.
const UNDER_ONE: usize = 64;
/// So many candidates are compared.
const COMPARED: usize = 32;
/// How often a template learns from a prompt what belongs to it.
const LESSONS: u8 = 8;

/// What a prompt is held against.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) section: Section,
    /// Number of the entry of the system instructions that it goes with.
    pub(super) parent: u32,
    /// None of one that was seen once: it may be nothing but a prompt.
    pub(super) id: Option<String>,
    /// It has learnt so often what belongs to it. Before, that is all of the first prompt.
    lessons: u8,
    /// Templates of messages under it.
    children: u32,
    /// How often the very same came again.
    pub(super) repeated: u8,
    keys: Vec<u32>,
    used: u64,
}

impl Entry {
    /// What belongs to it is known from more than one prompt.
    pub(super) fn is_learnt(&self) -> bool {
        self.lessons > 0
    }

    /// It may still learn what doesn't.
    pub(super) fn learns(&self) -> bool {
        self.lessons < LESSONS
    }

    /// Does a prompt have what belongs to it? What is filled in is often the same at first, and taken for a part of it.
    pub(super) fn is_in(&self, section: &Section, likeness: &Likeness) -> bool {
        let enough = if self.section.begins(section) { 0.8 } else { 0.9 };
        likeness.part() >= enough
    }
}

/// Entries by number.
#[derive(Debug)]
pub(super) struct Index {
    entries: HashMap<u32, Entry>,
    /// Which have this feature, the earliest first.
    by_key: HashMap<u32, Vec<u32>>,
    most: usize,
    next: u32,
    time: u64,
}

impl Index {
    /// One of at most so many entries.
    pub(super) fn new(most: usize) -> Self {
        // Zero is the parent of what has none.
        Self { entries: HashMap::new(), by_key: HashMap::new(), most, next: 1, time: 0 }
    }

    /// An entry that is used now.
    pub(super) fn used(&mut self, number: u32) -> Option<&Entry> {
        self.time += 1;
        let entry = self.entries.get_mut(&number)?;
        entry.used = self.time;
        Some(entry)
    }

    /// The id of an entry.
    pub(super) fn id(&self, number: u32) -> Option<String> {
        self.entries.get(&number)?.id.clone()
    }

    /// Gives an entry another id.
    pub(super) fn rename(&mut self, number: u32, id: String) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.id = Some(id);
        }
    }

    /// How many templates of messages there are under an entry.
    pub(super) fn children(&self, number: u32) -> u32 {
        self.entries.get(&number).map_or(0, |entry| entry.children)
    }

    /// There is one more.
    pub(super) fn bear(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.children = entry.children.saturating_add(1);
        }
    }

    /// The very same came again.
    pub(super) fn repeat(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.repeated = entry.repeated.saturating_add(1);
        }
    }

    /// An entry learns from a prompt that was made from it. The first time, it tells by how many tokens of its
    /// beginning and its end it is to be named.
    pub(super) fn learn(&mut self, number: u32, section: &Section) -> Option<(usize, usize)> {
        self.time += 1;
        let entry = self.entries.get_mut(&number)?;
        entry.used = self.time;
        if !entry.learns() {
            return None;
        }
        entry.lessons += 1;
        entry.section.narrow(section);
        let named_by = (entry.lessons == 1).then(|| entry.section.named_by());
        self.file(number);
        named_by
    }

    /// Is there one of this id?
    pub(super) fn has(&self, id: &str) -> bool {
        self.entries.values().any(|entry| entry.id.as_deref() == Some(id))
    }

    /// The entry with which the prompt has most in common, of those that `fits` accepts.
    pub(super) fn find(
        &self,
        parent: u32,
        section: &Section,
        fits: impl Fn(&Entry, &Section, &Likeness) -> bool,
    ) -> Option<(u32, Likeness)> {
        let mut votes: HashMap<u32, u32> = HashMap::new();
        for number in section.features().iter().filter_map(|feature| self.by_key.get(feature)).flatten() {
            *votes.entry(*number).or_default() += 1;
        }
        let mut votes: Vec<(u32, u32)> = votes
            .into_iter()
            .filter(|(number, _)| self.entries.get(number).is_some_and(|entry| entry.parent == parent))
            .map(|(number, votes)| (votes, number))
            .collect();
        votes.sort_unstable_by(|a, b| b.cmp(a));
        votes.truncate(COMPARED);
        let compared = votes.into_iter().filter_map(|(_, number)| {
            let entry = self.entries.get(&number)?;
            let likeness = entry.section.likeness(section);
            fits(entry, section, &likeness).then_some((entry.is_learnt(), likeness.shared, number, likeness))
        });
        let best = compared.max_by_key(|(is_learnt, shared, number, _)| (*is_learnt, *shared, *number));
        best.map(|(_, _, number, likeness)| (number, likeness))
    }

    /// A new entry, and how many had to be forgotten for it that had an id.
    pub(super) fn insert(&mut self, parent: u32, section: Section, id: Option<String>) -> (u32, u64) {
        let mut forgotten = 0;
        if self.entries.len() >= self.most {
            forgotten = self.forget();
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        self.time += 1;
        let entry = Entry {
            section,
            parent,
            id,
            lessons: 0,
            children: 0,
            repeated: 0,
            keys: Vec::new(),
            used: self.time,
        };
        self.entries.insert(number, entry);
        self.file(number);
        (number, forgotten)
    }

    /// Files an entry under what belongs to it by now.
    fn file(&mut self, number: u32) {
        self.unfile(number);
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let smallest = entry.section.features().iter().take(KEYS);
        // Of a prompt that was seen once, what it begins with is more likely to come again.
        let first = entry.section.first().iter().filter(|_| entry.lessons == 0);
        entry.keys = smallest.chain(first).copied().collect();
        entry.keys.sort_unstable();
        entry.keys.dedup();
        for key in &entry.keys {
            let under = self.by_key.entry(*key).or_default();
            if under.len() >= UNDER_ONE {
                under.remove(0);
            }
            under.push(number);
        }
    }

    fn unfile(&mut self, number: u32) {
        let keys = self.entries.get_mut(&number).map(|entry| std::mem::take(&mut entry.keys));
        for key in keys.into_iter().flatten() {
            if let Some(under) = self.by_key.get_mut(&key) {
                under.retain(|other| *other != number);
                if under.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
    }

    /// Forgets half of the entries: first those that were seen once, then those that were not used for longest.
    fn forget(&mut self) -> u64 {
        let mut order: Vec<(bool, u64, u32)> =
            self.entries.iter().map(|(number, entry)| (entry.id.is_some(), entry.used, *number)).collect();
        order.sort_unstable();
        order.truncate(self.most / 2);
        for (_, _, number) in &order {
            self.unfile(*number);
            self.entries.remove(number);
        }
        order.iter().filter(|(has_id, _, _)| *has_id).count() as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
