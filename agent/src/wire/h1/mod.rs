//! HTTP/1.x (RFC 9112): messages out of the two byte streams of a connection, and responses paired with requests.
//!
//! How the pairing survives losses is told in [`loss`].

mod early;
mod exchanges;
mod framing;
mod head;
mod loss;
mod side;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::{
    early::Early,
    exchanges::{Exchanges, Phase},
    framing::{Framing, Step, begins_with_chunk},
    head::{Collected, Expect, Refused},
    side::{Lost, Side, State},
};
use super::{
    Event, EventKind, ExchangeEnd, ExchangeId, Limits, RequestHead, Role,
    body::{BodyReader, Sink},
    websocket::WebSocket,
};
use crate::{
    account::{Account, Counter},
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
};

/// Why reading stops where the HTTP/2 connection preface was found.
pub(super) const HTTP2: &str = "http2";

/// A connection that speaks HTTP/1.x, or may.
pub(super) struct Http1 {
    limits: Limits,
    account: Arc<Account>,
    /// The direction of the requests, once it is known.
    requests: Option<Direction>,
    sent: Side,
    received: Side,
    exchanges: Exchanges,
    /// What came of a response before its request.
    early: Early,
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
    /// The last request, if it asks for a WebSocket.
    handshake: Option<Box<RequestHead>>,
    /// What the connection became.
    websocket: Option<Box<WebSocket>>,
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
            early: Early::default(),
            hidden: false,
            pipelines: false,
            shutdown: false,
            http: false,
            skipped: 0,
            missed: false,
            handshake: None,
            websocket: None,
            stop: None,
        }
    }

    /// A head was seen: this is HTTP.
    pub fn is_http(&self) -> bool {
        self.http
    }

    /// It is another protocol. How many bytes were seen of it?
    pub fn abandon(mut self) -> u64 {
        let held = self.sent.head.clear() + self.received.head.clear();
        self.skipped.saturating_add(held)
    }

    /// Something was captured, though it need not have made sense.
    pub fn saw_bytes(&self) -> bool {
        self.skipped > 0
    }

    /// About how many bytes it holds.
    pub fn held(&self) -> usize {
        let websocket = self.websocket.as_ref().map_or(0, |websocket| websocket.held());
        self.sent.held() + self.received.held() + self.early.held() + websocket
    }

    /// Takes the next piece; says why if the connection can't be read from here on.
    pub fn push(
        &mut self,
        direction: Direction,
        time: Timestamp,
        piece: Piece,
        out: &mut Vec<Event>,
    ) -> Option<&'static str> {
        if let Some(websocket) = &mut self.websocket {
            return websocket.push(direction, time, piece, out);
        }
        if self.is_early(direction, &piece) {
            match piece {
                Piece::Bytes(bytes) if self.early.hold(time, &bytes, self.limits.head_bytes) => return None,
                piece => {
                    self.settle_early(time, out);
                    self.piece(direction, time, piece, out);
                }
            }
        } else {
            // What was lost may be the request.
            if matches!(piece, Piece::Gap { .. }) || self.is_late(direction, time) {
                self.settle_early(time, out);
            }
            self.piece(direction, time, piece, out);
            let unknown = self.requests.is_none() && self.side(direction).head.is_empty();
            if self.exchanges.unanswered() > 0 || unknown {
                self.settle_early(time, out);
            }
        }
        if self.stop.is_some() {
            self.exchanges.end_all(ExchangeEnd::Unreadable, time, out);
        }
        self.stop
    }

    fn piece(&mut self, direction: Direction, time: Timestamp, piece: Piece, out: &mut Vec<Event>) {
        match piece {
            Piece::Bytes(bytes) => self.bytes(direction, time, bytes, out),
            Piece::Gap { len, reason } => self.gap(direction, time, len, reason != GapReason::Lost, out),
        }
    }

    /// The caller does not want this exchange.
    pub fn decline(&mut self, id: ExchangeId) {
        if let Some(websocket) = &mut self.websocket {
            websocket.decline(id);
        }
        self.exchanges.decline(id);
        for side in [&mut self.sent, &mut self.received] {
            if side.current == Some(id) {
                side.body = None;
            }
        }
    }

    /// The connection is over, or the process writes no more; see [`super::Connection::close`].
    pub fn close(&mut self, time: Timestamp, reason: CloseReason, out: &mut Vec<Event>) {
        if let Some(websocket) = &mut self.websocket {
            websocket.close(time, reason, out);
            return;
        }
        let server = self.requests == Some(Direction::Received);
        if reason == CloseReason::Shutdown {
            self.shutdown = true;
            if !server {
                return;
            }
        }
        let closed = match reason {
            CloseReason::Shutdown | CloseReason::Freed | CloseReason::FreedAfterFailedRead => true,
            CloseReason::ProcessExit => self.shutdown,
            CloseReason::CaptureEnd => false,
        };
        self.settle_early(time, out);
        let held = self.sent.head.clear() + self.received.head.clear();
        self.skip(held);
        let Some(requests) = self.requests else { return };
        let responses = requests.opposite();
        if closed && matches!(self.side(responses).state, State::Body(Framing::UntilClose)) {
            self.message_end(responses, time, out);
        }
        let end = match reason {
            _ if matches!(self.side(responses).state, State::Lost(_)) => ExchangeEnd::Unreadable,
            CloseReason::FreedAfterFailedRead => ExchangeEnd::Closed,
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
                    if let Some(websocket) = self.websocket.as_mut().filter(|_| !bytes.is_empty()) {
                        self.stop = websocket.push(direction, time, Piece::Bytes(bytes), out);
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
                    self.stop = Some(HTTP2);
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
        let body = BodyReader::new(&head.headers, true, false, &self.limits, &self.account);
        self.handshake = head.headers.upgrade_to_websocket().then(|| head.clone());
        let id = self.exchanges.begin(method, head, since, out);
        let side = self.side(direction);
        (side.current, side.body) = (Some(id), Some(body));
        self.begin_body(direction, framing, time, out);
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
                let websocket = response.head.headers.upgrade_to_websocket();
                if let Some(handshake) = self.handshake.take()
                    && websocket
                    && !declined
                    && self.exchanges.last() == Some(id)
                {
                    let (limits, account) = (&self.limits, &self.account);
                    self.websocket =
                        WebSocket::open(id, *handshake, &response.head, limits, account).map(Box::new);
                }
                Some(if websocket { "websocket" } else { "upgrade" })
            }
            (200..300, head::Method::Connect) => Some("tunnel"),
            _ => None,
        };
        let body = (!declined)
            .then(|| BodyReader::new(&response.head.headers, false, false, &self.limits, &self.account));
        self.exchanges.emit(id, time, EventKind::ResponseHead(response.head), out);
        if tunnel.is_some() {
            if self.websocket.is_none() {
                self.stop = tunnel;
            }
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
