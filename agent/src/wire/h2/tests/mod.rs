//! Conversations of frames, and what is made of them.

mod properties;

use std::fmt::Write;

use super::*;
use crate::wire::{Body, Connection, Interest, start::PREFACE};

/// One step of a conversation.
#[derive(Clone, Debug)]
enum Do {
    Sent(Vec<u8>),
    Received(Vec<u8>),
    SentGap(u64),
    ReceivedGap(u64),
    Close(CloseReason),
}

use Do::{Received as Back, ReceivedGap, Sent as Out, SentGap};

const FREED: Do = Do::Close(CloseReason::Freed);

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// A literal with incremental indexing.
fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(name, value)).collect()
}

fn data(stream: u8, text: &str) -> Vec<u8> {
    frame(0, 0, stream, text.as_bytes())
}

fn last(stream: u8, text: &str) -> Vec<u8> {
    frame(0, 1, stream, text.as_bytes())
}

/// A request without a body.
fn get(stream: u8, path: &str) -> Vec<u8> {
    frame(1, 5, stream, &block(&[(":method", "GET"), (":path", path), (":authority", "h")]))
}

/// The head of a request with one.
fn post(stream: u8, path: &str) -> Vec<u8> {
    frame(1, 4, stream, &block(&[(":method", "POST"), (":path", path), (":authority", "h")]))
}

fn ok(stream: u8) -> Vec<u8> {
    frame(1, 4, stream, &block(&[(":status", "200")]))
}

/// What a client begins with.
fn preface() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])].concat()
}

fn settings() -> Vec<u8> {
    [frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]), frame(4, 1, 0, &[])].concat()
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// Runs a conversation and shows its events, adjacent bytes of a body joined.
fn converse_within(limits: Limits, steps: &[Do]) -> (String, Connection, Arc<Account>) {
    let account = Arc::new(Account::default());
    let mut connection = Connection::new(limits, account.clone());
    let mut events = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let time = Timestamp(at as u64);
        let gap = |len: &u64| Piece::Gap { len: *len, reason: GapReason::Lost };
        let bytes = |b: &[u8]| Piece::Bytes(Bytes::copy_from_slice(b));
        match step {
            Out(b) => connection.push(Direction::Sent, time, bytes(b), &mut events),
            Back(b) => connection.push(Direction::Received, time, bytes(b), &mut events),
            SentGap(n) => connection.push(Direction::Sent, time, gap(n), &mut events),
            ReceivedGap(n) => connection.push(Direction::Received, time, gap(n), &mut events),
            Do::Close(reason) => connection.close(time, *reason, &mut events),
        }
    }
    (shown(&events), connection, account)
}

fn converse(steps: &[Do]) -> (String, Connection, Arc<Account>) {
    converse_within(Limits::default(), steps)
}

/// `0 POST /path`, with `?` behind it if it is partial, `0 >body`, `0 >.` for a complete request, `0 200`, `0 <body`,
/// `0 <e:data` for an event, `0 <-5` for missing bytes, `0 =Complete`.
fn shown(events: &[Event]) -> String {
    let mut lines: Vec<(Option<(u64, char)>, String)> = Vec::new();
    for event in events {
        let id = event.exchange.0;
        let mark = |partial: bool| if partial { "?" } else { "" };
        let body = |way: char, body: &Body| match body {
            Body::Bytes(b) => (Some((id, way)), format!("{id} {way}{}", String::from_utf8_lossy(b))),
            Body::Sse(e) => (None, format!("{id} {way}{}:{}", e.event, String::from_utf8_lossy(&e.data))),
            Body::Part(part) => (None, format!("{id} {way}{part:?}")),
            Body::Missing(m) => {
                (None, format!("{id} {way}-{}", m.len.map_or_else(|| "?".to_owned(), |n| n.to_string())))
            }
        };
        let (joins, text) = match &event.kind {
            EventKind::RequestHead(head) => {
                (None, format!("{id} {} {}{}", head.method, head.path, mark(head.partial)))
            }
            EventKind::RequestEnd => (None, format!("{id} >.")),
            EventKind::ResponseHead(head) => (None, format!("{id} {}{}", head.status, mark(head.partial))),
            EventKind::End(how) => (None, format!("{id} ={how:?}")),
            EventKind::RequestBody(b) => body('>', b),
            EventKind::ResponseBody(b) => body('<', b),
        };
        match lines.last_mut() {
            Some((before, line)) if joins.is_some() && *before == joins => line.push_str(&text[3..]),
            _ => lines.push((joins, text)),
        }
    }
    lines.into_iter().fold(String::new(), |mut all, (_, line)| {
        let _ = write!(all, "{line}; ");
        all
    })
}

