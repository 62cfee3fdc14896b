//! Maps and load-time constants.

use agent_common::{ConnKey, Connection, MAX_POINTS, Point, STATS, Verdict};
use core::arch::asm;

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};

/// `SCOPE_*`.
#[unsafe(no_mangle)]
pub static SCOPE: Global<u32> = Global::new(0);
/// Most bytes of one call that are delivered.
#[unsafe(no_mangle)]
pub static CALL_CAP: Global<u32> = Global::new(4 << 20);
/// For `SCOPE_CGROUP`: the cgroup's id, and its depth in the hierarchy.
#[unsafe(no_mangle)]
pub static CGROUP_ID: Global<u64> = Global::new(0);
#[unsafe(no_mangle)]
pub static CGROUP_LEVEL: Global<u32> = Global::new(0);
/// Byte offsets of members of the kernel's structures, from its BTF.
#[unsafe(no_mangle)]
pub static TASK_TGID: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_PARENT: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_MM: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static TASK_SIGNAL: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SIGNAL_LIVE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static MM_ARG_START: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static MM_ARG_END: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static MM_START_STACK: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static BINPRM_INTERP: Global<u32> = Global::new(0);

/// Records for the agent. Sized by the agent at load.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// Probe points, by attach cookie.
#[map]
pub static POINTS: Array<Point> = Array::with_max_entries(MAX_POINTS, 0);

/// `MARK_*` of processes.
#[map]
pub static TARGETS: HashMap<u32, u8> = HashMap::with_max_entries(32768, 0);

/// A library call between its call and its return.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Active {
    pub conn: u64,
    pub buf: u64,
    pub len: u64,
    pub out: u64,
    pub time_ns: u64,
    /// Made by a library function that is being watched itself: its bytes are counted there.
    pub nested: u64,
    /// Returns that are to come beside the one that counts: of functions that ended in a jump to another one (GnuTLS's
    /// gnutls_record_send to gnutls_record_send2).
    pub jumped: u64,
    /// Of a TLS record's plaintext: what its additional data said, see `tls_record`.
    pub record: u64,
}

/// The stack frame of a call names it exactly: nested calls of one thread differ in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrameKey {
    pub thread: u64,
    pub frame: u64,
}

/// Calls in flight. Least recently used ones make room, for a frame that was left by a jump never returns.
#[map]
pub static ACTIVE: LruHashMap<FrameKey, Active> = LruHashMap::with_max_entries(16384, 0);

/// Connections.
#[map]
pub static CONNECTIONS: LruHashMap<ConnKey, Connection> = LruHashMap::with_max_entries(32768, 0);

/// Sockets of connections whose data is seen at their ciphers, and the keys' contexts, by direction.
#[map]
pub static SOCKETS: LruHashMap<u64, Socket> = LruHashMap::with_max_entries(32768, 0);

/// Which socket a key's context belongs to, in one direction (`reserved`, from 1).
#[map]
pub static LINKS: LruHashMap<ConnKey, u64> = LruHashMap::with_max_entries(65536, 0);

/// Processes that encrypt at a watched cipher: only their sockets are looked at.
#[map]
pub static CIPHER_USERS: LruHashMap<u32, u8> = LruHashMap::with_max_entries(4096, 0);

/// The socket that a thread last read from.
#[map]
pub static LAST_READ: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16384, 0);

/// The context under which a thread has encrypted what it has not written to a socket yet.
#[map]
pub static UNSENT: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16384, 0);

/// See [`SOCKETS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Socket {
    pub contexts: [u64; 2],
    pub tgid: u32,
    pub reserved: u32,
}

/// The agent's verdicts.
#[map]
pub static VERDICTS: LruHashMap<ConnKey, Verdict> = LruHashMap::with_max_entries(32768, 0);

/// Counters, `STAT_*`.
#[map]
pub static STATISTICS: PerCpuArray<u64> = PerCpuArray::with_max_entries(STATS, 0);

/// Adds to a counter. Atomically, since a uprobe program can be preempted by another one on its CPU, and the
/// account must add up.
#[inline(always)]
pub fn count(index: u32, n: u64) {
    if let Some(counter) = STATISTICS.get_ptr_mut(index) {
        // SAFETY: a valid, aligned element of the array. The target's core library has no fetch_add, though
        // the machine does (BPF_ATOMIC | BPF_ADD, of every kernel that has a ring buffer).
        unsafe { asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) counter, in(reg) n) };
    }
}
