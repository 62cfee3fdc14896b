//! What a record allocates on its way through the rooms, once they are warm.
#![allow(unsafe_code, reason = "a counting allocator")]

#[allow(dead_code, reason = "the benchmarks use more of it")]
#[path = "../benches/hot_path/traffic.rs"]
mod traffic;

#[allow(dead_code, reason = "the benchmarks use more of it")]
#[path = "../benches/parsers/large.rs"]
mod large;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use plainspan::{
    account::{Account, Counter},
    capture::Decoder,
    contract,
    genai::{self, Call, Part},
    pipeline::{Ids, Limits, Outcome, Pipeline},
    policy::{
        content::Form,
        sample::{Decision, Kinds, Rate, Sampler, Settings},
    },
    wire,
};
use traffic::Traffic;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that are held, and the most that ever were.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static MOST: Cell<i64> = const { Cell::new(0) };
}

fn hold(bytes: i64) {
    HELD.set(HELD.get() + bytes);
    MOST.set(MOST.get().max(HELD.get()));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        hold(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        hold(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        hold(size as i64 - layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of each record, by the way from the ring buffer's form to the call.
fn allocations(traffic: &Traffic) -> (Vec<u64>, Arc<Account>) {
    let account = Arc::new(Account::default());
    let mut decoder = Decoder::new(Arc::clone(&account));
    let mut pipeline = Pipeline::new(&Limits::default(), Ids::Counted(0), Arc::clone(&account));
    let (mut records, mut outcome) = (Vec::new(), Outcome::default());
    let counts = traffic.records.iter().map(|raw| {
        let before = ALLOCATIONS.get();
        decoder.decode(raw, &mut |_, _| None, &mut records);
        for record in records.drain(..) {
            pipeline.record(record, &mut outcome);
        }
        ALLOCATIONS.get() - before
    });
    (counts.collect(), account)
}

/// The most bytes that were held at once on the way of all records to the call, and the call.
fn held(traffic: &Traffic, limits: &Limits, digests: bool) -> (u64, Option<Call>) {
    let account = Arc::new(Account::default());
    let mut decoder = Decoder::new(Arc::clone(&account));
    let mut pipeline = Pipeline::new(limits, Ids::Counted(0), Arc::clone(&account)).with_digests(digests);
    let (mut records, mut outcome) = (Vec::new(), Outcome::default());
    let before = HELD.get();
    MOST.set(before);
    for raw in &traffic.records {
        decoder.decode(raw, &mut |_, _| None, &mut records);
        for record in records.drain(..) {
            pipeline.record(record, &mut outcome);
        }
    }
    let most = (MOST.get() - before) as u64;
    (most, outcome.calls.pop().map(|finished| finished.call))
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The body is held once until it is whole, and then looked through where it lies: neither its text is copied, nor a tree of it
/// made, nor the images decoded to be hashed.
#[test]
fn a_request_with_images_is_held_once() {
    for digests in [false, true] {
        for (api, place, body) in large::IMAGES {
            let body = large::images(body, 20 << 20);
            let len = body.len() as u64;
            assert!(len > 20_000_000);
            let (most, call) = held(&large::refused(1, place, &body), &Limits::default(), digests);
            let call = call.unwrap();
            let parts = &call.request.messages[0].parts;
            assert_eq!((call.dialect, parts.len()), (api, 5));
            let Part::Blob { encoded_len, digest, .. } = &parts[4] else { panic!("{parts:?}") };
            assert_eq!(digest.map(|digest| digest.size), digests.then_some(encoded_len / 4 * 3), "{api}");
            assert!(most < len + MIB, "{api}: {most} bytes for a body of {len}");
        }
    }
}

/// However long a model writes, what is kept of it is bounded, and that it was cut stands on the span; what is counted is exact.
#[test]
fn a_stream_without_end_is_cut_and_counted() {
    let limits = Limits {
        genai: genai::Limits { content: 64 * KIB, ..genai::Limits::default() },
        wire: wire::Limits { body_bytes: MIB, ..wire::Limits::default() },
        ..Limits::default()
    };
    let mut most = Vec::new();
    for events in [30_000, 60_000] {
        let traffic = traffic::sse_call(1, events, false);
        assert!(traffic.bytes > 9 * MIB);
        let (held, call) = held(&traffic, &limits, true);
        let call = call.unwrap();
        most.push(held);
        assert!(held < MIB, "{held} bytes for {events} events");
        assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(19), Some(200), false));
        assert_eq!(call.response.id.as_deref(), Some("chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT"));
        assert_eq!((call.streaming.chunks, call.damage), (events as u64, genai::Damage::default()));
        assert!(call.response.generations[0].finish_reason.is_some());
        let Part::Text(text) = &call.response.generations[0].message.parts[0] else { panic!("{call:?}") };
        let cut = (events as u64 - 1) * " hello".len() as u64 - 64 * KIB;
        assert_eq!((text.text.len() as u64, text.cut), (64 * KIB, cut));
        let options = contract::Options { content: Form::Full, ..contract::Options::default() };
        let ids = Ids::Counted(0).fresh();
        let span = contract::build(&call, ids, contract::Relations::default(), &options, &Account::default());
        let said = span.attributes.iter().find(|a| a.key == "plainspan.content.cut").map(|a| &a.value);
        // The content attributes have limits of their own.
        assert!(matches!(said, Some(contract::Value::Int(n)) if *n as u64 >= cut), "{said:?}");
    }
    assert!(most[1] < most[0] + 64 * KIB, "{most:?}");
}

#[test]
fn a_body_that_nobody_wants_allocates_nothing() {
    let (counts, account) = allocations(&traffic::other(1, 200));
    assert_eq!((account.get(Counter::ExchangesNotLlm), account.get(Counter::RecordsMalformed)), (1, 0));
    // The last records are the body and the close; the first of the body find their blocks.
    let body = &counts[counts.len() - 1 - 190..counts.len() - 1];
    assert_eq!(body.iter().sum::<u64>(), 0, "{counts:?}");
}

#[test]
fn a_chunk_of_a_stream_allocates_next_to_nothing() {
    let (counts, account) = allocations(&traffic::sse_call(1, 200, false));
    assert_eq!((account.get(Counter::Calls), account.get(Counter::RecordsMalformed)), (1, 0));
    let chunks = &counts[counts.len() - 3 - 190..counts.len() - 4];
    // Two are the JSON reader's, for objects within objects; one at times the answer's text, which grows.
    assert!(chunks.iter().all(|n| *n <= 3), "{counts:?}");
    assert!(chunks.iter().sum::<u64>() <= chunks.len() as u64 * 2 + 8, "{counts:?}");
}

#[test]
fn a_request_that_is_kept_allocates_only_what_grows() {
    let (counts, account) = allocations(&traffic::large_request(1, 4 << 20));
    assert_eq!((account.get(Counter::Calls), account.get(Counter::RecordsMalformed)), (1, 0));
    let body = &counts[10..200];
    assert!(body.iter().sum::<u64>() <= 10, "{counts:?}");
}

/// What sampling leaves out costs the decision and nothing else.
#[test]
fn a_call_that_is_not_sampled_allocates_nothing() {
    let settings = Settings { rate: Rate::Part(0.0), ..Settings::default() };
    let mut sampler = Sampler::new(settings, Arc::new(Account::default()));
    let mut call = Call::default();
    call.request.model = Some("gpt-4o-mini".to_owned());
    let kinds = Kinds { template: Some("t"), revision: Some("r"), tool_set: Some("s"), tenant: Some("o") };
    // The first of everything, and that of the minute.
    while sampler.decide(&call, [1; 16], &kinds).kept() {}
    for traced in [false, true] {
        call.trace = traced.then(|| genai::TraceContext {
            trace_id: [2; 16],
            parent_id: [1; 8],
            flags: 3,
            state: Some("a=1,ot=th:8;rv:00000000000001".to_owned()),
        });
        let before = ALLOCATIONS.get();
        for _ in 0..10_000 {
            assert_eq!(sampler.decide(&call, [2; 16], &kinds), Decision::Dropped);
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "in a trace: {traced}");
    }
}
