//! Which processes the kernel programs watch.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Whose calls are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everybody's.
    All,
    /// Those of processes that are named with [`super::Kernel::watch`], and of their descendants.
    Targets,
    /// Those of the processes under one cgroup (version 2).
    Cgroup {
        /// Its id: the inode number of its directory.
        id: u64,
        /// Its depth in the hierarchy; the root's is zero.
        level: u32,
    },
}

/// A cgroup that can't be watched.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// There is no version 2 hierarchy.
    #[error(
        "no cgroup v2 hierarchy is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup) or use --pid or --exe"
    )]
    NoHierarchy,
    /// It isn't there.
    #[error(
        "cgroup {path} does not exist: give a path below {mount}, as /proc/PID/cgroup shows it after '0::'"
    )]
    Missing {
        /// What was asked for.
        path: String,
        /// Where the hierarchy is mounted.
        mount: String,
    },
}

impl Scope {
    /// The scope of a cgroup, given by its path in the hierarchy (`/system.slice/x.service`) or in the file
    /// system (`/sys/fs/cgroup/system.slice/x.service`).
    pub fn cgroup(path: &str) -> Result<Self, CgroupError> {
        let mount = cgroup_hierarchy().ok_or(CgroupError::NoHierarchy)?;
        Self::cgroup_below(&mount, path)
    }

    fn cgroup_below(mount: &Path, path: &str) -> Result<Self, CgroupError> {
        let given = Path::new(path);
        let relative = given.strip_prefix(mount).or_else(|_| given.strip_prefix("/")).unwrap_or(given);
        let missing = || CgroupError::Missing { path: path.to_owned(), mount: mount.display().to_string() };
        let plain = relative.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let found = std::fs::metadata(mount.join(relative)).map_err(|_| missing())?;
        if !plain || !found.is_dir() {
            return Err(missing());
        }
        Ok(Self::Cgroup { id: found.ino(), level: relative.components().count() as u32 })
    }
}

/// Where the version 2 hierarchy of cgroups is mounted.
pub fn cgroup_hierarchy() -> Option<PathBuf> {
    hierarchy(&std::fs::read_to_string("/proc/self/mounts").unwrap_or_default())
}

/// It may be beside version 1.
fn hierarchy(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchy_beside_version_1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(hierarchy(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(hierarchy("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn depth_is_counted_from_the_root() {
        let mount = std::env::temp_dir().join(format!("plainspan-cgroup-{}", std::process::id()));
        std::fs::create_dir_all(mount.join("a.slice/b.service")).unwrap();
        let level = |p: &str| match Scope::cgroup_below(&mount, p) {
            Ok(Scope::Cgroup { level, .. }) => Some(level),
            _ => None,
        };
        assert_eq!(level("/a.slice/b.service"), Some(2));
        assert_eq!(level("a.slice"), Some(1));
        assert_eq!(level(mount.join("a.slice").to_str().unwrap()), Some(1));
        assert_eq!(level("/"), Some(0));
        assert_eq!(level("/a.slice/none"), None);
        assert_eq!(level("/a.slice/../a.slice"), None);
        std::fs::remove_dir_all(mount).unwrap();
    }
}
