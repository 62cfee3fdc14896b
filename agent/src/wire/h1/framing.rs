//! Where a body ends (RFC 9112, sections 6 and 7.1).

use bytes::{Buf, Bytes};

/// Longest chunk-size line with its extensions, and longest trailer section, in bytes.
const MAX_LINE: u32 = 16 * 1024;

/// The framing of a body, and what of it is still to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// Everything up to the end of the connection.
    UntilClose,
}

/// Where in a chunked body the next byte is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size; so many of them were read.
    Size { size: u64, digits: u8 },
    /// In what follows the size, up to the line feed.
    Extension { size: u64, len: u32 },
    /// In the data, of which so many bytes are left.
    Data(u64),
    /// After the data: a line end.
    DataEnd,
    /// After the last chunk: trailer fields up to a blank line.
    Trailer { len: u32, blank: bool },
    /// After the blank line.
    Done,
}

/// What comes next in a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Bytes of the body.
    Data(Bytes),
    /// The body is complete; what is left of the input belongs to the next message.
    End,
    /// The input is used up.
    More,
    /// These are no chunks.
    Malformed,
}

/// What a gap does to a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It lies within the body.
    Inside,
    /// It swallows the rest of the body, `inside` bytes, and `beyond` more.
    Over { inside: u64, beyond: u64 },
    /// Where the body goes on isn't known any more.
    Unknown,
}

impl Framing {
    pub fn chunked() -> Self {
        Self::Chunked(Chunk::Size { size: 0, digits: 0 })
    }

    /// There are no more bytes to come.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Takes the next part off `input`.
    pub fn next(&mut self, input: &mut Bytes) -> Step {
        match self {
            Self::Length(0) => Step::End,
            _ if input.is_empty() => Step::More,
            Self::Length(left) => {
                let n = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                Step::Data(input.split_to(n))
            }
            Self::UntilClose => Step::Data(input.split_to(input.len())),
            Self::Chunked(chunk) => chunk.next(input),
        }
    }

    /// Bytes are missing here.
    pub fn gap(&mut self, len: u64) -> Fit {
        match self {
            Self::UntilClose => Fit::Inside,
            Self::Length(left) if len > *left => {
                let inside = std::mem::take(left);
                Fit::Over { inside, beyond: len - inside }
            }
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) if len <= *left => {
                *left -= len;
                if let Self::Chunked(chunk @ Chunk::Data(0)) = self {
                    *chunk = Chunk::DataEnd;
                }
                Fit::Inside
            }
            _ => Fit::Unknown,
        }
    }
}

impl Chunk {
    fn next(&mut self, input: &mut Bytes) -> Step {
        let mut at = 0;
        loop {
            if let Self::Data(left) = self {
                input.advance(at);
                if input.is_empty() {
                    return Step::More;
                }
                let n = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                if *left == 0 {
                    *self = Self::DataEnd;
                }
                return Step::Data(input.split_to(n));
            }
            if *self == Self::Done {
                input.advance(at);
                return Step::End;
            }
            let Some(byte) = input.get(at) else {
                input.clear();
                return Step::More;
            };
            at += 1;
            if !self.control(*byte) {
                return Step::Malformed;
            }
        }
    }

    /// Takes a byte that is not data; false if it can't stand there.
    fn control(&mut self, byte: u8) -> bool {
        match self {
            Self::Size { size, digits } => match (byte as char).to_digit(16) {
                // Fifteen digits are more than anybody sends, and can't overflow.
                Some(digit) if *digits < 15 => {
                    *size = *size << 4 | u64::from(digit);
                    *digits += 1;
                }
                Some(_) => return false,
                None if *digits == 0 || !matches!(byte, b';' | b' ' | b'\t' | b'\r' | b'\n') => return false,
                None if byte == b'\n' => *self = Self::after_size(*size),
                None => *self = Self::Extension { size: *size, len: 0 },
            },
            Self::Extension { size, .. } if byte == b'\n' => *self = Self::after_size(*size),
            Self::Extension { len, .. } if *len < MAX_LINE => *len += 1,
            Self::DataEnd if byte == b'\n' => *self = Self::Size { size: 0, digits: 0 },
            Self::DataEnd => return byte == b'\r',
            Self::Trailer { blank: true, .. } if byte == b'\n' => *self = Self::Done,
            Self::Trailer { len, blank } if *len < MAX_LINE => {
                *len += 1;
                *blank = byte == b'\n' || (*blank && byte == b'\r');
            }
            _ => return false,
        }
        true
    }

    fn after_size(size: u64) -> Self {
        if size == 0 { Self::Trailer { len: 0, blank: true } } else { Self::Data(size) }
    }
}

