//! MEANING: exchanges in, [`Call`]s out; one file per API dialect. Pure: no I/O, no clock.

mod call;

pub use call::{
    Call, CallError, Content, Damage, FinishReason, Generation, Message, Missed, OperationName, OutputType,
    Part, Provider, Request, Response, Role, Streaming, ToolDefinition, TraceContext, Transport, Usage,
};
