//! Records of the kernel's ABI become typed records: identities made opaque, times moved onto one clock.

use std::{collections::BTreeMap, sync::Arc};

use agent_common as abi;
use bytes::{Bytes, BytesMut};

use super::{
    clock::Clock,
    record::{Close, CloseReason, ConnectionId, Data, Direction, Process, Program, Record},
    unlinked::{Held, Unlinked},
};
use crate::account::{Account, Counter};

/// Payloads are copied out of the ring into shared blocks of this size, not into allocations of their own. A block
/// of which nobody holds a part any more is used again.
const BLOCK: usize = 64 * 1024;

/// Most connections that are told apart at once; twice the kernel's own table.
const MAX_CONNECTIONS: usize = 65_536;

/// A connection that is open, as far as is known.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: ConnectionId,
    born_ns: u64,
}

/// What the kernel needs to hear of a connection that a verdict is about.
pub(super) struct Address {
    pub(super) key: abi::ConnKey,
    pub(super) born_ns: u64,
}

/// Turns the kernel's records into [`Record`]s.
pub struct Decoder {
    clock: Clock,
    /// By process id and the library's name of the connection: those of one process lie side by side.
    known: BTreeMap<(u32, u64), Known>,
    /// The way back, for verdicts.
    keys: BTreeMap<ConnectionId, (u32, u64)>,
    next: u64,
    block: BytesMut,
    /// Data of which it isn't known yet which connection it belongs to.
    unlinked: Unlinked,
    account: Arc<Account>,
}

impl Decoder {
    /// A decoder that has seen nothing yet.
    pub fn new(account: Arc<Account>) -> Self {
        Self {
            clock: Clock::new(),
            known: BTreeMap::new(),
            keys: BTreeMap::new(),
            next: 0,
            block: BytesMut::new(),
            unlinked: Unlinked::default(),
            account,
        }
    }

    /// To be called once per batch.
    pub fn begin_batch(&mut self) {
        self.clock.refresh();
    }

    /// Decodes one record of the ring. `totals` asks the kernel for the state of a connection whose process
    /// has ended, and takes it out of the kernel's table; the second argument is the connection's birth, for by
    /// now the address may be that of another one.
    pub fn decode(
        &mut self,
        raw: &[u8],
        totals: &mut dyn FnMut(&abi::ConnKey, u64) -> Option<abi::Connection>,
        out: &mut Vec<Record>,
    ) {
        let Some(prefix) = read::<abi::Prefix>(raw) else {
            self.account.add(Counter::RecordsMalformed, 1);
            return;
        };
        let time = self.clock.unix(prefix.time_ns);
        match prefix.kind {
            abi::KIND_DATA => self.data(raw, out),
            abi::KIND_CLOSE => self.close(raw, out),
            abi::KIND_LINK => match read::<abi::LinkRecord>(raw) {
                Some(link) => self.link(&link, out),
                None => self.account.add(Counter::RecordsMalformed, 1),
            },
            abi::KIND_EXEC => {
                // The old program's memory is gone, and its connections with it.
                self.end_of_process(prefix.tgid, prefix.time_ns, totals, out);
                match read::<abi::ExecRecord>(raw) {
                    Some(record) => out.push(Record::Exec {
                        pid: prefix.tgid,
                        watched: record.process.watched != 0,
                        left_out: record.left_out != 0,
                        program: Box::new(program(&record)),
                        time,
                    }),
                    None => self.account.add(Counter::RecordsMalformed, 1),
                }
            }
            abi::KIND_FORK => match read::<abi::ProcessRecord>(raw) {
                Some(record) => {
                    let (pid, parent) = (prefix.tgid, record.parent);
                    out.push(Record::Fork { pid, parent, watched: record.watched != 0, time });
                }
                None => self.account.add(Counter::RecordsMalformed, 1),
            },
            abi::KIND_EXIT => {
                self.end_of_process(prefix.tgid, prefix.time_ns, totals, out);
                out.push(Record::Exit { pid: prefix.tgid, time });
            }
            _ => self.account.add(Counter::RecordsMalformed, 1),
        }
    }

    /// How the kernel knows a connection.
    pub(super) fn address(&self, id: ConnectionId) -> Option<Address> {
        let (tgid, conn) = *self.keys.get(&id)?;
        let known = self.known.get(&(tgid, conn)).filter(|k| k.id == id)?;
        Some(Address { key: abi::ConnKey { conn, tgid, reserved: 0 }, born_ns: known.born_ns })
    }

