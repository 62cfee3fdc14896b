//! How long an exporter waits before it tries again.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// Pause after the first failure; it doubles with each.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The user is told of a failure that goes on no more often than this.
pub(super) const WARN_EVERY: Duration = Duration::from_secs(60);

/// Between one half and the whole of a pause, so that agents which a collector failed all at once don't come back all at once.
pub(super) fn jittered(pause: Duration) -> Duration {
    // Its keys are random.
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pauses_differ_and_keep_within_their_bounds() {
        let pauses: BTreeSet<_> = (0..100).map(|_| jittered(LONGEST_PAUSE)).collect();
        assert!(pauses.len() > 90);
        assert!(pauses.iter().all(|pause| (LONGEST_PAUSE / 2..=LONGEST_PAUSE).contains(pause)), "{pauses:?}");
    }
}
