//! The one place that knows all rooms: records in, spans out.
//!
//! `probe/` and `capture/` make [`Record`]s; from there data walks through [`Pipeline`] (stream, wire,
//! genai) and [`Spans`] (resource, contract) to the exporters. A replay enters at the same place with records
//! that it made itself.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::{
    account::{Account, Counter},
    capture::{ConnectionId, ConnectionMap, Process, Record, Verdict},
    contract::{self, Delivery, Resource, SpanIds},
    genai::{self, Call, CallBuilder, Recognition, Recognizer},
    resource::{self, ProcessInfo, Processes},
    stream::{self, Piece, Segment, StreamEvent, Streams},
    time::Timestamp,
    wire::{self, Event, EventKind, ExchangeId, Interest, RequestHead, Version},
};

/// Limits of all rooms.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of `stream/`.
    pub stream: stream::Limits,
    /// Of `wire/`, a connection.
    pub wire: wire::Limits,
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
    calls: Vec<(ExchangeId, Box<CallBuilder>)>,
    /// It has carried a call: all of it is captured from then on.
    carries_calls: bool,
    /// The kernel was told to leave out all but heads.
    heads_only: bool,
    strangers: Strangers,
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
            Recognition::NotLlm => self.requests += 1,
            _ => self.welcome = true,
        }
    }

    fn are_enough(&self) -> bool {
        let most = if self.requests > 0 { Self::BYTES } else { Self::BYTES_UNREAD };
        !self.welcome && (self.requests >= Self::REQUESTS || self.bytes > most)
    }
}

/// `stream/`, `wire/` and `genai/`, for all connections.
pub struct Pipeline {
    streams: Streams,
    connections: ConnectionMap<Connection>,
    recognizer: Recognizer,
    wire_limits: wire::Limits,
    account: Arc<Account>,
    // Kept from record to record, for their room.
    stream_events: Vec<StreamEvent>,
    wire_events: Vec<Event>,
}

impl Pipeline {
    /// A pipeline that has seen nothing.
    pub fn new(limits: &Limits, account: Arc<Account>) -> Self {
        Self {
            streams: Streams::new(limits.stream, Arc::clone(&account)),
            connections: ConnectionMap::default(),
            recognizer: Recognizer::new(limits.genai, Arc::clone(&account)),
            wire_limits: limits.wire,
            account,
            stream_events: Vec::new(),
            wire_events: Vec::new(),
        }
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
    }

    /// How many calls are in flight.
    pub fn open_calls(&self) -> usize {
        self.connections.values().map(|c| c.calls.len()).sum()
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
                    carries_calls: false,
                    heads_only: false,
                    strangers: Strangers::default(),
                });
                connection.process = process;
                if let Piece::Bytes(bytes) = &piece {
                    connection.strangers.bytes += bytes.len() as u64;
                }
                connection.wire.push(direction, time, piece, &mut events);
                connection.take(&mut events, &self.recognizer, id, outcome);
            }
            StreamEvent::Close { connection: id, time, reason } => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.wire.close(time, reason, &mut events);
                    connection.take(&mut events, &self.recognizer, id, outcome);
                    if reason != crate::capture::CloseReason::Shutdown {
                        self.connections.remove(&id);
                    }
                }
            }
        }
        events.clear();
        self.wire_events = events;
    }
}

impl Connection {
    fn take(
        &mut self,
        events: &mut Vec<Event>,
        recognizer: &Recognizer,
        id: ConnectionId,
        outcome: &mut Outcome,
    ) {
        for event in events.drain(..) {
            let exchange = event.exchange;
            if let EventKind::RequestHead(head) = &event.kind {
                let http2 = head.version == Version::Http2;
                let recognition = recognizer.recognize(head);
                if http2 {
                    self.strangers.request(head, &recognition);
                }
                let wanted = match recognition {
                    Recognition::Call(mut builder) => {
                        builder.event(event);
                        self.calls.push((exchange, builder));
                        true
                    }
                    Recognition::Session => true,
                    Recognition::NotLlm | Recognition::NotInference(_) | Recognition::Unread(_) => false,
                };
                if wanted {
                    self.carries_calls = true;
                    // The kernel may have missed the head, for one that came behind another in the same bytes.
                    if std::mem::take(&mut self.heads_only) {
                        outcome.verdicts.push((id, Verdict::Capture));
                    }
                } else {
                    self.wire.decline(exchange);
                    if !self.carries_calls && !http2 {
                        self.heads_only = true;
                        outcome.verdicts.push((id, Verdict::Heads));
                    }
                }
                continue;
            }
            let Some(at) = self.calls.iter().position(|(e, _)| *e == exchange) else { continue };
            let over = matches!(event.kind, EventKind::End(_));
            if let Some(call) = self.calls[at].1.event(event) {
                outcome.calls.push(Finished { call, process: self.process });
            }
            if over {
                self.calls.swap_remove(at);
            }
        }
        if self.wire.is_http2() && self.strangers.are_enough() {
            self.wire.leave();
        }
        if matches!(self.wire.interest(), Interest::Unread(_)) {
            outcome.verdicts.push((id, Verdict::Ignore));
        }
    }
}

/// Where the ids of new spans come from.
#[derive(Debug)]
pub enum Ids {
    /// Random ones.
    Random(RandomIdGenerator),
    /// The same in every run, for a replay.
    Counted(u64),
}

impl Ids {
    /// Ids for the next span.
    pub fn fresh(&mut self) -> SpanIds {
        match self {
            Self::Random(random) => SpanIds {
                trace_id: random.new_trace_id().to_bytes(),
                span_id: random.new_span_id().to_bytes(),
            },
            Self::Counted(n) => {
                *n += 1;
                SpanIds { trace_id: u128::from(*n).to_be_bytes(), span_id: n.to_be_bytes() }
            }
        }
    }
}

