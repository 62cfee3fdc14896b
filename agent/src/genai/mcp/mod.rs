//! The Model Context Protocol over HTTP (<https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>).
//!
//! What is sent are JSON-RPC 2.0 messages: a request of either side, its answer, a notification. One HTTP exchange can carry
//! many, and a request and its answer can be in two of them. So an exchange gives what its messages [`Settled`], of which
//! [`told`] makes calls.

mod call;
mod message;
mod settled;

pub use call::{Mcp, McpAnswer, McpRequest};
pub(super) use message::{Message, MessageKind, is_method};
pub(super) use settled::{Settled, told};
