//! MEANING: exchanges in, [`Call`]s out; one file per API dialect. Pure: no I/O, no clock.
//!
//! A [`Recognizer`] is shown the head of every request. What is an LLM call gets a [`CallBuilder`], which is
//! fed the events of its exchange and gives the [`Call`] when the exchange ends. Exchanges of MCP tell several of them,
//! also before (see [`Told`]).

mod answer;
mod api;
mod bedrock;
mod blob;
mod budget;
mod builder;
mod call;
mod cohere;
mod dialect;
mod document;
mod elements;
mod escaped;
mod field;
mod finish;
mod google;
mod mcp;
mod media;
mod openai;
mod pace;
mod provider;
mod rate_limit;
mod recognize;
mod repetition;
mod rule;
mod scan;
mod stated;
mod text;
mod told;
mod trace;
mod transport;
mod walk;

pub use budget::Limits;
pub use builder::CallBuilder;
pub use call::{
    Call, CallError, Content, Damage, Digest, FinishReason, Gaps, Generation, Message, Missed, OperationName,
    OutputType, Part, Party, Provider, Quota, RateLimits, Repetition, Request, Response, Role, Streaming,
    ToolDefinition, TraceContext, Transport, Usage,
};
pub use document::each_value;
pub use mcp::{Mcp, McpAnswer, McpRequest};
pub use provider::is_known_host;
pub use recognize::{Recognition, Recognizer};
pub use rule::{Rule, RuleError};
pub use stated::{Fact, Source, SourceError, Sources, Stated, UnknownFact};
pub use told::Told;

#[cfg(test)]
mod tests;
