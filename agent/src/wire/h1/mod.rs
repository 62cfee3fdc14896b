//! HTTP/1.x (RFC 9112): messages out of the two byte streams of a connection, and responses paired with requests.
//!
//! Responses come in the order of the requests, so as long as nothing is missing pairing is counting. When
//! something is missing, a whole request or response may be hidden in it, and the rule is: rather no
//! response than the wrong one. What makes resuming possible is that clients wait for a response before they send the
//! next request on the same connection (nearly all do; one that was seen not to is given up after a loss):
//!
//! - a request that begins after a loss ends every exchange before it, and the response that begins next is its own;
//! - without a new request, reading goes on only if so little went unread (less than half the smallest head
//!   seen on that side) that no other message can have begun in it.

mod exchanges;
mod framing;
mod head;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::{
    exchanges::{Exchanges, Phase},
    framing::{Fit, Framing, Step, begins_with_chunk},
    head::{Collected, Collector, Expect, Refused},
};
use super::{
    Event, EventKind, ExchangeEnd, ExchangeId, Limits, Role,
    body::{BodyReader, Sink},
};
use crate::{
    account::{Account, Counter},
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
};

/// One direction of the connection.
struct Side {
    state: State,
    /// The head in progress, or what may be one.
    head: Collector,
    /// Whose message is in progress; `None` if it belongs to no exchange.
    current: Option<ExchangeId>,
    /// Its body, if anybody wants it.
    body: Option<BodyReader>,
    /// Length of the smallest head seen, of those that a message can't do without.
    smallest_head: Option<u64>,
}

enum State {
    /// Between messages or in a head.
    Head,
    /// In a body.
    Body(Framing),
    /// Somewhere: reading goes on at a piece that begins with a head.
    Lost(Lost),
}

#[derive(Clone, Copy, Default)]
struct Lost {
    /// Nothing was seen of this side yet.
    fresh: bool,
    /// Bytes missing or skipped since then, or since the last request began.
    unread: u64,
    /// The lost message was chunked: reading may go on at a piece that begins with a chunk.
    chunked: bool,
    /// It is not that bytes are missing, but that they are malformed.
    hopeless: bool,
}

impl Side {
    fn new() -> Self {
        let state = State::Lost(Lost { fresh: true, ..Lost::default() });
        Self { state, head: Collector::default(), current: None, body: None, smallest_head: None }
    }

    /// Is too little unread for another message to have begun in it?
    fn same_message(&self, lost: Lost) -> bool {
        !lost.hopeless && (lost.unread == 0 || self.smallest_head.is_some_and(|head| lost.unread < head / 2))
    }

    /// A head of so many bytes began a message.
    fn head_seen(&mut self, len: usize) {
        let len = len as u64;
        self.smallest_head = Some(self.smallest_head.map_or(len, |smallest| smallest.min(len)));
    }
}

/// A connection that speaks HTTP/1.x, or may.
pub(super) struct Http1 {
    limits: Limits,
    account: Arc<Account>,
    /// The direction of the requests, once it is known.
    requests: Option<Direction>,
    sent: Side,
    received: Side,
    exchanges: Exchanges,
    /// Requests may have been missed since the last that was seen.
    hidden: bool,
    /// A request was sent before the response to an earlier one: the client does not wait.
    pipelines: bool,
    /// The captured process shut the session down.
    shutdown: bool,
    /// A head was seen.
    http: bool,
    /// Bytes skipped before the first head.
    skipped: u64,
    /// Bytes are missing before the first head.
    missed: bool,
    /// Nothing more can be read, and why.
    stop: Option<&'static str>,
}

impl Http1 {
    pub fn new(limits: Limits, account: Arc<Account>) -> Self {
        Self {
            limits,
            exchanges: Exchanges::new(account.clone()),
            account,
            requests: None,
            sent: Side::new(),
            received: Side::new(),
            hidden: false,
            pipelines: false,
            shutdown: false,
            http: false,
            skipped: 0,
            missed: false,
            stop: None,
        }
    }

    /// A head was seen: this is HTTP.
    pub fn is_http(&self) -> bool {
        self.http
    }

    /// Something was captured, though it need not have made sense.
    pub fn saw_bytes(&self) -> bool {
        self.skipped > 0
    }

