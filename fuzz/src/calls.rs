//! The meaning of bodies, in each of the dialects.

use std::sync::Arc;

use bytes::Bytes;
use plainspan::{
    account::Account,
    contract::{
        self, Delivery, Options, SpanIds, Value, ValueKind, definition, document, names, otlp_logs::details,
    },
    genai::{Call, Fact, Limits, Recognition, Recognizer, Sources, Told},
    policy::{
        content::{Form, Key, Placement},
        fingerprint::Fingerprinter,
    },
    time::Timestamp,
    wire::{
        Body, Event, EventKind, ExchangeEnd, ExchangeId, Header, Headers, RequestHead, ResponseHead, Role,
        SseEvent, Version,
    },
};

use crate::conversations::SESSIONS;

/// Limits that are reached.
pub const LIMITS: Limits =
    Limits { body: 16 * 1024, content: 256, call_content: 1024, items: 32, choices: 4, in_flight: 32 * 1024 };

/// A host and a path of each dialect.
const DIALECTS: &[(&str, &str)] = &[
    ("api.openai.com", "/v1/chat/completions"),
    ("api.openai.com", "/v1/responses"),
    ("api.anthropic.com", "/v1/messages"),
    ("gateway.example", "/v1/responses"),
    ("generativelanguage.googleapis.com", "/v1beta/models/m:generateContent"),
    ("generativelanguage.googleapis.com", "/v1beta/models/m:streamGenerateContent"),
    ("cloudcode-pa.googleapis.com", "/v1internal:generateContent"),
    ("api.openai.com", "/v1/completions"),
    ("api.openai.com", "/v1/embeddings"),
    ("api.cohere.com", "/v2/chat"),
    ("api.cohere.com", "/v1/chat"),
    ("api.cohere.com", "/v2/embed"),
    ("api.cohere.com", "/v2/rerank"),
    ("localhost:11434", "/api/chat"),
    ("localhost:11434", "/api/generate"),
    ("localhost:11434", "/api/embed"),
    ("api.writer.com", "/v1/chat"),
    ("generativelanguage.googleapis.com", "/v1beta/models/m:batchEmbedContents"),
    ("aiplatform.googleapis.com", "/v1/publishers/google/models/m:predict"),
    ("aiplatform.googleapis.com", "/v1/publishers/anthropic/models/m:streamRawPredict"),
    ("api.mistral.ai", "/v1/fim/completions"),
    ("api.mistral.ai", "/v1/agents/completions"),
    ("tgi.example", "/generate"),
    ("us-south.ml.cloud.ibm.com", "/ml/v1/text/chat_stream"),
    ("us-south.ml.cloud.ibm.com", "/ml/v1/text/generation"),
    ("api.replicate.com", "/v1/predictions"),
    ("api.openai.com", "/v1/images/generations"),
    ("api.openai.com", "/v1/audio/speech"),
    ("api.openai.com", "/v1/audio/transcriptions"),
    ("api.openai.com", "/v1/moderations"),
    (BEDROCK, "/model/m/converse"),
    (BEDROCK, "/model/m/converse-stream"),
    (BEDROCK, "/model/m/invoke"),
    (BEDROCK, "/model/m/invoke-with-response-stream"),
    (BEDROCK, "/model/cohere.command-r-v1/invoke"),
    (BEDROCK, "/model/meta.llama3-v1/invoke-with-response-stream"),
];

const BEDROCK: &str = "bedrock-runtime.us-east-1.amazonaws.com";

/// A request and, behind a line of three hyphens, its response: as one body, and each line of it as an event.
pub fn calls(data: &[u8]) {
    const LINE: &[u8] = b"\n---\n";
    let at = data.windows(LINE.len()).position(|window| window == LINE);
    let (request, response) = at.map_or((data, &[][..]), |at| (&data[..at], &data[at + LINE.len()..]));
    let whole = |data: &[u8]| vec![Body::Bytes(Bytes::copy_from_slice(data))];
    for (host, path) in DIALECTS.iter().copied() {
        for status in [200, 429] {
            run(head(host, path), whole(request), "application/json", status, whole(response));
        }
        run(head(host, path), whole(request), "text/event-stream", 200, lines(response));
    }
    for (method, media_type) in
        [("POST", "application/json"), ("POST", "text/event-stream"), ("GET", "text/event-stream")]
    {
        let session = |name: &str, value: &str| Header { name: name.into(), value: value.into() };
        let headers = vec![session("mcp-session-id", "s"), session("accept", "text/event-stream")];
        let asked =
            RequestHead { method: method.into(), headers: Headers(headers), ..head("tools.example", "/mcp") };
        let answer = if media_type == "application/json" { whole(response) } else { lines(response) };
        run(asked, whole(request), media_type, 200, answer);
    }
    for (host, path) in SESSIONS {
        let asked = || RequestHead { session: Some(ExchangeId(1)), ..head(host, path) };
        run(asked(), whole(request), "application/json", 101, lines(response));
        run(asked(), lines(request), "application/json", 101, lines(response));
    }
}

