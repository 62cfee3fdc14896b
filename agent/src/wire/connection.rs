//! One connection: which protocol it speaks, and what is read of it.

use std::{mem, sync::Arc};

use super::{
    Event, ExchangeId,
    h1::Http1,
    start::{Start, Verdict},
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
    /// Most requests that wait for their response.
    pub outstanding: usize,
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
            Protocol::Http1(h1) => {
                if let Some(why) = h1.push(direction, time, piece, out) {
                    self.unread(why);
                }
            }
            Protocol::Undecided(start) => match start.push(direction, time, piece) {
                Verdict::Undecided => {}
                Verdict::Http2 => self.unread("http2"),
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
        let Protocol::Http1(h1) = &mut self.protocol else { return };
        h1.close(time, reason, out);
        if reason != CloseReason::Shutdown && !h1.is_http() && h1.saw_bytes() {
            self.unread("no HTTP");
        }
    }

    /// The caller does not want this exchange: its bodies are still framed, but neither decoded nor handed
    /// on, and no event of it is emitted any more, its end included.
    pub fn decline(&mut self, exchange: ExchangeId) {
        if let Protocol::Http1(h1) = &mut self.protocol {
            h1.decline(exchange);
        }
    }

    /// Is there anything to read?
    pub fn interest(&self) -> Interest {
        match &self.protocol {
            Protocol::Http1(h1) if h1.is_http() => Interest::Http,
            Protocol::Undecided(_) | Protocol::Http1(_) => Interest::Undecided,
            Protocol::Unread(why) => Interest::Unread(why),
        }
    }

    fn begin_http1(&mut self, out: &mut Vec<Event>) {
        let h1 = Box::new(Http1::new(self.limits, self.account.clone()));
        let before = mem::replace(&mut self.protocol, Protocol::Http1(h1));
        let Protocol::Undecided(start) = before else { return };
        for (direction, time, piece) in start.into_pieces() {
            self.push(direction, time, piece, out);
        }
    }

    fn unread(&mut self, why: &'static str) {
        self.protocol = Protocol::Unread(why);
        self.account.add(Counter::ConnectionsUnread, 1);
    }
}
