//! Which rule a counted thing broke, and when to say so again in the log.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Counter;

/// What a counter counted, in more detail: words of the contract, never a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The kind of rule; empty if the counter has but one.
    pub kind: &'static str,
    /// The attribute or field that it is about.
    pub about: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            "" => f.write_str(self.about),
            kind => write!(f, "{kind}: {}", self.about),
        }
    }
}

/// Most rules that are counted each by itself.
const MAX: usize = 256;

/// Stands for all rules over that.
const OTHERS: Rule = Rule { kind: "", about: "others" };

/// How long nothing more is said of a rule.
const PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Tally {
    count: u64,
    told: Option<Instant>,
    /// Since it was told.
    untold: u64,
}

/// Counts by rule.
#[derive(Debug, Default)]
pub(super) struct Rules(Mutex<BTreeMap<(usize, Rule), Tally>>);

impl Rules {
    /// Counts one. When it is time to say so, it gives how many there were since it was last said.
    pub(super) fn add(&self, counter: Counter, rule: Rule, now: Instant) -> Option<u64> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (counter as usize, rule);
        if tallies.len() >= MAX && !tallies.contains_key(&key) {
            key.1 = OTHERS;
        }
        let tally = tallies.entry(key).or_default();
        tally.count += 1;
        if tally.told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE) {
            tally.untold += 1;
            return None;
        }
        tally.told = Some(now);
        Some(std::mem::take(&mut tally.untold))
    }

    /// The counts of one counter, in the order of the rules.
    pub(super) fn of(&self, counter: Counter) -> Vec<(Rule, u64)> {
        let tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = tallies.iter().filter(|((index, _), _)| *index == counter as usize);
        own.map(|((_, rule), tally)| (*rule, tally.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { kind: "missing", about: "server.port" };
    const COUNTER: Counter = Counter::ContractViolations;

    #[test]
    fn a_rule_is_told_once_a_minute_with_what_was_not_told() {
        let (rules, start) = (Rules::default(), Instant::now());
        let other = Rule { kind: "type", ..RULE };
        #[rustfmt::skip]
        let rows = [
            (0, RULE, Some(0)), (0, RULE, None), (59, RULE, None), (59, other, Some(0)),
            (60, RULE, Some(2)), (61, RULE, None), (119, RULE, None), (121, RULE, Some(2)), (500, RULE, Some(0)),
        ];
        for (seconds, rule, wanted) in rows {
            let told = rules.add(COUNTER, rule, start + Duration::from_secs(seconds));
            assert_eq!(told, wanted, "{rule} after {seconds} s");
        }
        assert_eq!(rules.of(COUNTER), [(RULE, 8), (other, 1)]);
        assert_eq!(rules.of(Counter::ValuesCut), []);
    }

    #[test]
    fn rules_over_the_limit_are_counted_together() {
        let (rules, now) = (Rules::default(), Instant::now());
        for n in 0..MAX + 10 {
            let about: &'static str = Box::leak(format!("a{n:04}").into_boxed_str());
            rules.add(COUNTER, Rule { kind: "type", about }, now);
        }
        let counted = rules.of(COUNTER);
        assert_eq!(counted.len(), MAX + 1);
        assert_eq!(counted.iter().find(|(rule, _)| *rule == OTHERS), Some(&(OTHERS, 10)));
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<u64>(), MAX as u64 + 10);
    }
}
