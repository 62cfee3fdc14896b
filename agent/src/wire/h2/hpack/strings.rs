//! Integers and strings (RFC 7541, section 5).

use bytes::Bytes;
use httlib_huffman::DecoderSpeed;

use super::Malformed;

/// What is left of a block.
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    pub fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An integer whose first byte has `prefix` bits of it. Numbers over 32 bits are nobody's.
    pub fn integer(&mut self, prefix: u8) -> Result<usize, Malformed> {
        let most = (1u32 << prefix) - 1;
        let first = u32::from(self.byte()?) & most;
        if first < most {
            return Ok(first as usize);
        }
        let mut value = u64::from(most);
        for shift in (0..=28).step_by(7) {
            let byte = self.byte()?;
            value += u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map(|value| value as usize).map_err(|_| Malformed);
            }
        }
        Err(Malformed)
    }

    /// A string. It is copied: the table keeps it longer than the block.
    pub fn string(&mut self) -> Result<Bytes, Malformed> {
        let huffman = self.peek().is_some_and(|byte| byte & 0x80 != 0);
        let len = self.integer(7)?;
        if len > self.0.len() {
            return Err(Malformed);
        }
        let (string, rest) = self.0.split_at(len);
        self.0 = rest;
        if !huffman {
            return Ok(Bytes::copy_from_slice(string));
        }
        // The shortest code has five bits.
        let mut decoded = Vec::with_capacity(len * 8 / 5);
        httlib_huffman::decode(string, &mut decoded, DecoderSpeed::FourBits).map_err(|_| Malformed)?;
        Ok(decoded.into())
    }
}
