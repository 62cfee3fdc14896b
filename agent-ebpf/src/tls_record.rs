//! Plaintext that is seen record by record, at the cipher: what the record's additional data says of it.

use agent_common::Point;
use aya_ebpf::{EbpfContext, helpers::generated::bpf_probe_read_user};
use core::ffi::c_void;

use crate::point::value;

/// Content type of application data (RFC 8446, 5.1).
const APPLICATION_DATA: u8 = 23;
/// Bytes that every cipher suite of TLS 1.3 but CCM_8 adds (RFC 8446, 5.2; RFC 5116, 5). No library that is probed
/// here has CCM_8.
const TAG: u32 = 16;
/// Most bytes of padding that are looked through for the content type behind which they stand. Real peers pad little
/// or nothing; a record that is all padding up to here counts as unreadable.
const MAX_PADDING: u32 = 64;

/// There is a record.
const VALID: u64 = 1 << 63;
/// Its last byte that is not zero is its content type.
const INNER_TYPE: u64 = 1 << 62;

/// Reads the additional data at the point: zero unless it is that of a TLS record with application data, or with
/// whatever the plaintext itself will say.
#[inline(always)]
pub fn describe<C: EbpfContext>(ctx: &C, point: &Point) -> u64 {
    let mut aad = [0u8; 13];
    let at = value(ctx, &point.aad) as *const c_void;
    let len = value(ctx, &point.aad_len);
    // SAFETY: the helper fails instead of faulting, and fills no more than the array.
    let read = unsafe {
        match len {
            5 => bpf_probe_read_user((&raw mut aad).cast(), 5, at),
            13 => bpf_probe_read_user((&raw mut aad).cast(), 13, at),
            _ => return 0,
        }
    };
    if read != 0 {
        return 0;
    }
    if len == 5 {
        // opaque_type 23, legacy_record_version 0x0303, length with the tag
        let encrypted = (aad[3] as u32) << 8 | aad[4] as u32;
        if aad[0] != APPLICATION_DATA || aad[1] != 3 || aad[2] != 3 || encrypted <= TAG {
            return 0;
        }
        return VALID | INNER_TYPE | (encrypted - TAG) as u64;
    }
    // seq_num 8, type 1, version 2, length of the plaintext 2
    let plain = (aad[11] as u32) << 8 | aad[12] as u32;
    if aad[8] != APPLICATION_DATA || aad[9] != 3 || plain == 0 {
        return 0;
    }
    VALID | plain as u64
}

/// Whether the tag that a cipher computed, behind a zero byte in its result (see [`Point::moved`]), is the one that came.
/// Where either can't be read nothing speaks against it.
#[inline(always)]
pub fn authentic(result: u64, came: u64) -> bool {
    let (mut failed, mut computed, mut tag) = (0u8, [0u64; 2], [0u64; 2]);
    // SAFETY: the helper fails instead of faulting, and fills no more than the variables.
    unsafe {
        let read = |to: *mut c_void, len, from: u64| bpf_probe_read_user(to, len, from as *const c_void) == 0;
        if !read((&raw mut failed).cast(), 1, result)
            || !read((&raw mut computed).cast(), TAG, result + 1)
            || !read((&raw mut tag).cast(), TAG, came)
        {
            return true;
        }
    }
    failed == 0 && computed[0] == tag[0] && computed[1] == tag[1]
}

/// How many bytes at `buf`, which has room for `room`, are application data. Zero for other contents, `None` where it
/// can't be told.
#[inline(always)]
pub fn data(record: u64, buf: u64, room: u64) -> Option<u32> {
    let len = record as u32;
    if len as u64 > room {
        return None;
    }
    if record & INNER_TYPE == 0 {
        return Some(len);
    }
    let mut left = len;
    let mut padding = 0;
    while padding < MAX_PADDING {
        padding += 1;
        if left == 0 {
            return None;
        }
        left -= 1;
        let mut kind = 0u8;
        // SAFETY: the helper fails instead of faulting.
        if unsafe { bpf_probe_read_user((&raw mut kind).cast(), 1, (buf + left as u64) as *const c_void) }
            != 0
        {
            return None;
        }
        if kind != 0 {
            return Some(if kind == APPLICATION_DATA { left } else { 0 });
        }
    }
    None
}
