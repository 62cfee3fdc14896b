//! Which files are probed at the moment, on behalf of which processes.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use thiserror::Error;
use tracing::{debug, info, warn};

use super::{
    Finding, Mechanism, ProbePoint,
    cache::Cache,
    elf,
    examiner::{Done, Examiner},
    identity::{FileId, Identity, Version},
    libraries, maps, programs,
    way::Way,
};
use crate::account::{Account, Counter};

/// Most files whose examination is remembered. A system has some thousands of executable files.
const MAX_FILES: usize = 65_536;

/// Most files that wait to be examined; each is held open.
const MAX_PENDING: usize = 1024;

/// How long probes stay when nobody uses the file any more, and it can go: a program that is called again and again, and
/// makes its call at once, is seen from its first byte.
const LINGER: Duration = Duration::from_secs(60);

/// Most files that nobody uses and that have probes still. Of those that are where the system keeps its programs, these
/// are all that were ever seen to hold TLS code: nobody knows when one is run again.
const MAX_IDLE: usize = if cfg!(test) { 8 } else { 256 };

/// A probe that sits somewhere, to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(pub u64);

/// Why a probe could not be placed.
#[derive(Debug, Error)]
#[error("{symbol} at {offset:#x}: {reason}")]
pub struct AttachError {
    /// Function.
    pub symbol: &'static str,
    /// File offset.
    pub offset: u64,
    /// What the kernel said.
    pub reason: String,
}

/// Places probes.
pub trait Attach {
    /// Places one probe in a file.
    fn attach(&mut self, file: &Path, point: &ProbePoint) -> Result<LinkId, AttachError>;

    /// Takes one away.
    fn detach(&mut self, link: LinkId);
}

/// Somebody who waits for a file to be probed, and goes on when this is dropped.
pub type Waiter = Box<dyn Send>;

/// Who wants a file to be probed.
#[derive(Clone, Copy)]
enum User {
    /// A process that has mapped it.
    Process(u32),
    /// The agent itself: the next process that maps it may live for milliseconds.
    Agent,
    /// A process that may come.
    Somebody,
}

/// On whose behalf a file is probed, or is to be.
#[derive(Clone, Default)]
struct Users {
    path: PathBuf,
    processes: HashSet<u32>,
    /// Kept whoever uses it.
    pinned: bool,
    /// To be probed though nobody uses it yet.
    awaited: bool,
}

impl Users {
    fn add(&mut self, user: User) {
        match user {
            User::Process(pid) => drop(self.processes.insert(pid)),
            User::Agent => self.pinned = true,
            User::Somebody => self.awaited = true,
        }
    }

    fn join(&mut self, others: Self) {
        self.pinned |= others.pinned;
        self.awaited |= others.awaited;
        self.processes.extend(others.processes);
    }

    fn nobody(&self) -> bool {
        self.processes.is_empty() && !self.pinned
    }
}

struct Probed {
    version: Version,
    links: Vec<LinkId>,
    /// Where probes were placed, or could not be.
    places: HashSet<(u64, Mechanism)>,
    users: Users,
    /// Since when nobody uses it.
    idle: Option<Instant>,
    /// Where it is, if it stays there.
    way: Option<Way>,
}

/// Has files examined once, and keeps probes in those that hold TLS code while processes use them.
pub struct Prober {
    proc_root: PathBuf,
    examiner: Examiner,
    /// What each examined file holds; nothing, for the many that hold no TLS code.
    examined: HashMap<Identity, Vec<Arc<Finding>>>,
    /// Files that are being examined.
    pending: HashMap<Identity, Users>,
    /// Who waits for a file to be examined.
    waiting: HashMap<Identity, Vec<Waiter>>,
    /// There were more than may wait.
    crowded: bool,
    probed: HashMap<FileId, Probed>,
    /// Files with TLS code, by process.
    by_process: HashMap<u32, HashSet<FileId>>,
    account: Arc<Account>,
}

