//! What the fingerprints of a call cost, by the length of its prompt.

#![allow(missing_docs, reason = "criterion's")]

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plainspan::{
    genai::{Call, Content, Message, Part, Request},
    policy::{content::Key, fingerprint::Fingerprinter},
};

fn words(n: usize, seed: usize) -> String {
    let word = |at: usize| ["delay", "battery", "refund", "Tuesday", "broken", "was", "the", "a"][at % 8];
    (0..n)
        .map(|at| word(at.wrapping_mul(31).wrapping_add(seed * (at / 5)) >> 2))
        .collect::<Vec<_>>()
        .join(" ")
}

/// System instructions that all calls share, or that each has for itself, and a message that is made from a template.
fn call(n: usize, seed: usize, is_new: bool) -> Call {
    let text = |text: String| Part::Text(Content::from(text));
    let system =
        format!("You are kind. {} {}", words(n, 1), if is_new { words(8, seed) } else { String::new() });
    let message = text(format!("Sum this up in one sentence: {}", words(n, seed)));
    let messages = vec![Message { role: "user".into(), name: None, parts: vec![message] }];
    Call {
        request: Request { system: vec![text(system)], messages, ..Request::default() },
        ..Call::default()
    }
}

fn fingerprints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fingerprints");
    for (name, is_new) in [("known instructions", false), ("new instructions", true)] {
        for n in [500, 4000, 32_000] {
            let calls: Vec<Call> = (0..64).map(|seed| call(n, seed, is_new)).collect();
            let texts = calls[0].request.messages.iter().flat_map(|message| &message.parts);
            let bytes: usize = calls[0].request.system.iter().chain(texts).map(length).sum();
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new(name, n), |bencher| {
                let key = Some(Key::new(&[7; 32]));
                let mut fingerprinter = Fingerprinter::new(key, Vec::new(), Arc::default());
                let mut next = calls.iter().cycle();
                bencher.iter(|| next.next().map(|call| black_box(fingerprinter.prints(call))));
            });
        }
    }
    group.finish();
}

fn length(part: &Part) -> usize {
    if let Part::Text(content) = part { content.text.len() } else { 0 }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    targets = fingerprints
}
criterion_main!(benches);
