use serde_json::{Value as Parsed, json};

use super::super::{Options, Relations, Span, SpanIds, Status, Value, build};
use super::*;
use crate::{
    account::Account,
    genai::{CallError, Party, Transport},
    policy::content::Form,
    wire::{ExchangeEnd, Version},
};

const IDS: SpanIds = SpanIds { trace_id: [1; 16], span_id: [2; 8] };
/// With all of the content.
fn with_content() -> Options {
    Options { content: Form::Full, ..Options::default() }
}

fn call(mcp: Mcp) -> Call {
    Call {
        dialect: "mcp",
        role: Some(Role::Client),
        ended: Some(ExchangeEnd::Complete),
        transport: Transport {
            server_address: Some("tools.example".into()),
            server_port: Some(443),
            method: "POST".into(),
            path: "/mcp".into(),
            version: Some(Version::Http2),
            status: Some(200),
            ..Transport::default()
        },
        mcp: Some(Box::new(mcp)),
        ..Call::default()
    }
}

fn message(method: &str) -> Mcp {
    Mcp {
        sender: Party::Client,
        method: method.into(),
        request_id: Some("3".into()),
        session_id: Some("s1".into()),
        protocol_version: Some("2025-06-18".into()),
        jsonrpc_version: None,
        tool: None,
        prompt: None,
        resource_uri: None,
        arguments: None,
        result: None,
        error_code: None,
    }
}

/// One in which everything is there.
fn full() -> Call {
    Call {
        error: Some(CallError {
            kind: "-32602".into(),
            code: Some("-32602".into()),
            provider_type: None,
            message: Some("no such tool".into()),
        }),
        ..call(Mcp {
            jsonrpc_version: Some("2.1".into()),
            tool: Some("add".into()),
            prompt: Some("p".into()),
            resource_uri: Some("file:///a".into()),
            arguments: Some(r#"{"a":1}"#.into()),
            result: Some(r#"{"content":[]}"#.into()),
            error_code: Some("-32602".into()),
            ..message("tools/call")
        })
    }
}

fn spanned(call: &Call, options: &Options) -> Span {
    build(call, IDS, Relations::default(), options, &Account::default())
}

fn text(span: &Span, key: &str) -> Option<String> {
    match span.get(key)? {
        Value::String(text) => Some(text.clone()),
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn names_of_spans() {
    let named = |mcp: Mcp| spanned(&call(mcp), &Options::default()).name;
    assert_eq!(named(Mcp { tool: Some("add".into()), ..message("tools/call") }), "tools/call add");
    assert_eq!(named(Mcp { prompt: Some("code".into()), ..message("prompts/get") }), "prompts/get code");
    let read = Mcp { resource_uri: Some("file:///a".into()), ..message("resources/read") };
    assert_eq!(named(read), "resources/read", "a URI has too many values");
    assert_eq!(named(message("ping")), "ping");
}

#[test]
fn attributes() {
    let span = spanned(&full(), &Options::default());
    for (key, value) in [
        ("mcp.method.name", Some("tools/call")),
        ("gen_ai.operation.name", Some("execute_tool")),
        ("gen_ai.tool.name", Some("add")),
        ("mcp.session.id", Some("s1")),
        ("mcp.protocol.version", Some("2025-06-18")),
        ("jsonrpc.request.id", Some("3")),
        ("rpc.response.status_code", Some("-32602")),
        ("error.type", Some("-32602")),
        ("network.transport", Some("tcp")),
        ("network.protocol.name", Some("http")),
        ("network.protocol.version", Some("2")),
        ("plainspan.api", Some("mcp")),
        ("gen_ai.provider.name", None),
        ("gen_ai.tool.call.arguments", None),
        ("gen_ai.tool.call.result", None),
        ("plainspan.contract.violations", None),
    ] {
        assert_eq!(text(&span, key).as_deref(), value, "{key}");
    }
    // What the server says may quote content.
    assert_eq!(span.status, Status::Error("-32602".into()));
    let span = spanned(&full(), &with_content());
    assert_eq!(span.status, Status::Error("no such tool".into()));
    assert_eq!(text(&span, "gen_ai.tool.call.arguments").as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(text(&span, "gen_ai.tool.call.result").as_deref(), Some(r#"{"content":[]}"#));
    let other = spanned(&call(message("prompts/list")), &Options::default());
    assert_eq!(text(&other, "gen_ai.operation.name"), None);
}

#[test]
fn long_content_is_a_text_of_its_beginning() {
    let limit = names::GEN_AI_TOOL_CALL_ARGUMENTS.def().max_bytes.unwrap();
    let long = format!("[{}]", "1,".repeat(limit));
    let mut call = full();
    call.mcp.as_mut().unwrap().arguments = Some(long.as_str().into());
    let span = spanned(&call, &with_content());
    let kept = text(&span, "gen_ai.tool.call.arguments").unwrap();
    let kept: String = serde_json::from_str(&kept).unwrap();
    assert!(long.starts_with(&kept) && kept.len() + 2 == limit);
    assert_eq!(span.get("plainspan.content.cut"), Some(&Value::Int((long.len() - kept.len()) as i64)));
    assert_eq!(span.get("plainspan.contract.violations"), None);
}

/// The generated schemas describe what is really built.
#[test]
fn spans_fit_the_generated_schemas() {
    for (role, schema) in [
        (Role::Client, include_str!("../../../contract/generated/mcp.client.schema.json")),
        (Role::Server, include_str!("../../../contract/generated/mcp.server.schema.json")),
    ] {
        let schema: Parsed = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for call in [call(message("ping")), full()] {
            for options in [Options::default(), with_content()] {
                let span = spanned(&Call { role: Some(role), ..call.clone() }, &options);
                let pairs = span.attributes.iter().map(|attribute| {
                    let value = match &attribute.value {
                        Value::String(v) => json!(v),
                        Value::Int(v) => json!(v),
                        Value::Double(v) => json!(v),
                        Value::Bool(v) => json!(v),
                        Value::Strings(v) => json!(v),
                    };
                    (attribute.key.to_owned(), value)
                });
                let object = Parsed::Object(pairs.collect());
                let errors: Vec<_> = validator.iter_errors(&object).map(|e| e.to_string()).collect();
                assert_eq!(errors, [""; 0]);
            }
        }
    }
}
