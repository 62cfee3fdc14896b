//! How likely a call is kept that nothing speaks for: by a rate, or so that a number of spans a second is not exceeded for long.
//!
//! The probability follows from how many calls there are, never from which of them were kept: else what is kept would not add up to all of them.

use super::{Rate, Threshold};

/// How much the last second counts against those before.
const WEIGHT: f64 = 0.25;

/// The part of the budget that calls which nothing speaks for have to themselves, however many odd ones there are: without any, the few that are kept would
/// stand for a great many.
const OWN_PART: f64 = 0.1;

/// Decides how likely.
#[derive(Debug)]
pub(super) struct Budget {
    rate: Rate,
    threshold: Threshold,
    second: u64,
    /// Calls of this second that are kept anyhow.
    certain: f64,
    /// The others.
    rest: f64,
    /// How many of them are kept, on average.
    spent: f64,
    /// Both in a second, lately.
    usual: Option<(f64, f64)>,
    /// Spans a second that there are for the rest, and the probability that they are kept with.
    share: f64,
    probability: f64,
}

impl Budget {
    pub(super) fn new(rate: Rate) -> Self {
        let (probability, share) = match rate {
            Rate::All => (1.0, f64::INFINITY),
            Rate::Part(part) => (part, f64::INFINITY),
            Rate::Budget(budget) => (1.0, budget),
        };
        Self {
            rate,
            threshold: Threshold::of_probability(probability),
            second: 0,
            certain: 0.0,
            rest: 0.0,
            spent: 0.0,
            usual: None,
            share,
            probability,
        }
    }

    /// It is now this second.
    pub(super) fn now(&mut self, second: u64) {
        let Rate::Budget(budget) = self.rate else { return };
        if second <= self.second {
            return;
        }
        let quiet = second - self.second - 1;
        if self.second > 0 {
            let counted = (self.certain, self.rest);
            let blend = |before: f64, last: f64| before + WEIGHT * (last - before);
            let (certain, rest) =
                self.usual.map_or(counted, |usual| (blend(usual.0, counted.0), blend(usual.1, counted.1)));
            let faded = (1.0 - WEIGHT).powi(quiet.min(100) as i32);
            self.usual = Some((certain * faded, rest * faded));
        }
        (self.second, self.certain, self.rest, self.spent) = (second, 0.0, 0.0, 0.0);
        let (certain, rest) = self.usual.unwrap_or_default();
        self.share = (budget - certain).max(OWN_PART * budget);
        self.probability = (self.share / rest.max(f64::MIN_POSITIVE)).min(1.0);
        self.threshold = Threshold::of_probability(self.probability);
    }

    /// A call is kept anyhow.
    pub(super) fn certain(&mut self) {
        self.certain += 1.0;
    }

    /// The threshold for a call that nothing speaks for.
    pub(super) fn rest(&mut self) -> Threshold {
        let Rate::Budget(_) = self.rate else { return self.threshold };
        self.rest += 1.0;
        // More come than lately. Chance makes a difference of about the root.
        let over = self.spent - self.share - 2.0 * self.share.sqrt();
        if over > 0.0 {
            // Each further quarter of a budget halves the probability: ten times as many calls make it less than twice as many spans, for a second.
            self.threshold = Threshold::of_probability(self.probability * (-4.0 * over / self.share).exp2());
        }
        self.spent += self.threshold.probability();
        self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are kept on average of that many a second, second by second.
    fn seconds(budget: &mut Budget, from: u64, count: u64, certain: u64, rest: u64) -> Vec<f64> {
        (from..from + count)
            .map(|second| {
                budget.now(second);
                (0..certain).for_each(|_| budget.certain());
                certain as f64 + (0..rest).map(|_| budget.rest().probability()).sum::<f64>()
            })
            .collect()
    }

    #[test]
    fn a_budget_is_kept_whatever_comes() {
        let mut budget = Budget::new(Rate::Budget(50.0));
        let first = seconds(&mut budget, 100, 1, 0, 1000)[0];
        assert!(first < 3.0 * 50.0, "the first second: {first}");
        let steady = seconds(&mut budget, 101, 60, 0, 1000);
        assert!(steady.iter().all(|kept| (kept - 50.0).abs() < 2.0), "{steady:?}");
        // Odd ones are part of it.
        let odd = seconds(&mut budget, 161, 30, 20, 1000);
        assert!(odd[20..].iter().all(|kept| (kept - 50.0).abs() < 2.0), "{odd:?}");
        // And never dropped; the others have a tenth to themselves.
        let odd = seconds(&mut budget, 191, 30, 200, 1000);
        assert!(odd[25..].iter().all(|kept| (204.0..207.0).contains(kept)), "{odd:?}");
        // A flood.
        let flood = seconds(&mut budget, 300, 30, 0, 50_000);
        assert!(flood.iter().all(|kept| *kept < 5.0 * 50.0), "{flood:?}");
        assert!(flood[25..].iter().all(|kept| (kept - 50.0).abs() < 2.0), "{flood:?}");
        // Fewer than it allows.
        let few = seconds(&mut budget, 400, 30, 1, 10);
        assert!(few[25..].iter().all(|kept| (kept - 11.0).abs() < 1e-9), "{few:?}");
    }

    #[test]
    fn a_rate_is_a_rate() {
        let mut budget = Budget::new(Rate::Part(0.25));
        let kept = seconds(&mut budget, 100, 10, 100, 1000);
        assert!(kept.iter().all(|kept| (kept - 350.0).abs() < 1e-9), "{kept:?}");
    }
}