impl Prober {
    /// A prober that sees processes through `proc_root` (`/proc`).
    ///
    /// # Errors
    /// There are no threads to be had.
    pub fn new(proc_root: impl Into<PathBuf>, cache: Cache, account: Arc<Account>) -> io::Result<Self> {
        Ok(Self {
            proc_root: proc_root.into(),
            examiner: Examiner::start(cache)?,
            examined: HashMap::new(),
            pending: HashMap::new(),
            waiting: HashMap::new(),
            crowded: false,
            probed: HashMap::new(),
            by_process: HashMap::new(),
            account,
        })
    }

    /// Every process that there is now.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(&self.proc_root) else { return Vec::new() };
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// Wants the TLS libraries of the system itself before any process maps them, so that one that lives for a few
    /// milliseconds is seen too.
    pub fn preattach(&mut self, attach: &mut dyn Attach) {
        for path in libraries::of_system() {
            self.pin(&path, attach);
        }
    }

    /// Wants a program before it is started, and what interprets it if it is a script: however soon it makes a call, it
    /// is seen. `program` is a name that is looked for in `PATH`, or a path.
    pub fn prepare(&mut self, program: &Path, attach: &mut dyn Attach) {
        for path in programs::of_command(program) {
            self.pin(&path, attach);
        }
    }

    fn pin(&mut self, path: &Path, attach: &mut dyn Attach) {
        if let Ok(found) = std::fs::metadata(path) {
            self.want(Identity::new(path, &found), path, User::Agent, attach);
        }
    }

    /// Wants a program that is about to run. `waiter` is dropped as soon as it is probed, or is known to hold nothing that
    /// could be.
    pub fn starting(&mut self, program: &File, waiter: Waiter, attach: &mut dyn Attach) {
        let Ok(identity) = Identity::of(program) else { return };
        self.want(identity, &opened(program), User::Somebody, attach);
        if self.pending.contains_key(&identity) {
            self.waiting.entry(identity).or_default().push(waiter);
        }
    }

    /// Looks at what a process has mapped, and wants what holds TLS code. Called whenever it may have mapped more.
    pub fn scan(&mut self, pid: u32, attach: &mut dyn Attach) {
        // A process that is gone, or of another user namespace, is simply not there to be looked at.
        let Ok(files) = maps::executable_files(&self.proc_root, pid) else { return };
        let mut held = HashSet::new();
        let mut mapped = HashSet::new();
        for file in files {
            let (path, identity) = match file.reach(&self.proc_root, pid) {
                Ok(reached) => reached,
                Err(error) => {
                    debug!(pid, path = %file.path.display(), %error, "mapped file can't be reached");
                    continue;
                }
            };
            mapped.insert(identity);
            if self.want(identity, &path, User::Process(pid), attach) {
                held.insert(identity.file);
            }
        }
        for (identity, users) in &mut self.pending {
            if !mapped.contains(identity) {
                users.processes.remove(&pid);
            }
        }
        let before = self.by_process.remove(&pid).unwrap_or_default();
        for id in before.difference(&held) {
            self.release(*id, pid, attach);
        }
        if !held.is_empty() {
            self.by_process.insert(pid, held);
        }
    }

    /// A process was forked: it has mapped what its parent has.
    pub fn forked(&mut self, pid: u32, parent: u32) {
        for users in self.pending.values_mut().filter(|users| users.processes.contains(&parent)) {
            users.processes.insert(pid);
        }
        let Some(files) = self.by_process.get(&parent).cloned() else { return };
        for id in &files {
            if let Some(probed) = self.probed.get_mut(id) {
                probed.users.processes.insert(pid);
                probed.idle = None;
            }
        }
        // It may have been looked at before this was told.
        self.by_process.entry(pid).or_default().extend(files);
    }

    /// These are all the processes that there are: what is known of others is no longer true, though their end was not
    /// told.
    pub fn gone(&mut self, processes: &[u32], attach: &mut dyn Attach) {
        let there: HashSet<u32> = processes.iter().copied().collect();
        let gone: Vec<u32> = self.by_process.keys().copied().filter(|pid| !there.contains(pid)).collect();
        for pid in gone {
            self.exited(pid, attach);
        }
    }

