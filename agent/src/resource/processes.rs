//! The processes that were asked for, kept while their spans may need them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{ProcessInfo, procfs};
use crate::capture::Program;

/// What [`Processes`] may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most processes that are remembered; the least recently used ones go first.
    pub processes: usize,
    /// How long a process is remembered after its end, since its last spans are finished after it.
    pub after_exit: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 16_384, after_exit: Duration::from_secs(60) }
    }
}

/// Descriptions of processes by process id.
///
/// Reads `/proc` when a process is asked for the first time: ask when the first bytes of a process are seen,
/// not when its span is finished, since by then it may be gone. Told of exec, fork and exit, it gives the
/// description of the program that runs, also after its end; and should such an event be lost, the start time
/// in `/proc` tells a new process with an old id.
#[derive(Debug)]
pub struct Processes {
    proc_root: PathBuf,
    limits: Limits,
    entries: HashMap<u32, Entry>,
    /// What the kernel saw of processes that were not looked up since.
    programs: BTreeMap<u32, Program>,
    /// Ends of processes, in their order.
    exits: VecDeque<(Instant, u32)>,
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    info: Arc<ProcessInfo>,
    /// Start time of the process that was read; `None` while all that is known comes from its parent or from
    /// the kernel's word at its exec.
    start: Option<u64>,
    /// It was looked up when it was gone: nothing more will be learnt of it.
    gone: bool,
    exited: Option<Instant>,
    used: u64,
}

impl Default for Processes {
    fn default() -> Self {
        Self::new("/proc", Limits::default())
    }
}

impl Processes {
    /// Processes of `proc_root` (`/proc`).
    pub fn new(proc_root: impl Into<PathBuf>, limits: Limits) -> Self {
        Self {
            proc_root: proc_root.into(),
            limits,
            entries: HashMap::new(),
            programs: BTreeMap::new(),
            exits: VecDeque::new(),
            clock: 0,
        }
    }

    /// Who this process is, or was until just now; `None` if it is gone and was never asked for.
    pub fn get(&mut self, pid: u32) -> Option<Arc<ProcessInfo>> {
        self.clock += 1;
        let start = procfs::start_time(&self.proc_root, pid);
        if let Some(entry) = self.entries.get_mut(&pid) {
            let same = entry.start.is_some() && entry.start == start;
            if entry.exited.is_some() || start.is_none() || same {
                entry.gone = start.is_none();
                entry.used = self.clock;
                return Some(Arc::clone(&entry.info));
            }
        }
        let program = self.programs.remove(&pid);
        match ProcessInfo::read(&self.proc_root, pid) {
            // Read between two looks at the same process: otherwise it may be a mixture of two. One that is just
            // ending has no executable any more, and its exec told more.
            Some(info)
                if start.is_some()
                    && (info.executable_path.is_some()
                        || !(program.is_some() || self.entries.contains_key(&pid)))
                    && procfs::start_time(&self.proc_root, pid) == start =>
            {
                let info = Arc::new(info);
                self.insert(pid, Arc::clone(&info), start);
                Some(info)
            }
            // Gone while it was read. What the kernel saw at its exec is the best that is known, or else what
            // its parent looked like.
            _ => match program {
                Some(program) => {
                    let known = self.entries.get(&program.parent).map(|entry| Arc::clone(&entry.info));
                    let parent = known.map_or_else(
                        || ProcessInfo::read(&self.proc_root, program.parent),
                        |info| Some((*info).clone()),
                    );
                    let info = ProcessInfo::of_program(&self.proc_root, pid, &program, parent.as_ref());
                    let info = Arc::new(info);
                    self.insert(pid, Arc::clone(&info), None);
                    Some(info)
                }
                None => self
                    .entries
                    .get(&pid)
                    .filter(|entry| entry.start.is_none())
                    .map(|entry| Arc::clone(&entry.info)),
            },
        }
    }

    /// Is this process described already? Cheap: for asking with every record.
    pub fn knows(&self, pid: u32) -> bool {
        self.entries.get(&pid).is_some_and(|entry| entry.start.is_some() || entry.gone)
    }

    /// A process replaced its program. Spans of the old one keep the description that they got before; what
    /// the kernel saw of the new one stands in for `/proc` if the process is gone before it is looked up.
    pub fn exec(&mut self, pid: u32, program: &Program) {
        self.entries.remove(&pid);
        self.programs.insert(pid, program.clone());
        if self.programs.len() > self.limits.processes {
            self.programs.pop_first();
        }
    }

    /// A process was forked; until it replaces its program it looks like its parent.
    pub fn fork(&mut self, pid: u32, parent: u32) {
        self.clock += 1;
        // Whoever had the id before is gone.
        self.entries.remove(&pid);
        self.programs.remove(&pid);
        if let Some(entry) = self.entries.get(&parent) {
            let info = ProcessInfo { pid, parent_pid: Some(parent), ..(*entry.info).clone() };
            self.insert(pid, Arc::new(info), None);
        }
    }

    /// A process ended; it is remembered for a while.
    pub fn exit(&mut self, pid: u32) {
        let now = Instant::now();
        if let Some(entry) = self.entries.get_mut(&pid) {
            entry.exited = Some(now);
            self.exits.push_back((now, pid));
        }
        // Its records came before its end: nobody asked.
        self.programs.remove(&pid);
        while let Some((at, pid)) = self.exits.front().copied() {
            let excess = self.exits.len() > self.limits.processes;
            if !excess && now.duration_since(at) < self.limits.after_exit {
                break;
            }
            self.exits.pop_front();
            // The id may have been given to a new process since.
            if self.entries.get(&pid).is_some_and(|entry| entry.exited == Some(at)) {
                self.entries.remove(&pid);
            }
        }
    }

