//! gRPC's messages (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): each has a flag that tells whether
//! it is compressed, and its length, before it.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    Headers,
    encoding::{Decoder, Stop},
};

/// The flag and the length.
const PREFIX: usize = 5;

/// What the reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole message, not compressed any more.
    Message(Bytes),
    /// A message that is longer than the limit; it is passed over.
    TooLong,
    /// A message that can't be decompressed.
    Undecoded,
}

/// What comes before a message.
#[derive(Clone, Copy)]
struct Prefix {
    compressed: bool,
    len: usize,
}

impl Prefix {
    fn read([flag, a, b, c, d]: [u8; PREFIX]) -> Result<Self, Stop> {
        let compressed = match flag {
            0 | 1 => flag == 1,
            _ => return Err(Stop::Malformed),
        };
        Ok(Self { compressed, len: u32::from_be_bytes([a, b, c, d]) as usize })
    }
}

/// An incremental reader of messages.
pub(super) struct Messages {
    /// The coding of those that are compressed; empty if it isn't known.
    coding: Box<str>,
    /// Longest message, in bytes, compressed or not.
    limit: usize,
    /// Bytes of messages that may still come.
    left: u64,
    /// Of the message in progress.
    prefix: Option<Prefix>,
    /// The beginning of a prefix, or of the message behind one.
    held: BytesMut,
    /// Bytes of a damaged or too long message that are still to come, and are passed over.
    skip: u64,
}

