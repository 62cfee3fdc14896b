//! What tells one file from another, however it is named.

use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A file, however it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode.
    pub inode: u64,
}

/// `OVERLAYFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const OVERLAY: rustix::fs::FsWord = 0x794c_7630;

impl FileId {
    /// The identity of the file at `path`, whose metadata is `found`.
    ///
    /// Containers of one image share its files, and the kernel places a probe in all of them at once, but each one's
    /// overlay gives them a device number of its own. There the age and the size stand for the device.
    pub fn new(path: &Path, found: &Metadata) -> Self {
        Self::on(rustix::fs::statfs(path).is_ok_and(|s| s.f_type == OVERLAY), found)
    }

    fn on(overlaid: bool, found: &Metadata) -> Self {
        let device = if overlaid { Self::shared(found) } else { found.dev() };
        Self { device, inode: found.ino() }
    }

    fn shared(found: &Metadata) -> u64 {
        let Version { size, seconds, nanoseconds } = Version::new(found);
        let age = (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(nanoseconds as u64);
        (age.rotate_left(20) ^ size) | 1 << 63
    }
}

/// Tells a file from another one that has got its inode number since, and from itself before it was written to: what
/// was found in one must never be used for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version {
    /// Bytes.
    pub size: u64,
    /// When it was last written to: seconds since the epoch.
    pub seconds: i64,
    /// And nanoseconds.
    pub nanoseconds: i64,
}

impl Version {
    /// The version of the file whose metadata is `found`.
    pub fn new(found: &Metadata) -> Self {
        Self { size: found.size(), seconds: found.mtime(), nanoseconds: found.mtime_nsec() }
    }
}

/// One content of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which file.
    pub file: FileId,
    /// Which content.
    pub version: Version,
}

impl Identity {
    /// Of the file at `path`, whose metadata is `found`.
    pub fn new(path: &Path, found: &Metadata) -> Self {
        Self { file: FileId::new(path, found), version: Version::new(found) }
    }

    /// Of an open file.
    pub fn of(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        let overlaid = rustix::fs::fstatfs(file).is_ok_and(|s| s.f_type == OVERLAY);
        Ok(Self { file: FileId::on(overlaid, &found), version: Version::new(&found) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs an overlay to show itself whole; what stands for the device there is tested here.
    #[test]
    fn files_of_one_layer_are_one_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path();
        let shared = || FileId::shared(&std::fs::metadata(path).unwrap());
        std::fs::write(path, "a").unwrap();
        let first = shared();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(shared(), first, "neither content nor age changed");
        std::fs::write(path, "ab").unwrap();
        assert_ne!(shared(), first);
    }

    #[test]
    fn a_file_is_the_same_by_path_and_open() {
        let path = Path::new("/proc/self/exe");
        let by_path = Identity::new(path, &std::fs::metadata(path).unwrap());
        assert_eq!(Identity::of(&File::open(path).unwrap()).unwrap(), by_path);
    }
}
