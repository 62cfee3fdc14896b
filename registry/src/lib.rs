//! Telemetry contracts as data.
//!
//! A contract is a directory of Weaver `definition/2` YAML with our annotations, under `annotations.plainspan`. This crate reads and
//! resolves it ([`Registry::read`]). It knows nothing of the agent, so that a contract can be held, compared and checked for any
//! telemetry; the agent's `contract` verbs and the generators of `cargo xtask contract` are built on it.

pub mod check;
pub mod consumers;
pub mod diff;
mod error;
pub mod infer;
mod model;
mod namespace;
mod naming;
mod pattern;
mod read;
pub mod report;
mod resolve;
mod source;
pub mod telemetry;
mod version;
mod yaml;

pub use error::{Error, Rule};
pub use model::{
    Attribute, Cardinality, Conventions, Deprecated, Entity, Event, Instrument, Kind, Member, Metric,
    OlderNames, Privacy, Registry, Requirement, Span, SpanKind, Upstream, Use, Values,
};
pub use pattern::{Part, Pattern};
pub use read::{File, files, newest, releases};
pub use version::Version;
