//! AWS event streams (`application/vnd.amazon.eventstream`,
//! <https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html>): binary messages with headers and checksums.

use bytes::{Buf, Bytes, BytesMut};
use flate2::Crc;

use super::{SseEvent, sse::Found};

/// Total length, length of the headers, and the checksum of both.
const PRELUDE: usize = 12;

/// The shortest message: a prelude and the checksum of all before.
const SHORTEST: usize = PRELUDE + 4;

/// What is not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// An incremental reader of messages.
pub(super) struct Messages {
    /// Longest message, in bytes.
    limit: usize,
    /// The beginning of a message whose end has not arrived.
    held: BytesMut,
    /// Bytes of a damaged or too long message that are still to come, and are passed over.
    skip: u64,
}

impl Messages {
    pub fn new(limit: usize) -> Self {
        Self { limit, held: BytesMut::new(), skip: 0 }
    }

    /// Takes the next bytes; fails where no message is.
    pub fn push(&mut self, mut input: Bytes, found: &mut impl FnMut(Found)) -> Result<(), Malformed> {
        loop {
            let skipped = self.skip.min(input.len() as u64);
            input.advance(skipped as usize);
            self.skip -= skipped;
            if input.is_empty() {
                return Ok(());
            }
            let missing = PRELUDE.saturating_sub(self.held.len()).min(input.len());
            self.held.extend_from_slice(&input.split_to(missing));
            let Some(total) = total(&self.held)? else { return Ok(()) };
            if total > self.limit {
                self.skip = (total - self.held.len()) as u64;
                self.held = BytesMut::new();
                found(Found::TooLong);
                continue;
            }
            let part = input.split_to((total - self.held.len()).min(input.len()));
            self.held.extend_from_slice(&part);
            if self.held.len() < total {
                return Ok(());
            }
            let message = self.held.split().freeze();
            found(Found::Event(read(&message).ok_or(Malformed)?));
        }
    }

    /// Bytes that are held for a message that is not whole.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Bytes are missing here; fails if it isn't known where the next message begins.
    pub fn gap(&mut self, len: Option<u64>) -> Result<(), Malformed> {
        let left = match total(&self.held)? {
            Some(total) => (total - self.held.len()) as u64,
            None if self.held.is_empty() => self.skip,
            None => return Err(Malformed),
        };
        self.held = BytesMut::new();
        self.skip = len.and_then(|len| left.checked_sub(len)).ok_or(Malformed)?;
        Ok(())
    }
}

/// The length of a message, once its prelude is there.
fn total(held: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(prelude) = held.first_chunk::<PRELUDE>() else { return Ok(None) };
    let [total, headers, sum] = [word(prelude, 0), word(prelude, 4), word(prelude, 8)];
    let fits = (SHORTEST as u64..).contains(&u64::from(total)) && headers <= total - SHORTEST as u32;
    if !fits || crc(&prelude[..8]) != sum { Err(Malformed) } else { Ok(Some(total as usize)) }
}

