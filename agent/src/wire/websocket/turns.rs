//! Which messages of a session ask, and which answer.
//!
//! OpenAI's Responses over WebSocket (<https://developers.openai.com/api/docs/guides/websocket-mode>): the client sends a
//! `response.create` for each turn, and the server the events of the response, up to one that ends it. Turns do not
//! overlap: what is sent meanwhile waits. So answers come in the order of the questions, and as in HTTP/1.x
//! pairing is counting as long as nothing is missing; after a loss the rule is again: rather no answer than the wrong one.
//! An answer goes on after a loss only if so little is missing (less than half of the shortest first event that was
//! seen) that no other can have begun in it.

use std::{cell::Cell, collections::VecDeque, fmt, sync::Arc};

use bytes::Bytes;
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor},
};

use super::incoming::{Fault, Message};
use crate::{
    account::{Account, Counter},
    time::Timestamp,
    wire::{Body, Event, EventKind, ExchangeEnd, ExchangeId, Missing, RequestHead, ResponseHead, SseEvent},
};

/// What the client asks with.
const ASKS: &str = "response.create";

/// What an answer begins with.
const BEGINS: &str = "response.created";

/// What an answer ends with. After an `error` nothing more comes of it but, where the provider says so,
/// `response.failed`.
const ENDS: [&str; 4] = ["response.completed", "response.failed", "response.incomplete", "error"];

/// A question whose answer is not complete.
struct Turn {
    id: ExchangeId,
    declined: bool,
    /// The head of the response was emitted.
    answered: bool,
    /// The answer's first event was seen.
    begun: bool,
    /// The turn before did not end as it should: what comes before the first event of this one is not its own.
    strict: bool,
    /// Something of the answer is missing: its end may be.
    damaged: bool,
}

/// The turns of a session.
pub(super) struct Turns {
    /// Of the request that opened the session.
    request: RequestHead,
    response: ResponseHead,
    open: VecDeque<Turn>,
    /// The id of the next turn.
    next: u64,
    most: usize,
    /// An answer is under way of which no question is open.
    stray: bool,
    /// The last turn did not end as it should.
    unsure: bool,
    /// Length of the shortest first event of an answer, as it was sent.
    shortest: Option<u64>,
    /// Bytes of the open turn's answer that were not read, because it isn't known where frames begin in them.
    unread: u64,
    /// When the last message came that answers no open question.
    apart: Option<Timestamp>,
    account: Arc<Account>,
}

impl Turns {
    /// Turns with ids after that of the exchange which opened the session; `most` may be open at once.
    pub fn new(
        session: ExchangeId,
        mut request: RequestHead,
        response: ResponseHead,
        most: usize,
        account: Arc<Account>,
    ) -> Self {
        request.session = Some(session);
        let (open, next) = (VecDeque::new(), session.0 + 1);
        Self {
            request,
            response,
            open,
            next,
            most,
            stray: false,
            unsure: false,
            shortest: None,
            unread: 0,
            apart: None,
            account,
        }
    }

    /// The caller does not want this turn.
    pub fn decline(&mut self, id: ExchangeId) {
        if let Some(turn) = self.open.iter_mut().find(|turn| turn.id == id) {
            turn.declined = true;
        }
    }

    /// A message of the client; false if too many turns are open.
    pub fn asked(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) -> bool {
        if !message.text || kind(&message.data).as_deref() != Some(ASKS) {
            self.account.add(Counter::MessagesApart, 1);
            if message.fault.is_some() {
                self.question_lost();
            }
            return true;
        }
        // Whoever asks has seen the answer before to its end, unless it says so before that has begun.
        if self.open.front().is_some_and(|turn| turn.damaged) {
            self.give_up(time, out);
        }
        if self.open.len() >= self.most {
            return false;
        }
        if self.open.is_empty() {
            self.unread = 0;
        }
        let id = ExchangeId(self.next);
        self.next += 1;
        self.account.add(Counter::Exchanges, 1);
        let strict =
            self.open.is_empty() && (std::mem::take(&mut self.unsure) | std::mem::take(&mut self.stray));
        self.open.push_back(Turn {
            id,
            declined: false,
            answered: false,
            begun: false,
            strict,
            damaged: false,
        });
        let mut emit = |time, kind| out.push(Event { exchange: id, time, kind });
        emit(message.since, EventKind::RequestHead(Box::new(self.request.clone())));
        emit(time, EventKind::RequestBody(body(message.data, message.fault)));
        emit(time, EventKind::RequestEnd);
        // A loss is noticed when the next bytes come: the answer may have passed by then.
        if matches!(message.fault, Some(Fault::Missing(_)))
            && self.apart.is_some_and(|at| at >= message.since)
        {
            emit(time, EventKind::End(ExchangeEnd::Unreadable));
            self.open.pop_back();
        }
        true
    }

