//! Processes that begin, change their program and end. Raw tracepoints: they need neither tracefs nor a
//! format file, and their arguments are the kernel's own (include/trace/events/sched.h).

use agent_common::{
    ENVIRONMENT, EXEC_ARGUMENTS, EXEC_PATH, ExecRecord, KIND_EXEC, KIND_EXIT, KIND_FORK, LEAVE_OUT,
    MARK_LEFT_OUT, MARK_WATCHED, Prefix, ProcessRecord, STAT_EVENTS_LOST,
};
use aya_ebpf::{
    EbpfContext,
    helpers::{
        bpf_get_current_pid_tgid,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_uid_gid, bpf_ktime_get_boot_ns, bpf_probe_read_kernel,
            bpf_probe_read_kernel_str, bpf_probe_read_user, bpf_probe_read_user_str,
        },
    },
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};
use core::ffi::c_void;

use crate::{
    maps::{
        BINPRM_INTERP, EVENTS, MM_ARG_END, MM_ARG_START, MM_START_STACK, SIGNAL_LIVE, TARGETS, TASK_MM,
        TASK_PARENT, TASK_SIGNAL, TASK_TGID, count,
    },
    point::user,
    scope::{in_scope, mark},
};

/// `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: the child of a watched
/// process is watched before it runs its first instruction, and that of one that is left out is left out.
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
    let marks = mark(parent);
    if marks != 0 && TARGETS.insert(child, marks, 0).is_err() {
        count(STAT_EVENTS_LOST, 1);
    }
    report(KIND_FORK, child, parent, in_scope(marks));
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
    let memory = kernel(task + TASK_MM.load() as u64);
    let left_out = asks_to_be_left_out(memory);
    let before = mark(tgid);
    let marks = before & MARK_WATCHED | if left_out { MARK_LEFT_OUT } else { 0 };
    if marks == 0 {
        let _ = TARGETS.remove(tgid);
    } else if marks != before && TARGETS.insert(tgid, marks, 0).is_err() {
        count(STAT_EVENTS_LOST, 1);
    }
    let Some(mut entry) = EVENTS.reserve::<ExecRecord>(0) else {
        count(STAT_EVENTS_LOST, 1);
        return 0;
    };
    let parent = kernel(task + TASK_PARENT.load() as u64);
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
            describe(KIND_EXEC, tgid, kernel(parent + TASK_TGID.load() as u64) as u32, in_scope(marks));
        (*record).uid = bpf_get_current_uid_gid() as u32;
        (*record).left_out = left_out as u32;
        (*record).reserved = 0;
        (*record).cgroup = bpf_get_current_cgroup_id();
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

/// Does the environment of the program that is about to run say so? A program finds at its stack pointer the number of its
/// arguments, their addresses up to a zero, and the addresses of its environment's variables up to a zero (System V ABI,
/// "Process Initialization"; `create_elf_tables` in fs/binfmt_elf.c).
#[inline(always)]
fn asks_to_be_left_out(memory: u64) -> bool {
    let stack = kernel(memory + MM_START_STACK.load() as u64);
    let mut at = stack + 8 * (user(stack) + 2);
    for _ in 0..ENVIRONMENT {
        let variable = user(at);
        if variable == 0 {
            return false;
        }
        let mut text = [0u64; 3];
        // SAFETY: a local with room for more than is asked for; the helper fails instead of faulting.
        unsafe {
            bpf_probe_read_user_str(
                (&raw mut text).cast(),
                LEAVE_OUT.len() as u32 + 1,
                variable as *const c_void,
            );
        }
        let wanted = |from: usize, len: usize| {
            let mut word = [0u8; 8];
            word[..len].copy_from_slice(&LEAVE_OUT[from..from + len]);
            u64::from_ne_bytes(word)
        };
        // Behind the zero byte nothing is read.
        if text == [wanted(0, 8), wanted(8, 8), wanted(16, 3)] {
            return true;
        }
        at += 8;
    }
    false
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
    let seen = in_scope(mark(tgid));
    let _ = TARGETS.remove(tgid);
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
