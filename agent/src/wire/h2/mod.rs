//! HTTP/2 (RFC 9113): exchanges out of the frames of both directions.
//!
//! Frames name their stream, so what is missing never mixes exchanges up. What it takes away is told apart by where it
//! is: within the payload of a DATA frame, bytes of one body; within a header block, that head, and all fields that later
//! heads of the same direction refer to; over the border of a frame, anything of that direction. Fields whose
//! value isn't known are left out and the head says that it is partial.
//!
//! SETTINGS are not read. The one that matters here, the size of the dynamic table, the other side repeats in a
//! header block when it follows it (RFC 7541, section 4.2).

mod boundary;
mod frame;
mod head;
mod hpack;
mod reader;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::{
    head::Kind,
    hpack::{Decoder, Fields, Most},
    reader::{Block, Reader, Step},
    streams::{Phase, Streams},
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

pub(super) use frame::looks_like_frames;

/// A connection in which frames turned out to be none so often is given up.
const MALFORMED: u32 = 8;

/// One direction.
struct Side {
    reader: Reader,
    fields: Decoder,
}

/// A connection that speaks HTTP/2, or may.
pub(super) struct Http2 {
    limits: Limits,
    account: Arc<Account>,
    /// The direction of the requests, once it is known.
    requests: Option<Direction>,
    sent: Side,
    received: Side,
    streams: Streams,
    /// The highest stream that the client has opened.
    newest: u32,
    /// The captured process shut the session down.
    shutdown: bool,
    /// A head was seen.
    http: bool,
    /// Bytes skipped before the first head.
    skipped: u64,
    malformed: u32,
    /// Nothing more can be read, and why.
    stop: Option<&'static str>,
}

impl Http2 {
    /// A connection of which so many bytes were seen that made no sense.
    pub fn new(limits: Limits, account: Arc<Account>, skipped: u64) -> Self {
        let side = || Side { reader: Reader::new(limits.head_bytes), fields: Decoder::default() };
        Self {
            limits,
            streams: Streams::new(limits.streams, account.clone()),
            account,
            requests: None,
            sent: side(),
            received: side(),
            newest: 0,
            shutdown: false,
            http: false,
            skipped,
            malformed: 0,
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

    /// About how many bytes it holds.
    pub fn held(&self) -> usize {
        self.sent.reader.held() + self.received.reader.held()
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
            Piece::Bytes(mut bytes) => {
                while self.stop.is_none() {
                    let newest = self.newest;
                    match self.side(direction).reader.next(&mut bytes, time, newest) {
                        Step::More => break,
                        step => self.step(direction, time, step, false, out),
                    }
                }
            }
            Piece::Gap { len, reason } => {
                let cut = reason != GapReason::Lost;
                for step in self.side(direction).reader.gap(len) {
                    self.step(direction, time, step, cut, out);
                }
            }
        }
        if self.stop.is_some() {
            self.streams.end_after(0, ExchangeEnd::Unreadable, time, out);
        }
        self.stop
    }

    /// The caller does not want this exchange.
    pub fn decline(&mut self, id: ExchangeId) {
        self.streams.decline(id);
    }

    /// The connection is over, or the process writes no more; see [`super::Connection::close`].
    pub fn close(&mut self, time: Timestamp, reason: CloseReason, out: &mut Vec<Event>) {
        if reason == CloseReason::Shutdown {
            self.shutdown = true;
            if self.requests != Some(Direction::Received) {
                return;
            }
        }
        let end = match reason {
            CloseReason::FreedAfterFailedRead => ExchangeEnd::Closed,
            CloseReason::Shutdown | CloseReason::Freed => ExchangeEnd::ClosedLocally,
            CloseReason::ProcessExit if self.shutdown => ExchangeEnd::ClosedLocally,
            CloseReason::ProcessExit => ExchangeEnd::ProcessExit,
            CloseReason::CaptureEnd => ExchangeEnd::CaptureEnd,
        };
        let held = self.sent.reader.clear() + self.received.reader.clear();
        self.skip(held);
        self.streams.end_after(0, end, time, out);
    }

    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        }
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