    /// A message of the server.
    pub fn answered(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) {
        // The beginning of a message is often enough to know what it was.
        let kind = if message.text { kind(&message.data) } else { None };
        if let (None, Some(fault)) = (&kind, message.fault) {
            self.missing(missing(fault), time, out);
            self.answers_skipped(message.sent, time, out);
            return;
        }
        let Some(kind) = kind else {
            self.account.add(Counter::MessagesApart, 1);
            return;
        };
        let begins = &*kind == BEGINS;
        if begins {
            self.shortest = Some(self.shortest.map_or(message.sent, |shortest| shortest.min(message.sent)));
            match self.open.front() {
                // Whose answer this is isn't known.
                Some(turn) if turn.damaged => self.give_up(time, out),
                // The end of the one before was not recognised.
                Some(turn) if turn.begun => self.end_first(ExchangeEnd::Unreadable, time, out),
                _ => {}
            }
        }
        let ends = ENDS.contains(&&*kind);
        let Some(turn) = self.open.front_mut().filter(|turn| begins || !turn.strict || &*kind == "error")
        else {
            self.account.add(Counter::MessagesApart, 1);
            self.apart = Some(time);
            self.stray = (self.stray || begins) && !ends;
            return;
        };
        (turn.begun, turn.strict) = (turn.begun || begins, false);
        if let Some(fault) = message.fault {
            self.missing(missing(fault), time, out);
        } else {
            let event = SseEvent { event: Box::default(), data: message.data };
            self.emit_answer(Body::Sse(event), time, out);
        }
        if ends {
            self.end_first(ExchangeEnd::Complete, time, out);
            let unsure = &*kind == "error";
            match self.open.front_mut() {
                Some(turn) => turn.strict = unsure,
                None => self.unsure = unsure,
            }
        }
    }

    /// Something that the client sent is missing: there may have been a question in it.
    pub fn question_lost(&mut self) {
        self.unsure |= self.open.is_empty();
    }

    /// Bytes of the server are missing, and where they end isn't known.
    pub fn answers_lost(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        self.missing(missing, time, out);
        self.answers_skipped(missing.len.unwrap_or(u64::MAX), time, out);
    }

    /// Bytes of the server were passed over.
    pub fn answers_skipped(&mut self, n: u64, time: Timestamp, out: &mut Vec<Event>) {
        self.unread = self.unread.saturating_add(n);
        // A client that has asked again has seen the answer before to its end.
        let asked_again = self.open.len() > 1;
        if asked_again || self.shortest.is_none_or(|shortest| self.unread >= shortest / 2) {
            self.give_up(time, out);
        }
    }

    /// Which answer is under way isn't known any more: the next that begins is the next turn's.
    fn give_up(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        self.end_all(ExchangeEnd::Unreadable, time, out);
        self.unsure = true;
    }

    /// A message of the server can't be read.
    fn missing(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        let Some(turn) = self.open.front_mut() else { return };
        turn.damaged = true;
        self.emit_answer(Body::Missing(missing), time, out);
    }

    /// The session is over: so are its turns.
    pub fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.end_first(how, time, out);
        }
    }

    fn emit_answer(&mut self, body: Body, time: Timestamp, out: &mut Vec<Event>) {
        let Some(turn) = self.open.front_mut().filter(|turn| !turn.declined) else { return };
        let mut emit = |kind| out.push(Event { exchange: turn.id, time, kind });
        if !std::mem::replace(&mut turn.answered, true) {
            emit(EventKind::ResponseHead(Box::new(self.response.clone())));
        }
        emit(EventKind::ResponseBody(body));
    }

    fn end_first(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        self.unread = 0;
        if let Some(turn) = self.open.pop_front()
            && !turn.declined
        {
            out.push(Event { exchange: turn.id, time, kind: EventKind::End(how) });
        }
    }
}

fn body(data: Bytes, fault: Option<Fault>) -> Body {
    fault.map_or(Body::Bytes(data), |fault| Body::Missing(missing(fault)))
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
