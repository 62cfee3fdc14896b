//! Telemetry of any origin against a contract: plainspan's own keeps its contract, and what breaks one is named. Needs no privileges.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use plainspan_tests::harness::{Process, agent, directory, recorded_exchanges, venv, workspace};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A check that listens.
struct Check {
    process: Process,
    address: String,
}

impl Check {
    fn start(options: &[&str]) -> Self {
        let mut command = agent();
        command.args(["contract", "live-check", "--otlp", "127.0.0.1:0"]).args(options);
        let mut process = Process::start(command);
        let said = process.wait_for_stderr("OTLP on ");
        let address = said.split("OTLP on ").nth(1).and_then(|rest| rest.split(',').next());
        let address = address.expect("it says where it listens").to_owned();
        Self { process, address }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it; what it printed, and its exit status.
    fn stop(self) -> (String, Option<i32>) {
        self.process.signal(Signal::INT);
        let ended = self.process.wait();
        (ended.stdout.join("\n"), ended.status.code())
    }

    fn stop_json(self) -> (Value, Option<i32>) {
        let (text, status) = self.stop();
        (serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")), status)
    }

    /// Sends a request as it is; the status line of the answer.
    fn post(&self, path: &str, kind: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("not zero");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        // It may have answered and closed before it has read all of what is too long.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
    }
}

fn shop() -> String {
    workspace().join("tests/contract/shop").display().to_string()
}

fn run_app(endpoint: &str, arguments: &[&str]) {
    let mut command = Command::new(venv("python"));
    command
        .arg(workspace().join("tests/contract/otel_app.py"))
        .args(arguments)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
}

#[test]
fn plainspan_keeps_its_own_contract() {
    for protocol in ["grpc", "http/protobuf"] {
        let check = Check::start(&["--json"]);
        let mut replay = agent();
        replay
            .args(["replay", "--content", "full", "--content-as", "spans,events", "-o", "otlp"])
            .args(recorded_exchanges())
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", check.endpoint())
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let ended = Process::start(replay).wait();
        assert!(ended.status.success(), "{ended:#?}");
        let (summary, status) = check.stop_json();
        assert_eq!((&summary["total"], &summary["violations"]), (&json!(0), &json!([])), "{protocol}");
        assert_eq!((&summary["outside"]["spans"], &summary["unreadable_requests"]), (&json!(0), &json!(0)));
        let checked = summary["checked"]["spans"].as_u64().expect("a number");
        assert!(checked > 500, "{checked} spans over {protocol}");
        let events = summary["checked"]["events"].as_u64().expect("a number");
        assert!(events > 500 && events <= checked, "{events} events over {protocol}");
        assert_eq!(status, Some(0));
    }
}

#[test]
fn an_sdk_that_keeps_a_contract_and_one_that_breaks_it() {
    let check = Check::start(&["--contract", &shop()]);
    run_app(&check.endpoint(), &[]);
    let (text, status) = check.stop();
    assert!(text.contains("checked 20 spans, 1 metric under shop 1.2.0"), "{text}");
    assert!(text.ends_with("no violations"), "{text}");
    assert_eq!(status, Some(0));

    let check = Check::start(&["--contract", &shop(), "--json"]);
    run_app(&check.endpoint(), &["wrong"]);
    let (summary, status) = check.stop_json();
    assert_eq!(status, Some(1));
    let mut said: Vec<_> = summary["violations"].as_array().into_iter().flatten().collect();
    said.sort_by_key(|violation| violation["message"].as_str());
    let messages: Vec<_> = said.iter().filter_map(|violation| violation["message"].as_str()).collect();
    let wanted = [
        "metric shop.sales: the unit is \"ct\", must be \"{euro}\"",
        "span shop.buy: `shop.article` is an older name, and `shop.item` is missing",
        "span shop.buy: `shop.discuont` is not in the contract",
        "span shop.buy: `shop.paid.by` has \"shells\", which is not listed",
        "span shop.buy: `shop.paid.by` is missing",
        "span shop.buy: `shop.price` is of type string, must be double",
        "span shop.buy: the kind is server, must be client",
        "span shop.buy: the name \"purchase item-1\" is not of the form `buy {shop.item}`",
    ];
    assert_eq!(messages, wanted, "{summary:#}");
    assert!(said.iter().all(|violation| violation["service"] == "checkout" && violation["count"] == 1));
}

#[test]
fn json_and_what_is_no_otlp() {
    let check = Check::start(&["--contract", &shop(), "--json"]);
    let span = json!({"name": "buy x", "kind": 3, "attributes": [
        {"key": "shop.item", "value": {"stringValue": "x"}},
        {"key": "shop.price", "value": {"doubleValue": 1.5}},
        {"key": "shop.paid.by", "value": {"stringValue": "card"}}]});
    let service = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]});
    let traces =
        json!({"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span]}]}]}).to_string();
    let json = "application/json";
    let too_long = vec![b' '; 17 << 20];
    #[rustfmt::skip]
    let rows: [(&str, &str, &[u8], &str); 6] = [
        ("/v1/traces", json, traces.as_bytes(), "HTTP/1.1 200"),
        ("/v1/traces", json, b"{", "HTTP/1.1 400"),
        ("/v1/traces", "application/x-protobuf", b"\xff\xff\xff", "HTTP/1.1 400"),
        ("/v1/traces", "text/plain", traces.as_bytes(), "HTTP/1.1 415"),
        ("/v2/traces", json, traces.as_bytes(), "HTTP/1.1 404"),
        ("/v1/traces", json, &too_long, "HTTP/1.1 413"),
    ];
    for (path, kind, body, wanted) in rows {
        let answer = check.post(path, kind, body);
        // The connection may be reset under a body that nobody reads.
        assert!(
            answer.starts_with(wanted) || (body.len() > 1 << 20 && answer.is_empty()),
            "{path} {kind}: {answer}"
        );
    }
    let (summary, status) = check.stop_json();
    assert_eq!((&summary["checked"]["spans"], &summary["total"]), (&json!(1), &json!(0)), "{summary:#}");
    assert_eq!(summary["unreadable_requests"], 5, "{summary:#}");
    assert_eq!(status, Some(1), "what can't be read has not been checked");
}

#[test]
fn it_ends_by_itself_and_says_when_nothing_came() {
    let check = Check::start(&["--for", "300ms"]);
    let ended = check.process.wait();
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert!(ended.stderr.iter().any(|l| l.contains("nothing of the contract came")), "{ended:#?}");

    let check = Check::start(&["--contract", &shop(), "--until-idle", "1s"]);
    run_app(&check.endpoint(), &[]);
    assert_eq!(check.process.wait().status.code(), Some(0));

    for options in [&["--contract", "/nowhere"][..], &["--for", "soon"], &["--otlp", "nowhere"]] {
        let mut command = agent();
        command.args(["contract", "live-check"]).args(options);
        let ended = Process::start(command).wait();
        assert_eq!(ended.status.code(), Some(2), "{options:?}: {ended:#?}");
        assert_eq!(ended.stderr.len(), 1, "{ended:#?}");
    }
}

fn infer(files: &[&Path], to: &Path) {
    let mut command = agent();
    command.args(["contract", "infer", "--name", "seen", "-o"]).arg(to).args(files);
    let ended = Process::start(command).wait();
    assert!(ended.status.success(), "{ended:#?}");
}

/// What plainspan itself exports becomes a contract, which the same telemetry then keeps.
#[test]
fn a_contract_is_inferred_from_recorded_telemetry() {
    let dir = directory();
    let (spans, contract) = (dir.path().join("spans.jsonl"), dir.path().join("contract"));
    let mut replay = agent();
    replay.args(["replay", "-o", &format!("file:{}", spans.display())]).args(recorded_exchanges());
    assert!(Process::start(replay).wait().status.success());
    infer(&[&spans], &contract);

    let text = fs::read_to_string(contract.join("registry/signals.yaml")).expect("it is written");
    assert!(text.contains("name_pattern: \"{gen_ai.operation.name} {gen_ai.request.model}\""), "{text}");
    let attributes = fs::read_to_string(contract.join("registry/attributes.yaml")).expect("it is written");
    assert!(attributes.contains("# review: the privacy class was guessed"), "{attributes}");

    let contract = contract.display().to_string();
    let check = Check::start(&["--contract", &contract, "--json"]);
    for line in fs::read_to_string(&spans).expect("it is written").lines() {
        assert!(check.post("/v1/traces", "application/json", line.as_bytes()).starts_with("HTTP/1.1 200"));
    }
    let (summary, status) = check.stop_json();
    assert_eq!((&summary["total"], status), (&json!(0), Some(0)), "{summary:#}");
    assert!(summary["checked"]["spans"].as_u64().expect("a number") > 500);
}
