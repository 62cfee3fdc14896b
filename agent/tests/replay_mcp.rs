//! Exchanges of MCP through all rooms: the same spans, however they were moved.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by it")]

use std::sync::Arc;

use plainspan::{
    account::{Account, Counter},
    capture::ConnectionId,
    cli::replay::{Encoding, Exchange, Framing, ReplayOptions, Request, Response, Split, records},
    contract::{Profile, Span, Value},
    pipeline::{Ids, Limits, Outcome, Pipeline, Spans},
    policy::content::{Form, Policy},
    resource::Processes,
    time::Timestamp,
};

const CALLS: &str = r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}},{"jsonrpc":"2.0","id":"x","method":"tools/list"}]"#;
const ANSWERS: [&str; 2] = [
    r#"{"jsonrpc":"2.0","id":"x","result":{"tools":[]}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"1"}],"isError":true}}"#,
];
const PROGRESS: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}"#;

fn exchange(method: &str, body: &str, media_type: &str, answer: &str) -> Exchange {
    let headers = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    Exchange {
        source: "mcp".into(),
        request: Request {
            method: method.into(),
            url: "https://tools.example/any/path".into(),
            headers: headers(&[
                ("Content-Type", "application/json"),
                ("Accept", "application/json, text/event-stream"),
                ("Mcp-Session-Id", "s1"),
                ("MCP-Protocol-Version", "2025-03-26"),
            ]),
            body: body.into(),
        },
        response: Response {
            status: 200,
            headers: headers(&[("Content-Type", media_type)]),
            body: answer.into(),
        },
    }
}

fn stream(list: &[&str]) -> String {
    list.iter().fold(String::new(), |body, data| body + "event: message\ndata: " + data + "\n\n")
}

/// What the spans of an exchange say, but for when.
fn told(exchange: &Exchange, options: &ReplayOptions) -> Vec<String> {
    let account = Arc::new(Account::default());
    let limits = Limits::default();
    let mut pipeline = Pipeline::new(&limits, Ids::Counted(0), Arc::clone(&account));
    let content = Policy::of(Form::Full, Arc::clone(&account));
    let processes = Processes::new("/nowhere", limits.resource);
    let mut spans = Spans::new(processes, content, Profile::DEFAULT, Vec::new(), Arc::clone(&account));
    let mut outcome = Outcome::default();
    for record in records(exchange, ConnectionId(1), options) {
        pipeline.record(record, &mut outcome);
    }
    pipeline.finish(Timestamp(1 << 60), &mut outcome);
    assert_eq!(account.get(Counter::McpCalls), outcome.calls.len() as u64);
    outcome.calls.drain(..).filter_map(|call| Some(said(&spans.deliver(call)?.span))).collect()
}

fn said(span: &Span) -> String {
    let mut said = format!("{} {:?}", span.name, span.kind);
    for attribute in &span.attributes {
        let version = attribute.key == "network.protocol.version";
        if let (false, Value::String(value)) = (version, &attribute.value) {
            said.push_str(&[" ", attribute.key, "=", value].concat());
        }
    }
    said
}

#[test]
fn spans_do_not_depend_on_how_it_was_moved() {
    let rows = [
        (exchange("POST", CALLS, "application/json", &format!("[{}]", ANSWERS.join(","))), 2),
        (exchange("POST", CALLS, "text/event-stream", &stream(&[PROGRESS, "", ANSWERS[0], ANSWERS[1]])), 3),
        (exchange("GET", "", "text/event-stream", &stream(&[PROGRESS, PROGRESS])), 2),
    ];
    for (exchange, count) in rows {
        let wanted = told(&exchange, &ReplayOptions::default());
        assert_eq!(wanted.len(), count, "{wanted:#?}");
        assert!(wanted.iter().all(|said| said.contains(" mcp.session.id=s1")), "{wanted:#?}");
        assert!(wanted.iter().all(|said| said.contains(" plainspan.call.ended=complete")), "{wanted:#?}");
        for framing in [Framing::H1, Framing::H2] {
            for encoding in Encoding::ALL {
                for split in [Split::Calls, Split::Every(1), Split::Every(7), Split::Random(1)] {
                    let options = ReplayOptions { framing, encoding, split, ..ReplayOptions::default() };
                    assert_eq!(told(&exchange, &options), wanted, "{options:?}");
                }
            }
        }
    }
}
