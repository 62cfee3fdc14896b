//! bpf-linker, built once against the very libLLVM that the chosen rustc writes its bitcode with.
//!
//! One built against another LLVM can't read that bitcode, which is why the one that `cargo install bpf-linker` makes
//! by default often fails.

use crate::{
    say,
    toolchain::Toolchain,
    workspace::{Workspace, must, on_path, output_of},
};
use anyhow::{Context, Result, bail};
use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The version that the kernel objects are linked with.
pub const VERSION: &str = "0.13.0";
/// Major versions of LLVM that this version can be built for: its `llvm-NN` features.
pub const SUPPORTED_LLVM: [u32; 3] = [21, 22, 23];
/// Names a linker to be used instead of the one built here.
const OVERRIDE: &str = "BPF_LINKER";

/// The linker for `toolchain`, built now unless it is there.
pub fn find_or_build(workspace: &Workspace, toolchain: &Toolchain) -> Result<PathBuf> {
    if let Some(path) = env::var_os(OVERRIDE).filter(|value| !value.is_empty()) {
        return Ok(path.into());
    }
    let Some(library) = shared_llvm(toolchain) else {
        // rustc with LLVM inside it: nothing to build against, but another's build may fit.
        return on_path("bpf-linker").with_context(|| {
            format!(
                "{} has no shared libLLVM to build bpf-linker against: put one on the PATH or in {OVERRIDE}",
                toolchain.what
            )
        });
    };
    let root = workspace.target.join("tools").join(format!("bpf-linker-{VERSION}-llvm{}", toolchain.llvm));
    let linker = root.join("bin/bpf-linker");
    let prefix = root.join("llvm");
    // A toolchain that was updated or replaced leaves a linker behind whose library is another, or gone.
    let is_ours = fs::read_link(prefix.join("lib/libLLVM.so")).is_ok_and(|linked| linked == library);
    if is_ours && output_of(Command::new(&linker).arg("--version")).is_some() {
        return Ok(linker);
    }
    say(&format!("building bpf-linker {VERSION} against {} (once, one to three minutes)", library.display()));
    build(&root, &prefix, &library, toolchain.llvm).with_context(|| {
        format!("no bpf-linker {VERSION}: build it another way and name it in {OVERRIDE}")
    })?;
    if output_of(Command::new(&linker).arg("--version")).is_none() {
        bail!("the bpf-linker that was just built does not start: {}", linker.display());
    }
    Ok(linker)
}

fn build(root: &Path, prefix: &Path, library: &Path, llvm: u32) -> Result<()> {
    let lib = prefix.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    // The name that the build looks for, and the one that the library calls itself.
    for name in [Some("libLLVM.so".as_ref()), library.file_name()].into_iter().flatten() {
        let link = lib.join(name);
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
        }
        symlink(library, &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let scratch = root.join("build");
    must(
        Command::new(cargo)
            .current_dir(root)
            .args(["install", "bpf-linker", "--locked", "--force", "--version", VERSION])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
            .arg(root)
            .arg("--target-dir")
            .arg(&scratch)
            .env("LLVM_PREFIX", prefix)
            // A rustup toolchain's library is in no directory that the dynamic linker searches.
            .env("CARGO_ENCODED_RUSTFLAGS", format!("-Clink-arg=-Wl,-rpath,{}", lib.display()))
            .env_remove("CARGO_BUILD_TARGET")
            // It links some kilobytes once an edit: quick to build matters, quick to run does not.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    )?;
    // Only what was compiled on the way; the linker itself is in bin/.
    let _ = fs::remove_dir_all(scratch);
    Ok(())
}

/// The shared libLLVM that the toolchain's rustc loads.
fn shared_llvm(toolchain: &Toolchain) -> Option<PathBuf> {
    let lib = toolchain.sysroot.join("lib");
    let multiarch = format!("{}-linux-gnu", env::consts::ARCH);
    let own = format!("llvm-{}/lib", toolchain.llvm);
    let dirs = [lib.clone(), lib.join(multiarch), toolchain.sysroot.join("lib64"), lib.join(own)];
    let names = [format!("libLLVM.so.{}", toolchain.llvm), format!("libLLVM-{}", toolchain.llvm)];
    let mut found: Vec<PathBuf> = dirs
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // rustup's toolchains have a linker script of some bytes beside the library.
            names.iter().any(|prefix| name.starts_with(prefix))
                && fs::metadata(path).is_ok_and(|file| file.len() > 1 << 20)
        })
        .collect();
    // "libLLVM.so.22.1" sorts after "libLLVM-22.so", a mere link to it.
    found.sort();
    found.pop()
}
