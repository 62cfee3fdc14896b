//! What holds for anything that the encoder of the AWS SDK writes.

use std::sync::Arc;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::{
    DateTime,
    event_stream::{Header, HeaderValue, Message},
};
use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    account::{Account, Counter},
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
    wire::{Body, Connection, EventKind, Limits, SseEvent},
};

/// A message as it is encoded, and the event that has to come of it.
#[derive(Clone, Debug)]
struct Sent {
    bytes: Vec<u8>,
    event: SseEvent,
}

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Int16),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<i64>().prop_map(HeaderValue::Int64),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|v| HeaderValue::ByteArray(v.into())),
        ".{0,40}".prop_map(|text| HeaderValue::String(text.into())),
        any::<i32>().prop_map(|at| HeaderValue::Timestamp(DateTime::from_secs(at.into()))),
        any::<u128>().prop_map(HeaderValue::Uuid),
    ]
}

prop_compose! {
    fn sent()(
        before in prop::collection::vec(("[a-z-]{1,20}", value()), 0..5),
        kind in prop::option::of((
            prop::sample::select(vec![":event-type", ":exception-type", ":error-code"]),
            ".{0,20}",
        )),
        after in prop::collection::vec(("[a-z-]{1,200}", value()), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) -> Sent {
        let mut headers: Vec<Header> = before.into_iter().map(|(name, value)| Header::new(name, value)).collect();
        if let Some((name, text)) = &kind {
            headers.push(Header::new(*name, HeaderValue::String(text.clone().into())));
        }
        headers.extend(after.into_iter().map(|(name, value)| Header::new(name, value)));
        let message = Message::new_from_parts(headers, payload.clone());
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).expect("it is within the format's limits");
        let event = kind.map_or_else(String::new, |(_, text)| text).into();
        Sent { bytes, event: SseEvent { event, data: payload.into() } }
    }
}

/// What was told of a response.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<SseEvent>,
    /// Places at which bytes are missing: so many events came before.
    missing: Vec<usize>,
    undecoded: u64,
}

/// Reads a response with these pieces of a body of so many bytes; `None` is a gap.
fn told(len: usize, pieces: Vec<(Option<&[u8]>, usize)>) -> Told {
    let account = Arc::new(Account::default());
    let mut connection = Connection::new(Limits::default(), Arc::clone(&account));
    let mut out = Vec::new();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nContent-Length: {len}\r\n\r\n"
    );
    let bytes = |bytes: &[u8]| Piece::Bytes(Bytes::copy_from_slice(bytes));
    connection.push(Direction::Sent, Timestamp(0), bytes(b"POST / HTTP/1.1\r\nHost: h\r\n\r\n"), &mut out);
    connection.push(Direction::Received, Timestamp(0), bytes(head.as_bytes()), &mut out);
    for (piece, len) in pieces {
        let piece = piece.map_or(Piece::Gap { len: len as u64, reason: GapReason::Lost }, bytes);
        connection.push(Direction::Received, Timestamp(0), piece, &mut out);
    }
    connection.close(Timestamp(0), CloseReason::Freed, &mut out);
    let mut told = Told { undecoded: account.get(Counter::BodiesUndecoded), ..Told::default() };
    for event in out {
        match event.kind {
            EventKind::ResponseBody(Body::Sse(event)) => told.events.push(event),
            EventKind::ResponseBody(Body::Missing(_)) => told.missing.push(told.events.len()),
            EventKind::ResponseBody(Body::Bytes(bytes)) => panic!("no plain bytes: {bytes:?}"),
            _ => {}
        }
    }
    told
}

/// The bytes, cut.
fn cut<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<(Option<&'a [u8]>, usize)> {
    let (mut pieces, mut rest, mut sizes) = (Vec::new(), bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(sizes.next().map_or(rest.len(), |size| rest.len().min(*size)));
        pieces.push((Some(piece), piece.len()));
        rest = after;
    }
    pieces
}

fn joined(sent: &[Sent]) -> Vec<u8> {
    sent.iter().flat_map(|message| message.bytes.clone()).collect()
}

fn events(sent: &[Sent]) -> Vec<SseEvent> {
    sent.iter().map(|message| message.event.clone()).collect()
}

proptest! {
    #[test]
    fn any_message_in_any_cut(
        sent in prop::collection::vec(sent(), 1..5),
        sizes in prop::collection::vec(1usize..60, 1..20),
    ) {
        let bytes = joined(&sent);
        let expected = Told { events: events(&sent), ..Told::default() };
        prop_assert_eq!(told(bytes.len(), cut(&bytes, &sizes)), expected);
    }

    /// One wrong byte: nothing comes of its message, and that is said and counted.
    #[test]
    fn one_wrong_byte(
        sent in prop::collection::vec(sent(), 1..5),
        sizes in prop::collection::vec(1usize..60, 1..20),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = joined(&sent);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let mut end = 0;
        let whole = sent.iter().take_while(|message| { end += message.bytes.len(); end <= at }).count();
        let expected = Told { events: events(&sent[..whole]), missing: vec![whole], undecoded: 1 };
        prop_assert_eq!(told(bytes.len(), cut(&bytes, &sizes)), expected);
    }

    /// A gap behind the prelude takes away its message, and no other.
    #[test]
    fn a_gap_in_a_message(
        sent in prop::collection::vec(sent(), 1..5),
        which in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        const PRELUDE: usize = 12;
        let which = which.index(sent.len());
        let before: usize = sent[..which].iter().map(|message| message.bytes.len()).sum();
        let len = sent[which].bytes.len();
        let from = PRELUDE + from.index(len - PRELUDE);
        let to = from + 1 + to.index(len - from);
        let bytes = joined(&sent);
        let mut pieces = vec![(Some(&bytes[..before + from]), 0), (None, to - from)];
        if before + to < bytes.len() {
            pieces.push((Some(&bytes[before + to..]), 0));
        }
        let mut expected = events(&sent);
        expected.remove(which);
        let expected = Told { events: expected, missing: vec![which], undecoded: 0 };
        prop_assert_eq!(told(bytes.len(), pieces), expected);
    }
}
