//! A client that is rustls on ring, as programs in Rust are: `rustls_client --url URL --ca FILE [--suite NAME] [--calls N]
//! [--update-keys]`.
//!
//! Each call is a POST of a chat completion on the one connection, every second one streamed. With `--update-keys` both
//! sides change their keys (RFC 8446, 4.6.3) before each call but the first. Prints the suite that was negotiated.

use std::{
    error::Error,
    io::{self, Read, Write},
    net::TcpStream,
    process::ExitCode,
    sync::Arc,
};

use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str =
    "usage: rustls_client --url https://HOST:PORT --ca FILE [--suite NAME] [--calls N] [--update-keys]";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "rustls_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (mut at, mut ca, mut suite, mut calls, mut update_keys) = (None, None, None, 1u32, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(USAGE);
        match arg.as_str() {
            "--url" => at = value()?.strip_prefix("https://").map(str::to_owned),
            "--ca" => ca = Some(value()?),
            "--suite" => suite = Some(value()?),
            "--calls" => calls = value()?.parse()?,
            "--update-keys" => update_keys = true,
            _ => return Err(USAGE.into()),
        }
    }
    let at = at.ok_or(USAGE)?;
    let mut tls = connect(&at, &ca.ok_or(USAGE)?, suite.as_deref())?;
    for call in 0..calls {
        if update_keys && call > 0 {
            tls.conn.refresh_traffic_keys()?;
        }
        let stream = call % 2 == 1;
        let body = serde_json::json!({"model": "gpt-4o-mini", "stream": stream, "messages": []}).to_string();
        write!(
            tls,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {at}\r\nauthorization: Bearer k\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        tls.write_all(body.as_bytes())?;
        tls.flush()?;
        answer(&mut tls)?;
    }
    let used = tls.conn.negotiated_cipher_suite().ok_or("no suite was negotiated")?;
    writeln!(io::stdout(), "{:?}", used.suite())?;
    tls.conn.send_close_notify();
    tls.flush()?;
    Ok(())
}

fn connect(
    at: &str,
    ca: &str,
    suite: Option<&str>,
) -> Result<StreamOwned<ClientConnection, TcpStream>, Failure> {
    let mut provider = ring::default_provider();
    if let Some(suite) = suite {
        provider.cipher_suites.retain(|s| format!("{:?}", s.suite()) == suite);
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(|e| format!("{ca}: {e}"))?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = at.split(':').next().unwrap_or(at).to_owned();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host)?)?;
    Ok(StreamOwned::new(connection, TcpStream::connect(at)?))
}

/// Reads one answer to its end: by its length, or to the last chunk.
fn answer(tls: &mut impl Read) -> Result<(), Failure> {
    let (mut received, mut part) = (Vec::new(), [0; 4096]);
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|w| w == what);
    loop {
        let len = tls.read(&mut part)?;
        if len == 0 {
            return Err("the server closed in the middle of an answer".into());
        }
        received.extend_from_slice(&part[..len]);
        let Some(end) = find(&received, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(head.into());
        }
        let body = &received[end + 4..];
        let whole = match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            Some(length) => body.len() >= length.trim().parse()?,
            None => body.ends_with(b"\r\n0\r\n\r\n"),
        };
        if whole {
            return Ok(());
        }
    }
}
