//! MEANING: exchanges in, [`Call`]s out; one file per API dialect. Pure: no I/O, no clock.
//!
//! A [`Recognizer`] is shown the head of every request. What is an LLM call gets a [`CallBuilder`], which is
//! fed the events of its exchange and gives the [`Call`] when the exchange ends.

mod answer;
mod api;
mod bedrock;
mod budget;
mod builder;
mod call;
mod cohere;
mod dialect;
mod elements;
mod field;
mod finish;
mod google;
mod media;
mod openai;
mod provider;
mod recognize;
mod text;
mod trace;
mod transport;

pub use budget::Limits;
pub use builder::CallBuilder;
pub use call::{
    Call, CallError, Content, Damage, FinishReason, Generation, Message, Missed, OperationName, OutputType,
    Part, Provider, Request, Response, Role, Streaming, ToolDefinition, TraceContext, Transport, Usage,
};
pub use recognize::{Recognition, Recognizer};

#[cfg(test)]
mod tests;
