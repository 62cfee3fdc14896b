//! Puts the records of each connection and direction in order and makes what is missing explicit.

use std::{sync::Arc, time::Duration};

use bytes::Buf;

use super::{
    GapReason, Piece, Segment, StreamEvent,
    table::{Entry, Position, Table},
};
use crate::{
    account::{Account, Counter},
    capture::{Close, CloseReason, ConnectionId, Data, Direction, Process},
    time::Timestamp,
};

/// What the stream layer may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections followed at once; beyond it the one that was idle longest is given up.
    pub connections: usize,
    /// How long nothing may be heard of a connection that is followed.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 65_536, idle: Duration::from_secs(3600) }
    }
}

/// The streams of all connections.
pub struct Streams {
    table: Table,
    idle: Duration,
    account: Arc<Account>,
}

impl Streams {
    /// No connections yet.
    pub fn new(limits: Limits, account: Arc<Account>) -> Self {
        Self { table: Table::new(limits.connections), idle: limits.idle, account }
    }

    /// How many connections are followed.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Takes a record, and hands on what is missing before it and what of it is new.
    pub fn data(&mut self, data: Data, out: &mut Vec<StreamEvent>) {
        let Data {
            connection,
            process,
            direction,
            time,
            offset,
            skipped,
            cut,
            mut bytes,
            call_len: _,
            epoch: _,
        } = data;
        self.forget_idle(time, out);
        let entry = match self.table.touch(connection) {
            Some(entry) => entry,
            None => begin(&mut self.table, &self.account, connection, process, time, out),
        };
        entry.process = process;
        entry.heard = time;
        let position = position(entry, direction);
        let at = StreamAt { connection, process, direction, time };
        if let Some(missing) = offset.checked_sub(position.next).filter(|n| *n > 0) {
            gap(&self.account, at, missing, skipped, position.cut, out);
            position.next = offset;
        }
        let known = position.next - offset;
        let end = offset.saturating_add(bytes.len() as u64);
        if known > 0 {
            let twice = known.min(bytes.len() as u64);
            self.account.add(Counter::DuplicateBytes, twice);
            bytes.advance(twice as usize);
        }
        if end >= position.next {
            position.next = end;
            position.cut = cut;
        }
        if !bytes.is_empty() {
            out.push(at.segment(Piece::Bytes(bytes)));
        }
    }

    /// Takes a close: what is known to be missing at the end of each direction, then the close itself.
    ///
    /// After [`CloseReason::Shutdown`] the connection is still followed, since the process may read on.
    pub fn close(&mut self, close: Close, out: &mut Vec<StreamEvent>) {
        let Close { connection, time, reason, sent, received, skipped } = close;
        // Of a connection that isn't known (evicted, or never heard of) nobody holds anything, and how
        // much of its totals is already accounted for can't be told.
        if let Some(entry) = self.table.touch(connection) {
            let process = entry.process;
            for (direction, total, skipped) in
                [(Direction::Sent, sent, skipped[0]), (Direction::Received, received, skipped[1])]
            {
                let position = position(entry, direction);
                let missing = total.unwrap_or(0).saturating_sub(position.next);
                if missing > 0 {
                    let at = StreamAt { connection, process, direction, time };
                    gap(&self.account, at, missing, skipped, position.cut, out);
                    position.next += missing;
                    position.cut = false;
                }
            }
        }
        if reason != CloseReason::Shutdown {
            self.table.remove(connection);
        }
        out.push(StreamEvent::Close { connection, time, reason });
    }

    /// Forgets the connection that was idle longest, if that is too long: what closed it was missed, or it is kept for
    /// nothing. One for each record is enough, since each record makes one connection at most.
    fn forget_idle(&mut self, time: Timestamp, out: &mut Vec<StreamEvent>) {
        let idle = self.table.oldest().is_some_and(|entry| time.since(entry.heard) > self.idle);
        if let Some(connection) = idle.then(|| self.table.pop_oldest()).flatten() {
            self.account.add(Counter::ConnectionsIdle, 1);
            out.push(StreamEvent::Close { connection, time, reason: CloseReason::CaptureEnd });
        }
    }

    /// Closes every connection, because the capture ends.
    pub fn close_all(&mut self, time: Timestamp, out: &mut Vec<StreamEvent>) {
        while let Some(connection) = self.table.pop_oldest() {
            out.push(StreamEvent::Close { connection, time, reason: CloseReason::CaptureEnd });
        }
    }
}

/// A connection of which nothing was seen yet.
fn begin<'a>(
    table: &'a mut Table,
    account: &Account,
    connection: ConnectionId,
    process: Process,
    time: Timestamp,
    out: &mut Vec<StreamEvent>,
) -> &'a mut Entry {
    let entry = Entry { sent: Position::default(), received: Position::default(), process, heard: time };
    account.add(Counter::Connections, 1);
    let (entry, evicted) = table.insert(connection, entry);
    if let Some(connection) = evicted {
        account.add(Counter::ConnectionsEvicted, 1);
        out.push(StreamEvent::Close { connection, time, reason: CloseReason::CaptureEnd });
    }
    entry
}