    /// The process has ended.
    pub fn exited(&mut self, pid: u32, attach: &mut dyn Attach) {
        for users in self.pending.values_mut() {
            users.processes.remove(&pid);
        }
        for id in self.by_process.remove(&pid).unwrap_or_default() {
            self.release(id, pid, attach);
        }
    }

    /// How many files are being examined.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether more files were found than may wait at once, since this was last asked: another look finds the rest.
    pub fn take_crowded(&mut self) -> bool {
        self.pending.len() < MAX_PENDING / 2 && std::mem::take(&mut self.crowded)
    }

    /// The next file that has been examined, for [`Self::examined`]; waits until there is one.
    pub async fn next(&mut self) -> Done {
        self.examiner.next().await
    }

    /// Probes a file that has been examined, and all that are ready with it.
    pub fn examined(&mut self, done: Done, attach: &mut dyn Attach) {
        let mut next = Some(done);
        while let Some(done) = next {
            self.take(done, attach);
            next = self.examiner.try_next();
        }
    }

    fn take(&mut self, done: Done, attach: &mut dyn Attach) {
        let Done { identity, file, examined, whole } = done;
        if !whole {
            if let (Some(users), Some(examined)) = (self.pending.get(&identity).cloned(), examined) {
                self.place(identity, &file, &examined.findings, users, false, attach);
            }
            return;
        }
        // They go on when all is done.
        let _waiters = self.waiting.remove(&identity);
        let Some(users) = self.pending.remove(&identity) else { return };
        // Written to meanwhile: the next look finds what it is by then.
        let Some(examined) = examined else { return };
        for refusal in &examined.refusals {
            self.refuse(&users.path, refusal.stack, &refusal.reason);
        }
        if self.examined.len() >= MAX_FILES {
            self.examined.clear();
        }
        self.examined.insert(identity, examined.findings.clone());
        self.place(identity, &file, &examined.findings, users, true, attach);
    }

    /// Wants a file to be probed. True if it is by now, on behalf of the user too.
    fn want(&mut self, identity: Identity, path: &Path, user: User, attach: &mut dyn Attach) -> bool {
        let mut users = Users { path: path.to_owned(), ..Users::default() };
        if let Some(probed) = self.probed.get_mut(&identity.file) {
            if probed.version == identity.version {
                probed.users.add(user);
                probed.idle = probed.users.nobody().then(Instant::now);
                return true;
            }
            // It was written to in its place: the probes sit where nobody knows what is by now.
            users = self.unplace(identity.file, attach).unwrap_or_default();
        }
        users.add(user);
        if let Some(waiting) = self.pending.get_mut(&identity) {
            waiting.join(users);
            return false;
        }
        let known = self.examined.get(&identity).cloned();
        if known.as_ref().is_some_and(Vec::is_empty) {
            return false;
        }
        // The way to the file leads through a process, which may end at any moment. The open file does not; and by now
        // the way may lead to another file.
        let Ok(file) = elf::open(path) else { return false };
        if Identity::of(&file).ok() != Some(identity) {
            return false;
        }
        if let Some(findings) = known {
            return self.place(identity, &file, &findings, users, true, attach);
        }
        if self.pending.len() >= MAX_PENDING {
            self.crowded = true;
            return false;
        }
        self.pending.insert(identity, users);
        self.examiner.ask(identity, file);
        false
    }

