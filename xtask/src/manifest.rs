//! What the kept kernel objects were made from, so that a stale one is noticed without building it.
//!
//! The objects themselves can't be compared: across checkouts a few bytes of BTF order differ. So the manifest holds a
//! hash over all that decides what the programs do, and one over each object as it was written.

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// The packages whose sources make the objects.
const SOURCES: [&str; 2] = ["agent-common", "agent-ebpf"];

/// What runs while the programs are built and leaves nothing in them; it would pull in half of the agent's own crates.
const BUILD_ONLY: [&str; 1] = ["aya-build"];

/// The manifest's text: a line a fact, so that a change shows in a diff.
pub struct Manifest {
    /// Name of a fact -> its value.
    facts: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads the manifest that is kept at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let facts = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Ok(Self { facts })
    }

    /// What `inputs` and `objects` (file name, bytes) amount to; `made_with` is told, not compared.
    pub fn of(inputs: &Inputs, objects: &[(String, Vec<u8>)], made_with: &str) -> Self {
        let mut facts = BTreeMap::from([
            ("inputs".to_string(), inputs.hash()),
            ("made-with".to_string(), made_with.to_string()),
        ]);
        facts.extend(inputs.pins.iter().map(|(name, version)| (pin_key(name), version.clone())));
        facts.extend(objects.iter().map(|(name, bytes)| (format!("object:{name}"), sha256(bytes))));
        Self { facts }
    }

    /// The form that is kept.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `cargo xtask build-ebpf`: what the objects beside this file were made from.\n",
        );
        for (name, value) in &self.facts {
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }

    /// Why the objects in `dir` are not what `inputs` makes; `None` when they are.
    pub fn stale(&self, inputs: &Inputs, dir: &Path, objects: &[String]) -> Option<String> {
        if self.facts.get("inputs") != Some(&inputs.hash()) {
            let moved =
                inputs.pins.iter().find(|(name, value)| self.facts.get(&pin_key(name)) != Some(*value));
            return Some(match moved {
                Some((name, value)) => format!("a pin is now {name} {value}"),
                None => "their sources have changed".to_string(),
            });
        }
        objects.iter().find_map(|name| {
            let kept = fs::read(dir.join(name)).ok().map(|bytes| sha256(&bytes));
            (kept.is_none() || kept.as_ref() != self.facts.get(&format!("object:{name}")))
                .then(|| format!("{name} is not the one that was written"))
        })
    }
}

/// The name of a pin's fact: without spaces, which end it.
fn pin_key(name: &str) -> String {
    format!("pin:{}", name.replace(' ', "@"))
}

/// All that decides what the kernel programs do.
pub struct Inputs {
    /// Path in the checkout -> contents.
    files: BTreeMap<String, Vec<u8>>,
    /// Crate with its version -> checksum; tool -> version.
    pins: BTreeMap<String, String>,
}

impl Inputs {
    /// Reads them from the checkout. `tools` are pins that no file holds.
    pub fn read(root: &Path, tools: &[(&str, &str)]) -> Result<Self> {
        let mut files = BTreeMap::new();
        for package in SOURCES {
            for path in files_below(&root.join(package))? {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(
                    name,
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
                );
            }
        }
        let read =
            |name: &str| fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
        // The release profile changes the code; the rest of the workspace's manifest does not.
        files.insert(
            "Cargo.toml [profile.release]".into(),
            release_profile(&read("Cargo.toml")?).into_bytes(),
        );
        let mut pins = locked(&read("Cargo.lock")?, "agent-ebpf")?;
        pins.extend(tools.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())));
        Ok(Self { files, pins })
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        // Lengths first, so that no two sets of inputs read as the same bytes.
        let mut add = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), value] {
                hasher.update((part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        };
        self.files.iter().for_each(|(name, contents)| add(name, contents));
        self.pins.iter().for_each(|(name, version)| add(name, version.as_bytes()));
        hex(&hasher.finalize())
    }
}

fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A package built by itself has its own target directory; editors leave hidden and backup files.
            if name == "target" || name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}

fn release_profile(manifest: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.release");
        }
        if inside && !line.trim().is_empty() && !line.trim_start().starts_with('#') {
            let _ = writeln!(text, "{}", line.trim());
        }
    }
    text
}

