//! `cargo xtask setup`: what development needs beyond stable Rust, all at once instead of by the verb that needs it.

use crate::{
    linker, root, say, toolchain, venv,
    workspace::{Workspace, no_more, on_path, output_of},
};
use anyhow::Result;
use std::process::Command;

/// Programs that the tests call, and the Debian package that each comes with.
const PROGRAMS: [(&str, &str); 7] = [
    ("curl", "curl"),
    ("setpriv", "util-linux"),
    ("systemd-analyze", "systemd"),
    ("cc", "build-essential"),
    ("ip", "iproute2"),
    ("npm", "npm"),
    ("pkg-config", "pkg-config"),
];

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    no_more("setup", args)?;
    for (component, verb) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output_of(Command::new("cargo").args([verb, "--version"])).is_some() {
            say(&format!("{component}: here"));
        } else {
            say(&format!("{component}: missing, and `lint` needs it: `rustup component add {component}`"));
        }
    }
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| on_path(program).is_none()).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let names = missing.iter().map(|(program, _)| *program).collect::<Vec<_>>().join(", ");
    match (missing.is_empty(), root::is_debian()) {
        (true, _) => say("programs that the tests call: here"),
        (false, true) => root::apt_install(&packages)?,
        (false, false) => say(&format!("programs that the tests call: install {names}")),
    }
    let venv = venv::find_or_make(workspace)?;
    say(&format!("Python clients: {}", venv.display()));
    let toolchain = toolchain::find_or_install()?;
    say(&format!("kernel programs: {}", toolchain.what));
    let linker = linker::find_or_build(workspace, &toolchain)?;
    say(&format!("bpf-linker: {}", linker.display()));
    if root::must_be_had("the end-to-end tests").is_err() {
        say("sudo: missing; `run`, `demo` and `test` then work in a root shell only");
    }
    Ok(())
}
