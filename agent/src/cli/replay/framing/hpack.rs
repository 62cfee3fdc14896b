//! A small encoder of header blocks (RFC 7541), which shares nothing with the decoder that it is to try.

use std::collections::VecDeque;

use super::super::random::Random;

/// Fields of the static table, with their index (RFC 7541, appendix A); those whose value is empty stand for their name.
const STATIC: &[(usize, &str, &str)] = &[
    (1, ":authority", ""),
    (2, ":method", "GET"),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (7, ":scheme", "https"),
    (8, ":status", "200"),
    (9, ":status", "204"),
    (12, ":status", "400"),
    (13, ":status", "404"),
    (14, ":status", "500"),
    (16, "accept-encoding", "gzip, deflate"),
    (19, "accept", ""),
    (23, "authorization", ""),
    (24, "cache-control", ""),
    (26, "content-encoding", ""),
    (28, "content-length", ""),
    (31, "content-type", ""),
    (33, "date", ""),
    (54, "server", ""),
    (55, "set-cookie", ""),
    (58, "user-agent", ""),
    (61, "www-authenticate", ""),
];

/// The first index of the dynamic table.
const DYNAMIC: usize = 62;

/// Sizes that the dynamic table is set to; the first is what it begins with.
const SIZES: [usize; 3] = [4096, 700, 100];

/// Encodes the blocks of one direction.
pub(super) struct Encoder {
    /// The newest first.
    table: VecDeque<(String, String)>,
    limit: usize,
    /// Without it every block is made in the same way: all indexed, all in Huffman's code.
    random: Option<Random>,
}

impl Encoder {
    pub fn new(random: Option<Random>) -> Self {
        Self { table: VecDeque::new(), limit: SIZES[0], random }
    }

    /// One of so many; the first without chance.
    fn choose(&mut self, of: usize) -> usize {
        self.random.as_mut().map_or(0, |random| random.size(of) - 1)
    }

    /// Encodes a block.
    pub fn block<'a>(&mut self, fields: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
        let mut block = Vec::new();
        if self.choose(4) == 1 {
            self.limit = SIZES[self.choose(SIZES.len())];
            self.evict();
            integer(&mut block, 0x20, 5, self.limit);
        }
        for (name, value) in fields {
            self.field(&mut block, name, value);
        }
        block
    }

    fn field(&mut self, block: &mut Vec<u8>, name: &str, value: &str) {
        let known = self.table.iter().position(|(n, v)| n == name && v == value).map(|at| at + DYNAMIC);
        let fixed =
            STATIC.iter().find(|(_, n, v)| *n == name && *v == value && !v.is_empty()).map(|row| row.0);
        if let Some(index) = fixed.or(known) {
            integer(block, 0x80, 7, index);
            return;
        }
        let index = STATIC
            .iter()
            .find(|(_, n, _)| *n == name)
            .map(|row| row.0)
            .or_else(|| self.table.iter().position(|(n, _)| n == name).map(|at| at + DYNAMIC));
        // With indexing, without, never.
        let (first, prefix) = [(0x40, 6), (0, 4), (0x40, 6), (0x10, 4)][self.choose(4)];
        integer(block, first, prefix, index.unwrap_or(0));
        if index.is_none() {
            self.string(block, name);
        }
        self.string(block, value);
        if first == 0x40 {
            self.table.push_front((name.to_owned(), value.to_owned()));
            self.evict();
        }
    }

    fn string(&mut self, block: &mut Vec<u8>, text: &str) {
        let mut coded = Vec::new();
        if self.choose(2) == 0 && httlib_huffman::encode(text.as_bytes(), &mut coded).is_ok() {
            integer(block, 0x80, 7, coded.len());
            block.extend(coded);
        } else {
            integer(block, 0, 7, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }

    fn evict(&mut self) {
        let size = |table: &VecDeque<(String, String)>| -> usize {
            table.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
        };
        while size(&self.table) > self.limit {
            self.table.pop_back();
        }
    }
}

/// RFC 7541, section 5.1.
fn integer(block: &mut Vec<u8>, first: u8, prefix: u8, value: usize) {
    let most = (1 << prefix) - 1;
    if value < most {
        block.push(first | value as u8);
        return;
    }
    block.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_the_standard() {
        // RFC 7541, appendix C.1.
        for (value, prefix, bytes) in [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42])] {
            let mut block = Vec::new();
            integer(&mut block, 0, prefix, value);
            assert_eq!(block, bytes);
        }
    }

    #[test]
    fn what_was_sent_is_referred_to() {
        let mut encoder = Encoder::new(None);
        let fields = [(":method", "POST"), (":path", "/x"), ("user-agent", "a"), ("new", "b")];
        let first = encoder.block(fields.into_iter());
        assert!(first.starts_with(&[0x83, 0x44]), "{first:x?}");
        assert_eq!(encoder.block(fields.into_iter()), [0x83, 0xc0, 0xbf, 0xbe]);
    }
}
