//! The one clock of the agent: nanoseconds since the Unix epoch.

use std::time::Duration;

/// A moment, in nanoseconds since the Unix epoch.
///
/// The kernel stamps records with `CLOCK_BOOTTIME`; `capture/` moves them onto this clock before anybody
/// else sees them, so that every later room can compare any two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
