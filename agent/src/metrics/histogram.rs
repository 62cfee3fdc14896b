//! Distributions over fixed buckets.

use crate::time::Timestamp;

/// Buckets, of which the last has no upper bound.
const BUCKETS: usize = 15;

/// Upper bounds of buckets of seconds, as the conventions have them.
pub const SECONDS: [f64; BUCKETS - 1] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// Upper bounds of buckets of tokens.
pub const TOKENS: [f64; BUCKETS - 1] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// A value that a span can be shown for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The value.
    pub value: f64,
    /// When it was counted.
    pub time: Timestamp,
    /// Trace of the span.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
}

/// A distribution.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Upper bounds, each within its bucket.
    pub bounds: &'static [f64; BUCKETS - 1],
    /// How many values each bucket has.
    pub buckets: [u64; BUCKETS],
    /// Their sum.
    pub sum: f64,
    /// Least and largest, if there is any value.
    pub range: Option<(f64, f64)>,
    /// The last value of each bucket that a span can be shown for.
    pub exemplars: [Option<Exemplar>; BUCKETS],
}

impl Histogram {
    /// Without values.
    pub fn new(bounds: &'static [f64; BUCKETS - 1]) -> Self {
        Self { bounds, buckets: [0; BUCKETS], sum: 0.0, range: None, exemplars: [None; BUCKETS] }
    }

    /// How many values it has.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds a value; `kept` are the trace and span that show it.
    pub fn add(&mut self, value: f64, kept: Option<([u8; 16], [u8; 8])>, time: Timestamp) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[at] += 1;
        self.take_in(value, value, value);
        if let Some((trace_id, span_id)) = kept {
            self.exemplars[at] = Some(Exemplar { value, time, trace_id, span_id });
        }
    }

    /// Adds values that were counted by bucket already.
    pub fn add_counted(&mut self, buckets: &[u32; BUCKETS], sum: f64, least: f64, largest: f64) {
        for (held, more) in self.buckets.iter_mut().zip(buckets) {
            *held += u64::from(*more);
        }
        self.take_in(sum, least, largest);
    }

    /// Adds all that another one over the same buckets has.
    pub fn merge(&mut self, other: &Self) {
        let Some((least, largest)) = other.range else { return };
        for (held, more) in self.buckets.iter_mut().zip(other.buckets) {
            *held += more;
        }
        for (held, other) in self.exemplars.iter_mut().zip(other.exemplars) {
            let newer = other.filter(|other| held.is_none_or(|held| held.time < other.time));
            *held = newer.or(*held);
        }
        self.take_in(other.sum, least, largest);
    }

    fn take_in(&mut self, sum: f64, least: f64, largest: f64) {
        self.sum += sum;
        let (low, high) = self.range.unwrap_or((least, largest));
        self.range = Some((low.min(least), high.max(largest)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_within_their_buckets() {
        let mut histogram = Histogram::new(&SECONDS);
        for value in [0.0, 0.01, 0.010_1, 81.92, 82.0] {
            histogram.add(value, Some(([1; 16], [2; 8])), Timestamp(5));
        }
        let mut expected = [0; BUCKETS];
        (expected[0], expected[1], expected[13], expected[14]) = (2, 1, 1, 1);
        assert_eq!((histogram.buckets, histogram.count()), (expected, 5));
        assert_eq!(histogram.range, Some((0.0, 82.0)));
        assert!((histogram.exemplars[0].unwrap().value - 0.01).abs() < 1e-9, "the last one");
        assert!(histogram.exemplars[2].is_none());
    }

    #[test]
    fn what_is_merged_is_as_if_it_had_been_added() {
        let (mut one, mut other, mut all) =
            (Histogram::new(&TOKENS), Histogram::new(&TOKENS), Histogram::new(&TOKENS));
        for (at, value) in [3.0, 100.0, 1e9, 0.0].into_iter().enumerate() {
            let kept = (at != 2).then_some(([at as u8; 16], [0; 8]));
            if at < 2 { &mut one } else { &mut other }.add(value, kept, Timestamp(at as u64));
            all.add(value, kept, Timestamp(at as u64));
        }
        one.merge(&other);
        one.merge(&Histogram::new(&TOKENS));
        assert_eq!((one.buckets, one.sum, one.range), (all.buckets, all.sum, all.range));
        assert_eq!(one.exemplars, all.exemplars);
    }
}