const ONE: &str = "0 GET /a; 0 >.; 0 200; 0 <ok; 0 =Complete; ";

fn check(table: Vec<(&str, Vec<Do>, &str)>) {
    for (what, steps, expected) in table {
        let (seen, ..) = converse(&steps);
        assert_eq!(seen, expected, "{what}: {steps:?}");
    }
}

#[test]
fn whole_exchanges() {
    let begin = || vec![Out(preface()), Back(settings())];
    let with = |steps: Vec<Do>| [begin(), steps].concat();
    check(vec![
        ("one", with(vec![Out(get(1, "/a")), Back(join(&[ok(1), last(1, "ok")]))]), ONE),
        (
            "the server speaks first",
            vec![Back(settings()), Out(preface()), Out(get(1, "/a")), Back(ok(1)), Back(last(1, "ok"))],
            ONE,
        ),
        (
            "the other side's client",
            vec![Back(preface()), Out(settings()), Back(get(1, "/a")), Out(ok(1)), Out(last(1, "ok"))],
            ONE,
        ),
        (
            "interleaved",
            with(vec![
                Out(join(&[post(1, "/a"), post(3, "/b"), data(1, "x"), last(3, "y"), last(1, "z")])),
                Back(join(&[
                    ok(3),
                    ok(1),
                    data(1, "1"),
                    data(3, "2"),
                    data(1, "3"),
                    last(3, ""),
                    last(1, ""),
                ])),
            ]),
            "0 POST /a; 1 POST /b; 0 >x; 1 >y; 1 >.; 0 >z; 0 >.; 1 200; 0 200; 0 <1; 1 <2; 0 <3; \
             1 =Complete; 0 =Complete; ",
        ),
        (
            "interim responses, trailers, an empty end",
            with(vec![
                Out(get(1, "/a")),
                Back(frame(1, 4, 1, &block(&[(":status", "103"), ("link", "x")]))),
                Back(ok(1)),
                Back(data(1, "ok")),
                Back(frame(1, 5, 1, &block(&[("grpc-status", "0")]))),
            ]),
            ONE,
        ),
        (
            "trailers of a request",
            with(vec![
                Out(post(1, "/a")),
                Out(data(1, "b")),
                Out(frame(1, 5, 1, &block(&[("a", "b")]))),
                Back(frame(1, 5, 1, &block(&[(":status", "204")]))),
            ]),
            "0 POST /a; 0 >b; 0 >.; 0 204; 0 =Complete; ",
        ),
        (
            "the response comes first",
            with(vec![Out(post(1, "/a")), Back(ok(1)), Back(last(1, "no")), Out(last(1, "b"))]),
            "0 POST /a; 0 200; 0 <no; 0 >b; 0 >.; 0 =Complete; ",
        ),
        (
            "a reset behind a whole response is its end",
            with(vec![Out(post(1, "/a")), Back(join(&[ok(1), last(1, "no"), frame(3, 0, 1, &[0; 4])]))]),
            "0 POST /a; 0 200; 0 <no; 0 =Complete; ",
        ),
        (
            "an event stream",
            with(vec![
                Out(get(1, "/a")),
                Back(frame(1, 4, 1, &block(&[(":status", "200"), ("content-type", "text/event-stream")]))),
                Back(data(1, "data: 1\n\ndata")),
                Back(last(1, ": 2\n\n")),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <:1; 0 <:2; 0 =Complete; ",
        ),
        (
            "other frames, padding, priorities, promises, several frames for a block",
            with(vec![
                Out(join(&[
                    frame(8, 0, 0, &[0, 0, 1, 0]),
                    frame(2, 0, 1, &[0; 5]),
                    frame(0xee, 7, 9, b"who knows"),
                ])),
                Out(frame(
                    1,
                    0x2d,
                    1,
                    &[&[3, 0, 0, 0, 0, 7][..], &block(&[(":method", "GET")]), &[0; 3]].concat(),
                )),
                Out(frame(1, 1, 3, &block(&[(":method", "GET"), (":path", "/")])[..14])),
                Out(frame(9, 0, 3, &block(&[(":method", "GET"), (":path", "/")])[14..20])),
                Out(frame(9, 4, 3, &block(&[(":method", "GET"), (":path", "/")])[20..])),
                Back(frame(5, 4, 3, &[&[0, 0, 0, 2][..], &block(&[(":path", "/pushed")])].concat())),
                // What the promise put into the table is the newest but one.
                Back(frame(1, 4, 2, &block(&[(":status", "200")]))),
                Back(frame(1, 4, 3, &[0xbe])),
                Back(frame(0, 8, 3, b"\x02padded\0\0")),
                Back(last(3, "")),
                FREED,
            ]),
            "0 GET ; 0 >.; 1 GET /; 1 >.; 1 200; 1 <padded; 1 =Complete; 0 =ClosedLocally; ",
        ),
        (
            "a tunnel",
            with(vec![
                Out(frame(1, 4, 1, &block(&[(":method", "CONNECT"), (":authority", "h:1")]))),
                Back(ok(1)),
                Back(data(1, "\0")),
                Out(last(1, "\0")),
                FREED,
            ]),
            "0 CONNECT ; 0 200; 0 =Complete; ",
        ),
    ]);
}

#[test]
fn cut_short() {
    let begin = |more: Vec<Do>| {
        [
            vec![Out(preface()), Back(settings()), Out(join(&[get(1, "/a"), get(3, "/b")]))],
            vec![Back(ok(1)), Back(data(1, "half"))],
            more,
        ]
        .concat()
    };
    let table = [
        (vec![FREED], "0 =ClosedLocally; 1 =ClosedLocally; "),
        (vec![Do::Close(CloseReason::Shutdown)], ""),
        (vec![Do::Close(CloseReason::FreedAfterFailedRead)], "0 =Closed; 1 =Closed; "),
        (vec![Do::Close(CloseReason::ProcessExit)], "0 =ProcessExit; 1 =ProcessExit; "),
        (vec![Do::Close(CloseReason::CaptureEnd)], "0 =CaptureEnd; 1 =CaptureEnd; "),
        (
            vec![Out(frame(3, 0, 1, &[0, 0, 0, 8])), Back(ok(3)), Back(last(3, "b"))],
            "0 =ClosedLocally; 1 200; 1 <b; 1 =Complete; ",
        ),
        (vec![Back(frame(3, 0, 1, &[0, 0, 0, 2])), Back(data(1, "late"))], "0 =ClosedRemotely; "),
        (
            vec![Back(frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])), Back(last(1, "!"))],
            "1 =ClosedRemotely; 0 <!; 0 =Complete; ",
        ),
        (vec![Out(frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0])), Back(last(1, "!"))], "0 <!; 0 =Complete; "),
    ];
    for (steps, expected) in table {
        let (seen, ..) = converse(&begin(steps.clone()));
        let before = "0 GET /a; 0 >.; 1 GET /b; 1 >.; 0 200; 0 <half";
        let rest = seen.strip_prefix(before).unwrap_or_else(|| panic!("{seen}"));
        let rest = rest.strip_prefix("; ").map_or_else(|| format!("0 <{rest}"), str::to_owned);
        assert_eq!(rest, expected, "{steps:?}");
    }
}