    fn data(&mut self, raw: &[u8], out: &mut Vec<Record>) {
        let payload = |header: &abi::DataHeader| {
            let from = size_of::<abi::DataHeader>();
            raw.get(from..from.checked_add(header.prefix.len as usize)?)
        };
        let Some((header, payload)) =
            read::<abi::DataHeader>(raw).and_then(|h| Some((h, payload(&h)?))).filter(|(_, p)| !p.is_empty())
        else {
            self.account.add(Counter::RecordsMalformed, 1);
            return;
        };
        let bytes = self.copy(payload);
        let data = Data {
            // Set below, where it is known.
            connection: ConnectionId(0),
            process: Process { pid: header.prefix.tgid, tid: header.prefix.tid },
            direction: if header.prefix.direction == abi::SENT {
                Direction::Sent
            } else {
                Direction::Received
            },
            time: self.clock.unix(header.prefix.time_ns),
            offset: header.offset,
            skipped: header.skipped,
            call_len: header.call_len,
            epoch: header.prefix.epoch,
            cut: header.prefix.flags & abi::FLAG_CUT != 0,
            bytes,
        };
        if header.prefix.flags & abi::FLAG_UNLINKED != 0 {
            // Were there no end to them, they would be kept for ever: the oldest key's are given up as they are.
            for alone in self.unlinked.hold((header.prefix.tgid, header.conn), header.born_ns, data) {
                self.account.add(Counter::KeysUnlinked, 1);
                self.emit(alone, header.prefix.time_ns, out);
            }
            return;
        }
        let connection =
            self.identify(header.prefix.tgid, header.conn, header.born_ns, header.prefix.time_ns, out);
        out.push(Record::Data(Data { connection, ..data }));
    }

    /// Data that waited for its connection is part of the socket's.
    fn link(&mut self, link: &abi::LinkRecord, out: &mut Vec<Record>) {
        let Some(held) = self.unlinked.take((link.prefix.tgid, link.conn)) else { return };
        let time_ns = link.prefix.time_ns;
        let connection = self.identify(link.prefix.tgid, link.socket, link.born_ns, time_ns, out);
        out.extend(held.data.into_iter().map(|data| {
            Record::Data(Data { connection, offset: data.offset.saturating_add(link.base), ..data })
        }));
    }

    /// Data whose socket was never seen is a connection of its own: of its one direction.
    fn emit(&mut self, held: Held, time_ns: u64, out: &mut Vec<Record>) {
        let (tgid, context) = held.key;
        let connection = self.identify(tgid, context, held.born_ns, time_ns, out);
        out.extend(held.data.into_iter().map(|data| Record::Data(Data { connection, ..data })));
    }

    fn close(&mut self, raw: &[u8], out: &mut Vec<Record>) {
        let Some(record) = read::<abi::CloseRecord>(raw) else {
            self.account.add(Counter::RecordsMalformed, 1);
            return;
        };
        let at = (record.prefix.tgid, record.conn);
        let Some(known) = self.known.get(&at).filter(|k| k.born_ns == record.born_ns).copied() else {
            return; // nothing of it was delivered
        };
        let shutdown = record.prefix.flags & abi::FLAG_SHUTDOWN != 0;
        if !shutdown {
            self.known.remove(&at);
            self.keys.remove(&known.id);
        }
        out.push(Record::Close(Close {
            connection: known.id,
            time: self.clock.unix(record.prefix.time_ns),
            reason: if shutdown {
                CloseReason::Shutdown
            } else if record.prefix.flags & abi::FLAG_READ_FAILED != 0 {
                CloseReason::FreedAfterFailedRead
            } else {
                CloseReason::Freed
            },
            sent: Some(record.sent),
            received: Some(record.received),
            skipped: record.skipped,
        }));
    }

    fn end_of_process(
        &mut self,
        tgid: u32,
        time_ns: u64,
        totals: &mut dyn FnMut(&abi::ConnKey, u64) -> Option<abi::Connection>,
        out: &mut Vec<Record>,
    ) {
        for held in self.unlinked.end_of_process(tgid) {
            self.account.add(Counter::KeysUnlinked, 1);
            self.emit(held, time_ns, out);
        }
        let gone: Vec<((u32, u64), Known)> =
            self.known.range((tgid, 0)..=(tgid, u64::MAX)).map(|(k, v)| (*k, *v)).collect();
        for (at, known) in gone {
            self.known.remove(&at);
            self.keys.remove(&known.id);
            let key = abi::ConnKey { conn: at.1, tgid, reserved: 0 };
            let state = totals(&key, known.born_ns);
            out.push(Record::Close(Close {
                connection: known.id,
                time: self.clock.unix(time_ns),
                reason: CloseReason::ProcessExit,
                sent: state.map(|s| s.offset[abi::SENT as usize]),
                received: state.map(|s| s.offset[abi::RECEIVED as usize]),
                skipped: state.map_or([0; 2], |s| s.skipped),
            }));
        }
    }

