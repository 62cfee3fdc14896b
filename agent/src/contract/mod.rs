//! NAMES: a [`crate::genai::Call`] becomes a [`Span`] under the contract.
//!
//! This is the only room in which an attribute key is written, and keys are generated from `contract/`.

mod attributes;
mod check;
mod content;
mod document;
mod fingerprint;
mod inference;
mod key;
mod mcp;
mod measure;
mod metric;
#[rustfmt::skip] // Generated.
pub mod names;
mod naming;
pub mod otlp;
pub mod otlp_logs;
pub mod otlp_metrics;
mod place;
mod profile;
mod resource;
mod sampling;
mod settle;
mod span;

pub use attributes::Attributes;
pub use check::{Reason, Violation};
pub use document::{document, minute};
pub use inference::{Options, build, provider_name};
pub use key::{
    AttributeDef, AttributeSet, AttributeValue, Cardinality, Json, Key, Overlap, Privacy, Requirement, Shape,
    Text, Use, ValueKind, definition,
};
pub use measure::{Origin, measure};
pub use metric::{Instrument, Measured, Metric, MetricDef, MetricSet, Point, ResourceMetrics};
pub use names::{SCHEMA_URL, VERSION};
pub use profile::Profile;
pub use resource::resource;
pub use span::{
    Attribute, Delivery, Kind, Link, LinkReason, Place, Relations, Resource, SessionId, Span, SpanIds,
    Status, Value,
};
