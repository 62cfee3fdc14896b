//! Telemetry contracts as data.
//!
//! A contract is a directory of Weaver `definition/2` YAML with our annotations. This crate reads it ([`source`]) and resolves it
//! ([`model`]). It knows nothing of the agent, so that a contract can be held, compared and checked for any telemetry; the agent's
//! `contract` verbs and the generators of `cargo xtask contract` are built on it.

pub mod model;
pub mod source;
