//! Both directions of a connection, with gaps.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use plainspan::{
    account::Account,
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
    wire::{Connection, Event, Limits},
};

use crate::{
    heard::{Heard, LIMITS, hear},
    script::{What, step},
};

/// The first bytes of a client that speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A host and a path of each kind of session.
pub const SESSIONS: [(&str, &str); 3] = [
    ("api.openai.com", "/v1/responses"),
    ("api.openai.com", "/v1/realtime"),
    (
        "generativelanguage.googleapis.com",
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    ),
];

/// A connection, and what was heard of it.
struct Conversation {
    connection: Connection,
    events: Vec<Event>,
}

impl Conversation {
    fn new(limits: Limits) -> Self {
        let connection = Connection::new(limits, Arc::new(Account::default()));
        Self { connection, events: Vec::new() }
    }

    fn push(&mut self, direction: Direction, piece: Piece) {
        self.connection.push(direction, Timestamp(0), piece, &mut self.events);
    }

    fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.push(direction, Piece::Bytes(Bytes::copy_from_slice(bytes)));
        }
    }

    /// Goes through a script, in whose frames payloads are put by `framed`.
    fn run(mut self, mut script: &[u8], framed: fn(Direction, [u8; 3], &[u8]) -> Vec<u8>) {
        while let Some(step) = step(&mut script) {
            let direction = if step.sent { Direction::Sent } else { Direction::Received };
            match step.what {
                What::Bytes(bytes) => self.bytes(direction, bytes),
                What::Frame(head, payload) => self.bytes(direction, &framed(direction, head, payload)),
                What::Gap(0) => {}
                What::Gap(len) => {
                    self.push(direction, Piece::Gap { len: len.into(), reason: GapReason::Lost });
                }
                What::Close => {
                    self.connection.close(Timestamp(0), CloseReason::Shutdown, &mut self.events);
                }
            }
        }
        for heard in self.close().values() {
            assert!(heard.end.is_some(), "every exchange has an end: {heard:?}");
        }
    }

    fn close(mut self) -> BTreeMap<u64, Heard> {
        self.connection.close(Timestamp(0), CloseReason::Freed, &mut self.events);
        hear(self.events)
    }
}

/// Frames are chunks (RFC 9112, section 7.1).
pub fn http1(script: &[u8]) {
    Conversation::new(LIMITS).run(script, |_, _, data| chunk(data));
}

/// After a client's preface.
pub fn http2(script: &[u8]) {
    let mut conversation = Conversation::new(LIMITS);
    conversation.bytes(Direction::Sent, PREFACE);
    conversation.run(script, |_, head, payload| frame(head, payload));
}

/// After a session was opened; its first byte says where, and with which extension.
pub fn websocket(script: &[u8]) {
    let Some((kind, script)) = script.split_first() else { return };
    let mut conversation = Conversation::new(LIMITS);
    conversation.bytes(Direction::Sent, open(kind / 3).as_bytes());
    conversation.bytes(Direction::Received, granted(*kind).as_bytes());
    conversation.run(script, |direction, [first, ..], payload| message(direction, first, payload));
}

/// A block of headers in one frame, or in fragments, or byte by byte: the heads are the same, and so are those that refer
/// to it.
pub fn header_block(block: &[u8]) {
    // A head whose frames are too many is given up, one that is in one frame is not.
    let size = (block.len() / 8).max(1);
    let fragments = match block.is_empty() {
        true => vec![block],
        false => block.chunks(size).collect(),
    };
    let mut continued = Vec::new();
    for (at, fragment) in fragments.iter().enumerate() {
        let last = if at + 1 == fragments.len() { 4 } else { 0 };
        continued.extend(frame(if at == 0 { [1, last | 1, 1] } else { [9, last, 1] }, fragment));
    }
    let whole = frame([1, 5, 1], block);
    let told = heads(&[&whole]);
    assert_eq!(heads(&[&continued]), told, "in fragments");
    let single: Vec<&[u8]> = whole.chunks(1).collect();
    assert_eq!(heads(&single), told, "byte by byte");
}

/// What is told of a connection whose client sends these pieces, and then a head that refers to the ones before.
fn heads(pieces: &[&[u8]]) -> BTreeMap<u64, Heard> {
    let mut conversation = Conversation::new(LIMITS);
    conversation.bytes(Direction::Sent, &[PREFACE, &frame([4, 0, 0], &[])].concat());
    for piece in pieces {
        conversation.bytes(Direction::Sent, piece);
    }
    // `:method: GET`, and the last three fields of the dynamic table (RFC 7541, section 6.1).
    conversation.bytes(Direction::Sent, &frame([1, 5, 3], &[0x82, 0xbe, 0xbf, 0xc0]));
    conversation.close()
}

/// A chunk.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// A frame of HTTP/2 (RFC 9113, section 4.1): type, flags and stream.
pub fn frame([kind, flags, stream]: [u8; 3], payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What opens a session.
fn open(session: u8) -> String {
    let (host, path) = SESSIONS[usize::from(session) % SESSIONS.len()];
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
}

/// The answer to it.
fn granted(extension: u8) -> String {
    let extension = match extension % 3 {
        0 => "",
        1 => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        _ => {
            "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n"
        }
    };
    format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{extension}\r\n")
}

/// A frame of a WebSocket (RFC 6455, section 5.2), masked with zeros if a client sends it.
pub fn message(direction: Direction, first: u8, payload: &[u8]) -> Vec<u8> {
    let masked = direction == Direction::Sent;
    let bit = u8::from(masked) << 7;
    let mut frame = vec![first];
    match u16::try_from(payload.len()) {
        Ok(n @ 0..=125) => frame.push(bit | n as u8),
        Ok(n) => frame.extend([&[bit | 126][..], &n.to_be_bytes()].concat()),
        Err(_) => frame.extend([&[bit | 127][..], &(payload.len() as u64).to_be_bytes()].concat()),
    }
    if masked {
        frame.extend([0; 4]);
    }
    frame.extend_from_slice(payload);
    frame
}
