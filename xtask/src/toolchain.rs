//! The Rust toolchain for the kernel programs: any rustc that comes with the sources of its own `core`.
//!
//! The BPF target ships no `core`, so it is built along (`-Zbuild-std`), and it must be of the very version of the
//! compiler. That is a rustup toolchain with `rust-src`, or the distribution's rustc with its source package; the
//! agent itself stays on the stable toolchain that started xtask.

use crate::{
    linker, root, say,
    workspace::{must, on_path, output_of},
};
use anyhow::{Result, bail};
use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// Names a rustup toolchain, or a directory that holds bin/rustc and bin/cargo, to be used instead of the choice made here.
const OVERRIDE: &str = "PLAINSPAN_EBPF_TOOLCHAIN";
const RUSTUP_INSTALL: [&str; 8] = [
    "toolchain",
    "install",
    "nightly",
    "--profile",
    "minimal",
    "--component",
    "rust-src",
    "--no-self-update",
];
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A compiler that can build the kernel programs.
pub struct Toolchain {
    /// Where it was found and its version, for a person.
    pub what: String,
    pub cargo: PathBuf,
    pub rustc: PathBuf,
    pub sysroot: PathBuf,
    /// Major version of the LLVM whose bitcode it writes.
    pub llvm: u32,
}

/// The toolchain that is here, if one is.
pub fn find() -> Result<Option<Toolchain>> {
    if let Some(wanted) = env::var_os(OVERRIDE).filter(|value| !value.is_empty()) {
        let wanted = wanted.to_string_lossy().into_owned();
        let found =
            if Path::new(&wanted).is_dir() { in_prefix(Path::new(&wanted)) } else { of_rustup(&wanted) };
        let Some(found) = found else {
            bail!(
                "{OVERRIDE}={wanted} is no toolchain with the sources of its own `core` and an LLVM of {}",
                linker::SUPPORTED_LLVM.map(|version| version.to_string()).join(", ")
            );
        };
        return Ok(Some(found));
    }
    Ok(of_rustup("nightly").or_else(|| of_rustup("stable")).or_else(|| in_prefix(Path::new("/usr"))))
}

/// The toolchain that is here, or else is installed now, saying so.
pub fn find_or_install() -> Result<Toolchain> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    say("the kernel programs need a rustc with the sources of its own `core`, and none is here");
    let has_packages = root::is_debian() && (root::is_root() || on_path("sudo").is_some());
    if has_packages && let Err(error) = root::apt_install(&DEBIAN_PACKAGES) {
        say(&format!("{error:#}"));
    }
    if let Some(found) = find()? {
        return Ok(found);
    }
    if on_path("rustup").is_some() {
        say(&format!("rustup {}", RUSTUP_INSTALL.join(" ")));
        // Its failure shows in what is found afterwards; it has said why.
        let _ = must(Command::new("rustup").args(RUSTUP_INSTALL));
    }
    let Some(found) = find()? else {
        bail!(
            "no rustc with the sources of its own `core` could be had; install one of\n  \
             with rustup:  rustup {}\n  \
             on Debian:    apt-get install --no-install-recommends {}\n\
             or name another in {OVERRIDE}. Only `build-ebpf` needs it: the kept kernel objects do without.",
            RUSTUP_INSTALL.join(" "),
            DEBIAN_PACKAGES.join(" ")
        );
    };
    Ok(found)
}

fn of_rustup(name: &str) -> Option<Toolchain> {
    let which = |tool: &str| {
        output_of(Command::new("rustup").args(["which", "--toolchain", name, tool])).map(PathBuf::from)
    };
    probe(&format!("rustup toolchain {name}"), which("cargo")?, which("rustc")?)
}

fn in_prefix(prefix: &Path) -> Option<Toolchain> {
    let tool = |name: &str| Some(prefix.join("bin").join(name)).filter(|path| path.is_file());
    probe(&format!("rustc in {}", prefix.display()), tool("cargo")?, tool("rustc")?)
}

fn probe(place: &str, cargo: PathBuf, rustc: PathBuf) -> Option<Toolchain> {
    let sysroot = PathBuf::from(output_of(Command::new(&rustc).args(["--print", "sysroot"]))?);
    // The lock file is what -Zbuild-std looks for first.
    if !sysroot.join("lib/rustlib/src/rust/library/Cargo.lock").is_file() {
        return None;
    }
    let (release, llvm) = versions(&output_of(Command::new(&rustc).arg("-vV"))?)?;
    linker::SUPPORTED_LLVM.contains(&llvm).then(|| Toolchain {
        what: format!("{place}: rustc {release}, LLVM {llvm}"),
        cargo,
        rustc,
        sysroot,
        llvm,
    })
}

/// The release and the major version of LLVM in what `rustc -vV` prints.
fn versions(verbose: &str) -> Option<(String, u32)> {
    let value = |key: &str| verbose.lines().find_map(|line| line.strip_prefix(key));
    let llvm = value("LLVM version: ")?.split('.').next()?.trim().parse().ok()?;
    Some((value("release: ")?.trim().to_string(), llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_rustc() {
        let nightly = "rustc 1.97.0-nightly (f1 2026-05-19)\nbinary: rustc\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(versions(nightly), Some(("1.97.0-nightly".to_string(), 22)));
        assert_eq!(versions("rustc 1.97.0\n"), None);
        assert_eq!(versions("release: 1.97.0\nLLVM version: unknown\n"), None);
    }
}
