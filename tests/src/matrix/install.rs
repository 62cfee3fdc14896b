//! What brings clients onto the machine: packages of a registry at pinned or at the newest versions, and what is built
//! from them, each below a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::client_script;

/// Where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// The system's packages; their versions are the distribution's.
    Debian,
    /// PyPI, into a virtual environment.
    Pypi,
    /// npm, into a prefix; `@ARCH` in a name stands for npm's name of the processor, and `@MACHINE` for what some call it.
    Npm,
    /// crates.io: the packages are those of `tests/clients/matrix/rust/Cargo.lock`.
    Crates,
}

/// Packages that are installed together.
#[derive(Debug)]
pub struct Install {
    /// Unique name, and that of its directory.
    pub name: &'static str,
    /// Where from.
    pub registry: Registry,
    /// Names and pinned versions.
    pub packages: &'static [(&'static str, &'static str)],
    /// Command lines that build a client of them: `@DIR` is the install, `@CLIENTS` the directory of the clients' sources,
    /// `@SHARED` one that builds may share.
    pub build: &'static [&'static [&'static str]],
    /// Its licence lets it be used, and is read as not letting it be kept: it goes once the row was run.
    pub kept: bool,
}

/// The directory that holds all installs, at pinned or newest versions.
pub struct Shop {
    dir: PathBuf,
    newest: bool,
}

type Result<T> = std::result::Result<T, String>;

impl Shop {
    /// Below `dir`; `newest`: of every package the newest version there is.
    pub fn new(dir: impl Into<PathBuf>, newest: bool) -> Self {
        Self { dir: dir.into(), newest }
    }

    /// Where an install is.
    pub fn place(&self, install: &Install) -> PathBuf {
        self.dir.join(if self.newest { "newest" } else { "pinned" }).join(install.name)
    }

    /// Where the rows that were run lie.
    pub fn rows(&self) -> PathBuf {
        self.dir.join(if self.newest { "newest-rows" } else { "rows" })
    }

    /// Makes an install unless it is there as it should be. Debian's packages must be there already.
    pub fn make(&self, install: &Install) -> Result<()> {
        let dir = self.place(install);
        let wanted = self.recipe(install)?;
        // Written last, so an install that was interrupted in the making is made anew.
        let stamp = dir.join(".made-from");
        if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
            return Ok(());
        }
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|e| format!("can't remove {}: {e}", dir.display()))?;
        }
        fs::create_dir_all(&dir).map_err(|e| format!("can't make {}: {e}", dir.display()))?;
        let packages = |separator: &str| -> Vec<String> {
            let of = |(name, version): &(&str, &str)| {
                let name = named(name);
                if self.newest { name } else { format!("{name}{separator}{version}") }
            };
            install.packages.iter().map(of).collect()
        };
        match install.registry {
            Registry::Debian | Registry::Crates => {}
            Registry::Pypi => {
                let python = std::env::var("PLAINSPAN_PYTHON").unwrap_or_else(|_| "python3".into());
                must(Command::new(python).args(["-m", "venv"]).arg(&dir))?;
                let mut pip = Command::new(dir.join("bin/python"));
                pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
                must(pip.args(packages("==")))?;
            }
            Registry::Npm => {
                let mut npm = Command::new("npm");
                npm.args([
                    "install",
                    "--no-audit",
                    "--no-fund",
                    "--no-save",
                    "--ignore-scripts",
                    "--loglevel=error",
                ]);
                npm.arg("--prefix").arg(&dir).current_dir(&dir);
                if !install.kept {
                    npm.arg("--cache").arg(dir.join(".cache"));
                }
                must(npm.args(packages("@")))?;
            }
        }
        for line in install.build {
            let mut words = line.iter().map(|word| self.filled(word, &dir));
            let mut command = Command::new(words.next().unwrap_or_default());
            must(command.args(words).current_dir(&dir))?;
        }
        fs::write(&stamp, wanted).map_err(|e| format!("can't write {}: {e}", stamp.display()))
    }

    /// Removes an install that may not be kept.
    pub fn clear(&self, install: &Install) -> Result<()> {
        let dir = self.place(install);
        if install.kept || !dir.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&dir).map_err(|e| format!("can't remove {}: {e}", dir.display()))
    }

    /// The version of a package as it is installed.
    pub fn version(&self, install: &Install, package: &str) -> Result<String> {
        let dir = self.place(install);
        let package = named(package);
        let found = match install.registry {
            Registry::Debian => debian_version(&package),
            Registry::Pypi => {
                let script = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))";
                output(Command::new(dir.join("bin/python")).args(["-c", script, &package]))
            }
            Registry::Npm => {
                let manifest = dir.join("node_modules").join(&package).join("package.json");
                let manifest = fs::read(manifest).unwrap_or_default();
                let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap_or_default();
                manifest["version"].as_str().map(ToOwned::to_owned)
            }
            Registry::Crates => {
                let lock = fs::read_to_string(dir.join("source/Cargo.lock")).unwrap_or_default();
                let entry = format!("name = \"{package}\"\nversion = \"");
                lock.split_once(&entry).and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()))
            }
        };
        found.ok_or_else(|| format!("{package} is not installed in {}", dir.display()))
    }

    fn filled(&self, word: &str, dir: &Path) -> String {
        let shared = self.dir.join(if self.newest { "newest-build" } else { "build" });
        word.replace("@DIR", &dir.to_string_lossy())
            .replace("@CLIENTS", &client_script("").to_string_lossy())
            .replace("@SHARED", &shared.to_string_lossy())
    }

    /// All that an install depends on, as text.
    fn recipe(&self, install: &Install) -> Result<String> {
        let mut text = format!("{:?} {:?} newest: {}\n", install, std::env::consts::ARCH, self.newest);
        for line in install.build {
            for word in *line {
                let path = PathBuf::from(self.filled(word, &self.place(install)));
                if word.starts_with("@CLIENTS") && path.is_file() {
                    text += &fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                }
            }
        }
        Ok(text)
    }
}

/// Debian's packages of these installs that are not on the machine.
pub fn missing_packages<'a>(installs: impl Iterator<Item = &'a Install>) -> Vec<&'static str> {
    let mut missing: Vec<&str> = installs
        .filter(|install| install.registry == Registry::Debian)
        .flat_map(|install| install.packages)
        .map(|(package, _)| *package)
        .filter(|package| debian_version(package).is_none())
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

fn debian_version(package: &str) -> Option<String> {
    let text = output(Command::new("dpkg-query").args([
        "--show",
        "--showformat=${db:Status-Status} ${Version}",
        package,
    ]))?;
    text.strip_prefix("installed ").map(ToOwned::to_owned)
}

/// A package's name on this machine.
fn named(package: &str) -> String {
    package.replace("@ARCH", arch()).replace("@MACHINE", machine())
}

/// npm's name of the processor.
pub fn arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
}

/// The name that packages give it which follow nobody.
pub fn machine() -> &'static str {
    if cfg!(target_arch = "aarch64") { "aarch64" } else { "x64" }
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a command whose failure ends the install; what it prints goes where errors go.
fn must(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("can't start {shown}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].concat();
    Err(format!("{shown} failed ({}):\n{}", output.status, String::from_utf8_lossy(&told)))
}
