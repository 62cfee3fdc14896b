//! The head of a frame, and whether bytes can be one (RFC 9113, sections 4.1 and 6).

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 9;

/// The largest payload that every peer takes (RFC 9113, section 6.5.2).
pub(super) const DEFAULT_MAX_LEN: u32 = 16_384;

/// How far beyond the newest known stream a frame found after a loss may be: further ones are taken for an accident.
const STREAMS_AHEAD: u32 = 4096;

/// Streams up to this number are plausible as long as none is known.
const STREAMS_UNKNOWN: u32 = 1 << 20;

/// More settings than anybody sends.
const SETTINGS: u32 = 32;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS_FRAME: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// `ACK` has the same bit, on SETTINGS and PING.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const PRIORITIZED: u8 = 0x20;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Length of the payload.
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// The reserved bit, which senders leave unset and receivers ignore.
    reserved: bool,
}

impl Frame {
    /// The head at the beginning of `bytes`, if they are enough.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, stream) = (bytes.first_chunk::<5>()?, bytes.get(5..)?.first_chunk::<4>()?);
        let [high, middle, low, kind, flags] = *head;
        let stream = u32::from_be_bytes(*stream);
        Some(Self {
            len: u32::from_be_bytes([0, high, middle, low]),
            kind,
            flags,
            stream: stream & 0x7fff_ffff,
            reserved: stream >> 31 != 0,
        })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Ends it its stream, in its direction?
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.has(END_STREAM)
    }

    /// Does it carry a part of a header block?
    pub fn is_block(&self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION)
    }

    /// May a peer send it? Frames of unknown types are ignored, so anything goes for them.
    pub fn is_legal(&self) -> bool {
        let padding = u32::from(self.has(PADDED));
        match self.kind {
            DATA => self.stream != 0 && self.len >= padding,
            HEADERS => self.stream != 0 && self.len >= padding + 5 * u32::from(self.has(PRIORITIZED)),
            PRIORITY => self.stream != 0 && self.len == 5,
            RST_STREAM => self.stream != 0 && self.len == 4,
            SETTINGS_FRAME => {
                self.stream == 0 && self.len.is_multiple_of(6) && (!self.has(ACK) || self.len == 0)
            }
            PUSH_PROMISE => self.stream != 0 && self.len >= 4 + padding,
            PING => self.stream == 0 && self.len == 8,
            GOAWAY => self.stream == 0 && self.len >= 8,
            WINDOW_UPDATE => self.len == 4,
            CONTINUATION => self.stream != 0,
            // More than every peer takes is used for bodies at most.
            _ => self.len <= DEFAULT_MAX_LEN,
        }
    }

    /// Where a boundary is looked for: is this likely one? Stricter than the standard, since payload can look like a
    /// head: only types, flags and lengths that are in use, on streams that there can be.
    pub fn is_plausible(&self, max_len: u32, newest: u32) -> bool {
        let flags = match self.kind {
            DATA => END_STREAM | PADDED,
            HEADERS => END_STREAM | END_HEADERS | PADDED | PRIORITIZED,
            SETTINGS_FRAME | PING => ACK,
            PUSH_PROMISE => END_HEADERS | PADDED,
            CONTINUATION => END_HEADERS,
            PRIORITY | RST_STREAM | GOAWAY | WINDOW_UPDATE => 0,
            _ => return false,
        };
        let empty = match self.kind {
            DATA => self.has(END_STREAM),
            HEADERS => false,
            _ => true,
        };
        let streams = if newest == 0 { STREAMS_UNKNOWN } else { newest.saturating_add(STREAMS_AHEAD) };
        self.is_legal()
            && !self.reserved
            && self.flags & !flags == 0
            && self.len <= max_len
            && (self.kind != SETTINGS_FRAME || self.len <= 6 * SETTINGS)
            && (self.len > 0 || empty)
            && (self.stream == 0 || self.stream % 2 == 1)
            && self.stream <= streams
    }
}

/// What a chain of frames looks like that begins at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Heads in a row that are plausible.
    pub heads: u32,
    /// The last of these frames ends with the bytes that there are.
    pub exact: bool,
    /// What should be the head of the next frame can't be one.
    pub broken: bool,
}

/// Heads after which a chain is not followed further.
const CHAIN: u32 = 4;

