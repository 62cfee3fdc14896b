//! WHERE: processes and their mapped files, which TLS code is in them, and the probes attached to it.
//!
//! Probes are attached to files (device and inode), once per file however many processes map it, and go
//! a while after the last of these processes. Which code a file holds is found by [`locate`]; how a probe is
//! placed is the business of whoever implements [`Attach`].

mod arch;
mod cache;
pub mod code;
mod elf;
mod examine;
mod examiner;
mod identity;
mod inner;
mod libraries;
pub mod locate;
mod maps;
mod prober;
mod programs;
mod survey;
#[cfg(test)]
mod synthetic;
mod way;

pub use arch::{Architecture, Registers};
pub use cache::Cache;
pub use elf::{Elf, ElfError, Segment, WINDOW};
pub use examine::{Examined, Refusal};
pub use examiner::Done;
pub use prober::{Attach, AttachError, LinkId, Prober, Waiter};
pub use survey::{Survey, Surveyed};

use agent_common::Point;

/// What a probe is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// At the instruction.
    Uprobe,
    /// At the return of the function that begins at the instruction.
    Uretprobe,
}

/// One place in a file at which something is to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePoint {
    /// Function that it belongs to.
    pub symbol: &'static str,
    /// Offset in the file.
    pub offset: u64,
    /// Kind of probe.
    pub mechanism: Mechanism,
    /// What it marks and where its arguments are.
    pub point: Point,
}

/// TLS code that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which implementation: the name of the locator.
    pub stack: &'static str,
    /// How it was found, for a person.
    pub evidence: String,
    /// Where to probe.
    pub points: Vec<ProbePoint>,
}
