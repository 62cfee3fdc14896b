//! What was seen lately, in memory of a fixed size: two maps, of which the older is let go when it is time, or when the younger is full.

use std::{collections::HashMap, hash::Hash};

/// Keys that were seen lately, each with a value.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Most keys of each.
    most: usize,
    /// After so many seconds the younger one becomes the older.
    period: u64,
    /// The second at which it did.
    turned: u64,
}

impl<K: Copy + Eq + Hash, V: Copy> Recent<K, V> {
    /// Remembers `most` keys to twice as many, for `period` seconds to twice as long.
    pub(super) fn new(most: usize, period: u64) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most, period, turned: 0 }
    }

    /// It is now this second.
    pub(super) fn now(&mut self, second: u64) {
        let passed = second.saturating_sub(self.turned);
        if passed >= self.period {
            self.turn(second);
            if passed >= 2 * self.period {
                self.old.clear();
            }
        }
    }

    fn turn(&mut self, second: u64) {
        std::mem::swap(&mut self.young, &mut self.old);
        // Keeps its room.
        self.young.clear();
        self.turned = second;
    }

    /// The value of a key that was seen lately.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    /// It is seen now. Tells how many had to be forgotten before their time.
    pub(super) fn see(&mut self, key: K, value: V) -> u64 {
        if let Some(known) = self.young.get_mut(&key) {
            *known = value;
            return 0;
        }
        let mut forgotten = 0;
        if self.young.len() >= self.most {
            forgotten = self.old.keys().filter(|key| !self.young.contains_key(*key)).count();
            self.turn(self.turned);
        }
        self.young.insert(key, value);
        forgotten as u64
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_again_is_forgotten() {
        let mut recent = Recent::new(100, 60);
        recent.now(1000);
        recent.see("a", 1);
        recent.see("b", 1);
        recent.now(1060);
        recent.see("b", 2);
        assert_eq!((recent.get(&"a"), recent.get(&"b")), (Some(1), Some(2)));
        recent.now(1120);
        assert_eq!((recent.get(&"a"), recent.get(&"b")), (None, Some(2)));
        recent.now(1240);
        assert_eq!(recent.len(), 0);
    }

    #[test]
    fn it_has_its_limit_and_says_what_was_forgotten() {
        let mut recent = Recent::new(10, 60);
        let forgotten: u64 = (0..1000).map(|n| recent.see(n, ())).sum();
        assert!(recent.len() <= 20);
        assert_eq!(forgotten, 1000 - recent.len() as u64);
        assert!(recent.get(&999).is_some() && recent.get(&0).is_none());
        // The same again and again takes no room.
        assert_eq!((0..1000).map(|_| recent.see(999, ())).sum::<u64>(), 0);
    }
}
