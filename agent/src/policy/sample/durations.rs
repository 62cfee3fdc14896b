//! How long calls take lately: a histogram of fixed size, in which what is older counts less.
//!
//! Buckets grow by a tenth (as in DDSketch, Masson, Rim and Lee, VLDB 2019), so a quantile is right within that. No kept crate has one that forgets.

use std::time::Duration;

/// From a millisecond to a day.
const BUCKETS: usize = 192;

/// Buckets to a doubling: 1 / log2(1.1).
const PER_DOUBLING: f64 = 7.272_540_897;

/// Calls that must have been seen before one of them is slow.
const ENOUGH: u32 = 100;

/// When there are so many, all counts are halved: what happened before the last few thousand calls fades.
const MOST: u32 = 4096;

/// The limit is looked for again after so many calls.
const REFRESH: u32 = 32;

/// Durations of one cohort.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    counts: [u16; BUCKETS],
    total: u32,
    since: u32,
    /// The bucket that holds the quantile.
    limit: usize,
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0, since: 0, limit: BUCKETS }
    }
}

impl Durations {
    /// Takes it in, and tells whether it is longer than that part of the earlier ones, from 0 to 1.
    pub(super) fn take(&mut self, duration: Duration, quantile: f64) -> bool {
        let bucket = bucket(duration);
        let slow = self.total >= ENOUGH && bucket > self.limit;
        self.counts[bucket] += 1;
        self.total += 1;
        self.since += 1;
        if self.total >= MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        if self.since >= REFRESH || self.total == ENOUGH {
            self.since = 0;
            self.limit = self.bucket_of(quantile);
        }
        slow
    }

    fn bucket_of(&self, quantile: f64) -> usize {
        let wanted = quantile * f64::from(self.total);
        let mut below = 0;
        self.counts
            .iter()
            .position(|count| {
                below += u32::from(*count);
                f64::from(below) >= wanted
            })
            .unwrap_or(BUCKETS)
    }
}

fn bucket(duration: Duration) -> usize {
    let milliseconds = duration.as_secs_f64() * 1e3;
    // Anything below the first counts as that.
    ((milliseconds.max(1.0).log2() * PER_DOUBLING) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_longer_than_nearly_all_is_slow() {
        let mut durations = Durations::default();
        // Before there is enough to compare with, nothing is.
        assert!((0..ENOUGH).all(|n| !durations.take(ms(u64::from(n) * 100), 0.99)));
        let mut durations = Durations::default();
        let slow = (0..1000).filter(|n| durations.take(ms(100 + n % 100), 0.99)).count();
        assert_eq!(slow, 0, "within a tenth of the others");
        assert!(!durations.take(ms(205), 0.99) && durations.take(ms(300), 0.99));
        assert!(durations.take(Duration::from_secs(200_000), 0.99) && !durations.take(Duration::ZERO, 0.99));
    }

    /// Against the sorted values.
    #[test]
    fn quantiles_are_right_within_a_bucket() {
        let values: Vec<u64> = (0..3000u64).map(|n| 10 + n * n * 7919 % 60_000).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        for quantile in [0.5, 0.9, 0.99] {
            let mut durations = Durations::default();
            for value in &values {
                durations.take(ms(*value), quantile);
            }
            let exact = sorted[(quantile * values.len() as f64) as usize];
            let found = durations.bucket_of(quantile);
            assert!(found.abs_diff(bucket(ms(exact))) <= 1, "{quantile}: {exact} {found}");
        }
    }

    #[test]
    fn it_follows_what_changes() {
        let mut durations = Durations::default();
        for _ in 0..10_000 {
            durations.take(ms(100), 0.99);
        }
        let odd = (0..50).filter(|_| durations.take(ms(1000), 0.99)).count();
        assert!(odd >= 20, "ten times as slow: {odd}");
        for _ in 0..20_000 {
            durations.take(ms(1000), 0.99);
        }
        assert!(!durations.take(ms(1000), 0.99) && durations.take(ms(2000), 0.99), "that is normal now");
        assert!(durations.total <= MOST);
    }
}
