//! What is true of the events of any connection.

use std::collections::BTreeMap;

use bytes::Bytes;
use plainspan::wire::{
    Body, Event, EventKind, ExchangeEnd, Headers, Limits, Missing, Part as FormPart, SseEvent,
};

/// Limits that are reached.
pub const LIMITS: Limits = Limits {
    head_bytes: 2048,
    headers: 16,
    body_bytes: 64 * 1024,
    event_bytes: 4096,
    outstanding: 4,
    streams: 4,
    undecided_bytes: 8192,
};

/// The parts of a body, adjacent bytes joined.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parts(pub Vec<Part>);

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    Bytes(Vec<u8>),
    Event(SseEvent),
    Form(FormPart),
    Missing(Missing),
}

impl Parts {
    fn put(&mut self, body: Body) {
        match body {
            Body::Missing(missing) => self.0.push(Part::Missing(missing)),
            Body::Sse(event) => self.0.push(Part::Event(event)),
            Body::Part(part) => self.0.push(Part::Form(part)),
            Body::Bytes(bytes) => self.bytes(&bytes),
        }
    }

    fn bytes(&mut self, bytes: &Bytes) {
        if let Some(Part::Bytes(before)) = self.0.last_mut() {
            before.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.0.push(Part::Bytes(bytes.to_vec()));
        }
    }

    fn len(&self) -> usize {
        let len = |part: &Part| match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::Event(event) => event.data.len(),
            Part::Form(part) => part.value.as_ref().map_or(0, Bytes::len),
            Part::Missing(_) => 0,
        };
        self.0.iter().map(len).sum()
    }
}

/// What was heard of an exchange.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Heads, as texts, and the end of the request, in their order.
    pub heads: Vec<String>,
    /// The body of the request.
    pub request: Parts,
    /// That of the response.
    pub response: Parts,
    /// How it ended.
    pub end: Option<ExchangeEnd>,
}

/// Puts events together by their exchange, and holds them to the rules.
pub fn hear(events: Vec<Event>) -> BTreeMap<u64, Heard> {
    let mut all: BTreeMap<u64, Heard> = BTreeMap::new();
    for event in events {
        let id = event.exchange;
        let heard = all.entry(id.0).or_default();
        assert_eq!(heard.end, None, "nothing comes after the end: {event:?}");
        let begins = matches!(event.kind, EventKind::RequestHead(_));
        assert_eq!(heard.heads.is_empty(), begins, "the request's head comes first, and once: {event:?}");
        match event.kind {
            EventKind::RequestHead(head) => {
                fit(&head.headers);
                heard.heads.push(format!("{head:?}"));
            }
            EventKind::ResponseHead(head) => {
                fit(&head.headers);
                heard.heads.push(format!("{head:?}"));
            }
            EventKind::ResponseTrailers(trailers) => {
                fit(&trailers);
                heard.heads.push(format!("{trailers:?}"));
            }
            EventKind::RequestEnd => heard.heads.push("end".to_owned()),
            EventKind::RequestBody(body) => heard.request.put(body),
            EventKind::ResponseBody(body) => heard.response.put(body),
            EventKind::End(end) => heard.end = Some(end),
        }
    }
    for heard in all.values() {
        for body in [&heard.request, &heard.response] {
            assert!(body.len() as u64 <= LIMITS.body_bytes, "a body over its limit");
        }
    }
    all
}

fn fit(headers: &Headers) {
    assert!(headers.0.len() <= LIMITS.headers, "more headers than may be");
    for secret in ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"] {
        assert!(headers.get(secret).is_none(), "a credential came through");
    }
}
