//! Programs that are about to start, each held until it is let go: the kernel asks before every exec (`FAN_OPEN_EXEC_PERM`,
//! fanotify(7); Linux 5.0), so that a program which nobody has ever seen is probed before its first instruction.
//!
//! To hold programs is to be in the way of everything. So one thread does nothing but answer, nobody waits longer than was
//! agreed on whatever the rest of the agent does, and when the agent ends, however it does, the kernel lets all go.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use nix::sys::fanotify::{
    EventFFlags, Fanotify, FanotifyEvent, FanotifyResponse, InitFlags, MarkFlags, MaskFlags, Response,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::debug;

/// How often the threads see whether they are still wanted.
const ATTENTION: Duration = Duration::from_secs(1);

/// Filesystems that hold no programs, or whose server may be gone: who looks there can hang.
const UNASKED: &[&str] = &[
    "9p",
    "afs",
    "autofs",
    "binfmt_misc",
    "bpf",
    "ceph",
    "cgroup",
    "cgroup2",
    "cifs",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfs",
    "nfs4",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smb3",
    "sysfs",
    "tracefs",
];

/// A program that is about to start.
pub struct Start {
    /// The process that starts it.
    pub pid: u32,
    /// The program, open for reading.
    pub file: File,
    /// Until this is dropped it waits.
    pub held: Held,
}

/// Lets go when it is dropped.
pub struct Held(Arc<Waiting>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

struct Waiting {
    group: Arc<Fanotify>,
    event: Mutex<Option<FanotifyEvent>>,
}

impl Waiting {
    fn let_go(&self) {
        let event = self.event.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(event) = event {
            allow(&self.group, &event);
        }
    }
}

fn allow(group: &Fanotify, event: &FanotifyEvent) {
    let Some(fd) = event.fd() else { return };
    if let Err(error) = group.write_response(FanotifyResponse::new(fd, Response::FAN_ALLOW)) {
        // The process was killed meanwhile.
        debug!(%error, "a program could not be let go");
    }
}

/// The programs that are about to start.
pub struct Starts {
    asked: UnboundedReceiver<Start>,
    _wanted: Arc<()>,
}

impl Starts {
    /// Starts holding programs, each for at most `patience`.
    ///
    /// # Errors
    /// The kernel has no fanotify permission events, or does not let the agent have them (CAP_SYS_ADMIN).
    pub fn hold(patience: Duration) -> io::Result<Self> {
        let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        let group = Arc::new(Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?);
        let mut marks = Marks { group: Arc::clone(&group), marked: HashSet::new() };
        let tables: Vec<Table> = ["/proc/self", "/proc/1"].iter().filter_map(|p| Table::open(p)).collect();
        marks.add(&tables)?;
        let wanted = Arc::new(());
        let (tell, asked) = unbounded_channel();
        let (alive, watched) = (Arc::downgrade(&wanted), Arc::downgrade(&wanted));
        thread::Builder::new()
            .name("starts".to_owned())
            .spawn(move || answer(&group, patience, &tell, &alive))?;
        thread::Builder::new().name("mounts".to_owned()).spawn(move || follow(marks, &tables, &watched))?;
        Ok(Self { asked, _wanted: wanted })
    }

    /// The next program that is about to start; waits until there is one.
    pub async fn next(&mut self) -> Start {
        match self.asked.recv().await {
            Some(start) => start,
            None => std::future::pending().await,
        }
    }
}

/// Until nobody wants it any more: hands on who asks, and lets go who has waited long enough.
fn answer(group: &Arc<Fanotify>, patience: Duration, tell: &UnboundedSender<Start>, wanted: &Weak<()>) {
    let mut waiting: VecDeque<(Instant, Weak<Waiting>)> = VecDeque::new();
    while wanted.strong_count() > 0 {
        let now = Instant::now();
        while waiting.front().is_some_and(|(until, start)| *until <= now || start.strong_count() == 0) {
            if let Some(start) = waiting.pop_front().and_then(|(_, start)| start.upgrade()) {
                start.let_go();
            }
        }
        let rest = waiting.front().map_or(ATTENTION, |(until, _)| *until - now).min(ATTENTION);
        let rest = Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: i64::from(rest.subsec_nanos()) };
        // An interrupted wait is as good as one that is over, and so is one for nothing.
        let _ = poll(&mut [PollFd::from_borrowed_fd(group.as_fd(), PollFlags::IN)], Some(&rest));
        for event in group.read_events().unwrap_or_default() {
            waiting.extend(hand_on(group, event, tell).map(|start| (Instant::now() + patience, start)));
        }
    }
}

/// Hands on who asks, but for the agent itself, which must not wait for itself.
fn hand_on(
    group: &Arc<Fanotify>,
    event: FanotifyEvent,
    tell: &UnboundedSender<Start>,
) -> Option<Weak<Waiting>> {
    let pid = event.pid() as u32;
    let file = event.fd().and_then(|fd| fd.try_clone_to_owned().ok());
    let Some(file) = file.filter(|_| event.check_version() && pid != std::process::id()) else {
        allow(group, &event);
        return None;
    };
    let waiting = Arc::new(Waiting { group: Arc::clone(group), event: Mutex::new(Some(event)) });
    let weak = Arc::downgrade(&waiting);
    // Where nobody listens any more it comes back, and is dropped.
    let _ = tell.send(Start { pid, file: File::from(file), held: Held(waiting) });
    Some(weak)
}

