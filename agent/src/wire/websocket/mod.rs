//! WebSocket (RFC 6455) after an upgrade from HTTP/1.1: frames to messages, messages to exchanges.
//!
//! A session of which the beginning was not seen can't be told from other bytes, and is not read. What a loss does is
//! told in [`incoming`] for one direction and in [`turns`] for the answers.

mod deflate;
mod frame;
mod incoming;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

use self::{
    deflate::{Agreed, Inflate},
    incoming::{Fault, Found, Incoming},
    turns::Turns,
};
use super::{Event, ExchangeEnd, ExchangeId, Limits, RequestHead, ResponseHead, Role};
use crate::{
    account::{Account, Counter},
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
};

/// Longest message of a client, in lengths of an event: it holds all that an HTTP request would.
const REQUEST_EVENTS: usize = 4;

/// A session.
pub(super) struct WebSocket {
    account: Arc<Account>,
    /// The direction of the client's messages.
    requests: Direction,
    client: Incoming,
    server: Incoming,
    turns: Box<dyn Turns>,
    /// Who said first that the session is over.
    closing: Option<Direction>,
}

impl WebSocket {
    /// The session that a 101 response opened; `None` if it uses an extension that is not understood.
    pub fn open(
        session: ExchangeId,
        request: RequestHead,
        response: &ResponseHead,
        limits: &Limits,
        account: &Arc<Account>,
    ) -> Option<Self> {
        let values = response.headers.0.iter().filter(|h| &*h.name == "sec-websocket-extensions");
        let (client, server) = match deflate::agreed(values.map(|h| &*h.value))? {
            Agreed::Plain => (None, None),
            Agreed::Deflate { client_takeover, server_takeover } => {
                (Some(Inflate::new(client_takeover)), Some(Inflate::new(server_takeover)))
            }
        };
        let requests = if request.role == Role::Client { Direction::Sent } else { Direction::Received };
        Some(Self {
            requests,
            client: Incoming::new(client, true, limits.event_bytes.saturating_mul(REQUEST_EVENTS)),
            server: Incoming::new(server, false, limits.event_bytes),
            turns: turns::of(session, request, response.clone(), limits, Arc::clone(account)),
            closing: None,
            account: Arc::clone(account),
        })
    }

    /// About how many bytes it holds.
    pub fn held(&self) -> usize {
        self.client.held() + self.server.held() + self.turns.held()
    }

    /// The caller does not want this exchange.
    pub fn decline(&mut self, id: ExchangeId) {
        self.turns.decline(id);
    }

    /// Takes the next piece; says why if the session can't be read from here on.
    pub fn push(
        &mut self,
        direction: Direction,
        time: Timestamp,
        piece: Piece,
        out: &mut Vec<Event>,
    ) -> Option<&'static str> {
        let asks = direction == self.requests;
        let Self { client, server, turns, closing, account, .. } = self;
        let incoming = if asks { client } else { server };
        let mut stop = None;
        let mut take = |found| match found {
            Found::Message(message) => {
                account.add(Counter::Messages, 1);
                match message.fault {
                    Some(Fault::TooLong) => account.add(Counter::MessagesCut, 1),
                    Some(_) => account.add(Counter::MessagesUnread, 1),
                    None => {}
                }
                if !asks {
                    turns.answered(message, time, out);
                } else if !turns.asked(message, time, out) {
                    stop = Some("too many requests without response");
                }
            }
            Found::Lost(missing) if asks => turns.question_lost(missing),
            Found::Lost(missing) => turns.answers_lost(missing, time, out),
            Found::Close => _ = closing.get_or_insert(direction),
        };
        match piece {
            Piece::Bytes(bytes) => {
                let len = bytes.len() as u64;
                if incoming.push(bytes, time, &mut take).is_err() {
                    account.add(Counter::BytesUnparsed, len);
                    stop = Some("malformed WebSocket");
                }
                let skipped = incoming.take_skipped();
                account.add(Counter::BytesUnparsed, skipped);
                if skipped > 0 && !asks {
                    turns.answers_skipped(skipped, time, out);
                }
            }
            Piece::Gap { len, reason } => {
                incoming.gap(len, reason != GapReason::Lost, &mut take);
            }
        }
        if stop.is_some() {
            self.turns.end_all(ExchangeEnd::Unreadable, time, out);
        } else if self.closing == Some(self.requests.opposite()) {
            // The server sends nothing more (RFC 6455, section 5.5.1).
            self.turns.end_all(self.closed(ExchangeEnd::Closed), time, out);
        }
        stop
    }

    /// The connection is over, or the process writes no more.
    pub fn close(&mut self, time: Timestamp, reason: CloseReason, out: &mut Vec<Event>) {
        let end = match reason {
            CloseReason::Shutdown if self.requests == Direction::Sent => return,
            CloseReason::Shutdown | CloseReason::Freed => ExchangeEnd::ClosedLocally,
            CloseReason::FreedAfterFailedRead => ExchangeEnd::Closed,
            CloseReason::ProcessExit => ExchangeEnd::ProcessExit,
            CloseReason::CaptureEnd => ExchangeEnd::CaptureEnd,
        };
        let end = self.closed(end);
        self.turns.end_all(end, time, out);
    }

    /// Who went away, as far as the session itself has said so.
    fn closed(&self, otherwise: ExchangeEnd) -> ExchangeEnd {
        match self.closing {
            Some(Direction::Sent) => ExchangeEnd::ClosedLocally,
            Some(Direction::Received) => ExchangeEnd::ClosedRemotely,
            None => otherwise,
        }
    }
}
