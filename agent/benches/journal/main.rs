//! What a span costs on its way to disk, and what that costs whoever captures. `cargo xtask bench journal/` runs it.

use std::{hint::black_box, sync::Arc, time::Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use plainspan::{
    account::Account,
    contract::{Attribute, Delivery, Kind, Resource, Span, Status, Value},
    export::{Batching, BoxFuture, Exporter, Failure, Keep, Limits, Outputs},
    journal::{self, Journal},
    time::Timestamp,
};

/// Spans of one measurement.
const SPANS: u64 = 4000;

/// A span as a chat call has it, without content.
fn delivery(number: u64, resource: &Arc<Resource>) -> Delivery {
    let text = |text: &str| Value::String(text.to_owned());
    let attributes = [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("openai")),
        ("gen_ai.request.model", text("gpt-4o-mini")),
        ("gen_ai.request.max_tokens", Value::Int(256)),
        ("gen_ai.request.stream", Value::Bool(true)),
        ("gen_ai.response.id", text("chatcmpl-9a1fFRf2Wm1OmKvMYrKTz0cGhPqJb")),
        ("gen_ai.response.model", text("gpt-4o-mini-2024-07-18")),
        ("gen_ai.response.finish_reasons", Value::Strings(vec!["stop".to_owned()])),
        ("gen_ai.response.time_to_first_chunk", Value::Double(0.25)),
        ("gen_ai.usage.input_tokens", Value::Int(number as i64)),
        ("gen_ai.usage.output_tokens", Value::Int(48)),
        ("http.request.method", text("POST")),
        ("http.response.status_code", Value::Int(200)),
        ("network.protocol.version", text("1.1")),
        ("plainspan.api", text("openai.chat_completions")),
        ("plainspan.call.ended", text("complete")),
        ("plainspan.contract.version", text("0.1.0")),
        ("plainspan.stream.chunks", Value::Int(50)),
        ("server.address", text("api.openai.com")),
        ("server.port", Value::Int(443)),
        ("url.path", text("/v1/chat/completions")),
        ("user_agent.original", text("OpenAI/Python 1.54.0")),
    ];
    Delivery {
        span: Span {
            trace_id: u128::from(number + 1).to_be_bytes(),
            span_id: (number + 1).to_be_bytes(),
            parent_span_id: None,
            link: None,
            flags: 1,
            trace_state: String::new(),
            name: "chat gpt-4o-mini".to_owned(),
            kind: Kind::Client,
            start: Timestamp(1_700_000_000_000_000_000 + number),
            end: Timestamp(1_700_000_001_000_000_000 + number),
            attributes: attributes.into_iter().map(|(key, value)| Attribute { key, value }).collect(),
            status: Status::Unset,
        },
        resource: Arc::clone(resource),
    }
}

fn resource() -> Arc<Resource> {
    let attribute = |key, value: &str| Attribute { key, value: Value::String(value.to_owned()) };
    let attributes = vec![
        attribute("service.name", "assistant"),
        attribute("process.executable.name", "python3.12"),
        attribute("process.executable.path", "/usr/bin/python3.12"),
        attribute("container.id", &"ab".repeat(32)),
        attribute("host.name", "node-7"),
        attribute("telemetry.distro.name", "plainspan"),
    ];
    Arc::new(Resource { attributes, extra: Vec::new() })
}

/// Takes every span at once.
struct Taker {
    kept: bool,
}

impl Exporter for Taker {
    fn name(&self) -> &'static str {
        "taker"
    }

    fn kept_as(&self) -> Option<String> {
        self.kept.then(|| "taker".to_owned())
    }

    fn batching(&self) -> Batching {
        Batching { spans: 512, bytes: 4 << 20, delay: std::time::Duration::ZERO }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        black_box(batch);
        Box::pin(std::future::ready(Ok(())))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap_or_else(|error| unreachable!("a runtime can be started: {error}"))
}

fn outputs(directory: Option<&std::path::Path>, limits: journal::Limits) -> Outputs {
    let account = Arc::new(Account::default());
    let exporters: Vec<Box<dyn Exporter>> = vec![Box::new(Taker { kept: directory.is_some() })];
    let limits_of_queue = Limits { spans: SPANS as usize * 2, bytes: 1 << 30, ..Limits::default() };
    let Some(directory) = directory else { return Outputs::start(exporters, limits_of_queue, account) };
    let keep = Keep { path: directory.join("journal.db"), limits, required: true, patient: false };
    match Outputs::start_journaled(exporters, limits_of_queue, &keep, account) {
        Ok(outputs) => outputs,
        Err((error, _)) => unreachable!("a journal can be opened: {error}"),
    }
}

fn limits() -> journal::Limits {
    let waiting_spans = SPANS as usize * 2;
    journal::Limits { waiting_spans, waiting_bytes: 1 << 30, ..journal::Limits::default() }
}

fn spans() -> Vec<Delivery> {
    let resource = resource();
    (0..SPANS).map(|number| delivery(number, &resource)).collect()
}

/// What it costs the thread that captures to hand over a span.
fn capture_path(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(SPANS)).sample_size(20);
    for (name, kept) in [("handing over, none", false), ("handing over, journal", true)] {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let mut took = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let (directory, spans) = (tempfile::tempdir().ok(), spans());
                    runtime.block_on(async {
                        let path = directory.as_ref().filter(|_| kept).map(tempfile::TempDir::path);
                        let outputs = outputs(path, limits());
                        let begun = Instant::now();
                        for span in spans {
                            outputs.send(span);
                        }
                        took += begun.elapsed();
                        outputs.shutdown(std::time::Duration::from_secs(60)).await;
                    });
                }
                took
            });
        });
    }
    group.finish();
}

/// From the first span handed over to the last one taken by an output.
fn throughput(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("journal");
    group.throughput(Throughput::Elements(SPANS)).sample_size(10);
    for (name, kept) in [("delivered, none", false), ("delivered, journal", true)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || (tempfile::tempdir().ok(), spans()),
                |(directory, spans)| {
                    runtime.block_on(async {
                        let path = directory.as_ref().filter(|_| kept).map(tempfile::TempDir::path);
                        let outputs = outputs(path, limits());
                        for span in spans {
                            outputs.send_waiting(span).await;
                        }
                        outputs.shutdown(std::time::Duration::from_secs(60)).await
                    })
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.bench_function("written", |b| {
        b.iter_batched(
            || (tempfile::tempdir().ok(), spans()),
            |(directory, spans)| {
                runtime.block_on(async {
                    let path = directory.as_ref().map(|directory| directory.path().join("journal.db"));
                    let account = Arc::new(Account::default());
                    let opened =
                        Journal::open(&path.unwrap_or_default(), limits(), &[], account, Box::new(|_| {}));
                    let Ok(journal) = opened else { unreachable!("a journal can be opened") };
                    for span in spans {
                        journal.append(Arc::new(span));
                    }
                    journal.flush().await;
                });
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, capture_path, throughput);
criterion_main!(benches);
