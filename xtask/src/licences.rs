//! Checks the dependencies against deny.toml without cargo-deny, which takes longer to build than all the rest of CI.
//!
//! What it reads is the same file and the same meaning: `licenses.allow`, `licenses.exceptions` by crate, `bans.deny`,
//! and crates.io as the only source. A machine that has cargo-deny is asked by it as well.

use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{collections::BTreeSet, fs, process::Stdio};

/// Fails with every package that deny.toml does not allow.
pub fn check(workspace: &Workspace) -> Result<()> {
    let rules =
        Rules::parse(&fs::read_to_string(workspace.root.join("deny.toml")).context("cannot read deny.toml")?);
    if rules.allow.is_empty() {
        bail!("deny.toml allows no licence: `licenses.allow` is missing");
    }
    let output = workspace
        .cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("`cargo metadata --locked` failed: is Cargo.lock up to date?");
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("`cargo metadata`")?;
    let empty = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&empty);
    let refused: Vec<String> = packages.iter().filter_map(|package| rules.refuse(package)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!("deny.toml does not allow:\n  {}", refused.join("\n  "))
}

/// What deny.toml says, as far as it is read here.
#[derive(Default)]
struct Rules {
    allow: BTreeSet<String>,
    /// (crate, licence) that is allowed for this crate alone.
    exceptions: BTreeSet<(String, String)>,
    deny: BTreeSet<String>,
}

impl Rules {
    /// Reads the three lists. They are written one entry a line, which is all of TOML that is understood.
    fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        let (mut section, mut list) = (String::new(), String::new());
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
            if let Some(name) =
                line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|_| list.is_empty())
            {
                section = name.to_string();
            } else if line.ends_with("= [") {
                list = line.split('=').next().unwrap_or_default().trim().to_string();
            } else if line.starts_with(']') {
                list.clear();
            }
            let mut quoted = line.split('"').skip(1).step_by(2).map(ToString::to_string);
            match (section.as_str(), list.as_str()) {
                ("licenses", "allow") => rules.allow.extend(quoted),
                ("bans", "deny") => rules.deny.extend(quoted.next()),
                ("licenses", "exceptions") => {
                    if let Some(name) = quoted.next() {
                        rules.exceptions.extend(quoted.map(|licence| (name.clone(), licence)));
                    }
                }
                _ => {}
            }
        }
        rules
    }

    fn refuse(&self, package: &Value) -> Option<String> {
        let name = package["name"].as_str().unwrap_or_default();
        let shown = format!("{name} {}", package["version"].as_str().unwrap_or_default());
        if self.deny.contains(name) {
            return Some(format!("{shown}: banned"));
        }
        // No source: a member of this workspace, under the workspace's own licence or one of its own.
        let source = package["source"].as_str()?;
        if !(source.starts_with("registry+") && source.contains("crates.io-index")) {
            return Some(format!("{shown}: comes from {source}"));
        }
        let Some(licence) = package["license"].as_str() else {
            return Some(format!("{shown}: names no licence"));
        };
        let allowed = |id: &str| {
            self.allow.contains(id) || self.exceptions.contains(&(name.to_string(), id.to_string()))
        };
        (!Expression::new(licence).met_by(&allowed)).then(|| format!("{shown}: {licence}"))
    }
}

/// An SPDX licence expression, and the older form with `/` for OR that some crates still have.
struct Expression {
    words: std::vec::IntoIter<String>,
    next: Option<String>,
}

impl Expression {
    fn new(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        let mut words = spaced.split_whitespace().map(ToString::to_string).collect::<Vec<_>>().into_iter();
        let next = words.next();
        Self { words, next }
    }

    fn met_by(mut self, allowed: &dyn Fn(&str) -> bool) -> bool {
        let met = self.any(allowed, 0);
        met && self.next.is_none()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.next.as_deref() == Some(word);
        if is_next {
            self.next = self.words.next();
        }
        is_next
    }

    fn any(&mut self, allowed: &dyn Fn(&str) -> bool, depth: u8) -> bool {
        let mut met = self.all(allowed, depth);
        while self.take("OR") {
            met |= self.all(allowed, depth);
        }
        met
    }

    fn all(&mut self, allowed: &dyn Fn(&str) -> bool, depth: u8) -> bool {
        let mut met = self.one(allowed, depth);
        while self.take("AND") {
            met &= self.one(allowed, depth);
        }
        met
    }

    fn one(&mut self, allowed: &dyn Fn(&str) -> bool, depth: u8) -> bool {
        if depth < 8 && self.take("(") {
            let met = self.any(allowed, depth + 1);
            return self.take(")") && met;
        }
        let Some(mut id) = std::mem::replace(&mut self.next, self.words.next()) else { return false };
        if self.take("WITH") {
            id = format!("{id} WITH {}", self.next.take().unwrap_or_default());
            self.next = self.words.next();
        }
        allowed(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DENY: &str = "[licenses]\nallow = [\n  \"Apache-2.0\",\n  \"MIT\", # a comment\n  \"Apache-2.0 WITH LLVM-exception\",\n]\n
exceptions = [\n  { crate = \"roots\", allow = [\"CDLA\"] },\n]\n[bans]\nmultiple-versions = \"allow\"\ndeny = [\n  { crate = \"openssl\", reason = \"x\" },\n]\n";

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        let rules = Rules::parse(DENY);
        let allowed = |id: &str| rules.allow.contains(id);
        for met in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR X",
        ] {
            assert!(Expression::new(met).met_by(&allowed), "{met}");
        }
        for not in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "GPL-3.0 WITH LLVM-exception",
            "",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "OR",
            "WITH",
        ] {
            assert!(!Expression::new(not).met_by(&allowed), "{not}");
        }
    }

    #[test]
    fn packages_are_refused_with_the_reason() {
        let rules = Rules::parse(DENY);
        let index = "registry+https://github.com/rust-lang/crates.io-index";
        let refuse = |name: &str, source: Option<&str>, licence: Option<&str>| {
            rules.refuse(&json!({"name": name, "version": "1.0.0", "source": source, "license": licence}))
        };
        assert_eq!(refuse("a", Some(index), Some("MIT")), None);
        assert_eq!(refuse("member", None, None), None);
        assert_eq!(refuse("roots", Some(index), Some("CDLA")), None);
        assert_eq!(refuse("a", Some(index), Some("CDLA")).unwrap(), "a 1.0.0: CDLA");
        assert_eq!(refuse("a", Some(index), None).unwrap(), "a 1.0.0: names no licence");
        assert_eq!(refuse("openssl", Some(index), Some("MIT")).unwrap(), "openssl 1.0.0: banned");
        assert!(refuse("a", Some("git+ssh://b"), Some("MIT")).unwrap().contains("comes from"));
    }
}
