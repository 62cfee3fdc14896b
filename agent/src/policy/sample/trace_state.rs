//! What `tracestate` says of sampling: OpenTelemetry's member `ot`, a list of `key:value;key:value`.
//!
//! OpenTelemetry specification, "TraceState Handling".

use std::fmt::Write as _;

use super::{Randomness, Threshold};

/// OpenTelemetry's member of the list.
const MEMBER: &str = "ot";

/// Longest value of it, in bytes.
const MEMBER_MAX: usize = 256;

/// Most members of a list (W3C Trace Context, section 3.3.1.1).
const MEMBERS_MAX: usize = 32;

fn members(state: &str) -> impl Iterator<Item = (&str, &str)> {
    state.split(',').filter_map(|member| member.trim().split_once('='))
}

fn entries(member: &str) -> impl Iterator<Item = (&str, &str)> {
    member.split(';').filter_map(|entry| entry.split_once(':'))
}

fn own(state: &str) -> &str {
    members(state).find(|(key, _)| *key == MEMBER).map_or("", |(_, value)| value)
}

/// Random bits that stand for those of the trace id.
pub(super) fn randomness(state: &str) -> Option<Randomness> {
    entries(own(state)).find(|(key, _)| *key == "rv").and_then(|(_, value)| Randomness::parse(value))
}

/// The list with this threshold: OpenTelemetry's member moves to its front, as one that was changed has to, and all else stays.
pub(super) fn with_threshold(state: &str, threshold: Threshold) -> String {
    let mut all = format!("{MEMBER}=th:{threshold}");
    for (key, value) in entries(own(state)).filter(|(key, _)| *key != "th") {
        // The random bits say what the threshold means; of the rest there may be too much.
        if key == "rv" || all.len() + key.len() + value.len() + 2 + "rv:;".len() + 14 <= MEMBER_MAX {
            let _ = write!(all, ";{key}:{value}");
        }
    }
    for (key, value) in members(state).filter(|(key, _)| *key != MEMBER).take(MEMBERS_MAX - 1) {
        let _ = write!(all, ",{key}={value}");
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_threshold_is_set_and_all_else_stays() {
        let tenth = Threshold::of_probability(0.1);
        for (state, written) in [
            ("", "ot=th:e666"),
            ("a=1,b@c=2", "ot=th:e666,a=1,b@c=2"),
            ("a=1, ot=th:8 ,b=2", "ot=th:e666,a=1,b=2"),
            ("ot=rv:00000000000001;th:8;x:y", "ot=th:e666;rv:00000000000001;x:y"),
            ("ot=nonsense", "ot=th:e666"),
        ] {
            assert_eq!(with_threshold(state, tenth), written, "{state}");
        }
        let many: Vec<_> = (0..32).map(|n| format!("k{n}=v")).collect();
        let set = with_threshold(&many.join(","), tenth);
        assert_eq!((set.split(',').count(), set.ends_with("k30=v")), (32, true));
        let long = format!("ot=x:{};rv:00000000000001", "y".repeat(240));
        assert_eq!(with_threshold(&long, tenth), "ot=th:e666;rv:00000000000001");
    }

    #[test]
    fn random_bits_of_their_own() {
        let bits = Randomness::parse("0123456789abcd");
        for (state, expected) in [
            ("a=1,ot=th:8;rv:0123456789abcd", bits),
            ("ot=rv:0123456789ABCD", bits),
            ("ot=rv:123", None),
            ("x=rv:0123456789abcd", None),
            ("", None),
        ] {
            assert_eq!(randomness(state), expected, "{state}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_was_it_says_so_afterwards(state in "[ -~]{0,400}") {
            let set = with_threshold(&state, Threshold::of_probability(0.5));
            let threshold = entries(own(&set)).find(|(key, _)| *key == "th");
            prop_assert_eq!(threshold, Some(("th", "8")));
            prop_assert_eq!(members(&set).filter(|(key, _)| *key == MEMBER).count(), 1);
            prop_assert_eq!(randomness(&set), randomness(&state));
            prop_assert_eq!(with_threshold(&set, Threshold::of_probability(0.5)), set);
        }
    }
}
