//! The generic programs: a library call begins, it is done, a connection ends.

use agent_common::{
    ACTION_SHUTDOWN, AT_NOTHING, CloseRecord, ConnKey, Connection, DataHeader, FLAG_HEAD, FLAG_READ_FAILED,
    FLAG_SHUTDOWN, FLAG_UNLINKED, FORM_RECORD, FORM_STREAM, HEAD_BYTES, KIND_CLOSE, KIND_DATA, PEEK, Point,
    Prefix, RECEIVED, SENT, STAT_CALLS, STAT_CAP, STAT_EVENTS_LOST, STAT_FAULT, STAT_IGNORED, STAT_MOVED,
    STAT_NOT_HTTP, STAT_TABLE_FULL, VERDICT_CAPTURE, VERDICT_HEADS,
};
use aya_ebpf::{
    EbpfContext,
    bindings::BPF_NOEXIST,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_ktime_get_boot_ns, bpf_probe_read_user},
    },
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};
use aya_log_ebpf::debug;
use core::ffi::c_void;

use crate::{
    emit::deliver,
    maps::{ACTIVE, Active, CONNECTIONS, EVENTS, FrameKey, VERDICTS, count},
    point::{index, register, row, user, value},
    scope::watched,
    socket, tls_record,
};

/// A call begins: remember where its plaintext is or will be.
#[uprobe]
pub fn point_call(ctx: ProbeContext) -> u32 {
    begin(&ctx);
    0
}

/// The plaintext of a TLS record is about to be encrypted: on return it will be gone.
#[uprobe]
pub fn point_seal(ctx: ProbeContext) -> u32 {
    let Some(begun) = begin(&ctx) else { return 0 };
    if begun.active.nested != 0 {
        return 0;
    }
    let Some(connection) = connection(&begun.key, begun.active.time_ns) else { return 0 };
    let Some(total) = tls_record::data(begun.active.record, begun.active.buf, begun.active.len) else {
        count(STAT_FAULT, begun.active.record as u32 as u64);
        return 0;
    };
    if total == 0 {
        return 0; // a handshake message or an alert
    }
    socket::sealed(begun.id, begun.context);
    let linked = begun.key.conn != begun.context;
    moved(&ctx, begun.number, begun.id, &begun.key, connection, &begun.active, SENT, total as u64, linked);
    0
}

struct Begun {
    id: u64,
    number: u32,
    /// Of a cipher: the key's context.
    context: u64,
    key: ConnKey,
    active: Active,
}

#[inline(always)]
fn begin(ctx: &ProbeContext) -> Option<Begun> {
    let id = bpf_get_current_pid_tgid();
    if !watched((id >> 32) as u32) {
        return None;
    }
    let number = index(ctx);
    let point = row(number)?;
    let record = if point.form == FORM_RECORD {
        let record = tls_record::describe(ctx, point);
        if record == 0 {
            return None; // encryption of something else
        }
        record
    } else {
        0
    };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let direction = point.direction & 1;
    let context = value(ctx, &point.conn);
    let key = if record == 0 { key(id, context) } else { socket::of_context(id, context, direction, now) };
    let at = frame(ctx, point, id);
    let Some(connection) = connection(&key, now) else {
        count(STAT_TABLE_FULL, 1);
        return None;
    };
    let way = direction as usize;
    // SAFETY: an element of the table; its fields of one direction are touched by one call at a time, since
    // TLS libraries allow no two calls of the same direction on a connection.
    let nested = unsafe {
        // Stacks grow downwards: a call in flight of this very thread in a frame above ours is our caller
        // (OpenSSL 3.3's SSL_write_ex calls SSL_write_ex2). One in a lower frame was left without a return. Where a
        // register names the call, there is no such order, and no function that calls another one.
        let inner = value(ctx, &point.peek) & PEEK != 0 // moves nothing, which comes to the same
            || point.task.kind == AT_NOTHING
            && (*connection).thread[way] == id as u32
            && (*connection).frame[way] > at.frame;
        if !inner {
            (*connection).thread[way] = id as u32;
            (*connection).frame[way] = at.frame;
        }
        inner
    };
    let buf = value(ctx, &point.buf);
    // SAFETY: copied out at once; only this thread touches the entry of its own frame.
    let jumped = match unsafe { ACTIVE.get(at) } {
        Some(before)
            if point.task.kind == AT_NOTHING
                && before.nested == 0
                && before.conn == key.conn
                && before.buf == buf =>
        {
            before.jumped + 1
        }
        _ => 0,
    };
    let active = Active {
        conn: key.conn,
        buf,
        len: value(ctx, &point.len),
        out: value(ctx, &point.moved),
        time_ns: now,
        nested: nested as u64,
        jumped,
        record,
    };
    if ACTIVE.insert(at, active, 0).is_err() {
        count(STAT_TABLE_FULL, 1);
    }
    Some(Begun { id, number, context, key, active })
}