#[test]
fn gaps() {
    let begin = |more: Vec<Do>| {
        [vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1))], more].concat()
    };
    let long = data(1, "0123456789");
    check(vec![
        (
            "within a payload",
            begin(vec![
                Back(long[..12].to_vec()),
                ReceivedGap(4),
                Back(long[16..].to_vec()),
                Back(last(1, "ok")),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-4; 0 <789ok; 0 =Complete; ",
        ),
        (
            "the rest of a payload",
            begin(vec![Back(long[..12].to_vec()), ReceivedGap(7), Back(last(1, "ok"))]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-7; 0 <ok; 0 =Complete; ",
        ),
        (
            "the rest of the last payload",
            begin(vec![Back(last(1, "0123456789")[..12].to_vec()), ReceivedGap(7)]),
            "0 GET /a; 0 >.; 0 200; 0 <012; 0 <-7; 0 =Complete; ",
        ),
        (
            "more than that: the other stream's body is in doubt, and goes on",
            begin(vec![
                Out(get(3, "/b")),
                Back(ok(3)),
                Back(data(3, "b")),
                Back(long[..12].to_vec()),
                ReceivedGap(20),
                Back(last(1, "ok")),
                Back(last(3, "ok")),
            ]),
            "0 GET /a; 0 >.; 0 200; 1 GET /b; 1 >.; 1 200; 1 <b; 0 <012; 0 <-7; 0 <-?; 1 <-?; 0 <ok; \
             0 =Complete; 1 <ok; 1 =Complete; ",
        ),
        (
            "an end",
            begin(vec![Back(data(1, "b")), ReceivedGap(20), FREED]),
            "0 GET /a; 0 >.; 0 200; 0 <b; 0 <-?; 0 =Unreadable; ",
        ),
        (
            "a head of a response: what follows can't be read",
            begin(vec![
                Out(get(3, "/b")),
                ReceivedGap(30),
                Back(join(&[data(3, "b"), last(1, "ok")])),
                Back(last(3, "b")),
            ]),
            "0 GET /a; 0 >.; 0 200; 1 GET /b; 1 >.; 0 <-?; 1 <-?; 0 <ok; 0 =Complete; 1 =Unreadable; ",
        ),
        (
            "a part of a head: the stream is known, and later heads that refer to it are partial",
            begin(vec![
                Back(last(1, "ok")),
                Out(get(3, "/b")[..20].to_vec()),
                SentGap(get(3, "/b").len() as u64 - 20),
                Out(frame(1, 5, 5, &[&[0xbe][..], &literal(":path", "/c")].concat())),
                Back(join(&[ok(3), last(3, "b"), ok(5), last(5, "c")])),
            ]),
            "0 GET /a; 0 >.; 0 200; 0 <ok; 0 =Complete; 1  /c?; 1 >.; 1 200; 1 <c; 1 =Complete; ",
        ),
    ]);
}

#[test]
fn an_answer_whose_end_was_missed_does_not_stay_for_ever() {
    let mut steps = vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1)), ReceivedGap(20)];
    for stream in 1..=17 {
        let stream = 2 * stream + 1;
        steps.extend([Out(get(stream, "/b")), Back(join(&[ok(stream), last(stream, "")]))]);
    }
    let (seen, ..) = converse(&steps);
    assert!(seen.contains("; 0 =Unreadable; 17 GET"), "{seen}");
}

