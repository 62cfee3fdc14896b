//! The kernel's boot clock, moved onto Unix time.

use rustix::time::{ClockId, clock_gettime};

use crate::time::Timestamp;

/// A difference beyond this is a step of the wall clock and not the error of reading two clocks in turn.
const STEP_NS: i64 = 50_000_000;

/// Turns `CLOCK_BOOTTIME` into Unix time. The difference is kept until the wall clock is stepped, so that
/// durations within a call stay exact.
#[derive(Debug)]
pub(super) struct Clock {
    unix_minus_boot: i64,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { unix_minus_boot: difference() }
    }

    /// Notices a step of the wall clock; called once per batch of records.
    pub(super) fn refresh(&mut self) {
        let now = difference();
        if (now - self.unix_minus_boot).abs() > STEP_NS {
            self.unix_minus_boot = now;
        }
    }

    pub(super) fn unix(&self, boot_ns: u64) -> Timestamp {
        Timestamp(boot_ns.saturating_add_signed(self.unix_minus_boot))
    }
}

fn difference() -> i64 {
    read(ClockId::Realtime) - read(ClockId::Boottime)
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_now() {
        let clock = Clock::new();
        let unix = clock.unix(read(ClockId::Boottime) as u64).0 as i64;
        assert!((unix - read(ClockId::Realtime)).abs() < 1_000_000_000);
    }
}
