//! Which processes are watched.

use agent_common::{MARK_LEFT_OUT, MARK_WATCHED, SCOPE_ALL, SCOPE_CGROUP};
use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;

use crate::maps::{CGROUP_ID, CGROUP_LEVEL, SCOPE, TARGETS};

/// Is the current process, whose id is `tgid`, watched?
#[inline(always)]
pub fn watched(tgid: u32) -> bool {
    let marks = mark(tgid);
    marks & MARK_LEFT_OUT == 0 && in_scope(marks)
}

/// Is the current process, which has these marks, among those that are asked for? It may be left out nonetheless.
#[inline(always)]
pub fn in_scope(marks: u8) -> bool {
    match SCOPE.load() {
        SCOPE_ALL => true,
        // SAFETY: a helper without memory arguments.
        SCOPE_CGROUP => unsafe {
            bpf_get_current_ancestor_cgroup_id(CGROUP_LEVEL.load() as i32) == CGROUP_ID.load()
        },
        _ => marks & MARK_WATCHED != 0,
    }
}

/// The marks of a process.
#[inline(always)]
pub fn mark(tgid: u32) -> u8 {
    // SAFETY: copied out at once.
    unsafe { TARGETS.get(tgid) }.copied().unwrap_or(0)
}
