use std::{
    fmt::Write as _,
    os::unix::fs::{FileExt as _, MetadataExt as _, symlink},
};

use agent_common::Point;

use super::*;
use crate::probe::Examined;

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

/// A `/proc` of the test's own, and a prober that sees it.
struct World {
    dir: tempfile::TempDir,
    prober: Prober,
    fake: Fake,
    account: Arc<Account>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let account = Arc::new(Account::default());
        let proc_root = dir.path().join("proc");
        let prober = Prober::new(proc_root, Cache::in_memory(), Arc::clone(&account)).unwrap();
        Self { dir, prober, fake: Fake::default(), account }
    }

    /// A file with TLS code, of its own.
    fn library(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::copy(system_libssl(), &path).unwrap();
        path
    }

    /// The process maps this and nothing else.
    fn maps(&self, pid: u32, path: &Path) {
        let process = self.dir.path().join("proc").join(pid.to_string());
        std::fs::create_dir_all(&process).unwrap();
        let _ = symlink("/", process.join("root"));
        let inode = std::fs::metadata(path).unwrap().ino();
        let line = format!("1000-2000 r-xp 00000000 fe:00 {inode} {}\n", path.display());
        std::fs::write(process.join("maps"), line).unwrap();
    }

    fn maps_nothing(&self, pid: u32) {
        std::fs::write(self.dir.path().join("proc").join(pid.to_string()).join("maps"), "").unwrap();
    }

    fn scan(&mut self, pid: u32) {
        self.prober.scan(pid, &mut self.fake);
    }

    /// Until nothing is being examined.
    fn settle(&mut self) {
        while self.prober.pending() > 0 {
            let done = self.prober.examiner.wait();
            self.prober.examined(done, &mut self.fake);
        }
    }

    fn exited(&mut self, pid: u32) {
        self.prober.exited(pid, &mut self.fake);
    }

    fn live(&self) -> usize {
        self.fake.live.len()
    }

    /// Those in files that somebody uses.
    fn used(&self) -> usize {
        let used = self.prober.probed.values().filter(|probed| !probed.users.nobody());
        used.map(|probed| probed.links.len()).sum()
    }

    /// As if nobody had used a file for a while.
    fn tidy(&mut self) {
        self.prober.tidy(Instant::now() + LINGER, &mut self.fake);
    }
}

fn system_libssl() -> PathBuf {
    let is_it = |p: &PathBuf| p.is_file() && p.to_string_lossy().contains("libssl.so");
    libraries::of_system().into_iter().find(is_it).expect("a system libssl").canonicalize().unwrap()
}

#[test]
fn attached_once_per_file_and_gone_with_the_last_process() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.maps(10, &library);
    world.maps(11, &library);
    world.scan(10);
    world.scan(11);
    assert_eq!(world.live(), 0, "nothing is examined on the capture path");
    world.settle();
    let once = world.live();
    assert!(once > 4);
    world.scan(11);
    assert_eq!((world.live(), world.prober.pending()), (once, 0));
    world.exited(10);
    assert_eq!(world.used(), once);
    // The other one replaced its program.
    world.maps_nothing(11);
    world.scan(11);
    assert_eq!(world.live(), once, "for who comes next");
    assert_eq!(world.used(), 0);
    // What was examined is known.
    world.maps(12, &library);
    world.scan(12);
    assert_eq!((world.live(), world.used()), (once, once));
    assert_eq!(world.account.get(Counter::FilesProbed), 1);
}

#[test]
fn children_hold_what_their_parent_has() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.maps(10, &library);
    world.scan(10);
    // Forked while the file is being examined, and after.
    world.prober.forked(11, 10);
    world.settle();
    world.prober.forked(12, 11);
    world.exited(10);
    world.exited(11);
    assert!(world.used() > 4);
    world.exited(12);
    assert_eq!(world.used(), 0);
}

#[test]
fn who_is_gone_before_the_file_is_examined_uses_nothing() {
    for replaced in [false, true] {
        let mut world = World::new();
        let library = world.library("libssl.so");
        world.maps(10, &library);
        world.scan(10);
        if replaced {
            world.maps_nothing(10);
            world.scan(10);
        } else {
            world.exited(10);
        }
        world.settle();
        assert_eq!(world.live(), 0);
        world.maps(11, &library);
        world.scan(11);
        assert!(world.live() > 4, "what was learnt is not lost");
    }
}

