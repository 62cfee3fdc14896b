//! Which files are probed at the moment, on behalf of which processes.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tracing::{debug, info, warn};

use super::{
    Architecture, Elf, Finding, ProbePoint, elf,
    locate::LOCATORS,
    maps::{self, FileId},
    programs,
};
use crate::account::{Account, Counter};

/// Most files whose examination is remembered. A system has some thousands of executable files.
const MAX_FILES: usize = 65_536;

/// Most reports that wait to be taken, for nobody may ever ask.
const MAX_REPORTS: usize = 1024;

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

/// What came of a file, for a person.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Path by which it was reached first.
    pub path: PathBuf,
    /// What was found, or why it can't be probed.
    pub outcome: Result<Arc<Finding>, String>,
}

#[derive(Default)]
struct Probed {
    links: Vec<LinkId>,
    users: HashSet<u32>,
    /// Kept whoever uses it: a well-known library that the next short-lived process will map.
    pinned: bool,
}

/// Examines files once, and keeps probes in those that hold TLS code while processes use them.
pub struct Prober {
    proc_root: PathBuf,
    /// What each examined file holds; nothing, for the many that hold no TLS code.
    examined: HashMap<(FileId, Version), Vec<Arc<Finding>>>,
    probed: HashMap<FileId, Probed>,
    /// Files with TLS code, by process.
    by_process: HashMap<u32, HashSet<FileId>>,
    account: Arc<Account>,
    reports: Vec<FileReport>,
}

impl Prober {
    /// A prober that sees processes through `proc_root` (`/proc`).
    pub fn new(proc_root: impl Into<PathBuf>, account: Arc<Account>) -> Self {
        Self {
            proc_root: proc_root.into(),
            examined: HashMap::new(),
            probed: HashMap::new(),
            by_process: HashMap::new(),
            account,
            reports: Vec::new(),
        }
    }

    /// Every process that there is now.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(entries) = std::fs::read_dir(&self.proc_root) else { return Vec::new() };
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// Probes the TLS libraries of the system itself before any process maps them, so that one that lives
    /// for a few milliseconds is seen too.
    pub fn preattach(&mut self, attach: &mut dyn Attach) {
        for path in system_libraries() {
            let Ok(found) = std::fs::metadata(&path) else { continue };
            self.pin(FileId::new(&path, &found), &path, attach);
        }
    }

    /// Probes a program before it is started, and what interprets it if it is a script: however soon it makes a call, it
    /// is seen. `program` is a name that is looked for in `PATH`, or a path.
    pub fn prepare(&mut self, program: &Path, attach: &mut dyn Attach) {
        for path in programs::of_command(program) {
            let Ok(found) = std::fs::metadata(&path) else { continue };
            self.pin(FileId::new(&path, &found), &path, attach);
        }
    }

    fn pin(&mut self, id: FileId, path: &Path, attach: &mut dyn Attach) {
        if self.probe(id, path, attach)
            && let Some(probed) = self.probed.get_mut(&id)
        {
            probed.pinned = true;
        }
    }

    /// Looks at what a process has mapped, and probes what holds TLS code. Called at exec, and again some
    /// moments later, for libraries are mapped after it.
    pub fn scan(&mut self, pid: u32, attach: &mut dyn Attach) {
        // A process that is gone, or of another user namespace, is simply not there to be looked at.
        let Ok(files) = maps::executable_files(&self.proc_root, pid) else { return };
        let mut held = HashSet::new();
        for file in files {
            let (path, id) = match file.reach(&self.proc_root, pid) {
                Ok(reached) => reached,
                Err(error) => {
                    debug!(pid, path = %file.path.display(), %error, "mapped file can't be reached");
                    continue;
                }
            };
            if self.probe(id, &path, attach) {
                held.insert(id);
                if let Some(probed) = self.probed.get_mut(&id) {
                    probed.users.insert(pid);
                }
            }
        }
        let before = self.by_process.insert(pid, held.clone()).unwrap_or_default();
        for id in before.difference(&held) {
            self.release(*id, pid, attach);
        }
    }

