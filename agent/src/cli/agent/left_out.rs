//! Which processes are left out, as far as there was reason to ask.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use tracing::debug;

use crate::{
    account::{Account, Counter, Rule},
    capture::{Program, cgroup_hierarchy},
    policy::ignore::{self, Reason},
    resource::{Candidate, Cgroups},
};

/// What is known of one process.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its environment asks for it.
    asks: bool,
    reason: Option<Reason>,
    /// It was asked about when its first bytes came: by then a program has the user and the cgroup that it works under.
    settled: bool,
}

/// The rules, and what came of them. Knows of a process until its end.
#[derive(Debug)]
pub(super) struct LeftOut {
    proc_root: PathBuf,
    rules: Vec<ignore::Rule>,
    known: HashMap<u32, Known>,
    cgroups: Cgroups,
    account: Arc<Account>,
}

impl LeftOut {
    /// Only those are left out that ask for it.
    pub(super) fn new(proc_root: PathBuf, account: Arc<Account>) -> Self {
        let cgroups = Cgroups::new(cgroup_hierarchy());
        Self { proc_root, rules: Vec::new(), known: HashMap::new(), cgroups, account }
    }

    /// From now on these rules hold.
    pub(super) fn set_rules(&mut self, rules: Vec<ignore::Rule>) {
        self.rules = rules;
    }

    /// Asks about every process again, and tells of which the answer is another one: whether it is left out now.
    pub(super) fn again(&mut self) -> Vec<(u32, bool)> {
        let known: Vec<(u32, Known)> = self.known.iter().map(|(pid, known)| (*pid, known.clone())).collect();
        let changed = known.into_iter().filter_map(|(pid, before)| {
            let now = self.ask(pid, None, before.asks, true);
            (now != before.reason.is_some()).then_some((pid, now))
        });
        changed.collect()
    }

    /// A process has begun a program, of which the kernel says whether it asks to be left out. Tells whether it is, and whether it was.
    pub(super) fn exec(&mut self, pid: u32, program: &Program, asks: bool) -> (bool, bool) {
        let was = self.is(pid);
        (self.ask(pid, Some(program), asks, self.rules.is_empty()), was)
    }

    /// A process was forked: it is what its parent is. Tells whether it is left out.
    pub(super) fn fork(&mut self, pid: u32, parent: u32) -> bool {
        // Whoever had the id before is gone.
        self.known.remove(&pid);
        let Some(parent) = self.known.get(&parent) else { return false };
        let known = Known { settled: self.rules.is_empty(), ..parent.clone() };
        self.count(pid, &known);
        let left_out = known.reason.is_some();
        self.known.insert(pid, known);
        left_out
    }

    /// A process has ended.
    pub(super) fn exit(&mut self, pid: u32) {
        self.known.remove(&pid);
    }

    /// These are all the processes that there are.
    pub(super) fn keep(&mut self, there: &[u32]) {
        let there: HashSet<u32> = there.iter().copied().collect();
        self.known.retain(|pid, _| there.contains(pid));
    }

    /// Is it left out, as far as is known?
    pub(super) fn is(&self, pid: u32) -> bool {
        self.known.get(&pid).is_some_and(|known| known.reason.is_some())
    }

    /// A process was found, as one that was there before the agent. Is it left out? Nothing is made up for one that is gone: there
    /// is nothing to be looked at, and what the kernel saw of it may yet come.
    pub(super) fn found(&mut self, pid: u32) -> bool {
        if !self.known.contains_key(&pid) && !Candidate::new(&self.proc_root, pid).is_gone() {
            self.ask_first(pid);
        }
        self.is(pid)
    }

    /// Bytes of a process have come. Is it left out?
    pub(super) fn moved(&mut self, pid: u32) -> bool {
        match self.known.get(&pid) {
            Some(known) if known.settled || known.reason.is_some() => known.reason.is_some(),
            Some(known) => {
                let asks = known.asks;
                let reason = ignore::reason(&self.rules, &Candidate::new(&self.proc_root, pid), asks);
                // Nothing more will be learnt of one that is gone by now.
                let reason = reason.filter(|reason| !matches!(reason, Reason::Unknown { .. }));
                self.learn(pid, Known { asks, reason, settled: true })
            }
            None => self.ask_first(pid),
        }
    }

    fn ask_first(&mut self, pid: u32) -> bool {
        let asks = Candidate::new(&self.proc_root, pid).asks_to_be_left_out();
        self.ask(pid, None, asks, self.rules.is_empty())
    }