/// Follows the frames that begin with `bytes`.
pub(super) fn chain(bytes: &[u8], max_len: u32, newest: u32) -> Chain {
    let mut found = Chain { heads: 0, exact: false, broken: false };
    let mut rest = bytes;
    while found.heads < CHAIN
        && let Some(frame) = Frame::parse(rest)
    {
        if !frame.is_plausible(max_len, newest) {
            found.broken = true;
            return found;
        }
        found.heads += 1;
        match rest.get(HEAD + frame.len as usize..) {
            None => return found,
            Some(after) => rest = after,
        }
        found.exact = rest.is_empty();
    }
    found
}

/// Do these bytes begin with frames? For a connection of which nothing else is known.
pub(in crate::wire) fn looks_like_frames(bytes: &[u8]) -> bool {
    let chain = chain(bytes, DEFAULT_MAX_LEN, 0);
    chain.heads > 0 && !chain.broken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(len: u32, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
        let [_, a, b, c] = len.to_be_bytes();
        let [d, e, f, g] = stream.to_be_bytes();
        [a, b, c, kind, flags, d, e, f, g]
    }

    #[test]
    fn heads() {
        // Length, type, flags, stream; legal; plausible.
        let table = [
            ((5, DATA, END_STREAM, 1), true, true),
            ((5, DATA, END_STREAM, 0), false, false),
            ((0, DATA, END_STREAM, 3), true, true),
            ((0, DATA, 0, 3), true, false),
            ((0, DATA, PADDED, 3), false, false),
            ((20_000, DATA, 0, 3), true, false),
            ((5, DATA, 0x40, 3), true, false),
            ((5, DATA, 0, 2), true, false),
            ((5, DATA, 0, 0x8000_0001), true, false),
            ((5, DATA, 0, 5001), true, false),
            ((9, HEADERS, END_HEADERS, 7), true, true),
            ((4, HEADERS, PRIORITIZED, 7), false, false),
            ((5, PRIORITY, 0, 1), true, true),
            ((4, RST_STREAM, 0, 1), true, true),
            ((5, RST_STREAM, 0, 1), false, false),
            ((12, SETTINGS_FRAME, 0, 0), true, true),
            ((6, SETTINGS_FRAME, ACK, 0), false, false),
            ((7, SETTINGS_FRAME, 0, 0), false, false),
            ((600, SETTINGS_FRAME, 0, 0), true, false),
            ((8, PING, ACK, 0), true, true),
            ((8, GOAWAY, 0, 0), true, true),
            ((7, GOAWAY, 0, 0), false, false),
            ((4, WINDOW_UPDATE, 0, 0), true, true),
            ((3, PUSH_PROMISE, 0, 1), false, false),
            ((3, CONTINUATION, END_HEADERS, 1), true, true),
            ((3, 0xa, 0, 0), true, false),
            ((16_385, 0xa, 0, 0), false, false),
        ];
        for ((len, kind, flags, stream), legal, plausible) in table {
            let frame = Frame::parse(&head(len, kind, flags, stream)).unwrap();
            assert_eq!(frame.is_legal(), legal, "{frame:?}");
            assert_eq!(frame.is_plausible(DEFAULT_MAX_LEN, 9), plausible, "{frame:?}");
        }
        assert_eq!(Frame::parse(&[0; 8]), None);
    }

    #[test]
    fn chains() {
        let ping = [&head(8, PING, 0, 0)[..], &[1; 8]].concat();
        let data = head(100, DATA, 0, 1);
        let table: [(&[&[u8]], (u32, bool, bool)); 6] = [
            (&[&ping], (1, true, false)),
            (&[&ping, &ping, &data[..5]], (2, false, false)),
            (&[&ping, &data, b"abc"], (2, false, false)),
            (&[&ping, b"GET / HTTP/1.1"], (1, false, true)),
            (&[b"GET / HTTP/1.1"], (0, false, true)),
            (&[&ping[..8]], (0, false, false)),
        ];
        for (parts, (heads, exact, broken)) in table {
            let bytes = parts.concat();
            assert_eq!(chain(&bytes, DEFAULT_MAX_LEN, 0), Chain { heads, exact, broken }, "{bytes:?}");
        }
    }
}
