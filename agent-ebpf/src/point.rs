//! Reading a point's row of the table: where its arguments are.

use agent_common::{AT_MEMORY, AT_REGISTER, Location, Point};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_get_attach_cookie, bpf_probe_read_kernel, bpf_probe_read_user},
};
use core::ffi::c_void;

use crate::maps::POINTS;

/// The attach cookie: an index in the point table.
#[inline(always)]
pub fn index<C: EbpfContext>(ctx: &C) -> u32 {
    // SAFETY: every program type that calls this has the helper.
    unsafe { bpf_get_attach_cookie(ctx.as_ptr()) as u32 }
}

/// The point's row.
#[inline(always)]
pub fn row(index: u32) -> Option<&'static Point> {
    POINTS.get(index)
}

/// A register of the probed thread, by its byte offset in `pt_regs`.
#[inline(always)]
pub fn register<C: EbpfContext>(ctx: &C, offset: u16) -> u64 {
    let mut value = 0u64;
    // The table is the agent's, but an offset beyond pt_regs must not read what lies there.
    let offset = if offset > 320 { 0 } else { offset as u64 };
    // SAFETY: reads kernel memory through the helper, which never faults. The context of a uprobe is pt_regs.
    unsafe {
        bpf_probe_read_kernel((&raw mut value).cast(), 8, (ctx.as_ptr() as u64 + offset) as *const c_void);
    }
    value
}

/// The value at a location, sign-extended from its width; zero where it can't be read.
#[inline(always)]
pub fn value<C: EbpfContext>(ctx: &C, at: &Location) -> u64 {
    let raw = match at.kind {
        AT_REGISTER => register(ctx, at.register),
        AT_MEMORY => user(register(ctx, at.register).wrapping_add(at.displacement as i64 as u64)),
        _ => return 0,
    };
    if at.width == 4 { raw as u32 as i32 as i64 as u64 } else { raw }
}

/// Eight bytes of the process's memory; zero where they can't be read.
#[inline(always)]
pub fn user(address: u64) -> u64 {
    let mut value = 0u64;
    // SAFETY: reads user memory through the helper, which fails instead of faulting.
    unsafe {
        if bpf_probe_read_user((&raw mut value).cast(), 8, address as *const c_void) != 0 {
            return 0;
        }
    }
    value
}
