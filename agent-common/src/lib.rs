//! The ABI between plainspan's kernel programs and its agent: plain `#[repr(C)]` types without padding
//! holes, and the numbers that both sides must agree on.
//!
//! Bytes are numbered like TCP's: per connection and direction the kernel programs keep an offset, and each
//! record says which bytes it carries. The offset advances over what can't be delivered, so the agent sees
//! exactly what is missing.
#![no_std]

/// Most payload bytes of one ring record. A longer call is cut into records of this size and one tail.
pub const CHUNK: usize = 16 * 1024;

/// Most full records of one call; a longer call is cut there, whatever the configured cap.
pub const MAX_CHUNKS: u32 = 512;

/// Payload sizes for which ring space is reserved: a record takes the smallest that holds it.
pub const TIERS: [usize; 5] = [128, 512, 2048, 8192, CHUNK];

/// Bytes of a message's head that are delivered under [`VERDICT_HEADS`].
pub const HEAD_BYTES: u32 = 2048;

/// Entries of the point table.
pub const MAX_POINTS: u32 = 4096;

// ---- records ------------------------------------------------------------------------------------------

/// [`Prefix::kind`]: a [`DataHeader`] and its payload.
pub const KIND_DATA: u8 = 1;
/// [`Prefix::kind`]: a [`CloseRecord`].
pub const KIND_CLOSE: u8 = 2;
/// [`Prefix::kind`]: an [`ExecRecord`].
pub const KIND_EXEC: u8 = 3;
/// [`Prefix::kind`]: a [`ProcessRecord`] of a fork; `tgid` is the new process.
pub const KIND_FORK: u8 = 4;
/// [`Prefix::kind`]: a [`ProcessRecord`] of the end of a process.
pub const KIND_EXIT: u8 = 5;

/// [`Prefix::kind`]: a [`LinkRecord`].
pub const KIND_LINK: u8 = 6;

/// [`Prefix::direction`]: the process wrote it.
pub const SENT: u8 = 0;
/// [`Prefix::direction`]: the process read it.
pub const RECEIVED: u8 = 1;

/// [`Prefix::flags`]: the last record of its call, and the rest of the call was over the cap.
pub const FLAG_CUT: u8 = 1;
/// [`Prefix::flags`] of a close: the process only shut the session down and may go on reading.
pub const FLAG_SHUTDOWN: u8 = 2;
/// [`Prefix::flags`] of a close: the last read of the connection had brought nothing, so the other side may
/// have closed it. Without this flag it was the process that left.
pub const FLAG_READ_FAILED: u8 = 8;
/// [`Prefix::flags`]: bytes of this call after the record were left out under [`VERDICT_HEADS`].
pub const FLAG_HEAD: u8 = 4;

/// [`Prefix::flags`] of data: it is not known yet which connection it belongs to, only by which key it is encrypted. A
/// [`LinkRecord`] will tell.
pub const FLAG_UNLINKED: u8 = 16;

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Prefix {
    /// `KIND_*`.
    pub kind: u8,
    /// [`SENT`] or [`RECEIVED`].
    pub direction: u8,
    /// `FLAG_*`.
    pub flags: u8,
    /// Generation of the connection's verdict, to be echoed in [`Verdict::epoch`].
    pub epoch: u8,
    /// Payload bytes that follow the header; the record itself may be longer.
    pub len: u32,
    /// `CLOCK_BOOTTIME` in nanoseconds: of sent data when the library was called, else of the event.
    pub time_ns: u64,
    /// Process (thread group) id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
}

/// Header of a data record; [`Prefix::len`] payload bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct DataHeader {
    /// Kind, direction, process, time.
    pub prefix: Prefix,
    /// The connection: what the library itself calls it (an `SSL *`), or the socket of one that is known by that, or
    /// the context of a key ([`FLAG_UNLINKED`]).
    pub conn: u64,
    /// When the connection was first seen; with `tgid` and `conn` its identity.
    pub born_ns: u64,
    /// Number of the first payload byte in its direction.
    pub offset: u64,
    /// Bytes just before `offset` that were left out on purpose: not HTTP, or by verdict.
    pub skipped: u64,
    /// Bytes that the library call moved in all.
    pub call_len: u32,
    /// Which entry of the point table saw it.
    pub point: u32,
}

/// A connection was shut down or released.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CloseRecord {
    /// Kind, process, time.
    pub prefix: Prefix,
    /// The connection.
    pub conn: u64,
    /// When it was first seen.
    pub born_ns: u64,
    /// Bytes sent in all.
    pub sent: u64,
    /// Bytes received in all.
    pub received: u64,
    /// Bytes left out on purpose after the last record, by direction.
    pub skipped: [u64; 2],
}

/// A cipher's key turned out to belong to a socket: data that came before it with [`FLAG_UNLINKED`] is part of the
/// socket's connection, as all that comes later will be.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkRecord {
    /// Kind, direction that the key is for, process, time.
    pub prefix: Prefix,
    /// The key's context, which stood for the connection until now.
    pub conn: u64,
    /// The socket, which stands for it from now on.
    pub socket: u64,
    /// When the socket's connection was first seen.
    pub born_ns: u64,
    /// Number of the key's first byte in its direction of the socket's connection.
    pub base: u64,
}

