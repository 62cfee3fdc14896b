//! Credentials never leave the room that reads HTTP: canaries stand where keys do, content is kept in full, and everything that
//! the agent writes is searched for them.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use plainspan_tests::harness::{AgentCommand, Command, Local, Process, agent, directory, wait_until};
use serde_json::json;

/// Where credentials stand in a request: headers, each with a value in which `CANARY` stands for the secret.
const HEADERS: &[(&str, &str)] = &[
    ("authorization", "Bearer CANARY"),
    ("x-api-key", "CANARY"),
    ("api-key", "CANARY"),
    ("x-goog-api-key", "CANARY"),
    ("proxy-authorization", "Basic CANARY"),
    ("cookie", "theme=dark; session=CANARY"),
    ("ocp-apim-subscription-key", "CANARY"),
    ("x-amz-security-token", "CANARY"),
    (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=CANARY/20261126/us-east-1/bedrock/aws4_request, Signature=CANARY-s",
    ),
    ("x-amz-signature", "CANARY"),
    ("x-goog-iam-authorization-token", "CANARY"),
    ("cf-access-client-secret", "CANARY"),
    ("x-client-jwt", "CANARY"),
    ("x-custom", "Bearer CANARY"),
    ("referer", "https://user:CANARY@app.example/page"),
    ("referer", "https://app.example/page?token=CANARY"),
];

/// Parameters of a query that are credentials.
const PARAMETERS: &[&str] = &[
    "key",
    "api_key",
    "access_token",
    "sig",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
    "subscription-key",
];

/// What is not secret, and has to be found: where it is not, the search would find no canary either.
const ASKED: &str = "wagtail-in-the-prompt";
const MODEL: &str = "model-of-canaries";
const AGENT: &str = "canary-client/7";

