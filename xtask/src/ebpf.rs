//! `cargo xtask build-ebpf`: the kernel objects, kept in the tree so that users need no toolchain for them.

use crate::{
    linker,
    manifest::{Inputs, Manifest},
    say, strip,
    toolchain::{self, Toolchain},
    workspace::{Workspace, must},
};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Architectures that an object is kept for, as Rust names them.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];
/// Flags for every kernel program. BTF is made from debug information, hence both.
const FLAGS: [&str; 2] = ["-Cdebuginfo=2", "-Clink-arg=--btf"];
const TARGET: &str = "bpfel-unknown-none";

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let (mut check, mut force, mut out) = (false, false, None);
    let mut rest = args.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--force" => force = true,
            "--out" => out = Some(PathBuf::from(rest.next().context("--out needs a directory")?)),
            other => bail!("`build-ebpf` does not know `{other}`: it takes --check, --force, --out DIR"),
        }
    }
    let stale = stale(workspace)?;
    match (check, &stale) {
        (true, Some(reason)) => {
            bail!(
                "the kept kernel objects are stale, {reason}: run `cargo xtask build-ebpf` and commit agent/prebuilt"
            )
        }
        (true, None) => say("the kept kernel objects are what their sources and pins make"),
        (false, None) if !force && out.is_none() => {
            say("the kept kernel objects are fresh: nothing to do (--force builds them all the same)");
        }
        (false, _) => match out {
            Some(dir) => {
                let built = build(workspace, &ARCHITECTURES)?;
                write(&dir, &built.objects)?;
            }
            None => renew(workspace)?,
        },
    }
    Ok(())
}

/// Why the kept objects are not what the sources make; `None` when they are.
pub fn stale(workspace: &Workspace) -> Result<Option<String>> {
    let dir = kept(workspace);
    let names = ARCHITECTURES.map(file_name);
    let path = dir.join("MANIFEST");
    if !path.is_file() {
        return Ok(Some("agent/prebuilt/MANIFEST is missing".to_string()));
    }
    Ok(Manifest::read(&path)?.stale(&inputs(workspace)?, &dir, &names))
}

/// Tells a developer who edits kernel programs that the agent about to be built does not have the edits.
pub fn warn_if_stale(workspace: &Workspace) -> Result<()> {
    if let Some(reason) = stale(workspace)? {
        say(&format!("the kept kernel objects are stale, {reason}: `cargo xtask build-ebpf` renews them"));
    }
    Ok(())
}

/// Builds the object for this machine beside the kept ones, and returns where it is.
pub fn build_for_this_machine(workspace: &Workspace) -> Result<PathBuf> {
    let built = build(workspace, &[env::consts::ARCH])?;
    let dir = workspace.target.join("ebpf");
    write(&dir, &built.objects)?;
    Ok(dir.join(file_name(env::consts::ARCH)))
}

fn renew(workspace: &Workspace) -> Result<()> {
    let built = build(workspace, &ARCHITECTURES)?;
    let dir = kept(workspace);
    write(&dir, &built.objects)?;
    let manifest = Manifest::of(&inputs(workspace)?, &built.objects, &built.made_with);
    let path = dir.join("MANIFEST");
    fs::write(&path, manifest.text()).with_context(|| format!("cannot write {}", path.display()))
}

fn kept(workspace: &Workspace) -> PathBuf {
    workspace.root.join("agent/prebuilt")
}

fn file_name(arch: &str) -> String {
    format!("agent-ebpf.{arch}.o")
}

fn inputs(workspace: &Workspace) -> Result<Inputs> {
    Inputs::read(&workspace.root, &[("bpf-linker", linker::VERSION), ("flags", &FLAGS.join(" "))])
}

/// Objects by file name, and what made them.
struct Built {
    objects: Vec<(String, Vec<u8>)>,
    made_with: String,
}

fn build(workspace: &Workspace, architectures: &[&str]) -> Result<Built> {
    let toolchain = toolchain::find_or_install()?;
    say(&format!("kernel programs: {}", toolchain.what));
    let linker = linker::find_or_build(workspace, &toolchain)?;
    let mut objects = Vec::new();
    for arch in architectures {
        let path = compile(workspace, &toolchain, &linker, arch)?;
        let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !strip::has_btf(&object)? {
            bail!(
                "the linker wrote no BTF for {arch}: is {} a bpf-linker {}?",
                linker.display(),
                linker::VERSION
            );
        }
        objects.push((file_name(arch), strip::without_dwarf(&object)?));
    }
    Ok(Built { objects, made_with: toolchain.what })
}

fn compile(workspace: &Workspace, toolchain: &Toolchain, linker: &Path, arch: &str) -> Result<PathBuf> {
    let dir = workspace.target.join("ebpf").join(arch);
    let flags = [
        // Where an argument is depends on the architecture that is traced; aya-ebpf reads this.
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        format!("-Clinker={}", linker.display()),
        // What stays of paths in messages is then the same in every checkout.
        format!("--remap-path-prefix={}=", workspace.root.display()),
        format!("--remap-path-prefix={}=/rust", toolchain.sysroot.join("lib/rustlib/src/rust").display()),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(FLAGS).collect();
    let mut command = Command::new(&toolchain.cargo);
    command
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--release", "--package", "agent-ebpf", "--target", TARGET])
        .args(["-Zbuild-std=core", "--target-dir"])
        .arg(&dir)
        .env("RUSTC", &toolchain.rustc)
        // -Zbuild-std on a compiler that is not a nightly one; the agent is never built so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    // What the outer cargo and its rustup proxy set is of another toolchain.
    for name in [
        "CARGO",
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
    must(&mut command).with_context(|| format!("the kernel programs do not build for {arch}"))?;
    Ok(dir.join(TARGET).join("release/agent-ebpf"))
}

fn write(dir: &Path, objects: &[(String, Vec<u8>)]) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (name, bytes) in objects {
        let path = dir.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("wrote {} ({} bytes)", path.display(), bytes.len()));
    }
    Ok(())
}
