//! Copying plaintext into the ring: whole buffers, in records whose size fits the data.
//!
//! Reservations have constant sizes, in tiers: one copy straight from the process into the ring. Scratch
//! space would allow exact sizes, but per-CPU scratch is clobbered where uprobe programs are preempted.

use agent_common::{
    CHUNK, DataHeader, FLAG_CUT, MAX_CHUNKS, STAT_CAP, STAT_CAPTURED, STAT_FAULT, STAT_RING_FULL, TIERS,
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::ffi::c_void;

use crate::maps::{CALL_CAP, EVENTS, count};

#[repr(C)]
struct Record<const N: usize> {
    header: DataHeader,
    payload: [u8; N],
}

/// What became of bytes that were to be delivered. Counted once per call and not once per record: a map
/// lookup in the loop multiplies the paths that the verifier has to walk.
#[derive(Default)]
struct Outcome {
    captured: u64,
    fault: u64,
}

/// Delivers `total` bytes at `buf` as bytes `[header.offset, header.offset + total)`. What is not delivered
/// is counted; the numbering goes on over it.
#[inline(always)]
pub fn deliver(header: &mut DataHeader, buf: u64, total: u32) {
    if total == 0 {
        return;
    }
    let mut room = CALL_CAP.load();
    if room > MAX_CHUNKS * CHUNK as u32 {
        room = MAX_CHUNKS * CHUNK as u32;
    }
    let wanted = if total > room { room } else { total };
    if wanted == 0 {
        count(STAT_CAP, total as u64);
        return;
    }
    let cut = total - wanted;
    let mut outcome = Outcome::default();
    let mut from = buf;
    // Whole chunks first, then one tail, which is never empty and alone can be the last record: a tiered
    // reservation or a decision inside the loop is too much for the verifier.
    let full = (wanted - 1) / CHUNK as u32;
    let tail = (wanted - 1) % CHUNK as u32 + 1;
    let mut i = 0u32;
    while i < MAX_CHUNKS && i < full {
        i += 1;
        put::<CHUNK>(header, from, CHUNK as u32, &mut outcome);
        from += CHUNK as u64;
        header.offset += CHUNK as u64;
    }
    if cut > 0 {
        header.prefix.flags |= FLAG_CUT;
    }
    if tail <= TIERS[0] as u32 {
        put::<{ TIERS[0] }>(header, from, tail, &mut outcome);
    } else if tail <= TIERS[1] as u32 {
        put::<{ TIERS[1] }>(header, from, tail, &mut outcome);
    } else if tail <= TIERS[2] as u32 {
        put::<{ TIERS[2] }>(header, from, tail, &mut outcome);
    } else if tail <= TIERS[3] as u32 {
        put::<{ TIERS[3] }>(header, from, tail, &mut outcome);
    } else {
        put::<CHUNK>(header, from, tail, &mut outcome);
    }
    // Without conditions: a comparison would make the verifier tell every combination of outcomes apart.
    count(STAT_CAPTURED, outcome.captured);
    count(STAT_FAULT, outcome.fault);
    count(STAT_RING_FULL, wanted as u64 - outcome.captured - outcome.fault);
    count(STAT_CAP, cut as u64);
}

#[inline(always)]
fn put<const N: usize>(header: &mut DataHeader, from: u64, len: u32, outcome: &mut Outcome) {
    // SAFETY: a plain read of a local. It is volatile because LLVM would prove the clamp below redundant and
    // drop it, while the verifier needs to see it.
    let mut len = unsafe { core::ptr::read_volatile(&len) };
    if len > N as u32 {
        len = N as u32;
    }
    let Some(mut entry) = EVENTS.reserve::<Record<N>>(0) else {
        return;
    };
    header.prefix.len = len;
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation holds a whole record, and at most N bytes are read into its payload.
    let read = unsafe {
        (*record).header = *header;
        bpf_probe_read_user((&raw mut (*record).payload).cast(), len, from as *const c_void)
    };
    if read == 0 {
        entry.submit(0);
        outcome.captured += len as u64;
    } else {
        entry.discard(0);
        outcome.fault += len as u64;
    }
}
