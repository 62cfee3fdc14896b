//! When to look again at what a process has mapped.
//!
//! A process maps its libraries after the exec that announces it, within milliseconds for those that it is
//! linked with, and at any time for those that it loads itself.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// Milliseconds after an exec at which its process is looked at.
const AFTER_EXEC: &[u64] = &[1, 5, 20, 80, 320, 1280, 5000];

/// How often every process is looked at, for what was loaded late.
const SWEEP: Duration = Duration::from_secs(10);

/// Most looks that are planned; a storm of new processes is then left to the sweep.
const MAX_PLANNED: usize = 16_384;

/// Planned looks.
pub(super) struct Scans {
    due: BinaryHeap<Reverse<(Instant, u32, usize)>>,
    sweep: Instant,
}

/// What to look at now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// One process.
    At(u32),
    /// Every process.
    AtAll,
}

impl Scans {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: BinaryHeap::new(), sweep: now + SWEEP }
    }

    /// A process has a new program.
    pub(super) fn exec(&mut self, pid: u32, now: Instant) {
        self.plan(pid, 0, now);
    }

    /// When the next look is due.
    pub(super) fn next(&self) -> Instant {
        self.due.peek().map_or(self.sweep, |Reverse((at, ..))| (*at).min(self.sweep))
    }

    /// The next look that is due by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Look> {
        if self.sweep <= now {
            self.sweep = now + SWEEP;
            return Some(Look::AtAll);
        }
        let Reverse((at, pid, step)) = self.due.peek().copied()?;
        if at > now {
            return None;
        }
        self.due.pop();
        self.plan(pid, step + 1, now);
        Some(Look::At(pid))
    }

    fn plan(&mut self, pid: u32, step: usize, now: Instant) {
        if let Some(after) = AFTER_EXEC.get(step)
            && self.due.len() < MAX_PLANNED
        {
            let before = step.checked_sub(1).map_or(0, |s| AFTER_EXEC[s]);
            self.due.push(Reverse((now + Duration::from_millis(after - before), pid, step)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_a_new_program_often_at_first() {
        let start = Instant::now();
        let ms = |n| start + Duration::from_millis(n);
        let mut scans = Scans::new(start);
        scans.exec(7, start);
        assert_eq!(scans.take(start), None);
        assert_eq!(scans.next(), ms(1));
        let mut looks = 0;
        for t in 0..9000 {
            while let Some(look) = scans.take(ms(t)) {
                assert_eq!(look, Look::At(7));
                looks += 1;
            }
        }
        assert_eq!(looks, AFTER_EXEC.len());
        assert_eq!(scans.take(ms(10_000)), Some(Look::AtAll));
        assert_eq!(scans.take(ms(10_000)), None);
    }
}
