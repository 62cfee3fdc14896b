//! What `wire/` says about exchanges. These types are all that later rooms know of HTTP.

use bytes::Bytes;

use crate::time::Timestamp;

/// An exchange (one request and its response), unique within its connection's [`super::Connection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub u64);

/// Which side of the exchange the captured process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent the request.
    Client,
    /// It received the request.
    Server,
}

impl Role {
    /// The other side.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The protocol that carried an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// One header that is not a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: Box<str>,
    /// As sent; bytes that are not UTF-8 are replaced.
    pub value: Box<str>,
}

/// Headers in the order of the wire, without the credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<Header>);

impl Headers {
    /// The first value of a header; `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|h| &*h.name == name).map(|h| &*h.value)
    }

    /// Do they ask for a WebSocket, or grant it (RFC 6455, sections 4.1 and 4.2.2)?
    pub fn upgrade_to_websocket(&self) -> bool {
        self.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    }
}

/// The head of a request, which may be a message of a WebSocket session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Method, as sent.
    pub method: Box<str>,
    /// Path of the target, without query, as sent (percent-encoded).
    pub path: Box<str>,
    /// Query without credentials (`key=`, `token=`, signatures), as sent; empty if there is none.
    pub query: Box<str>,
    /// `Host`, or `:authority`, or the authority of an absolute-form target.
    pub authority: Option<Box<str>>,
    /// Protocol version.
    pub version: Version,
    /// Which side the captured process is.
    pub role: Role,
    /// Headers without the credentials.
    pub headers: Headers,
    /// The exchange that opened the WebSocket session in which this request is a message; the rest of the head is
    /// that exchange's.
    pub session: Option<ExchangeId>,
    /// Parts of the head are unknown: they were told by earlier heads, which were missed (HTTP/2). An unknown
    /// method or path is empty.
    pub partial: bool,
}

/// The head of a final response (never 1xx, except 101).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// Headers without the credentials.
    pub headers: Headers,
    /// As in [`RequestHead`].
    pub partial: bool,
}

/// One server-sent event, as the WHATWG specification dispatches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event` field; empty when it is absent.
    pub event: Box<str>,
    /// The `data` lines joined by line feeds.
    pub data: Bytes,
}

/// The next part of a body, content encoding undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Decoded bytes, of a body that is not an event stream.
    Bytes(Bytes),
    /// One whole event of a `text/event-stream` body, one line of JSON lines, one message of an AWS event stream, of
    /// gRPC or of a WebSocket session. A request is so only in a session in which a call may be asked for with several
    /// messages.
    Sse(SseEvent),
    /// One part of a `multipart/form-data` request.
    Part(Part),
    /// Bytes of the body are missing here; `Some(n)` where it is known how many, as they were on the wire.
    /// In an event stream the events after it are whole again; a compressed body ends here, and one of messages whose
    /// places are lost.
    Missing(Missing),
}

/// A field or a file of a form (RFC 7578).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Name of the field; empty if it has none.
    pub name: Box<str>,
    /// Name of the file, if it is one.
    pub file_name: Option<Box<str>>,
    /// MIME type, if told.
    pub media_type: Option<Box<str>>,
    /// Length of the content in bytes; `None` if bytes of it are missing.
    pub len: Option<u64>,
    /// What a field says, unless it is too long (64 KiB), or bytes of it are missing. Files are not kept.
    pub value: Option<Bytes>,
}

/// What is missing in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Bytes of the wire that are missing, where known.
    pub len: Option<u64>,
    /// Cut by a limit (the cap of a call, a body limit, a decompression limit) and not lost.
    pub cut: bool,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// The response arrived to its end.
    Complete,
    /// The captured process closed the connection, released it, or reset the stream, before the end.
    ClosedLocally,
    /// The connection was closed before the end, and which side began is not known.
    Closed,
    /// The other side closed the connection, or reset the stream, before the end. HTTP/1.x over a stream of
    /// plaintext never tells this: see [`super::Connection::close`].
    ClosedRemotely,
    /// The captured process ended before the response did.
    ProcessExit,
    /// The capture ended first.
    CaptureEnd,
    /// The bytes stopped making sense (malformed, or too much missing).
    Unreadable,
}

/// What happened in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A request begins. Always the first event of its exchange.
    RequestHead(Box<RequestHead>),
    /// More of its body.
    RequestBody(Body),
    /// The request is complete.
    RequestEnd,
    /// The final response begins.
    ResponseHead(Box<ResponseHead>),
    /// More of its body.
    ResponseBody(Body),
    /// What follows the response's body (RFC 9110, section 6.5), over HTTP/2: `grpc-status` for one, unless it is in
    /// the head of a response without a body. Fields that aren't known are left out.
    ResponseTrailers(Box<Headers>),
    /// The exchange is over. Always the last event of its exchange, and always sent, unless the exchange was
    /// declined.
    End(ExchangeEnd),
}

/// Something happened in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The exchange.
    pub exchange: ExchangeId,
    /// When the bytes that tell it were moved: of a request's head the first, of anything else the last.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
}
