//! The one place that knows all rooms: records in, spans out.
//!
//! `probe/` and `capture/` make [`Record`]s; from there data walks through [`Pipeline`] (stream, wire,
//! genai) and [`Spans`] (resource, contract) to the exporters. A replay enters at the same place with records
//! that it made itself.

mod causes;
mod spans;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;

use self::causes::Causes;
pub use self::spans::{Ids, Spans, resource_attributes};
use self::waiting::Waiting;
use crate::{
    account::{Account, Counter},
    capture::{CloseReason, ConnectionId, ConnectionMap, Process, Record, Verdict},
    contract::{Link, SessionId, SpanIds},
    genai::{self, Call, CallBuilder, Party, Recognition, Recognizer},
    resource,
    stream::{self, Piece, Segment, StreamEvent, Streams},
    time::Timestamp,
    wire::{self, Event, EventKind, ExchangeId, Interest, RequestHead, Role, Version},
};

/// What all connections may hold of messages that are not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Bytes of one connection.
    pub connection: usize,
    /// Bytes of all together.
    pub total: usize,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { connection: 64 << 20, total: 256 << 20 }
    }
}

/// Limits of all rooms.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of `stream/`.
    pub stream: stream::Limits,
    /// Of `wire/`, a connection.
    pub wire: wire::Limits,
    /// Of `wire/`, what is held.
    pub buffers: Buffers,
    /// Of `genai/`, a call and all calls.
    pub genai: genai::Limits,
    /// Of `resource/`.
    pub resource: resource::Limits,
}

/// A call that is over, and who made it.
#[derive(Debug)]
pub struct Finished {
    /// The call.
    pub call: Call,
    /// The process.
    pub process: Process,
    /// Ids of its span.
    pub ids: SpanIds,
    /// The call that the process served by making this one.
    pub cause: Option<Link>,
    /// The session that the call was made in.
    pub session: Option<SessionId>,
}

/// What came of records.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Calls that are over.
    pub calls: Vec<Finished>,
    /// What the kernel is to be told.
    pub verdicts: Vec<(ConnectionId, Verdict)>,
}

/// A connection on its way through the rooms.
struct Connection {
    wire: wire::Connection,
    process: Process,
    calls: Vec<Open>,
    /// Bytes that `wire` holds.
    held: usize,
    /// The session that it was upgraded to.
    session: Option<SessionId>,
    /// It has carried a call: all of it is captured from then on.
    carries_calls: bool,
    /// The kernel was told to leave out all but heads.
    heads_only: bool,
    strangers: Strangers,
}

/// A call that is not over.
struct Open {
    exchange: ExchangeId,
    builder: Box<CallBuilder>,
    /// Ids of its span; taken by the first one of an exchange that carries several calls.
    ids: Option<SpanIds>,
    cause: Option<Link>,
    session: Option<SessionId>,
    /// The process that serves it, if others can be linked to it.
    server: Option<u32>,
}

impl Open {
    /// A call that the exchange told. Its ids are those of the first that the client of the exchange asks.
    fn finish(&mut self, call: Call, process: Process, ids: &mut Ids) -> Finished {
        let is_asked = call.mcp.as_ref().is_none_or(|mcp| mcp.sender == Party::Client);
        let own = if is_asked { self.ids.take() } else { None };
        let cause = self.cause.filter(|_| is_asked);
        Finished { call, process, ids: own.unwrap_or_else(|| ids.fresh()), cause, session: self.session }
    }
}

/// What was seen of an HTTP/2 connection since it began, none of it LLM traffic. Its heads look like nothing that the
/// kernel could tell from the rest, so there is no halfway: it is captured until it has had its chance, and ignored
/// from then on.
#[derive(Default)]
struct Strangers {
    requests: u32,
    bytes: u64,
    /// A request was seen that is, or may be, to an LLM provider.
    welcome: bool,
}

impl Strangers {
    /// Requests that are enough: programs ask a server for its health or its version first.
    const REQUESTS: u32 = 8;
    /// Bytes that are enough: more than heads and small answers are.
    const BYTES: u64 = 256 * 1024;
    /// The same while the heads could not be read, since the connection was joined late.
    const BYTES_UNREAD: u64 = 4 << 20;

