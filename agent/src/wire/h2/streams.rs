//! The streams of a connection that carry exchanges which are not over (RFC 9113, section 5.1).

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use crate::{
    account::{Account, Counter},
    time::Timestamp,
    wire::{
        Event, EventKind, ExchangeEnd, ExchangeId, RequestHead,
        body::{BodyReader, Sink},
    },
};

/// After a loss an exchange of which nothing more is heard is given up when so many others have begun. Its end was in
/// what is missing, or it waits for a very slow answer.
const FOLLOWERS: u32 = 16;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not begun.
    Awaited,
    /// It has begun.
    Open,
    /// It is complete.
    Done,
}

/// A request, or a response.
pub(super) struct Message {
    pub phase: Phase,
    /// Its body, if anybody wants it and it can be read.
    pub body: Option<BodyReader>,
    /// Bytes of this direction were missed since it was last heard of: it may have begun, or be over.
    pub unsure: bool,
    /// Its head was missed, and so it can't be read.
    pub headless: bool,
}

impl Message {
    fn new(phase: Phase, body: Option<BodyReader>) -> Self {
        Self { phase, body, unsure: false, headless: false }
    }
}

/// An exchange.
pub(super) struct Stream {
    pub exchange: ExchangeId,
    pub declined: bool,
    /// It asks for a tunnel (RFC 9113, section 8.5; RFC 8441).
    pub connect: bool,
    pub request: Message,
    pub response: Message,
    /// Exchanges that have begun since nothing is sure of the response.
    followers: u32,
    /// Bytes that its bodies hold, as they were weighed last.
    held: usize,
}

impl Stream {
    pub fn message(&mut self, request: bool) -> &mut Message {
        if request { &mut self.request } else { &mut self.response }
    }

    /// Emits an event of it, unless it is declined.
    pub fn emit(&self, time: Timestamp, kind: EventKind, out: &mut Vec<Event>) {
        if !self.declined {
            out.push(Event { exchange: self.exchange, time, kind });
        }
    }

    /// Nothing more of it is wanted.
    pub fn decline(&mut self) {
        self.declined = true;
        self.request.body = None;
        self.response.body = None;
    }

    /// Bytes of a body are missing; `None` if it isn't known how many, or whether.
    pub fn missing(
        &mut self,
        request: bool,
        len: Option<u64>,
        cut: bool,
        time: Timestamp,
        out: &mut Vec<Event>,
    ) {
        let exchange = self.exchange;
        if let Some(body) = &mut self.message(request).body {
            body.gap(len, cut, &mut Sink { out, exchange, time, request });
        }
    }

    /// Something of this message was heard, so it was not over.
    pub fn heard(&mut self, request: bool) {
        self.message(request).unsure = false;
        if !request {
            self.followers = 0;
        }
    }

    /// A message is complete.
    pub fn end(&mut self, request: bool, time: Timestamp, out: &mut Vec<Event>) {
        let exchange = self.exchange;
        let message = self.message(request);
        message.phase = Phase::Done;
        if let Some(body) = message.body.take() {
            body.end(&mut Sink { out, exchange, time, request });
        }
        if request {
            self.emit(time, EventKind::RequestEnd, out);
        }
    }

    fn weigh(&self) -> usize {
        [&self.request, &self.response]
            .into_iter()
            .filter_map(|m| m.body.as_ref())
            .map(BodyReader::held)
            .sum()
    }

    /// How it ends, if nothing more comes of it.
    fn ending(&self, how: ExchangeEnd) -> ExchangeEnd {
        match self.response {
            Message { headless: true, .. } => ExchangeEnd::Unreadable,
            Message { phase: Phase::Done, .. } => ExchangeEnd::Complete,
            Message { unsure: true, .. } => ExchangeEnd::Unreadable,
            _ => how,
        }
    }
}

/// All of them, by the number of their stream.
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    most: usize,
    next: u64,
    /// Bytes that the bodies of all streams hold.
    held: usize,
    account: Arc<Account>,
}

impl Streams {
    pub fn new(most: usize, account: Arc<Account>) -> Self {
        Self { open: BTreeMap::new(), most, next: 0, held: 0, account }
    }

    /// About how many bytes all bodies hold.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Something came of this stream: what it holds may have changed.
    pub fn weigh(&mut self, stream: u32) {
        if let Some(stream) = self.open.get_mut(&stream) {
            let held = stream.weigh();
            self.held = self.held - stream.held + held;
            stream.held = held;
        }
    }

    /// The same of all.
    pub fn weigh_all(&mut self) {
        self.held = 0;
        for stream in self.open.values_mut() {
            stream.held = stream.weigh();
            self.held += stream.held;
        }
    }

    pub fn get(&mut self, stream: u32) -> Option<&mut Stream> {
        self.open.get_mut(&stream)
    }

    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, u32, Stream> {
        self.open.iter_mut()
    }

    /// Begins an exchange with the head of its request; false if there are too many.
    pub fn begin(
        &mut self,
        stream: u32,
        head: RequestHead,
        body: BodyReader,
        time: Timestamp,
        out: &mut Vec<Event>,
    ) -> bool {
        self.give_up(time, out);
        if self.open.len() >= self.most {
            self.account.add(Counter::ExchangesRefused, 1);
            return false;
        }
        let exchange = ExchangeId(self.next);
        self.next += 1;
        let connect = &*head.method == "CONNECT";
        let (request, response) = (Message::new(Phase::Open, Some(body)), Message::new(Phase::Awaited, None));
        let begun = Stream { exchange, declined: false, connect, request, response, followers: 0, held: 0 };
        self.open.insert(stream, begun);
        self.account.add(Counter::Exchanges, 1);
        out.push(Event { exchange, time, kind: EventKind::RequestHead(Box::new(head)) });
        true
    }

    /// Another exchange begins: those that were probably over long ago are.
    fn give_up(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        let full = self.open.len() >= self.most;
        self.open.retain(|_, stream| {
            if !stream.response.unsure || stream.response.phase == Phase::Done {
                return true;
            }
            stream.followers += 1;
            let over = full || stream.followers > FOLLOWERS;
            if over {
                self.held -= stream.held;
                stream.emit(time, EventKind::End(ExchangeEnd::Unreadable), out);
            }
            !over
        });
    }

    pub fn decline(&mut self, exchange: ExchangeId) {
        if let Some(stream) = self.open.values_mut().find(|stream| stream.exchange == exchange) {
            stream.decline();
            self.held -= std::mem::take(&mut stream.held);
        }
    }

    /// Ends an exchange whose response is complete. One that came before the end of its request waits for that, so that
    /// what is said about the request is whole.
    pub fn finish(&mut self, stream: u32, time: Timestamp, out: &mut Vec<Event>) {
        if self.open.get(&stream).is_some_and(|s| {
            s.response.phase == Phase::Done && (s.request.phase == Phase::Done || s.request.unsure)
        }) {
            self.end(stream, ExchangeEnd::Complete, time, out);
        }
    }

    /// Ends an exchange: `how`, or complete if its response is.
    pub fn end(&mut self, stream: u32, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(stream) = self.open.remove(&stream) {
            self.held -= stream.held;
            stream.emit(time, EventKind::End(stream.ending(how)), out);
        }
    }

    /// Ends the exchanges of all streams after this one.
    pub fn end_after(&mut self, last: u32, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        for stream in self.open.split_off(&last.saturating_add(1)).into_values() {
            self.held -= stream.held;
            stream.emit(time, EventKind::End(stream.ending(how)), out);
        }
    }
}
