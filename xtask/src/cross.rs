//! `cargo xtask cross`: the agent for the other of its two architectures, so that it builds there too.

use crate::{
    root, say,
    workspace::{Workspace, must, no_more, on_path, output_of},
};
use anyhow::{Context as _, Result, bail};
use std::{fs, process::Command};

/// What a cross-build needs.
struct Other {
    target: &'static str,
    /// C compiler and linker, and the Debian package that it comes with.
    compiler: &'static str,
    package: &'static str,
    /// `e_machine` of its executables (ELF-64 object file format; supplements of both architectures).
    machine: u16,
}

const AARCH64: Other = Other {
    target: "aarch64-unknown-linux-gnu",
    compiler: "aarch64-linux-gnu-gcc",
    package: "gcc-aarch64-linux-gnu",
    machine: 183,
};

const X86_64: Other = Other {
    target: "x86_64-unknown-linux-gnu",
    compiler: "x86_64-linux-gnu-gcc",
    package: "gcc-x86-64-linux-gnu",
    machine: 62,
};

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    no_more("cross", args)?;
    let other = if cfg!(target_arch = "aarch64") { &X86_64 } else { &AARCH64 };
    standard_library(other)?;
    if on_path(other.compiler).is_none() {
        if !root::is_debian() {
            bail!("a cross-build needs {}: install a C compiler for {}", other.compiler, other.target);
        }
        // The C library for it is only recommended by the compiler.
        let library =
            if other.machine == AARCH64.machine { "libc6-dev-arm64-cross" } else { "libc6-dev-amd64-cross" };
        root::apt_install(&[other.package, library])?;
    }
    say(&format!("building plainspan for {}", other.target));
    let upper = other.target.to_uppercase().replace('-', "_");
    let mut build = workspace.cargo();
    build
        .args(["build", "--package", "plainspan", "--bin", "plainspan", "--target", other.target])
        .env(format!("CARGO_TARGET_{upper}_LINKER"), other.compiler)
        .env(format!("CC_{}", other.target.replace('-', "_")), other.compiler);
    must(&mut build)?;
    let binary = workspace.target.join(other.target).join("debug/plainspan");
    let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    if !bytes.starts_with(b"\x7fELF") || bytes.get(18..20) != Some(&other.machine.to_le_bytes()[..]) {
        bail!("{} is no executable for {}", binary.display(), other.target);
    }
    say(&format!("built {}", binary.display()));
    Ok(())
}

/// Rust's own library for the target, which rustup has.
fn standard_library(other: &Other) -> Result<()> {
    let sysroot =
        output_of(Command::new("rustc").args(["--print", "sysroot"])).context("rustc tells no sysroot")?;
    let there = fs::read_dir(format!("{sysroot}/lib/rustlib/{}/lib", other.target));
    if there.is_ok_and(|mut files| files.next().is_some()) {
        return Ok(());
    }
    if on_path("rustup").is_none() {
        bail!(
            "a cross-build needs Rust's standard library for {}: install it beside {sysroot}",
            other.target
        );
    }
    say(&format!("rustup target add {}", other.target));
    must(Command::new("rustup").args(["target", "add", other.target]))
}
