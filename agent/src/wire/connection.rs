//! One connection: which protocol it speaks, and what is read of it.

use std::{mem, sync::Arc};

use super::{
    Event, ExchangeId,
    h1::{self, Http1},
    h2::{self, Http2},
    start::{PREFACE, Start, Verdict},
};
use crate::{
    account::{Account, Counter},
    capture::{CloseReason, Direction},
    stream::Piece,
    time::Timestamp,
};

/// What `wire/` may hold and hand on for one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head of a message, in bytes.
    pub head_bytes: usize,
    /// Most headers of a message.
    pub headers: usize,
    /// Most bytes of a body that are handed on, decoded.
    pub body_bytes: u64,
    /// Longest server-sent event, in bytes.
    pub event_bytes: usize,
    /// Most requests that wait for their response, over HTTP/1.x.
    pub outstanding: usize,
    /// Most exchanges that are followed at once, over HTTP/2.
    pub streams: usize,
    /// Bytes after which a connection in which no HTTP was seen is given up.
    pub undecided_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 * 1024,
            headers: 128,
            body_bytes: 64 << 20,
            event_bytes: 8 << 20,
            outstanding: 128,
            streams: 256,
            undecided_bytes: 4 << 20,
        }
    }
}

/// Is there anything to read in a connection?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It isn't known yet.
    Undecided,
    /// It speaks HTTP.
    Http,
    /// Nothing of it will be read from here on, and why: the protocol, or what went wrong.
    Unread(&'static str),
}

enum Protocol {
    /// Too little was seen.
    Undecided(Start),
    /// HTTP/1.x, or bytes in which a head of it is looked for.
    Http1(Box<Http1>),
    /// HTTP/2.
    Http2(Box<Http2>),
    /// What is not read.
    Unread(&'static str),
}

/// A connection.
pub struct Connection {
    limits: Limits,
    account: Arc<Account>,
    protocol: Protocol,
}

impl Connection {
    /// A connection of which nothing was seen yet.
    pub fn new(limits: Limits, account: Arc<Account>) -> Self {
        Self { limits, account, protocol: Protocol::Undecided(Start::default()) }
    }

    /// Takes the next piece of one direction.
    pub fn push(&mut self, direction: Direction, time: Timestamp, piece: Piece, out: &mut Vec<Event>) {
        match &mut self.protocol {
            Protocol::Unread(_) => {}
            Protocol::Http1(h1) if !h1.is_http() && is_http2(&piece) => {
                self.begin_http2(out);
                self.push(direction, time, piece, out);
            }
            Protocol::Http1(h1) => match h1.push(direction, time, piece, out) {
                None => {}
                Some(h1::HTTP2) => self.begin_http2(out),
                Some(why) => self.unread(why),
            },
            Protocol::Http2(h2) => {
                if let Some(why) = h2.push(direction, time, piece, out) {
                    self.unread(why);
                }
            }
            Protocol::Undecided(start) => match start.push(direction, time, piece) {
                Verdict::Undecided => {}
                Verdict::Http2 => self.begin_http2(out),
                Verdict::Http1 => self.begin_http1(out),
            },
        }
    }

    /// The process writes no more ([`CloseReason::Shutdown`]), or the connection is over.
    ///
    /// The end of what the other side sends is not visible here: a read that finds it moves no bytes. So a
    /// response that is delimited by the end of the connection is complete when the process lets go of the connection,
    /// and one that is cut short ends as [`super::ExchangeEnd::ClosedLocally`] then, though it may have been
    /// the other side that went away first. A client that shuts the session down may still read, so its exchanges end
    /// with the connection; a server that does sends no more, which ends its responses.
    pub fn close(&mut self, time: Timestamp, reason: CloseReason, out: &mut Vec<Event>) {
        if matches!(self.protocol, Protocol::Undecided(_)) {
            self.begin_http1(out);
        }
        let nothing_read = match &mut self.protocol {
            Protocol::Http1(h1) => {
                h1.close(time, reason, out);
                !h1.is_http() && h1.saw_bytes()
            }
            Protocol::Http2(h2) => {
                h2.close(time, reason, out);
                !h2.is_http() && h2.saw_bytes()
            }
            Protocol::Undecided(_) | Protocol::Unread(_) => false,
        };
        if reason != CloseReason::Shutdown && nothing_read {
            self.unread("no HTTP");
        }
    }

    /// The caller does not want this exchange: its bodies are still framed, but neither decoded nor handed
    /// on, and no event of it is emitted any more, its end included.
    pub fn decline(&mut self, exchange: ExchangeId) {
        match &mut self.protocol {
            Protocol::Http1(h1) => h1.decline(exchange),
            Protocol::Http2(h2) => h2.decline(exchange),
            Protocol::Undecided(_) | Protocol::Unread(_) => {}
        }
    }

    /// About how many bytes it holds, of messages that are not whole.
    pub fn held(&self) -> usize {
        match &self.protocol {
            Protocol::Http1(h1) => h1.held(),
            Protocol::Http2(h2) => h2.held(),
            Protocol::Undecided(_) | Protocol::Unread(_) => 0,
        }
    }

    /// Is there anything to read?
    pub fn interest(&self) -> Interest {
        match &self.protocol {
            Protocol::Http1(h1) if h1.is_http() => Interest::Http,
            Protocol::Http2(h2) if h2.is_http() => Interest::Http,
            Protocol::Undecided(_) | Protocol::Http1(_) | Protocol::Http2(_) => Interest::Undecided,
            Protocol::Unread(why) => Interest::Unread(why),
        }
    }

    fn begin_http1(&mut self, out: &mut Vec<Event>) {
        self.begin(Protocol::Http1(Box::new(Http1::new(self.limits, self.account.clone()))), out);
    }

    fn begin_http2(&mut self, out: &mut Vec<Event>) {
        let before = mem::replace(&mut self.protocol, Protocol::Undecided(Start::default()));
        let (skipped, before) = match before {
            Protocol::Http1(h1) => (h1.abandon(), Protocol::Undecided(Start::default())),
            before => (0, before),
        };
        self.protocol = before;
        self.begin(Protocol::Http2(Box::new(Http2::new(self.limits, self.account.clone(), skipped))), out);
    }

    fn begin(&mut self, protocol: Protocol, out: &mut Vec<Event>) {
        let Protocol::Undecided(start) = mem::replace(&mut self.protocol, protocol) else { return };
        for (direction, time, piece) in start.into_pieces() {
            self.push(direction, time, piece, out);
        }
    }

    /// Does it speak HTTP/2?
    pub fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(_))
    }

    /// Nothing more of it is wanted: all its exchanges are declined.
    pub fn leave(&mut self) {
        self.protocol = Protocol::Unread("not wanted");
    }

    fn unread(&mut self, why: &'static str) {
        self.protocol = Protocol::Unread(why);
        self.account.add(Counter::ConnectionsUnread, 1);
    }
}

/// In a connection that isn't known to speak HTTP/1.x: is this HTTP/2?
fn is_http2(piece: &Piece) -> bool {
    matches!(piece, Piece::Bytes(bytes) if bytes.starts_with(PREFACE) || h2::looks_like_frames(bytes))
}