/// A call is done, at an instruction of the function itself.
#[uprobe]
pub fn point_return(ctx: ProbeContext) -> u32 {
    returned(&ctx);
    0
}

/// A call is done, at its return to the caller.
#[uretprobe]
pub fn point_return_ret(ctx: RetProbeContext) -> u32 {
    returned(&ctx);
    0
}

/// The function that a [`point_seal`] began has returned.
#[uretprobe]
pub fn point_sealed(ctx: RetProbeContext) -> u32 {
    let id = bpf_get_current_pid_tgid();
    if !watched((id >> 32) as u32) {
        return 0;
    }
    let Some(point) = row(index(&ctx)) else { return 0 };
    let at = frame(&ctx, point, id);
    // SAFETY: copied out at once; only this thread touches the entry of its own frame.
    let Some(active) = (unsafe { ACTIVE.get(at) }).copied() else { return 0 };
    let _ = ACTIVE.remove(at);
    if active.nested == 0
        && let Some(connection) = CONNECTIONS.get_ptr_mut(key(id, active.conn))
    {
        // SAFETY: see begin.
        unsafe { (*connection).frame[SENT as usize] = 0 };
    }
    0
}

#[inline(always)]
fn returned<C: EbpfContext>(ctx: &C) {
    let id = bpf_get_current_pid_tgid();
    if !watched((id >> 32) as u32) {
        return;
    }
    let number = index(ctx);
    let Some(point) = row(number) else { return };
    let certain = point.moved.kind != AT_NOTHING;
    let result = if certain { value(ctx, &point.moved) as i64 } else { 1 };
    let at = frame(ctx, point, id);
    // SAFETY: copied out at once; only this thread (or goroutine) touches the entry of its own frame.
    let Some(active) = (unsafe { ACTIVE.get(at) }).copied() else {
        // The call was not remembered: it began before the probes did, or the table made room. Of ciphers it is no
        // call of TLS.
        if result > 0 && point.form != FORM_RECORD {
            count(STAT_TABLE_FULL, 1);
        }
        return;
    };
    if active.jumped > 0 {
        let rest = Active { jumped: active.jumped - 1, nested: 1, ..active };
        let _ = ACTIVE.insert(at, rest, 0);
    } else {
        let _ = ACTIVE.remove(at);
    }
    if active.nested != 0 {
        return;
    }
    let direction = point.direction & 1;
    let key = key(id, active.conn);
    let Some(connection) = connection(&key, active.time_ns) else {
        count(STAT_TABLE_FULL, 1);
        return;
    };
    // SAFETY: see begin.
    unsafe {
        (*connection).frame[direction as usize] = 0;
        if direction == RECEIVED && point.form == FORM_STREAM {
            (*connection).read_failed = (result <= 0) as u8;
        }
    }
    if result <= 0 {
        return;
    }
    let total = if active.record != 0 {
        if active.out != 0 && !tls_record::authentic(active.out, active.buf.wrapping_add(active.len)) {
            return; // what it decrypted is not what the peer encrypted
        }
        match tls_record::data(active.record, active.buf, active.len) {
            Some(total) => total as u64,
            None => {
                count(STAT_FAULT, active.record as u32 as u64);
                return;
            }
        }
    } else if active.out != 0 {
        user(active.out)
    } else {
        result as u64
    };
    // A kernel pointer: the connection is known by its socket.
    let linked = active.record == 0 || (active.conn as i64) < 0;
    moved(ctx, number, id, &key, connection, &active, direction, total, linked);
}