    fn ask(&mut self, pid: u32, program: Option<&Program>, asks: bool, settled: bool) -> bool {
        let mut process = Candidate::new(&self.proc_root, pid);
        if let Some(program) = program {
            // It may be gone at any moment.
            let wanted = self.rules.iter().any(ignore::Rule::is_of_cgroup);
            let cgroup = if wanted { self.cgroups.path(program.cgroup) } else { None };
            process = process.seen(program, cgroup);
        }
        let reason = ignore::reason(&self.rules, &process, asks);
        self.learn(pid, Known { asks, reason, settled })
    }

    /// Keeps what is known by now. Is the process left out?
    fn learn(&mut self, pid: u32, known: Known) -> bool {
        let left_out = known.reason.is_some();
        if left_out && !self.is(pid) {
            self.count(pid, &known);
        }
        self.known.insert(pid, known);
        left_out
    }

    /// Each process is counted once.
    fn count(&self, pid: u32, known: &Known) {
        if let Some(reason) = &known.reason {
            debug!(pid, %reason, "the process is left out");
            let rule = Rule { kind: "", about: reason.kind() };
            self.account.add_to_rule(Counter::ProcessesLeftOut, rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::*;

    fn process(root: &Path, pid: u32, uid: u32, environ: &str) {
        let dir = root.join(pid.to_string());
        fs::create_dir_all(&dir).unwrap();
        let _ = symlink("/usr/bin/app", dir.join("exe"));
        fs::write(dir.join("status"), format!("Name:\tapp\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")).unwrap();
        fs::write(dir.join("cgroup"), "0::/a.slice\n").unwrap();
        fs::write(dir.join("environ"), environ).unwrap();
    }

    fn left_out(root: &Path, rules: &[&str]) -> LeftOut {
        let mut left_out = LeftOut::new(root.to_owned(), Arc::default());
        left_out.set_rules(rules.iter().map(|rule| rule.parse().unwrap()).collect());
        left_out
    }

    fn counted(left_out: &LeftOut) -> u64 {
        left_out.account.get(Counter::ProcessesLeftOut)
    }

    #[test]
    fn what_is_forked_is_as_its_parent_until_it_begins_a_program() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 5, 0, "PLAINSPAN_IGNORE=1\0");
        let mut left_out = left_out(root.path(), &[]);
        assert!(left_out.found(5) && left_out.fork(6, 5) && left_out.fork(7, 6) && !left_out.fork(8, 1));
        assert_eq!(left_out.exec(6, &Program::default(), false), (false, true));
        assert_eq!(left_out.exec(7, &Program::default(), true), (true, true));
        assert!(left_out.moved(7) && !left_out.moved(6) && !left_out.moved(8));
        assert_eq!(counted(&left_out), 3, "each once");
        left_out.keep(&[6]);
        assert!(!left_out.is(5) && !left_out.is(7));
    }

    #[test]
    fn a_program_may_change_its_user_before_its_first_bytes() {
        let root = tempfile::tempdir().unwrap();
        let mut left_out = left_out(root.path(), &["uid=33"]);
        for (pid, uid, wanted) in [(5, 33, true), (6, 34, false)] {
            process(root.path(), pid, 0, "");
            assert_eq!(left_out.exec(pid, &Program::default(), false), (false, false));
            process(root.path(), pid, uid, "");
            assert_eq!(left_out.moved(pid), wanted);
            process(root.path(), pid, 33, "");
            assert_eq!(left_out.moved(pid), wanted, "it is asked about once");
        }
    }

    #[test]
    fn what_was_learnt_of_one_that_is_gone_counts() {
        let root = tempfile::tempdir().unwrap();
        let mut left_out = left_out(root.path(), &["uid=33", "label=app"]);
        process(root.path(), 5, 0, "");
        assert_eq!(left_out.exec(5, &Program::default(), false), (false, false));
        fs::remove_dir_all(root.path().join("5")).unwrap();
        assert!(!left_out.moved(5));
        assert_eq!(left_out.exec(6, &Program::default(), false), (true, false), "its labels are not known");
        assert!(!left_out.found(7), "there is nothing to be looked at");
    }

    #[test]
    fn other_rules_change_what_is_known() {
        let root = tempfile::tempdir().unwrap();
        let mut left_out = left_out(root.path(), &["uid=33"]);
        process(root.path(), 5, 33, "");
        process(root.path(), 6, 34, "");
        process(root.path(), 7, 33, "PLAINSPAN_IGNORE=1\0");
        assert_eq!([5, 6, 7].map(|pid| left_out.found(pid)), [true, false, true]);
        left_out.set_rules(vec!["uid=34".parse().unwrap()]);
        let mut changed = left_out.again();
        changed.sort_unstable();
        assert_eq!(changed, [(5, false), (6, true)]);
    }
}
