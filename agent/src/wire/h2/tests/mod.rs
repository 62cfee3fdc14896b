//! Conversations of frames, and what is made of them.

mod exchanges;
mod limits;
mod losses;
mod properties;

use std::fmt::Write;

use super::*;
use crate::wire::{Body, Connection, start::PREFACE};

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
/// `0 <e:data` for an event, `0 <-5` for missing bytes, `0 name=value` for trailers, `0 =Complete`.
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
            EventKind::ResponseTrailers(trailers) => {
                let list = trailers.0.iter().map(|h| format!("{}={}", h.name, h.value));
                (None, format!("{id} {}", list.collect::<Vec<_>>().join(",")))
            }
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