impl Messages {
    /// For the body that follows a head, if it is one of messages. gRPC-Web is another protocol, though its content type begins
    /// as this one's does.
    pub fn of(headers: &Headers, limit: usize, left: u64) -> Option<Self> {
        let content_type = headers.get("content-type")?;
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let rest = media_type.strip_prefix("application/grpc")?;
        (rest.is_empty() || rest.starts_with('+')).then(|| Self {
            coding: headers.get("grpc-encoding").unwrap_or_default().into(),
            limit,
            left,
            prefix: None,
            held: BytesMut::new(),
            skip: 0,
        })
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next bytes; fails where no message is, or where there were too many.
    pub fn push(&mut self, mut input: Bytes, found: &mut impl FnMut(Found)) -> Result<(), Stop> {
        loop {
            let skipped = self.skip.min(input.len() as u64);
            input.advance(skipped as usize);
            self.skip -= skipped;
            let Some(prefix) = self.prefix else {
                let Some(head) = self.collect(&mut input, PREFIX) else { return Ok(()) };
                let prefix = Prefix::read(*head.first_chunk().ok_or(Stop::Malformed)?)?;
                if prefix.len > self.limit {
                    self.skip = prefix.len as u64;
                    found(Found::TooLong);
                } else {
                    self.prefix = Some(prefix);
                }
                continue;
            };
            let Some(message) = self.collect(&mut input, prefix.len) else { return Ok(()) };
            self.prefix = None;
            found(if prefix.compressed { self.decompress(&message)? } else { self.allow(message)? });
        }
    }

    /// Bytes are missing here; fails if it isn't known where the next message begins.
    pub fn gap(&mut self, len: Option<u64>) -> Result<(), Stop> {
        let left = match self.prefix.take() {
            Some(prefix) => (prefix.len - self.held.len()) as u64,
            None if self.held.is_empty() => self.skip,
            None => return Err(Stop::Malformed),
        };
        self.held = BytesMut::new();
        self.skip = len.and_then(|len| left.checked_sub(len)).ok_or(Stop::Malformed)?;
        Ok(())
    }

    /// The body is complete; fails if its last message is not.
    pub fn end(&self) -> Result<(), Stop> {
        let whole = self.prefix.is_none() && self.held.is_empty();
        if whole { Ok(()) } else { Err(Stop::Malformed) }
    }

    /// Takes `len` bytes, together with what is held of them; without a copy if nothing is.
    fn collect(&mut self, input: &mut Bytes, len: usize) -> Option<Bytes> {
        if self.held.is_empty() && input.len() >= len {
            return Some(input.split_to(len));
        }
        let part = input.split_to(input.len().min(len - self.held.len()));
        self.held.extend_from_slice(&part);
        (self.held.len() == len).then(|| self.held.split().freeze())
    }

    fn allow(&mut self, message: Bytes) -> Result<Found, Stop> {
        self.left = self.left.checked_sub(message.len() as u64).ok_or(Stop::Full)?;
        Ok(Found::Message(message))
    }

    /// Each message is compressed for itself.
    fn decompress(&mut self, message: &[u8]) -> Result<Found, Stop> {
        let Ok(Some(mut decoder)) = Decoder::new(std::iter::once(&*self.coding)) else {
            return Ok(Found::Undecoded);
        };
        let (mut plain, limit) = (BytesMut::new(), self.limit);
        let mut take = |part: &[u8]| {
            if plain.len() + part.len() > limit {
                return Err(Stop::Full);
            }
            plain.extend_from_slice(part);
            Ok(())
        };
        match decoder.push(message, &mut take).and_then(|()| decoder.finish(&mut take)) {
            Ok(()) => self.allow(plain.freeze()),
            Err(Stop::Full) => Ok(Found::TooLong),
            Err(Stop::Malformed) => Ok(Found::Undecoded),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Header, encoding::tests::encode};

    pub(in crate::wire) fn message(flag: u8, payload: &[u8]) -> Vec<u8> {
        [&[flag][..], &(payload.len() as u32).to_be_bytes(), payload].concat()
    }

    fn messages(content_type: &str, coding: Option<&str>) -> Option<Messages> {
        let header = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
        let coding = coding.map(|coding| header("grpc-encoding", coding));
        let all = std::iter::once(header("content-type", content_type)).chain(coding).collect();
        Messages::of(&Headers(all), 40, 100)
    }

    /// Bytes, or a gap of so many.
    #[derive(Clone, Debug)]
    enum Part {
        Bytes(Vec<u8>),
        Gap(u64),
    }

    /// What is found, and whether reading failed; `end` included.
    fn read(coding: Option<&str>, parts: &[Part]) -> (Vec<String>, Result<(), Stop>) {
        let (mut messages, mut all) = (messages("application/grpc", coding).unwrap(), Vec::new());
        let mut take = |found| {
            all.push(match found {
                Found::Message(message) => String::from_utf8_lossy(&message).into_owned(),
                other => format!("{other:?}"),
            });
        };
        for part in parts {
            let result = match part {
                Part::Bytes(bytes) => messages.push(Bytes::copy_from_slice(bytes), &mut take),
                Part::Gap(len) => messages.gap(Some(*len)),
            };
            if result.is_err() {
                return (all, result);
            }
        }
        let end = messages.end();
        (all, end)
    }

    #[test]
    fn content_types() {
        for (content_type, is) in [
            ("application/grpc", true),
            ("Application/gRPC+proto; charset=utf-8", true),
            ("application/grpc+json", true),
            ("application/grpc-web", false),
            ("application/grpc-web-text+proto", false),
            ("application/json", false),
        ] {
            assert_eq!(messages(content_type, None).is_some(), is, "{content_type}");
        }
    }

    #[test]
    fn messages_in_any_coding() {
        let plain = b"message message message message".as_slice();
        let text = String::from_utf8_lossy(plain).into_owned();
        let row = |coding, flag, payload: &[u8]| read(coding, &[Part::Bytes(message(flag, payload))]);
        for coding in ["gzip", "deflate", "zstd"] {
            let coded = encode(coding, plain);
            assert_eq!(row(Some(coding), 1, &coded), (vec![text.clone()], Ok(())), "{coding}");
            // Each message says for itself whether it is compressed.
            assert_eq!(row(Some(coding), 0, plain), (vec![text.clone()], Ok(())), "{coding}");
            let torn = row(Some(coding), 1, &coded[..coded.len() - 1]);
            assert_eq!(torn, (vec!["Undecoded".to_owned()], Ok(())), "{coding}");
        }
        for coding in [None, Some("identity"), Some("snappy")] {
            assert_eq!(row(coding, 1, plain), (vec!["Undecoded".to_owned()], Ok(())), "{coding:?}");
            assert_eq!(row(coding, 0, plain), (vec![text.clone()], Ok(())), "{coding:?}");
        }
    }

    #[test]
    fn limits() {
        let bytes = |list: &[Vec<u8>]| [Part::Bytes(list.concat())];
        let (long, short) = (vec![b'x'; 41], b"short".as_slice());
        let passed = (vec!["TooLong".to_owned(), "short".to_owned()], Ok(()));
        assert_eq!(read(None, &bytes(&[message(0, &long), message(0, short)])), passed);
        let bomb = encode("gzip", &[b'x'; 5000]);
        assert!(bomb.len() <= 40);
        assert_eq!(read(Some("gzip"), &bytes(&[message(1, &bomb), message(0, short)])), passed);
        // All messages together.
        let many = vec![message(0, &[b'x'; 30]); 4];
        assert_eq!(read(None, &bytes(&many)), (vec!["x".repeat(30); 3], Err(Stop::Full)));
    }

    #[test]
    fn gaps() {
        let (one, two) = (message(0, b"one one"), message(0, b"two"));
        let part = |bytes: &[u8]| Part::Bytes(bytes.to_vec());
        let lost = Err(Stop::Malformed);
        for (what, parts, found, how) in [
            (
                "in a message",
                vec![part(&one[..7]), Part::Gap(3), part(&one[10..]), part(&two)],
                "two",
                Ok(()),
            ),
            ("its rest", vec![part(&one[..7]), Part::Gap(5), part(&two)], "two", Ok(())),
            (
                "twice",
                vec![part(&one[..5]), Part::Gap(3), part(&one[8..9]), Part::Gap(3), part(&two)],
                "two",
                Ok(()),
            ),
            ("over its end", vec![part(&one[..7]), Part::Gap(6), part(&two)], "", lost),
            ("in a prefix", vec![part(&one[..3]), Part::Gap(1), part(&one[4..])], "", lost),
            ("between messages", vec![part(&one), Part::Gap(8), part(&two)], "one one", lost),
            ("no prefix", vec![part(&[2, 0, 0, 0, 0])], "", lost),
            ("an end within", vec![part(&one), part(&two[..7])], "one one", lost),
        ] {
            let found: Vec<_> = found.split_terminator(',').map(str::to_owned).collect();
            assert_eq!(read(None, &parts), (found, how), "{what}");
        }
    }

    proptest! {
        /// However they are cut, and whatever of it is lost: a message is as it was sent, or it is not told.
        #[test]
        fn no_message_is_made_up(
            sent in prop::collection::vec((prop::collection::vec(b'a'..b'd', 0..45), any::<bool>()), 0..6),
            pieces in prop::collection::vec((1usize..30, prop::bool::weighted(0.1)), 1..40),
        ) {
            let of = |(text, zipped): &(Vec<u8>, bool)| {
                if *zipped { message(1, &encode("gzip", text)) } else { message(0, text) }
            };
            let mut rest: Vec<u8> = sent.iter().flat_map(of).collect();
            let (mut parts, mut lossless) = (Vec::new(), true);
            for (size, lost) in pieces.iter().cycle() {
                if rest.is_empty() { break; }
                let after = rest.split_off((*size).min(rest.len()));
                let piece = std::mem::replace(&mut rest, after);
                lossless &= !lost;
                parts.push(if *lost { Part::Gap(piece.len() as u64) } else { Part::Bytes(piece) });
            }
            let (found, how) = read(Some("gzip"), &parts);
            let longest = |(text, zipped): &(Vec<u8>, bool)| {
                text.len().max(if *zipped { encode("gzip", text).len() } else { 0 })
            };
            let total = sent.iter().filter(|s| longest(s) <= 40).map(|(text, _)| text.len()).sum::<usize>();
            let expected: Vec<String> = sent.iter().map(|s| {
                if longest(s) > 40 { "TooLong".to_owned() } else { String::from_utf8(s.0.clone()).unwrap() }
            }).collect();
            if lossless && total <= 100 {
                prop_assert_eq!((found, how), (expected, Ok(())));
            } else {
                // In their order, with some left out.
                let mut all = expected.iter();
                for message in &found {
                    prop_assert!(all.any(|sent| sent == message), "{} was not sent: {:?}", message, expected);
                }
            }
        }

        #[test]
        fn anything_may_come(parts in prop::collection::vec((prop::collection::vec(0u8..9, 0..30), 0u64..20), 0..20)) {
            let mut all = Vec::new();
            for (bytes, gap) in parts {
                all.push(Part::Bytes(bytes));
                if gap > 0 && gap < 4 { all.push(Part::Gap(gap)); }
            }
            let _ = read(Some("deflate"), &all);
        }
    }
}
