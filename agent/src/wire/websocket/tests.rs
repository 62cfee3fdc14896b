//! Sessions, and what is made of them.

use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;

use super::{deflate::tests::Deflate, frame::unmask};
use crate::{
    account::Counter,
    wire::{Body, Connection, EventKind, Interest},
};

use super::*;

mod live;
mod losses;
mod properties;
mod realtime;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const OPEN: &str =
    "GET /v1/responses HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fn granted(extensions: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nSec-WebSocket-Extensions: {extensions}\r\n\r\n"
    )
}

/// A frame with these first four bits.
fn frame(flags: u8, opcode: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags << 4 | opcode];
    let mask = u8::from(masked) << 7;
    match payload.len() {
        n @ 0..=125 => bytes.push(mask | n as u8),
        n @ 126..=0xffff => {
            bytes.push(mask + 126);
            bytes.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            bytes.push(mask + 127);
            bytes.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if masked {
        bytes.extend_from_slice(&KEY);
        unmask(&mut payload, KEY, 0);
    }
    bytes.extend(payload);
    bytes
}

/// A text message of the client, in one frame.
fn ask(text: &str) -> Vec<u8> {
    frame(8, 1, true, text.as_bytes())
}

/// One of the server.
fn answer(text: &str) -> Vec<u8> {
    frame(8, 1, false, text.as_bytes())
}

/// The message that asks, and those that answer, with a mark.
fn create(mark: &str) -> String {
    format!(r#"{{"type":"response.create","m":"{mark}"}}"#)
}

fn event(kind: &str, mark: &str) -> String {
    format!(r#"{{"type":"response.{kind}","m":"{mark}"}}"#)
}

/// The first event of an answer, as long as real ones, and as hard to compress.
fn created(mark: &str) -> String {
    let mut id = mark.bytes().fold(7u32, |id, byte| id.wrapping_mul(31).wrapping_add(byte.into()));
    let id: String = (0..1200)
        .map(|_| {
            id = id.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (id >> 24) as u8 % 26)
        })
        .collect();
    format!(r#"{{"type":"response.created","m":"{mark}","id":"{id}"}}"#)
}

struct Session {
    connection: Connection,
    account: Arc<Account>,
    events: Vec<Event>,
    clock: u64,
}

impl Session {
    /// A connection on which nothing was said.
    fn silent(limits: Limits) -> Self {
        let account = Arc::new(Account::default());
        let connection = Connection::new(limits, Arc::clone(&account));
        Self { connection, account, events: Vec::new(), clock: 0 }
    }

    fn open(extensions: &str) -> Self {
        Self::open_within(Limits::default(), extensions)
    }

    fn open_within(limits: Limits, extensions: &str) -> Self {
        Self::open_at("/v1/responses", limits, extensions)
    }

    /// A session of the API that the path names.
    fn open_at(path: &str, limits: Limits, extensions: &str) -> Self {
        let mut session = Self::silent(limits);
        session.sent(OPEN.replace("/v1/responses", path).as_bytes()).received(granted(extensions).as_bytes());
        assert_eq!(session.shown(), "0 GET\n0 >.\n0 101\n0 =Complete\n");
        session
    }

    fn push(&mut self, direction: Direction, piece: Piece) -> &mut Self {
        self.clock += 1;
        self.connection.push(direction, Timestamp(self.clock), piece, &mut self.events);
        self
    }

    fn sent(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Direction::Sent, Piece::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn received(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Direction::Received, Piece::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn gap(&mut self, direction: Direction, len: usize) -> &mut Self {
        self.push(direction, Piece::Gap { len: len as u64, reason: GapReason::Lost })
    }

    fn close(&mut self, reason: CloseReason) -> &mut Self {
        self.connection.close(Timestamp(self.clock), reason, &mut self.events);
        self
    }

    /// The events since the last time: `1 GET`, `1 >m` with the mark of a message, `1 >.` for a complete request,
    /// `1 101`, `1 <type:m`, `1 <-5` for missing bytes, `1 =Complete`.
    fn shown(&mut self) -> String {
        let mut all = String::new();
        for event in self.events.drain(..) {
            let id = event.exchange.0;
            let text = match &event.kind {
                EventKind::RequestHead(head) => {
                    assert_eq!(head.session, (id > 0).then_some(ExchangeId(0)));
                    head.method.to_string()
                }
                EventKind::RequestEnd => ">.".to_owned(),
                EventKind::ResponseHead(head) => head.status.to_string(),
                EventKind::RequestBody(body) => format!(">{}", body_shown(body)),
                EventKind::ResponseBody(body) => format!("<{}", body_shown(body)),
                EventKind::ResponseTrailers(_) => "trailers".to_owned(),
                EventKind::End(how) => format!("={how:?}"),
            };
            let _ = writeln!(all, "{id} {text}");
        }
        all
    }

    fn counts(&self) -> [u64; 4] {
        use Counter::{Messages, MessagesApart, MessagesCut, MessagesUnread};
        [Messages, MessagesApart, MessagesUnread, MessagesCut].map(|counter| self.account.get(counter))
    }
}

fn body_shown(body: &Body) -> String {
    let json = match body {
        Body::Bytes(bytes) => bytes,
        Body::Sse(event) => &event.data,
        Body::Part(part) => return format!("{part:?}"),
        Body::Missing(m) => {
            let len = m.len.map_or_else(|| "?".to_owned(), |n| n.to_string());
            return format!("-{len}{}", if m.cut { "cut" } else { "" });
        }
    };
    let json: serde_json::Value = serde_json::from_slice(json).unwrap();
    let Some(kind) = json["type"].as_str() else { return json.to_string() };
    format!("{}:{}", kind.trim_start_matches("response."), json["m"].as_str().unwrap_or_default())
}

fn lines(text: &[&str]) -> String {
    text.iter().fold(String::new(), |all, line| all + line + "\n")
}

const TURN: [&str; 7] =
    ["1 GET", "1 >create:a", "1 >.", "1 101", "1 <created:a", "1 <completed:a", "1 =Complete"];

#[test]
fn turns() {
    let mut session = Session::open("");
    session.sent(&ask(&create("a"))).received(&answer(&event("created", "a")));
    session.received(&answer(&event("completed", "a")));
    assert_eq!(session.shown(), lines(&TURN));
    // The next waits for the one before; what belongs to neither is passed over.
    let both = [ask(&create("b")), ask(r#"{"type":"other"}"#), ask(&create("c"))].concat();
    session.sent(&both).received(&answer(&event("created", "b")));
    session.received(&answer(r#"{"type":"codex.rate_limits","m":"x"}"#));
    session.received(&answer(&event("failed", "b"))).received(&answer(&event("created", "c")));
    session.received(&answer(r#"{"type":"error","m":"c"}"#)).received(&answer(r#"{"type":"ping"}"#));
    let expected = [
        "2 GET",
        "2 >create:b",
        "2 >.",
        "3 GET",
        "3 >create:c",
        "3 >.",
        "2 101",
        "2 <created:b",
        "2 <codex.rate_limits:x",
        "2 <failed:b",
        "2 =Complete",
        "3 101",
        "3 <created:c",
        "3 <error:c",
        "3 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));
    assert_eq!(session.counts(), [12, 2, 0, 0]);
    assert_eq!(session.connection.interest(), Interest::Http);
    assert_eq!(session.account.get(Counter::Exchanges), 4);
}

#[test]
fn what_follows_an_error_is_not_the_next_answer() {
    let mut session = Session::open("");
    session.sent(&ask(&create("a"))).received(&answer(r#"{"type":"error","m":"a"}"#));
    session.sent(&ask(&create("b"))).received(&answer(&event("failed", "a")));
    session.received(&answer(&event("created", "b"))).received(&answer(&event("incomplete", "b")));
    let expected = [
        "1 GET",
        "1 >create:a",
        "1 >.",
        "1 101",
        "1 <error:a",
        "1 =Complete",
        "2 GET",
        "2 >create:b",
        "2 >.",
        "2 101",
        "2 <created:b",
        "2 <incomplete:b",
        "2 =Complete",
    ];
    assert_eq!(session.shown(), lines(&expected));
}

#[test]
fn the_server_may_be_watched() {
    let mut session = Session::silent(Limits::default());
    session.received(OPEN.as_bytes()).sent(&[granted("").as_bytes(), &frame(8, 9, false, b"hi")].concat());
    session.received(&ask(&create("a"))).sent(&answer(&event("created", "a")));
    session.sent(&answer(&event("completed", "a")));
    assert_eq!(session.shown(), lines(&["0 GET", "0 >.", "0 101", "0 =Complete"]) + &lines(&TURN));
}

/// A client that reads in a thread of its own may have read the answer before its write has returned.
#[test]
fn the_request_may_be_seen_last() {
    let first = answer(&event("x", "y"));
    for (pieces, unread) in [
        (vec![[granted("").as_bytes(), &first].concat()], false),
        (vec![granted("").into_bytes(), first.clone()], false),
        (vec![granted("").into_bytes(), vec![0; 70_000]], true),
    ] {
        let mut session = Session::silent(Limits::default());
        for piece in &pieces {
            session.received(piece);
        }
        session.sent(OPEN.as_bytes());
        if unread {
            assert!(matches!(session.connection.interest(), Interest::Unread(_)));
            continue;
        }
        session.sent(&ask(&create("a"))).received(&answer(&event("created", "a")));
        session.received(&answer(&event("completed", "a")));
        assert_eq!(session.shown(), lines(&["0 GET", "0 >.", "0 101", "0 =Complete"]) + &lines(&TURN));
        assert_eq!(session.account.get(Counter::BytesUnparsed), 0);
    }
    // Nobody asked for it since the connection is seen.
    let mut session = Session::silent(Limits::default());
    session.received(granted("").as_bytes()).sent(&ask(&create("a")));
    assert!(session.account.get(Counter::BytesUnparsed) > 0);
    assert_eq!(session.shown(), "");
}

#[test]
fn messages_in_fragments_with_control_frames_between() {
    let mut session = Session::open("");
    let text = create("a");
    let (first, second) = text.as_bytes().split_at(9);
    session.sent(&[frame(0, 1, true, first), frame(8, 9, true, b"ping"), frame(8, 0, true, second)].concat());
    let (text, done) = (event("created", "a"), event("completed", "a"));
    let (first, second) = text.as_bytes().split_at(9);
    let parts = [
        frame(0, 1, false, first),
        frame(8, 10, false, b""),
        frame(0, 0, false, b""),
        frame(8, 0, false, second),
    ];
    session.received(&parts.concat()).received(&answer(&done));
    assert_eq!(session.shown(), lines(&TURN));
}

#[test]
fn compressed_messages() {
    for (extensions, client, server) in [
        ("permessage-deflate", true, true),
        ("permessage-deflate; server_no_context_takeover; server_max_window_bits=15", true, false),
        ("permessage-deflate; client_no_context_takeover", false, true),
    ] {
        let mut session = Session::open(extensions);
        let (mut asks, mut answers) = (Deflate::new(), Deflate::new());
        for turn in ["a", "b"] {
            let coded = asks.message(create(turn).as_bytes(), client);
            // Only the first frame of a message says that it is compressed.
            let (first, second) = coded.split_at(5);
            session.sent(&[frame(4, 1, true, first), frame(8, 0, true, second)].concat());
            for kind in ["created", "completed"] {
                let coded = answers.message(event(kind, turn).as_bytes(), server);
                session.received(&frame(12, 1, false, &coded));
            }
            // A message need not be compressed, and is no part of the window then.
            session.received(&answer("{}"));
        }
        let second = TURN.map(|line| line.replace('1', "2").replace("202", "101").replace(":a", ":b"));
        let second: String = second.iter().map(|line| line.clone() + "\n").collect();
        assert_eq!(session.shown().replace("2 202", "2 101"), lines(&TURN) + &second, "{extensions}");
        assert_eq!(session.counts(), [8, 2, 0, 0]);
    }
}

/// Each is many windows long, and compressed to next to nothing.
#[test]
fn compressed_messages_of_any_length() {
    for takeover in [true, false] {
        let parameters = if takeover { "" } else { "; server_no_context_takeover" };
        let mut session = Session::open(&format!("permessage-deflate{parameters}"));
        let mut answers = Deflate::new();
        session.sent(&ask(&create("a")));
        for length in (0..60).map(|n| n * 7919) {
            let text =
                event("delta", "a").replace('}', &format!(r#","t":"{}"}}"#, "lorem ".repeat(length / 6)));
            session.received(&frame(12, 1, false, &answers.message(text.as_bytes(), takeover)));
        }
        assert_eq!(session.shown().matches("1 <delta:a").count(), 60, "{takeover}");
        assert_eq!(session.counts(), [61, 0, 0, 0], "{takeover}");
    }
}

#[test]
fn ends_of_sessions() {
    use CloseReason::{CaptureEnd, Freed, FreedAfterFailedRead, ProcessExit, Shutdown};
    let close = |masked| frame(8, 8, masked, &1000u16.to_be_bytes());
    for (sent, received, reason, end) in [
        (None, None, Freed, "1 =ClosedLocally\n"),
        (None, None, FreedAfterFailedRead, "1 =Closed\n"),
        (None, None, ProcessExit, "1 =ProcessExit\n"),
        (None, None, CaptureEnd, "1 =CaptureEnd\n"),
        (None, None, Shutdown, ""),
        (Some(close(true)), None, ProcessExit, "1 =ClosedLocally\n"),
        (None, Some(close(false)), Freed, "1 =ClosedRemotely\n"),
        (Some(close(true)), Some(close(false)), Freed, "1 =ClosedLocally\n"),
    ] {
        let mut session = Session::open("");
        session.sent(&ask(&create("a")));
        session.shown();
        if let Some(frame) = sent {
            session.sent(&frame);
        }
        if let Some(frame) = received {
            session.received(&frame);
        }
        session.close(reason);
        assert_eq!(session.shown(), end, "{reason:?}");
    }
}

#[test]
fn a_declined_turn_is_followed_and_silent() {
    let mut session = Session::open("");
    session.sent(&ask(&create("a")));
    session.shown();
    session.connection.decline(ExchangeId(1));
    session.received(&answer(&event("created", "a"))).received(&answer(&event("completed", "a")));
    session.sent(&ask(&create("b"))).received(&answer(&event("created", "b")));
    assert_eq!(session.shown(), lines(&["2 GET", "2 >create:b", "2 >.", "2 101", "2 <created:b"]));
}

#[test]
fn what_is_not_read() {
    // A session that nobody wants, an extension that is not understood, one whose beginning was not seen.
    let mut session = Session::silent(Limits::default());
    session.sent(OPEN.as_bytes());
    session.connection.decline(ExchangeId(0));
    session.received(granted("").as_bytes());
    assert_eq!(session.connection.interest(), Interest::Unread("websocket"));

    let mut session = Session::silent(Limits::default());
    session.sent(OPEN.as_bytes()).received(granted("x-webkit-deflate-frame").as_bytes());
    assert_eq!(session.connection.interest(), Interest::Unread("websocket"));

    let mut session = Session::silent(Limits { undecided_bytes: 100, ..Limits::default() });
    for _ in 0..5 {
        session.sent(&ask(&create("a"))).received(&answer(&event("created", "a")));
    }
    assert_eq!(session.shown(), "");
    assert_eq!(session.connection.interest(), Interest::Unread("no HTTP"));
    assert_eq!(session.account.get(Counter::ConnectionsUnread), 1);
}

#[test]
fn limits_are_kept() {
    let limits = Limits { event_bytes: 100, outstanding: 2, ..Limits::default() };
    let mut session = Session::open_within(limits, "permessage-deflate");
    let bomb =
        Deflate::new().message(format!("{}{}", event("x", "y"), " ".repeat(16 << 20)).as_bytes(), true);
    let long = format!("{}{}", create("a"), " ".repeat(500));
    session.sent(&ask(&long)).received(&frame(12, 1, false, &bomb));
    session
        .received(&answer(&(event("delta", "a") + &" ".repeat(101))))
        .received(&answer(&event("completed", "a")));
    let expected =
        ["1 GET", "1 >-?cut", "1 >.", "1 101", "1 <-?cut", "1 <-?cut", "1 <completed:a", "1 =Complete"];
    assert_eq!(session.shown(), lines(&expected));
    assert_eq!(session.counts(), [4, 0, 0, 3]);
    session.sent(&ask(&create("b")).repeat(3));
    let shown = session.shown();
    assert_eq!((shown.matches("GET").count(), shown.matches("=Unreadable").count()), (2, 2), "{shown}");
    assert!(matches!(session.connection.interest(), Interest::Unread(_)));
}

#[test]
fn what_is_no_frame_ends_the_reading() {
    for bytes in [&b"\x83\x01x"[..], b"\x80\x01x", b"\x01\x01{\x81\x01}", b"\xc1\x01x"] {
        let mut session = Session::open("");
        session.sent(&ask(&create("a")));
        session.shown();
        session.received(bytes);
        assert_eq!(session.shown(), "1 =Unreadable\n", "{bytes:x?}");
        assert_eq!(session.connection.interest(), Interest::Unread("malformed WebSocket"));
        assert_eq!(session.account.get(Counter::BytesUnparsed), bytes.len() as u64);
    }
}
