//! Responses that are seen before their requests. A program that writes and reads in two threads, as those in Go do, may
//! have read the response before its write has returned, which is when the bytes of that are seen.

use bytes::{Bytes, BytesMut};

use super::{Http1, side::State};
use crate::{capture::Direction, stream::Piece, time::Timestamp, wire::Event};

/// What came of a response for which no request was seen. The connection is read without loss up to here, so either the
/// request comes next, or nobody asked for it.
#[derive(Default)]
pub(super) struct Early {
    bytes: BytesMut,
    first: Timestamp,
    last: Timestamp,
    /// The first that was seen of the connection is a response, in this direction.
    opening: Option<Direction>,
}

/// The first line of a response begins with it (RFC 9112, section 4).
const RESPONSE: &[u8] = b"HTTP/1.";
/// The response to an upgrade.
const UPGRADE: &[u8] = b"HTTP/1.1 101 ";

impl Early {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next bytes; false if there are too many.
    pub fn hold(&mut self, time: Timestamp, bytes: &[u8], limit: usize) -> bool {
        let fits = self.bytes.len() + bytes.len() <= limit;
        if fits {
            if self.bytes.is_empty() {
                self.first = time;
            }
            self.bytes.extend_from_slice(bytes);
            self.last = time;
        }
        fits
    }

    fn take(&mut self) -> Option<(Timestamp, Bytes)> {
        (!self.bytes.is_empty()).then(|| (self.last, std::mem::take(&mut self.bytes).freeze()))
    }
}

impl Http1 {
    /// Is this a response to a request that wasn't seen yet?
    pub(super) fn is_early(&mut self, direction: Direction, piece: &Piece) -> bool {
        if self.requests.is_none() {
            let response = matches!(piece, Piece::Bytes(bytes) if bytes.starts_with(RESPONSE));
            let silent = [&self.sent, &self.received].iter().all(|side| side.head.is_empty());
            if response && silent && !self.saw_bytes() && self.early.held() == 0 {
                self.early.opening = Some(direction);
            }
            return self.early.opening == Some(direction);
        }
        if self.requests != Some(direction.opposite()) {
            return false;
        }
        if self.early.held() > 0 {
            return true;
        }
        let in_order = |state: &State| matches!(state, State::Head);
        let requests = self.side(direction.opposite());
        let requests_in_order = in_order(&requests.state);
        let responses = self.side(direction);
        let is_first = in_order(&responses.state) && responses.head.is_empty();
        requests_in_order && is_first && self.exchanges.unanswered() == 0
    }

    /// The first that was seen of the connection is a response, and now a request comes: can't it be the one that it answers?
    /// A connection that was joined late begins like this, too.
    pub(super) fn is_late(&mut self, direction: Direction, time: Timestamp) -> bool {
        // A call that writes has the time at which it began, and one that reads that at which it was done.
        self.early.opening == Some(direction.opposite())
            && self.side(direction).head.is_empty()
            && time >= self.early.first
            // It is the last of HTTP on a connection: a request that comes behind it can only be its own.
            && !self.early.bytes.starts_with(UPGRADE)
    }

    /// Reads what was held: its request has come, or won't.
    pub(super) fn settle_early(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        let opening = self.early.opening.take();
        let responses = self.requests.map(Direction::opposite).or(opening);
        if let (Some(responses), Some((last, bytes))) = (responses, self.early.take()) {
            self.bytes(responses, time.max(last), bytes, out);
        }
    }
}
