//! The official SDK's client and server of the Model Context Protocol, over each transport that it has, and what is told of both.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use plainspan_tests::harness::{AgentCommand, Command, Span, directory, venv, workspace};
use serde_json::{Value, json};

/// Kinds of spans, in OTLP's numbers.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// What the client asks in every transport.
const ASKED: [&str; 6] = [
    "prompts/get greet",
    "prompts/get nothing",
    "resources/read",
    "tools/call add",
    "tools/call fail",
    "tools/list",
];

/// The spans of one process.
struct Side(Vec<Span>);

impl Side {
    fn names(&self, kind: u64) -> Vec<&str> {
        let mut names: Vec<_> =
            self.0.iter().filter(|span| span.kind == kind).map(|span| span.name.as_str()).collect();
        names.sort_unstable();
        names
    }

    fn find(&self, name: &str) -> &Span {
        let found: Vec<_> = self.0.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {:#?}", self.0);
        found[0]
    }
}

/// Runs the server and its client, and gives what was told of the client and of the server.
fn sides(path: &str, server: &[&str], client: &[&str]) -> [Side; 2] {
    let own =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
    let dir = directory();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    };
    let certificate = file("both.pem", &(own.cert.pem() + &own.signing_key.serialize_pem()));
    let ca = file("ca.pem", &own.cert.pem());
    let clients = workspace().join("tests/clients");
    let python = venv("python");
    let url = format!("https://localhost:PORT{path}");
    let command = Command::at(python.clone())
        .args([clients.join("mcp_server.py")])
        .args(["--certificate".as_ref(), certificate.as_os_str()])
        .args(server)
        .args(["--".as_ref(), python.as_os_str(), clients.join("mcp_client.py").as_os_str()])
        .args(["--url", &url])
        .args(client)
        .env("SSL_CERT_FILE", &ca)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let report = AgentCommand::new().args(["--content", "span"]).run(command).exited(0);
    let spans = report.spans;
    let pids: BTreeSet<u64> = spans.iter().filter_map(|span| span.resource["process.pid"].as_u64()).collect();
    assert_eq!(pids.len(), 2, "{spans:#?}");
    let of = |kind: u64| {
        let list = spans.iter().find(|span| span.name == "tools/list" && span.kind == kind);
        let pid = &list.expect("tools are listed").resource["process.pid"];
        Side(spans.iter().filter(|span| span.resource["process.pid"] == *pid).cloned().collect())
    };
    for span in &spans {
        assert_eq!(span.get("plainspan.call.ended"), "complete", "{span:#?}");
        assert_eq!(span.get("plainspan.capture.degraded"), &Value::Null, "{span:#?}");
        assert_eq!(span.get("plainspan.contract.violations"), &Value::Null, "{span:#?}");
    }
    [of(CLIENT), of(SERVER)]
}

/// What both sides tell of the same calls.
fn agree(client: &Side, server: &Side) {
    for span in &client.0 {
        let other = server.find(&span.name);
        assert_ne!(span.kind, other.kind, "{}", span.name);
        for key in [
            "mcp.method.name",
            "mcp.session.id",
            "mcp.protocol.version",
            "mcp.resource.uri",
            "jsonrpc.request.id",
            "rpc.response.status_code",
            "error.type",
            "gen_ai.tool.name",
            "gen_ai.tool.call.arguments",
            "gen_ai.tool.call.result",
            "gen_ai.prompt.name",
        ] {
            assert_eq!(span.get(key), other.get(key), "{key} of {}", span.name);
        }
    }
}

/// What was answered, by the client's spans.
fn answers(client: &Side) {
    let add = client.find("tools/call add");
    assert_eq!(add.get("gen_ai.operation.name"), "execute_tool");
    let text = |key: &str| add.get(key).as_str().expect("content was asked for").to_owned();
    let arguments: Value = serde_json::from_str(&text("gen_ai.tool.call.arguments")).expect("JSON");
    assert_eq!(arguments, json!({"a": 2, "b": 3}));
    assert!(text("gen_ai.tool.call.result").contains(r#""text":"5""#), "{add:#?}");
    assert_eq!((add.status, add.get("error.type")), (0, &Value::Null));
    let fail = client.find("tools/call fail");
    assert_eq!((fail.status, fail.get("error.type")), (2, &json!("tool_error")));
    let unknown = client.find("prompts/get nothing");
    assert_eq!(unknown.get("error.type"), unknown.get("rpc.response.status_code"));
    assert_eq!((unknown.status, unknown.get("gen_ai.prompt.name")), (2, &json!("nothing")));
    assert_eq!(client.find("resources/read").get("mcp.resource.uri"), "data://numbers");
}

/// A session, in which the server asks too.
fn session(path: &str, server: &[&str], client: &[&str], more: &[&str]) -> [Side; 2] {
    let [client, server] = sides(path, server, client);
    let mut asked = [&["initialize", "notifications/initialized", "tools/call ask"], &ASKED[..]].concat();
    asked.sort_unstable();
    for (asks, answers) in [(&client, &server), (&server, &client)] {
        let names = if std::ptr::eq(asks, &raw const client) { &asked[..] } else { more };
        assert_eq!(asks.names(CLIENT), names);
        assert_eq!(answers.names(SERVER), names);
    }
    agree(&client, &server);
    answers(&client);
    let ids: BTreeSet<_> = client.0.iter().map(|span| span.get("mcp.session.id").as_str()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(!ids.contains(&None));
    // The server's question stands within the call that made it ask.
    let (ask, roots) = (client.find("tools/call ask"), client.find("roots/list"));
    assert!(ask.start < roots.start && roots.end < ask.end && roots.start < roots.end, "{ask:#?} {roots:#?}");
    [client, server]
}

#[test]
fn a_session_answered_with_streams() {
    let [client, _] = session("/mcp", &[], &[], &["notifications/progress", "roots/list"]);
    let version = client.find("initialize").get("mcp.protocol.version").clone();
    assert!(client.0.iter().all(|span| *span.get("mcp.protocol.version") == version), "{version}");
}

/// What the server asks comes in a stream that a GET has opened.
#[test]
fn a_session_answered_with_json() {
    session("/mcp", &["--json"], &[], &["roots/list"]);
}

#[test]
fn a_session_of_the_older_transport() {
    session("/sse", &["--sse"], &["--sse"], &["notifications/progress", "roots/list"]);
}

/// Since version 2026-07-28 there are no sessions.
#[test]
fn requests_that_stand_alone() {
    let [client, server] = sides("/mcp", &[], &["--mode", "2026-07-28"]);
    assert_eq!(client.names(CLIENT), ASKED);
    assert_eq!(server.names(SERVER), ASKED);
    agree(&client, &server);
    answers(&client);
    assert!(client.0.iter().all(|span| span.get("mcp.protocol.version") == "2026-07-28"));
}
