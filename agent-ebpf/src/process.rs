//! Processes that begin, change their program and end. Raw tracepoints: they need neither tracefs nor a
//! format file, and their arguments are the kernel's own (include/trace/events/sched.h).

use agent_common::{
    EXEC_ARGUMENTS, EXEC_PATH, ExecRecord, KIND_EXEC, KIND_EXIT, KIND_FORK, Prefix, ProcessRecord,
    SCOPE_TARGETS, STAT_EVENTS_LOST,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{
            bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
            bpf_probe_read_user,
        },
    },
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use core::ffi::c_void;

use crate::{
    maps::{
        BINPRM_INTERP, EVENTS, MM_ARG_END, MM_ARG_START, SCOPE, SIGNAL_LIVE, TARGETS, TASK_MM, TASK_PARENT,
        TASK_SIGNAL, TASK_TGID, count,
    },
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

/// `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: the program of the
/// current process was replaced.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the context is an array of the three arguments.
    let (task, program) = unsafe {
        let arguments = ctx.as_ptr().cast::<u64>();
        (*arguments, *arguments.add(2))
    };
    let Some(mut entry) = EVENTS.reserve::<ExecRecord>(0) else {
        count(STAT_EVENTS_LOST, 1);
        return 0;
    };
    let parent = kernel(task + TASK_PARENT.load() as u64);
    let memory = kernel(task + TASK_MM.load() as u64);
    let first = kernel(memory + MM_ARG_START.load() as u64);
    let mut len = kernel(memory + MM_ARG_END.load() as u64).wrapping_sub(first) as u32;
    if len > EXEC_ARGUMENTS as u32 {
        len = EXEC_ARGUMENTS as u32;
    }
    // SAFETY: a plain read of a local; volatile so that the verifier sees the clamp below.
    let mut len = unsafe { core::ptr::read_volatile(&len) };
    if len > EXEC_ARGUMENTS as u32 {
        len = 0;
    }
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation holds a whole record; strings are read by helpers that never fault.
    unsafe {
        (*record).process =
            describe(KIND_EXEC, tgid, kernel(parent + TASK_TGID.load() as u64) as u32, watched(tgid));
        (*record).uid = bpf_get_current_uid_gid() as u32;
        (*record).path[0] = 0;
        bpf_probe_read_kernel_str(
            (&raw mut (*record).path).cast(),
            EXEC_PATH as u32,
            kernel(program + BINPRM_INTERP.load() as u64) as *const c_void,
        );
        let read = bpf_probe_read_user((&raw mut (*record).arguments).cast(), len, first as *const c_void);
        (*record).arguments_len = if read == 0 { len } else { 0 };
    }
    entry.submit(0);
    0
}

/// Eight bytes of the kernel's memory; zero where they can't be read.
#[inline(always)]
fn kernel(address: u64) -> u64 {
    let mut value = 0u64;
    // SAFETY: reads through the helper, which fails instead of faulting.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const c_void) };
    value
}

/// `sched_process_exit(struct task_struct *p)`: a thread ends; the process does with the last one that lives.
/// The first thread may end long before: by itself, or because another one of them calls exec.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn process_exit(ctx: RawTracePointContext) -> i32 {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    // SAFETY: the context is an array of arguments, of which the first is the task.
    let task = unsafe { *ctx.as_ptr().cast::<u64>() };
    // The kernel counts the thread out before it says that it ends.
    let alive = kernel(kernel(task + TASK_SIGNAL.load() as u64) + SIGNAL_LIVE.load() as u64) as u32;
    if alive != 0 {
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
    match EVENTS.reserve::<ProcessRecord>(0) {
        Some(mut entry) => {
            entry.write(describe(kind, tgid, parent, watched));
            entry.submit(0);
        }
        None => count(STAT_EVENTS_LOST, 1),
    }
}

#[inline(always)]
fn describe(kind: u8, tgid: u32, parent: u32, watched: bool) -> ProcessRecord {
    ProcessRecord {
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
    }
}
