//! HTTP: ordered bytes with explicit gaps in, exchanges out. Pure: no I/O, no clock.
//!
//! A [`Connection`] is fed the segments of one connection and emits [`Event`]s of the exchanges in it.
//! Credentials end here: no event carries an `authorization` header, an API key or a cookie.

mod body;
mod connection;
mod credentials;
mod encoding;
mod event;
mod eventstream;
mod fields;
mod grpc;
mod h1;
mod h2;
mod multipart;
mod ndjson;
#[cfg(test)]
mod properties;
mod records;
mod sse;
mod start;
mod websocket;

pub use connection::{Connection, Interest, Limits};
pub use credentials::is_credential_name;
pub use event::{
    Body, Event, EventKind, ExchangeEnd, ExchangeId, Header, Headers, Missing, Part, RequestHead,
    ResponseHead, Role, SseEvent, Version,
};
