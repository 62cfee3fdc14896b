//! What parsing costs, at three sizes: where it were quadratic, throughput would fall with size. `cargo xtask bench` runs it.

mod bodies;
mod large;
mod sessions;

#[allow(dead_code, reason = "the other benchmarks use more of it")]
#[path = "../hot_path/traffic.rs"]
mod traffic;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plainspan::{
    account::Account,
    capture::{CloseReason, Decoder, Direction, Record},
    contract,
    genai::{self, Recognition, Recognizer},
    pipeline::{self, Ids, Outcome, Pipeline},
    stream::Piece,
    time::Timestamp,
    wire::{Body, Connection, Event, EventKind, ExchangeId, Headers, Limits, RequestHead, Role, Version},
};
use serde::de::IgnoredAny;
use traffic::Traffic;

/// How much larger than the smallest.
const SCALES: [usize; 3] = [1, 8, 64];

/// The pieces of a connection, as they are moved.
#[derive(Default)]
pub struct Pieces(Vec<(Direction, Bytes)>);

impl Pieces {
    /// The process sends this at once.
    pub fn sent(mut self, bytes: impl Into<Bytes>) -> Self {
        self.0.push((Direction::Sent, bytes.into()));
        self
    }

    /// It receives this at once.
    pub fn received(mut self, bytes: impl Into<Bytes>) -> Self {
        self.0.push((Direction::Received, bytes.into()));
        self
    }

    /// It receives this in pieces of so many bytes.
    pub fn in_pieces(mut self, bytes: impl Into<Bytes>, size: usize) -> Self {
        let mut bytes = bytes.into();
        while !bytes.is_empty() {
            let piece = bytes.split_to(size.min(bytes.len()));
            self.0.push((Direction::Received, piece));
        }
        self
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }

    /// Reads them all; returns how many events came of them.
    fn read(&self) -> usize {
        let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
        let (mut events, mut count) = (Vec::new(), 0);
        for (direction, bytes) in &self.0 {
            connection.push(*direction, Timestamp(0), Piece::Bytes(bytes.clone()), &mut events);
            count += events.len();
            events.clear();
        }
        connection.close(Timestamp(0), CloseReason::Freed, &mut events);
        count + events.len()
    }
}

/// The connection of a shape at one of the scales.
type Shape = fn(usize) -> Pieces;

/// Each parser alone, as it is used and as it would be abused.
fn parsers(c: &mut Criterion) {
    let shapes: [(&str, Shape); 27] = [
        ("http1 chunked", bodies::chunked),
        ("http1 chunked, a byte a chunk", bodies::small_chunks),
        ("http1, a byte a record", bodies::single_bytes),
        ("http1 head, a byte a record", bodies::long_head),
        ("http1 requests, pipelined", bodies::many_requests),
        ("sse", bodies::sse),
        ("sse, one event over many records", bodies::one_sse_event),
        ("sse, one event of many lines", bodies::many_sse_lines),
        ("ndjson", bodies::ndjson),
        ("ndjson, one line over many records", bodies::one_line),
        ("eventstream", bodies::eventstream),
        ("eventstream, one message over many records", bodies::one_message),
        ("multipart, fields", bodies::form_fields),
        ("multipart, a file, a byte a record", bodies::form_file),
        ("gzip", bodies::gzip),
        ("gzip, a byte a record", bodies::gzip_single_bytes),
        ("br", bodies::brotli),
        ("br, a byte a record", bodies::brotli_single_bytes),
        ("zstd", bodies::zstd),
        ("zstd, a byte a record", bodies::zstd_single_bytes),
        ("http2 data", sessions::http2_data),
        ("http2 data, a byte a record", sessions::http2_single_bytes),
        ("http2 heads", sessions::http2_heads),
        ("http2 continuations, a byte each", sessions::http2_continuations),
        ("websocket", sessions::websocket),
        ("websocket, a byte a fragment", sessions::websocket_fragments),
        ("websocket deflate", sessions::websocket_deflate),
    ];
    let mut group = c.benchmark_group("parsers");
    for (name, shape) in shapes {
        for scale in SCALES {
            let pieces = shape(scale);
            group.throughput(Throughput::Bytes(pieces.bytes()));
            group.bench_function(BenchmarkId::new(name, scale), |b| b.iter(|| pieces.read()));
        }
    }
    group.finish();
}

/// The records of a shape at one of the scales.
type Records = fn(usize) -> Traffic;

