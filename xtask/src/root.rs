//! Root, for what only root may do, and for nothing else: all building is done as the invoking user.

use crate::workspace::{on_path, output_of};
use anyhow::{Result, bail};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether this process is root.
pub fn is_root() -> bool {
    // A process owns its own directory in /proc, by its effective user id: proc(5).
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Fails, with what to do, where root can't be had; so that nobody waits for a build first.
pub fn must_be_had(why: &str) -> Result<()> {
    if is_root() || on_path("sudo").is_some() {
        return Ok(());
    }
    bail!("{why} needs root, and there is no sudo here: run the same command in a root shell (`su -`)")
}

/// `program`, to be run as root with the environment of the one who typed the command.
///
/// The whole environment goes along, since what is run may be the user's own program with its own keys.
/// It goes through sudo's own option and never through a command line, which all users can read.
/// PATH and HOME are repeated because sudo's policy replaces them even then (sudoers(5): `secure_path`, `always_set_home`).
pub fn command(program: &Path) -> Result<Command> {
    if is_root() {
        let mut command = Command::new(program);
        clean(&mut command);
        return Ok(command);
    }
    let Some(sudo) = on_path("sudo") else {
        bail!("`{}` needs root, and there is no sudo here: use a root shell", program.display());
    };
    let mut command = Command::new(sudo);
    command.arg("--preserve-env").arg("--").arg("env");
    for name in ["PATH", "HOME"] {
        if let Some(value) = env::var_os(name) {
            command.arg(assignment(name, &value));
        }
    }
    // The dynamic linker's variables never pass sudo (sudoers(5): `env_delete`), and a client may need its libraries.
    if let Some(value) = own_library_path() {
        command.arg(assignment("LD_LIBRARY_PATH", &value));
    }
    clean(&mut command);
    command.arg(program);
    Ok(command)
}

fn assignment(name: &str, value: &OsStr) -> OsString {
    let mut assignment = OsString::from(name);
    assignment.push("=");
    assignment.push(value);
    assignment
}

/// Takes out what `cargo run` added, so that a watched command sees the environment that its user typed it in.
fn clean(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let of_cargo = ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| text.starts_with(prefix))
            || matches!(
                text,
                "CARGO" | "RUSTUP_TOOLCHAIN" | "RUSTUP_TOOLCHAIN_SOURCE" | "RUST_RECURSION_COUNT"
            );
        if of_cargo {
            command.env_remove(&name);
        }
    }
    match own_library_path() {
        Some(value) => command.env("LD_LIBRARY_PATH", value),
        None => command.env_remove("LD_LIBRARY_PATH"),
    };
}

/// LD_LIBRARY_PATH without the directories of cargo and of the Rust toolchain.
fn own_library_path() -> Option<OsString> {
    let value = env::var_os("LD_LIBRARY_PATH")?;
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"])).map(PathBuf::from);
    let built = env::current_exe().ok().and_then(|xtask| xtask.parent().map(Path::to_path_buf));
    let added =
        |dir: &PathBuf| [&sysroot, &built].into_iter().flatten().any(|prefix| dir.starts_with(prefix));
    let own: Vec<PathBuf> = env::split_paths(&value).filter(|dir| !added(dir)).collect();
    if own.is_empty() { None } else { env::join_paths(own).ok() }
}

/// Whether this is a Debian or a child of it, where packages are had from apt-get.
pub fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    on_path("apt-get").is_some()
        && release.lines().any(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
                .is_some_and(|ids| ids.contains("debian"))
        })
}

/// Installs packages of the distribution, saying so first.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    crate::say(&format!("installing with apt-get: {names}"));
    let apt = || command(Path::new("apt-get"));
    let install = || -> Result<bool> {
        let mut command = apt()?;
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
            .args(["install", "--yes", "--quiet", "--no-install-recommends", "--no-upgrade"])
            .args(packages);
        Ok(command.status().is_ok_and(|status| status.success()))
    };
    // The lists are only fetched anew where the first try shows that they are needed.
    if install()?
        || (apt()?.args(["update", "--quiet"]).status().is_ok_and(|status| status.success()) && install()?)
    {
        return Ok(());
    }
    bail!("apt-get could not install: {names}")
}
