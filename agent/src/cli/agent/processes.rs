//! The processes that there are: which of them are looked at, and when.

use std::{collections::HashSet, time::Instant};

use super::{super::targets, Agent};
use crate::capture::{self, Changed, Record, Start};

impl Agent {
    /// Watches those that descend from watched processes already. Whose parent is watched is watched from its fork
    /// on; so this is done once nobody new is found.
    pub(super) fn watch_descendants(&mut self) {
        loop {
            let children = targets::children(&self.prober.processes());
            let mut ancestors = self.targets.pids.clone();
            let mut known: HashSet<u32> = ancestors.iter().copied().collect();
            let mut found = false;
            while let Some(parent) = ancestors.pop() {
                for child in children.get(&parent).into_iter().flatten() {
                    if known.insert(*child) {
                        ancestors.push(*child);
                        found |= !self.kernel.watches(*child);
                        self.kernel.watch(*child);
                    }
                }
            }
            if !found {
                return;
            }
        }
    }

    /// Looks at every process.
    pub(super) fn sweep(&mut self) {
        let own = std::process::id();
        let processes = self.prober.processes();
        self.prober.gone(&processes, &mut self.kernel);
        self.left_out.keep(&processes);
        self.prober.tidy(Instant::now(), &mut self.kernel);
        for pid in processes {
            if pid == own {
                continue;
            }
            if self.targets.by_executable() && self.targets.matches_executable(pid) {
                self.kernel.watch(pid);
            }
            self.look_at(pid);
        }
    }

    pub(super) fn look_at(&mut self, pid: u32) {
        if self.targets.scope() == capture::Scope::Targets && !self.kernel.watches(pid) {
            return;
        }
        if self.left_out.found(pid) {
            self.kernel.leave_out(pid, true);
            self.prober.exited(pid, &mut self.kernel);
        } else {
            self.prober.scan(pid, &mut self.kernel);
        }
    }

    /// Is the record of a process that is left out? The kernel tells nothing more of it from the first one on.
    pub(super) fn is_left_out(&mut self, record: &Record) -> bool {
        let Record::Data(data) = record else { return false };
        let pid = data.process.pid;
        let left_out = self.left_out.moved(pid);
        if left_out {
            self.kernel.leave_out(pid, true);
            self.prober.exited(pid, &mut self.kernel);
        }
        left_out
    }

    /// Asks about every process again, under other rules. Calls of those that are left out from now on are dropped.
    pub(super) fn leave_out_again(&mut self) {
        for (pid, left_out) in self.left_out.again() {
            self.kernel.leave_out(pid, left_out);
            if left_out {
                self.pipeline.leave_out(pid);
                self.prober.exited(pid, &mut self.kernel);
            }
        }
        self.sweep();
    }

    /// What the beginning and the end of processes mean for the probes.
    pub(super) fn process(&mut self, record: &Record, remaining: &mut Vec<u32>) {
        match *record {
            Record::Exec { pid, watched, left_out, ref program, .. } => {
                let mut watched = watched;
                if self.targets.by_executable() && !self.targets.pids.contains(&pid) {
                    watched = self.targets.matches_executable(pid);
                    if watched {
                        self.kernel.watch(pid);
                    } else {
                        self.kernel.unwatch(pid);
                    }
                }
                if !watched {
                    return self.left_out.exit(pid);
                }
                let (left_out, was) = self.left_out.exec(pid, program, left_out);
                if left_out || was {
                    self.kernel.leave_out(pid, left_out);
                }
                if !left_out {
                    self.scans.exec(pid, Instant::now());
                }
            }
            Record::Fork { pid, parent, watched, .. } => {
                if watched {
                    if self.left_out.fork(pid, parent) {
                        self.kernel.leave_out(pid, true);
                    } else {
                        self.prober.forked(pid, parent);
                    }
                    if self.targets.is_command() {
                        self.descendants.insert(pid);
                    }
                }
            }
            Record::Exit { pid, .. } => {
                self.prober.exited(pid, &mut self.kernel);
                self.left_out.exit(pid);
                self.descendants.remove(&pid);
                remaining.retain(|p| *p != pid);
            }
            Record::Data(_) | Record::Close(_) => {}
        }
    }

    /// Processes have mapped files for execution.
    pub(super) fn mapped(&mut self, changed: Changed) {
        if changed.lost {
            self.sweep();
            return;
        }
        let own = std::process::id();
        for pid in changed.processes.into_iter().filter(|pid| *pid != own) {
            self.look_at(pid);
        }
    }

    /// A program is about to start.
    pub(super) fn starting(&mut self, start: Start) {
        let chosen = self.targets.by_executable() && self.targets.matches_file(&start.file);
        if chosen || self.targets.scope() != capture::Scope::Targets || self.kernel.watches(start.pid) {
            let Start { file, held, .. } = start;
            self.prober.starting(&file, Box::new(held), &mut self.kernel);
        }
    }
}
