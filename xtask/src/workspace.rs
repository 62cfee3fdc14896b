//! Where the checkout is, where its builds go, and cargo as the one who started us means it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The checkout that xtask works on.
pub struct Workspace {
    /// Where the workspace's Cargo.toml is.
    pub root: PathBuf,
    /// Cargo's target directory, wherever the user's configuration puts it.
    pub target: PathBuf,
}

/// Something that cargo built and that can be executed.
pub struct Executable {
    /// The name of the binary, or of the file that holds the tests.
    pub name: String,
    /// The directory of its package: where cargo would run its tests.
    pub package_dir: PathBuf,
    pub path: PathBuf,
    /// Whether it runs tests, and is not one of the binaries that tests start.
    pub is_test: bool,
}

impl Workspace {
    /// Finds the workspace that this xtask belongs to.
    pub fn find() -> Result<Self> {
        // `cargo run` sets it to the checkout at hand; the compiled-in path is for a binary started by itself.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest.parent().context("xtask has no workspace above it")?.to_path_buf();
        let output = cargo_in(&root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!("`cargo metadata` failed in {}", root.display());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).context("`cargo metadata`")?;
        let target =
            metadata["target_directory"].as_str().context("`cargo metadata` names no target directory")?;
        Ok(Self { root, target: PathBuf::from(target) })
    }

    /// Cargo, in the workspace, with the toolchain that started xtask.
    pub fn cargo(&self) -> Command {
        cargo_in(&self.root)
    }

    /// Runs `cargo build ARGS` (or `cargo test --no-run ARGS`) and returns what it built that can be executed.
    pub fn executables<S: AsRef<OsStr>>(
        &self,
        args: &[S],
        envs: &[(&str, &OsStr)],
    ) -> Result<Vec<Executable>> {
        let mut command = self.cargo();
        command.args(args).arg("--message-format=json-render-diagnostics").envs(envs.iter().copied());
        let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("`{}` failed", shown(&command));
        }
        let mut found = Vec::new();
        for line in output.stdout.split(|byte| *byte == b'\n') {
            let Ok(message) = serde_json::from_slice::<Value>(line) else { continue };
            let (Some(path), Some(name), Some(manifest)) = (
                message["executable"].as_str(),
                message["target"]["name"].as_str(),
                message["manifest_path"].as_str(),
            ) else {
                continue;
            };
            let package_dir = Path::new(manifest).parent().unwrap_or(&self.root).to_path_buf();
            let is_test = message["profile"]["test"].as_bool().unwrap_or(false);
            found.push(Executable { name: name.into(), package_dir, path: path.into(), is_test });
        }
        Ok(found)
    }

    /// Builds one binary and returns its path.
    pub fn binary(&self, package: &str, name: &str, args: &[&str]) -> Result<PathBuf> {
        let all = [&["build", "--package", package, "--bin", name], args].concat();
        self.executables(&all, &[])?
            .into_iter()
            .find(|built| built.name == name)
            .map(|built| built.path)
            .with_context(|| format!("cargo built no binary `{name}` of package `{package}`"))
    }
}

fn cargo_in(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a command whose failure ends the verb.
pub fn must(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// What a command that succeeds prints, trimmed; `None` where it cannot be had.
pub fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Where `program` is on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// A command as a person would type it, without the directories of the program.
pub fn shown(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    command.get_args().fold(program, |mut line, argument| {
        let _ = write!(line, " {}", argument.to_string_lossy());
        line
    })
}

/// Refuses arguments that a verb does not have.
pub fn no_more(verb: &str, args: &[String]) -> Result<()> {
    match args.first() {
        None => Ok(()),
        Some(argument) => {
            bail!("`{verb}` does not know `{argument}`: `cargo xtask help` lists what it takes")
        }
    }
}
