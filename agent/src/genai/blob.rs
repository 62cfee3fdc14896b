//! What is told of binary content, whose bytes are not kept: how long it is, and a digest by which the same content is known again.
//!
//! The bytes are never in one place: their text is decoded piece by piece as it is read.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ring::digest::{Context, SHA256};

use crate::text::hex;

/// Digits that are decoded at once; a multiple of four.
const PIECE: usize = 4096;

/// Identity of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    /// How many bytes.
    pub size: u64,
    /// Their SHA-256 (FIPS 180-4).
    pub sha256: [u8; 32],
}

impl Digest {
    /// The SHA-256 in hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.sha256)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, self.hex())
    }
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// Base64 in either of its alphabets, padded or not, with or without line breaks (RFC 4648, sections 4 and 5): providers take all of them.
    Base64,
    /// Percent-encoding (RFC 3986, section 2.1).
    Percent,
}

/// Bytes that go by as text, in pieces.
pub(super) struct Measure {
    code: Code,
    /// Length of the text.
    encoded_len: u64,
    /// None where nobody asks for a digest, or the text turned out to be none of this code.
    hashed: Option<Hashed>,
}

struct Hashed {
    context: Context,
    size: u64,
    /// Bits of digits that do not make a byte yet.
    bits: u32,
    /// Digits that came since the last whole group.
    digits: u8,
    /// Padding has come: only more of it may follow.
    padded: bool,
}

impl Measure {
    /// Of nothing yet; with a digest, if it is asked for.
    pub(super) fn new(code: Code, hash: bool) -> Self {
        let hashed = Hashed { context: Context::new(&SHA256), size: 0, bits: 0, digits: 0, padded: false };
        Self { code, encoded_len: 0, hashed: hash.then_some(hashed) }
    }

    /// The text goes on.
    pub(super) fn push(&mut self, text: &str) {
        self.encoded_len = self.encoded_len.saturating_add(text.len() as u64);
        let Some(hashed) = &mut self.hashed else { return };
        let fits = match self.code {
            Code::Base64 => hashed.base64(text.as_bytes()),
            Code::Percent => hashed.percent(text.as_bytes()),
        };
        if fits.is_none() {
            self.hashed = None;
        }
    }

    /// A text is over, and another one goes on with the same content: each is whole by itself.
    pub(super) fn end_text(&mut self) {
        if let Some(hashed) = &mut self.hashed
            && hashed.end(self.code).is_none()
        {
            self.hashed = None;
        }
    }

    /// Length of the text so far.
    pub(super) fn encoded_len(&self) -> u64 {
        self.encoded_len
    }

    /// What the bytes were; `None` if that was not asked for, or the text is not of its code.
    pub(super) fn digest(mut self) -> Option<Digest> {
        self.end_text();
        let Hashed { context, size, .. } = self.hashed?;
        let sha256 = context.finish().as_ref().try_into().ok()?;
        Some(Digest { size, sha256 })
    }
}

impl Hashed {
    fn take(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn base64(&mut self, mut text: &[u8]) -> Option<()> {
        let mut bytes = [0; PIECE / 4 * 3];
        while !text.is_empty() {
            let (piece, rest) = text.split_at(text.len().min(PIECE));
            let (groups, odd) = piece.split_at(piece.len() & !3);
            let decoded = if self.digits == 0 && !self.padded {
                STANDARD_NO_PAD.decode_slice(groups, &mut bytes).ok()
            } else {
                None
            };
            // What is not plain base64 is looked at digit by digit.
            let slowly = if let Some(len) = decoded {
                self.take(&bytes[..len]);
                odd
            } else {
                piece
            };
            self.digits(slowly, &mut bytes)?;
            text = rest;
        }
        Some(())
    }

    fn digits(&mut self, text: &[u8], bytes: &mut [u8]) -> Option<()> {
        let mut len = 0;
        for byte in text {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                b'=' => {
                    self.padded = true;
                    continue;
                }
                b'\r' | b'\n' | b' ' | b'\t' => continue,
                _ => return None,
            };
            if self.padded {
                return None;
            }
            self.bits = self.bits << 6 | u32::from(value);
            self.digits = (self.digits + 1) % 4;
            // Of the second digit on, each brings eight bits together.
            if self.digits != 1 {
                bytes[len] = (self.bits >> [0, 0, 4, 2][usize::from(self.digits)]) as u8;
                len += 1;
            }
        }
        self.take(&bytes[..len]);
        Some(())
    }

