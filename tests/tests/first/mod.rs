//! How many of the first requests of processes that start and call at once are seen. The clients are those of the capture
//! matrix.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use plainspan_tests::{
    harness::{AgentCommand, Command, Local, Span, directory},
    matrix::{Client, Link, Place, Shop, clients},
};

/// Processes that run a file which the agent knows from an earlier day.
const KNOWN: usize = 10;
/// Processes that each run a file which nobody has ever seen; `PLAINSPAN_FIRST_REQUESTS` sets another number.
const UNSEEN: usize = 2;
/// Between two of these: what one process has left to be examined is not held against the next.
const PAUSE: Duration = Duration::from_secs(1);
/// The largest file is examined, also in a build with debug checks.
const EXAMINED: Duration = Duration::from_secs(3);

/// Makes the tests: of each client its name, and how many of the first requests from unseen files must be seen.
macro_rules! tests {
    ($($name:ident $least:literal)+) => {
        /// To start an agent and to end it takes seconds, so all clients share two.
        static COUNTS: std::sync::LazyLock<std::collections::BTreeMap<String, $crate::first::Counts>> =
            std::sync::LazyLock::new(|| $crate::first::measure(&[$(stringify!($name)),+]));

        $(
            #[test]
            fn $name() {
                COUNTS[stringify!($name)].hold($least);
            }
        )+
    };
}

pub(crate) use tests;

/// How many first requests were made and seen.
#[derive(Debug, Default)]
pub struct Counts {
    known: usize,
    unseen: usize,
    of_unseen: usize,
    /// Of programs that nobody had seen, those that had to wait until they were.
    held: Option<usize>,
    /// The TLS code is the system's own library.
    before: bool,
}

impl Counts {
    /// Of known files that were probed before the process began all, of those that are probed meanwhile most; of programs
    /// that are held, all.
    pub fn hold(&self, least: usize) {
        let known = if self.before { KNOWN } else { KNOWN / 2 };
        assert!(self.known >= known, "the files were known: {self:?}");
        assert!(
            self.unseen >= least.min(self.of_unseen),
            "too few from files that nobody had seen: {self:?}"
        );
        assert!(
            self.held.is_none_or(|held| held == self.of_unseen),
            "they waited until they were known: {self:?}"
        );
    }
}

/// Runs those of the clients whose tests are asked for, from files that are not known and from such that are, and prints
/// the rows of the book's table.
pub fn measure(names: &[&str]) -> BTreeMap<String, Counts> {
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let starts: Vec<Start> = names.iter().filter(|name| asked(name)).map(|name| Start::of(name)).collect();
    let count = std::env::var("PLAINSPAN_FIRST_REQUESTS").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(UNSEEN);

    let directory = directory();
    let agent = || AgentCommand::new().args(["--cache".as_ref(), directory.path().join("cache").as_os_str()]);
    let running = agent().start();
    let unseen: Vec<_> = starts.iter().map(|start| start.unseen_files(count, directory.path())).collect();
    // Extensions wait in this run between their loading and the first call, so that the agent learns of them.
    for start in &starts {
        start.first(start.command());
    }
    sleep(EXAMINED);
    let first_day = running.stop().exited(0).spans;
    let running = agent().start();
    let known: Vec<Vec<_>> =
        starts.iter().map(|start| (0..KNOWN).map(|_| start.first(start.at_once())).collect()).collect();
    let second_day = running.stop().exited(0).spans;

    let programs = |start: &&Start| start.client.link == Link::Static;
    let holding = AgentCommand::new().args(["--cache", "none", "--hold-new-programs=20"]).start();
    let held: Vec<_> =
        starts.iter().filter(programs).map(|s| s.unseen_files(count, directory.path())).collect();
    let third_day = holding.stop().exited(0).spans;
    let mut held = starts
        .iter()
        .filter(programs)
        .zip(held)
        .map(|(s, held)| (s.client.name, seen(&third_day, &s.provider, &held)))
        .collect::<BTreeMap<_, _>>();

    let rows = starts.iter().zip(known.iter().zip(&unseen)).map(|(start, (known, unseen))| {
        let (known, unseen) =
            (seen(&second_day, &start.provider, known), seen(&first_day, &start.provider, unseen));
        let Client { name, stack, link, .. } = start.client;
        let held = held.remove(name);
        let before = *link == Link::Shared;
        let counts = Counts { known, unseen, of_unseen: count, held, before };
        let waited = held.map_or("not held".to_owned(), |held| format!("{held} of {count}"));
        eprintln!(
            "| {name} | {stack}, {} | {known} of {KNOWN} | {unseen} of {count} | {waited} |",
            link.name()
        );
        (start.client.test(), counts)
    });
    rows.collect()
}

