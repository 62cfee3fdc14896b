//! WHAT: the loaded kernel programs, their typed records on one clock, and verdicts back to the kernel.

mod record;

pub use record::{Close, CloseReason, ConnectionId, Data, Direction, Process, Record};
