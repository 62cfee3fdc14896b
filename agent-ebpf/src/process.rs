//! Processes that begin, change their program and end. Raw tracepoints: they need neither tracefs nor a
//! format file, and their arguments are the kernel's own (include/trace/events/sched.h).

use agent_common::{KIND_EXEC, KIND_EXIT, KIND_FORK, Prefix, ProcessRecord, SCOPE_TARGETS, STAT_EVENTS_LOST};
use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{bpf_ktime_get_boot_ns, bpf_probe_read_kernel},
    },
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use core::ffi::c_void;

use crate::{
    maps::{EVENTS, SCOPE, TARGETS, TASK_TGID, count},
    scope::watched,
};

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: the child of a watched
/// process is watched before it runs its first instruction.
#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn process_fork(ctx: RawTracePointContext) -> i32 {
    let parent = (bpf_get_current_pid_tgid() >> 32) as u32;
    let mut child = 0u32;
    // SAFETY: the context of a raw tracepoint is an array of its arguments, of which this one has two; the
    // task is read through a helper that never faults.
    unsafe {
        let task = *ctx.as_ptr().cast::<u64>().add(1);
        bpf_probe_read_kernel((&raw mut child).cast(), 4, (task + TASK_TGID.load() as u64) as *const c_void);
    }
    if child == parent || child == 0 {
        return 0; // a thread
    }
    let seen = watched(parent);
    if seen && SCOPE.load() == SCOPE_TARGETS && TARGETS.insert(child, 1, 0).is_err() {
        count(STAT_EVENTS_LOST, 1);
    }
    report(KIND_FORK, child, parent, seen);
    0
}

/// `sched_process_exec`: the program of the current process was replaced.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(_ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    report(KIND_EXEC, tgid, 0, watched(tgid));
    0
}

/// `sched_process_exit`: a thread ends; the process does with its first one.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(_ctx: RawTracePointContext) -> i32 {
    let id = bpf_get_current_pid_tgid();
    let tgid = (id >> 32) as u32;
    if tgid != id as u32 {
        return 0;
    }
    let seen = watched(tgid);
    if SCOPE.load() == SCOPE_TARGETS {
        let _ = TARGETS.remove(tgid);
    }
    report(KIND_EXIT, tgid, 0, seen);
    0
}

#[inline(always)]
fn report(kind: u8, tgid: u32, parent: u32, watched: bool) {
    let record = ProcessRecord {
        prefix: Prefix {
            kind,
            // SAFETY: a helper without arguments.
            time_ns: unsafe { bpf_ktime_get_boot_ns() },
            tgid,
            tid: tgid,
            ..Prefix::default()
        },
        parent,
        watched: watched as u32,
    };
    match EVENTS.reserve::<ProcessRecord>(0) {
        Some(mut entry) => {
            entry.write(record);
            entry.submit(0);
        }
        None => count(STAT_EVENTS_LOST, 1),
    }
}
