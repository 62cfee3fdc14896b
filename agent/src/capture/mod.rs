//! WHAT: the loaded kernel programs, their typed records on one clock, and verdicts back to the kernel.

#![allow(unsafe_code, reason = "reads records of the kernel's ABI and implements aya's Pod for it")]

mod btf;
mod clock;
mod decode;
mod error;
mod kernel;
mod mappings;
mod multi;
mod preflight;
mod probes;
mod record;
mod scope;
mod starts;
mod unlinked;

pub use decode::Decoder;
pub use error::CaptureError;
pub use kernel::{Config, Diagnostics, Events, Kernel, Verdict};
pub use mappings::{Changed, Mappings};
pub use preflight::check_machine;
pub use record::{
    Close, CloseReason, ConnectionHasher, ConnectionId, ConnectionMap, Data, Direction, Process, Program,
    Record,
};
pub use scope::{CgroupError, Scope, cgroup_hierarchy};
pub use starts::{Held, Start, Starts};
