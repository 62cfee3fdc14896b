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

/// A frame of HTTP/2 as text.
fn frame(kind: u8, flags: u8, stream: u8, payload: &str) -> String {
    let head = [0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    head.map(char::from).iter().collect::<String>() + payload
}

/// The block of a head, nothing of which is kept in a table.
fn block(fields: &[(&str, &str)]) -> String {
    let text = |text: &str| char::from(text.len() as u8).to_string() + text;
    fields.iter().flat_map(|(name, value)| ["\0".to_owned(), text(name), text(value)]).collect()
}

#[test]
fn what_a_connection_with_many_streams_holds_is_bounded() {
    let limits = Limits { buffers: Buffers { connection: 1000, total: 10_000 }, ..Limits::default() };
    let (mut pipeline, account) = pipeline(&limits);
    let mut outcome = Outcome::default();
    let asks = block(&[(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "h")]);
    let answers = block(&[(":status", "200"), ("content-type", "text/event-stream")]);
    let half = format!("data: {}", "x".repeat(94));
    let mut sent = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned() + &frame(4, 0, 0, "");
    let mut received = frame(4, 0, 0, "");
    for stream in 0..11 {
        sent += &frame(1, 5, 2 * stream + 1, &asks);
        received += &frame(1, 4, 2 * stream + 1, &answers);
        if stream < 10 {
            received += &frame(0, 0, 2 * stream + 1, &half);
        }
    }
    pipeline.record(data(1, PROCESS, Direction::Sent, 0, &sent), &mut outcome);
    pipeline.record(data(1, PROCESS, Direction::Received, 0, &received), &mut outcome);
    assert_eq!((pipeline.held(), pipeline.open_calls(), outcome.calls.len()), (1000, 11, 0));
    let more = frame(0, 0, 21, "data: x");
    pipeline.record(data(1, PROCESS, Direction::Received, received.len() as u64, &more), &mut outcome);
    assert_eq!((pipeline.held(), pipeline.open_calls(), outcome.calls.len()), (0, 0, 11));
    assert!(outcome.calls.iter().all(|c| c.call.ended == Some(wire::ExchangeEnd::CaptureEnd)));
    assert_eq!(account.get(Counter::ConnectionsGivenUp), 1);
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

/// A message of MCP's older transport, and the answer that says nothing.
fn posted(body: &str) -> [String; 2] {
    let len = body.len();
    let request = format!(
        "POST /messages/?session_id=ab HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    [request, "HTTP/1.1 202 Accepted\r\nContent-Length: 8\r\n\r\nAccepted".to_owned()]
}

fn tool_call(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"add"}}}}"#)
}

fn opened() -> [String; 2] {
    let request = "GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n".to_owned();
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
        event: endpoint\ndata: /messages/?session_id=ab\n\n"
        .to_owned();
    [request, answer]
}

fn result(id: u32) -> String {
    format!("event: message\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"isError\":true}}}}\n\n")
}

/// Feeds what one side of a connection says, each from where the last ended.
fn say(
    pipeline: &mut Pipeline,
    outcome: &mut Outcome,
    (connection, process): (u64, Process),
    said: &[(Direction, &str)],
    at: &mut [u64; 2],
) {
    for (direction, text) in said {
        let at = &mut at[usize::from(*direction == Direction::Received)];
        pipeline.record(data(connection, process, *direction, *at, text), outcome);
        *at += text.len() as u64;
    }
}

