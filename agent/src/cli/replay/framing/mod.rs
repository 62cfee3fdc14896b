//! The calls that move exchanges over each protocol.

pub(super) mod h1;
pub(super) mod h2;
mod hpack;
pub(super) mod websocket;
