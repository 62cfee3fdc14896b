//! `cargo xtask fmt` and `lint`: what keeps the code of one kind.

use crate::{
    licences, say,
    workspace::{Workspace, must, no_more, on_path, output_of},
};
use anyhow::{Context, Result, bail};
use std::{env, fs, path::Path, process::Command};

/// Marks of unfinished work. Split, so that this file does not hold them itself.
const FORBIDDEN: [&str; 7] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[ig", "nore"),
];

/// The verb `fmt`.
pub fn fmt(workspace: &Workspace, args: &[String]) -> Result<()> {
    no_more("fmt", args)?;
    must(workspace.cargo().args(["fmt", "--all"]))
}

/// The verb `lint`.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    no_more("lint", args)?;
    let usual = ["--workspace", "--exclude", "agent-ebpf"];
    say("formatting");
    must(workspace.cargo().args(["fmt", "--all", "--check"])).context("`cargo xtask fmt` formats")?;
    say("forbidden words and machine paths");
    words(workspace)?;
    say("licences and sources of dependencies");
    licences::check(workspace)?;
    if on_path("cargo-deny").is_some() {
        must(workspace.cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    }
    say("clippy");
    must(workspace.cargo().arg("clippy").args(usual).args(["--all-targets", "--", "-D", "warnings"]))?;
    say("documentation");
    let rustdoc_flags = "-D warnings";
    must(workspace.cargo().arg("doc").args(usual).args(["--no-deps"]).env("RUSTDOCFLAGS", rustdoc_flags))
}

/// Finds what must not be committed, in every text file of the checkout that git knows or would add.
fn words(workspace: &Workspace) -> Result<()> {
    let root = &workspace.root;
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed =
        output_of(&mut git).context("cannot list the files to search: this needs git and a clone")?;
    let places = machine_places(root, env::var_os("HOME").as_deref().map(Path::new));
    let mut found = Vec::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        // Objects are not text; a file may be deleted and not yet committed so.
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = offence(line, &places) {
                found.push(format!("{name}:{}: {what}", number + 1));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("not to be committed:\n  {}", found.join("\n  "))
}

/// Directories of the machine at hand, which mean nothing on another.
fn machine_places(root: &Path, home: Option<&Path>) -> Vec<String> {
    let shared = ["/", "/home", "/opt", "/srv", "/tmp", "/usr", "/usr/src", "/var", "/var/tmp"];
    [Some(root), root.parent(), home]
        .into_iter()
        .flatten()
        .map(|place| place.display().to_string())
        .filter(|place| !shared.contains(&place.as_str()))
        // One word after the slash is too common to mean the machine, as in /proc/PID/root.
        .map(|place| if place.matches('/').count() == 1 { place + "/" } else { place })
        .collect()
}

fn offence(line: &str, places: &[String]) -> Option<String> {
    let word = FORBIDDEN.iter().find(|word| line.contains(**word)).map(ToString::to_string);
    word.or_else(|| {
        places
            .iter()
            .find(|place| has_path(line, place))
            .map(|place| format!("path of this machine: {place}"))
    })
}

/// Whether `place`, or something in it, is named in `line` as an absolute path, not as the end of another one.
fn has_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"_-.}>)*]~$".contains(c));
        starts && (place.ends_with('/') || after.is_none_or(|c| !c.is_alphanumeric() && !"_-.".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_and_machine_paths_are_found() {
        let places = machine_places(Path::new("/srv/me/checkout"), Some(Path::new("/me")));
        assert_eq!(places, ["/srv/me/checkout", "/srv/me", "/me/"]);
        for line in [
            concat!("// TO", "DO: later"),
            concat!("    todo", "!()"),
            "cd /srv/me/checkout && make",
            "let home = \"/me/.cargo\";",
            "from /srv/me",
        ] {
            assert!(offence(line, &places).is_some(), "{line}");
        }
        for line in [
            "/proc/PID/root/usr/lib",
            "/proc/{pid}/root/x",
            "/proc/1/root",
            "/rooted",
            "the todo list",
            "/srv/mel",
        ] {
            assert_eq!(offence(line, &places), None, "{line}");
        }
        assert!(machine_places(Path::new("/tmp/clone"), None).iter().all(|place| place != "/tmp"));
    }
}
