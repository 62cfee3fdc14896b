//! Probes as links of their own, without perf events: `BPF_LINK_TYPE_UPROBE_MULTI` (Linux 6.6).
//!
//! A probe on a perf event goes under a lock of all trace events, in which the kernel waits until no program runs any more: one after the
//! other, each in some tenth of a second. Links of this kind wait at the same time. They ask for CAP_BPF and CAP_PERFMON only.
//!
//! aya has them since 0.15, which needs a later compiler than plainspan's oldest. Until that is no longer so, what aya can't be told stands
//! here: the type of link for which a program is loaded, and the link. All else is aya's: the object, its maps, its relocations.

use std::{
    collections::{HashMap, HashSet},
    ffi::CString,
    io, mem,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya::{Ebpf, maps::Map};
use aya_obj::{
    Object, ProgramSection,
    generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type},
};
use tracing::debug;

const MULTI: u32 = bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32;
/// `BPF_F_UPROBE_MULTI_RETURN`.
const AT_RETURN: u32 = 1;

/// A program that is loaded.
#[derive(Debug)]
struct Program {
    fd: OwnedFd,
    /// It runs when functions return.
    at_return: bool,
}

/// Programs that can be attached by such links.
#[derive(Debug)]
pub(super) struct Programs(HashMap<&'static str, Program>);

impl Programs {
    /// Loads these programs of the object, over maps that are there already. None where the kernel has no such links or refuses them: why is
    /// in the log.
    pub fn load(object: &[u8], maps: &Ebpf, names: &[&'static str]) -> Option<Self> {
        let programs = load(object, maps, names)
            .inspect_err(|reason| debug!(reason, "probes are placed on perf events"))
            .ok()?;
        // Nothing has such a path: a kernel that knows these links says so, any other that it knows none.
        let known = programs.values().next().map(|program| attach(program, "/".as_ref(), 0, 0));
        match known {
            Some(Err(error)) if error.raw_os_error() == Some(libc::EBADF) => Some(Self(programs)),
            other => {
                debug!(
                    ?other,
                    "probes are placed on perf events, for the kernel has no links of many probes"
                );
                None
            }
        }
    }

    /// Places a probe. It is there until what is returned is dropped, which waits until the program runs nowhere any more.
    pub fn attach(&self, program: &str, file: &Path, offset: u64, cookie: u64) -> io::Result<OwnedFd> {
        let program = self.0.get(program).ok_or(io::ErrorKind::NotFound)?;
        attach(program, file, offset, cookie)
    }
}

fn load(
    object: &[u8],
    maps: &Ebpf,
    names: &[&'static str],
) -> Result<HashMap<&'static str, Program>, String> {
    fn said(error: impl ToString) -> String {
        error.to_string()
    }
    let mut object = Object::parse(object).map_err(said)?;
    let definitions: Vec<_> = object.maps.drain().collect();
    let mut known = Vec::with_capacity(definitions.len());
    for (name, definition) in &definitions {
        let map = maps.map(name).ok_or_else(|| format!("there is no map {name}"))?;
        let fd = fd_of(map).ok_or_else(|| format!("{name} is a map of an unknown kind"))?;
        known.push((name.as_str(), fd.as_raw_fd(), definition));
    }
    let text: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(known.into_iter(), &text).map_err(said)?;
    object.relocate_calls(&text).map_err(said)?;
    let mut programs = HashMap::with_capacity(names.len());
    for &name in names {
        let program = object.programs.get(name).ok_or_else(|| format!("there is no program {name}"))?;
        let function = &object.functions[&program.function_key()];
        let fd = load_program(&function.instructions, &program.license, name)
            .map_err(|error| format!("{name}: {error}"))?;
        let at_return = matches!(program.section, ProgramSection::URetProbe { .. });
        programs.insert(name, Program { fd, at_return });
    }
    Ok(programs)
}

/// The kinds of maps that the programs have.
fn fd_of(map: &Map) -> Option<BorrowedFd<'_>> {
    use std::os::fd::AsFd as _;
    match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::RingBuf(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}

fn load_program(instructions: &[bpf_insn], license: &CString, name: &str) -> io::Result<OwnedFd> {
    // SAFETY: all of it is integers, for which zero means not given.
    let mut attributes = unsafe { mem::zeroed::<bpf_attr>() };
    // SAFETY: any bytes are such integers.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = MULTI;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = u32::try_from(instructions.len()).unwrap_or(u32::MAX);
    load.license = license.as_ptr() as u64;
    // It ends with a zero.
    let room = load.prog_name.len() - 1;
    for (to, from) in load.prog_name[..room].iter_mut().zip(name.bytes()) {
        // Which type that is depends on the architecture; names are ASCII.
        *to = from.try_into().unwrap_or_default();
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
}

fn attach(program: &Program, file: &Path, offset: u64, cookie: u64) -> io::Result<OwnedFd> {
    let path = CString::new(file.as_os_str().as_bytes())?;
    // SAFETY: all of it is integers, for which zero means not given.
    let mut attributes = unsafe { mem::zeroed::<bpf_attr>() };
    // SAFETY: any bytes are such integers.
    let create = unsafe { &mut attributes.link_create };
    create.__bindgen_anon_1.prog_fd = program.fd.as_raw_fd().cast_unsigned();
    create.attach_type = MULTI;
    // SAFETY: as above.
    let multi = unsafe { &mut create.__bindgen_anon_3.uprobe_multi };
    multi.path = path.as_ptr() as u64;
    multi.offsets = &raw const offset as u64;
    multi.cookies = &raw const cookie as u64;
    multi.cnt = 1;
    multi.flags = if program.at_return { AT_RETURN } else { 0 };
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
}

/// The system call, for commands that answer with a descriptor.
fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the attributes have this size, and what they point at outlives the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command as u32, &raw mut *attributes, size_of::<bpf_attr>()) };
    let fd = i32::try_from(answer).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
