//! Conversations as literal text, and what is made of them.

mod early;
mod losses;

use std::fmt::Write;

use super::*;
use crate::wire::{Body, Connection, Interest};

/// One step of a conversation.
#[derive(Clone, Debug)]
enum Do {
    Sent(Vec<u8>),
    /// By a call that had begun before everything else, and was done only now.
    SentLong(Vec<u8>),
    Received(Vec<u8>),
    SentGap(u64),
    ReceivedGap(u64),
    Close(CloseReason),
}

fn out(text: &str) -> Do {
    Do::Sent(text.into())
}

fn back(text: &str) -> Do {
    Do::Received(text.into())
}

const FREED: Do = Do::Close(CloseReason::Freed);

/// Runs a conversation and shows its events, adjacent bytes of a body joined.
fn converse(steps: &[Do]) -> (String, Connection, Arc<Account>) {
    converse_within(Limits::default(), steps)
}

fn converse_within(limits: Limits, steps: &[Do]) -> (String, Connection, Arc<Account>) {
    let account = Arc::new(Account::default());
    let mut connection = Connection::new(limits, account.clone());
    let mut events = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let time = Timestamp(1 + i as u64);
        let gap = |len: &u64| Piece::Gap { len: *len, reason: GapReason::Lost };
        let bytes = |b: &[u8]| Piece::Bytes(Bytes::copy_from_slice(b));
        match step {
            Do::Sent(b) => connection.push(Direction::Sent, time, bytes(b), &mut events),
            Do::SentLong(b) => connection.push(Direction::Sent, Timestamp(0), bytes(b), &mut events),
            Do::Received(b) => connection.push(Direction::Received, time, bytes(b), &mut events),
            Do::SentGap(n) => connection.push(Direction::Sent, time, gap(n), &mut events),
            Do::ReceivedGap(n) => connection.push(Direction::Received, time, gap(n), &mut events),
            Do::Close(reason) => connection.close(time, *reason, &mut events),
        }
    }
    (shown(&events), connection, account)
}

/// `0 POST /path`, `0 >body`, `0 >.` for a complete request, `0 200`, `0 <body`, `0 <e:data` for an event,
/// `0 <-5` for missing bytes, `0 =Complete`.
fn shown(events: &[Event]) -> String {
    let mut lines: Vec<(Option<(u64, char)>, String)> = Vec::new();
    for event in events {
        let id = event.exchange.0;
        let (joins, text) = match &event.kind {
            EventKind::RequestHead(head) => (None, format!("{id} {} {}", head.method, head.path)),
            EventKind::RequestEnd => (None, format!("{id} >.")),
            EventKind::ResponseHead(head) => (None, format!("{id} {}", head.status)),
            EventKind::ResponseTrailers(_) => (None, format!("{id} trailers")),
            EventKind::End(how) => (None, format!("{id} ={how:?}")),
            EventKind::RequestBody(body) => body_shown(id, '>', body),
            EventKind::ResponseBody(body) => body_shown(id, '<', body),
        };
        match lines.last_mut() {
            Some((before, line)) if joins.is_some() && *before == joins => line.push_str(&text[3..]),
            _ => lines.push((joins, text)),
        }
    }
    lines.into_iter().fold(String::new(), |mut all, (_, line)| {
        let _ = writeln!(all, "{line}");
        all
    })
}

fn body_shown(id: u64, way: char, body: &Body) -> (Option<(u64, char)>, String) {
    match body {
        Body::Bytes(b) => (Some((id, way)), format!("{id} {way}{}", String::from_utf8_lossy(b))),
        Body::Sse(e) => (None, format!("{id} {way}{}:{}", e.event, String::from_utf8_lossy(&e.data))),
        Body::Part(part) => (None, format!("{id} {way}{part:?}")),
        Body::Missing(m) => {
            (None, format!("{id} {way}-{}", m.len.map_or_else(|| "?".to_owned(), |n| n.to_string())))
        }
    }
}

