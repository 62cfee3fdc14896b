//! What holds for any conversation and any bytes, however they are cut.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Body, Connection, Event, EventKind, ExchangeEnd, Limits, SseEvent, encoding::tests::encode};
use crate::{
    account::Account,
    capture::{CloseReason, Direction},
    stream::{GapReason, Piece},
    time::Timestamp,
};

/// A generated exchange: its bytes, and what has to come of them.
#[derive(Clone, Debug)]
struct Spoken {
    request: Vec<u8>,
    response: Vec<u8>,
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    events: Vec<SseEvent>,
}

fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(size) {
        framed.extend_from_slice(format!("{:x};x=y\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\nTrailer: t\r\n\r\n");
    framed
}

fn message(first: &str, coding: &str, kind: &str, body: &[u8], chunk: Option<usize>) -> Vec<u8> {
    let body = encode(coding, body);
    let framing = match chunk {
        Some(_) => "Transfer-Encoding: chunked".to_owned(),
        None => format!("Content-Length: {}", body.len()),
    };
    let coding = if coding == "identity" { String::new() } else { format!("Content-Encoding: {coding}\r\n") };
    let mut all = format!("{first}\r\n{coding}Content-Type: {kind}\r\n{framing}\r\n\r\n").into_bytes();
    all.extend(match chunk {
        Some(size) => chunked(&body, size),
        None => body,
    });
    all
}

prop_compose! {
    fn spoken()(
        request_body in prop::collection::vec(any::<u8>(), 0..60),
        plain in prop::collection::vec(any::<u8>(), 0..200),
        events in prop::collection::vec(("[a-z]{0,4}", "[ -~]{0,20}"), 0..6),
        sse in any::<bool>(),
        coding in prop::sample::select(vec!["identity", "gzip", "deflate", "br", "zstd"]),
        chunks in (prop::option::of(1usize..40), prop::option::of(1usize..40)),
        interim in any::<bool>(),
    ) -> Spoken {
        let events: Vec<_> = if sse { events } else { Vec::new() };
        let text = events.iter().map(|(e, d)| format!("event:{e}\r\ndata:{d}\n:c\r\r"));
        let text = text.collect::<Vec<_>>().concat();
        let body = if sse { text.into_bytes() } else { plain };
        let kind = if sse { "text/event-stream" } else { "application/json" };
        let mut response = if interim { b"HTTP/1.1 100 Continue\r\n\r\n".to_vec() } else { Vec::new() };
        response.extend(message("HTTP/1.1 200 OK", coding, kind, &body, chunks.1));
        Spoken {
            request: message("POST /v1/x HTTP/1.1\r\nHost: h", "identity", "application/json", &request_body, chunks.0),
            response,
            request_body,
            response_body: if sse { Vec::new() } else { body },
            events: events.into_iter().map(|(event, data)| SseEvent {
                event: event.into(),
                data: Bytes::from(data.strip_prefix(' ').unwrap_or(&data).to_owned()),
            }).collect(),
        }
    }
}

/// What was heard of an exchange, adjacent bytes joined.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    request: Vec<u8>,
    response: Vec<u8>,
    events: Vec<SseEvent>,
    missing: usize,
    order: Vec<&'static str>,
    end: Option<ExchangeEnd>,
}

fn hear(events: Vec<Event>) -> BTreeMap<u64, Heard> {
    let mut all: BTreeMap<u64, Heard> = BTreeMap::new();
    for event in events {
        let heard = all.entry(event.exchange.0).or_default();
        assert_eq!(heard.end, None, "nothing comes after the end");
        match event.kind {
            EventKind::RequestHead(_) => heard.order.push("request"),
            EventKind::RequestEnd => heard.order.push("request end"),
            EventKind::ResponseHead(_) => heard.order.push("response"),
            EventKind::ResponseTrailers(_) => heard.order.push("trailers"),
            EventKind::End(end) => heard.end = Some(end),
            EventKind::RequestBody(Body::Bytes(b)) => heard.request.extend_from_slice(&b),
            EventKind::ResponseBody(Body::Bytes(b)) => heard.response.extend_from_slice(&b),
            EventKind::ResponseBody(Body::Sse(e)) => heard.events.push(e),
            EventKind::RequestBody(_) | EventKind::ResponseBody(Body::Missing(_) | Body::Part(_)) => {
                heard.missing += 1;
            }
        }
        assert_eq!(heard.order[0], "request", "the request's head comes first");
    }
    all
}

