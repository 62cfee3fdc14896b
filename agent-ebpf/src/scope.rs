//! Which processes are watched.

use agent_common::{SCOPE_ALL, SCOPE_CGROUP};
use aya_ebpf::helpers::generated::bpf_get_current_ancestor_cgroup_id;

use crate::maps::{CGROUP_ID, CGROUP_LEVEL, SCOPE, TARGETS};

/// Is the current process, whose id is `tgid`, watched?
#[inline(always)]
pub fn watched(tgid: u32) -> bool {
    match SCOPE.load() {
        SCOPE_ALL => true,
        // SAFETY: a helper without memory arguments.
        SCOPE_CGROUP => unsafe {
            bpf_get_current_ancestor_cgroup_id(CGROUP_LEVEL.load() as i32) == CGROUP_ID.load()
        },
        // SAFETY: only presence is asked for.
        _ => unsafe { TARGETS.get(tgid) }.is_some(),
    }
}
