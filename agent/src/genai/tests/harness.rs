//! Exchanges made of literal bytes.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    account::{Account, Counter},
    genai::{Call, Limits, Recognition, Recognizer, Rule, Told},
    time::Timestamp,
    wire::{
        Body, Event, EventKind, ExchangeEnd, ExchangeId, Header, Headers, Missing, Part, RequestHead,
        ResponseHead, Role, SseEvent, Version,
    },
};

/// A request head: `POST host/path`.
pub(in crate::genai) fn head(method: &str, authority: &str, path: &str) -> RequestHead {
    RequestHead {
        method: method.into(),
        path: path.into(),
        query: "".into(),
        authority: Some(authority.into()),
        version: Version::Http11,
        partial: false,
        role: Role::Client,
        headers: Headers::default(),
        session: None,
    }
}

pub(in crate::genai) fn headers(list: &[(&str, &str)]) -> Headers {
    Headers(list.iter().map(|(n, v)| Header { name: (*n).into(), value: (*v).into() }).collect())
}

/// A field of a form.
pub(in crate::genai) fn field(name: &str, value: &str) -> Part {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Part { name: name.into(), len: Some(value.len() as u64), value: Some(value), ..Part::default() }
}

/// A file of a form.
pub(in crate::genai) fn file(name: &str, file_name: &str) -> Part {
    Part { name: name.into(), file_name: Some(file_name.into()), len: Some(9), ..Part::default() }
}

/// The text of an event stream with these data.
pub(in crate::genai) fn stream_of<T: AsRef<str>>(list: &[T]) -> String {
    list.iter().fold(String::new(), |body, data| body + "data: " + data.as_ref() + "\n\n")
}

/// The events of a `text/event-stream` body, naively.
pub(in crate::genai) fn sse(body: &str) -> Vec<SseEvent> {
    let body = body.replace("\r\n", "\n");
    let mut events = Vec::new();
    for block in body.split("\n\n") {
        let (mut event, mut data) = (String::new(), Vec::new());
        for line in block.lines() {
            if let Some(value) = line.strip_prefix("data:") {
                data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
            } else if let Some(value) = line.strip_prefix("event:") {
                value.trim().clone_into(&mut event);
            }
        }
        if !data.is_empty() {
            events.push(SseEvent { event: event.into(), data: data.join("\n").into() });
        }
    }
    events
}

/// An exchange on a clock that ticks once an event, from 1000.
pub(in crate::genai) struct Exchange {
    pub(in crate::genai) head: RequestHead,
    pub(in crate::genai) events: Vec<EventKind>,
    pub(in crate::genai) limits: Limits,
    pub(in crate::genai) rules: Vec<Rule>,
    pub(in crate::genai) digests: bool,
    pub(in crate::genai) account: Arc<Account>,
}

impl Exchange {
    pub(in crate::genai) fn new(head: RequestHead) -> Self {
        Self {
            head,
            events: Vec::new(),
            limits: Limits::default(),
            rules: Vec::new(),
            digests: false,
            account: Arc::default(),
        }
    }

    pub(in crate::genai) fn openai() -> Self {
        Self::new(head("POST", "api.openai.com", "/v1/chat/completions"))
    }

    pub(in crate::genai) fn anthropic() -> Self {
        Self::new(head("POST", "api.anthropic.com", "/v1/messages"))
    }

    pub(in crate::genai) fn then(mut self, event: EventKind) -> Self {
        self.events.push(event);
        self
    }

    pub(in crate::genai) fn request(self, body: &str) -> Self {
        self.request_bytes(body.as_bytes())
    }

    pub(in crate::genai) fn request_bytes(self, body: &[u8]) -> Self {
        let (first, second) = body.split_at(body.len() / 2);
        self.then(EventKind::RequestBody(Body::Bytes(first.to_vec().into())))
            .then(EventKind::RequestBody(Body::Bytes(second.to_vec().into())))
            .then(EventKind::RequestEnd)
    }

    pub(in crate::genai) fn status(self, status: u16, list: &[(&str, &str)]) -> Self {
        self.then(EventKind::ResponseHead(Box::new(ResponseHead {
            status,
            headers: headers(list),
            partial: false,
        })))
    }

    pub(in crate::genai) fn json(self, status: u16, body: &str) -> Self {
        self.status(status, &[("content-type", "application/json")])
            .then(EventKind::ResponseBody(Body::Bytes(body.to_owned().into())))
    }

    pub(in crate::genai) fn stream(self, body: &str) -> Self {
        self.status(200, &[("content-type", "text/event-stream; charset=utf-8")]).more(sse(body))
    }

    pub(in crate::genai) fn more(mut self, events: Vec<SseEvent>) -> Self {
        self.events.extend(events.into_iter().map(|event| EventKind::ResponseBody(Body::Sse(event))));
        self
    }

    pub(in crate::genai) fn gap(self, len: Option<u64>) -> Self {
        self.then(EventKind::ResponseBody(Body::Missing(Missing { len, cut: false })))
    }

    /// Runs it; `None` if it turned out to be no call.
    pub(in crate::genai) fn run(self, end: ExchangeEnd) -> Option<Call> {
        let mut told = self.told(end);
        assert!(told.len() <= 1, "{told:?}");
        told.pop().map(|told| match told {
            Told::Call(call) => *call,
            other => panic!("no call: {other:?}"),
        })
    }

    /// Runs it; all that it tells.
    pub(in crate::genai) fn told(self, end: ExchangeEnd) -> Vec<Told> {
        let mut recognizer = Recognizer::new(self.limits, Arc::clone(&self.account));
        recognizer.set_rules(self.rules);
        recognizer.set_digests(self.digests);
        let Recognition::Call(mut builder) = recognizer.recognize(&self.head) else { return Vec::new() };
        let first = EventKind::RequestHead(Box::new(self.head));
        let mut told = Vec::new();
        for (at, kind) in std::iter::once(first).chain(self.events).chain([EventKind::End(end)]).enumerate() {
            let time = Timestamp(1000 + at as u64);
            told.extend(builder.event(Event { exchange: ExchangeId(1), time, kind }));
        }
        told
    }

    /// Runs it to a complete end; it has to be a call.
    pub(in crate::genai) fn call(self) -> Call {
        self.run(ExchangeEnd::Complete).expect("a call")
    }
}

/// The counters that moved.
pub(in crate::genai) fn counted(account: &Account) -> Vec<(Counter, u64)> {
    Counter::ALL.iter().map(|c| (*c, account.get(*c))).filter(|(_, n)| *n > 0).collect()
}
