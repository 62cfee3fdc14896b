//! Data that was seen at its cipher, and waits to be told which connection its key belongs to.

use std::collections::VecDeque;

use super::record::Data;

/// Most keys that wait. A key waits from the first record that is encrypted under it until its thread writes that to
/// a socket, which it does at once.
const MAX_KEYS: usize = 256;

/// Most bytes that wait, of all keys.
const MAX_BYTES: usize = 8 << 20;

/// Process, and the context of the key.
pub(super) type Key = (u32, u64);

/// What waits under one key.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: Key,
    pub(super) born_ns: u64,
    /// In order. Which connection it is of is not set.
    pub(super) data: Vec<Data>,
}

/// All that waits, the oldest key first.
#[derive(Default)]
pub(super) struct Unlinked {
    held: VecDeque<Held>,
    bytes: usize,
}

impl Unlinked {
    /// Keeps data back. What there is no more room for, or is of an older key at the same address, is handed back.
    pub(super) fn hold(&mut self, key: Key, born_ns: u64, data: Data) -> Vec<Held> {
        let mut given_up = Vec::new();
        self.bytes += data.bytes.len();
        match self.held.iter_mut().find(|h| h.key == key) {
            Some(held) if held.born_ns == born_ns => held.data.push(data),
            other => {
                let outdated = other.is_some();
                if outdated {
                    self.bytes -= data.bytes.len();
                    given_up.extend(self.take(key));
                    self.bytes += data.bytes.len();
                }
                self.held.push_back(Held { key, born_ns, data: vec![data] });
            }
        }
        while self.held.len() > MAX_KEYS || self.bytes > MAX_BYTES {
            let Some(oldest) = self.held.pop_front() else { break };
            self.bytes -= bytes(&oldest);
            given_up.push(oldest);
        }
        given_up
    }

    /// What waited under a key.
    pub(super) fn take(&mut self, key: Key) -> Option<Held> {
        let at = self.held.iter().position(|h| h.key == key)?;
        let held = self.held.remove(at)?;
        self.bytes -= bytes(&held);
        Some(held)
    }

    /// What waited in a process.
    pub(super) fn end_of_process(&mut self, tgid: u32) -> Vec<Held> {
        let mut ended = Vec::new();
        while let Some(key) = self.held.iter().find(|h| h.key.0 == tgid).map(|h| h.key) {
            ended.extend(self.take(key));
        }
        ended
    }
}

fn bytes(held: &Held) -> usize {
    held.data.iter().map(|d| d.bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        capture::{ConnectionId, Direction, Process},
        time::Timestamp,
    };

    fn data(len: usize) -> Data {
        Data {
            connection: ConnectionId(0),
            process: Process { pid: 1, tid: 1 },
            direction: Direction::Sent,
            time: Timestamp(0),
            offset: 0,
            skipped: 0,
            call_len: len as u32,
            epoch: 0,
            cut: false,
            bytes: Bytes::from(vec![0; len]),
        }
    }

    #[test]
    fn bounded_in_keys_and_bytes() {
        let mut unlinked = Unlinked::default();
        let mut given_up = 0;
        for key in 0..2 * MAX_KEYS as u64 {
            given_up += unlinked.hold((1, key), 0, data(1)).len();
        }
        assert_eq!(given_up, MAX_KEYS);
        assert_eq!(unlinked.hold((2, 0), 0, data(MAX_BYTES - 1)).len(), MAX_KEYS - 1 + 1 - 1);
        assert_eq!(unlinked.hold((2, 1), 0, data(MAX_BYTES)).len(), 2);
        assert_eq!((unlinked.held.len(), unlinked.bytes), (1, MAX_BYTES));
    }

    #[test]
    fn an_address_that_is_used_again_is_another_key() {
        let mut unlinked = Unlinked::default();
        assert!(unlinked.hold((1, 1), 5, data(3)).is_empty());
        let old = unlinked.hold((1, 1), 6, data(4));
        assert_eq!((old.len(), old[0].born_ns, unlinked.bytes), (1, 5, 4));
        assert_eq!(unlinked.take((1, 1)).map(|h| h.born_ns), Some(6));
        assert_eq!(unlinked.bytes, 0);
    }
}