/// An update while the old one still runs: two files under one name.
#[test]
fn a_file_that_is_replaced_by_another_is_one_more() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.maps(10, &library);
    world.scan(10);
    world.settle();
    let once = world.live();
    let new = world.library("new");
    std::fs::rename(&new, &library).unwrap();
    world.maps(11, &library);
    world.scan(11);
    world.settle();
    assert_eq!(world.live(), 2 * once);
    world.exited(10);
    assert_eq!(world.used(), once);
}

#[test]
fn a_file_that_is_written_to_in_its_place_is_examined_again() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.maps(10, &library);
    world.scan(10);
    world.settle();
    let before = world.fake.live.clone();
    let file = File::options().write(true).open(&library).unwrap();
    file.write_all_at(b"x", file.metadata().unwrap().len()).unwrap();
    world.scan(10);
    assert_eq!(world.live(), 0, "nobody knows yet what its code is now");
    world.settle();
    assert!(world.live() == before.len() && world.fake.live.is_disjoint(&before));
    world.exited(10);
    assert_eq!(world.used(), 0);
}

/// Its age and size tell it apart; its inode may be that of a file which is gone.
#[test]
fn a_file_in_the_place_of_another_is_examined_again() {
    let mut world = World::new();
    let path = world.dir.path().join("libssl.so");
    std::fs::write(&path, "no program").unwrap();
    world.maps(10, &path);
    world.scan(10);
    world.settle();
    assert_eq!(world.live(), 0);
    std::fs::copy(system_libssl(), &path).unwrap();
    world.scan(10);
    world.settle();
    assert!(world.live() > 4);
}

#[test]
fn a_way_that_goes_takes_nothing_away() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    let way = world.dir.path().join("way.so");
    std::fs::hard_link(&library, &way).unwrap();
    world.maps(10, &way);
    world.fake.vanishing = Some(way);
    world.scan(10);
    world.settle();
    assert!(world.live() > 4 && world.account.get(Counter::FilesRefused) == 0);
}

/// Its fork was told after it had been looked at, and its end never.
#[test]
fn what_is_told_late_or_never_leaves_nothing_behind() {
    let mut world = World::new();
    let (old, new) = (world.library("old.so"), world.library("new.so"));
    world.maps(10, &old);
    world.maps(11, &new);
    world.scan(10);
    world.scan(11);
    world.settle();
    let both = world.live();
    world.prober.forked(11, 10);
    world.exited(10);
    world.scan(11);
    assert_eq!(world.used(), both / 2, "it has mapped what it has, not what its parent had");
    world.prober.gone(&[11, 12], &mut world.fake);
    assert_eq!(world.used(), both / 2);
    world.prober.gone(&[12], &mut world.fake);
    assert_eq!(world.used(), 0);
}

#[test]
fn system_libraries_stay() {
    let mut world = World::new();
    world.prober.preattach(&mut world.fake);
    world.settle();
    let pinned = world.live();
    assert!(pinned > 4);
    world.maps(10, &system_libssl());
    world.scan(10);
    world.exited(10);
    assert_eq!(world.used(), pinned);
}

#[test]
fn a_file_that_takes_no_probe_is_refused_once() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.fake.fail = true;
    for pid in [10, 11] {
        world.maps(pid, &library);
        world.scan(pid);
        world.settle();
    }
    assert_eq!(world.account.get(Counter::FilesRefused), 1);
}

/// The rest is found by another look, which is asked for.
#[test]
fn files_that_wait_are_bounded() {
    let mut world = World::new();
    let process = world.dir.path().join("proc/10");
    std::fs::create_dir_all(&process).unwrap();
    symlink("/", process.join("root")).unwrap();
    let mut maps = String::new();
    for n in 0..MAX_PENDING + 10 {
        let path = world.dir.path().join(format!("file{n}"));
        std::fs::write(&path, "x").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        writeln!(maps, "1000-2000 r-xp 00000000 fe:00 {inode} {}", path.display()).unwrap();
    }
    std::fs::write(process.join("maps"), maps).unwrap();
    world.scan(10);
    assert_eq!(world.prober.pending(), MAX_PENDING);
    assert!(!world.prober.take_crowded(), "not before there is room");
    world.settle();
    assert!(world.prober.take_crowded());
    world.scan(10);
    world.settle();
    assert_eq!(world.prober.examined.len(), MAX_PENDING + 10);
    assert!(!world.prober.take_crowded());
}