fn push(
    connection: &mut Connection,
    direction: Direction,
    bytes: &[u8],
    cuts: &mut impl Iterator<Item = usize>,
    out: &mut Vec<Event>,
) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        connection.push(direction, Timestamp(0), Piece::Bytes(Bytes::copy_from_slice(piece)), out);
        rest = after;
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_exchanges(
        spoken in prop::collection::vec(spoken(), 1..5),
        cuts in prop::collection::vec(1usize..50, 1..40),
        pipelined in any::<bool>(),
    ) {
        let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
        let (mut out, mut cuts) = (Vec::new(), cuts.into_iter().cycle());
        if pipelined {
            let requests: Vec<u8> = spoken.iter().flat_map(|s| s.request.clone()).collect();
            let responses: Vec<u8> = spoken.iter().flat_map(|s| s.response.clone()).collect();
            push(&mut connection, Direction::Sent, &requests, &mut cuts, &mut out);
            push(&mut connection, Direction::Received, &responses, &mut cuts, &mut out);
        } else {
            for s in &spoken {
                push(&mut connection, Direction::Sent, &s.request, &mut cuts, &mut out);
                push(&mut connection, Direction::Received, &s.response, &mut cuts, &mut out);
            }
        }
        let heard: Vec<_> = hear(out).into_values().collect();
        let expected: Vec<_> = spoken.into_iter().map(|s| Heard {
            request: s.request_body,
            response: s.response_body,
            events: s.events,
            missing: 0,
            order: vec!["request", "request end", "response"],
            end: Some(ExchangeEnd::Complete),
        }).collect();
        prop_assert_eq!(heard, expected);
    }

    /// With pieces lost, no exchange is told a response that is another's.
    #[test]
    fn losses_never_mix_exchanges(
        lens in prop::collection::vec((0usize..40, 0usize..300, any::<bool>()), 1..8),
        pieces in prop::collection::vec((1usize..200, prop::bool::weighted(0.25)), 1..40),
    ) {
        let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
        let (mut out, mut pieces) = (Vec::new(), pieces.into_iter().cycle());
        // What is lost is noticed when the next piece of the same direction arrives.
        let mut lost = [0u64; 2];
        for (i, (request, response, chunks)) in lens.iter().enumerate() {
            // No hexadecimal digit, or the mark itself could be taken for the size of a chunk.
            let mark = b'G' + i as u8;
            let chunk = chunks.then_some(64);
            let first = format!("POST /{} HTTP/1.1\r\nHost: h", mark as char);
            let request = message(&first, "identity", "text/plain", &vec![mark; *request], chunk);
            let response = message("HTTP/1.1 200 OK", "identity", "text/plain", &vec![mark; *response], chunk);
            for (way, bytes) in [(Direction::Sent, request), (Direction::Received, response)] {
                let mut rest = &bytes[..];
                let lost = &mut lost[usize::from(way == Direction::Received)];
                while !rest.is_empty() {
                    let (size, drop) = pieces.next().unwrap_or((1, false));
                    let (piece, after) = rest.split_at(size.min(rest.len()));
                    rest = after;
                    if drop {
                        *lost += piece.len() as u64;
                        continue;
                    }
                    if *lost > 0 {
                        let gap = Piece::Gap { len: std::mem::take(lost), reason: GapReason::Lost };
                        connection.push(way, Timestamp(0), gap, &mut out);
                    }
                    connection.push(way, Timestamp(0), Piece::Bytes(Bytes::copy_from_slice(piece)), &mut out);
                }
            }
        }
        connection.close(Timestamp(0), CloseReason::Freed, &mut out);
        let mut marks = BTreeMap::new();
        for event in &out {
            if let EventKind::RequestHead(head) = &event.kind {
                marks.insert(event.exchange.0, head.path.as_bytes()[1]);
            }
        }
        for (id, heard) in hear(out) {
            prop_assert!(heard.end.is_some());
            for byte in heard.request.iter().chain(&heard.response) {
                prop_assert_eq!(*byte, marks[&id], "exchange {} has bytes of another", id);
            }
        }
    }

    #[test]
    fn anything_may_come(
        steps in prop::collection::vec((any::<bool>(), 0usize..16, prop::collection::vec(any::<u8>(), 1..30), 1u64..100), 0..60),
        reason in prop::sample::select(vec![CloseReason::Freed, CloseReason::Shutdown, CloseReason::ProcessExit]),
    ) {
        const PARTS: [&[u8]; 12] = [
            b"GET / HTTP/1.1\r\n", b"\r\n", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 9\r\n", b"5\r\nabcde\r\n",
            b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"Content-Encoding: gzip\r\n", b"POST /x HTTP/1.0\r\n",
            b"Content-Type: text/event-stream\r\n", b"data: x\n\n",
        ];
        let mut connection = Connection::new(Limits::default(), Arc::new(Account::default()));
        let (mut out, mut moved) = (Vec::new(), 0);
        for (sent, part, noise, gap) in steps {
            let direction = if sent { Direction::Sent } else { Direction::Received };
            let piece = match (part, PARTS.get(part)) {
                (_, Some(part)) => Piece::Bytes(Bytes::from_static(part)),
                (12, None) => Piece::Gap { len: gap, reason: GapReason::Lost },
                _ => Piece::Bytes(Bytes::from(noise)),
            };
            moved += if let Piece::Bytes(b) = &piece { b.len() } else { 0 };
            connection.push(direction, Timestamp(0), piece, &mut out);
        }
        connection.close(Timestamp(0), reason, &mut out);
        let heard = hear(out);
        let told: usize = heard.values().map(|h| h.request.len() + h.response.len()).sum();
        prop_assert!(told <= moved, "nothing is invented");
        if reason == CloseReason::Freed {
            prop_assert!(heard.values().all(|h| h.end.is_some()));
        }
    }
}