    /// A process was forked: it has mapped what its parent has.
    pub fn forked(&mut self, pid: u32, parent: u32) {
        let Some(files) = self.by_process.get(&parent).cloned() else { return };
        for id in &files {
            if let Some(probed) = self.probed.get_mut(id) {
                probed.users.insert(pid);
            }
        }
        self.by_process.insert(pid, files);
    }

    /// The process has ended.
    pub fn exited(&mut self, pid: u32, attach: &mut dyn Attach) {
        for id in self.by_process.remove(&pid).unwrap_or_default() {
            self.release(id, pid, attach);
        }
    }

    /// Does the process hold TLS code that is probed?
    pub fn covers(&self, pid: u32) -> bool {
        self.by_process.get(&pid).is_some_and(|files| !files.is_empty())
    }

    /// What came of files since the last time this was asked, once per file.
    pub fn take_reports(&mut self) -> Vec<FileReport> {
        std::mem::take(&mut self.reports)
    }

    /// Examines a file if it is new, and attaches to it. True if probes are in place.
    fn probe(&mut self, id: FileId, path: &Path, attach: &mut dyn Attach) -> bool {
        if self.probed.contains_key(&id) {
            return true;
        }
        // The way to the file leads through a process, which may end at any moment. The open file does not.
        let Ok(file) = elf::open(path) else { return false };
        let key = (id, version(&file));
        let findings = if let Some(known) = self.examined.get(&key) {
            known.clone()
        } else {
            if self.examined.len() >= MAX_FILES {
                self.examined.clear();
            }
            let findings = self.examine(path, &file);
            self.examined.insert(key, findings.clone());
            findings
        };
        if findings.is_empty() {
            return false;
        }
        let opened = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let mut links = Vec::new();
        let mut failures = Vec::new();
        for point in findings.iter().flat_map(|finding| &finding.points) {
            match attach.attach(&opened, point) {
                Ok(link) => links.push(link),
                Err(error) => failures.push(error.to_string()),
            }
        }
        if links.is_empty() {
            self.refuse(path, format!("no probe could be placed: {}", failures.join("; ")));
            self.examined.insert(key, Vec::new());
            return false;
        }
        for failure in failures {
            warn!(file = %path.display(), "a probe could not be placed: {failure}");
        }
        self.account.add(Counter::FilesProbed, 1);
        for finding in findings {
            info!(
                file = %path.display(), stack = finding.stack, evidence = %finding.evidence,
                probes = finding.points.len(), "probed"
            );
            self.report(path, Ok(finding));
        }
        self.probed.insert(id, Probed { links, ..Probed::default() });
        true
    }

    /// Everything that a file holds: a program may carry several TLS implementations. What one locator can't tell of
    /// hides nothing of the others.
    fn examine(&mut self, path: &Path, file: &File) -> Vec<Arc<Finding>> {
        let found = Elf::view(file, |elf| {
            if Some(elf.architecture()) != Architecture::native() {
                return Vec::new();
            }
            LOCATORS.iter().filter_map(|locator| locator.locate(elf).transpose()).collect()
        });
        match found {
            Ok(found) => {
                let (findings, reasons): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
                for reason in reasons.into_iter().filter_map(Result::err) {
                    self.refuse(path, reason);
                }
                distinct(findings.into_iter().flatten().collect()).into_iter().map(Arc::new).collect()
            }
            // Text files, data and programs for other machines are mapped executable now and then.
            Err(error) => {
                debug!(file = %path.display(), %error, "not examined");
                Vec::new()
            }
        }
    }

    fn refuse(&mut self, path: &Path, reason: String) {
        warn!(file = %path.display(), %reason, "holds TLS code that can't be probed");
        self.account.add(Counter::FilesRefused, 1);
        self.report(path, Err(reason));
    }

    fn report(&mut self, path: &Path, outcome: Result<Arc<Finding>, String>) {
        if self.reports.len() < MAX_REPORTS {
            self.reports.push(FileReport { path: path.to_owned(), outcome });
        }
    }

    fn release(&mut self, id: FileId, pid: u32, attach: &mut dyn Attach) {
        let Some(probed) = self.probed.get_mut(&id) else { return };
        probed.users.remove(&pid);
        if probed.users.is_empty() && !probed.pinned {
            for link in std::mem::take(&mut probed.links) {
                attach.detach(link);
            }
            self.probed.remove(&id);
        }
    }
}

