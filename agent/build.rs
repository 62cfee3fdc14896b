//! Puts the kernel object for the target architecture where the agent embeds it: the one kept in the tree, or the
//! one that PLAINSPAN_EBPF_OBJECT names; and tells the agent which version of the locators it has.
#![allow(clippy::print_stdout, reason = "a build script speaks to cargo on its output")]

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

const OVERRIDE: &str = "PLAINSPAN_EBPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    if let Err(error) = embed().and_then(|()| fingerprint()) {
        println!("cargo::error={error}");
    }
}

fn embed() -> Result<(), String> {
    let variable = |name: &str| env::var_os(name).ok_or(format!("cargo did not set {name}"));
    let named = env::var_os(OVERRIDE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (object, remedy) = if let Some(path) = named {
        (path, format!("{OVERRIDE} must name a kernel object"))
    } else {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| error.to_string())?;
        let kept = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("prebuilt");
        let remedy =
            "plainspan has kernel objects for x86_64 and aarch64; `cargo xtask build-ebpf` makes them";
        (kept.join(format!("agent-ebpf.{arch}.o")), remedy.to_string())
    };
    println!("cargo::rerun-if-changed={}", object.display());
    let bytes =
        fs::read(&object).map_err(|error| format!("cannot read {}: {error}; {remedy}", object.display()))?;
    // e_machine of ELF at offset 18 is 247 for BPF: an object of anything else would only fail when it is loaded.
    if !bytes.starts_with(b"\x7fELF") || bytes.get(18..20) != Some(&[247, 0][..]) {
        return Err(format!("{} is no kernel object; {remedy}", object.display()));
    }
    let out = PathBuf::from(variable("OUT_DIR")?).join("plainspan-ebpf.o");
    fs::write(&out, bytes).map_err(|error| format!("cannot write {}: {error}", out.display()))
}

/// A number that changes with the code that examines files: what another version found in them is not believed.
fn fingerprint() -> Result<(), String> {
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo did not set CARGO_MANIFEST_DIR")?);
    let mut hasher = DefaultHasher::new();
    for part in ["src/probe", "../agent-common/src"] {
        let part = root.join(part);
        println!("cargo::rerun-if-changed={}", part.display());
        sources(&part, &mut hasher).map_err(|error| format!("cannot read {}: {error}", part.display()))?;
    }
    println!("cargo::rustc-env=PLAINSPAN_LOCATORS={:016x}", hasher.finish());
    Ok(())
}

fn sources(path: &Path, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| sources(entry, hasher));
    }
    path.file_name().hash(hasher);
    fs::read(path)?.hash(hasher);
    Ok(())
}
