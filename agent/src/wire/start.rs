//! The first bytes of a connection, which tell its protocol.

use super::h2::looks_like_frames;
use crate::{capture::Direction, stream::Piece, time::Timestamp};

/// The first bytes of a client that speaks HTTP/2 (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet: what was seen is kept.
    Undecided,
    /// HTTP/2, from its beginning or somewhere within.
    Http2,
    /// HTTP/1.x, or bytes in which its heads may be looked for.
    Http1,
}

/// Keeps the first pieces until they tell the protocol: never more bytes than one piece and a preface.
#[derive(Default)]
pub(super) struct Start {
    pieces: Vec<(Direction, Timestamp, Piece)>,
    /// So many bytes of the preface were seen in the direction of the first piece.
    matched: usize,
}

impl Start {
    /// Takes the next piece.
    pub fn push(&mut self, direction: Direction, time: Timestamp, piece: Piece) -> Verdict {
        let other_way = self.pieces.first().is_some_and(|(first, ..)| *first != direction);
        let verdict = match &piece {
            Piece::Bytes(bytes) if !other_way => self.look(bytes),
            Piece::Bytes(bytes) if looks_like_frames(bytes) => Verdict::Http2,
            Piece::Bytes(_) | Piece::Gap { .. } => Verdict::Http1,
        };
        self.pieces.push((direction, time, piece));
        verdict
    }

    /// What was kept, in its order.
    pub fn into_pieces(self) -> Vec<(Direction, Timestamp, Piece)> {
        self.pieces
    }

    fn look(&mut self, bytes: &[u8]) -> Verdict {
        if self.matched == 0 && looks_like_frames(bytes) {
            return Verdict::Http2;
        }
        let rest = &PREFACE[self.matched..];
        let n = rest.len().min(bytes.len());
        if bytes[..n] != rest[..n] {
            return Verdict::Http1;
        }
        self.matched += n;
        if self.matched == PREFACE.len() { Verdict::Http2 } else { Verdict::Undecided }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn verdict(pieces: &[&'static [u8]]) -> Verdict {
        let mut start = Start::default();
        let mut last = Verdict::Undecided;
        for piece in pieces {
            last = start.push(Direction::Sent, Timestamp(0), Piece::Bytes(Bytes::from_static(piece)));
            if last != Verdict::Undecided {
                break;
            }
        }
        last
    }

    #[test]
    fn protocols() {
        let table: &[(&[&'static [u8]], Verdict)] = &[
            (&[b"GET / HTTP/1.1\r\n\r\n"], Verdict::Http1),
            (&[b"P", b"OST / HTTP/1.1\r\n\r\n"], Verdict::Http1),
            (&[b"P", b"RI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04"], Verdict::Http2),
            (&[b"PRI * HTTP/2.0\r\n"], Verdict::Undecided),
            (&[b"PRI * HTTP/2.0\r\n", b"Host: x"], Verdict::Http1),
            (&[b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03"], Verdict::Http2),
            (&[b"\x00\x00\x12\x04\x01\x00\x00\x00\x00"], Verdict::Http1),
            (&[b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"], Verdict::Http2),
            (&[b"\x00\x00\x20\x01\x04\x00\x00\x00\x09"], Verdict::Http2),
            (&[b"\x00\x00\x20\x01\x04\x00\x00\x00"], Verdict::Http1),
            (&[b"\x00\x00\x00\x1c\x00\x00\x00\x00\x09kafka"], Verdict::Http1),
            (&[b"HTTP/1.1 200 OK\r\n"], Verdict::Http1),
        ];
        for (pieces, expected) in table {
            assert_eq!(verdict(pieces), *expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_gap_or_the_other_way_ends_the_waiting() {
        let p = || Piece::Bytes(Bytes::from_static(b"PRI"));
        let mut start = Start::default();
        assert_eq!(start.push(Direction::Sent, Timestamp(0), p()), Verdict::Undecided);
        assert_eq!(start.push(Direction::Received, Timestamp(0), p()), Verdict::Http1);
        assert_eq!(start.into_pieces().len(), 2);
    }
}
