//! Credentials in every recorded exchange, of every API: canaries stand where keys do, all content is kept and goes everywhere, and
//! nothing that a replay writes has a canary in it.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

/// What every canary begins with: nothing else has it.
const CANARY: &str = "canary-q8z3v7k1";

/// The program's name, which is no secret: where it is not found, no canary would be.
const AGENT: &str = "wagtail-q8z3v7k1";

/// Headers of a request, with the canary in them.
const HEADERS: [(&str, &str); 8] = [
    ("authorization", "Bearer "),
    ("x-api-key", ""),
    ("api-key", "sk-ant-"),
    ("x-goog-api-key", "AIza"),
    ("proxy-authorization", "Basic "),
    ("cookie", "session="),
    ("x-amz-security-token", ""),
    ("ocp-apim-subscription-key", ""),
];

/// Parameters of a query.
const PARAMETERS: [&str; 4] = ["key", "access_token", "sig", "X-Amz-Signature"];

/// Recorded exchanges; a folder that can't be found fails and says what to do.
fn recordings() -> Vec<PathBuf> {
    let folder = env::var_os("PLAINSPAN_EXCHANGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/exchanges"), PathBuf::from);
    assert!(
        folder.is_dir(),
        "{}: no such folder: set PLAINSPAN_EXCHANGES to that of the recorded exchanges",
        folder.display()
    );
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|e| e == "jsonl")).collect()
}

/// The line of an exchange with canaries; none of one that is no exchange.
fn planted(line: &str, number: usize) -> Option<String> {
    let mut exchange: Value = serde_json::from_str(line).unwrap();
    let secret = format!("{CANARY}-{number}");
    let request = exchange.get_mut("request")?;
    let url = request["url"].as_str()?;
    let query: Vec<String> = PARAMETERS.iter().map(|name| format!("{name}={secret}")).collect();
    let mark = if url.contains('?') { '&' } else { '?' };
    request["url"] = json!(format!("{url}{mark}{}", query.join("&")));
    let headers = request["headers"].as_array_mut()?;
    headers.retain(|header| HEADERS.iter().all(|(name, _)| header[0] != *name) && header[0] != "user-agent");
    headers.push(json!(["user-agent", AGENT]));
    headers.extend(HEADERS.iter().map(|(name, before)| json!([name, format!("{before}{secret}")])));
    let answered = exchange["response"]["headers"].as_array_mut()?;
    answered.push(json!(["set-cookie", format!("session={secret}; HttpOnly")]));
    Some(exchange.to_string())
}

/// Every file below a directory, with its bytes.
fn below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(below(&path));
        } else {
            all.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn no_credential_of_any_api_comes_out() {
    let mut lines = Vec::new();
    for file in recordings() {
        let text = fs::read_to_string(file).unwrap();
        lines.extend(text.lines().enumerate().filter_map(|(number, line)| planted(line, number)));
    }
    assert!(lines.len() > 1000, "{} exchanges", lines.len());
    let home = tempfile::tempdir().unwrap();
    let input = home.path().join("planted.jsonl");
    fs::write(&input, lines.join("\n")).unwrap();
    for framing in ["h1", "h2"] {
        let outputs = home.path().join(framing);
        fs::create_dir(&outputs).unwrap();
        let at = |kind: &str, name: &str| format!("{kind}{}", outputs.join(name).display());
        let ended = Command::new(env!("CARGO_BIN_EXE_plainspan"))
            .args(["--log", "trace", "replay", "--framing", framing, "--verbose"])
            .args([
                "--content",
                "full",
                "--content-as",
                "spans,events,files",
                "--content-dir",
                &at("", "content"),
            ])
            .args(["-o", "console", "-o", &at("file:", "spans.jsonl"), "-o", &at("events:", "events.jsonl")])
            .args(["--journal", &at("", "journal.db")])
            .arg(&input)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let mut written = below(&outputs);
        let found = |name: &str| {
            let (_, bytes) = written.iter().find(|(path, _)| path.ends_with(name)).unwrap();
            String::from_utf8_lossy(bytes).lines().count()
        };
        let (spans, events) = (found("spans.jsonl"), found("events.jsonl"));
        let files = written.iter().filter(|(path, _)| path.starts_with(outputs.join("content"))).count();
        assert!(
            spans > 1000 && events > 1000 && files >= events,
            "{spans} spans, {events} events, {files} files"
        );
        written.push(("standard output".into(), ended.stdout));
        written.push(("standard error".into(), ended.stderr));
        for (path, bytes) in written {
            let is_whole = ["spans.jsonl", "events.jsonl", "journal.db", "standard output"]
                .iter()
                .any(|name| path.ends_with(name));
            assert!(!is_whole || holds(&bytes, AGENT), "{} has no headers at all", path.display());
            assert!(!holds(&bytes, CANARY), "a credential is in {} over {framing}", path.display());
        }
    }
}
