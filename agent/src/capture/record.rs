//! What the kernel saw, in types that every later room understands.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use bytes::Bytes;

use crate::time::Timestamp;

/// A connection, opaque: what it *is* (an `SSL *` of a process, a pair of AEAD contexts) stays in `capture/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A table by connection.
pub type ConnectionMap<T> = HashMap<ConnectionId, T, BuildHasherDefault<ConnectionHasher>>;

/// Spreads the ids of connections. They are counted here and chosen by nobody, so that nothing stronger is needed
/// for what is looked up with every record.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionHasher(u64);

impl Hasher for ConnectionHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        // Fibonacci hashing (Knuth, The Art of Computer Programming, section 6.4), turned so that its well mixed high bits
        // are the low ones, too.
        self.0 = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

/// A way through a connection, from the point of view of the captured process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The process wrote it.
    Sent,
    /// The process read it.
    Received,
}

impl Direction {
    /// The other way.
    pub fn opposite(self) -> Self {
        match self {
            Self::Sent => Self::Received,
            Self::Received => Self::Sent,
        }
    }
}

/// The process that a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id (thread group id) as the agent's own `/proc` shows it.
    pub pid: u32,
    /// Thread id of the thread that made the call, in the same pid namespace.
    pub tid: u32,
}

/// Plaintext bytes `[offset, offset + bytes.len())` of one direction of one connection.
#[derive(Clone, Debug)]
pub struct Data {
    /// The connection.
    pub connection: ConnectionId,
    /// Who moved them.
    pub process: Process,
    /// Which way they went.
    pub direction: Direction,
    /// For sent bytes when the library was called, for received bytes when it returned.
    pub time: Timestamp,
    /// Number of the first byte, counted from the first byte that the kernel programs saw in this direction.
    pub offset: u64,
    /// Of the bytes that are missing just before `offset`, how many the kernel left out on purpose (not HTTP,
    /// or by the agent's own verdict). The rest of what is missing there was lost.
    pub skipped: u64,
    /// How many bytes the library call moved in all, in however many records.
    pub call_len: u32,
    /// Generation of the kernel's verdict on the connection, to be named with a verdict that this record leads to.
    pub epoch: u8,
    /// This is the last record of its call, and what follows in the call was cut off at the cap.
    pub cut: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// Why nothing more will come from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The process shut the TLS session down (`SSL_shutdown`); it sends no more.
    Shutdown,
    /// The process released the connection (`SSL_free`) of its own accord: its last read had succeeded.
    Freed,
    /// The process released the connection after its last read had brought nothing. The other side may have
    /// closed it, or the process stopped waiting.
    FreedAfterFailedRead,
    /// The process ended.
    ProcessExit,
    /// The capture ended, or the input of a replay did.
    CaptureEnd,
}

/// The end of a connection, or of what is seen of it.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// The connection.
    pub connection: ConnectionId,
    /// When.
    pub time: Timestamp,
    /// Why.
    pub reason: CloseReason,
    /// Bytes sent in all, where known: what lies between the last record and this was lost.
    pub sent: Option<u64>,
    /// Bytes received in all, where known.
    pub received: Option<u64>,
    /// Of the bytes missing at the end, how many were left out on purpose: sent, received.
    pub skipped: [u64; 2],
}

/// Who a process is that just began a program, as the kernel saw it then. Everything in it is the process's
/// own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Parent's process id.
    pub parent: u32,
    /// User id.
    pub uid: u32,
    /// Id of the cgroup in the version 2 hierarchy.
    pub cgroup: u64,
    /// Path as it was called, bounded.
    pub path: String,
    /// Arguments, each ended by a zero byte, bounded.
    pub arguments: Vec<u8>,
}

/// One thing that the kernel reports.
#[derive(Clone, Debug)]
pub enum Record {
    /// Plaintext moved.
    Data(Data),
    /// A connection ended.
    Close(Close),
    /// A process replaced its program.
    Exec {
        /// Its process id.
        pid: u32,
        /// It is among those that are asked for.
        watched: bool,
        /// Its environment says that it is to be left out.
        left_out: bool,
        /// Which program.
        program: Box<Program>,
        /// When.
        time: Timestamp,
    },
    /// A process was forked.
    Fork {
        /// The new process id.
        pid: u32,
        /// Its parent's.
        parent: u32,
        /// It is among those that are asked for.
        watched: bool,
        /// When.
        time: Timestamp,
    },
    /// A process ended.
    Exit {
        /// Its process id.
        pid: u32,
        /// When.
        time: Timestamp,
    },
}
