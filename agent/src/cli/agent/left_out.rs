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