/// `resource/` and `contract/`: calls become spans under the resource of their process.
pub struct Spans {
    processes: Processes,
    resources: HashMap<u32, (Arc<ProcessInfo>, Arc<Resource>)>,
    nobody: Arc<Resource>,
    /// The last process of which nothing could be learnt, so that it is not looked up with every record.
    absent: Option<u32>,
    options: contract::Options,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    extra: Vec<(String, String)>,
    ids: Ids,
    account: Arc<Account>,
}

impl Spans {
    /// Spans with attributes of `extra` on every resource.
    pub fn new(
        processes: Processes,
        options: contract::Options,
        extra: Vec<(String, String)>,
        ids: Ids,
        account: Arc<Account>,
    ) -> Self {
        let nobody = Arc::new(contract::resource(&ProcessInfo::default(), &extra, options.content));
        Self { processes, resources: HashMap::new(), nobody, absent: None, options, extra, ids, account }
    }

    /// Learns of a process while it lives. Called for every record before the pipeline sees it; cheap for a
    /// process that is known.
    pub fn record(&mut self, record: &Record) {
        match record {
            Record::Data(data) => {
                let pid = data.process.pid;
                if self.absent != Some(pid) && !self.processes.knows(pid) && self.processes.get(pid).is_none()
                {
                    self.absent = Some(pid);
                }
            }
            Record::Exec { pid, program, .. } => {
                self.absent = None;
                self.processes.exec(*pid, program);
            }
            Record::Fork { pid, parent, .. } => {
                self.absent = None;
                self.processes.fork(*pid, *parent);
            }
            Record::Exit { pid, .. } => self.processes.exit(*pid),
            Record::Close(_) => {}
        }
    }

    /// Sets what `plainspan.replay.source` says of the spans to come.
    pub fn set_source(&mut self, source: Option<String>) {
        self.options.capture_source = source;
    }

    /// The span of a call, under its resource.
    pub fn deliver(&mut self, finished: &Finished) -> Delivery {
        let span = contract::build(&finished.call, self.ids.fresh(), &self.options, &self.account);
        Delivery { span, resource: self.resource(finished.process.pid) }
    }

    fn resource(&mut self, pid: u32) -> Arc<Resource> {
        let Some(info) = self.processes.get(pid) else {
            return if pid == 0 {
                Arc::clone(&self.nobody)
            } else {
                // It was gone before anything but its id could be learnt.
                let info = ProcessInfo { pid, ..ProcessInfo::default() };
                Arc::new(contract::resource(&info, &self.extra, self.options.content))
            };
        };
        if let Some((known, resource)) = self.resources.get(&pid)
            && Arc::ptr_eq(known, &info)
        {
            return Arc::clone(resource);
        }
        if self.resources.len() >= 2 * self.processes.len().max(512) {
            self.resources.clear();
        }
        let resource = Arc::new(contract::resource(&info, &self.extra, self.options.content));
        self.resources.insert(pid, (info, Arc::clone(&resource)));
        resource
    }
}

/// `key=value,key=value` with percent-encoded values, as `OTEL_RESOURCE_ATTRIBUTES` has them (OpenTelemetry
/// resource SDK specification, which follows W3C Baggage).
///
/// # Errors
/// The entry that is no `key=value`.
pub fn resource_attributes(text: &str) -> Result<Vec<(String, String)>, String> {
    text.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), percent_decode(value.trim())))
            }
            _ => Err(entry.to_owned()),
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
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
                | Self::SpansFailed
                | Self::SpansDropped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_attributes_of_the_environment() {
        let parsed = resource_attributes("service.name=my%20app, deployment.environment = prod ,,k=%zz");
        assert_eq!(
            parsed,
            Ok(vec![
                ("service.name".into(), "my app".into()),
                ("deployment.environment".into(), "prod".into()),
                ("k".into(), "%zz".into()),
            ])
        );
        assert_eq!(resource_attributes("a=1,b"), Err("b".into()));
        assert_eq!(resource_attributes("=1"), Err("=1".into()));
    }

    /// Both requests are in one piece, so the kernel sees the head of the first one only.
    #[test]
    fn a_call_behind_another_request_is_captured_again() {
        let mut pipeline = Pipeline::new(&Limits::default(), Arc::default());
        let mut outcome = Outcome::default();
        let data = |bytes: &'static [u8]| {
            Record::Data(crate::capture::Data {
                connection: ConnectionId(1),
                process: Process { pid: 1, tid: 1 },
                direction: crate::capture::Direction::Sent,
                time: Timestamp(1),
                offset: 0,
                skipped: 0,
                call_len: bytes.len() as u32,
                epoch: 0,
                cut: false,
                bytes: bytes::Bytes::from_static(bytes),
            })
        };
        let both = b"GET /favicon.ico HTTP/1.1\r\nHost: api.openai.com\r\n\r\n\
            POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 100\r\n\
            Content-Type: application/json\r\n\r\n{";
        pipeline.record(data(both), &mut outcome);
        assert_eq!(pipeline.open_calls(), 1);
        let given: Vec<Verdict> = outcome.verdicts.iter().map(|v| v.1).collect();
        assert_eq!(given, [Verdict::Heads, Verdict::Capture]);
    }

    #[test]
    fn counted_ids_differ_and_are_not_zero() {
        let mut ids = Ids::Counted(0);
        let (a, b) = (ids.fresh(), ids.fresh());
        assert!(a != b && a.span_id != [0; 8] && a.trace_id != [0; 16]);
    }
}