    fn request(&mut self, head: &RequestHead, recognition: &Recognition) {
        match recognition {
            // Whom and what it asks isn't known.
            Recognition::NotLlm if head.partial && (head.path.is_empty() || head.authority.is_none()) => {}
            // Its answer tells what it is.
            Recognition::Call(_) if head.partial && head.path.is_empty() => {}
            Recognition::NotLlm => self.requests += 1,
            _ => self.welcome = true,
        }
    }

    fn are_enough(&self) -> bool {
        let most = if self.requests > 0 { Self::BYTES } else { Self::BYTES_UNREAD };
        !self.welcome && (self.requests >= Self::REQUESTS || self.bytes > most)
    }
}

/// What connections have in common.
struct Shared {
    recognizer: Recognizer,
    causes: Causes,
    waiting: Waiting,
    ids: Ids,
}

/// `stream/`, `wire/` and `genai/`, for all connections.
pub struct Pipeline {
    streams: Streams,
    connections: ConnectionMap<Connection>,
    shared: Shared,
    wire_limits: wire::Limits,
    buffers: Buffers,
    /// Bytes that all connections hold.
    held: usize,
    account: Arc<Account>,
    // Kept from record to record, for their room.
    stream_events: Vec<StreamEvent>,
    wire_events: Vec<Event>,
}

impl Pipeline {
    /// A pipeline that has seen nothing; `ids` are those of the spans to come.
    pub fn new(limits: &Limits, ids: Ids, account: Arc<Account>) -> Self {
        let recognizer = Recognizer::new(limits.genai, Arc::clone(&account));
        Self {
            streams: Streams::new(limits.stream, Arc::clone(&account)),
            connections: ConnectionMap::default(),
            shared: Shared { recognizer, causes: Causes::default(), waiting: Waiting::default(), ids },
            wire_limits: limits.wire,
            buffers: limits.buffers,
            held: 0,
            account,
            stream_events: Vec::new(),
            wire_events: Vec::new(),
        }
    }

    /// The same with these rules of which requests are calls.
    pub fn with_rules(mut self, rules: Vec<genai::Rule>) -> Self {
        self.set_rules(rules);
        self
    }

    /// The same, with or without digests of the binary content of messages: only who exports content needs them.
    pub fn with_digests(mut self, wanted: bool) -> Self {
        self.set_digests(wanted);
        self
    }

    /// From now on these rules hold; calls that have begun go on as they are.
    pub fn set_rules(&mut self, rules: Vec<genai::Rule>) {
        self.shared.recognizer.set_rules(rules);
    }

    /// From now on calls have digests, or not.
    pub fn set_digests(&mut self, wanted: bool) {
        self.shared.recognizer.set_digests(wanted);
    }

    /// The same, which looks there for what requests say of whom and what they are for.
    pub fn with_sources(mut self, sources: genai::Sources) -> Self {
        self.set_sources(sources);
        self
    }

    /// From now on it is looked there.
    pub fn set_sources(&mut self, sources: genai::Sources) {
        self.shared.recognizer.set_sources(sources);
    }

    /// Takes the next record.
    pub fn record(&mut self, record: Record, outcome: &mut Outcome) {
        let mut events = std::mem::take(&mut self.stream_events);
        match record {
            Record::Data(data) => self.streams.data(data, &mut events),
            Record::Close(close) => self.streams.close(close, &mut events),
            Record::Exec { .. } | Record::Fork { .. } | Record::Exit { .. } => {}
        }
        for event in events.drain(..) {
            self.stream_event(event, outcome);
        }
        self.stream_events = events;
    }

    /// Nothing more will come: every open call is reported as it stands.
    pub fn finish(&mut self, time: Timestamp, outcome: &mut Outcome) {
        let mut events = Vec::new();
        self.streams.close_all(time, &mut events);
        for event in events {
            self.stream_event(event, outcome);
        }
        self.shared.waiting.finish(time, &mut outcome.calls);
    }