/// The mounts that a process sees.
struct Table {
    root: PathBuf,
    path: PathBuf,
    /// Tells when they change (proc_pid_mountinfo(5)).
    changes: File,
}

impl Table {
    fn open(process: &str) -> Option<Self> {
        let process = Path::new(process);
        let path = process.join("mountinfo");
        let changes = File::open(&path).ok()?;
        Some(Self { root: process.join("root"), path, changes })
    }
}

/// The filesystems of which the kernel asks.
struct Marks {
    group: Arc<Fanotify>,
    /// By device number; mounted again, one has another.
    marked: HashSet<String>,
}

impl Marks {
    /// Those that are mounted by now; fails if there is none at all.
    fn add(&mut self, tables: &[Table]) -> io::Result<()> {
        let mut failed = None;
        let mut seen = HashSet::new();
        for table in tables {
            let text = std::fs::read(&table.path).unwrap_or_default();
            for (device, place) in text.split(|b| *b == b'\n').filter_map(mount) {
                if seen.insert(device.clone()) && !self.marked.contains(&device) {
                    let path = table.root.join(place.strip_prefix("/").unwrap_or(&place));
                    match self.mark(&path) {
                        Ok(()) => drop(self.marked.insert(device)),
                        Err(error) => failed = Some(error),
                    }
                }
            }
        }
        // One that is gone takes its mark along.
        self.marked.retain(|device| seen.contains(device));
        match failed {
            Some(error) if self.marked.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    fn mark(&self, path: &Path) -> io::Result<()> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
        let mark = self.group.mark(flags, MaskFlags::FAN_OPEN_EXEC_PERM, rustix::fs::CWD, Some(path));
        mark.inspect_err(|error| debug!(path = %path.display(), %error, "programs there are not held"))?;
        Ok(())
    }
}

/// Until nobody wants it any more: containers bring filesystems of their own.
fn follow(mut marks: Marks, tables: &[Table], wanted: &Weak<()>) {
    let attention = Timespec { tv_sec: ATTENTION.as_secs() as i64, tv_nsec: 0 };
    while wanted.strong_count() > 0 {
        let mut waits: Vec<PollFd<'_>> = tables
            .iter()
            .map(|table| PollFd::from_borrowed_fd(table.changes.as_fd(), PollFlags::PRI))
            .collect();
        if poll(&mut waits, Some(&attention)).is_ok_and(|changed| changed > 0) {
            let _ = marks.add(tables);
        }
    }
}

/// The device and the place of a filesystem that may hold programs, by its line.
fn mount(line: &[u8]) -> Option<(String, PathBuf)> {
    let line = std::str::from_utf8(line).ok()?;
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ');
    let device = fields.nth(2)?;
    let place = fields.nth(1)?;
    let kind = filesystem.split(' ').next()?;
    let asked = !UNASKED.contains(&kind) && (!kind.starts_with("fuse.") || kind == "fuse.fuse-overlayfs");
    asked.then(|| (device.to_owned(), PathBuf::from(unescape(place))))
}

/// Spaces and the like are written as octal numbers.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        rest = code.map_or(after, |_| &after[3..]);
        out.push(code.map_or('\\', char::from));
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn filesystems_with_programs() {
        let cases = [
            ("29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw", Some(("254:0", "/"))),
            ("36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 - ext3 /dev/root rw", Some(("98:0", "/a b"))),
            (
                "40 29 0:50 / /run/x/rootfs rw - overlay overlay rw,lowerdir=/l",
                Some(("0:50", "/run/x/rootfs")),
            ),
            ("40 29 0:51 / /r rw - fuse.fuse-overlayfs x rw", Some(("0:51", "/r"))),
            ("40 29 0:52 / /s rw - fuse.sshfs x rw", None),
            ("30 29 0:5 / /proc rw - proc proc rw", None),
            ("31 29 0:60 / /net rw - nfs4 server:/ rw", None),
            ("31 29 0:60 /", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let found = mount(line.as_bytes());
            let short = found.as_ref().map(|(device, place)| (device.as_str(), place.to_str().unwrap()));
            assert_eq!(short, expected, "{line}");
        }
    }

    #[test]
    fn octal_numbers() {
        for (text, expected) in
            [("a\\040b\\134c", "a b\\c"), ("a\\", "a\\"), ("\\9", "\\9"), ("\\40", "\\40")]
        {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    /// What waits goes on when it is let go, and at the latest when it has waited long enough.
    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let mut starts = Starts::hold(Duration::from_millis(300)).expect("tests run as root");
        for keep in [false, true] {
            let program = dir.path().join(format!("program-{keep}"));
            std::fs::copy("/bin/true", &program).unwrap();
            let command = program.clone();
            let mut run = tokio::task::spawn_blocking(move || std::process::Command::new(command).status());
            let start = loop {
                tokio::select! {
                    start = starts.next() => {
                        let path = std::fs::read_link(format!("/proc/self/fd/{}", start.file.as_raw_fd())).unwrap();
                        if path == program {
                            break start;
                        }
                    }
                    _ = &mut run => panic!("it was not asked for"),
                }
            };
            let kept = keep.then_some(start);
            // Others may start meanwhile.
            let status = loop {
                tokio::select! {
                    start = starts.next() => drop(start),
                    status = &mut run => break status.unwrap().unwrap(),
                }
            };
            assert!(status.success());
            drop(kept);
        }
    }
}