#[test]
fn answers_come_on_another_connection() {
    use Direction::{Received, Sent};

    let other = Process { pid: 2, tid: 2 };
    for (sent, received, role) in [(Sent, Received, Role::Client), (Received, Sent, Role::Server)] {
        let (mut pipeline, account) = pipeline(&Limits::default());
        let mut outcome = Outcome::default();
        let [get, stream] = opened();
        let mut ats = [[0; 2]; 3];
        say(&mut pipeline, &mut outcome, (1, PROCESS), &[(sent, &get), (received, &stream)], &mut ats[0]);
        for id in [1, 2, 3] {
            let [post, accepted] = posted(&tool_call(id));
            say(
                &mut pipeline,
                &mut outcome,
                (2, PROCESS),
                &[(sent, &post), (received, &accepted)],
                &mut ats[1],
            );
        }
        // What another process asks in a session of that name is not answered by it.
        let [post, accepted] = posted(&tool_call(2));
        say(&mut pipeline, &mut outcome, (3, other), &[(sent, &post), (received, &accepted)], &mut ats[2]);
        assert_eq!(outcome.calls.len(), 0, "nothing is answered yet");
        say(&mut pipeline, &mut outcome, (1, PROCESS), &[(received, &result(2))], &mut ats[0]);
        say(&mut pipeline, &mut outcome, (1, PROCESS), &[(received, &result(7))], &mut ats[0]);
        let [answered] = &outcome.calls[..] else { panic!("{role:?}: {:?}", outcome.calls) };
        let call = &answered.call;
        assert_eq!((call.role, answered.process), (Some(role), PROCESS));
        assert_eq!(call.mcp.as_ref().unwrap().request_id.as_deref(), Some("2"));
        assert_eq!(call.error.as_ref().unwrap().kind, "tool_error");
        assert_eq!(call.ended, Some(wire::ExchangeEnd::Complete));
        // The rest is told with the end of what its answers would have come in, or of all.
        let close = |connection| {
            Record::Close(Close {
                connection: ConnectionId(connection),
                time: Timestamp(2),
                reason: CloseReason::Freed,
                sent: None,
                received: None,
                skipped: [0; 2],
            })
        };
        pipeline.record(close(1), &mut outcome);
        let ids = |calls: &[Finished]| -> Vec<String> {
            calls.iter().filter_map(|call| call.call.mcp.as_ref()?.request_id.clone()).collect()
        };
        assert_eq!(ids(&outcome.calls), ["2", "1", "3"]);
        for unanswered in &outcome.calls[1..] {
            assert_ne!(unanswered.call.ended, Some(wire::ExchangeEnd::Complete));
            let kind = &unanswered.call.error.as_ref().unwrap().kind;
            assert!(kind.ends_with("_closed_before_answer"), "{kind}");
        }
        pipeline.finish(Timestamp(3), &mut outcome);
        assert_eq!((outcome.calls.len(), outcome.calls[3].process), (4, other));
        assert_eq!(outcome.calls[3].call.ended, Some(wire::ExchangeEnd::CaptureEnd));
        assert_eq!(account.get(Counter::McpCalls), 4);
    }
}

#[test]
fn calls_that_wait_are_bounded() {
    let (mut pipeline, _) = pipeline(&Limits::default());
    let mut outcome = Outcome::default();
    let mut at = [0; 2];
    for id in 0..1100 {
        let [post, accepted] = posted(&tool_call(id));
        let said = [(Direction::Sent, post.as_str()), (Direction::Received, accepted.as_str())];
        say(&mut pipeline, &mut outcome, (1, PROCESS), &said, &mut at);
    }
    assert_eq!(outcome.calls.len(), 1100 - 1024);
    let first = outcome.calls[0].call.mcp.as_ref().unwrap();
    assert_eq!(first.request_id.as_deref(), Some("0"), "those that wait longest give way");
    pipeline.finish(Timestamp(3), &mut outcome);
    assert_eq!(outcome.calls.len(), 1100);
}

