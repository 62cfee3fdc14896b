//! What was found in files, kept on disk: a program of hundreds of megabytes is searched once, not at each start of
//! the agent.
//!
//! An entry is believed for the very file and version that it was made of, by the very locators that made it, and only
//! while the instructions at its places are the same: a probe in the wrong place could break what it watches.

use std::{
    collections::{HashMap, HashSet},
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use agent_common::{Location, Point};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::{
    Finding, Mechanism, ProbePoint,
    examine::{Examined, Refusal},
    identity::{FileId, Identity, Version},
    locate::LOCATORS,
};

/// Which code made the entries: those of other locators are not believed.
const LOCATORS_VERSION: &str = env!("PLAINSPAN_LOCATORS");

/// Most files that are remembered. A system has some thousands of executable files.
const MAX_ENTRIES: usize = 65_536;

/// Most bytes of a stored cache that are read.
const MAX_BYTES: u64 = 64 << 20;

/// Most different names of functions; each stays in memory for good.
const MAX_NAMES: usize = 1024;

/// Bytes at a probe's place that must be the same.
const INSTRUCTIONS: usize = 16;

/// How long entries gather before they are written.
const GATHER: Duration = Duration::from_secs(10);

/// The name of the file.
const FILE: &str = "examined.json";

/// Examinations of files, in memory and on disk.
pub struct Cache {
    /// Where they are kept, if anywhere.
    directory: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Identity, Entry>,
    changed: bool,
    written: Option<Instant>,
}

#[derive(Clone)]
struct Entry {
    examined: Arc<Examined>,
    /// The instructions at each point, in the order of findings and their points.
    instructions: Vec<Vec<u8>>,
}

impl Cache {
    /// One that is gone with the agent.
    pub fn in_memory() -> Self {
        Self { directory: None, state: Mutex::default() }
    }

    /// One that is kept in `directory`, which is made if it is missing. What can't be read is not believed, and
    /// what can't be written is not kept: the cache saves time, and nothing else depends on it.
    pub fn open(directory: &Path) -> Self {
        let stored = prepare(directory).and_then(|()| load(&directory.join(FILE)));
        let directory = match &stored {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                debug!(directory = %directory.display(), %error, "what is found in files is not kept");
                None
            }
            _ => Some(directory.to_owned()),
        };
        let state = State { entries: stored.unwrap_or_default(), ..State::default() };
        Self { directory, state: Mutex::new(state) }
    }

    /// What was found in the file, if it is known and still true.
    pub(super) fn get(&self, identity: &Identity, file: &File) -> Option<Arc<Examined>> {
        let entry = self.state().entries.get(identity)?.clone();
        (instructions(&entry.examined, file)? == entry.instructions).then_some(entry.examined)
    }

    /// Remembers what was found in a file.
    pub(super) fn put(&self, identity: Identity, file: &File, examined: Arc<Examined>) {
        let Some(instructions) = instructions(&examined, file) else { return };
        let mut state = self.state();
        if state.entries.len() >= MAX_ENTRIES {
            state.entries.clear();
        }
        state.entries.insert(identity, Entry { examined, instructions });
        state.changed = true;
    }

    /// Writes what is new to disk, unless that was done just now; `now` writes it in any case.
    pub(super) fn keep(&self, now: bool) {
        let Some(directory) = &self.directory else { return };
        let entries: Vec<_> = {
            let mut state = self.state();
            let rested = state.written.is_none_or(|at| at.elapsed() >= GATHER);
            if !state.changed || !(now || rested) {
                return;
            }
            state.changed = false;
            state.written = Some(Instant::now());
            state.entries.iter().map(|(identity, entry)| (*identity, entry.clone())).collect()
        };
        let stored = Stored {
            locators: LOCATORS_VERSION.to_owned(),
            files: entries.iter().map(|(identity, entry)| stored(identity, entry)).collect(),
        };
        if let Err(error) = write(directory, &stored) {
            debug!(directory = %directory.display(), %error, "what was found in files could not be kept");
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The instructions at each place; none if one can't be read.
fn instructions(examined: &Examined, file: &File) -> Option<Vec<Vec<u8>>> {
    examined
        .findings
        .iter()
        .flat_map(|finding| &finding.points)
        .map(|point| {
            let mut bytes = vec![0; INSTRUCTIONS];
            let read = file.read_at(&mut bytes, point.offset).ok()?;
            bytes.truncate(read);
            (read > 0).then_some(bytes)
        })
        .collect()
}

// ---- on disk ------------------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct Stored {
    locators: String,
    files: Vec<StoredFile>,
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    findings: Vec<StoredFinding>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    refusals: Vec<StoredRefusal>,
}

#[derive(Serialize, Deserialize)]
struct StoredFinding {
    stack: String,
    evidence: String,
    points: Vec<StoredPoint>,
}

#[derive(Serialize, Deserialize)]
struct StoredRefusal {
    stack: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct StoredPoint {
    symbol: String,
    offset: u64,
    at_return: bool,
    instructions: Vec<u8>,
    #[serde(with = "PointFields")]
    point: Point,
}

/// The fields of [`Point`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Point")]
struct PointFields {
    action: u8,
    direction: u8,
    stack_register: u16,
    frame: i32,
    #[serde(with = "LocationFields")]
    task: Location,
    #[serde(with = "LocationFields")]
    conn: Location,
    #[serde(with = "LocationFields")]
    buf: Location,
    #[serde(with = "LocationFields")]
    len: Location,
    #[serde(with = "LocationFields")]
    moved: Location,
    #[serde(with = "LocationFields")]
    aad: Location,
    #[serde(with = "LocationFields")]
    aad_len: Location,
    #[serde(with = "LocationFields")]
    peek: Location,
    form: u8,
    #[serde(skip)]
    reserved: [u8; 7],
}

/// The fields of [`Location`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Location")]
struct LocationFields {
    kind: u8,
    width: u8,
    register: u16,
    displacement: i32,
}

/// Makes the directory, for its owner only, and refuses one that others can write to: they would tell the agent where
/// to place probes.
fn prepare(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::symlink_metadata(directory)?;
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != own || found.mode() & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can write to it"));
    }
    Ok(())
}

fn load(path: &Path) -> io::Result<HashMap<Identity, Entry>> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = File::options().read(true).custom_flags(nofollow).open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    // One that was written by another version, or is broken, is replaced.
    let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else { return Ok(HashMap::new()) };
    if stored.locators != LOCATORS_VERSION {
        return Ok(HashMap::new());
    }
    Ok(stored.files.into_iter().take(MAX_ENTRIES).filter_map(entry).collect())
}

fn write(directory: &Path, stored: &Stored) -> io::Result<()> {
    let new = directory.join(format!("{FILE}.{}", std::process::id()));
    let written = (|| {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(stored)?)?;
        std::fs::rename(&new, directory.join(FILE))
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

fn stored(identity: &Identity, entry: &Entry) -> StoredFile {
    let mut instructions = entry.instructions.iter();
    let mut point = |point: &ProbePoint| StoredPoint {
        symbol: point.symbol.to_owned(),
        offset: point.offset,
        at_return: point.mechanism == Mechanism::Uretprobe,
        instructions: instructions.next().cloned().unwrap_or_default(),
        point: point.point,
    };
    StoredFile {
        device: identity.file.device,
        inode: identity.file.inode,
        size: identity.version.size,
        seconds: identity.version.seconds,
        nanoseconds: identity.version.nanoseconds,
        findings: entry
            .examined
            .findings
            .iter()
            .map(|finding| StoredFinding {
                stack: finding.stack.to_owned(),
                evidence: finding.evidence.clone(),
                points: finding.points.iter().map(&mut point).collect(),
            })
            .collect(),
        refusals: entry
            .examined
            .refusals
            .iter()
            .map(|refusal| StoredRefusal { stack: refusal.stack.to_owned(), reason: refusal.reason.clone() })
            .collect(),
    }
}

fn entry(file: StoredFile) -> Option<(Identity, Entry)> {
    let identity = Identity {
        file: FileId { device: file.device, inode: file.inode },
        version: Version { size: file.size, seconds: file.seconds, nanoseconds: file.nanoseconds },
    };
    let mut instructions = Vec::new();
    let mut findings = Vec::new();
    for found in file.findings {
        let mut points = Vec::new();
        for point in found.points {
            instructions.push(point.instructions);
            points.push(ProbePoint {
                symbol: name(&point.symbol)?,
                offset: point.offset,
                mechanism: if point.at_return { Mechanism::Uretprobe } else { Mechanism::Uprobe },
                point: point.point,
            });
        }
        findings.push(Arc::new(Finding { stack: stack(&found.stack)?, evidence: found.evidence, points }));
    }
    let refusals = file
        .refusals
        .into_iter()
        .map(|refusal| Some(Refusal { stack: stack(&refusal.stack)?, reason: refusal.reason }))
        .collect::<Option<_>>()?;
    Some((identity, Entry { examined: Arc::new(Examined { findings, refusals }), instructions }))
}

fn stack(name: &str) -> Option<&'static str> {
    LOCATORS.iter().map(|locator| locator.name()).find(|known| *known == name)
}

/// A function's name that lives as long as those in the code. There are few.
fn name(text: &str) -> Option<&'static str> {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(text) {
        return Some(known);
    }
    if names.len() >= MAX_NAMES {
        return None;
    }
    let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
    names.insert(new);
    Some(new)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn example(dir: &Path) -> (File, Identity, Arc<Examined>) {
        let path = dir.join("program");
        std::fs::write(&path, (0..=255).collect::<Vec<u8>>()).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let register = Location { kind: 1, width: 8, register: 112, displacement: -8 };
        let point = Point { action: 1, frame: -3, conn: register, form: 1, ..Point::default() };
        let at = |offset, mechanism| ProbePoint { symbol: "SSL_write", offset, mechanism, point };
        let examined = Examined {
            findings: vec![Arc::new(Finding {
                stack: LOCATORS[0].name(),
                evidence: "seen".into(),
                points: vec![at(16, Mechanism::Uprobe), at(250, Mechanism::Uretprobe)],
            })],
            refusals: vec![Refusal { stack: LOCATORS[1].name(), reason: "why not".into() }],
        };
        let identity = Identity::of(&file).unwrap();
        (file, identity, Arc::new(examined))
    }

    #[test]
    fn what_was_found_is_known_to_the_next_agent() {
        let dir = tempfile::tempdir().unwrap();
        let (file, identity, examined) = example(dir.path());
        let directory = dir.path().join("a/cache");
        let cache = Cache::open(&directory);
        assert_eq!(cache.get(&identity, &file), None);
        cache.put(identity, &file, Arc::clone(&examined));
        cache.keep(false);
        assert_eq!(Cache::open(&directory).get(&identity, &file), Some(Arc::clone(&examined)));
        let mode = std::fs::metadata(directory.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // The second one waits, and is written at the end.
        let other = Identity { file: FileId { inode: 0, ..identity.file }, ..identity };
        cache.put(other, &file, examined);
        cache.keep(false);
        assert_eq!(Cache::open(&directory).get(&other, &file), None);
        cache.keep(true);
        assert!(Cache::open(&directory).get(&other, &file).is_some());
    }

    #[test]
    fn other_instructions_are_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, identity, examined) = example(dir.path());
        let cache = Cache::in_memory();
        cache.put(identity, &file, examined);
        file.write_all_at(b"x", 31).unwrap();
        assert_eq!(cache.get(&identity, &file), None);
    }

    #[test]
    fn what_others_can_write_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, identity, examined) = example(dir.path());
        let directory = dir.path().join("cache");
        let cache = Cache::open(&directory);
        cache.put(identity, &file, examined);
        cache.keep(true);
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(Cache::open(&directory).get(&identity, &file), None);
    }

    #[test]
    fn broken_and_foreign_caches_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, identity, examined) = example(dir.path());
        let directory = dir.path().join("cache");
        for content in ["", "{", "[]", r#"{"locators":"of another version","files":[]}"#] {
            drop(Cache::open(&directory));
            std::fs::write(directory.join(FILE), content).unwrap();
            let cache = Cache::open(&directory);
            assert_eq!(cache.get(&identity, &file), None, "{content}");
            cache.put(identity, &file, Arc::clone(&examined));
            cache.keep(true);
            assert!(Cache::open(&directory).get(&identity, &file).is_some(), "{content}");
        }
    }
}