/// How a client is started.
struct Start {
    client: &'static Client,
    install: PathBuf,
    provider: Local,
}

impl Start {
    fn of(test: &str) -> Self {
        let client =
            clients().into_iter().find(|client| client.test() == test).expect("a client of the matrix");
        let dir = std::env::var_os("PLAINSPAN_MATRIX")
            .expect("PLAINSPAN_MATRIX is not set: use `cargo xtask test`");
        let newest = std::env::var_os("PLAINSPAN_MATRIX_NEWEST").is_some();
        let provider = Local::speaking(client.protocols);
        fs::create_dir(provider.dir().join("home")).expect("a directory can be made");
        Self { client, install: Shop::new(dir, newest).place(client.install), provider }
    }

    fn unseen_files(&self, count: usize, directory: &Path) -> Vec<String> {
        let firsts = (0..count).map(|n| {
            let copies = directory.join(format!("{}-{n}", self.client.name));
            fs::create_dir(&copies).expect("a directory can be made");
            let first = self.first(self.copied(self.at_once(), &copies));
            sleep(PAUSE);
            fs::remove_dir_all(&copies).expect("what was made can be removed");
            first
        });
        firsts.collect()
    }

    fn command(&self) -> Command {
        let home = self.provider.dir().join("home");
        (self.client.command)(&Place { dir: self.install.clone(), home, provider: &self.provider })
    }

    fn at_once(&self) -> Command {
        self.command().env("MATRIX_WAIT", "0")
    }

    /// Runs one process; the id of the answer to its first request.
    fn first(&self, command: Command) -> String {
        let before = self.provider.calls().len();
        command.run().exited(0);
        let calls = self.provider.calls();
        let first = calls.get(before).unwrap_or_else(|| panic!("{} did not call", self.client.name));
        first.facts.id.clone().expect("an answer has an id")
    }

    /// The same client from files of its own, in which its TLS code is.
    fn copied(&self, command: Command, to: &Path) -> Command {
        match self.client.link {
            Link::Static => {
                let program = to.join("program");
                fs::copy(&command.program, &program).expect("there is room");
                Command { program, ..command }
            }
            Link::Shared => {
                let libraries: &[&str] = match self.client.stack {
                    "GnuTLS" => &["libgnutls.so.30"],
                    _ => &["libssl.so.3", "libcrypto.so.3"],
                };
                for library in libraries {
                    fs::copy(system_library(library), to.join(library)).expect("there is room");
                }
                command.env("LD_LIBRARY_PATH", to)
            }
            Link::Bundled => {
                let lib = only(&self.install.join("lib"), "python3");
                copy_all(&lib.join("site-packages"), to, &self.client.package.replace('-', "_"));
                command.env("PYTHONPATH", to)
            }
        }
    }
}

/// How many of these answers of a provider have a span of who asked. Providers are processes like others and have some,
/// too, and each counts its answers for itself.
fn seen(spans: &[Span], provider: &Local, firsts: &[String]) -> usize {
    let port = serde_json::json!(provider.port());
    let asked = |span: &&Span, id: &String| {
        span.is_client() && *span.get("server.port") == port && span.response_id() == Some(id)
    };
    firsts.iter().filter(|id| spans.iter().any(|span| asked(&span, id))).count()
}

fn system_library(name: &str) -> PathBuf {
    let listed = std::process::Command::new("ldconfig").arg("-p").output().expect("ldconfig can be started");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let line = listed.lines().find(|line| line.trim_start().starts_with(name));
    let path = line.and_then(|line| line.split(" => ").nth(1));
    PathBuf::from(path.unwrap_or_else(|| panic!("the system has no {name}")))
}

fn entries(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap_or_else(|e| panic!("can't read {}: {e}", dir.display()));
    all.flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}

fn only(dir: &Path, prefix: &str) -> PathBuf {
    entries(dir, prefix).pop().unwrap_or_else(|| panic!("no {prefix}... in {}", dir.display()))
}

/// Copies files and directories whose names begin so.
fn copy_all(from: &Path, to: &Path, prefix: &str) {
    for path in entries(from, prefix) {
        let copy = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            fs::create_dir(&copy).expect("a directory can be made");
            copy_all(&path, &copy, "");
        } else {
            fs::copy(&path, &copy).expect("there is room");
        }
    }
}