    fn step(&mut self, direction: Direction, time: Timestamp, step: Step, cut: bool, out: &mut Vec<Event>) {
        let request = self.is_requests(direction);
        match step {
            Step::Data { stream, bytes } => self.data(direction, time, stream, bytes, out),
            Step::Missing { stream, len } => {
                if let Some(stream) = self.streams.get(stream) {
                    stream.heard(request);
                    stream.missing(request, len, cut, time, out);
                }
            }
            Step::End { stream } => self.end(direction, time, stream, out),
            Step::Block(block) => self.block(direction, time, block, out),
            Step::Reset { stream } => {
                let how = match direction {
                    Direction::Sent => ExchangeEnd::ClosedLocally,
                    Direction::Received => ExchangeEnd::ClosedRemotely,
                };
                self.streams.end(stream, how, time, out);
            }
            // A client's is about streams of the server, which are not read.
            Step::GoAway { last } if self.requests == Some(direction.opposite()) => {
                let how = match direction {
                    Direction::Sent => ExchangeEnd::ClosedLocally,
                    Direction::Received => ExchangeEnd::ClosedRemotely,
                };
                self.streams.end_after(last, how, time, out);
            }
            Step::GoAway { .. } | Step::More => {}
            Step::Lost => self.lost(direction, time, cut, out),
            Step::Malformed => {
                self.malformed += 1;
                self.skip(frame::HEAD as u64);
                if self.malformed > MALFORMED {
                    self.stop = Some("malformed HTTP/2");
                }
                self.lost(direction, time, false, out);
            }
            Step::Skipped(n) => self.skip(n),
        }
    }

    /// Anything of a direction may be missing.
    fn lost(&mut self, direction: Direction, time: Timestamp, cut: bool, out: &mut Vec<Event>) {
        self.side(direction).fields.forget();
        let Some(requests) = self.requests else { return };
        let request = requests == direction;
        let mut answered = Vec::new();
        for (number, stream) in self.streams.iter_mut() {
            let message = stream.message(request);
            if message.phase == Phase::Done || std::mem::replace(&mut message.unsure, true) {
                continue;
            }
            if request && stream.response.phase == Phase::Done {
                answered.push(*number);
            }
            stream.missing(request, None, cut, time, out);
        }
        for number in answered {
            self.streams.finish(number, time, out);
        }
    }

    fn data(
        &mut self,
        direction: Direction,
        time: Timestamp,
        number: u32,
        bytes: Bytes,
        out: &mut Vec<Event>,
    ) {
        let request = self.is_requests(direction);
        let Some(stream) = self.streams.get(number) else {
            // Of an exchange whose beginning was missed, or that is over.
            self.skip(bytes.len() as u64);
            return;
        };
        stream.heard(request);
        if stream.message(request).phase == Phase::Awaited {
            Self::headless(stream, time, out);
        }
        let (exchange, declined) = (stream.exchange, stream.declined);
        match &mut stream.message(request).body {
            Some(body) => body.data(bytes, &mut Sink { out, exchange, time, request }),
            // Framed and nothing else.
            None if declined => {}
            None => self.skip(bytes.len() as u64),
        }
    }

    /// A response has begun without a head that can be read.
    fn headless(stream: &mut streams::Stream, time: Timestamp, out: &mut Vec<Event>) {
        stream.response.phase = Phase::Open;
        if !std::mem::replace(&mut stream.response.headless, true) {
            let missing = super::Body::Missing(super::Missing { len: None, cut: false });
            stream.emit(time, EventKind::ResponseBody(missing), out);
        }
    }

    fn end(&mut self, direction: Direction, time: Timestamp, number: u32, out: &mut Vec<Event>) {
        let request = self.is_requests(direction);
        let Some(stream) = self.streams.get(number) else { return };
        stream.heard(request);
        if stream.message(request).phase == Phase::Awaited {
            Self::headless(stream, time, out);
        }
        stream.end(request, time, out);
        self.streams.finish(number, time, out);
    }

