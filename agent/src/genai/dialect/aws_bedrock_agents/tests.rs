use super::*;
use crate::{
    genai::tests::harness::{Exchange, head, headers},
    wire::{Body, EventKind, ExchangeEnd},
};

const HOST: &str = "bedrock-agent-runtime.eu-central-1.amazonaws.com";
const AGENT: &str = "/agents/AGENT123/agentAliases/TSTALIASID/sessions/my%3Asession/text";

fn asked(path: &str, body: &str) -> Exchange {
    Exchange::new(head("POST", HOST, path)).request(body)
}

fn streamed(exchange: Exchange, list: &[(&str, &str)], events: &[(&str, &str)]) -> Exchange {
    let list = [&[("content-type", "application/vnd.amazon.eventstream")], list].concat();
    events.iter().fold(exchange.status(200, &list), |exchange, (kind, data)| {
        let event = SseEvent { event: (*kind).into(), data: (*data).to_owned().into() };
        exchange.then(EventKind::ResponseBody(Body::Sse(event)))
    })
}

fn text(call: &Call) -> &str {
    match &call.response.generations[0].message.parts[0] {
        Part::Text(content) => &content.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths() {
    let name = |text: &str| Some(text.to_owned());
    let rows = [
        (AGENT, Some(Asked::Agent { agent: name("AGENT123"), session: name("my:session") })),
        ("/agents/s1", Some(Asked::InlineAgent { session: name("s1") })),
        ("/agents/s1/", Some(Asked::InlineAgent { session: name("s1") })),
        ("/agents/A/agentAliases/B/sessions/S/memory", None),
        ("/agents/A/agentAliases/B/sessions/S/text/more", None),
        ("/agents", None),
        ("/knowledgebases/KB/retrieve", Some(Asked::Retrieve { base: name("KB") })),
        ("/knowledgebases/KB/datasources", None),
        ("/retrieveAndGenerate", Some(Asked::Generate { streamed: false })),
        ("/retrieveAndGenerateStream", Some(Asked::Generate { streamed: true })),
        ("/rerank", Some(Asked::Rerank)),
        ("/flows/F/aliases/A", None),
        ("", None),
    ];
    for (path, expected) in rows {
        assert_eq!(Asked::of(path), expected, "{path}");
    }
}

#[test]
fn agents() {
    let exchange = asked(AGENT, r#"{"inputText":"What is it?","enableTrace":true}"#);
    let events =
        [("chunk", r#"{"bytes":"SXQg"}"#), ("trace", r#"{"trace":{}}"#), ("chunk", r#"{"bytes":"aXMu"}"#)];
    let told = [("x-amzn-bedrock-agent-session-id", "my:session")];
    let call = streamed(exchange, &told, &events).call();
    assert_eq!((call.dialect, call.operation), ("aws.bedrock.agents", OperationName::InvokeAgent));
    assert_eq!(call.provider, Provider::AwsBedrock);
    assert_eq!(call.request.agent_id.as_deref(), Some("AGENT123"));
    assert_eq!(call.request.conversation_id.as_deref(), Some("my:session"));
    assert_eq!((call.request.messages.len(), text(&call)), (1, "It is."));
    assert_eq!((call.streaming.chunks, call.ended), (3, Some(ExchangeEnd::Complete)));
    assert!(call.error.is_none());

    let inline = r#"{"foundationModel":"amazon.nova-pro-v1:0","instruction":"Be kind","inputText":"Hi","agentName":"helper"}"#;
    let control = r#"{"invocationId":"i1","invocationInputs":[]}"#;
    let call = streamed(asked("/agents/s1", inline), &[], &[("returnControl", control)]).call();
    assert_eq!(call.request.model.as_deref(), Some("amazon.nova-pro-v1:0"));
    assert_eq!(call.request.agent_name.as_deref(), Some("helper"));
    assert_eq!((call.request.conversation_id.as_deref(), call.request.system.len()), (Some("s1"), 1));
    let parts = &call.response.generations[0].message.parts;
    assert!(matches!(&parts[..], [Part::ToolCall { id: Some(id), .. }] if id == "i1"), "{parts:?}");
}

#[test]
fn knowledge_bases() {
    let found = r#"{"retrievalResults":[{"content":{"text":"a"},"score":0.5}]}"#;
    let body = r#"{"retrievalQuery":{"text":"q"},"retrievalConfiguration":{"vectorSearchConfiguration":{"numberOfResults":4}}}"#;
    let call = asked("/knowledgebases/KB/retrieve", body).json(200, found).call();
    assert_eq!((call.operation, call.request.top_k), (OperationName::Retrieval, Some(4)));
    assert_eq!(call.request.knowledge_base_id.as_deref(), Some("KB"));

    let body = r#"{"input":{"text":"q"},"sessionId":"s0","retrieveAndGenerateConfiguration":{"type":"KNOWLEDGE_BASE","knowledgeBaseConfiguration":{"knowledgeBaseId":"KB","modelArn":"arn:m"}}}"#;
    let answer = r#"{"sessionId":"s1","output":{"text":"It is."},"citations":[]}"#;
    let call = asked("/retrieveAndGenerate", body).json(200, answer).call();
    assert_eq!((call.operation, call.request.stream), (OperationName::Chat, None));
    assert_eq!(call.request.model.as_deref(), Some("arn:m"));
    assert_eq!(call.request.knowledge_base_id.as_deref(), Some("KB"));
    assert_eq!((call.request.conversation_id.as_deref(), text(&call)), (Some("s1"), "It is."));

    let told = [("x-amzn-bedrock-knowledge-base-session-id", "s2")];
    let events = [("output", r#"{"text":"It "}"#), ("citation", "{}"), ("output", r#"{"text":"is."}"#)];
    let call = streamed(asked("/retrieveAndGenerateStream", body), &told, &events).call();
    assert_eq!((call.request.stream, text(&call)), (Some(true), "It is."));
    assert_eq!(call.request.conversation_id.as_deref(), Some("s2"));
}

#[test]
fn documents_in_order() {
    let body = r#"{"queries":[{"type":"TEXT","textQuery":{"text":"q"}}],"sources":[],"rerankingConfiguration":{"type":"BEDROCK_RERANKING_MODEL","bedrockRerankingConfiguration":{"modelConfiguration":{"modelArn":"arn:r"},"numberOfResults":2}}}"#;
    let call = asked("/rerank", body).json(200, r#"{"results":[{"index":0,"relevanceScore":0.9}]}"#).call();
    assert_eq!((call.operation, call.dialect), (OperationName::Rerank, "aws.bedrock.rerank"));
    assert_eq!(call.request.model.as_deref(), Some("arn:r"));
}

#[test]
fn errors_and_what_is_none() {
    let error = r#"{"message":"no such agent"}"#;
    let told =
        [("content-type", "application/json"), ("x-amzn-errortype", "ResourceNotFoundException:http://x/")];
    let exchange = asked(AGENT, "{}").status(404, &told);
    let call = exchange.then(EventKind::ResponseBody(Body::Bytes(error.to_owned().into()))).call();
    let error = call.error.unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_deref()),
        ("ResourceNotFoundException", Some("no such agent"))
    );
    assert_eq!(call.request.agent_id.as_deref(), Some("AGENT123"));
    // Also in the middle of a stream.
    let events = [("chunk", r#"{"bytes":"SXQg"}"#), ("dependencyFailedException", r#"{"message":"m"}"#)];
    let call = streamed(asked(AGENT, "{}"), &[], &events).call();
    assert_eq!(call.error.unwrap().kind, "dependencyFailedException");
    let call = streamed(asked(AGENT, "{}"), &[], &events[..1]).run(ExchangeEnd::ClosedRemotely).unwrap();
    assert_eq!(call.error.unwrap().kind, "server_closed");
    // Bodies that were missed leave what the path says.
    let call = Exchange::new(head("POST", HOST, AGENT)).run(ExchangeEnd::CaptureEnd).unwrap();
    assert_eq!(call.request.conversation_id.as_deref(), Some("my:session"));

    let gateway = |list: &[(&str, &str)]| {
        let mut head = head("POST", "gateway.example", AGENT);
        head.headers = headers(list);
        AGENTS.claim(&head)
    };
    assert_eq!(gateway(&[("x-amz-date", "20260101T000000Z")]), Claim::Yes);
    assert_eq!(gateway(&[]), Claim::No);
    assert_eq!(AGENTS.claim(&head("GET", HOST, AGENT)), Claim::No);
    assert_eq!(RERANK.claim(&head("POST", HOST, AGENT)), Claim::No);
}
