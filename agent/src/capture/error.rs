//! Why nothing can be captured, each with what to do about it.

use thiserror::Error;

/// A capture that can't start. The message is one line: what is wrong, and the remedy.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The process may not load kernel programs.
    #[error(
        "missing privileges ({missing}): run plainspan as root (sudo), or give it the capabilities CAP_BPF, \
         CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    )]
    Privileges {
        /// What is missing.
        missing: String,
    },
    /// The kernel has no BTF.
    #[error(
        "the kernel does not publish its type information (/sys/kernel/btf/vmlinux): use a kernel that is built with \
         CONFIG_DEBUG_INFO_BTF=y, as those of all current distributions are, and in a container mount the host's /sys"
    )]
    NoBtf,
    /// Kernel lockdown forbids it.
    #[error(
        "kernel lockdown is in confidentiality mode, which forbids kernel programs to read memory: boot with \
         lockdown=integrity or lockdown=none"
    )]
    Lockdown,
    /// The limit of locked memory is too low.
    #[error(
        "the limit of locked memory ({limit} bytes) is too low for the kernel's tables and can't be raised: run `ulimit -l unlimited` \
         first (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1), or give plainspan CAP_SYS_RESOURCE"
    )]
    Memlock {
        /// The limit in bytes.
        limit: u64,
    },
    /// The kernel is too old.
    #[error("kernel {release} is too old: plainspan needs Linux 5.15 or later (uprobes with attach cookies)")]
    Kernel {
        /// `uname -r`.
        release: String,
    },
    /// No uprobes in this kernel.
    #[error(
        "the kernel has no uprobes (/sys/bus/event_source/devices/uprobe is missing): use a kernel with \
         CONFIG_UPROBE_EVENTS=y, and in a container mount the host's /sys"
    )]
    NoUprobes,
    /// The agent is in a pid namespace of its own.
    #[error(
        "plainspan runs in a pid namespace of its own and can't tell the machine's processes apart: start the \
         container in the host's (Kubernetes: hostPID: true; docker: --pid=host)"
    )]
    PidNamespace,
    /// This machine's architecture has no kernel programs.
    #[error("plainspan has no kernel programs for this architecture: it runs on x86_64 and aarch64")]
    Architecture,
    /// The ring buffer's size is not possible.
    #[error(
        "the ring buffer's size must be a power of two and at least {page} bytes, not {given}: try {proposal}"
    )]
    RingSize {
        /// What was asked for.
        given: u32,
        /// The page size.
        page: u32,
        /// The next possible one.
        proposal: u32,
    },
    /// The kernel refused to load the programs.
    #[error("the kernel refused plainspan's programs: {0}; please report it with the output of `uname -a`")]
    Load(String),
}
