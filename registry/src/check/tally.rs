//! What was violated how often, in bounded memory.

use std::collections::BTreeMap;

use super::Violation;

/// Counts violations that are the same as one.
#[derive(Debug)]
pub struct Tally {
    told: BTreeMap<Violation, Told>,
    limit: usize,
    by_rule: BTreeMap<&'static str, u64>,
    untold: u64,
}

/// How often a violation was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How often.
    pub count: u64,
    /// The service whose it was the first time.
    pub service: String,
}

impl Tally {
    /// One that tells at most so many violations apart. More are only counted.
    pub fn new(limit: usize) -> Self {
        Self { told: BTreeMap::new(), limit, by_rule: BTreeMap::new(), untold: 0 }
    }

    /// Adds one.
    pub fn add(&mut self, violation: Violation, service: &str) {
        *self.by_rule.entry(violation.rule.name()).or_default() += 1;
        if let Some(told) = self.told.get_mut(&violation) {
            told.count += 1;
        } else if self.told.len() < self.limit {
            self.told.insert(violation, Told { count: 1, service: service.to_owned() });
        } else {
            self.untold += 1;
        }
    }

    /// All that were told apart, the most frequent first.
    pub fn told(&self) -> Vec<(&Violation, &Told)> {
        let mut all: Vec<_> = self.told.iter().collect();
        all.sort_by_key(|(_, told)| std::cmp::Reverse(told.count));
        all
    }

    /// How many there were of each rule, all counted.
    pub fn by_rule(&self) -> &BTreeMap<&'static str, u64> {
        &self.by_rule
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.by_rule.values().sum()
    }

    /// How many of them were over the limit, and are only counted.
    pub fn untold(&self) -> u64 {
        self.untold
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Rule, *};

    #[test]
    fn what_is_over_the_limit_is_counted() {
        let mut tally = Tally::new(2);
        let unknown =
            |name: &str| Violation { rule: Rule::Unknown, signal: "span s".into(), name: name.into() };
        for name in ["a", "b", "b", "c", "d", "a", "b"] {
            tally.add(unknown(name), "first");
        }
        let told: Vec<_> = tally.told().into_iter().map(|(v, t)| (v.name.as_str(), t.count)).collect();
        assert_eq!(told, [("b", 3), ("a", 2)]);
        assert_eq!((tally.total(), tally.untold()), (7, 2));
        assert_eq!(tally.by_rule()["unknown_attribute"], 7);
    }
}
