use super::*;
use crate::{
    account::Counter,
    genai::{
        Told,
        tests::harness::{Exchange, head, headers, stream_of},
    },
    time::Timestamp,
    wire::{ExchangeEnd, Role},
};

const BOTH: (&str, &str) = ("accept", "application/json, text/event-stream");
const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("accept", "text/event-stream");
const IN_SESSION: (&str, &str) = ("mcp-session-id", "s1");
const LATEST: (&str, &str) = ("mcp-protocol-version", "2025-06-18");

fn asked(method: &str, path: &str, list: &[(&str, &str)]) -> RequestHead {
    let mut head = head(method, "tools.example:8443", path);
    if let Some((path, query)) = path.split_once('?') {
        (head.path, head.query) = (path.into(), query.into());
    }
    head.headers = headers(list);
    head
}

fn posted(body: &str) -> Exchange {
    Exchange::new(asked("POST", "/mcp", &[BOTH, JSON, IN_SESSION, LATEST])).request(body)
}

/// The calls that are over, and nothing else.
fn calls(told: Vec<Told>) -> Vec<Call> {
    told.into_iter()
        .map(|told| match told {
            Told::Call(call) => *call,
            other => panic!("no call: {other:?}"),
        })
        .collect()
}

fn whole(exchange: Exchange) -> Vec<Call> {
    calls(exchange.told(ExchangeEnd::Complete))
}

/// Method, target, id and kind of error.
fn short(call: &Call) -> (&str, Option<&str>, Option<&str>, Option<&str>) {
    let mcp = call.mcp.as_ref().unwrap();
    let target = mcp.tool.as_deref().or(mcp.prompt.as_deref()).or(mcp.resource_uri.as_deref());
    (&mcp.method, target, mcp.request_id.as_deref(), call.error.as_ref().map(|error| error.kind.as_str()))
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"add","arguments":{"a":1},"_meta":{"progressToken":3}}}"#;
const SUM: &str =
    r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"2"}],"isError":false}}"#;