    fn block(&mut self, direction: Direction, time: Timestamp, block: Block, out: &mut Vec<Event>) {
        let most = Most { fields: self.limits.headers, bytes: self.limits.head_bytes };
        let side = self.side(direction);
        let fields = block.bytes.as_ref().and_then(|bytes| side.fields.decode(bytes, most).ok());
        if fields.is_none() {
            side.fields.forget();
        }
        // RFC 9113, section 5.1.1: streams that a client opens have odd numbers.
        if block.promised || block.stream.is_multiple_of(2) {
            return;
        }
        if self.requests.is_none() && self.side(direction).reader.is_client() {
            self.seen(direction);
        }
        match (fields.as_ref().map_or(Kind::Other, Fields::kind), self.requests) {
            (Kind::Request, None) => self.seen(direction),
            (Kind::Response, None) => self.seen(direction.opposite()),
            (Kind::Request, Some(requests)) if requests != direction => return,
            (Kind::Response, Some(requests)) if requests == direction => return,
            _ => {}
        }
        match self.requests {
            None => {}
            Some(requests) if requests == direction => self.request(time, block, fields, out),
            Some(_) => self.response(time, block, fields, out),
        }
    }

    /// A head was read.
    fn seen(&mut self, requests: Direction) {
        self.requests = Some(requests);
        self.http = true;
        if self.skipped > 0 || !self.side(requests).reader.is_whole() {
            self.account.add(Counter::ConnectionsLate, 1);
            self.account.add(Counter::BytesUnparsed, self.skipped);
        }
    }

    fn request(&mut self, time: Timestamp, block: Block, fields: Option<Fields>, out: &mut Vec<Event>) {
        let number = block.stream;
        if let Some(stream) = self.streams.get(number) {
            // Trailers.
            stream.heard(true);
            if block.ends_stream {
                stream.end(true, time, out);
                self.streams.finish(number, time, out);
            }
            return;
        }
        if number <= self.newest {
            return;
        }
        self.newest = number;
        // Trailers of a request that was missed, if not the request itself.
        let fields = fields.filter(|fields| fields.kind() == Kind::Request);
        let role = if self.is_requests(Direction::Sent) { Role::Client } else { Role::Server };
        let Some(head) = fields.map(|fields| fields.request(role)) else {
            self.account.add(Counter::HeadsUnknown, 1);
            return;
        };
        if head.path.is_empty() && &*head.method != "CONNECT" {
            self.account.add(Counter::HeadsUnknown, 1);
        }
        let body = BodyReader::new(&head.headers, true, head.partial, &self.limits, &self.account);
        let begun = self.streams.begin(number, head, body, block.since, out);
        if begun && block.ends_stream {
            self.end_of_request(number, time, out);
        }
    }

    fn end_of_request(&mut self, number: u32, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(stream) = self.streams.get(number) {
            stream.end(true, time, out);
        }
    }

    fn response(&mut self, time: Timestamp, block: Block, fields: Option<Fields>, out: &mut Vec<Event>) {
        let number = block.stream;
        let Some(stream) = self.streams.get(number) else { return };
        stream.heard(false);
        let begins = stream.response.phase == Phase::Awaited;
        let status = fields.as_ref().and_then(Fields::status);
        let mut trailers = None;
        match (fields, status) {
            // What comes before the final response (RFC 9110, section 15.2).
            (Some(_), Some(100..200)) if begins && !block.ends_stream => return,
            (Some(fields), Some(status)) if begins => {
                let head = fields.response(status);
                if !stream.declined {
                    let body =
                        BodyReader::new(&head.headers, false, head.partial, &self.limits, &self.account);
                    stream.response.body = Some(body);
                }
                stream.response.phase = Phase::Open;
                stream.emit(time, EventKind::ResponseHead(Box::new(head)), out);
                if stream.connect && (200..300).contains(&status) {
                    // What follows is no HTTP.
                    stream.emit(time, EventKind::End(ExchangeEnd::Complete), out);
                    stream.decline();
                }
            }
            // It may have been what comes before it.
            _ if begins && !block.ends_stream => {
                stream.response.unsure = true;
                self.account.add(Counter::HeadsUnknown, 1);
            }
            _ if begins => {
                Self::headless(stream, time, out);
                self.account.add(Counter::HeadsUnknown, 1);
            }
            (fields, _) => trailers = fields.map(|fields| fields.headers()),
        }
        if block.ends_stream
            && let Some(stream) = self.streams.get(number)
        {
            stream.end(false, time, out);
            if let Some(trailers) = trailers.filter(|trailers| !trailers.0.is_empty()) {
                stream.emit(time, EventKind::ResponseTrailers(Box::new(trailers)), out);
            }
            self.streams.finish(number, time, out);
        }
    }
}
