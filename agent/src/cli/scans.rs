//! When to look again at what a process has mapped.
//!
//! A process maps its libraries after the exec that announces it, within milliseconds for those that it is
//! linked with, and at any time for those that it loads itself. Where the kernel tells of each mapping, these looks only
//! make up for what it may have failed to tell.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

/// Milliseconds after an exec at which its process is looked at.
const AFTER_EXEC: &[u64] = &[1, 5, 20, 80, 320, 1280, 5000];

/// The same where the kernel tells of mappings.
const AFTER_EXEC_TOLD: &[u64] = &[1];

/// How often every process is looked at, for what was loaded late.
const SWEEP: Duration = Duration::from_secs(10);

/// Most looks that are planned; a storm of new processes is then left to the sweep.
const MAX_PLANNED: usize = 16_384;

/// Planned looks.
pub(super) struct Scans {
    due: BinaryHeap<Reverse<(Instant, u32, usize)>>,
    sweep: Instant,
    after_exec: &'static [u64],
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
    /// From now on; `told` if the kernel tells of mappings.
    pub(super) fn new(now: Instant, told: bool) -> Self {
        let after_exec = if told { AFTER_EXEC_TOLD } else { AFTER_EXEC };
        Self { due: BinaryHeap::new(), sweep: now + SWEEP, after_exec }
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
        if let Some(after) = self.after_exec.get(step)
            && self.due.len() < MAX_PLANNED
        {
            let before = step.checked_sub(1).map_or(0, |s| self.after_exec[s]);
            self.due.push(Reverse((now + Duration::from_millis(after - before), pid, step)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_a_new_program_often_at_first() {
        for (told, times) in [(false, AFTER_EXEC), (true, AFTER_EXEC_TOLD)] {
            let start = Instant::now();
            let ms = |n| start + Duration::from_millis(n);
            let mut scans = Scans::new(start, told);
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
            assert_eq!(looks, times.len());
            assert_eq!(scans.take(ms(10_000)), Some(Look::AtAll));
            assert_eq!(scans.take(ms(10_000)), None);
        }
    }
}