/// What a server's call of a tool makes it call is linked to that, and not to what the server says meanwhile.
#[test]
fn calls_made_for_a_tool() {
    let (mut pipeline, _) = pipeline(&Limits::default());
    let mut outcome = Outcome::default();
    let body = tool_call(1);
    let asked = format!(
        "POST /mcp HTTP/1.1\r\nHost: h\r\nMcp-Session-Id: s\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = |data: &str| format!("{:x}\r\n{data}\r\n", data.len());
    let progress = chunk("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n");
    let last = chunk(&result(1)) + "0\r\n\r\n";
    let (mut server, mut client) = ([0; 2], [0; 2]);
    let side = (1, PROCESS);
    say(
        &mut pipeline,
        &mut outcome,
        side,
        &[(Direction::Received, &asked), (Direction::Sent, answer), (Direction::Sent, &progress)],
        &mut server,
    );
    let made = [(Direction::Sent, request("")), (Direction::Received, response())];
    let made = made.each_ref().map(|(direction, text)| (*direction, text.as_str()));
    say(&mut pipeline, &mut outcome, (2, PROCESS), &made, &mut client);
    say(&mut pipeline, &mut outcome, side, &[(Direction::Sent, &last)], &mut server);
    let [progress, made, tool] = &outcome.calls[..] else { panic!("{:?}", outcome.calls) };
    assert_eq!(progress.call.mcp.as_ref().unwrap().method, "notifications/progress");
    assert_eq!(tool.call.mcp.as_ref().unwrap().method, "tools/call");
    assert_eq!(made.cause.map(|link| link.span_id), Some(tool.ids.span_id));
    assert_ne!(progress.ids.span_id, tool.ids.span_id);
}

/// Other protocols over JSON-RPC, and other streams, are captured no longer than until it shows.
#[test]
fn what_only_looked_like_a_call_is_left() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#;
    let post = format!(
        "POST /mcp HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let get = "GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n";
    for said in
        [&[(Direction::Sent, post.as_str())][..], &[(Direction::Sent, get), (Direction::Received, stream)]]
    {
        let (mut pipeline, account) = pipeline(&Limits::default());
        let mut outcome = Outcome::default();
        say(&mut pipeline, &mut outcome, (1, PROCESS), said, &mut [0; 2]);
        let given: Vec<Verdict> = outcome.verdicts.iter().map(|v| v.1).collect();
        assert_eq!(given, [Verdict::Heads], "{said:?}");
        assert_eq!((pipeline.open_calls(), account.get(Counter::ExchangesNotLlm)), (0, 1));
    }
}

/// Rules may change while calls are open: these go on, and so does each connection.
#[test]
fn no_call_is_lost_when_the_rules_change() {
    let ask = |path: &str| {
        let body = r#"{"model":"m","messages":[]}"#;
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let rule = |text: &str| vec![text.parse::<genai::Rule>().unwrap()];
    let (pipeline, account) = pipeline(&Limits::default());
    let mut pipeline = pipeline.with_rules(rule("/old=openai.chat_completions"));
    let (mut outcome, mut offsets) = (Outcome::default(), [0; 2]);
    let mut say = |pipeline: &mut Pipeline, direction: Direction, text: &str, outcome: &mut Outcome| {
        let offset = &mut offsets[usize::from(direction == Direction::Received)];
        pipeline.record(data(1, PROCESS, direction, *offset, text), outcome);
        *offset += text.len() as u64;
    };
    let answer = response();
    let (first, second) = answer.split_at(20);
    say(&mut pipeline, Direction::Sent, &ask("/old"), &mut outcome);
    say(&mut pipeline, Direction::Received, first, &mut outcome);
    pipeline.set_rules(rule("/new=openai.chat_completions"));
    say(&mut pipeline, Direction::Received, second, &mut outcome);
    for path in ["/new", "/old"] {
        say(&mut pipeline, Direction::Sent, &ask(path), &mut outcome);
        say(&mut pipeline, Direction::Received, &response(), &mut outcome);
    }
    let paths: Vec<_> = outcome.calls.iter().map(|finished| finished.call.transport.path.as_str()).collect();
    assert_eq!(paths, ["/old", "/new"]);
    assert_eq!(account.get(Counter::CallsCut), 0);
}

#[test]
fn the_calls_of_a_process_that_is_left_out_are_dropped() {
    let (mut pipeline, _) = pipeline(&Limits::default());
    let mut outcome = Outcome::default();
    let other = Process { pid: 2, tid: 2 };
    for (connection, process) in [(1, PROCESS), (2, other)] {
        pipeline.record(data(connection, process, Direction::Sent, 0, &request("")), &mut outcome);
    }
    half_an_event(&mut pipeline, 3, 100, &mut outcome);
    let held = pipeline.held();
    assert!(pipeline.open_calls() == 3 && held > 0);
    pipeline.leave_out(PROCESS.pid);
    assert_eq!((pipeline.open_calls(), pipeline.held()), (1, 0));
    pipeline.record(data(2, other, Direction::Received, 0, &response()), &mut outcome);
    pipeline.finish(Timestamp(9), &mut outcome);
    assert_eq!(outcome.calls.iter().map(|call| call.process).collect::<Vec<_>>(), [other]);
}