    /// Nobody needs this process any more.
    pub fn forget(&mut self, pid: u32) {
        self.entries.remove(&pid);
    }

    /// How many processes are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is none remembered?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, pid: u32, info: Arc<ProcessInfo>, start: Option<u64>) {
        if self.entries.len() >= self.limits.processes && !self.entries.contains_key(&pid) {
            self.evict();
        }
        self.entries.insert(pid, Entry { info, start, gone: false, exited: None, used: self.clock });
    }

    /// Makes room: an eighth at a time, so that a flood of processes does not search the table for each.
    fn evict(&mut self) {
        let mut by_age: Vec<_> =
            self.entries.iter().map(|(pid, entry)| (entry.exited.is_none(), entry.used, *pid)).collect();
        by_age.sort_unstable();
        for (_, _, pid) in by_age.into_iter().take(self.limits.processes / 8 + 1) {
            self.entries.remove(&pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::procfs::tests::FakeProc, *};

    fn processes(fake: &FakeProc, limit: usize) -> Processes {
        Processes::new(fake.root(), Limits { processes: limit, ..Limits::default() })
    }

    fn name(info: Option<Arc<ProcessInfo>>) -> Option<String> {
        info.and_then(|info| info.service_name.clone())
    }

    #[test]
    fn a_process_is_read_once_and_outlives_its_end() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/bin/a", &["a"]);
        let mut processes = processes(&fake, 8);
        let first = processes.get(42).unwrap();
        fake.file(42, "cmdline", "other\0");
        assert!(Arc::ptr_eq(&first, &processes.get(42).unwrap()));
        processes.exit(42);
        fake.remove(42);
        assert!(Arc::ptr_eq(&first, &processes.get(42).unwrap()));
        processes.forget(42);
        assert!(processes.get(42).is_none());
    }

    #[test]
    fn a_process_that_is_gone_at_once_is_known_by_its_exec() {
        let fake = FakeProc::new();
        let mut processes = processes(&fake, 8);
        let program = Program {
            parent: 7,
            uid: 0,
            path: "/usr/bin/curl".into(),
            arguments: b"curl\0--silent\0".to_vec(),
            ..Program::default()
        };
        processes.exec(42, &program);
        assert!(!processes.knows(42));
        let info = processes.get(42).unwrap();
        processes.get(42);
        assert!(processes.knows(42), "nobody needs to look again");
        processes.exit(42);
        assert!(Arc::ptr_eq(&info, &processes.get(42).unwrap()));
        assert_eq!(info.executable_path.as_deref(), Some("/usr/bin/curl"));
        assert_eq!(info.command_args, ["curl", "--silent"]);
        assert_eq!((info.parent_pid, info.service_name.as_deref()), (Some(7), Some("curl")));
    }

    #[test]
    fn exec_shows_the_new_program() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/bin/a", &["a"]);
        let mut processes = processes(&fake, 8);
        assert_eq!(name(processes.get(42)).as_deref(), Some("a"));
        fake.process(42, 5, "/bin/b", &["b"]);
        processes.exec(42, &Program::default());
        assert_eq!(name(processes.get(42)).as_deref(), Some("b"));
    }

    #[test]
    fn a_child_looks_like_its_parent() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/usr/bin/python3", &["python3", "app.py"]);
        let mut processes = processes(&fake, 8);
        processes.get(42);
        processes.fork(43, 42);
        let child = processes.get(43).unwrap();
        assert_eq!((child.pid, child.parent_pid, child.service_name.as_deref()), (43, Some(42), Some("app")));
        processes.fork(44, 43);
        assert_eq!(processes.get(44).unwrap().parent_pid, Some(43));
        // While it lives, what is read counts.
        processes.fork(45, 42);
        fake.process(45, 9, "/usr/bin/python3", &["python3", "worker.py"]);
        assert_eq!(name(processes.get(45)).as_deref(), Some("worker"));
        // Nothing is known of the parent.
        processes.fork(46, 99);
        assert!(processes.get(46).is_none());
    }

    #[test]
    fn a_reused_id_is_noticed() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/bin/a", &["a"]);
        let mut processes = processes(&fake, 8);
        processes.get(42);
        fake.process(42, 6, "/bin/b", &["b"]);
        assert_eq!(name(processes.get(42)).as_deref(), Some("b"), "by its start time");
        processes.exit(42);
        processes.fork(42, 1);
        fake.process(42, 7, "/bin/c", &["c"]);
        assert_eq!(name(processes.get(42)).as_deref(), Some("c"), "by the fork");
    }

    #[test]
    fn ended_processes_expire() {
        let fake = FakeProc::new();
        let mut processes =
            Processes::new(fake.root(), Limits { after_exit: Duration::ZERO, ..Limits::default() });
        fake.process(42, 5, "/bin/a", &["a"]);
        processes.get(42);
        processes.exit(42);
        assert!(processes.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let fake = FakeProc::new();
        let mut processes = processes(&fake, 16);
        for pid in 2..200 {
            fake.process(pid, 5, "/bin/a", &["a"]);
            assert!(processes.get(pid).is_some());
            assert!(processes.get(2).is_some(), "used all the time, it stays or is read again");
            assert!(processes.len() <= 16);
            processes.fork(10_000 + pid, 2);
            assert!(processes.len() <= 16);
            processes.exit(pid);
            assert!(processes.exits.len() <= 16);
        }
    }
}
