//! Cgroups by their id, for processes that are gone.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Most cgroups that are known. A machine has some hundreds.
const MAX: usize = 65_536;

/// How long is waited between two looks at all of them.
const PAUSE: Duration = Duration::from_secs(1);

/// The cgroups of a hierarchy of version 2.
#[derive(Debug, Default)]
pub struct Cgroups {
    mount: Option<PathBuf>,
    known: HashMap<u64, String>,
    looked: Option<Instant>,
}

impl Cgroups {
    /// Those of the hierarchy that is mounted there; of none, where there is no mount.
    pub fn new(mount: Option<PathBuf>) -> Self {
        Self { mount, ..Self::default() }
    }

    /// The path of the cgroup with this id, the inode number of its directory. One that is gone as well is not found, nor one that
    /// came within a second after all were looked at.
    pub fn path(&mut self, id: u64) -> Option<&str> {
        let again = self.looked.is_none_or(|at| at.elapsed() >= PAUSE);
        if !self.known.contains_key(&id)
            && again
            && let Some(mount) = self.mount.clone()
        {
            self.known.clear();
            self.look(&mount);
            self.looked = Some(Instant::now());
        }
        self.known.get(&id).map(String::as_str)
    }

    fn look(&mut self, mount: &Path) {
        let mut open = vec![mount.to_owned()];
        while let Some(directory) = open.pop() {
            let (Ok(found), Ok(path)) = (directory.metadata(), directory.strip_prefix(mount)) else {
                continue;
            };
            if self.known.len() >= MAX {
                return;
            }
            self.known.insert(found.ino(), format!("/{}", path.display()));
            let entries = directory.read_dir().into_iter().flatten().flatten();
            open.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn directories_by_their_numbers() {
        let mount = tempfile::tempdir().unwrap();
        let inner = mount.path().join("a.slice/b.service");
        fs::create_dir_all(&inner).unwrap();
        let ino = |path: &Path| path.metadata().unwrap().ino();
        let mut cgroups = Cgroups::new(Some(mount.path().to_owned()));
        assert_eq!(cgroups.path(ino(&inner)), Some("/a.slice/b.service"));
        assert_eq!(cgroups.path(ino(mount.path())), Some("/"));
        fs::create_dir(mount.path().join("new")).unwrap();
        assert_eq!(cgroups.path(ino(&mount.path().join("new"))), None, "not at once");
        assert_eq!(Cgroups::new(None).path(1), None);
    }
}
