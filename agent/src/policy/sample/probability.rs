//! Probabilities as OpenTelemetry writes them: 56 random bits of a trace, and the threshold below which it is dropped.
//!
//! OpenTelemetry specification, "TraceState: Probability Sampling" and "TraceState Handling".

use std::fmt;

/// All thresholds and random values are below it.
const END: u64 = 1 << 56;

/// Hexadecimal digits of 56 bits.
const DIGITS: u32 = 14;

/// Digits that a threshold has behind its leading `f`s: what is written is what was decided by, within a thousandth of the probability.
const PRECISION: u32 = 4;

/// The random bits that all who sample a trace decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Randomness(u64);

impl Randomness {
    /// The last seven bytes of a trace id (W3C Trace Context Level 2, section 2.2.2.3). They are taken to be random without the flag that says so, too, as the
    /// SDKs' samplers do, so that all decide alike.
    pub fn of_trace(trace_id: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(trace_id) as u64 & (END - 1))
    }

    /// The value of `rv`, exactly 14 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == DIGITS as usize && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if valid { u64::from_str_radix(text, 16).ok().map(Self) } else { None }
    }
}

/// Traces whose random bits are below it are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold(u64);

impl Threshold {
    /// Drops none.
    pub const ALWAYS: Self = Self(0);
    /// Drops all. It is written nowhere, for it keeps no span that could carry it.
    pub const NEVER: Self = Self(END);

    /// The one that keeps about this part, from 0 to 1.
    pub fn of_probability(probability: f64) -> Self {
        let kept = (probability.clamp(0.0, 1.0) * END as f64).round() as u64;
        if kept == 0 {
            return Self::NEVER;
        }
        let exact = END - kept;
        let full = (!exact << 8).leading_zeros() / 4;
        let unit = 1 << (4 * DIGITS.saturating_sub(PRECISION + full));
        // Rounded up it may say that nothing is kept.
        Self((exact + unit / 2) / unit * unit).or_below(exact / unit * unit)
    }

    fn or_below(self, other: u64) -> Self {
        if self.0 < END { self } else { Self(other) }
    }

    /// Is a trace with these random bits kept?
    pub fn keeps(self, randomness: Randomness) -> bool {
        randomness.0 >= self.0
    }

    /// The part of traces that it keeps.
    pub fn probability(self) -> f64 {
        (END - self.0) as f64 / END as f64
    }

    /// How many calls one that it kept stands for.
    pub fn adjusted_count(self) -> f64 {
        1.0 / self.probability()
    }
}

/// The value of `th`: 14 hexadecimal digits without the zeros at their end.
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:014x}", self.0);
        let digits = digits.trim_end_matches('0');
        f.write_str(if digits.is_empty() { "0" } else { digits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_as_they_are_written() {
        for (probability, written) in [
            (1.0, "0"),
            (0.5, "8"),
            (0.25, "c"),
            (0.1, "e666"),
            (0.01, "fd70a"),
            (1.0 / 3.0, "aaab"),
            (0.001, "ffbe77"),
            (0.999_999, "0000"),
            (0.999, "0042"),
            (0.5f64.powi(56), "ffffffffffffff"),
        ] {
            let threshold = Threshold::of_probability(probability);
            let shown = threshold.to_string();
            assert_eq!(shown, if written == "0000" { "0" } else { written }, "{probability}");
            assert!((threshold.probability() / probability - 1.0).abs() < 1e-3, "{probability}");
            assert!((threshold.adjusted_count() * probability - 1.0).abs() < 1e-3, "{probability}");
            // Read back as the specification has it.
            let read = u64::from_str_radix(&format!("{shown:0<14}"), 16).unwrap();
            assert_eq!(read, threshold.0);
        }
        assert_eq!(Threshold::of_probability(0.0), Threshold::NEVER);
        assert!(Threshold::ALWAYS.keeps(Randomness(0)) && !Threshold::NEVER.keeps(Randomness(END - 1)));
    }

    #[test]
    fn a_trace_is_random_in_its_last_seven_bytes() {
        let mut id = [0xff; 16];
        id[9..].copy_from_slice(&[0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(Randomness::of_trace(id), Randomness(0x102));
        assert_eq!(Randomness::parse("00000000000102"), Some(Randomness(0x102)));
        for wrong in ["", "102", "000000000001020", "0000000000010g", "+0000000000102"] {
            assert_eq!(Randomness::parse(wrong), None, "{wrong}");
        }
        let half = Threshold::of_probability(0.5);
        assert!(half.keeps(Randomness(END / 2)) && !half.keeps(Randomness(END / 2 - 1)));
    }
}