#[test]
fn claims() {
    type List<'a> = &'a [(&'a str, &'a str)];
    let rows: &[(&str, &str, List<'_>, Claim)] = &[
        ("POST", "/anything", &[IN_SESSION], Claim::Yes),
        ("POST", "/anything", &[LATEST], Claim::Yes),
        ("POST", "/anything", &[JSON, BOTH], Claim::Maybe),
        ("POST", "/anything", &[JSON, ("accept", "text/event-stream;q=1,application/json")], Claim::Maybe),
        ("POST", "/mcp/", &[JSON], Claim::Maybe),
        ("POST", "/mcp", &[], Claim::No),
        ("POST", "/messages/?session_id=a", &[JSON], Claim::Maybe),
        ("POST", "/mcp/message?sessionId=a", &[JSON], Claim::Maybe),
        ("POST", "/messages/?session_id=", &[JSON], Claim::No),
        ("POST", "/orders?session_id=a", &[JSON], Claim::No),
        ("POST", "/anything", &[JSON], Claim::No),
        ("POST", "/anything", &[JSON, ("accept", "application/json")], Claim::No),
        ("POST", "/anything", &[JSON, ("accept", "application/json, text/event-stream, */*")], Claim::No),
        ("POST", "/graphql", &[BOTH], Claim::No),
        ("GET", "/anything", &[IN_SESSION, EVENTS], Claim::Yes),
        ("GET", "/anything", &[IN_SESSION, BOTH], Claim::Yes),
        ("GET", "/anything", &[IN_SESSION, ("accept", "application/json")], Claim::NotInference("mcp")),
        ("GET", "/api/sse", &[EVENTS], Claim::Maybe),
        ("GET", "/api/events", &[EVENTS], Claim::No),
        ("GET", "/sse", &[("accept", "text/html")], Claim::No),
        ("GET", "/.well-known/oauth-protected-resource", &[LATEST], Claim::NotInference("mcp")),
        ("DELETE", "/mcp", &[IN_SESSION], Claim::NotInference("mcp")),
        ("DELETE", "/mcp", &[], Claim::No),
    ];
    for (method, path, list, expected) in rows {
        assert_eq!(
            ModelContextProtocol.claim(&asked(method, path, list)),
            *expected,
            "{method} {path} {list:?}"
        );
    }
}

#[test]
fn calls_and_their_answers() {
    let result = |more: &str| format!(r#"{{"jsonrpc":"2.0","id":"r-1",{more}}}"#);
    let ok = result(r#""result":{}"#);
    #[rustfmt::skip]
    let rows = [
        (r#""method":"tools/call","params":{"name":"add"}"#, result(r#""result":{"content":[],"isError":true}"#), "tools/call", Some("add"), Some("tool_error")),
        (r#""method":"tools/call","params":{"name":"add"}"#, result(r#""error":{"code":-32602,"message":"Unknown tool"}"#), "tools/call", Some("add"), Some("-32602")),
        (r#""method":"tools/list""#, ok.clone(), "tools/list", None, None),
        (r#""method":"prompts/get","params":{"name":"code"}"#, ok.clone(), "prompts/get", Some("code"), None),
        (r#""method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"code"}}"#, ok.clone(), "completion/complete", Some("code"), None),
        (r#""method":"resources/read","params":{"uri":"file:///a"}"#, ok.clone(), "resources/read", Some("file:///a"), None),
        (r#""method":"resources/list","params":{"uri":"file:///a","name":"x"}"#, ok.clone(), "resources/list", None, None),
        (r#""method":"tasks/get","params":[1]"#, ok.clone(), "tasks/get", None, None),
        (r#""method":"ping","params":7"#, result(r#""result":null,"error":{"code":"odd"}"#), "ping", None, Some("_OTHER")),
    ];
    for (asks, answer, method, target, error) in rows {
        let body = format!(r#"{{"jsonrpc":"2.0","id":"r-1",{asks}}}"#);
        for streamed in [false, true] {
            let exchange = posted(&body);
            let exchange = if streamed {
                exchange.stream(&stream_of(&["", &answer]))
            } else {
                exchange.json(200, &answer)
            };
            let account = exchange.account.clone();
            let [call] = whole(exchange).try_into().unwrap();
            assert_eq!(short(&call), (method, target, Some("r-1"), error), "{asks} {streamed}");
            let mcp = call.mcp.as_ref().unwrap();
            assert_eq!(
                (mcp.session_id.as_deref(), mcp.protocol_version.as_deref()),
                (Some("s1"), Some("2025-06-18"))
            );
            assert_eq!((call.role, call.start), (Some(Role::Client), Timestamp(1000)));
            assert_eq!(call.ended, Some(ExchangeEnd::Complete));
            assert!(!call.damage.request_malformed && !call.damage.response_malformed, "{asks}");
            assert_eq!((account.get(Counter::McpCalls), account.get(Counter::Calls)), (1, 0));
        }
    }
}

#[test]
fn content_and_trace_of_a_tool() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = CALL.replace(r#""progressToken":3"#, &format!(r#""traceparent":"{parent}""#));
    let [call] = whole(posted(&body).json(200, SUM)).try_into().unwrap();
    let mcp = call.mcp.as_ref().unwrap();
    assert_eq!(mcp.arguments.as_ref().unwrap().text, r#"{"a":1}"#);
    assert!(mcp.result.as_ref().unwrap().text.contains(r#""text":"2""#));
    assert_eq!(call.trace.unwrap().trace_id[..2], [0x0a, 0xf7]);
    // What is no tool has no content.
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a","arguments":{}}}"#;
    let [call] = whole(posted(read).json(200, &SUM.replace("3,", "1,"))).try_into().unwrap();
    let mcp = call.mcp.unwrap();
    assert!(mcp.arguments.is_none() && mcp.result.is_none());
}

/// The first request has no header of MCP's.
#[test]
fn a_session_begins() {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"s","version":"2"}}}"#;
    let begin = || Exchange::new(asked("POST", "/", &[BOTH, JSON])).request(body);
    let exchange = begin().status(200, &[("content-type", "text/event-stream"), ("mcp-session-id", "new")]);
    let [call] =
        whole(exchange.more(crate::genai::tests::harness::sse(&stream_of(&[answer])))).try_into().unwrap();
    let mcp = call.mcp.as_ref().unwrap();
    assert_eq!(
        (mcp.session_id.as_deref(), mcp.protocol_version.as_deref()),
        (Some("new"), Some("2025-06-18"))
    );
    // Until it is answered, the client's wish is all that there is.
    let [call] = whole(begin().json(503, "down")).try_into().unwrap();
    assert_eq!(short(&call), ("initialize", None, Some("0"), Some("503")));
    assert_eq!(call.mcp.unwrap().protocol_version.as_deref(), Some("2025-11-25"));
}

#[test]
fn notifications() {
    let body = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let [call] = whole(posted(body).status(202, &[("content-length", "0")])).try_into().unwrap();
    assert_eq!(short(&call), ("notifications/initialized", None, None, None));
    assert_eq!((call.ended, call.transport.status), (Some(ExchangeEnd::Complete), Some(202)));
    let [call] = whole(posted(body).json(401, r#"{"error":"invalid_token"}"#)).try_into().unwrap();
    assert_eq!(short(&call), ("notifications/initialized", None, None, Some("invalid_token")));
    assert_eq!(call.mcp.unwrap().error_code, None);
}

#[test]
fn failures() {
    let gone =
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session terminated"}}"#;
    let [call] = whole(posted(CALL).json(404, gone)).try_into().unwrap();
    assert_eq!(short(&call), ("tools/call", Some("add"), Some("3"), Some("-32600")));
    assert_eq!((call.mcp.unwrap().error_code.as_deref(), call.transport.status), (Some("-32600"), Some(404)));
    let parse = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#;
    let [call] = whole(posted(CALL).json(200, parse)).try_into().unwrap();
    assert_eq!(short(&call).3, Some("-32700"));
    let [call] = whole(posted(CALL).json(502, "<html>")).try_into().unwrap();
    assert_eq!(short(&call).3, Some("502"));
    let [call] = calls(posted(CALL).told(ExchangeEnd::ClosedRemotely)).try_into().unwrap();
    assert_eq!(
        (short(&call).3, call.ended),
        (Some("server_closed_before_answer"), Some(ExchangeEnd::ClosedRemotely))
    );
}

/// Batches are of version 2025-03-26 only.
#[test]
fn batches() {
    let body = format!(
        r#"[{CALL},{{"jsonrpc":"2.0","method":"notifications/cancelled"}},{{"jsonrpc":"2.0","id":4,"method":"ping"}}]"#
    );
    let pong = r#"{"jsonrpc":"2.0","id":4,"result":{}}"#;
    let told = whole(posted(&body).json(200, &format!("[{pong},{SUM}]")));
    let methods: Vec<_> = told.iter().map(|call| short(call).0).collect();
    assert_eq!(methods, ["ping", "tools/call", "notifications/cancelled"]);
    // Each is over when its answer is there: the clock ticks once an event.
    let told = whole(posted(&body).stream(&stream_of(&[pong, SUM])));
    let ends: Vec<_> = told.iter().map(|call| (short(call).0, call.end.0)).collect();
    assert_eq!(ends, [("ping", 1005), ("tools/call", 1006), ("notifications/cancelled", 1007)]);
    let many: Vec<_> =
        (0..200).map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)).collect();
    let exchange = posted(&format!("[{}]", many.join(","))).json(200, "[]");
    let account = exchange.account.clone();
    assert_eq!(whole(exchange).len(), 128);
    assert_eq!(account.get(Counter::PartsOmitted), 72);
}

/// In the stream of an answer there may be messages of the server, requests of its own too.
#[test]
fn what_the_server_says() {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.5}}"#;
    let sample = r#"{"jsonrpc":"2.0","id":0,"method":"sampling/createMessage","params":{"messages":[]}}"#;
    let told = posted(CALL).stream(&stream_of(&[progress, sample, SUM])).told(ExchangeEnd::Complete);
    let [Told::Call(progress), Told::Asked { role, request, call: sample }, Told::Call(sum)] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(short(progress), ("notifications/progress", None, None, None));
    // The client received it.
    assert_eq!(
        (progress.role, progress.start, progress.end),
        (Some(Role::Server), Timestamp(1005), Timestamp(1005))
    );
    assert_eq!(progress.ended, Some(ExchangeEnd::Complete));
    let expected = McpRequest { session: "s1".into(), sender: Party::Server, id: "0".into() };
    assert_eq!((*role, request), (Role::Client, &expected));
    assert_eq!((sample.role, sample.start), (Some(Role::Server), Timestamp(1006)));
    assert_eq!((short(sum).0, sum.role), ("tools/call", Some(Role::Client)));
    // It is answered by a request.
    let answer = r#"{"jsonrpc":"2.0","id":0,"result":{"role":"assistant"}}"#;
    let exchange = posted(answer).status(202, &[]);
    let account = exchange.account.clone();
    let told = exchange.told(ExchangeEnd::Complete);
    assert!(matches!(&told[..], [Told::Answered { request, .. }] if *request == expected), "{told:?}");
    assert_eq!((account.get(Counter::McpCalls), account.get(Counter::ExchangesNotInference)), (0, 1));
}

#[test]
fn a_stream_that_ends_before_the_answer_goes_on_in_another() {
    let open = posted(CALL).stream(&stream_of(&[""])).told(ExchangeEnd::Complete);
    let [Told::Asked { request, .. }] = &open[..] else { panic!("{open:?}") };
    let resumed =
        Exchange::new(asked("GET", "/mcp", &[EVENTS, IN_SESSION, LATEST])).stream(&stream_of(&[SUM]));
    let told = resumed.told(ExchangeEnd::ClosedLocally);
    assert!(
        matches!(&told[..], [Told::Answered { request: answered, .. }] if answered == request),
        "{told:?}"
    );
}

/// Over HTTP and SSE all answers come in the one stream.
#[test]
fn the_older_transport() {
    let asked_at = |path| Exchange::new(asked("POST", path, &[JSON])).request(CALL);
    let told = asked_at("/messages/?session_id=ab").json(202, "Accepted").told(ExchangeEnd::Complete);
    let [Told::Asked { request, call, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((short(call).0, request.session.as_str()), ("tools/call", "ab"));
    let told = asked_at("/messages/?session_id=ab").json(404, "no session").told(ExchangeEnd::Complete);
    let [Told::Asked { .. }, Told::Answered { answer, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(answer.error.as_ref().unwrap().kind, "404");

    let stream = |first: &str| {
        let body = format!("event: endpoint\ndata: {first}\n\nevent: message\ndata: {SUM}\n\n");
        Exchange::new(asked("GET", "/sse", &[EVENTS])).stream(&body).told(ExchangeEnd::ClosedLocally)
    };
    let told = stream("/messages/?session_id=ab");
    let [Told::Answered { request: answered, .. }, Told::Closed { session, end, .. }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((answered, session.as_str(), *end), (request, "ab", ExchangeEnd::ClosedLocally));
    assert!(stream("/messages").is_empty());
    // Others have such streams, too.
    let exchange = Exchange::new(asked("GET", "/sse", &[EVENTS])).stream(&stream_of(&[SUM, "hello"]));
    let account = exchange.account.clone();
    assert!(exchange.told(ExchangeEnd::Complete).is_empty());
    assert_eq!(account.get(Counter::ExchangesNotLlm), 1);
}

#[test]
fn what_is_not_mcp() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"processId":7,"rootUri":null}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}"#,
        r#"{"method":"tools/call","params":{"name":"add"}}"#,
        r#"{"model":"m","messages":[]}"#,
        "[]",
        "7",
        "",
    ] {
        let exchange = Exchange::new(asked("POST", "/mcp", &[BOTH, JSON])).request(body).json(200, "{}");
        let account = exchange.account.clone();
        assert!(exchange.told(ExchangeEnd::Complete).is_empty(), "{body}");
        assert_eq!(
            (account.get(Counter::ExchangesNotLlm), account.get(Counter::BodiesMalformed)),
            (1, 0),
            "{body}"
        );
    }
}

#[test]
fn bytes_that_are_missing() {
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#;
    let exchange = posted(CALL).stream(&stream_of(&[progress])).gap(Some(10)).told(ExchangeEnd::Complete);
    // The answer may be what is missing.
    let [Told::Call(_), Told::Call(call)] = &exchange[..] else { panic!("{exchange:?}") };
    assert_eq!((short(call).0, call.damage.response.lost), ("tools/call", 10));
    let mut late = Exchange::new(asked("POST", "/mcp", &[IN_SESSION]));
    late.events = posted(CALL).json(200, SUM).events.split_off(2);
    let told = late.told(ExchangeEnd::Complete);
    assert!(told.iter().all(|told| matches!(told, Told::Answered { .. })), "{told:?}");
}