/// Each line as an event, of the name that stands before a tab.
fn lines(data: &[u8]) -> Vec<Body> {
    let event = |line: &[u8]| {
        let at = line.iter().position(|byte| *byte == b'\t');
        let (name, data) = at.map_or((&[][..], line), |at| (&line[..at], &line[at + 1..]));
        SseEvent { event: String::from_utf8_lossy(name).into(), data: Bytes::copy_from_slice(data) }
    };
    data.split(|byte| *byte == b'\n').map(|line| Body::Sse(event(line))).collect()
}

fn head(host: &str, path: &str) -> RequestHead {
    RequestHead {
        method: "POST".into(),
        path: path.into(),
        query: "".into(),
        authority: Some(host.into()),
        version: Version::Http11,
        partial: false,
        role: Role::Client,
        headers: Headers::default(),
        session: None,
    }
}

fn run(head: RequestHead, request: Vec<Body>, media_type: &str, status: u16, response: Vec<Body>) {
    let account = Arc::new(Account::default());
    let mut recognizer = Recognizer::new(LIMITS, Arc::clone(&account));
    recognizer.set_sources(Sources::with(&[]));
    let Recognition::Call(mut builder) = recognizer.recognize(&head) else {
        panic!("{head:?} is no call");
    };
    let kind = Header { name: "content-type".into(), value: media_type.into() };
    let headers = Headers(vec![kind]);
    let mut kinds = vec![EventKind::RequestHead(Box::new(head))];
    kinds.extend(request.into_iter().map(EventKind::RequestBody));
    kinds.push(EventKind::RequestEnd);
    kinds.push(EventKind::ResponseHead(Box::new(ResponseHead { status, headers, partial: false })));
    kinds.extend(response.into_iter().map(EventKind::ResponseBody));
    kinds.push(EventKind::End(ExchangeEnd::Complete));
    let count = kinds.len();
    for (at, kind) in kinds.into_iter().enumerate() {
        for told in builder.event(Event { exchange: ExchangeId(0), time: Timestamp(at as u64), kind }) {
            let (Told::Call(call) | Told::Asked { call, .. }) = told else { continue };
            assert!(call.mcp.is_some() || at + 1 == count, "a call comes with its end");
            spans(&call, &account);
        }
    }
}

/// The spans of a call fit the contract, but for values that it limits.
pub fn spans(call: &Call, account: &Account) {
    let ids = SpanIds { trace_id: [1; 16], span_id: [1; 8] };
    let key = Key::new(&[7; 32]);
    let mut fingerprinter = Fingerprinter::new(Some(key), Fact::ALL.to_vec(), Arc::default());
    // The second time it is known.
    let prints = [fingerprinter.prints(call), fingerprinter.prints(call)];
    let placement = Placement { spans: false, events: true, files: Some("file:///c".into()) };
    for (content, prints) in [Form::None, Form::Full].into_iter().zip(prints) {
        let span = contract::build(
            call,
            ids,
            contract::Relations::default(),
            &Options { content, prints, placement: placement.clone(), ..Options::default() },
            account,
        );
        let said = Delivery { span: span.clone(), resource: Arc::default() };
        told_apart(&said, content != Form::None);
        let said = span.get(names::PLAINSPAN_CONTRACT_VIOLATIONS.name());
        let Some(Value::Strings(said)) = said else { continue };
        for reason in ["unknown", "type", "private"] {
            assert!(!said.iter().any(|violation| violation.starts_with(reason)), "{said:?}");
        }
    }
}

/// What goes to events and files is there, structured where it is JSON, and gone from what leaves as a span.
fn told_apart(call: &Delivery, kept: bool) {
    let (event, file) = (details(&call.span), document(call));
    assert!(kept || (event.is_none() && file.is_none()), "{call:?}");
    assert!(event.is_none() || file.is_some(), "{call:?}");
    for attribute in event.iter().flat_map(|event| &event.attributes) {
        let is_json = definition(&attribute.key).is_some_and(|def| def.kind == ValueKind::Json);
        let value = format!("{:?}", attribute.value);
        let is_text = value.starts_with("Some(AnyValue { value: Some(StringValue(");
        assert!(!is_json || !is_text, "{} is a text: {value}", attribute.key);
    }
    if let Some((name, text)) = file {
        assert!(name.len() == 69 && text.ends_with(b"}\n"), "{name}");
    }
    assert!(!call.without_content().span.attributes.iter().any(contract::Attribute::is_content));
}
