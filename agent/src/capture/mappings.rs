//! Which processes map files for execution, as they do it: what a process maps is probed before it is used, not when
//! somebody looks the next time.
//!
//! The kernel tells of such mappings through perf (`PERF_RECORD_MMAP2`, perf_event_open(2)), one ring a processor.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use perf_event::{Builder, Sampler, events::Software};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::Notify;

/// Bytes of each processor's ring. A record has some 120.
const RING: usize = 1 << 16;

/// How long records may gather: a program maps its libraries one after the other.
const REST: Duration = Duration::from_micros(500);

/// How often the thread sees whether it is still wanted.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// `PERF_RECORD_LOST`, include/uapi/linux/perf_event.h.
const LOST: u32 = 2;
/// `PERF_RECORD_MMAP2`.
const MMAP2: u32 = 10;
/// Where the path begins in a `PERF_RECORD_MMAP2`, after the header.
const PATH: usize = 64;

/// Whose mappings have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// These processes'.
    pub processes: HashSet<u32>,
    /// Of more processes than are known: records were lost.
    pub lost: bool,
}

impl Changed {
    fn any(&self) -> bool {
        self.lost || !self.processes.is_empty()
    }
}

#[derive(Default)]
struct Shared {
    changed: Mutex<Changed>,
    notify: Notify,
}

impl Shared {
    fn add(&self, new: Changed) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.processes.extend(new.processes);
        changed.lost |= new.lost;
        self.notify.notify_one();
    }

    fn take(&self) -> Changed {
        std::mem::take(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Watches the mappings of all processes.
pub struct Mappings(Arc<Shared>);

impl Mappings {
    /// Starts watching.
    ///
    /// # Errors
    /// The kernel has no perf events, or does not let the agent have them (CAP_PERFMON).
    pub fn watch() -> io::Result<Self> {
        let processors = aya::util::online_cpus().map_err(|(what, error)| {
            io::Error::new(error.kind(), format!("the processors are not known: {what}: {error}"))
        })?;
        let rings = processors.into_iter().map(ring).collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::default());
        let told = Arc::downgrade(&shared);
        thread::Builder::new().name("mappings".to_owned()).spawn(move || gather(rings, &told))?;
        Ok(Self(shared))
    }

    /// Waits until processes have mapped files for execution, and tells which.
    pub async fn next(&self) -> Changed {
        loop {
            let told = self.0.notify.notified();
            let changed = self.0.take();
            if changed.any() {
                return changed;
            }
            told.await;
        }
    }
}

fn ring(processor: u32) -> io::Result<Sampler> {
    let mut counter = Builder::new(Software::DUMMY)
        .any_pid()
        .one_cpu(processor as usize)
        .include_kernel()
        .include_hv()
        .mmap(true)
        .mmap2(true)
        // Only samples count as events; these records are none.
        .wakeup_watermark(1)
        .build()?;
    counter.enable()?;
    counter.sampled(RING)
}

/// Until nobody wants it any more.
fn gather(mut rings: Vec<Sampler>, told: &Weak<Shared>) {
    loop {
        let Some(shared) = told.upgrade() else { return };
        let mut changed = Changed::default();
        for ring in &mut rings {
            while let Some(record) = ring.next_record() {
                match record.ty() {
                    LOST => changed.lost = true,
                    MMAP2 => changed.processes.extend(of_file(&record.to_contiguous())),
                    _ => {}
                }
            }
        }
        if changed.any() {
            shared.add(changed);
        }
        drop(shared);
        // SAFETY: the rings outlive the poll, and with them their descriptors.
        let descriptors = rings.iter().map(|ring| unsafe {
            std::os::fd::BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(ring))
        });
        let mut waits: Vec<_> = descriptors.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        // An interrupted wait is as good as one that is over.
        let _ = poll(&mut waits, Some(&PATIENCE));
        thread::sleep(REST);
    }
}

/// The process of a `PERF_RECORD_MMAP2` after its header, if it mapped a file. Code that is made at run time is in
/// anonymous memory (`//anon`).
fn of_file(record: &[u8]) -> Option<u32> {
    let path = record.get(PATH..)?;
    let pid = u32::from_ne_bytes(record.first_chunk::<4>().copied()?);
    (path.first() == Some(&b'/') && path.get(1) != Some(&b'/')).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_count() {
        let cases = [
            ("/usr/lib/libssl.so.3", Some(7)),
            ("/memfd:x (deleted)", Some(7)),
            ("//anon", None),
            ("[vdso]", None),
        ];
        for (path, expected) in cases {
            let mut record = vec![0; PATH];
            record[..4].copy_from_slice(&7u32.to_ne_bytes());
            record.extend_from_slice(path.as_bytes());
            record.push(0);
            assert_eq!(of_file(&record), expected, "{path}");
        }
        assert_eq!(of_file(&[0; 10]), None);
    }
}
