//! Where a journal lies, and that it is the agent's alone.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};
use tracing::debug;

use super::JournalError;

/// Name of the file in its directory.
const FILE: &str = "journal.db";
/// Where root's is, unless systemd says otherwise.
const SYSTEM: &str = "/var/lib/plainspan";
/// Longest text of a lock that is read.
const LOCK_LIMIT: u64 = 32;

/// Where the journal is when the user says nothing: root's in `STATE_DIRECTORY` (systemd.exec(5)), else in
/// `/var/lib/plainspan`; a user's below `XDG_STATE_HOME` (XDG Base Directory Specification). None for a user without a
/// home. `variable` looks up the environment.
pub fn default_path(root: bool, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = if root {
        let given = variable("STATE_DIRECTORY").and_then(|all| {
            // Several are separated by colons.
            let first = all.to_str()?.split(':').next()?.to_owned();
            Some(PathBuf::from(first)).filter(|path| path.is_absolute())
        });
        given.unwrap_or_else(|| SYSTEM.into())
    } else {
        let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
        state.join("plainspan")
    };
    Some(directory.join(FILE))
}

/// A journal's file that is nobody else's, for as long as this lives.
#[derive(Debug)]
pub(super) struct Place {
    /// The database, with no link on its way.
    pub path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes directory (0700) and file (0600) as far as they are missing, and takes them for this process alone.
    pub fn take(path: &Path) -> Result<Self, JournalError> {
        let path = resolved(path, true)?;
        let lock = lock(&path)?;
        check(&path)?;
        create(&path).map_err(|reason| JournalError::File { path: path.clone(), reason })?;
        Ok(Self { path, _lock: lock })
    }

    /// Moves a damaged database aside, with all that belongs to it, in place of one that was moved aside before. Where it is now.
    pub fn move_aside(&self) -> io::Result<PathBuf> {
        let aside = with_suffix(&self.path, "-corrupt");
        for suffix in ["-wal", "-shm"] {
            let from = with_suffix(&self.path, suffix);
            match fs::rename(&from, with_suffix(&aside, suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, &aside)?;
        create(&self.path)?;
        Ok(aside)
    }
}

/// The path with every link of its directory followed but the last: that one, and the file, must be none.
pub(super) fn resolved(path: &Path, make: bool) -> Result<PathBuf, JournalError> {
    let failed = |reason| JournalError::File { path: path.to_owned(), reason };
    let name = path.file_name().ok_or_else(|| failed(io::Error::other("it names no file")))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::symlink_metadata(directory) {
        Ok(found) if found.is_symlink() => return Err(JournalError::Symlink(directory.to_owned())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && make => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    let found = fs::metadata(directory).map_err(failed)?;
    let untrusted = |reason| JournalError::Untrusted { path: path.to_owned(), reason };
    let own = rustix::process::geteuid().as_raw();
    if directory.ends_with("plainspan") && found.uid() == own && found.mode() & 0o077 != 0 && make {
        // One that was made for it by somebody else, as a volume of a container.
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(failed)?;
    } else if found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0 {
        return Err(untrusted("others may write to its directory".to_owned()));
    } else if found.uid() != own && found.uid() != 0 {
        return Err(untrusted(format!("its directory belongs to user {}", found.uid())));
    }
    Ok(directory.canonicalize().map_err(failed)?.join(name))
}

/// That the file, if there is one, is this user's and may be used as a database.
pub(super) fn check(path: &Path) -> Result<(), JournalError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|reason| JournalError::File { path: path.to_owned(), reason })?,
    };
    let own = rustix::process::geteuid().as_raw();
    let reason = match found {
        _ if found.is_symlink() => return Err(JournalError::Symlink(path.to_owned())),
        _ if !found.is_file() => "it is no regular file".to_owned(),
        _ if found.uid() != own => format!("it belongs to user {}", found.uid()),
        _ => return Ok(()),
    };
    Err(JournalError::Untrusted { path: path.to_owned(), reason })
}

/// The file, readable for its owner only. SQLite gives its other files the same permissions (sqlite.org/wal.html).
fn create(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

/// A lock of its own: SQLite's go when anybody in the process closes the file.
fn lock(path: &Path) -> Result<File, JournalError> {
    let lock = with_suffix(path, "-lock");
    let failed = |reason: io::Error| JournalError::File { path: lock.clone(), reason };
    check(&lock)?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock)
        .map_err(failed)?;
    if let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(failed(error.into()));
        }
        let mut pid = String::new();
        // Who it is is told if it can be.
        let _ = (&mut file).take(LOCK_LIMIT).read_to_string(&mut pid);
        let known = pid.trim().parse::<u32>().is_ok();
        let holder = if known { format!("process {}", pid.trim()) } else { "another process".to_owned() };
        return Err(JournalError::InUse { path: path.to_owned(), holder });
    }
    let named = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
    if let Err(error) = named {
        debug!(%error, "the lock of the journal does not say who has it");
    }
    Ok(file)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or(OsStr::new(FILE)).to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn defaults_follow_the_user_and_the_environment() {
        #[rustfmt::skip]
        let rows = [
            (true, &[][..], Some("/var/lib/plainspan/journal.db")),
            (true, &[("STATE_DIRECTORY", "/state/a:/state/b"), ("HOME", "/root")], Some("/state/a/journal.db")),
            (false, &[("HOME", "/home/u")], Some("/home/u/.local/state/plainspan/journal.db")),
            (false, &[("HOME", "/home/u"), ("XDG_STATE_HOME", "/s")], Some("/s/plainspan/journal.db")),
            (false, &[("HOME", "/home/u"), ("XDG_STATE_HOME", "not/absolute")], Some("/home/u/.local/state/plainspan/journal.db")),
            (false, &[], None),
        ];
        for (root, variables, expected) in rows {
            let found = default_path(root, &|name| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            });
            assert_eq!(found.as_deref(), expected.map(Path::new), "{root} {variables:?}");
        }
    }

    #[test]
    fn what_is_made_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/plainspan/journal.db");
        let place = Place::take(&path).unwrap();
        assert_eq!((mode(&place.path), mode(place.path.parent().unwrap())), (0o600, 0o700));
        drop(place);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(path.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
        let place = Place::take(&path).unwrap();
        assert_eq!((mode(&place.path), mode(place.path.parent().unwrap())), (0o600, 0o700), "made right");
    }

    #[test]
    fn the_second_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let first = Place::take(&path).unwrap();
        let error = Place::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        assert!(error.contains("--journal PATH") && !error.contains('\n'), "{error}");
        drop(first);
        Place::take(&path).unwrap();
    }

    #[test]
    fn links_and_strange_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("target"), "precious").unwrap();
        symlink(at("target"), at("file.db")).unwrap();
        symlink(at("target"), at("locked.db-lock")).unwrap();
        fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("linked")).unwrap();
        fs::create_dir(at("directory.db")).unwrap();
        for path in ["file.db", "locked.db", "linked/journal.db"] {
            let error = Place::take(&at(path)).unwrap_err();
            assert!(matches!(error, JournalError::Symlink(_)), "{path}: {error}");
        }
        let error = Place::take(&at("directory.db")).unwrap_err();
        assert!(matches!(error, JournalError::Untrusted { .. }), "{error}");
        assert_eq!(fs::read_to_string(at("target")).unwrap(), "precious");

        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        let error = Place::take(&at("open/journal.db")).unwrap_err().to_string();
        assert!(error.contains("others may write to its directory"), "{error}");
        fs::set_permissions(at("open"), Permissions::from_mode(0o1777)).unwrap();
        Place::take(&at("open/journal.db")).unwrap();
    }
}