fn word(bytes: &[u8; PRELUDE], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// A whole message: the event's type and its payload. The prelude was checked.
fn read(message: &Bytes) -> Option<SseEvent> {
    let (before, sum) = message.split_last_chunk::<4>()?;
    if crc(before) != u32::from_be_bytes(*sum) {
        return None;
    }
    let prelude = before.first_chunk::<PRELUDE>()?;
    let (mut headers, payload) = before[PRELUDE..].split_at_checked(word(prelude, 4) as usize)?;
    let mut event = Box::default();
    while !headers.is_empty() {
        let (name, value) = header(&mut headers)?;
        // An exception is the last message of a stream that failed.
        if matches!(name, b":event-type" | b":exception-type" | b":error-code") {
            event = String::from_utf8_lossy(value?).into();
        }
    }
    Some(SseEvent { event, data: message.slice_ref(payload) })
}

/// Takes a header off: its name, and its value if that is a text; `None` if it is no header.
fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let len = take(rest, 1)?[0];
    let name = take(rest, len.into())?;
    let kind = take(rest, 1)?[0];
    let size = match kind {
        // True, false; a byte, two, four, eight; bytes and text with their length; a time; a UUID.
        0 | 1 => 0,
        2 => 1,
        3 => 2,
        4 => 4,
        5 | 8 => 8,
        6 | 7 => usize::from(u16::from_be_bytes(*take(rest, 2)?.first_chunk()?)),
        9 => 16,
        _ => return None,
    };
    let value = take(rest, size)?;
    Some((name, (kind == 7).then_some(value)))
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(n)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message with these headers, of which each is a kind and its encoded value.
    pub(in crate::wire) fn message(headers: &[(&str, u8, &[u8])], payload: &[u8]) -> Vec<u8> {
        let mut fields = Vec::new();
        for (name, kind, value) in headers {
            fields.push(name.len() as u8);
            fields.extend_from_slice(name.as_bytes());
            fields.push(*kind);
            fields.extend_from_slice(value);
        }
        let mut bytes = ((SHORTEST + fields.len() + payload.len()) as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&(fields.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&crc(&bytes).to_be_bytes());
        bytes.extend(fields);
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&crc(&bytes).to_be_bytes());
        bytes
    }

    fn event(kind: &str, payload: &str) -> Vec<u8> {
        let text = |value: &str| [&(value.len() as u16).to_be_bytes()[..], value.as_bytes()].concat();
        let headers: [(&str, u8, &[u8]); 4] =
            [(":event-type", 7, &text(kind)), ("t", 0, &[]), ("n", 4, &[0; 4]), ("u", 9, &[0; 16])];
        message(&headers, payload.as_bytes())
    }

    /// `None` is a gap of so many bytes as the number behind it.
    fn pieces(list: &[(Option<&[u8]>, u64)]) -> (Vec<String>, bool) {
        let (mut messages, mut all) = (Messages::new(200), Vec::new());
        let mut take = |found| {
            all.push(match found {
                Found::Event(e) => format!("{}|{}", e.event, String::from_utf8_lossy(&e.data)),
                Found::TooLong => "too long".to_owned(),
            });
        };
        let mut fine = true;
        for (bytes, len) in list {
            fine &= match bytes {
                Some(bytes) => messages.push(Bytes::copy_from_slice(bytes), &mut take).is_ok(),
                None => messages.gap(Some(*len)).is_ok(),
            };
        }
        (all, fine)
    }

    #[test]
    fn the_checksum_is_that_of_the_format() {
        // CRC-32 of ISO 3309: the check value of every catalogue.
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        // The empty message of the test vectors that come with every AWS SDK.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(&[], b""), empty);
        assert_eq!(pieces(&[(Some(&empty), 0)]), (vec!["|".to_owned()], true));
    }

    #[test]
    fn messages_and_what_damages_them() {
        let (a, b) = (event("chunk", "{\"a\":1}"), event("end", "{}"));
        let all = [&a[..], &b].concat();
        let both = vec!["chunk|{\"a\":1}".to_owned(), "end|{}".to_owned()];
        for cut in 0..all.len() {
            assert_eq!(
                pieces(&[(Some(&all[..cut]), 0), (Some(&all[cut..]), 0)]),
                (both.clone(), true),
                "{cut}"
            );
        }
        // In a payload reading goes on with the next message, elsewhere not.
        let gap = [(Some(&a[..20]), 0), (None, 5), (Some(&a[25..]), 0), (Some(&b[..]), 0)];
        assert_eq!(pieces(&gap), (vec!["end|{}".to_owned()], true));
        assert!(!pieces(&[(Some(&a[..5]), 0), (None, 5)]).1);
        assert!(!pieces(&[(Some(&a[..20]), 0), (None, a.len() as u64)]).1);
        assert!(!pieces(&[(Some(&a[..]), 0), (None, 1)]).1);
        let long = event("chunk", &"x".repeat(200));
        assert_eq!(
            pieces(&[(Some(&long), 0), (Some(&b), 0)]),
            (vec!["too long".into(), "end|{}".into()], true)
        );
    }

    #[test]
    fn one_wrong_byte_is_found() {
        let good = event("chunk", "{\"a\":1}");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            let (events, fine) = pieces(&[(Some(&bad), 0)]);
            assert!(events.is_empty() && !fine, "{at}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_come(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            headers in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = pieces(&[(Some(&bytes), 0)]);
            // Headers that make no sense, in a message that is whole.
            let mut whole = ((SHORTEST + headers.len()) as u32).to_be_bytes().to_vec();
            whole.extend_from_slice(&(headers.len() as u32).to_be_bytes());
            whole.extend_from_slice(&crc(&whole).to_be_bytes());
            whole.extend(headers);
            whole.extend_from_slice(&crc(&whole).to_be_bytes());
            let _ = pieces(&[(Some(&whole), 0)]);
        }
    }
}
