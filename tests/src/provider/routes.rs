//! Requests, each to the API that answers it.

use std::{sync::PoisonError, time::SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected};
use hyper::{Request, Response, body::Incoming, http::request::Parts};
use serde_json::json;
use tokio::time::sleep;

use super::{
    answer::{Answer, Content},
    anthropic, bedrock,
    body::{Paced, Watch},
    embeddings, google, openai,
    record::{Ending, Exchange, Facts, Protocol},
    responses,
    server::Link,
    websocket,
};

/// What providers say to those whose quota is used up.
const THROTTLED: [(&str, &str); 4] = [
    ("retry-after", "7"),
    ("x-ratelimit-limit-requests", "60"),
    ("x-ratelimit-remaining-requests", "0"),
    ("x-ratelimit-reset-requests", "1m0.5s"),
];

/// Reads a request, answers it, and records both.
pub async fn exchange(request: Request<Incoming>, link: Link) -> Response<Paced> {
    let received = SystemTime::now();
    let (head, body) = request.into_parts();
    let mut begun = begun(&link, head.method.as_str(), received);
    begun.path = head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    begun.request_headers = headers(&head);
    let number = link.shared.open(begun);
    let watch = Watch::new(link.shared.clone(), number);
    // A client that breaks off in its request gets no answer worth anything.
    let body = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let answer = match websocket::opening(&head) {
        Some((opening, answer)) if link.protocol == Protocol::Http1 => {
            *link.opening.lock().unwrap_or_else(PoisonError::into_inner) = Some(opening);
            // It has no body whose end could tell.
            link.shared.update(number, |e| e.ending = Ending::Complete);
            answer
        }
        _ => answer(number, &head, &body),
    };
    link.shared.update(number, |e| {
        e.request_body = body.to_vec();
        e.status = answer.status;
        e.request_id.clone_from(&answer.request_id);
        e.streamed = matches!(answer.content, Content::Events(_));
        e.facts = answer.facts.clone();
    });
    if !answer.script.late.is_zero() {
        sleep(answer.script.late).await;
    }
    let gzip = answer.script.gzip && holds(&head, "accept-encoding", "gzip");
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    if gzip {
        response = response.header("content-encoding", "gzip");
    }
    if answer.status == 429 {
        for (name, value) in THROTTLED {
            response = response.header(name, value);
        }
    }

    response
        .body(Paced::new(&answer, gzip, link.fate, watch))
        .unwrap_or_else(|_| unreachable!("the headers are the provider's own"))
}

/// An exchange of which nothing but its beginning is known.
pub fn begun(link: &Link, method: &str, received: SystemTime) -> Exchange {
    Exchange {
        number: 0,
        connection: link.connection,
        peer_port: link.peer_port,
        protocol: link.protocol,
        method: method.to_owned(),
        path: String::new(),
        request_headers: Vec::new(),
        request_body: Vec::new(),
        status: 0,
        request_id: None,
        response_body: Vec::new(),
        response_wire_len: 0,
        streamed: false,
        events: 0,
        facts: Facts::default(),
        received,
        first_chunk: None,
        last_chunk: None,
        ending: Ending::Running,
    }
}

/// The headers of a request; names in lower case.
pub fn headers(head: &Parts) -> Vec<(String, String)> {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}

/// Whether a header is there and has this part.
pub fn holds(head: &Parts, name: &str, part: &str) -> bool {
    head.headers.get(name).is_some_and(|v| String::from_utf8_lossy(v.as_bytes()).contains(part))
}

fn answer(number: u64, head: &Parts, body: &[u8]) -> Answer {
    let bearer = holds(head, "authorization", "Bearer ");
    let key = |name| holds(head, name, "");
    match (head.method.as_str(), head.uri.path()) {
        _ if holds(head, "content-type", "application/grpc") => grpc(),
        ("POST", "/v1/chat/completions") => openai::answer(number, bearer, body),
        ("POST", "/v1/embeddings") => embeddings::openai(number, bearer, body),
        ("POST", path) if path.ends_with(":batchEmbedContents") => embeddings::google(number),
        ("POST", "/v1/responses") => responses::answer(number, bearer, body),
        ("POST", "/v1/messages") => anthropic::answer(number, bearer || key("x-api-key"), body),
        ("POST", "/v1/messages/count_tokens") => {
            Answer::json(200, &json!({"input_tokens": body.len() / 4}), Facts::default())
        }
        ("GET", "/v1/models") => {
            let model = json!({"id": "test-model", "object": "model", "created": 1, "owned_by": "tests"});
            Answer::json(200, &json!({"object": "list", "data": [model]}), Facts::default())
        }
        (_, "/plain") => plain(head.uri.query()),
        ("POST", path) if path.ends_with(":countTokens") => {
            Answer::json(200, &json!({"totalTokens": body.len() / 4}), Facts::default())
        }
        ("POST", path) => match (google::model(path), bedrock::model(path)) {
            (Some((model, streamed)), _) => {
                google::answer(number, bearer || key("x-goog-api-key"), model, streamed)
            }
            (None, Some((model, action))) => {
                bedrock::answer(number, holds(head, "authorization", "AWS4-HMAC-SHA256 "), model, action)
            }
            (None, None) => nothing_there(),
        },
        _ => nothing_there(),
    }
}

fn nothing_there() -> Answer {
    Answer::json(404, &json!({"error": {"message": "no such path"}}), Facts::default())
}

/// A stream of no messages that ends well, in headers alone ("Trailers-Only" of the gRPC protocol over HTTP/2).
fn grpc() -> Answer {
    let mut answer = Answer::json(200, &json!(null), Facts::default());
    answer.headers = vec![("content-type", "application/grpc".to_owned()), ("grpc-status", "0".to_owned())];
    answer.content = Content::Plain(Bytes::new());
    answer
}

/// Traffic that is no LLM call: `/plain?bytes=N`.
fn plain(query: Option<&str>) -> Answer {
    let bytes = query.and_then(|q| q.strip_prefix("bytes=")).and_then(|n| n.parse().ok()).unwrap_or(64);
    let mut answer = Answer::json(200, &json!(null), Facts::default());
    answer.headers = vec![("content-type", "text/plain".to_owned())];
    answer.content = Content::Plain(Bytes::from(vec![b'.'; bytes]));
    answer
}