fn position(entry: &mut Entry, direction: Direction) -> &mut Position {
    match direction {
        Direction::Sent => &mut entry.sent,
        Direction::Received => &mut entry.received,
    }
}

/// Where and when a segment belongs.
#[derive(Clone, Copy)]
struct StreamAt {
    connection: ConnectionId,
    process: Process,
    direction: Direction,
    time: Timestamp,
}

impl StreamAt {
    fn segment(self, piece: Piece) -> StreamEvent {
        let Self { connection, process, direction, time } = self;
        StreamEvent::Segment(Segment { connection, process, direction, time, piece })
    }
}

/// Hands on `len` missing bytes, of which the kernel left out `skipped` on purpose; which of them came first
/// is not known. Those are counted where they are left out, in the kernel.
fn gap(account: &Account, at: StreamAt, len: u64, skipped: u64, cut: bool, out: &mut Vec<StreamEvent>) {
    let unwanted = skipped.min(len);
    let lost = len - unwanted;
    if lost > 0 {
        account.add(Counter::GapBytes, lost);
        let reason = if cut { GapReason::Cap } else { GapReason::Lost };
        out.push(at.segment(Piece::Gap { len: lost, reason }));
    }
    if unwanted > 0 {
        out.push(at.segment(Piece::Gap { len: unwanted, reason: GapReason::Unwanted }));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const PROCESS: Process = Process { pid: 7, tid: 8 };

    fn record(id: u64, direction: Direction, offset: u64, bytes: &'static str) -> Data {
        Data {
            connection: ConnectionId(id),
            process: PROCESS,
            direction,
            time: Timestamp(offset),
            offset,
            skipped: 0,
            call_len: bytes.len() as u32,
            epoch: 0,
            cut: false,
            bytes: Bytes::from_static(bytes.as_bytes()),
        }
    }

    fn close(id: u64, reason: CloseReason, sent: u64, received: u64) -> Close {
        let connection = ConnectionId(id);
        Close {
            connection,
            time: Timestamp(9),
            reason,
            sent: Some(sent),
            received: Some(received),
            skipped: [0; 2],
        }
    }

    /// Events as short texts: `1>abc` sent, `1<abc` received, `1>-5 Lost` a gap, `1x Freed` a close.
    fn shown(out: &[StreamEvent]) -> Vec<String> {
        out.iter()
            .map(|event| match event {
                StreamEvent::Segment(Segment { connection, direction, piece, .. }) => {
                    let way = if *direction == Direction::Sent { '>' } else { '<' };
                    match piece {
                        Piece::Bytes(b) => format!("{}{way}{}", connection.0, String::from_utf8_lossy(b)),
                        Piece::Gap { len, reason } => format!("{}{way}-{len} {reason:?}", connection.0),
                    }
                }
                StreamEvent::Close { connection, reason, .. } => format!("{}x {reason:?}", connection.0),
            })
            .collect()
    }

    fn streams(connections: usize) -> (Streams, Arc<Account>) {
        let account = Arc::new(Account::default());
        (Streams::new(Limits { connections, ..Limits::default() }, account.clone()), account)
    }

    #[test]
    fn order_gaps_and_overlaps() {
        use Direction::{Received, Sent};
        let (mut streams, account) = streams(8);
        let mut out = Vec::new();
        streams.data(record(1, Sent, 0, "abc"), &mut out);
        streams.data(record(1, Received, 4, "xyz"), &mut out);
        streams.data(record(1, Sent, 5, "fg"), &mut out);
        streams.data(record(1, Sent, 6, "ghi"), &mut out);
        streams.data(record(1, Sent, 0, "abcdefg"), &mut out);
        streams.data(Data { cut: true, ..record(1, Received, 7, "w") }, &mut out);
        streams.data(record(1, Received, 10, "v"), &mut out);
        assert_eq!(
            shown(&out),
            ["1>abc", "1<-4 Lost", "1<xyz", "1>-2 Lost", "1>fg", "1>hi", "1<w", "1<-2 Cap", "1<v"]
        );
        assert_eq!(account.get(Counter::GapBytes), 8);
        assert_eq!(account.get(Counter::DuplicateBytes), 8);
        assert_eq!(account.get(Counter::Connections), 1);
    }

    #[test]
    fn closes_and_their_tail_gaps() {
        use Direction::Sent;
        let (mut streams, account) = streams(8);
        let mut out = Vec::new();
        streams.data(Data { cut: true, ..record(1, Sent, 0, "abc") }, &mut out);
        streams.close(close(1, CloseReason::Shutdown, 5, 0), &mut out);
        streams.data(record(1, Direction::Received, 0, "late"), &mut out);
        assert_eq!(streams.connections(), 1);
        streams.close(close(1, CloseReason::Freed, 5, 6), &mut out);
        assert_eq!(streams.connections(), 0);
        streams.close(close(2, CloseReason::Freed, 50, 60), &mut out);
        assert_eq!(
            shown(&out),
            ["1>abc", "1>-2 Cap", "1x Shutdown", "1<late", "1<-2 Lost", "1x Freed", "2x Freed"]
        );
        assert_eq!(account.get(Counter::GapBytes), 4);
    }

    #[test]
    fn unwanted_bytes_are_no_loss() {
        let (mut streams, account) = streams(8);
        let mut out = Vec::new();
        streams.data(record(1, Direction::Sent, 0, "a"), &mut out);
        streams.data(Data { skipped: 2, ..record(1, Direction::Sent, 3, "d") }, &mut out);
        assert_eq!(shown(&out), ["1>a", "1>-2 Unwanted", "1>d"]);
        assert_eq!(account.get(Counter::GapBytes), 0);
        out.clear();
        // Part of it was lost all the same.
        streams.data(Data { skipped: 2, ..record(1, Direction::Sent, 7, "e") }, &mut out);
        assert_eq!(shown(&out), ["1>-1 Lost", "1>-2 Unwanted", "1>e"]);
        assert_eq!(account.get(Counter::GapBytes), 1);
    }

    #[test]
    fn a_full_table_evicts_the_idlest_and_says_so() {
        let (mut streams, account) = streams(2);
        let mut out = Vec::new();
        streams.data(record(1, Direction::Sent, 0, "a"), &mut out);
        streams.data(record(2, Direction::Sent, 0, "b"), &mut out);
        streams.data(record(1, Direction::Sent, 1, "c"), &mut out);
        streams.data(record(3, Direction::Sent, 0, "d"), &mut out);
        streams.close_all(Timestamp(1), &mut out);
        assert_eq!(
            shown(&out),
            ["1>a", "2>b", "1>c", "2x CaptureEnd", "3>d", "1x CaptureEnd", "3x CaptureEnd"]
        );
        assert_eq!(account.get(Counter::ConnectionsEvicted), 1);
        assert_eq!(streams.connections(), 0);
    }

    #[test]
    fn what_is_idle_for_long_is_forgotten() {
        let (mut streams, account) = streams(8);
        streams.idle = Duration::from_nanos(10);
        let mut out = Vec::new();
        let at =
            |id, offset, time| Data { time: Timestamp(time), ..record(id, Direction::Sent, offset, "a") };
        for (id, offset, time) in [(1, 0, 0), (2, 0, 5), (3, 0, 6), (2, 1, 11), (2, 2, 17), (1, 1, 18)] {
            streams.data(at(id, offset, time), &mut out);
        }
        assert_eq!(
            shown(&out),
            ["1>a", "2>a", "3>a", "1x CaptureEnd", "2>a", "3x CaptureEnd", "2>a", "1>-1 Lost", "1>a"]
        );
        assert_eq!(account.get(Counter::ConnectionsIdle), 2);
    }

    #[test]
    fn offsets_at_the_end_of_the_number_range_do_not_overflow() {
        let (mut streams, _) = streams(2);
        let mut out = Vec::new();
        streams.data(record(1, Direction::Sent, u64::MAX - 1, "abcdef"), &mut out);
        streams.data(record(1, Direction::Sent, 3, "abcdef"), &mut out);
        streams.close(close(1, CloseReason::Freed, u64::MAX, u64::MAX), &mut out);
        assert_eq!(streams.connections(), 0);
    }

    proptest! {
        /// Whatever arrives, the pieces cover the numbers from zero on without a hole or a repetition.
        #[test]
        fn pieces_cover_every_number_once(records in prop::collection::vec((0u64..64, 0usize..16), 0..40)) {
            let (mut streams, _) = streams(2);
            let (mut out, mut furthest) = (Vec::new(), 0);
            for (offset, len) in records {
                let bytes = Bytes::from((0..len).map(|i| offset as u8 + i as u8).collect::<Vec<_>>());
                streams.data(Data { bytes, ..record(1, Direction::Sent, offset, "") }, &mut out);
                furthest = furthest.max(offset + len as u64);
            }
            let mut at = 0u64;
            for event in out {
                let StreamEvent::Segment(segment) = event else { continue };
                match segment.piece {
                    Piece::Gap { len, .. } => { prop_assert!(len > 0); at += len; }
                    Piece::Bytes(bytes) => {
                        prop_assert!(!bytes.is_empty());
                        for byte in bytes { prop_assert_eq!(u64::from(byte), at); at += 1; }
                    }
                }
            }
            prop_assert_eq!(at, furthest);
        }
    }
}
