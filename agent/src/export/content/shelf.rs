//! The directory of content: a directory a minute, in which there is a file a call. What goes, goes by the minute, the oldest first.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::OFlags;
use tracing::warn;

use super::ContentSettings;
use crate::{
    account::{Account, Counter},
    contract::minute,
    time::Timestamp,
};

/// Of a file that is not whole yet.
const PART: &str = "part";

/// Files and bytes of one minute.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    files: u64,
    bytes: u64,
}

/// What is in the directory, and how much may be.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    limit: u64,
    age: Duration,
    minutes: BTreeMap<String, Held>,
    bytes: u64,
    account: Arc<Account>,
}

impl Shelf {
    /// Makes the directory if it isn't there, and looks what is in it.
    pub fn open(settings: &ContentSettings, account: Arc<Account>) -> io::Result<Self> {
        for_owner_only().recursive(true).create(&settings.directory)?;
        let directory = settings.directory.canonicalize()?;
        let mut minutes = BTreeMap::new();
        for entry in fs::read_dir(&directory)?.flatten() {
            let Some(name) = entry.file_name().to_str().filter(|name| is_minute(name)).map(str::to_owned)
            else {
                continue;
            };
            let mut held = Held::default();
            for (_, bytes) in files(&entry.path())? {
                held = Held { files: held.files + 1, bytes: held.bytes + bytes };
            }
            minutes.insert(name, held);
        }
        let bytes = minutes.values().map(|held| held.bytes).sum();
        Ok(Self { directory, limit: settings.bytes, age: settings.age, minutes, bytes, account })
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file, `MINUTE/NAME`, so that it is there as a whole or not at all. False if it would be over the limit even without the
    /// minutes before its own.
    pub fn put(&mut self, name: &Path, text: &[u8]) -> io::Result<bool> {
        let own = name.parent().and_then(Path::to_str).unwrap_or_default();
        let path = self.directory.join(name);
        // What was written before an end of the agent may come once more.
        let before = fs::symlink_metadata(&path).ok().map(|metadata| metadata.len());
        let more = (text.len() as u64).saturating_sub(before.unwrap_or(0));
        while self.bytes.saturating_add(more) > self.limit {
            match self.minutes.keys().next() {
                Some(oldest) if oldest.as_str() < own => {
                    let oldest = oldest.clone();
                    self.remove(&oldest, Counter::ContentGoneSize)?;
                }
                _ => return Ok(false),
            }
        }
        // Each time, for somebody may have removed it.
        for_owner_only().recursive(true).create(self.directory.join(own))?;
        let part = path.with_extension(PART);
        whole(&part, text).and_then(|()| fs::rename(&part, &path)).inspect_err(|_| {
            // It may not be there at all.
            let _ = fs::remove_file(&part);
        })?;
        let held = self.minutes.entry(own.to_owned()).or_default();
        held.files += u64::from(before.is_none());
        held.bytes = held.bytes.saturating_sub(before.unwrap_or(0)) + text.len() as u64;
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0)) + text.len() as u64;
        Ok(true)
    }

    /// Everything that was written is on disk when it returns.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.directory)?)?)
    }

    /// Removes what is too old.
    pub fn sweep(&mut self, now: Timestamp) {
        let age = u64::try_from(self.age.as_nanos()).unwrap_or(u64::MAX);
        let first = minute(Timestamp(now.0.saturating_sub(age)));
        let old: Vec<_> = self.minutes.range(..first).map(|(name, _)| name.clone()).collect();
        for name in old {
            if let Err(error) = self.remove(&name, Counter::ContentGoneAge) {
                warn!("{}: {name} is too old, and can't be removed: {error}", self.directory.display());
            }
        }
    }

    /// Removes the files of a minute; what else somebody put there stays, and its directory with it.
    fn remove(&mut self, name: &str, counter: Counter) -> io::Result<()> {
        let place = self.directory.join(name);
        match files(&place) {
            Ok(files) => files.iter().try_for_each(|(path, _)| match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let _ = fs::remove_dir(&place);
        if let Some(held) = self.minutes.remove(name) {
            self.bytes = self.bytes.saturating_sub(held.bytes);
            self.account.add(counter, held.files);
        }
        Ok(())
    }
}

fn for_owner_only() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Writes it anew; what stands there under this name, a link too, is not written through.
fn whole(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    options.open(path)?.write_all(text)
}

/// The files of calls in the directory of a minute, whole or not, and their lengths.
fn files(minute: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(minute)?.flatten() {
        let path = entry.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if is_call(stem) && matches!(extension, Some("json" | PART)) {
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            files.push((path, bytes));
        }
    }
    Ok(files)
}

/// `20261126T1317Z`
fn is_minute(name: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_suffix('Z').and_then(|name| name.split_once('T'));
    parts.is_some_and(|(day, time)| day.len() == 8 && time.len() == 4 && digits(day) && digits(time))
}

/// A trace and a span.
fn is_call(stem: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    stem.split_once('-')
        .is_some_and(|(trace, span)| trace.len() == 32 && span.len() == 16 && hex(trace) && hex(span))
}
