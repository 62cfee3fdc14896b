//! NAMES: a [`crate::genai::Call`] becomes a [`Span`] under the contract.
//!
//! This is the only room in which an attribute key is written, and keys are generated from `contract/`.

mod span;

pub use span::{Attribute, Delivery, Kind, Resource, Span, SpanIds, Status, Value};