    /// Takes the next piece; says why if the connection can't be read from here on.
    pub fn push(
        &mut self,
        direction: Direction,
        time: Timestamp,
        piece: Piece,
        out: &mut Vec<Event>,
    ) -> Option<&'static str> {
        match piece {
            Piece::Bytes(bytes) => self.bytes(direction, time, bytes, out),
            Piece::Gap { len, reason } => self.gap(direction, time, len, reason != GapReason::Lost, out),
        }
        if self.stop.is_some() {
            self.exchanges.end_all(ExchangeEnd::Unreadable, time, out);
        }
        self.stop
    }

    /// The caller does not want this exchange.
    pub fn decline(&mut self, id: ExchangeId) {
        self.exchanges.decline(id);
        for side in [&mut self.sent, &mut self.received] {
            if side.current == Some(id) {
                side.body = None;
            }
        }
    }

    /// The connection is over, or the process writes no more; see [`super::Connection::close`].
    pub fn close(&mut self, time: Timestamp, reason: CloseReason, out: &mut Vec<Event>) {
        let server = self.requests == Some(Direction::Received);
        if reason == CloseReason::Shutdown {
            self.shutdown = true;
            if !server {
                return;
            }
        }
        let closed = match reason {
            CloseReason::Shutdown | CloseReason::Freed => true,
            CloseReason::ProcessExit => self.shutdown,
            CloseReason::CaptureEnd => false,
        };
        let held = self.sent.head.clear() + self.received.head.clear();
        self.skip(held);
        let Some(requests) = self.requests else { return };
        let responses = requests.opposite();
        if closed && matches!(self.side(responses).state, State::Body(Framing::UntilClose)) {
            self.message_end(responses, time, out);
        }
        let end = match reason {
            _ if matches!(self.side(responses).state, State::Lost(_)) => ExchangeEnd::Unreadable,
            _ if closed => ExchangeEnd::ClosedLocally,
            CloseReason::ProcessExit => ExchangeEnd::ProcessExit,
            _ => ExchangeEnd::CaptureEnd,
        };
        self.exchanges.end_all(end, time, out);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
    }

    /// The exchange that the message in progress belongs to, if it isn't over.
    fn open(&mut self, direction: Direction) -> Option<ExchangeId> {
        self.side(direction).current.filter(|id| self.exchanges.is_open(*id))
    }

    fn is_requests(&self, direction: Direction) -> bool {
        self.requests == Some(direction)
    }

    /// Bytes that nobody could make sense of.
    fn skip(&mut self, n: u64) {
        if self.http {
            self.account.add(Counter::BytesUnparsed, n);
            return;
        }
        self.skipped = self.skipped.saturating_add(n);
        if self.skipped > self.limits.undecided_bytes {
            self.stop = Some("no HTTP");
        }
    }

    fn bytes(&mut self, direction: Direction, time: Timestamp, mut bytes: Bytes, out: &mut Vec<Event>) {
        let expect = match self.requests {
            None => Expect::Either,
            Some(requests) if requests == direction => Expect::Request,
            Some(_) => Expect::Response,
        };
        let limit = self.limits.head_bytes;
        while !bytes.is_empty() && self.stop.is_none() {
            let side = self.side(direction);
            let lost = match &mut side.state {
                State::Body(framing) => {
                    match framing.next(&mut bytes) {
                        Step::Data(data) => self.body(direction, time, data, out),
                        Step::End => self.message_end(direction, time, out),
                        Step::More => return,
                        Step::Malformed => {
                            self.skip(bytes.len() as u64);
                            self.lose(direction, time, 0, false, true, out);
                            return;
                        }
                    }
                    if matches!(&self.side(direction).state, State::Body(framing) if framing.is_over()) {
                        self.message_end(direction, time, out);
                    }
                    continue;
                }
                State::Head => None,
                State::Lost(lost) => {
                    lost.fresh = false;
                    Some(*lost)
                }
            };
            if let Some(lost) = lost
                && lost.chunked
                && side.head.is_empty()
                && side.same_message(lost)
                && begins_with_chunk(&bytes)
            {
                side.state = State::Body(Framing::chunked());
                continue;
            }
            match side.head.feed(&mut bytes, time, expect, limit) {
                Collected::More => return,
                Collected::Head(raw, since) => {
                    if !self.head(direction, since, time, &raw, lost, out) {
                        self.refused(direction, time, raw.len() as u64, &bytes, lost, out);
                        return;
                    }
                }
                Collected::Refused(held) => {
                    self.refused(direction, time, held, &bytes, lost, out);
                    return;
                }
            }
        }
    }

    /// What should have been a head, `held` bytes and the rest of the piece, is none.
    fn refused(
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

    fn gap(&mut self, direction: Direction, time: Timestamp, len: u64, cut: bool, out: &mut Vec<Event>) {
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

    /// The framing of a side is lost, over `missing` bytes or because of what they say.
    fn lose(
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

    /// Reads a head; false if it is none.
    fn head(
        &mut self,
        direction: Direction,
        since: Timestamp,
        time: Timestamp,
        raw: &Bytes,
        lost: Option<Lost>,
        out: &mut Vec<Event>,
    ) -> bool {
        let is_request = self.requests.map_or(!raw.starts_with(b"HTTP/"), |requests| requests == direction);
        let requests = if is_request { direction } else { direction.opposite() };
        let role = if requests == Direction::Sent { Role::Client } else { Role::Server };
        if is_request {
            let request = match head::request(raw, role, &self.limits) {
                Ok(request) => request,
                Err(Refused::Malformed) => return false,
                Err(Refused::Http2Preface) => {
                    self.stop = Some("http2");
                    return true;
                }
            };
            self.seen(requests);
            self.side(direction).head_seen(raw.len());
            self.request_head(direction, since, time, request, out);
        } else {
            let Ok(response) = head::response(raw, &self.limits) else { return false };
            self.seen(requests);
            self.response_head(direction, time, raw.len(), response, lost, out);
        }
        true
    }

    /// A head was read.
    fn seen(&mut self, requests: Direction) {
        self.requests = Some(requests);
        if !self.http {
            self.http = true;
            if self.skipped > 0 || self.missed {
                self.account.add(Counter::ConnectionsLate, 1);
                self.account.add(Counter::BytesUnparsed, self.skipped);
            }
        }
    }

    fn request_head(
        &mut self,
        direction: Direction,
        since: Timestamp,
        time: Timestamp,
        request: head::Request,
        out: &mut Vec<Event>,
    ) {
        self.settle(direction.opposite(), time, out);
        if self.stop.is_none() && self.exchanges.len() >= self.limits.outstanding {
            self.stop = Some("too many requests without response");
        }
        if self.stop.is_some() {
            return;
        }
        let head::Request { head, method, framing } = request;
        let body = BodyReader::new(&head.headers, true, &self.limits, &self.account);
        let id = self.exchanges.begin(method, head, since, out);
        let side = self.side(direction);
        (side.current, side.body) = (Some(id), Some(body));
        self.begin_body(direction, framing, time, out);
    }

    /// A request begins, which settles what is left of the exchanges before it if something is missing.
    fn settle(&mut self, responses: Direction, time: Timestamp, out: &mut Vec<Event>) {
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

    fn response_head(
        &mut self,
        direction: Direction,
        time: Timestamp,
        len: usize,
        response: head::Response,
        lost: Option<Lost>,
        out: &mut Vec<Event>,
    ) {
        if let Some(lost) = lost {
            // The message before, if there was one, is over without having been read to its end.
            let side = self.side(direction);
            let same = side.same_message(lost);
            if let Some(id) = side.current.take() {
                self.exchanges.end(id, ExchangeEnd::Unreadable, time, out);
            }
            if !same || self.exchanges.unanswered() > 1 {
                self.exchanges.end_unanswered(ExchangeEnd::Unreadable, time, out);
            }
        } else if self.exchanges.unanswered() > 1 {
            self.pipelines = true;
        }
        let status = response.head.status;
        let side = self.side(direction);
        (side.current, side.body, side.state) = (None, None, State::Head);
        if (100..200).contains(&status) && status != 101 {
            return;
        }
        side.head_seen(len);
        let Some((id, method, declined)) = self.exchanges.answer() else {
            self.skip(len as u64);
            if status == 101 {
                self.stop = Some("upgrade");
            }
            self.begin_body(direction, response.framing(head::Method::Other), time, out);
            return;
        };
        let framing = response.framing(method);
        let tunnel = match (status, method) {
            (101, _) => {
                let websocket =
                    response.head.headers.get("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket"));
                Some(if websocket { "websocket" } else { "upgrade" })
            }
            (200..300, head::Method::Connect) => Some("tunnel"),
            _ => None,
        };
        let body =
            (!declined).then(|| BodyReader::new(&response.head.headers, false, &self.limits, &self.account));
        self.exchanges.emit(id, time, EventKind::ResponseHead(response.head), out);
        if tunnel.is_some() {
            self.stop = tunnel;
            self.exchanges.end(id, ExchangeEnd::Complete, time, out);
            return;
        }
        let side = self.side(direction);
        (side.current, side.body) = (Some(id), body);
        self.begin_body(direction, framing, time, out);
    }

    fn begin_body(&mut self, direction: Direction, framing: Framing, time: Timestamp, out: &mut Vec<Event>) {
        let over = framing.is_over();
        self.side(direction).state = State::Body(framing);
        if over {
            self.message_end(direction, time, out);
        }
    }

    fn body(&mut self, direction: Direction, time: Timestamp, data: Bytes, out: &mut Vec<Event>) {
        let request = self.is_requests(direction);
        let current = self.open(direction);
        match (current, &mut self.side(direction).body) {
            (Some(exchange), Some(body)) => body.data(data, &mut Sink { out, exchange, time, request }),
            // Declined: framed and nothing else.
            (Some(_), None) => {}
            (None, _) => self.skip(data.len() as u64),
        }
    }

    fn body_gap(
        &mut self,
        direction: Direction,
        time: Timestamp,
        len: Option<u64>,
        cut: bool,
        out: &mut Vec<Event>,
    ) {
        let request = self.is_requests(direction);
        let current = self.open(direction);
        if let (Some(exchange), Some(body)) = (current, &mut self.side(direction).body) {
            body.gap(len, cut, &mut Sink { out, exchange, time, request });
        }
    }

    fn message_end(&mut self, direction: Direction, time: Timestamp, out: &mut Vec<Event>) {
        let request = self.is_requests(direction);
        let current = self.open(direction);
        let side = self.side(direction);
        (side.current, side.state) = (None, State::Head);
        let body = side.body.take();
        let Some(exchange) = current else { return };
        if let Some(body) = body {
            body.end(&mut Sink { out, exchange, time, request });
        }
        if request {
            self.exchanges.request(exchange, Phase::Done);
            self.exchanges.emit(exchange, time, EventKind::RequestEnd, out);
        } else {
            self.exchanges.answered(exchange);
        }
        self.exchanges.finish(time, out);
    }
}
