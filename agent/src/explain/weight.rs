//! Calls that stand for others: where calls are sampled, one that was kept stands for those that were not.

use super::chance::Split;

/// A number of calls, and what they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    /// Calls that were seen.
    pub calls: u64,
    /// Calls that they stand for.
    pub weight: f64,
    /// Sum of the squares of these.
    squares: f64,
}

impl Tally {
    pub fn add(&mut self, weight: f64) {
        self.calls += 1;
        self.weight += weight;
        self.squares += weight * weight;
    }

    /// All of these but those, which are among them.
    pub fn without(&self, part: &Self) -> Self {
        Self {
            calls: self.calls - part.calls,
            // What is left of nothing is nothing, whatever was rounded on the way.
            weight: if self.calls == part.calls { 0.0 } else { self.weight - part.weight },
            squares: if self.calls == part.calls { 0.0 } else { self.squares - part.squares },
        }
    }

    pub fn and(&self, other: &Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            weight: self.weight + other.weight,
            squares: self.squares + other.squares,
        }
    }

    /// The part of these that those are.
    pub fn share(&self, part: &Self) -> f64 {
        if self.weight > 0.0 { (part.weight / self.weight).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// As how many calls of one weight they are worth, and how many of these have what `with` has.
    ///
    /// Calls of unlike weights tell less than as many of one weight: (sum w)^2 / sum w^2 (Kish, Survey Sampling, 1965, 11.7). And however much they
    /// stand for, neither those with it nor those without it are worth more than their number. Where all weigh the same, it is their number.
    fn worth(&self, with: &Self) -> (u64, u64) {
        if self.calls == 0 {
            return (0, 0);
        }
        let share = self.share(with);
        let mut worth = self.weight * self.weight / self.squares;
        if with.calls > 0 {
            worth = worth.min(with.calls as f64 / share);
        }
        if with.calls < self.calls {
            worth = worth.min((self.calls - with.calls) as f64 / (1.0 - share));
        }
        let worth_with = (worth * share).round();
        (worth_with as u64, worth.round().max(worth_with) as u64)
    }
}

/// What some calls are to being bad.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sides {
    pub bad: Tally,
    pub rest: Tally,
}

impl Sides {
    pub fn add(&mut self, bad: bool, weight: f64) {
        if bad { &mut self.bad } else { &mut self.rest }.add(weight);
    }

    pub fn calls(&self) -> u64 {
        self.bad.calls + self.rest.calls
    }

    pub fn without(&self, part: &Self) -> Self {
        Self { bad: self.bad.without(&part.bad), rest: self.rest.without(&part.rest) }
    }

    /// The part of them that is bad.
    pub fn failing(&self) -> f64 {
        self.bad.and(&self.rest).share(&self.bad)
    }

    /// Those with something, of these, as a test of it sees them.
    pub fn split(&self, with: &Self) -> Split {
        let (bad_with, bad) = self.bad.worth(&with.bad);
        let (rest_with, rest) = self.rest.worth(&with.rest);
        Split { bad_with, bad, rest_with, rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tally(weights: &[f64]) -> Tally {
        let mut tally = Tally::default();
        for weight in weights {
            tally.add(*weight);
        }
        tally
    }

    #[test]
    fn calls_of_one_weight_count_as_many_as_they_are() {
        for weight in [1.0, 20.0] {
            let (all, with) = (tally(&[weight; 50]), tally(&[weight; 10]));
            assert_eq!(all.worth(&with), (10, 50));
            assert_eq!(all.worth(&Tally::default()), (0, 50));
            assert_eq!(all.worth(&all), (50, 50));
        }
        assert_eq!(Tally::default().worth(&Tally::default()), (0, 0));
    }

    #[test]
    fn calls_of_unlike_weights_count_less() {
        // One call that stands for 99 and 99 that stand for themselves tell little of how many have something.
        let all = tally(&[&[99.0][..], &[1.0; 99]].concat());
        assert_eq!(all.worth(&tally(&[99.0])), (1, 2));
        assert_eq!(all.worth(&tally(&[1.0; 50])), (1, 4));
    }

    proptest! {
        #[test]
        fn nothing_is_worth_more_than_it_is(weights in prop::collection::vec((1.0..1000.0_f64, any::<bool>()), 1..50)) {
            let of = |wanted: &dyn Fn(bool) -> bool| {
                let some: Vec<f64> = weights.iter().filter(|(_, with)| wanted(*with)).map(|(w, _)| *w).collect();
                tally(&some)
            };
            let (all, with) = (of(&|_| true), of(&|with| with));
            let (worth_with, worth) = all.worth(&with);
            prop_assert!(worth_with <= with.calls && worth <= all.calls && worth_with <= worth, "{} {}", worth_with, worth);
            prop_assert!(worth - worth_with <= all.without(&with).calls);
        }
    }
}
