//! What the machine must offer, asked before anything is loaded, so that each lack has a name.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{btf, error::CaptureError};

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// What was found and is needed at load.
pub(super) struct Machine {
    /// Byte offsets in the kernel's structures, by the name of the programs' constant.
    pub(super) offsets: Vec<(&'static str, u32)>,
    /// Whether the agent has CAP_SYS_ADMIN.
    pub(super) sys_admin: bool,
}

/// The members that the programs read.
const MEMBERS: &[(&str, &str, &str)] = &[
    ("TASK_TGID", "task_struct", "tgid"),
    ("TASK_PARENT", "task_struct", "real_parent"),
    ("TASK_MM", "task_struct", "mm"),
    ("TASK_SIGNAL", "task_struct", "signal"),
    ("SIGNAL_LIVE", "signal_struct", "live"),
    ("MM_ARG_START", "mm_struct", "arg_start"),
    ("MM_ARG_END", "mm_struct", "arg_end"),
    ("MM_START_STACK", "mm_struct", "start_stack"),
    ("BINPRM_INTERP", "linux_binprm", "interp"),
];

/// Whether the agent can capture on this machine, as far as can be told without loading anything.
///
/// # Errors
/// What is missing, with what to do about it.
pub fn check_machine() -> Result<(), CaptureError> {
    check().map(drop)
}

/// Checks the machine.
pub(super) fn check() -> Result<Machine, CaptureError> {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return Err(CaptureError::Architecture);
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if version(&release).is_some_and(|v| v < (5, 15)) {
        return Err(CaptureError::Kernel { release: release.trim().to_owned() });
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    privileges(&status)?;
    if lockdown(&std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default()) {
        return Err(CaptureError::Lockdown);
    }
    if std::fs::metadata("/proc/self/ns/pid").is_ok_and(|m| {
        use std::os::unix::fs::MetadataExt;
        m.ino() != INITIAL_PID_NAMESPACE
    }) {
        return Err(CaptureError::PidNamespace);
    }
    if !Path::new("/sys/bus/event_source/devices/uprobe/type").exists() {
        return Err(CaptureError::NoUprobes);
    }
    let types = std::fs::read("/sys/kernel/btf/vmlinux").map_err(|_| CaptureError::NoBtf)?;
    let types = btf::Types::parse(&types).ok_or(CaptureError::NoBtf)?;
    let offsets = MEMBERS
        .iter()
        .map(|(constant, structure, member)| Some((*constant, types.member_offset(structure, member)?)))
        .collect::<Option<_>>()
        .ok_or(CaptureError::NoBtf)?;
    Ok(Machine { offsets, sys_admin: effective(&status).is_none_or(|has| has >> SYS_ADMIN & 1 == 1) })
}

/// `5.15.0-91-generic` -> (5, 15)
fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// capabilities(7): numbers of those that are needed. `CAP_SYS_ADMIN` stands for the first two.
const NEEDED: &[(u32, &str)] = &[(39, "CAP_BPF"), (38, "CAP_PERFMON"), (19, "CAP_SYS_PTRACE")];
const SYS_ADMIN: u32 = 21;

/// The effective capabilities, a bit each.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn privileges(status: &str) -> Result<(), CaptureError> {
    let Some(effective) = effective(status) else {
        return Ok(()); // the load itself will tell
    };
    let has = |n: u32| effective >> n & 1 == 1;
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(n, _)| !has(*n) && (*n == 19 || !has(SYS_ADMIN)))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(CaptureError::Privileges { missing: missing.join(", ") }) }
}

/// kernel_lockdown(7): the mode in force stands in brackets.
fn lockdown(modes: &str) -> bool {
    modes.contains("[confidentiality]")
}

/// Kernels before 5.11 charge tables to the limit of locked memory; raising it is tried and not insisted on.
pub(super) fn raise_memlock() -> u64 {
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let cases = [
            ("5.15.0-91-generic\n", Some((5, 15))),
            ("6.18.44-fc-v669", Some((6, 18))),
            ("5.4.0", Some((5, 4))),
            ("", None),
        ];
        for (release, expected) in cases {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let with = |bits: u64| privileges(&format!("Name:\tx\nCapEff:\t{bits:016x}\n"));
        assert!(with(u64::MAX).is_ok());
        assert!(with(1 << 39 | 1 << 38 | 1 << 19).is_ok());
        assert!(with(1 << 21 | 1 << 19).is_ok());
        let error = with(1 << 39).unwrap_err().to_string();
        assert!(error.contains("CAP_PERFMON, CAP_SYS_PTRACE") && error.contains("sudo"), "{error}");
        assert!(!error.contains('\n'));
    }

    #[test]
    fn lockdown_modes() {
        assert!(lockdown("none integrity [confidentiality]\n"));
        assert!(!lockdown("none [integrity] confidentiality\n"));
        assert!(!lockdown(""));
    }
}