/// A process began, changed its program or ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessRecord {
    /// Kind, process, time.
    pub prefix: Prefix,
    /// Of a fork or an exec, the parent's process id; else zero.
    pub parent: u32,
    /// Whether the process is among those that are asked for.
    pub watched: u32,
}

/// Most bytes of a program's path in an [`ExecRecord`].
pub const EXEC_PATH: usize = 256;
/// Most bytes of a program's arguments in an [`ExecRecord`].
pub const EXEC_ARGUMENTS: usize = 1024;

/// A process changed its program. It says who the process is, for one that lives for milliseconds is gone
/// before anybody can look it up.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ExecRecord {
    /// Kind, process, parent.
    pub process: ProcessRecord,
    /// User id.
    pub uid: u32,
    /// Bytes of `arguments` that are set.
    pub arguments_len: u32,
    /// Whether its environment has [`LEAVE_OUT`].
    pub left_out: u32,
    /// Zero.
    pub reserved: u32,
    /// Id of its cgroup in the version 2 hierarchy: the inode number of its directory.
    pub cgroup: u64,
    /// Path of the program as it was called, ended by a zero byte.
    pub path: [u8; EXEC_PATH],
    /// Its arguments, each ended by a zero byte.
    pub arguments: [u8; EXEC_ARGUMENTS],
}

// ---- probe points -------------------------------------------------------------------------------------

/// [`Point::action`]: plaintext is handed over here; arguments are remembered until the return.
pub const ACTION_CALL: u8 = 1;
/// [`Point::action`]: the call is done; the count of bytes moved is known.
pub const ACTION_RETURN: u8 = 2;
/// [`Point::action`]: the connection is released.
pub const ACTION_END: u8 = 3;
/// [`Point::action`]: the TLS session is shut down.
pub const ACTION_SHUTDOWN: u8 = 4;

/// [`Location::kind`]: nowhere.
pub const AT_NOTHING: u8 = 0;
/// [`Location::kind`]: the register itself.
pub const AT_REGISTER: u8 = 1;
/// [`Location::kind`]: in memory at register + displacement (a stack slot is that of the stack pointer).
pub const AT_MEMORY: u8 = 2;

/// [`Point::action`]: the plaintext of one TLS record is about to be encrypted. It is delivered at once, for on return
/// it may be gone: ciphers work in place.
pub const ACTION_SEAL: u8 = 5;
/// [`Point::action`]: that function returns. Needed where one such function calls another.
pub const ACTION_SEALED: u8 = 6;

/// Of [`Point::peek`]: `MSG_PEEK` of recv(2), and `PR_MSG_PEEK` of NSPR.
pub const PEEK: u64 = 2;

/// [`Point::form`]: the plaintext is part of a byte stream.
pub const FORM_STREAM: u8 = 0;
/// [`Point::form`]: the plaintext is that of one TLS record, whose additional data is at [`Point::aad`]: five bytes in
/// TLS 1.3 (RFC 8446, 5.2), where the plaintext ends in its content type; thirteen in TLS 1.2 (RFC 5246, 6.2.3.3).
/// They also tell how many bytes the record has. Records of other contents are left out.
pub const FORM_RECORD: u8 = 1;

/// Where a value is when a probe point is reached.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// `AT_*`.
    pub kind: u8,
    /// Bytes of the value: 4 (sign-extended) or 8.
    pub width: u8,
    /// Byte offset of the register in the architecture's `pt_regs`.
    pub register: u16,
    /// Added to the register to get the address, for [`AT_MEMORY`].
    pub displacement: i32,
}

/// A probe point: what it marks and where its arguments are. Handed to a generic program through the
/// attach cookie, which is the index in the point table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// `ACTION_*`.
    pub action: u8,
    /// [`SENT`] or [`RECEIVED`].
    pub direction: u8,
    /// Byte offset of the stack pointer in `pt_regs`.
    pub stack_register: u16,
    /// Added to the stack pointer to name the frame: the same value at a call and at its return.
    pub frame: i32,
    /// What names the call instead of thread and frame, where a stack may move and a thread change during the call (a
    /// goroutine, which then is the same at call and return).
    pub task: Location,
    /// The connection.
    pub conn: Location,
    /// Address of the plaintext.
    pub buf: Location,
    /// Most bytes that the call can move.
    pub len: Location,
    /// At a call: address of the variable in which the library puts the count, if it has one.
    /// At a [`FORM_RECORD`] call: address of the result, if that is a byte (zero for success) and the tag that the cipher
    /// has computed, which must be the one behind the `len` bytes at `buf`.
    /// At a return: the library's result, a count, or 1 for success where there is such a variable. Nowhere, at the
    /// return of a [`FORM_RECORD`] call: it is taken for a success.
    pub moved: Location,
    /// Address of a record's additional data, for [`FORM_RECORD`].
    pub aad: Location,
    /// Its length.
    pub aad_len: Location,
    /// Flags of the call, in which [`PEEK`] says that it shall move nothing.
    pub peek: Location,
    /// `FORM_*`.
    pub form: u8,
    /// Zero.
    pub reserved: [u8; 7],
}

