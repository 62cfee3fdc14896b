//! Tests of the room as a whole.

pub(super) mod harness;

mod building;
mod errors;
mod recognition;
mod recorded;
