//! Which messages of a session ask, and which answer: each API has its own rule.

mod held;
mod live;
mod realtime;
mod responses;

use std::{cell::Cell, fmt, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};

use self::{live::Live, realtime::Realtime, responses::Responses};
use super::incoming::{Fault, Message};
use crate::{
    account::{Account, Counter},
    time::Timestamp,
    wire::{
        Body, Event, EventKind, ExchangeEnd, ExchangeId, Limits, Missing, RequestHead, ResponseHead, SseEvent,
    },
};

/// The turns of a session: each is an exchange.
pub(super) trait Turns: Send {
    /// About how many bytes are held.
    fn held(&self) -> usize {
        0
    }

    /// The caller does not want this turn.
    fn decline(&mut self, id: ExchangeId);

    /// A message of the client; false if too many turns are open.
    fn asked(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) -> bool;

    /// A message of the server.
    fn answered(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>);

    /// Something that the client sent is missing: there may have been a question in it.
    fn question_lost(&mut self, missing: Missing);

    /// Bytes of the server are missing, and where they end isn't known.
    fn answers_lost(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>);

    /// Bytes of the server were passed over.
    fn answers_skipped(&mut self, n: u64, time: Timestamp, out: &mut Vec<Event>);

    /// The session is over: so are its turns.
    fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>);
}

/// What every session's turns are made of.
struct Session {
    /// The request that opened it: the head of each turn's.
    request: RequestHead,
    response: ResponseHead,
    /// The id of the next turn.
    next: u64,
    /// Turns that may be open at once.
    most: usize,
    account: Arc<Account>,
}

impl Session {
    /// A turn that was asked for at `since`.
    fn begin(
        &mut self,
        since: Timestamp,
        time: Timestamp,
        asked: impl IntoIterator<Item = Body>,
        out: &mut Vec<Event>,
    ) -> Exchange {
        let id = ExchangeId(self.next);
        self.next += 1;
        self.account.add(Counter::Exchanges, 1);
        let mut emit = |time, kind| out.push(Event { exchange: id, time, kind });
        emit(since, EventKind::RequestHead(Box::new(self.request.clone())));
        for body in asked {
            emit(time, EventKind::RequestBody(body));
        }
        emit(time, EventKind::RequestEnd);
        Exchange { id, declined: false, answered: false }
    }
}

/// What was emitted of a turn.
struct Exchange {
    id: ExchangeId,
    declined: bool,
    /// The head of the response was.
    answered: bool,
}

impl Exchange {
    fn answer(&mut self, session: &Session, body: Body, time: Timestamp, out: &mut Vec<Event>) {
        if self.declined {
            return;
        }
        let mut emit = |kind| out.push(Event { exchange: self.id, time, kind });
        if !std::mem::replace(&mut self.answered, true) {
            emit(EventKind::ResponseHead(Box::new(session.response.clone())));
        }
        emit(EventKind::ResponseBody(body));
    }

    fn end(self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        if !self.declined {
            out.push(Event { exchange: self.id, time, kind: EventKind::End(how) });
        }
    }
}

/// A message as the event of a body.
fn event(data: Bytes) -> Body {
    Body::Sse(SseEvent { event: Box::default(), data })
}

/// Turns with ids after that of the exchange which opened the session, by the rule of the API that its path names.
pub(super) fn of(
    id: ExchangeId,
    mut request: RequestHead,
    response: ResponseHead,
    limits: &Limits,
    account: Arc<Account>,
) -> Box<dyn Turns> {
    let path = request.path.strip_suffix('/').unwrap_or(&request.path);
    let (realtime, live) = (path.ends_with("/realtime"), path.contains("BidiGenerateContent"));
    request.session = Some(id);
    let session = Session { request, response, next: id.0 + 1, most: limits.outstanding, account };
    let held = super::REQUEST_EVENTS.saturating_mul(limits.event_bytes);
    if realtime {
        Box::new(Realtime::new(session, held))
    } else if live {
        Box::new(Live::new(session, held))
    } else {
        Box::new(Responses::new(session))
    }
}

/// What is said of a message that can't be read.
pub(super) fn missing(fault: Fault) -> Missing {
    match fault {
        Fault::Missing(missing) => missing,
        Fault::Undecodable => Missing { len: None, cut: false },
        Fault::TooLong => Missing { len: None, cut: true },
    }
}

/// The `type` of a message that is a JSON object. It is read no further than to there, so that the beginning of a
/// message is enough.
fn kind(data: &[u8]) -> Option<Box<str>> {
    let found = Cell::new(None);
    // The end is always an error: that of a reader which has seen enough, or of the text.
    let _: Result<(), _> = serde_json::Deserializer::from_slice(data).deserialize_map(Fields(&found));
    found.into_inner()
}

struct Fields<'a>(&'a Cell<Option<Box<str>>>);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_type) = map.next_key_seed(IsType)? {
            if is_type {
                self.0.set(Some(map.next_value()?));
                return Err(A::Error::custom("seen enough"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// Is a key `type`?
struct IsType;

impl<'de> DeserializeSeed<'de> for IsType {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsType {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == "type")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let table = [
            (r#"{"type":"response.create"}"#, Some("response.create")),
            (r#" { "a" : {"type":"inner"}, "b":[1,{"type":2}], "type" : "x\u002ey" , "#, Some("x.y")),
            (r#"{"type":"response.create","input":"cut off here"#, Some("response.create")),
            (r#"{"a":"cut"#, None),
            (r#"{"typ":"x"}"#, None),
            (r#"{"type":7}"#, None),
            (r#"[{"type":"x"}]"#, None),
            ("{}", None),
            ("", None),
            ("\u{1}", None),
        ];
        for (json, expected) in table {
            assert_eq!(kind(json.as_bytes()).as_deref(), expected, "{json}");
        }
    }
}
