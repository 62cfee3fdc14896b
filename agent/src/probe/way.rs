//! Where files are that stay: the next process that runs one may come at any time.

use std::{
    fs::{File, metadata, read_link},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use super::identity::Identity;

/// Below these are the filesystems that come and go: of containers, volumes and media. A probe keeps the filesystem of its
/// file mounted, so it must not wait there for somebody who may never come.
const FLEETING: [&str; 6] = ["/run/", "/var/run/", "/var/lib/", "/media/", "/mnt/", "/proc/"];

/// What `/proc/PID/fd` shows of a file that has no name any more, see proc_pid_fd(5).
const DELETED: &str = " (deleted)";

/// A path as a process of the system sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Way(PathBuf);

impl Way {
    /// To an open file; none if it is on a filesystem that may go, or has no name there.
    pub fn to(file: &File, identity: &Identity, proc_root: &Path) -> Option<Self> {
        let name = read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let shown = name.to_string_lossy();
        if shown.ends_with(DELETED) || FLEETING.iter().any(|dir| shown.starts_with(dir)) {
            return None;
        }
        let way = Self(name);
        way.leads_to(identity, proc_root).then_some(way)
    }

    /// Is it still the way to this content of this file? The agent's own, or that of the system's first process, for the agent
    /// may live in a container.
    pub fn leads_to(&self, identity: &Identity, proc_root: &Path) -> bool {
        let through_first = proc_root.join("1/root").join(self.0.strip_prefix("/").unwrap_or(&self.0));
        let is_it = |path: &Path| metadata(path).is_ok_and(|found| Identity::new(path, &found) == *identity);
        is_it(&self.0) || is_it(&through_first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_stay() {
        let proc_root = Path::new("/proc");
        let own = std::env::current_exe().unwrap();
        let file = File::open(&own).unwrap();
        let identity = Identity::of(&file).unwrap();
        let way = Way::to(&file, &identity, proc_root).expect("a program is on the disk");
        assert!(way.0 == own && way.leads_to(&identity, proc_root));
        let other =
            Identity { file: super::super::identity::FileId { inode: 0, ..identity.file }, ..identity };
        assert!(!way.leads_to(&other, proc_root));
        // On a filesystem of its own, and without a name.
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(Way::to(&file, &Identity::of(&file).unwrap(), proc_root), None);
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Way::to(&file, &Identity::of(&file).unwrap(), proc_root), None);
    }
}
