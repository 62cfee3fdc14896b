//! How likely it is that chance alone sets two groups of calls so far apart.

/// How many calls of two groups have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub bad_with: u64,
    pub bad: u64,
    pub rest_with: u64,
    pub rest: u64,
}

impl Split {
    /// Natural logarithm of the probability that at least so many of the bad ones have it, if it had nothing to do with being bad: Fisher's
    /// exact test, one-sided (Fisher, Statistical Methods for Research Workers, 1934). 0 where it is no more common among them.
    pub fn ln_p(&self) -> f64 {
        self.ln_tail(self.bad_with)
    }

    /// What [`ln_p`](Self::ln_p) would be if as many of the bad ones had it as can be.
    pub fn least_ln_p(&self) -> f64 {
        self.ln_tail(self.bad.min(self.bad_with + self.rest_with))
    }

    /// The tail of the hypergeometric distribution from `from` on.
    fn ln_tail(&self, from: u64) -> f64 {
        let (with, all) = (self.bad_with + self.rest_with, self.bad + self.rest);
        // Up to the mean, the probability is about a half or more.
        if u128::from(from) * u128::from(all) <= u128::from(with) * u128::from(self.bad) {
            return 0.0;
        }
        let without = all - with;
        let first = ln_choose(with, from) + ln_choose(without, self.bad - from) - ln_choose(all, self.bad);
        // Beyond the mean each term is less than the one before it.
        let (mut term, mut sum) = (1.0, 1.0);
        for x in from..with.min(self.bad) {
            let more = (with - x) as f64 * (self.bad - x) as f64;
            let less = (x + 1) as f64 * (without + x + 1).saturating_sub(self.bad) as f64;
            term *= more / less;
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        (first + sum.ln()).min(0.0)
    }
}

/// How many of many tests have to be accounted for, so that the probability of a single false alarm among all of them stays below `level`,
/// however they depend on each other: what can't come below its share of `level`, whatever is found, can give none (Tarone, A Modified
/// Bonferroni Method for Discrete Data, 1990). `least` are the logarithms of the least probabilities that each test could give.
pub(super) fn tests_that_count(least: &mut [f64], level: f64) -> usize {
    least.sort_unstable_by(f64::total_cmp);
    let able = |tests: usize| {
        let share = level.ln() - (tests as f64).ln();
        least.partition_point(|least| *least <= share)
    };
    // The more tests are accounted for, the fewer are able to.
    let (mut low, mut high) = (1, least.len().max(1));
    while low < high {
        let middle = usize::midpoint(low, high);
        if able(middle) <= middle {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn ln_choose(n: u64, k: u64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Small ones as they are, others by Stirling's series (NIST Digital Library of Mathematical Functions, 5.11.1), which from 16 on is
/// right to 13 digits.
fn ln_factorial(n: u64) -> f64 {
    if n < 16 {
        return (1..=n).map(|k| k as f64).product::<f64>().ln();
    }
    let n = n as f64;
    let series = 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3)) + 1.0 / (1260.0 * n.powi(5));
    n * n.ln() - n + (std::f64::consts::TAU * n).ln() / 2.0 + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(bad_with: u64, bad: u64, rest_with: u64, rest: u64) -> Split {
        Split { bad_with, bad, rest_with, rest }
    }

    #[test]
    fn known_probabilities() {
        // Fisher's tea: three of four cups with the milk first were told, 17 of 70 ways.
        for (split, p) in [
            (split(3, 4, 1, 4), 17.0_f64 / 70.0),
            (split(4, 4, 0, 4), 1.0 / 70.0),
            (split(1, 1, 0, 99), 0.01),
            (split(2, 4, 2, 4), 1.0),
            (split(0, 4, 4, 4), 1.0),
            (split(0, 0, 0, 4), 1.0),
            // 2 of 5 and none of 95: the 10 pairs of the 5 among the 4950 of 100.
            (split(2, 5, 0, 95), 10.0 / 4950.0),
        ] {
            assert!((split.ln_p() - p.ln()).abs() < 1e-9, "{split:?}: {} is not {}", split.ln_p(), p.ln());
        }
    }

    #[test]
    fn many_calls_give_finite_logarithms() {
        let p = split(300, 300, 0, 9700).ln_p();
        // All 300 and nobody else: one of the ways to choose 300 of 10,000, about 10^-584.
        assert!((p / std::f64::consts::LN_10 + 584.0).abs() < 1.0, "{p}");
        assert!(split(500_000, 500_000, 0, 500_000).ln_p().is_finite());
    }

    #[test]
    fn what_can_give_no_alarm_does_not_count() {
        // A thousand values that two calls have, of 999 of which 10 are bad, can come down to 9.03e-5 each; one can come down to 1e-30.
        let rare = split(0, 10, 2, 987).least_ln_p();
        let common = (1e-30_f64).ln();
        let mut least = [vec![rare; 1000], vec![common]].concat();
        assert_eq!(
            tests_that_count(&mut least, 0.01),
            111,
            "as many as make the rare ones' share unreachable"
        );
        assert_eq!(tests_that_count(&mut [common; 7], 0.01), 7);
        assert_eq!(tests_that_count(&mut [0.0; 7], 0.01), 1);
        assert_eq!(tests_that_count(&mut [], 0.01), 1);
    }

    proptest! {
        #[test]
        fn tails_add_up(with in 0_u64..30, without in 0_u64..30, bad in 0_u64..60) {
            let all = with + without;
            let bad = bad.min(all);
            let term = |x: u64| (ln_choose(with, x) + ln_choose(without, bad - x) - ln_choose(all, bad)).exp();
            let possible = bad.saturating_sub(without)..=bad.min(with);
            for bad_with in possible.clone() {
                let split = split(bad_with, bad, with - bad_with, all - bad);
                let exact: f64 = (bad_with..=*possible.end()).map(term).sum();
                let p = split.ln_p().exp();
                let above = bad_with * all > with * bad;
                prop_assert!(if above { (p - exact).abs() < 1e-9 } else { p >= exact - 1e-9 }, "{:?} {} {}", split, p, exact);
                prop_assert!(split.least_ln_p() <= split.ln_p());
            }
        }
    }
}
