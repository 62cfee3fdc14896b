//! Which processes the user wants to see.

use std::{collections::HashMap, fs::File, os::fd::AsRawFd, path::Path};

use globset::{GlobBuilder, GlobMatcher};

use super::Usage;
use crate::capture::Scope;

/// What the user asked for.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Process ids.
    pub(super) pids: Vec<u32>,
    globs: Vec<GlobMatcher>,
    cgroup: Option<Scope>,
    command: bool,
}

impl Targets {
    pub(super) fn new(
        pids: Vec<u32>,
        globs: &[String],
        cgroup: Option<&str>,
        command: bool,
    ) -> anyhow::Result<Self> {
        for pid in &pids {
            anyhow::ensure!(
                Path::new("/proc").join(pid.to_string()).exists(),
                "there is no process {pid}: `pgrep -a NAME` finds the id of a running program"
            );
            if let Some(process) = status(*pid, "Tgid:").filter(|process| process != pid) {
                anyhow::bail!("{pid} is a thread of process {process}: try --pid {process}");
            }
        }
        let globs = executables(globs)?;
        let cgroup = cgroup.map(Scope::cgroup).transpose()?;
        Ok(Self { pids, globs, cgroup, command })
    }

    /// From now on others are chosen by their executable.
    pub(super) fn set_executables(&mut self, globs: &[String]) -> anyhow::Result<()> {
        self.globs = executables(globs)?;
        Ok(())
    }

    /// The kernel's scope for it.
    pub(super) fn scope(&self) -> Scope {
        match &self.cgroup {
            Some(scope) => scope.clone(),
            None if self.command || !self.pids.is_empty() || !self.globs.is_empty() => Scope::Targets,
            None => Scope::All,
        }
    }

    /// Is a command watched that the agent starts itself?
    pub(super) fn is_command(&self) -> bool {
        self.command
    }

    /// Are processes chosen by their executable?
    pub(super) fn by_executable(&self) -> bool {
        !self.globs.is_empty()
    }

    /// Is the process chosen by its executable?
    pub(super) fn matches_executable(&self, pid: u32) -> bool {
        self.matches(&Path::new("/proc").join(pid.to_string()).join("exe"))
    }

    /// Is the process chosen that this will be the executable of?
    pub(super) fn matches_file(&self, file: &File) -> bool {
        self.matches(&Path::new("/proc/self/fd").join(file.as_raw_fd().to_string()))
    }

    fn matches(&self, link: &Path) -> bool {
        std::fs::read_link(link).is_ok_and(|exe| {
            let name = exe.as_os_str().to_string_lossy();
            self.globs.iter().any(|g| g.is_match(name.strip_suffix(" (deleted)").unwrap_or(&name)))
        })
    }
}

fn executables(globs: &[String]) -> Result<Vec<GlobMatcher>, Usage> {
    let matcher = |text: &String| {
        // A pattern without a directory means the program's name, wherever it is.
        let whole = if text.contains('/') { text.clone() } else { format!("**/{text}") };
        GlobBuilder::new(&whole)
            .literal_separator(true)
            .build()
            .map(|glob| glob.compile_matcher())
            .map_err(|error| Usage(format!("--exe {text:?} is no pattern ({error}): try --exe 'python3*'")))
    };
    globs.iter().map(matcher).collect()
}

/// The children that each of `processes` has now.
pub(super) fn children(processes: &[u32]) -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in processes {
        if let Some(parent) = status(*pid, "PPid:") {
            children.entry(parent).or_default().push(*pid);
        }
    }
    children
}

/// A number in `/proc/PID/status`, see proc_pid_status(5).
fn status(pid: u32, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_follows_what_is_asked() {
        let scope = |pids, globs: &[&str], command| {
            let globs: Vec<String> = globs.iter().map(|g| (*g).to_owned()).collect();
            Targets::new(pids, &globs, None, command).unwrap().scope()
        };
        assert_eq!(scope(vec![], &[], false), Scope::All);
        assert_eq!(scope(vec![std::process::id()], &[], false), Scope::Targets);
        assert_eq!(scope(vec![], &["python*"], false), Scope::Targets);
        assert_eq!(scope(vec![], &[], true), Scope::Targets);
    }

    #[test]
    fn executables_by_name_or_path() {
        let own = std::env::current_exe().unwrap();
        let name = own.file_name().unwrap().to_str().unwrap();
        let matches = |glob: &str| {
            Targets::new(vec![], &[glob.to_owned()], None, false)
                .unwrap()
                .matches_executable(std::process::id())
        };
        assert!(matches(name) && matches("plainspan*") && matches(own.to_str().unwrap()));
        assert!(!matches("python*") && !matches("/usr/bin/*"));
    }

    #[test]
    fn a_thread_is_no_process() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").unwrap();
            tell.send(own.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap();
            let _ = ended.recv();
        });
        let error = Targets::new(vec![told.recv().unwrap()], &[], None, false).unwrap_err().to_string();
        assert!(error.ends_with(&format!("--pid {}", std::process::id())), "{error}");
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn children_that_are_there() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = children(&[child.id(), 1]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.get(&std::process::id()), Some(&vec![child.id()]));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let error = Targets::new(vec![], &["[".to_owned()], None, false).unwrap_err();
        assert!(error.to_string().contains("--exe"), "{error}");
        let error = Targets::new(vec![u32::MAX], &[], None, false).unwrap_err();
        assert!(error.to_string().contains("there is no process"), "{error}");
    }
}
