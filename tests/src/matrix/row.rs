//! One client, run under the agent, and what came of it.

#![allow(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a harness tells what is wrong by failing the test"
)]

use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, Place, Shop};
use crate::{
    harness::{AgentCommand, Local, Report},
    provider::record::{Ending, Protocol},
};

/// Bytes of a connection that a client may leave unread when it closes: HTTP/2's last SETTINGS, WINDOW_UPDATE and GOAWAY
/// frames, and the end of a chunked body.
const UNREAD: u64 = 256;
/// How long the slowest of the clients may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How much of a client was captured; more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing.
    Nothing,
    /// Some of its bytes.
    Part,
    /// Every byte; its protocol or its API is not read into calls yet.
    Bytes,
    /// Every byte, and every call has its span.
    Calls,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Nothing, Self::Part, Self::Bytes, Self::Calls];

    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "not captured",
            Self::Part => "in part",
            Self::Bytes => "every byte",
            Self::Calls => "every call",
        }
    }

    /// The verdict of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the client.
    pub client: String,
    /// Its version.
    pub version: String,
    /// Its TLS library.
    pub stack: String,
    /// How that is linked.
    pub link: String,
    /// How the agent found it.
    pub method: String,
    /// What it spoke.
    pub protocol: String,
    /// LLM calls that it made.
    pub calls_made: u64,
    /// Those that have a span.
    pub calls_captured: u64,
    /// Plaintext bytes that the provider received and sent.
    pub bytes_sent: u64,
    /// Those that the agent saw.
    pub bytes_captured: u64,
    /// What follows from the numbers.
    pub verdict: Verdict,
}

impl Row {
    /// As one line of JSON.
    pub fn to_json(&self) -> String {
        json!({
            "client": self.client, "version": self.version, "stack": self.stack, "link": self.link,
            "method": self.method, "protocol": self.protocol, "calls made": self.calls_made,
            "calls captured": self.calls_captured, "bytes sent": self.bytes_sent,
            "bytes captured": self.bytes_captured, "verdict": self.verdict.name(),
        })
        .to_string()
    }

    /// Reads it back.
    pub fn from_json(text: &str) -> Option<Self> {
        let row: Value = serde_json::from_str(text).ok()?;
        let word = |name: &str| row[name].as_str().map(ToOwned::to_owned);
        Some(Self {
            client: word("client")?,
            version: word("version")?,
            stack: word("stack")?,
            link: word("link")?,
            method: word("method")?,
            protocol: word("protocol")?,
            calls_made: row["calls made"].as_u64()?,
            calls_captured: row["calls captured"].as_u64()?,
            bytes_sent: row["bytes sent"].as_u64()?,
            bytes_captured: row["bytes captured"].as_u64()?,
            verdict: Verdict::of(row["verdict"].as_str()?)?,
        })
    }
}

/// Runs a client under the agent, and returns what the agent said too. Fails where that proves nothing: the client did not
/// do what it was told.
pub fn run(client: &Client, shop: &Shop) -> (Row, Report) {
    let _not_kept = Cleared(shop, client);
    let version = shop.version(client.install, client.package).unwrap_or_else(|e| panic!("{e}"));
    let provider = Local::speaking(client.protocols);
    let home = provider.dir().join("home");
    std::fs::create_dir(&home).unwrap_or_else(|e| panic!("can't make {}: {e}", home.display()));
    let place = Place { dir: shop.place(client.install), home, provider: &provider };
    let command = (client.command)(&place);
    let agent = AgentCommand::new().args(["--log", "warn,plainspan::probe=info"]);
    let report = agent.start_with(command).wait_within(PATIENCE).exited(0);
    (row(client, version, &provider, &report), report)
}

/// Removes what may not be kept, however the run ends.
struct Cleared<'a>(&'a Shop, &'a Client);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        // A directory that stays is replaced by the next install.
        let _ = self.0.clear(self.1.install);
    }
}

fn row(client: &Client, version: String, provider: &Local, report: &Report) -> Row {
    let calls = provider.calls();
    let exchanges = provider.exchanges();
    assert!(!exchanges.is_empty(), "{} asked for nothing: {:#?}", client.name, report.finished);
    for call in &calls {
        assert!(call.ending == Ending::Complete, "a call was broken off: {call:#?} {:#?}", report.finished);
        assert!(matches!(call.status, 200 | 101), "a call failed: {call:#?}");
    }
    let with_span = calls.iter().filter_map(|call| call.facts.id.as_deref()).filter(|id| {
        let spans = report.spans.iter().filter(|span| span.response_id() == Some(id)).count();
        assert!(spans < 2, "{spans} spans of {id}: {:#?}", report.spans);
        spans == 1
    });
    let calls_captured = with_span.count() as u64;
    let count = |name| report.account.get("capture", name);
    // What is left in the kernel by verdict was seen, and is not wanted.
    let lost = count("bytes lost, ring buffer full")
        + count("bytes cut, over the cap of a call")
        + count("bytes lost, page not readable");
    let bytes_captured = count("bytes moved by the libraries").saturating_sub(lost);
    let moved = provider.moved();
    let bytes_sent = moved.received + moved.sent;
    assert!(
        bytes_captured <= bytes_sent,
        "{bytes_captured} bytes of {bytes_sent}: some were seen twice; {:#?}",
        report.finished
    );
    let whole = bytes_captured + UNREAD * moved.connections >= bytes_sent && bytes_captured > 0;
    let calls_made = calls.len() as u64;
    let verdict = match (whole, calls_captured == calls_made && calls_made > 0) {
        (true, true) => Verdict::Calls,
        (true, false) => Verdict::Bytes,
        (false, _) if bytes_captured > 0 => Verdict::Part,
        (false, _) => Verdict::Nothing,
    };
    let found = client.locator.filter(|locator| {
        let mark = format!("stack=\"{locator}\"");
        report.finished.stderr.iter().any(|line| line.contains("probed") && line.contains(&mark))
    });
    Row {
        client: client.name.to_owned(),
        version,
        stack: client.stack.to_owned(),
        link: client.link.name().to_owned(),
        method: found.unwrap_or("none yet").to_owned(),
        protocol: protocol(exchanges.iter().map(|e| e.protocol)).to_owned(),
        calls_made,
        calls_captured,
        bytes_sent,
        bytes_captured,
        verdict,
    }
}

/// The most that the client made use of.
fn protocol(used: impl Iterator<Item = Protocol>) -> &'static str {
    let mut name = "HTTP/1.1";
    for protocol in used {
        match protocol {
            Protocol::Http1 => {}
            Protocol::Http2 => name = "HTTP/2",
            Protocol::WebSocket => return "WebSocket",
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_verdicts_are_read_back() {
        for verdict in Verdict::ALL {
            let row = Row {
                client: "curl".into(),
                version: "8.1".into(),
                stack: "OpenSSL".into(),
                link: "shared".into(),
                method: "openssl".into(),
                protocol: "HTTP/2".into(),
                calls_made: 2,
                calls_captured: 1,
                bytes_sent: 4000,
                bytes_captured: 3000,
                verdict,
            };
            assert_eq!(Row::from_json(&row.to_json()), Some(row));
        }
        assert!(Verdict::Calls > Verdict::Bytes && Verdict::Bytes > Verdict::Part);
    }
}