    /// Forgets the connections of a process, with the calls that are in flight on them.
    pub fn leave_out(&mut self, pid: u32) {
        for (id, connection) in self.connections.extract_if(|_, connection| connection.process.pid == pid) {
            self.held -= connection.held;
            for open in connection.calls {
                if let Some(server) = open.server {
                    self.shared.causes.end(server, id, open.exchange);
                }
            }
        }
    }

    /// How many calls are in flight.
    pub fn open_calls(&self) -> usize {
        self.connections.values().map(|c| c.calls.len()).sum()
    }

    /// Bytes of messages that are not whole.
    pub fn held(&self) -> usize {
        self.held
    }

    fn stream_event(&mut self, event: StreamEvent, outcome: &mut Outcome) {
        let mut events = std::mem::take(&mut self.wire_events);
        match event {
            StreamEvent::Segment(segment) => {
                let Segment { connection: id, process, direction, time, piece } = segment;
                let connection = self.connections.entry(id).or_insert_with(|| Connection {
                    wire: wire::Connection::new(self.wire_limits, Arc::clone(&self.account)),
                    process,
                    calls: Vec::new(),
                    held: 0,
                    session: None,
                    carries_calls: false,
                    heads_only: false,
                    strangers: Strangers::default(),
                });
                connection.process = process;
                if let Piece::Bytes(bytes) = &piece {
                    connection.strangers.bytes += bytes.len() as u64;
                }
                connection.wire.push(direction, time, piece, &mut events);
                connection.take(&mut events, &mut self.shared, id, outcome);
                let held = connection.weigh(&mut self.held);
                if held > self.buffers.connection {
                    self.give_up(id, time, &mut events, outcome);
                }
                if self.held > self.buffers.total {
                    self.make_room(time, &mut events, outcome);
                }
            }
            StreamEvent::Close { connection: id, time, reason } => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.wire.close(time, reason, &mut events);
                    connection.take(&mut events, &mut self.shared, id, outcome);
                    if reason != CloseReason::Shutdown {
                        self.held -= connection.held;
                        self.connections.remove(&id);
                    }
                }
            }
        }
        events.clear();
        self.wire_events = events;
    }

    /// Gives up connections until there is room again for a while: first those that carry no calls, then those
    /// that hold most.
    fn make_room(&mut self, time: Timestamp, events: &mut Vec<Event>, outcome: &mut Outcome) {
        let mut holders: Vec<(bool, usize, ConnectionId)> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.held > 0)
            .map(|(id, connection)| (connection.calls.is_empty(), connection.held, *id))
            .collect();
        holders.sort_unstable();
        while self.held > self.buffers.total - self.buffers.total / 8
            && let Some((_, _, id)) = holders.pop()
        {
            self.give_up(id, time, events, outcome);
        }
    }

    /// Ends the calls of a connection, and reads no more of it.
    fn give_up(&mut self, id: ConnectionId, time: Timestamp, events: &mut Vec<Event>, outcome: &mut Outcome) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        self.account.add(Counter::ConnectionsGivenUp, 1);
        connection.wire.close(time, CloseReason::CaptureEnd, events);
        connection.wire.leave();
        connection.take(events, &mut self.shared, id, outcome);
        connection.weigh(&mut self.held);
    }
}

impl Connection {
    /// Brings `total` up to date with what the connection holds.
    fn weigh(&mut self, total: &mut usize) -> usize {
        let held = self.wire.held();
        *total = *total - self.held + held;
        self.held = held;
        held
    }

