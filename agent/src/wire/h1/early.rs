//! Responses that are seen before their requests. A program that writes and reads in two threads, as those in Go do, may
//! have read the response before its write has returned, which is when the bytes of that are seen.

use bytes::{Bytes, BytesMut};

use super::{Http1, side::State};
use crate::{capture::Direction, time::Timestamp, wire::Event};

/// What came of a response for which no request was seen. The connection is read without loss up to here, so either the
/// request comes next, or nobody asked for it.
#[derive(Default)]
pub(super) struct Early {
    bytes: BytesMut,
    last: Timestamp,
}

impl Early {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the next bytes; false if there are too many.
    pub fn hold(&mut self, time: Timestamp, bytes: &[u8], limit: usize) -> bool {
        let fits = self.bytes.len() + bytes.len() <= limit;
        if fits {
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
    pub(super) fn is_early(&mut self, direction: Direction) -> bool {
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

    /// Reads what was held: its request has come, or won't.
    pub(super) fn settle_early(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        if let (Some(requests), Some((last, bytes))) = (self.requests, self.early.take()) {
            self.bytes(requests.opposite(), time.max(last), bytes, out);
        }
    }
}