#[test]
fn files_that_nobody_uses_are_bounded() {
    let mut world = World::new();
    let mut one = 0;
    for n in 0..MAX_IDLE as u32 + 3 {
        let library = world.library(&format!("{n}.so"));
        world.maps(n, &library);
        world.scan(n);
        world.settle();
        if n == 0 {
            one = world.live();
        }
        world.exited(n);
    }
    assert_eq!(world.live(), MAX_IDLE * one);
}

/// Whoever runs it next may call at once.
#[test]
fn files_that_are_where_they_were_stay_probed() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    for (pid, what) in [(10, "gone"), (11, "replaced"), (12, "there")] {
        world.maps(pid, &library);
        world.scan(pid);
        world.settle();
        world.exited(pid);
        let live = world.live();
        assert!(live > 4 && world.used() == 0);
        match what {
            "gone" => std::fs::remove_file(&library).unwrap(),
            "replaced" => std::fs::rename(world.library("other"), &library).unwrap(),
            _ => {}
        }
        world.tidy();
        let expected = if what == "there" { live } else { 0 };
        assert_eq!(world.live(), expected, "{what}");
        drop(world.library("libssl.so"));
    }
}

/// The probes of the old one would keep its file, though nobody runs it.
#[test]
fn a_system_library_that_is_replaced_is_let_go() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.prober.pin(&library, &mut world.fake);
    world.settle();
    world.tidy();
    let live = world.live();
    assert!(live > 4 && world.used() == live);
    std::fs::rename(world.library("other"), &library).unwrap();
    world.tidy();
    world.settle();
    assert_eq!(
        world
            .prober
            .probed
            .values()
            .filter(|probed| probed.links.len() == live && probed.idle.is_some())
            .count(),
        1
    );
    world.tidy();
    let places = world.prober.probed.keys().copied().collect::<Vec<_>>();
    let old = Identity::new(&library, &std::fs::metadata(&library).unwrap()).file;
    assert!(!places.contains(&old) && world.live() > 4, "those of the system stay");
}

/// It goes on when it is probed, or when there is nothing to wait for.
#[test]
fn programs_wait_until_they_are_known() {
    let mut world = World::new();
    let (library, other) = (world.library("program"), world.dir.path().join("other"));
    std::fs::write(&other, "#!/bin/sh").unwrap();
    for path in [&library, &other] {
        for known in [false, true] {
            let waiting = Arc::new(());
            let file = File::open(path).unwrap();
            world.prober.starting(&file, Box::new(Arc::clone(&waiting)), &mut world.fake);
            assert_eq!(Arc::strong_count(&waiting) == 2, !known, "{path:?}");
            world.settle();
            assert_eq!(Arc::strong_count(&waiting), 1, "{path:?}");
        }
    }
    assert!(world.live() > 4 && world.used() == 0 && world.prober.waiting.is_empty());
}

/// What is found at once is probed at once; what is found later comes to it.
#[test]
fn findings_that_come_in_parts_are_probed_as_they_come() {
    let mut world = World::new();
    let library = world.library("libssl.so");
    world.maps(10, &library);
    world.scan(10);
    let file = File::open(&library).unwrap();
    let identity = Identity::of(&file).unwrap();
    let mut part = |offsets: &[u64], whole| {
        let mechanism = Mechanism::Uprobe;
        let at =
            |offset: &u64| ProbePoint { symbol: "f", offset: *offset, mechanism, point: Point::default() };
        let points = offsets.iter().map(at).collect();
        let finding = Finding { stack: "openssl", evidence: String::new(), points };
        let examined = Examined { findings: vec![Arc::new(finding)], refusals: Vec::new() };
        let file = file.try_clone().unwrap();
        world
            .prober
            .take(Done { identity, file, examined: Some(Arc::new(examined)), whole }, &mut world.fake);
        (world.fake.live.len(), world.prober.pending())
    };
    assert_eq!(part(&[1, 2], false), (2, 1));
    assert_eq!(part(&[1, 2, 3], true), (3, 0));
    assert_eq!(world.account.get(Counter::FilesProbed), 1);
    world.exited(10);
    assert_eq!(world.used(), 0);
}
