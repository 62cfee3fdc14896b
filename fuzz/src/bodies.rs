//! Bodies: whatever they are, it makes no difference in which pieces they came.

use std::sync::Arc;

use bytes::Bytes;
use plainspan::{
    account::Account,
    capture::{CloseReason, Direction},
    stream::Piece,
    time::Timestamp,
    wire::{Connection, Event},
};

use crate::heard::{Heard, LIMITS, Part, Parts, hear};

/// How bytes are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Single,
    /// As these bytes say.
    Mixed,
}

impl Cut {
    const ALL: [Self; 3] = [Self::Whole, Self::Single, Self::Mixed];

    fn pieces(self, data: &[u8]) -> Vec<&[u8]> {
        let (mut pieces, mut rest) = (Vec::new(), data);
        while !rest.is_empty() {
            let len = match self {
                Self::Whole => rest.len(),
                Self::Single => 1,
                Self::Mixed => 1 + usize::from(rest[0]) * usize::from(rest[rest.len() - 1]) % 67,
            };
            let (piece, after) = rest.split_at(len.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// The body of a response with these headers, as it was told.
fn read(headers: &str, data: &[u8], cut: Cut) -> Parts {
    let mut connection = Connection::new(LIMITS, Arc::new(Account::default()));
    let mut events = Vec::new();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n", data.len());
    let said = [(Direction::Sent, "GET / HTTP/1.1\r\n\r\n"), (Direction::Received, &head)];
    let heads = said.map(|(direction, text)| (direction, text.as_bytes()));
    let body = cut.pieces(data).into_iter().map(|piece| (Direction::Received, piece));
    for (direction, bytes) in heads.into_iter().chain(body) {
        let piece = Piece::Bytes(Bytes::copy_from_slice(bytes));
        connection.push(direction, Timestamp(0), piece, &mut events);
    }
    connection.close(Timestamp(0), CloseReason::Freed, &mut events);
    only(events).response
}

/// The body of a request with these headers.
fn read_request(headers: &str, data: &[u8], cut: Cut) -> Parts {
    let mut connection = Connection::new(LIMITS, Arc::new(Account::default()));
    let mut events = Vec::new();
    let head = format!("POST / HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n", data.len());
    for bytes in [vec![head.as_bytes()], cut.pieces(data)].concat() {
        let piece = Piece::Bytes(Bytes::copy_from_slice(bytes));
        connection.push(Direction::Sent, Timestamp(0), piece, &mut events);
    }
    connection.close(Timestamp(0), CloseReason::Freed, &mut events);
    only(events).request
}

fn only(events: Vec<Event>) -> Heard {
    let mut heard = hear(events);
    let heard = heard.remove(&0).expect("there was one exchange");
    assert!(heard.end.is_some(), "it has an end");
    heard
}

/// A stream of events of this media type.
pub fn events(media_type: &str, data: &[u8]) {
    alike(&format!("Content-Type: {media_type}\r\n"), data);
}

/// Messages of gRPC, compressed ones among them.
pub fn grpc(data: &[u8]) {
    for coding in ["gzip", "deflate"] {
        alike(&format!("Content-Type: application/grpc\r\nGrpc-Encoding: {coding}\r\n"), data);
    }
}

fn alike(headers: &str, data: &[u8]) {
    let whole = read(headers, data, Cut::Whole);
    for cut in Cut::ALL {
        assert_eq!(read(headers, data, cut), whole, "{cut:?}");
    }
}

/// A form, between whose parts there is a `b`.
pub fn form(data: &[u8]) {
    let headers = "Content-Type: multipart/form-data; boundary=b\r\n";
    let whole = read_request(headers, data, Cut::Whole);
    for cut in Cut::ALL {
        assert_eq!(read_request(headers, data, cut), whole, "{cut:?}");
    }
}

/// A body in each of the content encodings.
pub fn encodings(data: &[u8]) {
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, br"] {
        let headers = format!("Content-Encoding: {coding}\r\n");
        let whole = read(&headers, data, Cut::Whole);
        for cut in Cut::ALL {
            let other = read(&headers, data, cut);
            let damaged = |parts: &Parts| matches!(parts.0.last(), Some(Part::Missing(_)));
            // The decoder of Brotli takes some data that are malformed for whole, but only if enough of them come at once.
            if !coding.contains("br") {
                assert_eq!(damaged(&whole), damaged(&other), "{coding}, {cut:?}");
            }
            // How much could be read before the damage depends on how much of it was there.
            let (one, two) = (plain(&whole), plain(&other));
            let any = damaged(&whole) || damaged(&other);
            let same = if any { one.len().min(two.len()) } else { one.len().max(two.len()) };
            assert_eq!(one.get(..same), two.get(..same), "{coding}, {cut:?}");
        }
    }
}

fn plain(parts: &Parts) -> &[u8] {
    match parts.0.first() {
        Some(Part::Bytes(bytes)) => bytes,
        _ => &[],
    }
}
