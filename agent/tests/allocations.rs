//! What a record allocates on its way through the rooms, once they are warm.
#![allow(unsafe_code, reason = "a counting allocator")]

#[allow(dead_code, reason = "the benchmarks use more of it")]
#[path = "../benches/hot_path/traffic.rs"]
mod traffic;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use plainspan::{
    account::{Account, Counter},
    capture::Decoder,
    pipeline::{Ids, Limits, Outcome, Pipeline},
};
use traffic::Traffic;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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
