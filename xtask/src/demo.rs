//! `cargo xtask demo`: plainspan at work, without a program and a key of one's own.
//!
//! The tests' provider answers on this machine over TLS; clients that the machine has, unmodified, call it; plainspan
//! watches them just as `run -- COMMAND` watches any command.

use crate::{
    root, run, say,
    workspace::{Workspace, no_more, on_path, shown},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
};

/// Clients that tests/demo/clients.sh calls with; one is enough.
const CLIENTS: [&str; 2] = ["curl", "python3"];

/// The verb.
pub fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    no_more("demo", args)?;
    root::must_be_had("loading kernel programs")?;
    if CLIENTS.iter().all(|client| on_path(client).is_none()) {
        bail!("the demo has no client to watch: install curl or python3");
    }
    let agent = run::plainspan(workspace, false)?;
    say("building the local provider");
    let binary = workspace.binary("plainspan-tests", "provider", &[])?;
    let dir = workspace.target.join("demo");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let provider = Provider::start(&binary, &dir)?;

    say(&format!(
        "plainspan run -- sh tests/demo/clients.sh   (against https://localhost:{})",
        provider.port
    ));
    let mut command = root::command(&agent)?;
    command
        .args(["run", "--", "sh"])
        .arg(workspace.root.join("tests/demo/clients.sh"))
        .env("DEMO_URL", format!("https://localhost:{}", provider.port))
        .env("DEMO_CA", &provider.ca)
        // What leads elsewhere in the user's environment is not meant for a provider on this machine.
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    let status = command.status().with_context(|| format!("cannot start `{}`", shown(&command)))?;
    drop(provider);
    if !status.success() {
        bail!("plainspan ended with {status}");
    }
    say("for a program of your own: cargo xtask run -- COMMAND...");
    Ok(ExitCode::SUCCESS)
}

/// The provider while it serves; it ends with this value.
struct Provider {
    process: Child,
    port: u64,
    /// The certificate authority that its clients must trust.
    ca: PathBuf,
}

impl Provider {
    fn start(binary: &Path, dir: &Path) -> Result<Self> {
        let mut process = Command::new(binary)
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the local provider")?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("the local provider cannot be read")?;
        }
        // From here on the process ends with this value, however this goes on.
        let mut provider = Self { process, port: 0, ca: PathBuf::new() };
        let ready: Value =
            serde_json::from_str(&line).context("the local provider did not say that it is ready")?;
        provider.port = ready["port"].as_u64().context("the local provider named no port")?;
        provider.ca = PathBuf::from(ready["ca"].as_str().context("the local provider named no certificate")?);
        Ok(provider)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended by itself, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