    fn take(
        &mut self,
        events: &mut Vec<Event>,
        shared: &mut Shared,
        id: ConnectionId,
        outcome: &mut Outcome,
    ) {
        for event in events.drain(..) {
            let exchange = event.exchange;
            if let EventKind::RequestHead(head) = &event.kind {
                let http2 = head.version == Version::Http2;
                let recognition = shared.recognizer.recognize(head);
                if http2 {
                    self.strangers.request(head, &recognition);
                }
                let wanted = match recognition {
                    Recognition::Call(builder) => {
                        let served = head.role == Role::Server;
                        self.open(event, builder, served, shared, id);
                        true
                    }
                    Recognition::Session => {
                        self.session = Some(SessionId(shared.ids.fresh().span_id));
                        true
                    }
                    Recognition::NotLlm | Recognition::NotInference(_) | Recognition::Unread(_) => false,
                };
                if wanted {
                    self.carries_calls |= self.session.is_some();
                    // The kernel may have missed the head, for one that came behind another in the same bytes.
                    if std::mem::take(&mut self.heads_only) {
                        outcome.verdicts.push((id, Verdict::Capture));
                    }
                } else {
                    self.decline(exchange, id, outcome);
                }
                continue;
            }
            let Some(at) = self.calls.iter().position(|open| open.exchange == exchange) else { continue };
            let over = matches!(event.kind, EventKind::End(_));
            let open = &mut self.calls[at];
            for told in open.builder.event(event) {
                (self.strangers.welcome, self.carries_calls) = (true, true);
                let finish = |call| open.finish(call, self.process, &mut shared.ids);
                shared.waiting.take(told, finish, self.process.pid, outcome);
            }
            let gives_up = !over && self.calls[at].builder.gives_up();
            if over || gives_up {
                if let Some(pid) = self.calls.swap_remove(at).server {
                    shared.causes.end(pid, id, exchange);
                }
                if gives_up {
                    self.decline(exchange, id, outcome);
                }
            }
        }
        if self.wire.is_http2() && self.strangers.are_enough() {
            self.wire.leave();
        }
        if matches!(self.wire.interest(), Interest::Unread(_)) {
            outcome.verdicts.push((id, Verdict::Ignore));
        }
    }

    /// This exchange is no call. Nor is what comes next, for all that is known of a connection that has carried none.
    fn decline(&mut self, exchange: ExchangeId, id: ConnectionId, outcome: &mut Outcome) {
        self.wire.decline(exchange);
        if !self.carries_calls && self.calls.is_empty() && !self.wire.is_http2() {
            self.heads_only = true;
            outcome.verdicts.push((id, Verdict::Heads));
        }
    }

    /// A call begins with this head.
    fn open(
        &mut self,
        head: Event,
        mut builder: Box<CallBuilder>,
        served: bool,
        shared: &mut Shared,
        id: ConnectionId,
    ) {
        let exchange = head.exchange;
        // Without its path it may turn out to be no call, which nothing can be linked to; and a GET asks nothing: it opens a
        // stream of what the server has to say.
        let EventKind::RequestHead(request) = &head.kind else { return };
        let named = !request.path.is_empty() && (&*request.method != "GET" || request.session.is_some());
        let session = self.session.filter(|_| request.session.is_some());
        builder.event(head);
        let mut ids = shared.ids.fresh();
        let trace = builder.trace_id();
        ids.trace_id = trace.unwrap_or(ids.trace_id);
        let cause = if served { None } else { shared.causes.of(self.process, trace) };
        let linked = (served && named).then_some(self.process.pid);
        if linked.is_some() {
            shared.causes.begin(self.process, id, exchange, ids, trace.is_some());
        }
        self.calls.push(Open { exchange, builder, ids: Some(ids), cause, session, server: linked });
    }
}

impl Counter {
    /// The verdict of the table at the end: does this counter tell of something that was lost?
    pub fn is_loss(self) -> bool {
        matches!(
            self,
            Self::BytesLostRing
                | Self::BytesLostCap
                | Self::BytesLostFault
                | Self::TableFull
                | Self::KeysUnlinked
                | Self::EventsLost
                | Self::ConnectionsEvicted
                | Self::ConnectionsGivenUp
                | Self::SpansUnwritten
                | Self::SpansUnwritable
                | Self::SpansLostSize
                | Self::SpansLostAge
                | Self::SpansUnreadable
                | Self::JournalsDamaged
                | Self::SpansFailed
                | Self::SpansDropped
        )
    }
}
