//! What missing and malformed bytes do to the pairing of responses with requests.
//!
//! Responses come in the order of the requests, so as long as nothing is missing pairing is counting. When
//! something is missing, a whole request or response may be hidden in it, and the rule is: rather no
//! response than the wrong one. What makes resuming possible is that clients wait for a response before they send the
//! next request on the same connection (nearly all do; one that was seen not to is given up after a loss):
//!
//! - a request that begins after a loss ends every exchange before it, and the response that begins next is its own;
//! - without a new request, reading goes on only if so little went unread (less than half the smallest head
//!   seen on that side) that no other message can have begun in it.

use super::{
    Http1,
    exchanges::Phase,
    framing::{Fit, Framing},
    side::{Lost, State},
};
use crate::{
    capture::Direction,
    time::Timestamp,
    wire::{Event, ExchangeEnd},
};

impl Http1 {
    pub(super) fn gap(
        &mut self,
        direction: Direction,
        time: Timestamp,
        len: u64,
        cut: bool,
        out: &mut Vec<Event>,
    ) {
        self.missed |= !self.http;
        let side = self.side(direction);
        match &mut side.state {
            State::Head => self.lose(direction, time, len, cut, false, out),
            State::Body(framing) => match framing.gap(len) {
                Fit::Inside => {
                    let over = framing.is_over();
                    self.body_gap(direction, time, Some(len), cut, out);
                    if over {
                        self.message_end(direction, time, out);
                    }
                }
                Fit::Over { inside, beyond } => {
                    if inside > 0 {
                        self.body_gap(direction, time, Some(inside), cut, out);
                    }
                    self.message_end(direction, time, out);
                    self.lose(direction, time, beyond, cut, false, out);
                }
                Fit::Unknown => self.lose(direction, time, len, cut, false, out),
            },
            State::Lost(_) => {
                let held = side.head.clear();
                self.skip(held);
                self.lose_more(direction, time, held.saturating_add(len), out);
            }
        }
    }

    /// What should have been a head, `held` bytes and the rest of the piece, is none.
    pub(super) fn refused(
        &mut self,
        direction: Direction,
        time: Timestamp,
        held: u64,
        rest: &[u8],
        lost: Option<Lost>,
        out: &mut Vec<Event>,
    ) {
        self.skip(held + rest.len() as u64);
        match lost {
            Some(_) => self.lose_more(direction, time, held + rest.len() as u64, out),
            None => self.lose(direction, time, 0, false, true, out),
        }
    }

    /// The framing of a side is lost, over `missing` bytes or because of what they say.
    pub(super) fn lose(
        &mut self,
        direction: Direction,
        time: Timestamp,
        missing: u64,
        cut: bool,
        malformed: bool,
        out: &mut Vec<Event>,
    ) {
        let chunked = matches!(self.side(direction).state, State::Body(Framing::Chunked(_)));
        if matches!(self.side(direction).state, State::Body(_)) {
            self.body_gap(direction, time, None, cut, out);
        }
        let held = self.side(direction).head.clear();
        self.skip(held);
        // A head that had begun may be complete within what is missing, and its message too.
        let unread = missing.saturating_add(held);
        let lost = Lost { fresh: false, unread, chunked: chunked && !malformed, hopeless: malformed };
        self.side(direction).state = State::Lost(lost);
        self.lost(direction, lost, time, out);
    }

    /// A side that is lost stays so for `n` bytes more, whether they are missing or make no sense.
    fn lose_more(&mut self, direction: Direction, time: Timestamp, n: u64, out: &mut Vec<Event>) {
        if let State::Lost(lost) = &mut self.side(direction).state {
            lost.fresh = false;
            lost.unread = lost.unread.saturating_add(n);
            let lost = *lost;
            self.lost(direction, lost, time, out);
        }
    }

    /// What follows from a loss for the exchanges.
    fn lost(&mut self, direction: Direction, lost: Lost, time: Timestamp, out: &mut Vec<Event>) {
        let Some(requests) = self.requests else { return };
        if requests == direction {
            self.hidden = true;
            if let Some(id) = self.side(direction).current {
                // Its response may still come, and be read.
                self.exchanges.request(id, Phase::Lost);
                self.exchanges.finish(time, out);
            }
            return;
        }
        if self.pipelines && self.exchanges.unanswered() > 0 {
            self.stop = Some("pipelined requests, bytes missing");
            return;
        }
        let side = self.side(direction);
        let (current, same) = (side.current, side.same_message(lost));
        if !same {
            self.exchanges.end_unanswered(ExchangeEnd::Unreadable, time, out);
        } else if let Some(id) = current
            && self.exchanges.is_followed(id)
        {
            self.exchanges.end(id, ExchangeEnd::Unreadable, time, out);
        } else {
            return;
        }
        let side = self.side(direction);
        (side.current, side.body) = (None, None);
        if let State::Lost(lost) = &mut side.state {
            lost.chunked = false;
        }
    }

    /// A request begins, which settles what is left of the exchanges before it if something is missing.
    pub(super) fn settle(&mut self, responses: Direction, time: Timestamp, out: &mut Vec<Event>) {
        let side = self.side(responses);
        if matches!(side.state, State::Lost(Lost { fresh: true, .. })) {
            side.state = State::Head;
        }
        let stray = side.current.is_none() && matches!(side.state, State::Body(_));
        let damaged = stray || matches!(side.state, State::Lost(_));
        let damaged = damaged || std::mem::take(&mut self.hidden);
        self.exchanges.drop_answered(time, out);
        if !damaged {
            return;
        }
        if self.exchanges.unanswered() > 0 {
            if self.pipelines {
                self.stop = Some("pipelined requests, bytes missing");
                return;
            }
            self.exchanges.end_unanswered(ExchangeEnd::Unreadable, time, out);
        }
        let side = self.side(responses);
        if matches!(side.state, State::Head) && side.head.is_empty() {
            return;
        }
        side.state = State::Lost(Lost::default());
        (side.current, side.body) = (None, None);
        let held = side.head.clear();
        self.skip(held);
    }
}
