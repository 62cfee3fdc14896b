//! Probes, placed and taken away: by links of their own where the kernel has them, else on perf events.

use std::{os::fd::OwnedFd, path::Path, sync::mpsc, time::Duration};

use agent_common as abi;
use aya::{
    Ebpf,
    programs::{
        ProgramError, UProbe,
        uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeLinkId, UProbeScope},
    },
};
use tracing::warn;

use super::{error::CaptureError, multi};
use crate::probe::Mechanism;

/// Most threads that take probes away together.
const RELEASERS: usize = 32;

/// The programs that run at probes.
pub(super) const PROGRAMS: [&str; 7] = [
    "point_call",
    "point_return",
    "point_return_ret",
    "point_seal",
    "point_sealed",
    "point_end",
    "point_end_ret",
];

/// Which of them a point runs.
pub(super) fn program_of(mechanism: Mechanism, action: u8) -> &'static str {
    match (action, mechanism) {
        (abi::ACTION_CALL, _) => "point_call",
        (abi::ACTION_RETURN, Mechanism::Uprobe) => "point_return",
        (abi::ACTION_RETURN, Mechanism::Uretprobe) => "point_return_ret",
        (abi::ACTION_SEAL, _) => "point_seal",
        (abi::ACTION_SEALED, _) => "point_sealed",
        (_, Mechanism::Uprobe) => "point_end",
        (_, Mechanism::Uretprobe) => "point_end_ret",
    }
}

/// A probe in its place.
#[derive(Debug)]
pub(super) enum Placed {
    Multi(OwnedFd),
    Perf { program: &'static str, id: UProbeLinkId },
}

/// What holds a probe: without it, the probe goes.
#[derive(Debug)]
pub(super) enum Held {
    Multi(#[expect(dead_code, reason = "it is dropped")] OwnedFd),
    Perf(#[expect(dead_code, reason = "it is dropped")] UProbeLink),
}

/// Why a probe can't be placed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    #[error("the kernel refuses it: {0}")]
    Refused(#[from] std::io::Error),
    #[error(transparent)]
    Perf(#[from] ProgramError),
    #[error(transparent)]
    Object(#[from] CaptureError),
}

/// The programs, loaded for one of the two ways.
#[derive(Debug)]
pub(super) struct Probes {
    multi: Option<multi::Programs>,
}

impl Probes {
    /// Loads the programs, those of perf events if `perf` is wanted or there is no other way.
    pub fn load(ebpf: &mut Ebpf, object: &[u8], perf: bool) -> Result<Self, PlaceError> {
        let multi = if perf { None } else { multi::Programs::load(object, ebpf, &PROGRAMS) };
        if multi.is_none() {
            for name in PROGRAMS {
                uprobe(ebpf, name)?.load()?;
            }
        }
        Ok(Self { multi })
    }

    /// As it is told in the log.
    pub fn way(&self) -> &'static str {
        if self.multi.is_some() { "links of their own" } else { "perf events" }
    }

    /// Places a probe at an offset in a file, for all processes.
    pub fn place(
        &self,
        ebpf: &mut Ebpf,
        program: &'static str,
        file: &Path,
        offset: u64,
        cookie: u64,
    ) -> Result<Placed, PlaceError> {
        if let Some(multi) = &self.multi {
            return Ok(Placed::Multi(multi.attach(program, file, offset, cookie)?));
        }
        let location = UProbeAttachLocation::AbsoluteOffset(offset);
        let at = UProbeAttachPoint { location, cookie: Some(cookie) };
        let id = uprobe(ebpf, program)?.attach(at, file, UProbeScope::AllProcesses)?;
        Ok(Placed::Perf { program, id })
    }
}

/// What is to be dropped, so that the probe goes.
pub(super) fn held(ebpf: &mut Ebpf, placed: Placed) -> Option<Held> {
    match placed {
        Placed::Multi(link) => Some(Held::Multi(link)),
        Placed::Perf { program, id } => {
            let taken = uprobe(ebpf, program).ok()?.take_link(id);
            taken.inspect_err(|error| warn!(%error, "a probe could not be taken away")).ok().map(Held::Perf)
        }
    }
}

fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, CaptureError> {
    ebpf.program_mut(name)
        .and_then(|p| p.try_into().ok())
        .ok_or_else(|| CaptureError::Load(format!("the object has no program {name}")))
}

/// Takes probes away, in threads of their own: for each the kernel waits until no program can be running any more, some tenth of a
/// second, and one wait serves all who wait at the same time.
pub(super) fn release<T: Send + 'static>(links: Vec<T>) {
    let mut shares: Vec<Vec<T>> = Vec::new();
    shares.resize_with(links.len().min(RELEASERS), Vec::new);
    for (at, link) in links.into_iter().enumerate() {
        shares[at % RELEASERS].push(link);
    }
    for share in shares {
        // Where there is no thread to be had, they are dropped with the closure, here.
        let _ = std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(share));
    }
}

/// The same, and waits until they are gone, but not longer than that.
pub(super) fn release_within<T: Send + 'static>(links: Vec<T>, patience: Duration) {
    let (last, all) = mpsc::channel::<()>();
    release(links.into_iter().map(|link| (link, last.clone())).collect());
    drop(last);
    // Nothing is ever sent: it ends when the other sides are gone, or in time.
    let _ = all.recv_timeout(patience);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    #[test]
    fn probes_go_together_and_nobody_waits_for_them() {
        let start = Instant::now();
        release(vec![Slow]);
        assert!(start.elapsed() < Duration::from_millis(400));
        // One after the other they would take half a minute.
        release_within((0..2 * RELEASERS).map(|_| Slow).collect(), Duration::from_secs(60));
        let took = start.elapsed();
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(20), "{took:?}");
        release_within(vec![Slow], Duration::from_millis(10));
        assert!(start.elapsed() < took + Duration::from_millis(400));
    }
}
