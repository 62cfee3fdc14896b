//! Puts the kernel object for the target architecture where the agent embeds it: the one kept in the tree, or the
//! one that PLAINSPAN_EBPF_OBJECT names.
#![allow(clippy::print_stdout, reason = "a build script speaks to cargo on its output")]

use std::{env, fs, path::PathBuf};

const OVERRIDE: &str = "PLAINSPAN_EBPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    if let Err(error) = embed() {
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
