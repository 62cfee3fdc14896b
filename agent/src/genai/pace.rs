//! The pace of a stream: how its chunks followed each other, and whether it stalled.
//!
//! A chunk's time is when the process had read its last byte: chunks of one TLS record came at once, and a
//! process that reads late makes gaps of its own. Only what follows the first content is looked at: the wait
//! before it is that for the model to begin, and has a name of its own.

use std::time::Duration;

use super::call::{Gaps, Party, Streaming};
use crate::{
    time::Timestamp,
    wire::{ExchangeEnd, Role},
};

/// Chunks that follow each other faster came at once, as far as the pace is concerned: one arrival may be several records.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A shorter pause is no stall, however fast the stream was.
const STALL: Duration = Duration::from_secs(2);

/// A pause of so many times the mean of the others is one.
const STALL_FACTOR: u32 = 10;

/// The chunks of one stream, from its first content on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// First content, and the last chunk.
    span: Option<(Timestamp, Timestamp)>,
    /// Gaps between chunks.
    gaps: u32,
    by_length: Gaps,
    largest: Duration,
    /// Gaps that were no arrival at once, and their sum.
    pauses: u32,
    paused: Duration,
}

impl Pace {
    /// The next chunk that carried data.
    pub(super) fn chunk(&mut self, time: Timestamp, content: bool) {
        match &mut self.span {
            Some((_, last)) => {
                let gap = time.since(*last);
                *last = (*last).max(time);
                self.by_length.add(gap, self.gaps == 0);
                self.gaps = self.gaps.saturating_add(1);
                self.gap(gap);
            }
            None if content => self.span = Some((time, time)),
            None => {}
        }
    }

    fn gap(&mut self, gap: Duration) {
        self.largest = self.largest.max(gap);
        if gap >= AT_ONCE {
            self.pauses = self.pauses.saturating_add(1);
            self.paused = self.paused.saturating_add(gap);
        }
    }

    /// Did the stream stand still, by its own pace?
    fn stalled(&self) -> bool {
        let others = self.paused.saturating_sub(self.largest) / self.pauses.saturating_sub(1).max(1);
        self.largest >= STALL && self.largest >= others.saturating_mul(STALL_FACTOR)
    }

    /// Says it of a stream of which nothing is missing; `broke_off` is when, if it did.
    pub(super) fn tell(mut self, broke_off: Option<Timestamp>, streaming: &mut Streaming) {
        let Some((first, last)) = self.span else { return };
        streaming.mean_gap = last.since(first).checked_div(self.gaps);
        streaming.gaps = Some(self.by_length).filter(|_| self.gaps > 0);
        // The silence in which somebody gave up is a gap too, though no chunk ended it.
        if let Some(end) = broke_off {
            self.gap(end.since(last));
        }
        if self.gaps > 0 || broke_off.is_some() {
            streaming.largest_gap = Some(self.largest);
            streaming.stalled = Some(self.stalled());
        }
    }
}

impl Gaps {
    /// Upper bound of the first bucket.
    const FIRST: Duration = Duration::from_millis(10);

    fn add(&mut self, gap: Duration, is_first: bool) {
        let last = self.buckets.len() as u32 - 1;
        let bucket = (0..last).find(|bucket| gap <= Self::FIRST * (1 << bucket)).unwrap_or(last);
        let held = &mut self.buckets[bucket as usize];
        *held = held.saturating_add(1);
        self.least = if is_first { gap } else { self.least.min(gap) };
        self.largest = self.largest.max(gap);
        self.sum = self.sum.saturating_add(gap);
    }
}