/// The whole way from records to spans.
fn offline(c: &mut Criterion) {
    let shapes: [(&str, Records); 6] = [
        ("sse call", |scale| traffic::sse_call(1, 100 * scale, false)),
        ("sse call, HTTP/2", |scale| traffic::http2_call(1, 100 * scale)),
        ("json call, long request", |scale| traffic::large_request(1, scale << 14)),
        ("json call, long answer", |scale| large::long_answer(1, &large::varied(scale << 14))),
        ("json call, looping answer", |scale| large::long_answer(1, &large::looping(scale << 14))),
        ("sse call, a byte a record", |scale| traffic::single_bytes(1, 10 * scale)),
    ];
    let mut group = c.benchmark_group("offline");
    for (name, shape) in shapes {
        for scale in SCALES {
            let traffic = shape(scale);
            let records = decoded(&traffic);
            group.throughput(Throughput::Bytes(traffic.bytes));
            group.bench_function(BenchmarkId::new(name, scale), |b| b.iter(|| spans(&records)));
        }
    }
    group.finish();
}

/// What large requests cost, with images and of coding agents, beside one pass over their bytes by a JSON reader that keeps nothing, and
/// beside a tree of them.
fn requests(c: &mut Criterion) {
    const LEN: usize = 20 << 20;
    let images =
        large::IMAGES.map(|(api, place, body)| (format!("images, {api}"), place, large::images(body, LEN)));
    let agent = ("coding agent".to_owned(), large::AGENT, large::agent(200));
    let mut group = c.benchmark_group("requests");
    for (name, place, body) in images.into_iter().chain([agent]) {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new(&name, "one pass"), |b| {
            b.iter(|| serde_json::from_slice::<IgnoredAny>(&body).is_ok());
        });
        group.bench_function(BenchmarkId::new(&name, "a tree"), |b| {
            b.iter(|| serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        });
        group.bench_function(BenchmarkId::new(&name, "a copy"), |b| b.iter(|| body.clone()));
        let (head, body) = (head(place), Bytes::from(body));
        group.bench_function(BenchmarkId::new(&name, "read"), |b| b.iter(|| read(&head, &body)));
        let records = decoded(&large::refused(1, place, &body));
        group.bench_function(BenchmarkId::new(&name, "from records to the span"), |b| {
            b.iter(|| spans(&records));
        });
    }
    group.finish();
}

fn head((host, path): (&str, &str)) -> RequestHead {
    RequestHead {
        method: "POST".into(),
        path: path.into(),
        query: "".into(),
        authority: Some(host.into()),
        version: Version::Http11,
        partial: false,
        role: Role::Client,
        headers: Headers::default(),
        session: None,
    }
}

/// Reads the body of a request into a call, all that comes before having been done.
fn read(head: &RequestHead, body: &Bytes) -> bool {
    let recognizer = Recognizer::new(genai::Limits::default(), Arc::new(Account::default()));
    let Recognition::Call(mut call) = recognizer.recognize(head) else { return false };
    let kinds = [
        EventKind::RequestHead(Box::new(head.clone())),
        EventKind::RequestBody(Body::Bytes(body.clone())),
        EventKind::RequestEnd,
    ];
    for kind in kinds {
        call.event(Event { exchange: ExchangeId(1), time: Timestamp(0), kind });
    }
    !call.gives_up()
}

/// Records as `capture/` hands them on.
fn decoded(traffic: &Traffic) -> Vec<Record> {
    let (mut decoder, mut records) = (Decoder::new(Arc::default()), Vec::new());
    for raw in &traffic.records {
        decoder.decode(raw, &mut |_, _| None, &mut records);
    }
    records
}

/// The attributes of all spans that come of these records.
fn spans(records: &[Record]) -> usize {
    let account = Arc::new(Account::default());
    let mut pipeline = Pipeline::new(&pipeline::Limits::default(), Ids::Counted(0), Arc::clone(&account));
    let (mut outcome, options) = (Outcome::default(), contract::Options::default());
    for record in records {
        pipeline.record(record.clone(), &mut outcome);
        outcome.verdicts.clear();
    }
    let spans = outcome.calls.iter().map(|finished| {
        contract::build(&finished.call, finished.ids, contract::Relations::default(), &options, &account)
    });
    spans.map(|span| span.attributes.len()).sum()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = parsers, offline, requests
}
criterion_main!(benches);