/// The crates that `package` is built from, with the version and checksum that the lock file holds them to.
fn locked(lock: &str, package: &str) -> Result<BTreeMap<String, String>> {
    /// One `[[package]]` of a Cargo.lock.
    #[derive(Default)]
    struct Package {
        name: String,
        version: String,
        checksum: String,
        dependencies: Vec<String>,
    }
    let mut packages: Vec<Package> = Vec::new();
    for line in lock.lines().map(str::trim) {
        if line == "[[package]]" {
            packages.push(Package::default());
        }
        let Some(package) = packages.last_mut() else { continue };
        let value = || line.split('"').nth(1).unwrap_or_default().to_string();
        if line.starts_with("name =") {
            package.name = value();
        } else if line.starts_with("version =") {
            package.version = value();
        } else if line.starts_with("checksum =") {
            package.checksum = value();
        } else if line.starts_with('"') {
            package.dependencies.extend(Some(value()).filter(|name| !BUILD_ONLY.contains(&name.as_str())));
        }
    }
    let mut pins = BTreeMap::new();
    let mut waiting = vec![package.to_string()];
    let mut seen = BTreeSet::new();
    while let Some(wanted) = waiting.pop() {
        if !seen.insert(wanted.clone()) {
            continue;
        }
        // "name", or "name version" where the lock file has more than one.
        let (name, version) = wanted.split_once(' ').unwrap_or((&wanted, ""));
        let Some(found) =
            packages.iter().find(|p| p.name == name && (version.is_empty() || p.version == version))
        else {
            bail!("Cargo.lock has no package `{wanted}`: run `cargo update --workspace`");
        };
        if !found.checksum.is_empty() {
            pins.insert(format!("{} {}", found.name, found.version), found.checksum.clone());
        }
        waiting.extend(found.dependencies.iter().cloned());
    }
    Ok(pins)
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"agent-ebpf\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n \"aya-build\",\n \"b 2.0.0\",\n]\n
[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"aa\"\ndependencies = [\n \"c\",\n]\n
[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nchecksum = \"b1\"\n
[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nchecksum = \"b2\"\n
[[package]]\nname = \"c\"\nversion = \"3.0.0\"\nchecksum = \"cc\"\ndependencies = [\n \"a\",\n]\n
[[package]]\nname = \"unrelated\"\nversion = \"9.0.0\"\nchecksum = \"99\"\n";

    fn inputs(source: &str) -> Inputs {
        Inputs {
            files: BTreeMap::from([("agent-ebpf/src/main.rs".to_string(), source.as_bytes().to_vec())]),
            pins: locked(LOCK, "agent-ebpf").unwrap(),
        }
    }

    #[test]
    fn pins_are_what_the_package_is_built_from() {
        let pins: Vec<_> = locked(LOCK, "agent-ebpf").unwrap().into_iter().collect();
        let pin = |name: &str, checksum: &str| (name.to_string(), checksum.to_string());
        assert_eq!(pins, [pin("a 1.0.0", "aa"), pin("b 2.0.0", "b2"), pin("c 3.0.0", "cc")]);
        assert!(locked(LOCK, "absent").is_err());
    }

    #[test]
    fn only_the_release_profile_counts() {
        let manifest = "[workspace]\nmembers = []\n\n[profile.dev]\ndebug = 1\n[profile.release]\n# why\nlto = \"thin\"\n
[profile.release.package.agent-ebpf]\ndebug = 2\n[other]\nx = 1\n";
        assert_eq!(
            release_profile(manifest),
            "[profile.release]\nlto = \"thin\"\n[profile.release.package.agent-ebpf]\ndebug = 2\n"
        );
    }

    #[test]
    fn staleness_names_its_reason() {
        let dir = std::env::temp_dir().join(format!("xtask-manifest-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let object = ("agent-ebpf.x86_64.o".to_string(), b"object".to_vec());
        fs::write(dir.join(&object.0), &object.1).unwrap();
        let names = [object.0.clone()];
        let path = dir.join("MANIFEST");
        fs::write(&path, Manifest::of(&inputs("a"), &[object], "rustc 1.0").text()).unwrap();
        let kept = Manifest::read(&path).unwrap();

        assert_eq!(kept.stale(&inputs("a"), &dir, &names), None);
        assert_eq!(kept.stale(&inputs("b"), &dir, &names).unwrap(), "their sources have changed");
        let mut other = inputs("a");
        other.pins.insert("d 1.1.0".into(), "dd".into());
        assert_eq!(kept.stale(&other, &dir, &names).unwrap(), "a pin is now d 1.1.0 dd");
        fs::write(dir.join(&names[0]), b"swapped").unwrap();
        assert!(kept.stale(&inputs("a"), &dir, &names).unwrap().contains("agent-ebpf.x86_64.o"));
        fs::remove_dir_all(&dir).unwrap();
    }
}