/// Who stopped a stream before it said that it was over; `None` where that can't be told.
pub(super) fn stopped_by(end: ExchangeEnd, role: Role) -> Option<Party> {
    let (own, other) = match role {
        Role::Client => (Party::Client, Party::Server),
        Role::Server => (Party::Server, Party::Client),
    };
    match end {
        ExchangeEnd::ClosedLocally | ExchangeEnd::ProcessExit => Some(own),
        ExchangeEnd::ClosedRemotely => Some(other),
        // The body came to an end of its own, and the stream in it had none: only who sends can do that.
        ExchangeEnd::Complete => Some(Party::Server),
        ExchangeEnd::Closed | ExchangeEnd::CaptureEnd | ExchangeEnd::Unreadable => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn told(times: &[u64], broke_off: Option<u64>) -> Streaming {
        let mut pace = Pace::default();
        for time in times {
            pace.chunk(Timestamp(time * MS), true);
        }
        let mut streaming = Streaming::default();
        pace.tell(broke_off.map(|at| Timestamp(at * MS)), &mut streaming);
        streaming
    }

    #[test]
    fn gaps() {
        let ms = |n: u64| Some(Duration::from_millis(n));
        let cases: [(&[u64], Option<u64>, _, _); 7] = [
            (&[], None, None, None),
            (&[5], None, None, None),
            (&[5, 5, 5], None, ms(0), ms(0)),
            (&[0, 10, 40], None, ms(20), ms(30)),
            // Those of one record came at once.
            (&[0, 0, 30, 30, 60], None, ms(15), ms(30)),
            (&[0, 10], Some(50), ms(10), ms(40)),
            (&[0], Some(50), None, ms(50)),
        ];
        for (times, broke_off, mean, largest) in cases {
            let streaming = told(times, broke_off);
            assert_eq!((streaming.mean_gap, streaming.largest_gap), (mean, largest), "{times:?}");
            assert_eq!(streaming.stalled, largest.map(|_| false), "{times:?}");
        }
    }

    #[test]
    fn stalls_are_told_by_the_streams_own_pace() {
        let cases: [(&[u64], Option<u64>, bool); 8] = [
            (&[0, 20, 40, 60, 2060, 2080], None, true),
            (&[0, 20, 40, 60, 2059, 2080], None, false),
            // Slow all the time.
            (&[0, 1900, 3800, 5900, 7800], None, false),
            (&[0, 300, 600, 900, 3901], None, true),
            (&[0, 300, 600, 900, 3899], None, false),
            // In bursts, all the time: what came at once is no pace.
            (&[0, 0, 0, 0, 2500, 2500, 2500, 2500, 5000, 5000], None, false),
            // Nobody waited any longer.
            (&[0, 20, 40], Some(3000), true),
            (&[0, 20, 40], Some(100), false),
        ];
        for (times, broke_off, stalled) in cases {
            assert_eq!(told(times, broke_off).stalled, Some(stalled), "{times:?} {broke_off:?}");
        }
    }

    #[test]
    fn the_wait_for_the_first_content_is_no_gap() {
        let mut pace = Pace::default();
        pace.chunk(Timestamp(0), false);
        pace.chunk(Timestamp(9000 * MS), true);
        pace.chunk(Timestamp(9010 * MS), false);
        let mut streaming = Streaming::default();
        pace.tell(None, &mut streaming);
        assert_eq!(streaming.largest_gap, Some(Duration::from_millis(10)));
        assert_eq!(streaming.stalled, Some(false));
    }

    #[test]
    fn gaps_are_counted_by_their_length() {
        let gaps = told(&[0, 10, 21, 21, 90_000], Some(95_000)).gaps.unwrap();
        let mut expected = [0; 15];
        (expected[0], expected[1], expected[14]) = (2, 1, 1);
        assert_eq!(gaps.buckets, expected, "the silence at the end is none of a chunk");
        let ms = Duration::from_millis;
        assert_eq!((gaps.sum, gaps.least, gaps.largest), (ms(90_000), ms(0), ms(89_979)));
        assert!(told(&[5], Some(50)).gaps.is_none());
    }

    #[test]
    fn time_that_runs_backwards_is_no_gap() {
        assert_eq!(told(&[10, 5, 10], None).largest_gap, Some(Duration::ZERO));
    }

    #[test]
    fn who_stopped_it() {
        use ExchangeEnd::{
            CaptureEnd, Closed, ClosedLocally, ClosedRemotely, Complete, ProcessExit, Unreadable,
        };
        let cases = [
            (ClosedLocally, Some(Party::Client), Some(Party::Server)),
            (ClosedRemotely, Some(Party::Server), Some(Party::Client)),
            (ProcessExit, Some(Party::Client), Some(Party::Server)),
            (Complete, Some(Party::Server), Some(Party::Server)),
            (Closed, None, None),
            (CaptureEnd, None, None),
            (Unreadable, None, None),
        ];
        for (end, as_client, as_server) in cases {
            assert_eq!(stopped_by(end, Role::Client), as_client, "{end:?}");
            assert_eq!(stopped_by(end, Role::Server), as_server, "{end:?}");
        }
    }
}