/// Do these bytes begin with a chunk, so surely that reading may go on here after a gap?
///
/// The chunk has to lie wholly within `bytes`, with its line end where its size says, or be the last one.
pub(super) fn begins_with_chunk(bytes: &Bytes) -> bool {
    let mut rest = bytes.clone();
    let mut chunk = Chunk::Size { size: 0, digits: 0 };
    match chunk.next(&mut rest) {
        Step::End => true,
        Step::Data(_) => chunk == Chunk::DataEnd && rest.starts_with(b"\r\n"),
        Step::More | Step::Malformed => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(framing: &mut Framing, pieces: &[&str]) -> String {
        let mut shown = String::new();
        for piece in pieces {
            let mut input = Bytes::copy_from_slice(piece.as_bytes());
            loop {
                match framing.next(&mut input) {
                    Step::Data(data) => shown.push_str(&String::from_utf8_lossy(&data)),
                    Step::More => break,
                    Step::End => return shown + "$" + &String::from_utf8_lossy(&input),
                    Step::Malformed => return shown + "!",
                }
            }
        }
        shown
    }

    #[test]
    fn chunks() {
        let long_extension = format!("1;{}\r\na\r\n", "x".repeat(MAX_LINE as usize + 1));
        let table: &[(&str, &str)] = &[
            ("3\r\nabc\r\n0\r\n\r\nnext", "abc$next"),
            ("3\nabc\n0\n\nnext", "abc$next"),
            ("0\r\n\r\n", "$"),
            ("A;name=\"v\"\r\n0123456789\r\n0;x\r\nTrailer: yes\r\nOther: a\r\n\r\nHTTP", "0123456789$HTTP"),
            ("3 \r\nabc\r\n00\r\n\r\n", "abc$"),
            ("3\r\nabcd\r\n", "abc!"),
            ("x\r\n", "!"),
            ("\r\n", "!"),
            ("ffffffffffffffff\r\n", "!"),
            ("3\r\nab", "ab"),
            (&long_extension, "!"),
        ];
        for (input, shown) in table {
            assert_eq!(read(&mut Framing::chunked(), &[input]), *shown, "{input:?}");
            for cut in 0..input.len().min(60) {
                let (a, b) = input.split_at(cut);
                let whole = read(&mut Framing::chunked(), &[a, b]);
                assert_eq!(whole.split('$').next(), shown.split('$').next(), "{input:?} at {cut}");
            }
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(read(&mut Framing::Length(3), &["ab", "cde"]), "abc$de");
        assert_eq!(read(&mut Framing::Length(0), &["x"]), "$x");
        assert_eq!(read(&mut Framing::UntilClose, &["ab", "cde"]), "abcde");
    }

    #[test]
    fn gaps() {
        let table = [
            (Framing::Length(5), 4, Fit::Inside, Framing::Length(1)),
            (Framing::Length(5), 5, Fit::Inside, Framing::Length(0)),
            (Framing::Length(5), 7, Fit::Over { inside: 5, beyond: 2 }, Framing::Length(0)),
            (Framing::UntilClose, 7, Fit::Inside, Framing::UntilClose),
            (Framing::Chunked(Chunk::Data(5)), 4, Fit::Inside, Framing::Chunked(Chunk::Data(1))),
            (Framing::Chunked(Chunk::Data(5)), 5, Fit::Inside, Framing::Chunked(Chunk::DataEnd)),
            (Framing::Chunked(Chunk::Data(5)), 6, Fit::Unknown, Framing::Chunked(Chunk::Data(5))),
            (Framing::Chunked(Chunk::DataEnd), 1, Fit::Unknown, Framing::Chunked(Chunk::DataEnd)),
        ];
        for (mut framing, len, fit, after) in table {
            let before = framing.clone();
            assert_eq!(framing.gap(len), fit, "{before:?}");
            assert_eq!(framing, after, "{before:?}");
        }
    }

    #[test]
    fn a_chunk_is_recognised_only_when_all_of_it_is_there() {
        let table = [
            ("3\r\nabc\r\n", true),
            ("3\r\nabc\r\nmore", true),
            ("0\r\n\r\n", true),
            ("3\r\nabc", false),
            ("3\r\nabcd\r\n", false),
            ("3\r\nab", false),
            ("data: x\n\n", false),
            ("", false),
            ("12", false),
        ];
        for (bytes, yes) in table {
            assert_eq!(begins_with_chunk(&Bytes::from_static(bytes.as_bytes())), yes, "{bytes:?}");
        }
    }
}