/// A collector that keeps every byte that it is sent, and takes all.
struct Collector {
    endpoint: String,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    let (mut request, mut block) = (Vec::new(), [0; 16_384]);
                    while let Ok(len @ 1..) = stream.read(&mut block) {
                        kept.lock().expect("nobody panicked").extend_from_slice(&block[..len]);
                        request.extend_from_slice(&block[..len]);
                        if is_whole(&request) {
                            request.clear();
                            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { endpoint, bytes }
    }

    fn received(&self) -> Vec<u8> {
        self.bytes.lock().expect("nobody panicked").clone()
    }
}

/// Has the request all of its body?
fn is_whole(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    let len =
        text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    request.len() >= head + 4 + len.unwrap_or(0)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A call with each of the headers, and one with all parameters; and the canaries that they plant. What is secret stands in files,
/// for what stands on a command line is another matter.
fn calls(provider: &Local) -> (String, Vec<String>) {
    let body = json!({"model": MODEL, "messages": [{"role": "user", "content": ASKED}]});
    let body = provider.file("body", &body.to_string());
    let url = format!("{}/v1/chat/completions", provider.url());
    let mut canaries = Vec::new();
    let mut plant = || {
        canaries.push(format!("canary{:02}q8z3v7k1", canaries.len()));
        canaries.last().cloned().unwrap_or_default()
    };
    let mut requests: Vec<(String, String)> = Vec::new();
    for (name, value) in HEADERS {
        requests.push((url.clone(), format!("header = \"{name}: {}\"\n", value.replace("CANARY", &plant()))));
    }
    let query: Vec<String> = PARAMETERS.iter().map(|name| format!("{name}={}", plant())).collect();
    requests.push((format!("{url}?{}", query.join("&")), String::new()));
    let script = requests.iter().enumerate().map(|(at, (url, header))| {
        let config = format!(
            "url = \"{url}\"\n{header}silent\nhttp1.1\ncacert = \"{}\"\nuser-agent = \"{AGENT}\"\noutput = \"/dev/null\"\n\
             header = \"content-type: application/json\"\ndata-binary = \"@{}\"\n",
            provider.ca().display(),
            body.display()
        );
        format!("curl --config '{}'", provider.file(&format!("curl-{at}"), &config).display())
    });
    (script.collect::<Vec<_>>().join(" && "), canaries)
}

/// What Prometheus gets there.
fn scraped(place: &str) -> Vec<u8> {
    let (address, path) = place.split_once('/').expect("a host and a path");
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it listens");
    let mut page = Vec::new();
    stream.read_to_end(&mut page).expect("it answers");
    page
}

/// What stands in all files of the directories in this one.
fn bytes_below(directory: &Path) -> Vec<u8> {
    let entries = |path: &Path| fs::read_dir(path).expect("it is there").flatten().map(|entry| entry.path());
    let files = entries(directory).flat_map(|inner| entries(&inner).collect::<Vec<_>>());
    files.flat_map(|file| fs::read(file).expect("it is there")).collect()
}

/// The journal's file and its neighbours, as they are.
fn journal_bytes(journal: &Path) -> Vec<u8> {
    let directory = journal.parent().expect("it is in one");
    let files = fs::read_dir(directory).expect("it is there").flatten().map(|entry| entry.path());
    let own = files.filter(|path| path.to_string_lossy().starts_with(&*journal.to_string_lossy()));
    own.flat_map(|path| fs::read(path).unwrap_or_default()).collect()
}

#[test]
fn no_credential_comes_out_anywhere() {
    let (provider, collector, directory) = (Local::new(), Collector::start(), directory());
    let journal = directory.path().join("journal.db");
    let (events, content) = (directory.path().join("events.jsonl"), directory.path().join("content"));
    let (script, canaries) = calls(&provider);
    let mut running = AgentCommand::new()
        .args([
            "-o",
            "console",
            "-o",
            "otlp",
            "--verbose",
            "--content",
            "full",
            "--content-as",
            "spans,events,files",
            "--log",
            "trace",
            "--journal",
        ])
        .args([&journal])
        .args(["--prometheus", "127.0.0.1:0"])
        .args(["-o".to_owned(), format!("events:{}", events.display())])
        .args(["--content-dir".as_ref(), content.as_os_str()])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .start_with(Command::shell(&format!("{script}; echo made; read line")));
    running.wait_for_spans(HEADERS.len() + 1);
    wait_until("all spans in the journal", || {
        let found = journal_bytes(&journal);
        found.windows(ASKED.len()).filter(|window| *window == ASKED.as_bytes()).count() > HEADERS.len()
    });
    let told = |args: &[&str]| {
        let mut process = agent();
        process.env("PLAINSPAN_JOURNAL", &journal).args(args);
        Process::start(process).wait().stdout.join("\n").into_bytes()
    };
    let history = told(&["calls", "--json"]);
    let metrics = running.process().wait_for_stderr("metrics for Prometheus are at http://");
    let metrics = scraped(metrics.split("http://").nth(1).expect("an address"));
    let doctor = told(&["doctor", "--cache", "none", "curl"]);
    // While the agent has it open, most of the journal is in its write-ahead log.
    let open = journal_bytes(&journal);
    running.process().write_line("");
    let report = running.wait().exited(0);

    let arrived = provider.calls();
    assert_eq!(arrived.len(), HEADERS.len() + 1);
    let sent: Vec<String> =
        arrived.iter().map(|call| format!("{} {:?}", call.path, call.request_headers)).collect();
    let sent = sent.join("\n");
    for canary in &canaries {
        assert!(sent.contains(canary), "{canary} was never sent");
    }
    let outputs = [
        ("file", report.file.into_bytes(), ASKED),
        (
            "console and log",
            [report.finished.stdout.join("\n"), report.finished.stderr.join("\n")].concat().into_bytes(),
            ASKED,
        ),
        ("collector", collector.received(), ASKED),
        ("events", fs::read(&events).expect("they were written"), ASKED),
        ("files of content", bytes_below(&content), ASKED),
        ("journal, open", open, ASKED),
        ("journal, closed", journal_bytes(&journal), ASKED),
        ("calls --json", history, MODEL),
        ("Prometheus", metrics, MODEL),
        ("doctor", doctor, "This machine can capture"),
    ];
    for (output, bytes, mark) in &outputs {
        assert!(holds(bytes, mark), "{output} has no {mark}: nothing would be found in it");
        for canary in &canaries {
            assert!(!holds(bytes, canary), "{canary} is in {output}");
        }
    }
    // Headers do come out, where they are no credentials.
    let whole = outputs.iter().filter(|(output, ..)| *output != "files of content").take(6);
    assert!(whole.into_iter().all(|(_, bytes, _)| holds(bytes, AGENT)));
}