/// Numbers the bytes of a call, and delivers what is wanted of them.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn moved<C: EbpfContext>(
    ctx: &C,
    number: u32,
    id: u64,
    key: &ConnKey,
    connection: *mut Connection,
    active: &Active,
    direction: u8,
    total: u64,
    linked: bool,
) {
    let mut total = total;
    // Never trust the process: it can't have moved more than it asked for.
    if total > active.len {
        total = active.len;
    }
    if total == 0 {
        return;
    }
    if total >= UNREADABLE as u64 {
        // 4 GiB in one call: more than the numbering of one call has room for.
        count(STAT_MOVED, total);
        count(STAT_CAP, total);
        // SAFETY: see begin.
        unsafe { (*connection).offset[direction as usize] += total };
        return;
    }
    let total = total as u32;
    count(STAT_CALLS, 1);
    count(STAT_MOVED, total as u64);
    // SAFETY: see begin.
    let (offset, skipped, born_ns, epoch, wanted) = unsafe {
        let way = direction as usize;
        let offset = (*connection).offset[way];
        let skipped = (*connection).skipped[way];
        (*connection).offset[way] = offset + total as u64;
        let wanted = wanted(key, connection, active.buf, total);
        if wanted == UNREADABLE {
            return; // lost, and not left out on purpose
        }
        let left_out = (total - wanted) as u64;
        (*connection).skipped[way] = if wanted == 0 { skipped + left_out } else { left_out };
        (offset, skipped, (*connection).born_ns, (*connection).epoch, wanted)
    };
    if wanted == 0 {
        return;
    }
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let mut header = DataHeader {
        prefix: Prefix {
            kind: KIND_DATA,
            direction,
            flags: if wanted < total { FLAG_HEAD } else { 0 } | if linked { 0 } else { FLAG_UNLINKED },
            epoch,
            len: 0,
            time_ns: if direction == SENT { active.time_ns } else { now },
            tgid: key.tgid,
            tid: id as u32,
        },
        conn: active.conn,
        born_ns,
        offset,
        skipped,
        call_len: total,
        point: number,
    };
    deliver(&mut header, active.buf, wanted);
    debug!(ctx, "conn {:x} dir {} offset {} moved {}", active.conn, direction, offset, total);
}

/// What [`wanted`] says of a call whose bytes can't be read; no call moves so many.
const UNREADABLE: u32 = u32::MAX;

/// How many bytes of the call are to be delivered. What is not is counted here.
///
/// # Safety
/// `connection` is an element of the table.
#[inline(always)]
unsafe fn wanted(key: &ConnKey, connection: *mut Connection, buf: u64, total: u32) -> u32 {
    // SAFETY: as the caller promises; the verdict is copied out at once.
    unsafe {
        let verdict = match VERDICTS.get(key) {
            Some(v) if v.born_ns == (*connection).born_ns && v.epoch == (*connection).epoch => v.verdict,
            _ => VERDICT_CAPTURE,
        };
        if verdict != VERDICT_CAPTURE && verdict != VERDICT_HEADS {
            count(STAT_IGNORED, total as u64);
            return 0;
        }
        let mut first = [0u8; 4];
        let peek = if total < 4 { total } else { 4 };
        if bpf_probe_read_user((&raw mut first).cast(), peek, buf as *const c_void) != 0 {
            if verdict == VERDICT_CAPTURE && (*connection).http != 0 {
                return total; // pages after the first may be there; each part is counted by itself
            }
            count(STAT_FAULT, total as u64);
            return UNREADABLE;
        }
        let request = is_request(&first, peek);
        let call = request && first[0] == b'P' && first[1] == b'O';
        if call {
            // This may be an LLM call. A verdict on what came before it may still be on its way: it must not
            // reach this request.
            (*connection).epoch = (*connection).epoch.wrapping_add(1);
        }
        if verdict == VERDICT_CAPTURE {
            if (*connection).http != 0 {
                return total;
            }
            // Not known to be HTTP yet. A connection that was open before the probes were may be in the
            // middle of a message: it gets its chance with each call.
            if request || is_response(&first, peek) || is_frame(&first, peek) {
                (*connection).http = 1;
                return total;
            }
            count(STAT_NOT_HTTP, total as u64);
            return 0;
        }
        if call {
            return total; // by the time the agent has read its head the body would be gone
        }
        if request || is_response(&first, peek) {
            if total > HEAD_BYTES {
                count(STAT_IGNORED, (total - HEAD_BYTES) as u64);
                return HEAD_BYTES;
            }
            return total;
        }
        count(STAT_IGNORED, total as u64);
        0
    }
}

