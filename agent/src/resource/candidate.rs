//! A process that is asked about before anything of it is looked at.

use std::path::Path;

use super::{container, environment, kubernetes, procfs};
use crate::capture::Program;

/// A process, of which only that is read which is asked for. What is not known is `None`.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    proc_root: &'a Path,
    pid: u32,
    program: Option<&'a Program>,
    cgroup: Option<&'a str>,
}

impl<'a> Candidate<'a> {
    /// A process of `proc_root` (`/proc`).
    pub fn new(proc_root: &'a Path, pid: u32) -> Self {
        Self { proc_root, pid, program: None, cgroup: None }
    }

    /// The same, with what the kernel saw at its exec, and the path of the cgroup that it had then: for one that is gone by now.
    pub fn seen(self, program: &'a Program, cgroup: Option<&'a str>) -> Self {
        Self { program: Some(program), cgroup, ..self }
    }

    /// Is it there no more?
    pub fn is_gone(&self) -> bool {
        procfs::cgroups(self.proc_root, self.pid).is_none()
    }

    /// Path of the executable; empty for one that has none, as a thread of the kernel.
    pub fn executable(&self) -> Option<String> {
        procfs::executable(&self.proc_root.join(self.pid.to_string()))
            .or_else(|| self.program.map(|program| program.path.clone()))
            .or_else(|| (!self.is_gone()).then(String::new))
    }

    /// The user's id.
    pub fn uid(&self) -> Option<u32> {
        procfs::uid(self.proc_root, self.pid).or_else(|| self.program.map(|program| program.uid))
    }

    /// Path in the unified hierarchy of cgroups; empty where there is none.
    pub fn cgroup(&self) -> Option<String> {
        match procfs::cgroups(self.proc_root, self.pid) {
            Some(text) => Some(container::unified(&text).unwrap_or_default().to_owned()),
            None => self.cgroup.map(str::to_owned),
        }
    }

    /// Labels of its pod or container, as far as they are where a process can be seen to have them.
    pub fn labels(&self) -> Option<Vec<(String, String)>> {
        let cgroups = procfs::cgroups(self.proc_root, self.pid)?;
        let environ = procfs::environ(self.proc_root, self.pid);
        Some(kubernetes::labels(self.proc_root, self.pid, &environ, container::id(&cgroups).as_deref()))
    }

    /// Does its environment ask for it to be left out? That is its environment as it was when the program began.
    pub fn asks_to_be_left_out(&self) -> bool {
        environment::asks_to_be_left_out(&procfs::environ(self.proc_root, self.pid))
    }
}