#[test]
fn joined_late() {
    let known = block(&[(":method", "POST"), (":path", "/c"), ("a", "b")]);
    check(vec![
        (
            "at a request",
            vec![Out(frame(1, 4, 9, &known)), Out(last(9, "b")), Back(join(&[ok(9), last(9, "ok")]))],
            "0 POST /c; 0 >b; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "within a response, whose request was missed",
            vec![
                Back(data(7, "rest")),
                Back(last(7, "!")),
                Out(frame(1, 5, 9, &known)),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "within a frame",
            vec![
                Back(b"rest of some frame".to_vec()),
                Back(data(7, "rest")),
                Out(frame(1, 5, 9, &known)),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "behind a gap",
            vec![
                SentGap(50),
                Out(frame(1, 5, 9, &known)),
                ReceivedGap(5),
                Back(join(&[ok(9), last(9, "ok")])),
            ],
            "0 POST /c; 0 >.; 0 200; 0 <ok; 0 =Complete; ",
        ),
        (
            "the path is unknown, and then known",
            vec![
                Out(frame(1, 5, 9, &[0x83, 0xbe])),
                Back(join(&[ok(9), last(9, "ok")])),
                Out(frame(1, 5, 11, &[&[0x83][..], &literal(":path", "/c")].concat())),
                Back(join(&[ok(11), last(11, "ok")])),
                Out(frame(1, 5, 13, &[0x83, 0xbe])),
            ],
            "0 POST ?; 0 >.; 0 200; 0 <ok; 0 =Complete; 1 POST /c; 1 >.; 1 200; 1 <ok; 1 =Complete; \
             2 POST /c; 2 >.; ",
        ),
        (
            "the type of a response is unknown: its body tells, or is missing",
            vec![
                Out(join(&[frame(1, 5, 9, &known), frame(1, 5, 11, &known), frame(1, 5, 13, &known)])),
                Back(join(&[frame(1, 4, 9, &[0x88, 0xc5]), last(9, "data: {}\n\n")])),
                Back(join(&[frame(1, 4, 11, &[0x88, 0xc5]), data(11, "{\"a\""), last(11, ": 1}")])),
                Back(join(&[frame(1, 4, 13, &[0x88, 0xc5]), last(13, "\x1b\x03\0\0\0\0\0\0")])),
            ],
            "0 POST /c; 0 >.; 1 POST /c; 1 >.; 2 POST /c; 2 >.; 0 200?; 0 <:{}; 0 =Complete; \
             1 200?; 1 <{\"a\": 1}; 1 =Complete; 2 200?; 2 <-?; 2 =Complete; ",
        ),
    ]);
    let late = [Out(frame(1, 4, 9, &known)), FREED];
    let (_, connection, account) = converse(&late);
    assert_eq!(connection.interest(), Interest::Http);
    assert_eq!(account.get(Counter::ConnectionsLate), 1);
    let (.., account) = converse(&[Out(preface()), Back(settings()), Out(get(1, "/a")), FREED]);
    assert_eq!(account.get(Counter::ConnectionsLate), 0);
}

#[test]
fn limits() {
    let begin = vec![Out(preface()), Back(settings())];
    let few = Limits { streams: 2, head_bytes: 100, undecided_bytes: 1000, ..Limits::default() };
    let mut steps = begin.clone();
    steps.push(Out(join(&[get(1, "/a"), get(3, "/b"), get(5, "/c")])));
    steps.push(Back(join(&[ok(5), last(5, "c"), ok(1), last(1, "a")])));
    steps.push(Out(get(7, "/d")));
    let (seen, _, account) = converse_within(few, &steps);
    assert_eq!(
        seen, "0 GET /a; 0 >.; 1 GET /b; 1 >.; 0 200; 0 <a; 0 =Complete; 2 GET /d; 2 >.; ",
        "there is no room for /c"
    );
    assert_eq!(account.get(Counter::ExchangesRefused), 1);
    assert_eq!(account.get(Counter::Exchanges), 3);

    let long = block(&[(":method", "GET"), (":path", "/a"), ("x", &"y".repeat(90))]);
    let (one, two) = long.split_at(60);
    for heads in [frame(1, 5, 1, &long), join(&[frame(1, 1, 1, one), frame(9, 4, 1, two)])] {
        let mut steps = begin.clone();
        steps.extend([Out(heads), Out(frame(1, 5, 3, &[&[0xbe][..], &literal(":path", "/b")].concat()))]);
        let (seen, _, account) = converse_within(few, &steps);
        assert_eq!(seen, "0  /b?; 0 >.; ", "a head over the limit is not read");
        assert_eq!(account.get(Counter::HeadsUnknown), 1);
    }

    let noise = Back(vec![0xff; 600]);
    let (_, connection, account) = converse_within(few, &[Back(settings()), noise.clone(), noise, FREED]);
    assert_eq!(connection.interest(), Interest::Unread("no HTTP"));
    assert_eq!(account.get(Counter::ConnectionsUnread), 1);
}

#[test]
fn malformed_frames_lose_the_place_and_then_the_connection() {
    let begin = vec![Out(preface()), Back(settings()), Out(get(1, "/a")), Back(ok(1))];
    let wrong = || Back(join(&[frame(3, 0, 1, b"12345"), b"and more".to_vec()]));
    let mut steps = begin.clone();
    steps.extend([wrong(), Back(last(1, "ok"))]);
    assert_eq!(converse(&steps).0, "0 GET /a; 0 >.; 0 200; 0 <-?; 0 <ok; 0 =Complete; ");
    let mut steps = begin.clone();
    // A frame between those of a block.
    steps.extend([Back(join(&[frame(1, 0, 1, &[0x88]), last(1, "ok")])), FREED]);
    assert_eq!(converse(&steps).0, "0 GET /a; 0 >.; 0 200; 0 <-?; 0 =Unreadable; ");
    let mut steps = begin;
    for _ in 0..=MALFORMED {
        steps.extend([wrong(), Back(data(1, "x"))]);
    }
    let (seen, connection, _) = converse(&steps);
    assert!(seen.ends_with("0 =Unreadable; "), "{seen}");
    assert_eq!(connection.interest(), Interest::Unread("malformed HTTP/2"));
}

#[test]
fn heads_that_make_no_sense() {
    let begin = |more: Vec<Do>| [vec![Out(preface()), Back(settings()), Out(get(1, "/a"))], more].concat();
    check(vec![
        (
            "a block that is no block takes the table with it",
            begin(vec![Back(frame(1, 4, 1, &[0x80])), Back(last(1, "ok"))]),
            "0 GET /a; 0 >.; 0 <-?; 0 =Unreadable; ",
        ),
        ("a response from the client", begin(vec![Out(ok(1)), Back(join(&[ok(1), last(1, "ok")]))]), ONE),
        (
            "trailers of a request that was missed",
            begin(vec![
                Out(frame(1, 5, 3, &block(&[("checksum", "x")]))),
                Back(join(&[ok(3), ok(1), last(1, "ok")])),
            ]),
            ONE,
        ),
        (
            "a stream that is over",
            begin(vec![Back(join(&[ok(1), last(1, "ok")])), Out(get(1, "/b")), Back(data(1, "x"))]),
            ONE,
        ),
    ]);
}
