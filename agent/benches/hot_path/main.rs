//! What a record costs on its way from the ring buffer to a span. `cargo xtask bench` runs it.

mod traffic;

use std::{sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use plainspan::{
    account::Account,
    capture::{Decoder, Record},
    contract::{self, SpanIds},
    genai::Call,
    pipeline::{Ids, Limits, Outcome, Pipeline},
};
use traffic::Traffic;

/// The kinds of traffic that matter, and the name of each.
fn kinds() -> [(&'static str, Traffic); 7] {
    [
        ("json call", traffic::json_call(1)),
        ("sse call, 200 chunks", traffic::sse_call(2, 200, false)),
        ("sse call, 200 chunks, gzip", traffic::sse_call(3, 200, true)),
        ("sse call, 200 chunks, HTTP/2", traffic::http2_call(6, 200)),
        ("sse call, 20 chunks, a byte a record", traffic::single_bytes(7, 20)),
        ("no call, 200 records", traffic::other(4, 200)),
        ("json call, 20 MiB request", traffic::large_request(5, 20 << 20)),
    ]
}

fn decoded(decoder: &mut Decoder, traffic: &Traffic) -> Vec<Record> {
    let mut records = Vec::new();
    for raw in &traffic.records {
        decoder.decode(raw, &mut |_, _| None, &mut records);
    }
    records
}

/// All rooms after `capture/`, and the span.
struct Rooms {
    pipeline: Pipeline,
    outcome: Outcome,
    options: contract::Options,
    account: Arc<Account>,
}

impl Rooms {
    fn new() -> Self {
        let account = Arc::new(Account::default());
        Self {
            pipeline: Pipeline::new(&Limits::default(), Ids::Counted(0), Arc::clone(&account)),
            outcome: Outcome::default(),
            options: contract::Options::default(),
            account,
        }
    }

    fn record(&mut self, record: Record) -> usize {
        self.pipeline.record(record, &mut self.outcome);
        self.outcome.verdicts.clear();
        let ids = SpanIds { trace_id: [1; 16], span_id: [1; 8] };
        let spans = self.outcome.calls.drain(..).map(|finished| {
            contract::build(&finished.call, ids, contract::Relations::default(), &self.options, &self.account)
                .attributes
                .len()
        });
        spans.sum()
    }
}

/// From the ring buffer's form to typed records.
fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    for (name, traffic) in kinds() {
        let mut decoder = Decoder::new(Arc::default());
        let mut records = Vec::new();
        group.throughput(Throughput::Bytes(traffic.bytes));
        group.bench_function(name, |b| {
            b.iter(|| {
                for raw in &traffic.records {
                    decoder.decode(raw, &mut |_, _| None, &mut records);
                    records.clear();
                }
            });
        });
    }
    group.finish();
}

/// From typed records to the span.
fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("rooms");
    for (name, traffic) in kinds() {
        let (mut decoder, mut rooms) = (Decoder::new(Arc::default()), Rooms::new());
        let records = decoded(&mut decoder, &traffic);
        group.throughput(Throughput::Bytes(traffic.bytes));
        group.bench_function(name, |b| {
            b.iter_batched(
                || records.clone(),
                |records| records.into_iter().map(|record| rooms.record(record)).sum::<usize>(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The whole way, as the agent goes it.
fn agent(c: &mut Criterion) {
    let mut group = c.benchmark_group("agent");
    for (name, traffic) in kinds() {
        let (mut decoder, mut rooms) = (Decoder::new(Arc::default()), Rooms::new());
        let mut records = Vec::new();
        group.throughput(Throughput::Bytes(traffic.bytes));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut attributes = 0;
                for raw in &traffic.records {
                    decoder.decode(raw, &mut |_, _| None, &mut records);
                    for record in records.drain(..) {
                        attributes += rooms.record(record);
                    }
                }
                attributes
            });
        });
    }
    group.finish();
}

/// The calls that come out of traffic.
fn calls(traffic: &Traffic) -> Vec<Call> {
    let (mut decoder, mut rooms) = (Decoder::new(Arc::default()), Rooms::new());
    for record in decoded(&mut decoder, traffic) {
        rooms.pipeline.record(record, &mut rooms.outcome);
    }
    rooms.outcome.calls.drain(..).map(|finished| finished.call).collect()
}

/// From a call to its span, which is built and checked attribute by attribute.
fn span(c: &mut Criterion) {
    let mut group = c.benchmark_group("span");
    for (name, traffic) in kinds() {
        let (calls, rooms) = (calls(&traffic), Rooms::new());
        let ids = SpanIds { trace_id: [1; 16], span_id: [1; 8] };
        let Some(call) = calls.first() else { continue };
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |b| {
            b.iter(|| {
                contract::build(call, ids, contract::Relations::default(), &rooms.options, &rooms.account)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = decode, rooms, agent, span
}
criterion_main!(benches);