    fn percent(&mut self, text: &[u8]) -> Option<()> {
        for byte in text {
            // Within an escape: `digits` says how much of it has come, with the `%`.
            if self.digits > 0 {
                self.bits = self.bits << 4 | char::from(*byte).to_digit(16)?;
                self.digits = (self.digits + 1) % 3;
                if self.digits == 0 {
                    self.take(&[(self.bits & 0xff) as u8]);
                }
            } else if *byte == b'%' {
                self.digits = 1;
            } else {
                self.take(&[*byte]);
            }
        }
        Some(())
    }

    /// The text is over: one digit, or half an escape, is not a byte.
    fn end(&mut self, code: Code) -> Option<()> {
        let whole = match code {
            Code::Base64 => self.digits != 1,
            Code::Percent => self.digits == 0,
        };
        (self.digits, self.padded) = (0, false);
        whole.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn digest(code: Code, pieces: &[&str]) -> Option<Digest> {
        let mut measure = Measure::new(code, true);
        for piece in pieces {
            measure.push(piece);
        }
        assert_eq!(measure.encoded_len(), pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        measure.digest()
    }

    /// What `sha256sum` says of them.
    const EMPTY: &str = "0:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const ABC: &str = "3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const FO: &str = "2:9c3aee7110b787f0fb5f81633a36392bd277ea945d44c874a9a23601aefe20cf";

    #[test]
    fn known_digests() {
        let cases: &[(Code, &[&str], Option<&str>)] = &[
            (Code::Base64, &[], Some(EMPTY)),
            (Code::Base64, &["YWJj"], Some(ABC)),
            (Code::Base64, &["Y", "W", "J", "j"], Some(ABC)),
            (Code::Base64, &["YW\r\nJj\n"], Some(ABC)),
            (Code::Base64, &["Zm8="], Some(FO)),
            (Code::Base64, &["Zm8"], Some(FO)),
            (Code::Base64, &["Zm", "8", "="], Some(FO)),
            (Code::Base64, &["YWJjZ"], None),
            (Code::Base64, &["Zm8=YWJj"], None),
            (Code::Base64, &["Zm8=", "YWJj"], None),
            (Code::Base64, &["YW!j"], None),
            (Code::Base64, &["YWJjé"], None),
            (Code::Percent, &["abc"], Some(ABC)),
            (Code::Percent, &["a%", "6", "2%63"], Some(ABC)),
            (Code::Percent, &["abc%6"], None),
            (Code::Percent, &["abc%"], None),
            (Code::Percent, &["%zz"], None),
        ];
        for (code, pieces, expected) in cases {
            let found = digest(*code, pieces).map(|digest| format!("{digest:?}"));
            assert_eq!(found.as_deref(), *expected, "{code:?} {pieces:?}");
        }
    }

    #[test]
    fn texts_that_are_whole_by_themselves_are_joined() {
        let mut measure = Measure::new(Code::Base64, true);
        for text in ["YQ==", "", "YmM"] {
            measure.push(text);
            measure.end_text();
        }
        assert_eq!(measure.digest().map(|digest| format!("{digest:?}")).as_deref(), Some(ABC));
    }

    #[test]
    fn nothing_is_computed_that_nobody_asks_for() {
        let mut measure = Measure::new(Code::Base64, false);
        measure.push("YWJj");
        assert_eq!((measure.encoded_len(), measure.digest()), (4, None));
    }

    proptest! {
        #[test]
        fn any_alphabet_and_any_cut_give_the_digest_of_the_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..9000),
            size in 1..6000usize,
            line in 1..200usize,
        ) {
            let expected = ring::digest::digest(&SHA256, &bytes);
            let plain = STANDARD.encode(&bytes);
            let url_safe = URL_SAFE_NO_PAD.encode(&bytes);
            let lines = plain.as_bytes().chunks(line).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
            for text in [plain, url_safe, lines] {
                let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
                let found = digest(Code::Base64, &pieces).unwrap();
                prop_assert_eq!(found.size, bytes.len() as u64);
                prop_assert_eq!(&found.sha256[..], expected.as_ref());
            }
        }
    }
}
