//! Where frames begin, after bytes were missed: a boundary is where a chain of plausible frames begins.
//!
//! A library call mostly begins with a frame and ends with one, so there a single head will do; in between it takes two
//! in a row. Payload that looks like that would have to have the right length as well.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::frame::{HEAD, chain};

/// Bytes in which a boundary is looked for: more than the frames that most peers send.
const WINDOW: usize = 48 * 1024;

/// Places that are watched at once for the head of their next frame.
const CANDIDATES: usize = 16;

/// Looks for a boundary.
#[derive(Default)]
pub(super) struct Boundary {
    window: BytesMut,
    /// Each place before this one was looked at.
    scanned: usize,
    /// Where pieces begin, of those that weren't looked at.
    starts: VecDeque<usize>,
    /// Where a head may be whose successor hasn't arrived.
    candidates: VecDeque<usize>,
}

impl Boundary {
    /// Bytes that are held.
    pub fn held(&self) -> u64 {
        self.window.len() as u64
    }

    /// Takes a piece. Gives the bytes from the boundary on, if there is one, and how many were thrown away.
    pub fn push(&mut self, piece: &[u8], max_len: u32, newest: u32) -> (Option<Bytes>, u64) {
        self.starts.push_back(self.window.len());
        self.window.extend_from_slice(piece);
        match self.find(max_len, newest) {
            Some(at) => {
                let found = self.window.split_off(at).freeze();
                *self = Self::default();
                (Some(found), at as u64)
            }
            None => (None, self.shrink()),
        }
    }

    fn find(&mut self, max_len: u32, newest: u32) -> Option<usize> {
        let window = &self.window[..];
        let mut found = None;
        self.candidates.retain(|at| {
            let chain = chain(&window[*at..], max_len, newest);
            if chain.heads > 1 && !chain.broken {
                found = found.or(Some(*at));
            }
            !chain.broken
        });
        if found.is_some() {
            return found;
        }
        while let Some(head) = window.get(self.scanned..self.scanned + HEAD) {
            let at = self.scanned;
            self.scanned += 1;
            let starts = self.starts.front() == Some(&at);
            if starts {
                self.starts.pop_front();
            }
            // What most payload fails by.
            if head[3] > 9 || u32::from(head[0]) > max_len >> 16 {
                continue;
            }
            let chain = chain(&window[at..], max_len, newest);
            if chain.broken {
                continue;
            }
            if chain.heads > 1 || starts || chain.exact {
                return Some(at);
            }
            if self.candidates.len() >= CANDIDATES {
                self.candidates.pop_front();
            }
            self.candidates.push_back(at);
        }
        None
    }

    /// Throws away what is too long ago.
    fn shrink(&mut self) -> u64 {
        if self.window.len() <= WINDOW {
            return 0;
        }
        // By half, so that it doesn't happen with every piece; what wasn't looked at stays.
        let gone = (self.window.len() - WINDOW / 2).min(self.scanned);
        let _ = self.window.split_to(gone);
        self.scanned -= gone;
        for places in [&mut self.starts, &mut self.candidates] {
            places.retain(|at| *at >= gone);
            places.iter_mut().for_each(|at| *at -= gone);
        }
        gone as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::h2::frame::DEFAULT_MAX_LEN;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let [.., b, c] = (payload.len() as u32).to_be_bytes();
        [&[0, b, c, kind, flags, 0, 0, 0, stream][..], payload].concat()
    }

    /// Pushes pieces until a boundary is found.
    fn found(pieces: &[&[u8]]) -> Option<(usize, Vec<u8>)> {
        let mut boundary = Boundary::default();
        for (at, piece) in pieces.iter().enumerate() {
            if let (Some(found), _) = boundary.push(piece, DEFAULT_MAX_LEN, 9) {
                return Some((at, found.to_vec()));
            }
        }
        None
    }

    #[test]
    fn boundaries() {
        let ping = frame(6, 0, 0, b"12345678");
        let data = frame(0, 0, 3, b"some data");
        let both = [&ping[..], &data].concat();
        let half = &both[..both.len() - 4];
        assert_eq!(found(&[half]), Some((0, half.to_vec())), "a piece begins with a frame");
        assert_eq!(found(&[&data[..12]]), Some((0, data[..12].to_vec())), "one that is not whole");
        let behind = [b"rest", half].concat();
        assert_eq!(found(&[&behind]), Some((0, half.to_vec())), "two heads within a piece");
        let behind = [b"rest", &data[..]].concat();
        assert_eq!(found(&[&behind]), Some((0, data.clone())), "a frame that ends a piece");
        assert_eq!(found(&[b"rest of it", &ping]), Some((1, ping.clone())));
        assert_eq!(found(&[&behind[..10], &behind[10..]]), Some((1, data.clone())), "a head in two pieces");
        let long = [b"rest", &frame(0, 0, 3, &[b'x'; 3000])[..], &ping].concat();
        let pieces: Vec<&[u8]> = long.chunks(7).collect();
        let (_, rest) = found(&pieces).unwrap();
        assert!(long[4..].starts_with(&rest), "however small the pieces");
        assert_eq!(
            found(&[&[0; 100], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 100], b"\0\0\x04text and more"]),
            None
        );
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut boundary = Boundary::default();
        let mut gone = 0;
        for _ in 0..1000 {
            let (found, skipped) = boundary.push(&[b'x'; 1000], DEFAULT_MAX_LEN, 9);
            assert_eq!(found, None);
            gone += skipped;
            assert!(boundary.held() <= WINDOW as u64 + 1000);
        }
        assert_eq!(gone + boundary.held(), 1_000_000);
        let ping = frame(6, 0, 0, b"12345678");
        assert_eq!(boundary.push(&ping, DEFAULT_MAX_LEN, 9).0, Some(ping.into()));
    }
}