    /// The connection of a record. One that has a new birth at an old address took the place of another
    /// whose end was not reported.
    fn identify(
        &mut self,
        tgid: u32,
        conn: u64,
        born_ns: u64,
        time_ns: u64,
        out: &mut Vec<Record>,
    ) -> ConnectionId {
        let at = (tgid, conn);
        if let Some(known) = self.known.get(&at) {
            if known.born_ns == born_ns {
                return known.id;
            }
            let ended = known.id;
            self.forget(ended, time_ns, CloseReason::Freed, out);
        } else if self.known.len() >= MAX_CONNECTIONS
            && let Some(victim) = self.keys.keys().next().copied()
        {
            self.account.add(Counter::ConnectionsEvicted, 1);
            self.forget(victim, time_ns, CloseReason::CaptureEnd, out);
        }
        self.next += 1;
        let id = ConnectionId(self.next);
        self.known.insert(at, Known { id, born_ns });
        self.keys.insert(id, at);
        id
    }

    fn forget(&mut self, id: ConnectionId, time_ns: u64, reason: CloseReason, out: &mut Vec<Record>) {
        if let Some(at) = self.keys.remove(&id) {
            self.known.remove(&at);
        }
        let time = self.clock.unix(time_ns);
        out.push(Record::Close(Close {
            connection: id,
            time,
            reason,
            sent: None,
            received: None,
            skipped: [0; 2],
        }));
    }

    fn copy(&mut self, payload: &[u8]) -> Bytes {
        if self.block.capacity() < payload.len() && !self.block.try_reclaim(payload.len()) {
            self.block = BytesMut::with_capacity(BLOCK.max(payload.len()));
        }
        self.block.extend_from_slice(payload);
        self.block.split().freeze()
    }
}

fn program(record: &abi::ExecRecord) -> Program {
    let path = record.path.split(|b| *b == 0).next().unwrap_or_default();
    let len = (record.arguments_len as usize).min(abi::EXEC_ARGUMENTS);
    Program {
        parent: record.process.parent,
        uid: record.uid,
        cgroup: record.cgroup,
        path: String::from_utf8_lossy(path).into_owned(),
        arguments: record.arguments[..len].to_vec(),
    }
}

/// A `#[repr(C)]` type of the ABI at the start of a record.
fn read<T: AbiRecord>(raw: &[u8]) -> Option<T> {
    // SAFETY: the length is checked, the read needs no alignment, and AbiRecord promises that every bit
    // pattern is a value.
    (raw.len() >= size_of::<T>()).then(|| unsafe { raw.as_ptr().cast::<T>().read_unaligned() })
}