/// Does it begin like an HTTP request line (RFC 9110, 9.1), or the HTTP/2 preface (RFC 9113, 3.4)?
#[inline(always)]
fn is_request(first: &[u8; 4], len: u32) -> bool {
    let word = u32::from_be_bytes(*first);
    // A call may bring fewer bytes than the word has: then only those are compared.
    let mask = match len {
        1 => 0xff00_0000,
        2 => 0xffff_0000,
        3 => 0xffff_ff00,
        _ => u32::MAX,
    };
    let is = |method: &[u8; 4]| (u32::from_be_bytes(*method) ^ word) & mask == 0;
    is(b"POST")
        || is(b"GET ")
        || is(b"PUT ")
        || is(b"HEAD")
        || is(b"PATC")
        || is(b"DELE")
        || is(b"OPTI")
        || is(b"PRI ")
}

/// Does it begin like an HTTP/1 status line?
#[inline(always)]
fn is_response(first: &[u8; 4], len: u32) -> bool {
    len == 4 && *first == *b"HTTP"
}

/// Can it be the head of an HTTP/2 frame (RFC 9113, 4.1)? A length below the 16,384 that every peer accepts, and one of
/// the types that there are. Servers may speak first, and begin with one; and a connection may have begun before the
/// probes did. Other binary protocols can look alike, which the agent finds out at once.
#[inline(always)]
fn is_frame(first: &[u8; 4], len: u32) -> bool {
    len == 4 && first[0] == 0 && first[1] <= 0x40 && first[3] <= 9
}

/// A connection is shut down or released.
#[uprobe]
pub fn point_end(ctx: ProbeContext) -> u32 {
    end(&ctx);
    0
}

/// A new connection has the address of one whose release was not seen.
#[uretprobe]
pub fn point_end_ret(ctx: RetProbeContext) -> u32 {
    end(&ctx);
    0
}

#[inline(always)]
fn end<C: EbpfContext>(ctx: &C) {
    let id = bpf_get_current_pid_tgid();
    if !watched((id >> 32) as u32) {
        return;
    }
    let Some(point) = row(index(ctx)) else { return };
    let key = key(id, value(ctx, &point.conn));
    // SAFETY: copied out at once.
    let Some(connection) = (unsafe { CONNECTIONS.get(key) }).copied() else { return };
    let shutdown = point.action == ACTION_SHUTDOWN;
    if !shutdown {
        let _ = CONNECTIONS.remove(key);
        let _ = VERDICTS.remove(key);
    }
    if connection.http == 0 {
        return; // the agent never heard of it
    }
    let record = CloseRecord {
        prefix: Prefix {
            kind: KIND_CLOSE,
            direction: SENT,
            flags: if shutdown { FLAG_SHUTDOWN } else { 0 }
                | if connection.read_failed != 0 { FLAG_READ_FAILED } else { 0 },
            epoch: connection.epoch,
            len: 0,
            // SAFETY: a helper without arguments.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            tgid: key.tgid,
            tid: id as u32,
        },
        conn: key.conn,
        born_ns: connection.born_ns,
        sent: connection.offset[SENT as usize],
        received: connection.offset[RECEIVED as usize],
        skipped: connection.skipped,
    };
    match EVENTS.reserve::<CloseRecord>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => count(STAT_EVENTS_LOST, 1),
    }
}

#[inline(always)]
pub fn key(id: u64, conn: u64) -> ConnKey {
    ConnKey { conn, tgid: (id >> 32) as u32, reserved: 0 }
}

#[inline(always)]
fn frame<C: EbpfContext>(ctx: &C, point: &Point, id: u64) -> FrameKey {
    if point.task.kind != AT_NOTHING {
        // Tasks of a process move between its threads.
        return FrameKey { thread: id >> 32, frame: value(ctx, &point.task) };
    }
    let frame = register(ctx, point.stack_register).wrapping_add(point.frame as i64 as u64);
    FrameKey { thread: id, frame }
}

/// The connection's element, made on first sight.
#[inline(always)]
pub fn connection(key: &ConnKey, now: u64) -> Option<*mut Connection> {
    if let Some(found) = CONNECTIONS.get_ptr_mut(key) {
        return Some(found);
    }
    let fresh = Connection { born_ns: now, ..Connection::default() };
    // Another thread may have been faster; its element is the one that counts.
    let _ = CONNECTIONS.insert(key, fresh, BPF_NOEXIST as u64);
    CONNECTIONS.get_ptr_mut(key)
}
