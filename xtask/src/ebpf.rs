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
    must(cargo(workspace, toolchain).args(["fetch", "--locked"]))
        .context("the crates of the kernel programs can't be had")?;
    let mut flags = vec![
        // Where an argument is depends on the architecture that is traced; aya-ebpf reads this.
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        format!("-Clinker={}", linker.display()),
        // What stays of paths, in messages and in BTF, is then the same on every machine.
        remapped(&workspace.root, ""),
        remapped(&toolchain.sysroot.join("lib/rustlib/src/rust"), "/rust"),
    ];
    flags.extend(crate_sources()?.iter().map(|dir| remapped(dir, "/crates")));
    flags.extend(FLAGS.map(str::to_owned));
    let mut command = cargo(workspace, toolchain);
    command
        .args(["build", "--locked", "--release", "--package", "agent-ebpf", "--target", TARGET])
        .args(["-Zbuild-std=core", "--target-dir"])
        .arg(&dir)
        .env("RUSTC", &toolchain.rustc)
        // -Zbuild-std on a compiler that is not a nightly one; the agent is never built so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    must(&mut command).with_context(|| format!("the kernel programs do not build for {arch}"))?;
    Ok(dir.join(TARGET).join("release/agent-ebpf"))
}

fn remapped(path: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", path.display())
}

/// The toolchain's cargo, without what the outer one and its rustup proxy set of another toolchain.
fn cargo(workspace: &Workspace, toolchain: &Toolchain) -> Command {
    let mut command = Command::new(&toolchain.cargo);
    command.current_dir(&workspace.root);
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
    command
}

/// Where cargo keeps the sources of crates: a directory for each registry, named after its host (the Cargo book, "Cargo Home").
fn crate_sources() -> Result<Vec<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let dir = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
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
