//! plainspan: the LLM calls of unmodified processes, as OpenTelemetry spans.
//!
//! The modules are rooms, in the order in which data walks through them. A room knows only the rooms
//! before it and the types that it is handed; [`pipeline`] is the one place that knows them all.

pub mod account;
pub mod capture;
pub mod cli;
pub mod contract;
pub mod explain;
pub mod export;
mod gate;
pub mod genai;
pub mod journal;
pub mod metrics;
pub mod pipeline;
pub mod policy;
pub mod probe;
pub mod resource;
pub mod stream;
mod text;
pub mod time;
pub mod wire;
