//! Tests of the room as a whole.

pub(super) mod harness;

mod building;
mod recognition;
mod recorded;
