//! What the fuzz targets have in common. Each takes any bytes, and asks for what has to be true of whatever they are.

mod bodies;
mod calls;
mod conditions;
mod conversations;
mod heard;
mod json;
mod offline;
mod programs;
mod queries;
mod redact;
pub mod script;

pub use bodies::{encodings, events, form, grpc};
pub use calls::calls;
pub use conditions::conditions;
pub use conversations::{header_block, http1, http2, websocket};
pub use json::json;
pub use offline::offline;
pub use programs::{locate, view};
pub use queries::queries;
pub use redact::redact;