fn lines(text: &[&str]) -> String {
    text.iter().fold(String::new(), |all, line| all + line + "\n")
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const GET_B: &str = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn whole_exchanges() {
    let one = ["0 GET /a", "0 >.", "0 200", "0 <ok", "0 =Complete"];
    let table: Vec<(Vec<Do>, Vec<&str>)> = vec![
        (vec![out(GET), back(OK)], one.to_vec()),
        (vec![out(POST), back(OK)], vec!["0 POST /p", "0 >body", "0 >.", "0 200", "0 <ok", "0 =Complete"]),
        // Keep-alive.
        (
            vec![out(GET), back(OK), out(GET_B), back(OK)],
            [&one[..], &["1 GET /b", "1 >.", "1 200", "1 <ok", "1 =Complete"]].concat(),
        ),
        // Pipelining.
        (
            vec![out(&(GET.to_owned() + POST + GET_B)), back(&(OK.to_owned() + OK)), back(OK)],
            vec![
                "0 GET /a",
                "0 >.",
                "1 POST /p",
                "1 >body",
                "1 >.",
                "2 GET /b",
                "2 >.",
                "0 200",
                "0 <ok",
                "0 =Complete",
                "1 200",
                "1 <ok",
                "1 =Complete",
                "2 200",
                "2 <ok",
                "2 =Complete",
            ],
        ),
        // Interim responses.
        (
            vec![
                out(GET),
                back("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
                back(OK),
            ],
            one.to_vec(),
        ),
        // Chunks with extensions and trailers.
        (vec![out(GET), back(CHUNKED), back("1;a=b\r\no\r\n1\r\nk\r\n0\r\nX: y\r\n\r\n")], one.to_vec()),
        // Both kinds of framing: chunks win (RFC 9112, section 6.3).
        (
            vec![
                out(GET),
                back(
                    "HTTP/1.1 200 OK\r\nContent-Length: 77\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                ),
            ],
            one.to_vec(),
        ),
        // Line feeds alone, and empty lines before a request.
        (
            vec![
                out("\r\n\r\nGET /a HTTP/1.1\nHost: h\n\n"),
                back("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
            ],
            one.to_vec(),
        ),
        // No body, whatever the headers say.
        (
            vec![
                out("HEAD /h HTTP/1.1\r\n\r\n"),
                back("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                out(GET_B),
                back(OK),
            ],
            vec![
                "0 HEAD /h",
                "0 >.",
                "0 200",
                "0 =Complete",
                "1 GET /b",
                "1 >.",
                "1 200",
                "1 <ok",
                "1 =Complete",
            ],
        ),
        (
            vec![
                out(GET),
                back("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
                out(GET_B),
                back("HTTP/1.1 204 No Content\r\n\r\n"),
            ],
            vec!["0 GET /a", "0 >.", "0 304", "0 =Complete", "1 GET /b", "1 >.", "1 204", "1 =Complete"],
        ),
        // Delimited by the close.
        (vec![out(GET), back("HTTP/1.0 200 OK\r\n\r\no"), back("k"), FREED], one.to_vec()),
        (
            vec![
                out(GET),
                back("HTTP/1.1 200 OK\r\n\r\no"),
                Do::Close(CloseReason::Shutdown),
                back("k"),
                FREED,
            ],
            one.to_vec(),
        ),
        // The captured process is the server.
        (vec![back(GET), out(OK)], one.to_vec()),
        (vec![back(GET), out("HTTP/1.0 200 OK\r\n\r\nok"), Do::Close(CloseReason::Shutdown)], one.to_vec()),
        // An answer before the request is complete waits for its end.
        (
            vec![out(&POST[..POST.len() - 2]), back(OK), out("dy"), out(GET_B)],
            vec!["0 POST /p", "0 >bo", "0 200", "0 <ok", "0 >dy", "0 >.", "0 =Complete", "1 GET /b", "1 >."],
        ),
        (
            vec![out(&POST[..POST.len() - 2]), back(OK), FREED],
            vec!["0 POST /p", "0 >bo", "0 200", "0 <ok", "0 =Complete"],
        ),
        // Events.
        (
            vec![
                out(GET),
                back(STREAM),
                back("9\r\ndata: a\n\n\r\n"),
                back("13\r\nevent: e\ndata: b\n\n"),
                back("\r\n0\r\n\r\n"),
            ],
            vec!["0 GET /a", "0 >.", "0 200", "0 <:a", "0 <e:b", "0 =Complete"],
        ),
    ];
    for (steps, expected) in table {
        let (shown, connection, account) = converse(&steps);
        assert_eq!(shown, lines(&expected), "{steps:?}");
        assert_eq!(connection.interest(), Interest::Http);
        assert_eq!(account.get(Counter::BytesUnparsed), 0, "{steps:?}");
    }
}

#[test]
fn ends_of_the_unfinished() {
    use CloseReason::{CaptureEnd, Freed, ProcessExit, Shutdown};
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
    let begun = ["0 GET /a", "0 >."];
    let answered = ["0 GET /a", "0 >.", "0 200", "0 <ok"];
    let table: Vec<(Vec<Do>, &[&str], &str)> = vec![
        (vec![out(GET), Do::Close(Freed)], &begun, "0 =ClosedLocally"),
        (vec![out(GET), Do::Close(ProcessExit)], &begun, "0 =ProcessExit"),
        (vec![out(GET), Do::Close(CaptureEnd)], &begun, "0 =CaptureEnd"),
        (vec![out(GET), back(half), Do::Close(Freed)], &answered, "0 =ClosedLocally"),
        (vec![out(GET), back(half), Do::Close(ProcessExit)], &answered, "0 =ProcessExit"),
        (
            vec![out(GET), back(half), Do::Close(Shutdown), Do::Close(ProcessExit)],
            &answered,
            "0 =ClosedLocally",
        ),
        (vec![out(GET), back(half), Do::Close(Shutdown), Do::Close(CaptureEnd)], &answered, "0 =CaptureEnd"),
        (vec![back(GET), out(half), Do::Close(Shutdown)], &answered, "0 =ClosedLocally"),
        (
            vec![out(GET), back("HTTP/1.1 200 OK\r\n\r\nok"), Do::Close(ProcessExit)],
            &answered,
            "0 =ProcessExit",
        ),
    ];
    for (steps, begun, end) in table {
        let (shown, ..) = converse(&steps);
        assert_eq!(shown, lines(&[begun, &[end]].concat()), "{steps:?}");
    }
}

#[test]
fn a_client_that_shut_down_may_still_read() {
    let (shown, ..) = converse(&[out(GET), Do::Close(CloseReason::Shutdown)]);
    assert_eq!(shown, lines(&["0 GET /a", "0 >."]));
}

#[test]
fn upgrades() {
    let switch = |to: &str| format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: {to}\r\n\r\n\u{1}\u{2}");
    let connect = "CONNECT a.example:443 HTTP/1.1\r\n\r\n";
    for (request, response, why) in [
        (GET, switch("websocket"), "websocket"),
        (GET, switch("h2c"), "upgrade"),
        (connect, "HTTP/1.1 200 OK\r\n\r\n\u{16}\u{3}".to_owned(), "tunnel"),
    ] {
        let (shown, connection, account) = converse(&[out(request), back(&response), out("\u{1}raw"), FREED]);
        assert!(shown.ends_with("0 =Complete\n"), "{shown}");
        assert_eq!(connection.interest(), Interest::Unread(why));
        assert_eq!(account.get(Counter::ConnectionsUnread), 1);
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (shown, connection, account) = converse(&[out(preface), FREED]);
    assert_eq!((&*shown, connection.interest()), ("", Interest::Undecided));
    assert_eq!(account.get(Counter::ConnectionsUnread), 0, "HTTP/2 is read elsewhere");
}

#[test]
fn what_is_no_http_is_given_up() {
    let limits = Limits { undecided_bytes: 100, ..Limits::default() };
    let (_, connection, account) = converse_within(limits, &[back(&"*".repeat(60)), out(&"*".repeat(60))]);
    assert_eq!(connection.interest(), Interest::Unread("no HTTP"));
    assert_eq!(account.get(Counter::ConnectionsUnread), 1);
    let (_, connection, account) = converse(&[back("\u{0}\u{1}\u{2}"), FREED]);
    assert_eq!(connection.interest(), Interest::Unread("no HTTP"));
    assert_eq!(account.get(Counter::BytesUnparsed), 0);
}

#[test]
fn requests_without_responses_are_bounded() {
    let limits = Limits { outstanding: 3, ..Limits::default() };
    let (shown, connection, _) = converse_within(limits, &[out(&GET.repeat(10))]);
    assert_eq!(shown.matches("GET").count(), 3);
    assert_eq!(shown.matches("Unreadable").count(), 3);
    assert!(matches!(connection.interest(), Interest::Unread(_)));
}

#[test]
fn heads_lose_their_credentials() {
    let account = Arc::new(Account::default());
    let mut connection = Connection::new(Limits::default(), account);
    let mut events = Vec::new();
    let request =
        b"POST http://me:pw@api.example:8080/v1/x?api-version=1&key=AIza#f HTTP/1.1\r\nHost: u:p@other\r\n\
        Authorization: Bearer sk-1\r\nX-Api-Key: sk-2\r\nContent-Type: application/json\r\n\
        Referer: https://a.example/?token=t\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nSet-Cookie: id=1\r\nX-Request-Id: r1\r\nContent-Length: 0\r\n\r\n";
    let push = |d, b: &'static [u8], c: &mut Connection, e: &mut Vec<Event>| {
        c.push(d, Timestamp(5), Piece::Bytes(Bytes::from_static(b)), e);
    };
    push(Direction::Sent, request, &mut connection, &mut events);
    push(Direction::Received, response, &mut connection, &mut events);
    let EventKind::RequestHead(head) = &events[0].kind else { panic!("{events:?}") };
    assert_eq!((&*head.path, &*head.query), ("/v1/x", "api-version=1"));
    assert_eq!(head.authority.as_deref(), Some("api.example:8080"));
    assert_eq!(head.role, Role::Client);
    let names: Vec<_> = head.headers.0.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(
        names,
        [("host", "other"), ("content-type", "application/json"), ("referer", "https://a.example/")]
    );
    let EventKind::ResponseHead(head) = &events[2].kind else { panic!("{events:?}") };
    assert_eq!(head.headers.get("x-request-id"), Some("r1"));
    assert_eq!(head.headers.get("set-cookie"), None);
    let all = format!("{events:?}");
    for secret in ["sk-1", "sk-2", "AIza", "pw", "u:p", "id=1", "token=t"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[test]
fn a_declined_exchange_is_framed_and_silent() {
    let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
    let mut events = Vec::new();
    let mut push = |c: &mut Connection, d, text: &str| {
        let mut new = Vec::new();
        c.push(d, Timestamp(0), Piece::Bytes(Bytes::copy_from_slice(text.as_bytes())), &mut new);
        events.append(&mut new);
        shown(&std::mem::take(&mut events))
    };
    let post = &POST[..POST.len() - 4];
    assert_eq!(push(&mut connection, Direction::Sent, post), "0 POST /p\n");
    connection.decline(ExchangeId(0));
    assert_eq!(push(&mut connection, Direction::Sent, "bo"), "");
    assert_eq!(push(&mut connection, Direction::Sent, &format!("dy{GET_B}")), "1 GET /b\n1 >.\n");
    assert_eq!(push(&mut connection, Direction::Received, OK), "");
    assert_eq!(push(&mut connection, Direction::Received, OK), "1 200\n1 <ok\n1 =Complete\n");
}

#[test]
fn plain_bodies_are_not_copied() {
    let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
    let mut events = Vec::new();
    let input = Bytes::from_static(POST.as_bytes());
    connection.push(Direction::Sent, Timestamp(0), Piece::Bytes(input.clone()), &mut events);
    let EventKind::RequestBody(Body::Bytes(body)) = &events[1].kind else { panic!("{events:?}") };
    assert_eq!(body.as_ptr(), input[input.len() - 4..].as_ptr());
}
