//! JSON lines (<https://github.com/ndjson/ndjson-spec>): each line of a body is an event.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::{SseEvent, sse::Found};

/// An incremental reader of lines.
pub(super) struct Lines {
    /// Longest line, in bytes.
    limit: usize,
    /// The beginning of a line whose end has not arrived.
    held: BytesMut,
    /// The line in progress is damaged or too long, and is passed over.
    skipping: bool,
}

impl Lines {
    pub fn new(limit: usize) -> Self {
        Self { limit, held: BytesMut::new(), skipping: false }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut input: Bytes, found: &mut impl FnMut(Found)) {
        while let Some(end) = memchr(b'\n', &input) {
            let rest = input.split_to(end);
            input.advance(1);
            self.line(rest, found);
        }
        self.hold(&input, found);
    }

    /// The body is complete: its last line needs no end.
    pub fn end(&mut self, found: &mut impl FnMut(Found)) {
        self.line(Bytes::new(), found);
    }

    /// Bytes are missing here.
    pub fn gap(&mut self) {
        self.held = BytesMut::new();
        self.skipping = true;
    }

    /// Bytes that are held for a line that is not whole.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn hold(&mut self, part: &[u8], found: &mut impl FnMut(Found)) {
        if self.skipping {
            return;
        }
        if self.held.len() + part.len() > self.limit {
            self.gap();
            found(Found::TooLong);
            return;
        }
        self.held.extend_from_slice(part);
    }

    fn line(&mut self, rest: Bytes, found: &mut impl FnMut(Found)) {
        let line = if self.held.is_empty() && rest.len() <= self.limit {
            rest
        } else {
            self.hold(&rest, found);
            self.held.split().freeze()
        };
        if std::mem::take(&mut self.skipping) {
            return;
        }
        let line = line.strip_suffix(b"\r").map_or_else(|| line.clone(), |kept| line.slice_ref(kept));
        if !line.trim_ascii().is_empty() {
            found(Found::Event(SseEvent { event: Box::default(), data: line }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Vec<String> {
        let (mut lines, mut all) = (Lines::new(20), Vec::new());
        let mut take = |found| {
            all.push(match found {
                Found::Event(event) => String::from_utf8_lossy(&event.data).into_owned(),
                Found::TooLong => "too long".to_owned(),
            });
        };
        for piece in pieces {
            match *piece {
                "<gap>" => lines.gap(),
                piece => lines.push(Bytes::copy_from_slice(piece.as_bytes()), &mut take),
            }
        }
        lines.end(&mut take);
        all
    }

    #[test]
    fn lines() {
        let table: &[(&[&str], &[&str])] = &[
            (&["{\"a\":1}\n{\"b\":2}\n"], &["{\"a\":1}", "{\"b\":2}"]),
            (&["{\"a\":1}\r\n\r\n \n{\"b\":2}"], &["{\"a\":1}", "{\"b\":2}"]),
            (&["{\"a", "\":1", "}\n{\"b\":2}\n"], &["{\"a\":1}", "{\"b\":2}"]),
            (&["{}\n{\"a", "<gap>", "}\n{\"b\":2}\n"], &["{}", "{\"b\":2}"]),
            (&["{}\n", "<gap>", "1}\n{\"b\":2}\n"], &["{}", "{\"b\":2}"]),
            (&["{\"a\":\"34567890123456789\"}\n{\"b\":2}"], &["too long", "{\"b\":2}"]),
            (&["{\"a\":\"345678901234", "56789\"}", "\n{\"b\":2}"], &["too long", "{\"b\":2}"]),
            (&[], &[]),
        ];
        for (pieces, expected) in table {
            assert_eq!(read(pieces), *expected, "{pieces:?}");
        }
    }

    #[test]
    fn any_cut_gives_the_same_lines() {
        let text = "{\"a\":1}\r\n\n{\"b\":\"23456789012345678\"}\n{\"c\":3}";
        let whole = read(&[text]);
        for cut in 0..text.len() {
            assert_eq!(read(&[&text[..cut], &text[cut..]]), whole, "{cut}");
        }
    }
}
