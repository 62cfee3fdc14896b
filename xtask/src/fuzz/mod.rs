//! `cargo xtask fuzz`: what parses other people's data, against data that is made to break it.
//!
//! The targets are laid out as cargo-fuzz has them, which works on them too. This needs neither it nor a nightly compiler:
//! the agent is safe Rust, so no sanitizer has to watch its memory, and coverage is to be had of a stable one.

mod seeds;

use crate::{
    say,
    workspace::{Workspace, must, output_of},
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// How long each target runs.
const SECONDS: u32 = 60;

/// What cargo-fuzz passes to the compiler, but for the sanitizer.
const INSTRUMENTATION: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// The largest input; the seeds have 24 KiB.
const MAX_LEN: &str = "-max_len=32768";
/// A hang, and too much memory, are findings.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=1024"];

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let root = workspace.root.join("fuzz");
    let all = targets(&root)?;
    let (mut wanted, mut seconds) = (Vec::new(), SECONDS);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let value = args.next().and_then(|value| value.parse().ok());
                seconds = value.context("--seconds takes a number")?;
            }
            target if all.iter().any(|known| known == target) => wanted.push(target.to_owned()),
            other => bail!("there is no fuzz target `{other}`: {} are there", all.join(", ")),
        }
    }
    if wanted.is_empty() {
        wanted = all;
    }
    let host = host()?;
    let built = build(&root, &workspace.target.join("fuzz"), &host)?;
    seeds::write(&root.join("corpus"))?;
    for target in &wanted {
        say(&format!("fuzzing {target} for {seconds} s"));
        let artifacts = root.join("artifacts").join(target);
        let corpus = root.join("corpus").join(target);
        for dir in [&artifacts, &corpus] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let mut fuzzer = Command::new(built.join(target));
        fuzzer.arg(format!("-max_total_time={seconds}")).arg(MAX_LEN).args(LIMITS);
        fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus);
        must(&mut fuzzer)
            .with_context(|| format!("{target} failed: what made it fail is in {}", artifacts.display()))?;
    }
    say(&format!("{} fuzz targets, nothing found", wanted.len()));
    Ok(())
}

/// Names of the targets.
fn targets(root: &Path) -> Result<Vec<String>> {
    let dir = root.join("fuzz_targets");
    let entries = fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds all targets, and returns where they are. The target is named, so that build scripts stay as they are.
fn build(root: &Path, target: &Path, host: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--bins", "--target", host])
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\x1f"));
    must(&mut cargo)?;
    Ok(target.join(host).join("debug"))
}

fn host() -> Result<String> {
    let version = output_of(Command::new("rustc").arg("-vV")).context("rustc does not start")?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell for which machine it is")?.to_owned())
}