/// # Safety
/// Every bit pattern is a value of the type.
unsafe trait AbiRecord: Copy {}
// SAFETY: all of their fields are integers.
unsafe impl AbiRecord for abi::Prefix {}
// SAFETY: as above.
unsafe impl AbiRecord for abi::DataHeader {}
// SAFETY: as above.
unsafe impl AbiRecord for abi::CloseRecord {}
// SAFETY: as above.
unsafe impl AbiRecord for abi::LinkRecord {}
// SAFETY: as above.
unsafe impl AbiRecord for abi::ProcessRecord {}
// SAFETY: as above.
unsafe impl AbiRecord for abi::ExecRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<T>(value: &T) -> Vec<u8> {
        // SAFETY: the ABI's types have no padding.
        unsafe { std::slice::from_raw_parts((&raw const *value).cast::<u8>(), size_of::<T>()) }.to_vec()
    }

    fn data(tgid: u32, conn: u64, born_ns: u64, offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut raw = bytes_of(&abi::DataHeader {
            prefix: abi::Prefix {
                kind: abi::KIND_DATA,
                len: payload.len() as u32,
                tgid,
                ..abi::Prefix::default()
            },
            conn,
            born_ns,
            offset,
            ..abi::DataHeader::default()
        });
        raw.extend_from_slice(payload);
        raw.extend_from_slice(&[0xee; 7]); // the tier's rest
        raw
    }

    fn process(kind: u8, tgid: u32) -> Vec<u8> {
        bytes_of(&abi::ProcessRecord {
            prefix: abi::Prefix { kind, tgid, ..abi::Prefix::default() },
            ..abi::ProcessRecord::default()
        })
    }

    fn run(decoder: &mut Decoder, raws: &[Vec<u8>]) -> Vec<Record> {
        let mut out = Vec::new();
        for raw in raws {
            decoder.decode(
                raw,
                &mut |key, born_ns| {
                    assert_eq!(born_ns, 1);
                    Some(abi::Connection { born_ns: 1, offset: [key.conn, 7], ..abi::Connection::default() })
                },
                &mut out,
            );
        }
        out
    }

    #[test]
    fn connections_are_told_apart_by_process_address_and_birth() {
        let mut decoder = Decoder::new(Arc::default());
        let records = run(
            &mut decoder,
            &[data(1, 9, 1, 0, b"a"), data(2, 9, 1, 0, b"b"), data(1, 9, 1, 1, b"c"), data(1, 9, 2, 0, b"d")],
        );
        let ids: Vec<_> = records
            .iter()
            .map(|r| match r {
                Record::Data(d) => ("data", d.connection.0),
                Record::Close(c) => ("close", c.connection.0),
                _ => ("other", 0),
            })
            .collect();
        assert_eq!(ids, [("data", 1), ("data", 2), ("data", 1), ("close", 1), ("data", 3)]);
    }

    #[test]
    fn the_end_of_a_process_ends_its_connections_with_their_totals() {
        let mut decoder = Decoder::new(Arc::default());
        run(&mut decoder, &[data(5, 20, 1, 0, b"a"), data(6, 21, 1, 0, b"a"), data(5, 22, 1, 0, b"a")]);
        let records = run(&mut decoder, &[process(abi::KIND_EXIT, 5)]);
        let totals: Vec<_> = records
            .iter()
            .filter_map(|r| match r {
                Record::Close(c) => Some((c.sent, c.received, c.reason)),
                _ => None,
            })
            .collect();
        assert_eq!(
            totals,
            [(Some(20), Some(7), CloseReason::ProcessExit), (Some(22), Some(7), CloseReason::ProcessExit)]
        );
        assert!(matches!(records.last(), Some(Record::Exit { pid: 5, .. })));
        assert!(decoder.address(ConnectionId(1)).is_none() && decoder.address(ConnectionId(2)).is_some());
    }

    fn unlinked(conn: u64, offset: u64, payload: &[u8]) -> Vec<u8> {
        let mut raw = data(1, conn, 1, offset, payload);
        raw[2] |= abi::FLAG_UNLINKED;
        raw
    }

    fn link(conn: u64, socket: u64, base: u64) -> Vec<u8> {
        bytes_of(&abi::LinkRecord {
            prefix: abi::Prefix { kind: abi::KIND_LINK, tgid: 1, ..abi::Prefix::default() },
            conn,
            socket,
            born_ns: 1,
            base,
        })
    }

    fn told(records: &[Record]) -> Vec<(u64, u64, &[u8])> {
        let data = records.iter().filter_map(|r| match r {
            Record::Data(d) => Some((d.connection.0, d.offset, &d.bytes[..])),
            _ => None,
        });
        data.collect()
    }

    /// A client's request is encrypted before its key is known to belong to the socket on which the server has
    /// already spoken; later the key is updated.
    #[test]
    fn keys_are_linked_to_the_connection_of_their_socket() {
        let mut decoder = Decoder::new(Arc::default());
        let records = run(
            &mut decoder,
            &[
                data(1, 900, 1, 0, b"settings"),
                unlinked(7, 0, b"a"),
                unlinked(7, 1, b"b"),
                link(7, 900, 0),
                data(1, 900, 1, 2, b"c"),
                unlinked(8, 0, b"d"),
                link(8, 900, 3),
            ],
        );
        assert_eq!(
            told(&records),
            [(1, 0, &b"settings"[..]), (1, 0, b"a"), (1, 1, b"b"), (1, 2, b"c"), (1, 3, b"d")]
        );
    }

    #[test]
    fn what_is_never_linked_is_a_connection_of_its_own() {
        let account = Arc::new(Account::default());
        let mut decoder = Decoder::new(Arc::clone(&account));
        let records =
            run(&mut decoder, &[unlinked(7, 0, b"a"), unlinked(8, 0, b"b"), process(abi::KIND_EXIT, 1)]);
        assert_eq!(told(&records), [(1, 0, &b"a"[..]), (2, 0, b"b")]);
        assert_eq!(records.len(), 5, "their ends and that of the process: {records:?}");
        assert_eq!(account.get(Counter::KeysUnlinked), 2);
    }

    #[test]
    fn what_is_no_record_is_counted() {
        let account = Arc::new(Account::default());
        let mut decoder = Decoder::new(Arc::clone(&account));
        let good = data(1, 1, 1, 0, b"payload");
        let mut too_long = good.clone();
        too_long[4..8].copy_from_slice(&1000u32.to_le_bytes());
        let mut unknown = good.clone();
        unknown[0] = 99;
        let bad = [vec![], good[..10].to_vec(), good[..64].to_vec(), too_long, unknown];
        assert!(run(&mut decoder, &bad).is_empty());
        assert_eq!(account.get(Counter::RecordsMalformed), bad.len() as u64);
    }
}