    /// Places the probes that are not in place yet; `whole` if no more will be found. True if some are by then.
    fn place(
        &mut self,
        identity: Identity,
        file: &File,
        findings: &[Arc<Finding>],
        users: Users,
        whole: bool,
        attach: &mut dyn Attach,
    ) -> bool {
        let begun = self.probed.remove(&identity.file);
        if begun.is_none() && (findings.is_empty() || users.nobody() && !users.awaited) {
            return false;
        }
        let mut probed = begun.unwrap_or_else(|| Probed {
            version: identity.version,
            links: Vec::new(),
            places: HashSet::new(),
            users: Users::default(),
            idle: None,
            way: Way::to(file, &identity, &self.proc_root),
        });
        let (before, path) = (probed.links.len(), &users.path);
        let opened = opened(file);
        let mut failures = Vec::new();
        for finding in findings {
            let mut here = 0;
            for point in &finding.points {
                if !probed.places.insert((point.offset, point.mechanism)) {
                    continue;
                }
                match attach.attach(&opened, point) {
                    Ok(link) => probed.links.push(link),
                    Err(error) => failures.push(error.to_string()),
                }
                here += 1;
            }
            if here > 0 {
                let (stack, evidence) = (finding.stack, &finding.evidence);
                info!(file = %path.display(), stack, %evidence, probes = here, "probed");
            }
        }
        if probed.links.is_empty() {
            if !whole {
                return false;
            }
            let stacks: Vec<_> = findings.iter().map(|finding| finding.stack).collect();
            let reason = format!("no probe could be placed: {}", failures.join("; "));
            self.refuse(path, &stacks.join(", "), &reason);
            self.examined.insert(identity, Vec::new());
            return false;
        }
        for failure in failures {
            warn!(file = %path.display(), "a probe could not be placed: {failure}");
        }
        if before == 0 {
            self.account.add(Counter::FilesProbed, 1);
        }
        for pid in &users.processes {
            self.by_process.entry(*pid).or_default().insert(identity.file);
        }
        probed.users.join(users);
        probed.idle = probed.users.nobody().then(Instant::now);
        self.probed.insert(identity.file, probed);
        self.bound_idle(attach);
        true
    }

    fn refuse(&self, path: &Path, stack: &str, reason: &str) {
        warn!(file = %path.display(), stack, reason, "holds TLS code that can't be probed");
        self.account.add(Counter::FilesRefused, 1);
    }

    fn release(&mut self, id: FileId, pid: u32, attach: &mut dyn Attach) {
        let Some(probed) = self.probed.get_mut(&id) else { return };
        probed.users.processes.remove(&pid);
        if !probed.users.nobody() {
            return;
        }
        probed.idle = Some(Instant::now());
        self.bound_idle(attach);
    }

    fn bound_idle(&mut self, attach: &mut dyn Attach) {
        let idle = || self.probed.iter().filter_map(|(id, probed)| Some((probed.idle?, *id)));
        if idle().count() > MAX_IDLE
            && let Some((_, oldest)) = idle().min()
        {
            self.unplace(oldest, attach);
        }
    }

    /// Takes the probes out of files that nobody has used for a while, but for those that are still where the system keeps
    /// its programs.
    pub fn tidy(&mut self, now: Instant, attach: &mut dyn Attach) {
        let proc_root = &self.proc_root;
        let (mut gone, mut replaced) = (Vec::new(), false);
        for (id, probed) in &mut self.probed {
            let identity = Identity { file: *id, version: probed.version };
            let stays =
                |probed: &Probed| probed.way.as_ref().is_some_and(|way| way.leads_to(&identity, proc_root));
            if probed.users.pinned && probed.way.is_some() && !stays(probed) {
                (probed.users.pinned, replaced) = (false, true);
                probed.idle = probed.users.nobody().then_some(now);
            }
            if probed.idle.is_some_and(|since| now.duration_since(since) >= LINGER) && !stays(probed) {
                gone.push(*id);
            }
        }
        for id in gone {
            self.unplace(id, attach);
        }
        if replaced {
            self.preattach(attach);
        }
    }

    fn unplace(&mut self, id: FileId, attach: &mut dyn Attach) -> Option<Users> {
        let probed = self.probed.remove(&id)?;
        for link in probed.links {
            attach.detach(link);
        }
        Some(probed.users)
    }
}

/// A path by which an open file is opened again.
fn opened(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests;
