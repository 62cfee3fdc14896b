//! Connections that are seen at their ciphers: which socket a key belongs to.
//!
//! A cipher knows keys, one for each direction and a new one after a key update, and no connection. But a thread
//! decrypts what it has just read from a socket, and writes to a socket what it has just encrypted. So the socket
//! names the connection. What is encrypted first is delivered before its socket is known, and linked to it when the
//! thread writes it.
//!
//! A context is memory that is freed with its key and given to the next one, which may be another connection's. So what
//! the thread does counts for more than what was known of the context before.
//!
//! The tracepoints are attached only once a cipher is watched. sock_send_length and sock_recv_length
//! (include/trace/events/sock.h) came with Linux 6.3.

use agent_common::{
    CloseRecord, ConnKey, Connection, FLAG_READ_FAILED, FLAG_SHUTDOWN, KIND_CLOSE, KIND_LINK, LinkRecord,
    Prefix, RECEIVED, SENT, STAT_EVENTS_LOST,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{bpf_get_current_pid_tgid, generated::bpf_ktime_get_boot_ns},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};

use crate::{
    call::{connection, key},
    maps::{CIPHER_USERS, CONNECTIONS, EVENTS, LAST_READ, LINKS, SOCKETS, Socket, UNSENT, VERDICTS, count},
};

/// States of a TCP socket, include/net/tcp_states.h.
const FIN_WAIT1: i32 = 4;
const CLOSE: i32 = 7;
const CLOSE_WAIT: i32 = 8;
const LAST_ACK: i32 = 9;

/// The connection of a key's context, if its socket is known; else the context itself stands for it.
#[inline(always)]
pub fn of_context(id: u64, context: u64, direction: u8, now: u64) -> ConnKey {
    let own = key(id, context);
    // SAFETY: only presence is asked for.
    if unsafe { CIPHER_USERS.get(own.tgid) }.is_none() {
        let _ = CIPHER_USERS.insert(own.tgid, 1, 0);
    }
    if direction == RECEIVED {
        // SAFETY: copied out at once.
        if let Some(socket) = unsafe { LAST_READ.get(id) }.copied() {
            link(id, context, socket, RECEIVED, now);
            return key(id, socket);
        }
    }
    // SAFETY: copied out at once.
    match unsafe { LINKS.get(way_of(own, direction)) }.copied() {
        Some(socket) => key(id, socket),
        None => own,
    }
}

/// A context as a key of [`LINKS`]: one direction's may lie where the other direction's was until its key changed.
#[inline(always)]
fn way_of(context: ConnKey, direction: u8) -> ConnKey {
    ConnKey { reserved: 1 + (direction & 1) as u32, ..context }
}

/// The thread has encrypted something under a context: the socket that it writes next is that of the context.
#[inline(always)]
pub fn sealed(id: u64, context: u64) {
    let _ = UNSENT.insert(id, context, 0);
}

#[inline(always)]
fn link(id: u64, context: u64, socket: u64, direction: u8, now: u64) {
    let own = key(id, context);
    let linked = way_of(own, direction);
    // SAFETY: copied out at once.
    if unsafe { LINKS.get(linked) }.copied() == Some(socket) {
        return;
    }
    if LINKS.insert(linked, socket, 0).is_err() {
        return;
    }
    let way = (direction & 1) as usize;
    match SOCKETS.get_ptr_mut(socket) {
        // SAFETY: an element of the table; a direction of a connection has one key at a time.
        Some(known) => unsafe {
            let before = (*known).contexts[way];
            (*known).contexts[way] = context;
            if before != context {
                unlink(key(id, before), direction, socket); // the handshake's key, or the one before an update
            }
        },
        None => {
            let mut contexts = [0; 2];
            contexts[way] = context;
            let _ = SOCKETS.insert(socket, Socket { contexts, tgid: own.tgid, reserved: 0 }, 0);
        }
    }
    let Some(whole) = connection(&key(id, socket), now) else { return };
    // SAFETY: copied out at once.
    let before = unsafe { CONNECTIONS.get(own) }.copied();
    // SAFETY: an element of the table, see above.
    let base = unsafe { (*whole).offset[way] };
    if let Some(before) = before {
        // SAFETY: as above.
        unsafe {
            (*whole).offset[way] = base + before.offset[way];
            (*whole).skipped[way] += before.skipped[way];
            (*whole).epoch = (*whole).epoch.wrapping_add(before.epoch);
            (*whole).http |= before.http;
        }
        let _ = CONNECTIONS.remove(own);
    }
    let record = LinkRecord {
        prefix: Prefix {
            kind: KIND_LINK,
            direction,
            time_ns: now,
            tgid: own.tgid,
            tid: id as u32,
            ..Prefix::default()
        },
        conn: context,
        socket,
        // SAFETY: as above.
        born_ns: unsafe { (*whole).born_ns },
        base,
    };
    match EVENTS.reserve::<LinkRecord>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => count(STAT_EVENTS_LOST, 1),
    }
}