/// Tells a file from another one that has got its inode number since, and from itself before it was written to:
/// what was found in one must never be used for the other.
type Version = (u64, i64, i64, i64, i64);

fn version(file: &File) -> Version {
    use std::os::unix::fs::MetadataExt;
    file.metadata().map_or_else(
        |_| Version::default(),
        |m| (m.size(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec()),
    )
}

/// TLS libraries in the directories in which the dynamic linker looks by default, and one level below them
/// (Debian's multiarch directories).
fn system_libraries() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"] {
        let Ok(entries) = std::fs::read_dir(top) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if is_tls_library(&path) {
                found.push(path);
            } else if path.extension().is_none() && entry.file_name().as_encoded_bytes().contains(&b'-') {
                let below = std::fs::read_dir(&path).into_iter().flatten().flatten();
                found.extend(below.map(|e| e.path()).filter(|p| is_tls_library(p)));
            }
        }
    }
    found
}

fn is_tls_library(path: &Path) -> bool {
    const NAMES: [&[u8]; 2] = [b"libssl.so", b"libgnutls.so"];
    path.file_name().is_some_and(|n| NAMES.iter().any(|name| n.as_encoded_bytes().starts_with(name)))
}

/// Without the points that an earlier finding has at the same place, or bytes would be reported twice.
fn distinct(findings: Vec<Finding>) -> Vec<Finding> {
    let mut taken = HashSet::new();
    findings
        .into_iter()
        .filter_map(|mut finding| {
            finding.points.retain(|point| taken.insert((point.offset, point.mechanism)));
            (!finding.points.is_empty()).then_some(finding)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts instead of probing.
    #[derive(Default)]
    struct Fake {
        next: u64,
        live: HashSet<LinkId>,
        fail: bool,
        /// The file's way is gone once the first probe is placed.
        vanishing: Option<PathBuf>,
    }

    impl Attach for Fake {
        fn attach(&mut self, path: &Path, point: &ProbePoint) -> Result<LinkId, AttachError> {
            assert!(path.exists(), "a probe is placed in a file that is there");
            if let Some(way) = self.vanishing.take() {
                std::fs::remove_file(way).unwrap();
            }
            if self.fail {
                let (symbol, offset) = (point.symbol, point.offset);
                return Err(AttachError { symbol, offset, reason: "no".into() });
            }
            self.next += 1;
            self.live.insert(LinkId(self.next));
            Ok(LinkId(self.next))
        }

        fn detach(&mut self, link: LinkId) {
            assert!(self.live.remove(&link), "detached twice");
        }
    }

    /// A `/proc` in which each of `pids` maps the system's libssl.
    fn system_libssl() -> PathBuf {
        let is_it = |p: &PathBuf| p.is_file() && p.to_string_lossy().contains("libssl");
        system_libraries().into_iter().find(is_it).expect("a system libssl")
    }

    fn proc_with(name: &str, pids: &[u32]) -> PathBuf {
        use std::os::unix::fs::MetadataExt;
        let root = std::env::temp_dir().join(format!("plainspan-proc-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        let library = system_libssl();
        let library = std::fs::canonicalize(library).unwrap();
        let inode = std::fs::metadata(&library).unwrap().ino();
        for pid in pids {
            let process = root.join(pid.to_string());
            std::fs::create_dir_all(&process).unwrap();
            std::os::unix::fs::symlink("/", process.join("root")).unwrap();
            std::fs::write(
                process.join("maps"),
                format!("1000-2000 r-xp 00000000 fe:00 {inode} {}\n", library.display()),
            )
            .unwrap();
        }
        root
    }

    #[test]
    fn attached_once_per_file_and_gone_with_the_last_process() {
        let root = proc_with("once", &[10, 11]);
        let mut fake = Fake::default();
        let mut prober = Prober::new(&root, Arc::default());
        prober.scan(10, &mut fake);
        let once = fake.live.len();
        assert!(once > 4 && prober.covers(10));
        prober.scan(11, &mut fake);
        prober.scan(11, &mut fake);
        assert_eq!(fake.live.len(), once);
        prober.exited(10, &mut fake);
        assert_eq!(fake.live.len(), once);
        // The other one replaced its program.
        std::fs::write(root.join("11/maps"), "").unwrap();
        prober.scan(11, &mut fake);
        assert_eq!(fake.live.len(), 0);
        // And the file is probed again for the next process.
        prober.scan(10, &mut fake);
        assert_eq!(fake.live.len(), once);
        assert_eq!(prober.take_reports().len(), 2);
        std::fs::remove_dir_all(root).unwrap();
    }

    /// The inode number goes to a new file, or the file is written to: what was found there before is no longer true.
    #[test]
    fn a_file_in_the_place_of_another_is_examined_again() {
        let mut prober = Prober::new("/proc", Arc::default());
        let library = system_libssl();
        let path = std::env::temp_dir().join(format!("plainspan-replaced-{}.so", std::process::id()));
        std::fs::write(&path, "no program").unwrap();
        let id = FileId { device: 1, inode: 1 };
        let mut fake = Fake::default();
        assert!(!prober.probe(id, &path, &mut fake));
        std::fs::copy(library, &path).unwrap();
        assert!(prober.probe(id, &path, &mut fake));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_way_that_goes_takes_nothing_away() {
        let account = Arc::new(Account::default());
        let mut prober = Prober::new("/proc", Arc::clone(&account));
        let library = system_libssl();
        let library = std::fs::canonicalize(library).unwrap();
        let way = std::env::temp_dir().join(format!("plainspan-way-{}.so", std::process::id()));
        let _ = std::fs::remove_file(&way);
        std::os::unix::fs::symlink(&library, &way).unwrap();
        let id = FileId { device: 1, inode: 2 };
        let mut fake = Fake { vanishing: Some(way.clone()), ..Fake::default() };
        assert!(prober.probe(id, &way, &mut fake));
        assert!(fake.live.len() > 4 && account.get(Counter::FilesRefused) == 0);
        let other = FileId { device: 1, inode: 3 };
        assert!(!prober.probe(other, &way, &mut fake), "it is not there");
        assert!(prober.probe(other, &library, &mut fake), "by way of another process");
    }

    #[test]
    fn reports_that_nobody_takes_are_bounded() {
        let mut prober = Prober::new("/proc", Arc::default());
        for _ in 0..2 * MAX_REPORTS {
            prober.report(Path::new("/x"), Err(String::new()));
        }
        assert_eq!(prober.take_reports().len(), MAX_REPORTS);
    }

    #[test]
    fn no_place_is_probed_for_two_findings() {
        let finding = |stack, offsets: &[u64]| Finding {
            stack,
            evidence: String::new(),
            points: offsets
                .iter()
                .map(|offset| ProbePoint {
                    symbol: "f",
                    offset: *offset,
                    mechanism: crate::probe::Mechanism::Uprobe,
                    point: agent_common::Point::default(),
                })
                .collect(),
        };
        let left = distinct(vec![finding("a", &[1, 2]), finding("b", &[2]), finding("c", &[2, 3])]);
        let left: Vec<_> = left.iter().map(|f| (f.stack, f.points.len(), f.points[0].offset)).collect();
        assert_eq!(left, [("a", 2, 1), ("c", 1, 3)]);
    }

    #[test]
    fn system_libraries_stay() {
        let root = proc_with("stay", &[10]);
        let mut fake = Fake::default();
        let mut prober = Prober::new(&root, Arc::default());
        prober.preattach(&mut fake);
        let pinned = fake.live.len();
        prober.scan(10, &mut fake);
        prober.exited(10, &mut fake);
        assert_eq!(fake.live.len(), pinned);
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_file_that_takes_no_probe_is_reported_once() {
        let root = proc_with("refused", &[10, 11]);
        let account = Arc::new(Account::default());
        let mut fake = Fake { fail: true, ..Fake::default() };
        let mut prober = Prober::new(&root, Arc::clone(&account));
        prober.scan(10, &mut fake);
        prober.scan(11, &mut fake);
        assert!(!prober.covers(10));
        assert_eq!(account.get(Counter::FilesRefused), 1);
        assert!(prober.take_reports()[0].outcome.as_ref().unwrap_err().contains("SSL_free"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
