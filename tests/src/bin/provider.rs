//! The tests' local TLS provider on its own: `provider --dir DIR [--port N] [--http2]`.
//!
//! Writes `ca.pem` to DIR, prints one line `{"port":N,"ca":"DIR/ca.pem"}` when it listens, and serves until
//! it is killed. `--http2`: with clients that offer HTTP/2, it speaks that.

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode};

use plainspan_tests::provider::{HTTP1, HTTP2, Provider};

const USAGE: &str = "usage: provider --dir DIR [--port N] [--http2]";

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "provider: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut dir, mut port, mut protocols) = (None, 0, HTTP1);
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--http2" {
            protocols = HTTP2;
            continue;
        }
        match (arg.to_str(), args.next()) {
            (Some("--dir"), Some(value)) => dir = Some(PathBuf::from(value)),
            (Some("--port"), Some(value)) => {
                port = value.to_str().and_then(|v| v.parse().ok()).ok_or("--port takes a port number")?;
            }
            _ => return Err(USAGE.into()),
        }
    }
    let provider = Provider::speaking(protocols, &dir.ok_or(USAGE)?, port)?;
    let line = serde_json::json!({"port": provider.port(), "ca": provider.ca()});
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    loop {
        std::thread::park();
    }
}
