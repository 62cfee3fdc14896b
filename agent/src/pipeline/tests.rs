use bytes::Bytes;

use super::*;
use crate::{
    capture::{Close, Data, Direction},
    contract::LinkReason,
};

fn data(connection: u64, process: Process, direction: Direction, offset: u64, text: &str) -> Record {
    Record::Data(Data {
        connection: ConnectionId(connection),
        process,
        direction,
        time: Timestamp(1),
        offset,
        skipped: 0,
        call_len: text.len() as u32,
        epoch: 0,
        cut: false,
        bytes: Bytes::copy_from_slice(text.as_bytes()),
    })
}

const PROCESS: Process = Process { pid: 1, tid: 1 };

fn pipeline(limits: &Limits) -> (Pipeline, Arc<Account>) {
    let account = Arc::new(Account::default());
    (Pipeline::new(limits, Ids::Counted(0), Arc::clone(&account)), account)
}

/// Both requests are in one piece, so the kernel sees the head of the first one only.
#[test]
fn a_call_behind_another_request_is_captured_again() {
    let (mut pipeline, _) = pipeline(&Limits::default());
    let mut outcome = Outcome::default();
    let both = "GET /favicon.ico HTTP/1.1\r\nHost: api.openai.com\r\n\r\n\
        POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Length: 100\r\n\
        Content-Type: application/json\r\n\r\n{";
    pipeline.record(data(1, PROCESS, Direction::Sent, 0, both), &mut outcome);
    assert_eq!(pipeline.open_calls(), 1);
    let given: Vec<Verdict> = outcome.verdicts.iter().map(|v| v.1).collect();
    assert_eq!(given, [Verdict::Heads, Verdict::Capture]);
}

fn request(more: &str) -> String {
    let body = r#"{"model":"m","messages":[]}"#;
    let len = body.len();
    format!("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {len}\r\n\r\n{body}")
}

fn response() -> String {
    let body = r#"{"object":"chat.completion","id":"i","model":"m","choices":[]}"#;
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}")
}

/// A gateway serves a call on one connection and makes one on another; the calls, the one that it made first.
fn gateway(
    asked: &str,
    asks: &str,
    on: Process,
    between: impl FnOnce(&mut Pipeline, &mut Outcome),
) -> [Finished; 2] {
    let (mut pipeline, _) = pipeline(&Limits::default());
    let mut outcome = Outcome::default();
    pipeline.record(data(1, PROCESS, Direction::Received, 0, &request(asked)), &mut outcome);
    between(&mut pipeline, &mut outcome);
    pipeline.record(data(2, on, Direction::Sent, 0, &request(asks)), &mut outcome);
    pipeline.record(data(2, on, Direction::Received, 0, &response()), &mut outcome);
    pipeline.record(data(1, PROCESS, Direction::Sent, 0, &response()), &mut outcome);
    outcome.calls.try_into().expect("two calls are over")
}

#[test]
fn a_gateway_serves_one_call_by_making_another() {
    use LinkReason::{SameThread, TraceContext};

    const TRACE: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    const OTHER: &str = "traceparent: 00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01\r\n";
    let thread = Process { pid: 1, tid: 2 };
    let process = Process { pid: 2, tid: 1 };
    let table = [
        ("on its thread", "", "", PROCESS, Some(SameThread)),
        ("with a trace that begins here", "", TRACE, PROCESS, Some(SameThread)),
        ("with another trace", TRACE, OTHER, PROCESS, Some(SameThread)),
        ("with the trace, on its thread", TRACE, TRACE, PROCESS, Some(TraceContext)),
        ("with the trace, on another thread", TRACE, TRACE, thread, Some(TraceContext)),
        ("on another thread", "", "", thread, None),
        ("another process", TRACE, TRACE, process, None),
    ];
    for (what, asked, asks, on, reason) in table {
        let [made, served] = gateway(asked, asks, on, |_, _| {});
        assert_eq!(made.call.role, Some(Role::Client), "{what}");
        assert_eq!((served.call.role, served.cause), (Some(Role::Server), None), "{what}");
        let expected =
            reason.map(|reason| Link { trace_id: served.ids.trace_id, span_id: served.ids.span_id, reason });
        assert_eq!(made.cause, expected, "{what}");
        let trace = served.call.trace.as_ref().map(|trace| trace.trace_id);
        assert!(trace.is_none_or(|trace| trace == served.ids.trace_id), "{what}");
    }
}

