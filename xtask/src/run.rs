//! `cargo xtask build` and `run`.

use crate::{
    ebpf, root, say,
    workspace::{Workspace, no_more, shown},
};
use anyhow::{Result, bail};
use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// `build [--release]`.
pub fn build(workspace: &Workspace, args: &[String]) -> Result<()> {
    let (release, rest) = split_release(args);
    no_more("build", &rest)?;
    let binary = plainspan(workspace, release)?;
    say(&format!("built {}", binary.display()));
    Ok(())
}

/// `run [--release] [OPTIONS OF plainspan run] [-- COMMAND...]`. Returns only where it can't become plainspan.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    root::must_be_had("loading kernel programs")?;
    let (release, rest) = split_release(args);
    let binary = plainspan(workspace, release)?;
    let mut command = root::command(&binary)?;
    command.arg("run").args(&rest);
    let error = command.exec();
    bail!("cannot start `{}`: {error}", shown(&command))
}

/// Builds the agent, as the user who asked, and returns the binary.
pub fn plainspan(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    ebpf::warn_if_stale(workspace)?;
    say_if_slow(&workspace.target, release);
    workspace.binary("plainspan", "plainspan", if release { &["--release"] } else { &[] })
}

fn say_if_slow(target: &Path, release: bool) {
    let profile = if release { "release" } else { "debug" };
    if !target.join(profile).join("plainspan").is_file() {
        say("building plainspan (the first time takes some minutes)");
    }
}

/// Takes `--release` out of what stands before `--`; what stands after it is the user's own command.
fn split_release(args: &[String]) -> (bool, Vec<String>) {
    let own = args.iter().position(|argument| argument == "--").unwrap_or(args.len());
    let (before, after) = args.split_at(own);
    let kept = before.iter().filter(|argument| *argument != "--release");
    (before.iter().any(|argument| argument == "--release"), kept.chain(after).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_counts_before_the_command_only() {
        let case = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            let (release, rest) = split_release(&args);
            (release, rest.join(" "))
        };
        assert_eq!(case(&["--release", "-v", "--", "make"]), (true, "-v -- make".to_string()));
        assert_eq!(
            case(&["--", "cargo", "build", "--release"]),
            (false, "-- cargo build --release".to_string())
        );
        assert_eq!(case(&[]), (false, String::new()));
    }
}