// ---- verdicts -----------------------------------------------------------------------------------------

/// Deliver everything. What a connection begins with.
pub const VERDICT_CAPTURE: u8 = 0;
/// Deliver the beginning of calls that look like the head of an HTTP message, until one that may be an LLM
/// call (a POST) takes the connection back to [`VERDICT_CAPTURE`].
pub const VERDICT_HEADS: u8 = 1;
/// Deliver nothing.
pub const VERDICT_IGNORE: u8 = 2;

/// Key of a connection in the kernel's tables.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnKey {
    /// What the library calls it.
    pub conn: u64,
    /// Process id.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
}

/// The agent's verdict on a connection. It holds for one birth and one epoch of it only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// Which connection of this address.
    pub born_ns: u64,
    /// `VERDICT_*`.
    pub verdict: u8,
    /// The epoch of the record on which the verdict was formed.
    pub epoch: u8,
    /// Zero.
    pub reserved: [u8; 6],
}

/// Kernel's table of connections; the agent reads the totals when a process ends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection {
    /// When it was first seen.
    pub born_ns: u64,
    /// Bytes moved so far, by direction.
    pub offset: [u64; 2],
    /// Bytes left out on purpose since the last record, by direction.
    pub skipped: [u64; 2],
    /// Frame of the call in flight, by direction; zero if there is none.
    pub frame: [u64; 2],
    /// Thread of the call in flight, by direction.
    pub thread: [u32; 2],
    /// 1 once a call began like an HTTP message.
    pub http: u8,
    /// Generation of the verdict.
    pub epoch: u8,
    /// 1 while the last read brought nothing: the end, an error, or nothing there yet.
    pub read_failed: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

// ---- the kernel's own account -------------------------------------------------------------------------

/// Index in the kernel's counters: library calls that moved plaintext.
pub const STAT_CALLS: u32 = 0;
/// Bytes that those calls moved.
pub const STAT_MOVED: u32 = 1;
/// Bytes delivered.
pub const STAT_CAPTURED: u32 = 2;
/// Bytes left out by verdict.
pub const STAT_IGNORED: u32 = 3;
/// Bytes of connections that do not speak HTTP.
pub const STAT_NOT_HTTP: u32 = 4;
/// Bytes lost because the ring was full.
pub const STAT_RING_FULL: u32 = 5;
/// Bytes over the cap of a call.
pub const STAT_CAP: u32 = 6;
/// Bytes that could not be read.
pub const STAT_FAULT: u32 = 7;
/// Calls or connections that a table had no room for.
pub const STAT_TABLE_FULL: u32 = 8;
/// Lifecycle records (of processes and connections) lost because the ring was full.
pub const STAT_EVENTS_LOST: u32 = 9;
/// Number of counters.
pub const STATS: u32 = 10;

// ---- scope --------------------------------------------------------------------------------------------

/// Watch every process.
pub const SCOPE_ALL: u32 = 0;
/// Watch only the processes in the target table, and their descendants.
pub const SCOPE_TARGETS: u32 = 1;
/// Watch only the processes under one cgroup.
pub const SCOPE_CGROUP: u32 = 2;

/// Mark of a process in the target table: it is watched, under [`SCOPE_TARGETS`]. Its children inherit it.
pub const MARK_WATCHED: u8 = 1;
/// Mark of a process in the target table: nothing of it is looked at, whatever the scope. Its children inherit it, and lose it
/// with the next program, unless their own environment has [`LEAVE_OUT`].
pub const MARK_LEFT_OUT: u8 = 2;

/// What the environment of a program says that is not to be looked at, with the zero byte that ends it.
pub const LEAVE_OUT: [u8; 19] = *b"PLAINSPAN_IGNORE=1\0";
/// Most variables of an environment that are searched for it.
pub const ENVIRONMENT: u32 = 512;

#[cfg(test)]
mod tests {
    use core::mem::size_of;

    use super::*;

    #[test]
    fn layouts_have_no_holes() {
        assert_eq!(size_of::<Prefix>(), 24);
        assert_eq!(size_of::<DataHeader>(), 64);
        assert_eq!(size_of::<CloseRecord>(), 72);
        assert_eq!(size_of::<LinkRecord>(), 56);
        assert_eq!(size_of::<ProcessRecord>(), 32);
        assert_eq!(size_of::<ExecRecord>(), 56 + EXEC_PATH + EXEC_ARGUMENTS);
        assert_eq!(size_of::<Location>(), 8);
        assert_eq!(size_of::<Point>(), 80);
        assert_eq!(size_of::<Verdict>(), 16);
        assert_eq!(size_of::<ConnKey>(), 16);
        assert_eq!(size_of::<Connection>(), 72);
    }
}