#[test]
fn a_thread_that_serves_several_calls_tells_nothing() {
    let [made, _] = gateway("", "", PROCESS, |pipeline, outcome| {
        pipeline.record(data(3, PROCESS, Direction::Received, 0, &request("")), outcome);
    });
    assert_eq!(made.cause, None);
    // One of them is over before.
    let [made, served] = gateway("", "", PROCESS, |pipeline, outcome| {
        pipeline.record(data(3, PROCESS, Direction::Received, 0, &request("")), outcome);
        pipeline.record(data(3, PROCESS, Direction::Sent, 0, &response()), outcome);
        outcome.calls.clear();
    });
    assert_eq!(made.cause.map(|link| link.span_id), Some(served.ids.span_id));
}

/// Half an event of an answer that is `len` bytes long.
fn half_an_event(pipeline: &mut Pipeline, connection: u64, len: usize, outcome: &mut Outcome) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ";
    let answer = head.to_owned() + &"x".repeat(len - "data: ".len());
    pipeline.record(data(connection, PROCESS, Direction::Sent, 0, &request("")), outcome);
    pipeline.record(data(connection, PROCESS, Direction::Received, 0, &answer), outcome);
}

#[test]
fn what_a_connection_holds_is_bounded() {
    let limits = Limits { buffers: Buffers { connection: 1000, total: 10_000 }, ..Limits::default() };
    let (mut pipeline, account) = pipeline(&limits);
    let mut outcome = Outcome::default();
    half_an_event(&mut pipeline, 1, 1000, &mut outcome);
    assert_eq!((pipeline.held(), outcome.calls.len()), (1000, 0));
    let more = data(1, PROCESS, Direction::Received, 1000 + 52, "x");
    pipeline.record(more, &mut outcome);
    assert_eq!(account.get(Counter::GapBytes), 0, "the offset is that of the next byte");
    assert_eq!((pipeline.held(), outcome.calls.len(), pipeline.open_calls()), (0, 1, 0));
    assert_eq!(outcome.calls[0].call.ended, Some(wire::ExchangeEnd::CaptureEnd));
    assert_eq!(outcome.verdicts, [(ConnectionId(1), Verdict::Ignore)]);
    assert_eq!(account.get(Counter::ConnectionsGivenUp), 1);
    // Nothing more of it is read.
    pipeline.record(data(1, PROCESS, Direction::Sent, 300, &request("")), &mut outcome);
    assert_eq!(pipeline.open_calls(), 0);
}

#[test]
fn what_all_hold_together_is_bounded() {
    let limits = Limits { buffers: Buffers { connection: 1000, total: 3200 }, ..Limits::default() };
    let (mut pipeline, account) = pipeline(&limits);
    let mut outcome = Outcome::default();
    for (connection, len) in [(1, 900), (2, 1000), (3, 800)] {
        half_an_event(&mut pipeline, connection, len, &mut outcome);
    }
    // Half a head, of which nothing is known.
    let head = format!("GET /{}", "x".repeat(494));
    pipeline.record(data(4, PROCESS, Direction::Sent, 0, &head), &mut outcome);
    assert_eq!((pipeline.held(), account.get(Counter::ConnectionsGivenUp)), (3199, 0));
    half_an_event(&mut pipeline, 5, 100, &mut outcome);
    // First the one without a call, then the largest.
    assert_eq!((pipeline.held(), account.get(Counter::ConnectionsGivenUp)), (2800, 1));
    half_an_event(&mut pipeline, 6, 500, &mut outcome);
    assert_eq!((pipeline.held(), account.get(Counter::ConnectionsGivenUp)), (2300, 2));
    let given: Vec<u64> = outcome.verdicts.iter().map(|(id, _)| id.0).collect();
    assert_eq!((given, outcome.calls.len()), (vec![4, 2], 1));
    // What is closed is held no more.
    for connection in 1..=6 {
        let (sent, received) = (None, None);
        let connection = ConnectionId(connection);
        let close = Close {
            connection,
            time: Timestamp(2),
            reason: CloseReason::Freed,
            sent,
            received,
            skipped: [0; 2],
        };
        pipeline.record(Record::Close(close), &mut outcome);
    }
    assert_eq!((pipeline.held(), pipeline.open_calls()), (0, 0));
}