/// The context is no longer known to be one of the socket's.
#[inline(always)]
fn unlink(context: ConnKey, direction: u8, socket: u64) {
    let linked = way_of(context, direction);
    // SAFETY: copied out at once.
    if unsafe { LINKS.get(linked) }.copied() == Some(socket) {
        let _ = LINKS.remove(linked);
    }
}

/// `sock_send_length(struct sock *sk, int ret, int flags)`: the thread has written to a socket.
#[raw_tracepoint(tracepoint = "sock_send_length")]
pub fn socket_sent(ctx: RawTracePointContext) -> i32 {
    let id = bpf_get_current_pid_tgid();
    // SAFETY: copied out at once.
    let Some(context) = (unsafe { UNSENT.get(id) }).copied() else { return 0 };
    let (socket, moved) = socket_and_length(&ctx);
    // SAFETY: only presence is asked for.
    let known = unsafe { LINKS.get(way_of(key(id, context), SENT)) }.is_some();
    if moved <= 0 && !known {
        return 0; // it will try again
    }
    let _ = UNSENT.remove(id);
    if moved <= 0 {
        return 0; // and may write something else before it does, from which nothing would follow
    }
    // SAFETY: a helper without arguments.
    link(id, context, socket, SENT, unsafe { bpf_ktime_get_boot_ns() });
    0
}

/// `sock_recv_length(struct sock *sk, int ret, int flags)`: the thread has read from a socket.
#[raw_tracepoint(tracepoint = "sock_recv_length")]
pub fn socket_received(ctx: RawTracePointContext) -> i32 {
    let id = bpf_get_current_pid_tgid();
    // SAFETY: only presence is asked for.
    if unsafe { CIPHER_USERS.get((id >> 32) as u32) }.is_none() {
        return 0;
    }
    let (socket, moved) = socket_and_length(&ctx);
    if moved > 0 {
        let _ = LAST_READ.insert(id, socket, 0);
    }
    0
}

#[inline(always)]
fn socket_and_length(ctx: &RawTracePointContext) -> (u64, i32) {
    // SAFETY: the context of a raw tracepoint is an array of its arguments, of which these have three.
    unsafe {
        let arguments = ctx.as_ptr().cast::<u64>();
        (*arguments, *arguments.add(1) as i32)
    }
}

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`: one side closes. It may be
/// nobody's thread that sees it.
#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub fn socket_state(ctx: RawTracePointContext) -> i32 {
    // SAFETY: the context of a raw tracepoint is an array of its three arguments.
    let (socket, before, after) = unsafe {
        let arguments = ctx.as_ptr().cast::<u64>();
        (*arguments, *arguments.add(1) as i32, *arguments.add(2) as i32)
    };
    let shutdown = after == FIN_WAIT1;
    if !shutdown && after != CLOSE && after != LAST_ACK {
        return 0;
    }
    // SAFETY: copied out at once.
    let Some(known) = (unsafe { SOCKETS.get(socket) }).copied() else { return 0 };
    let of = |conn| ConnKey { conn, tgid: known.tgid, reserved: 0 };
    // The process is done with its key for writing: the next one may lie at the same address.
    unlink(of(known.contexts[SENT as usize]), SENT, socket);
    if !shutdown {
        unlink(of(known.contexts[RECEIVED as usize]), RECEIVED, socket);
        let _ = SOCKETS.remove(socket);
    }
    // SAFETY: copied out at once.
    let Some(state) = (unsafe { CONNECTIONS.get(of(socket)) }).copied() else { return 0 };
    if !shutdown {
        let _ = CONNECTIONS.remove(of(socket));
        let _ = VERDICTS.remove(of(socket));
    }
    if state.http != 0 {
        close(known.tgid, socket, &state, shutdown, before == CLOSE_WAIT);
    }
    0
}

#[inline(always)]
fn close(tgid: u32, socket: u64, state: &Connection, shutdown: bool, by_peer: bool) {
    let record = CloseRecord {
        prefix: Prefix {
            kind: KIND_CLOSE,
            direction: SENT,
            flags: if shutdown { FLAG_SHUTDOWN } else { 0 } | if by_peer { FLAG_READ_FAILED } else { 0 },
            epoch: state.epoch,
            len: 0,
            // SAFETY: a helper without arguments.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            tgid,
            tid: tgid,
        },
        conn: socket,
        born_ns: state.born_ns,
        sent: state.offset[SENT as usize],
        received: state.offset[RECEIVED as usize],
        skipped: state.skipped,
    };
    match EVENTS.reserve::<CloseRecord>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => count(STAT_EVENTS_LOST, 1),
    }
}
