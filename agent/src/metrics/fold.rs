//! Which of the values that anybody can invent get a series of their own.

use std::{collections::HashMap, sync::Arc};

/// What stands for all others, in the words of the conventions.
pub const OTHER: &str = "_OTHER";

/// So often must a value have come to get one of the last places.
const OFTEN: u64 = 8;

/// Longest value that passes, in bytes; a longer one is no name.
const LONGEST: usize = 256;

/// Passes the values that come often, up to a number of them; known ones always.
///
/// The first half of the places is for whoever comes. The others are for values that have come often by the count of a
/// space-saving sketch (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams",
/// 2005), which holds four candidates a place, however many there are: a flood of values that come once gets no more than
/// the first half, and a value that is truly frequent gets in.
#[derive(Debug)]
pub struct Fold {
    places: usize,
    /// Those that passed: whether they are known, which takes no place.
    passed: HashMap<Arc<str>, bool>,
    taken: usize,
    /// Counts of the others, and by how much each may be too high.
    candidates: HashMap<Box<str>, Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    count: u64,
    error: u64,
}

impl Fold {
    /// With so many places.
    pub fn new(places: usize) -> Self {
        Self { places, passed: HashMap::new(), taken: 0, candidates: HashMap::new() }
    }

    /// The value, if it passes.
    pub fn pass(&mut self, value: &str, known: bool) -> Option<Arc<str>> {
        if let Some((passed, _)) = self.passed.get_key_value(value) {
            return Some(Arc::clone(passed));
        }
        if value.len() > LONGEST {
            return None;
        }
        let room =
            known || self.taken < self.places / 2 || (self.is_often(value) && self.taken < self.places);
        room.then(|| {
            self.taken += usize::from(!known);
            self.candidates.remove(value);
            let passed: Arc<str> = value.into();
            self.passed.insert(Arc::clone(&passed), known);
            passed
        })
    }

    /// Values of which no series is left give their place back.
    pub fn forget(&mut self) {
        self.passed.retain(|value, _| Arc::strong_count(value) > 1);
        self.taken = self.passed.values().filter(|known| !**known).count();
    }

    /// Counts a candidate, and tells whether it has come often for certain.
    fn is_often(&mut self, value: &str) -> bool {
        if let Some(held) = self.candidates.get_mut(value) {
            held.count += 1;
            return held.count - held.error >= OFTEN;
        }
        let mut error = 0;
        if self.candidates.len() >= 4 * self.places {
            let least = self.candidates.iter().min_by_key(|(_, held)| held.count);
            let Some((least, count)) = least.map(|(value, held)| (value.clone(), held.count)) else {
                return false;
            };
            self.candidates.remove(&least);
            error = count;
        }
        self.candidates.insert(value.into(), Candidate { count: error + 1, error });
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_first_passes_and_so_does_who_comes_often() {
        let mut fold = Fold::new(4);
        assert_eq!(fold.pass("a", false).as_deref(), Some("a"));
        assert_eq!(fold.pass("b", false).as_deref(), Some("b"));
        // From now on it takes more.
        let passed: Vec<_> = (1..=9).map(|_| fold.pass("c", false).is_some()).collect();
        assert_eq!(passed.iter().filter(|passed| !**passed).count(), 7, "{passed:?}");
        assert!(passed[7] && passed[8]);
        assert!(fold.pass("known", true).is_some(), "takes no place");
        assert!((0..8).any(|_| fold.pass("d", false).is_some()));
        assert!((0..100).all(|_| fold.pass("e", false).is_none()), "there are no places left");
        assert!(fold.pass("a", false).is_some() && fold.pass(&"x".repeat(257), true).is_none());
    }

    #[test]
    fn a_flood_neither_gets_in_nor_grows() {
        let mut fold = Fold::new(20);
        let mut passed = 0;
        for i in 0..100_000 {
            passed += usize::from(fold.pass(&format!("m{i}"), false).is_some());
            if i % 50 == 0 {
                fold.pass("busy", false);
            }
        }
        assert_eq!(passed, 9, "ten places, of which one is taken by the other");
        assert!(fold.pass("busy", false).is_some() && fold.candidates.len() <= 80 && fold.passed.len() <= 20);
        // One that comes within a flood, and not at its beginning.
        for i in 0..20_000 {
            fold.pass(&format!("n{i}"), false);
            if i % 4 == 0 {
                fold.pass("late", false);
            }
        }
        assert!(fold.pass("late", false).is_some());
    }

    #[test]
    fn places_come_back() {
        let mut fold = Fold::new(2);
        let held = fold.pass("a", false);
        assert!(fold.pass("b", false).is_none());
        fold.forget();
        assert!(fold.pass("b", false).is_none());
        drop(held);
        fold.forget();
        assert!(fold.pass("b", false).is_some());
    }
}
