//! OpenAI's Realtime (<https://platform.openai.com/docs/guides/realtime-conversations>), which others speak too: a response is
//! asked for by the client with `response.create`, or begun by the server when it hears that the user has stopped to
//! speak. Its events name it, so several may go on at once, and after a loss no event is told as another's.
//! What the client said since the response before, and how the session is set up, is what it is asked with.

use std::{borrow::Cow, collections::VecDeque};

use serde::Deserialize;

use super::{super::incoming::Message, Exchange, Session, Turns, event, held::Held, kind, missing};
use crate::{
    account::Counter,
    time::Timestamp,
    wire::{Body, Event, ExchangeEnd, ExchangeId, Missing},
};

/// What a message of the server says of its place.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told<'a> {
    #[serde(borrow)]
    response_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<Named<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

/// A response that is not complete.
struct Turn {
    exchange: Exchange,
    /// Its `response.created` was seen, or may be what is missing.
    begun: bool,
    /// Its id, once known.
    response: Option<Box<str>>,
}

/// Ids of responses that are over: something may still come of them.
const REMEMBERED: usize = 16;

/// Longest id of a response that is remembered, in bytes.
const ID_MAX: usize = 256;

/// The responses of a session.
pub(super) struct Realtime {
    session: Session,
    open: VecDeque<Turn>,
    over: VecDeque<Box<str>>,
    held: Held,
    /// When the user stopped to speak, since the response before.
    heard: Option<Timestamp>,
    /// Length of the shortest first event of a response, as it was sent.
    shortest: Option<u64>,
}

impl Realtime {
    /// No response was seen; of what is said before one, `held` bytes are kept.
    pub fn new(session: Session, held: usize) -> Self {
        Self {
            session,
            open: VecDeque::new(),
            over: VecDeque::new(),
            held: Held::new(held),
            heard: None,
            shortest: None,
        }
    }

    fn begin(&mut self, since: Timestamp, time: Timestamp, more: Option<Body>, out: &mut Vec<Event>) {
        if self.open.len() >= self.session.most {
            self.end(0, ExchangeEnd::Unreadable, time, out);
        }
        self.heard = None;
        let asked = self.held.take().into_iter().chain(more);
        let exchange = self.session.begin(since, time, asked, out);
        self.open.push_back(Turn { exchange, begun: false, response: None });
    }

    fn end(&mut self, at: usize, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        let Some(turn) = self.open.remove(at) else { return };
        turn.exchange.end(how, time, out);
        if let Some(id) = turn.response {
            self.over.truncate(REMEMBERED - 1);
            self.over.push_front(id);
        }
    }

    /// The response that has begun under this id, or under one that was missed.
    fn position(&self, id: &str) -> Option<usize> {
        let named = |turn: &Turn| turn.response.as_deref() == Some(id);
        let nameless = |turn: &Turn| turn.begun && turn.response.is_none();
        self.open.iter().position(named).or_else(|| self.open.iter().position(nameless))
    }

    /// A response begins, which was asked for or was not. Without an id it is of any that comes.
    fn begins(&mut self, id: Option<&str>, since: Timestamp, time: Timestamp, out: &mut Vec<Event>) -> usize {
        let at = self.open.iter().position(|turn| !turn.begun).unwrap_or_else(|| {
            let since = self.heard.unwrap_or(since);
            self.begin(since, time, None, out);
            self.open.len() - 1
        });
        if let Some(turn) = self.open.get_mut(at) {
            turn.begun = true;
            turn.response = id.map(Into::into);
        }
        at
    }

    /// Hands an event on, or what is missing instead.
    fn answer(&mut self, at: usize, body: Body, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(turn) = self.open.get_mut(at) {
            turn.exchange.answer(&self.session, body, time, out);
        }
    }

    /// Something is missing of every response that goes on.
    fn answers_missing(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        for turn in self.open.iter_mut().filter(|turn| turn.begun) {
            turn.exchange.answer(&self.session, Body::Missing(missing), time, out);
        }
    }
}

impl Turns for Realtime {
    fn held(&self) -> usize {
        self.held.len()
    }

    fn decline(&mut self, id: ExchangeId) {
        if let Some(turn) = self.open.iter_mut().find(|turn| turn.exchange.id == id) {
            turn.exchange.declined = true;
        }
    }

    fn asked(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) -> bool {
        let kind = kind(&message.data).unwrap_or_default();
        let body = message.fault.map(missing);
        match (&*kind, body) {
            ("response.create", body) => {
                if self.open.len() >= self.session.most {
                    return false;
                }
                let asked = body.map_or_else(|| event(message.data), Body::Missing);
                self.begin(message.since, time, Some(asked), out);
            }
            ("session.update", None) => self.held.stand("update", message.data),
            ("conversation.item.create", None) => self.held.add(message.data),
            // What the user speaks is not kept.
            (kind, None) if !kind.is_empty() => self.session.account.add(Counter::MessagesApart, 1),
            (kind, _) if kind.starts_with("input_audio_buffer.") => {
                self.session.account.add(Counter::MessagesApart, 1);
            }
            (_, Some(missing)) => self.held.lost(missing),
            (_, None) => self.session.account.add(Counter::MessagesApart, 1),
        }
        true
    }

    fn answered(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) {
        let Some(kind) = kind(&message.data) else {
            match message.fault {
                Some(fault) => {
                    self.answers_missing(missing(fault), time, out);
                    self.answers_skipped(message.sent, time, out);
                }
                None => self.session.account.add(Counter::MessagesApart, 1),
            }
            return;
        };
        // Of a message that can't be read, what it is was read.
        let told: Told<'_> = match message.fault {
            None => serde_json::from_slice(&message.data).unwrap_or_default(),
            Some(_) => Told::default(),
        };
        let id = told.response_id.or_else(|| told.response.and_then(|response| response.id));
        let id: Option<Box<str>> = id.filter(|id| id.len() <= ID_MAX).map(Into::into);
        let at = match (&*kind, id.as_deref()) {
            ("response.created", id) => {
                self.shortest =
                    Some(self.shortest.map_or(message.sent, |shortest| shortest.min(message.sent)));
                Some(self.begins(id, message.since, time, out))
            }
            // It is the answer to what was asked last, if that was not heard.
            ("error", _) => self.open.iter().position(|turn| !turn.begun),
            (kind, Some(id)) if kind.starts_with("response.") => match self.position(id) {
                Some(at) => Some(at),
                None if self.over.iter().any(|over| &**over == id) => None,
                // Its beginning was missed.
                None => {
                    let at = self.begins(Some(id), message.since, time, out);
                    self.answer(at, Body::Missing(Missing { len: None, cut: false }), time, out);
                    Some(at)
                }
            },
            // It can't be read whose it is, but there is only one whose it can be.
            (kind, None) if kind.starts_with("response.") => {
                let mut begun = self.open.iter().enumerate().filter(|(_, turn)| turn.begun);
                begun.next().filter(|_| begun.next().is_none()).map(|(at, _)| at)
            }
            _ => None,
        };
        let Some(at) = at else {
            self.session.account.add(Counter::MessagesApart, 1);
            match (&*kind, message.fault) {
                ("session.created" | "session.updated", None) => {
                    self.held.stand("session", message.data);
                    self.held.drop_standing("update");
                }
                ("input_audio_buffer.speech_stopped" | "input_audio_buffer.committed", _) => {
                    self.heard.get_or_insert(message.since);
                }
                _ => {}
            }
            return;
        };
        if let Some(turn) = self.open.get_mut(at)
            && turn.response.is_none()
            && turn.begun
        {
            turn.response = id;
        }
        let body = message.fault.map_or_else(|| event(message.data), |fault| Body::Missing(missing(fault)));
        self.answer(at, body, time, out);
        if matches!(&*kind, "response.done" | "error") {
            self.end(at, ExchangeEnd::Complete, time, out);
        }
    }

    fn question_lost(&mut self, missing: Missing) {
        self.held.lost(missing);
    }

    fn answers_lost(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        self.answers_missing(missing, time, out);
        self.answers_skipped(missing.len.unwrap_or(u64::MAX), time, out);
    }

    /// If a response can have begun in what is missing, it isn't known any more which one was asked for with what.
    fn answers_skipped(&mut self, n: u64, time: Timestamp, out: &mut Vec<Event>) {
        if self.shortest.is_none_or(|shortest| n >= shortest / 2) {
            while let Some(at) = self.open.iter().position(|turn| !turn.begun) {
                self.end(at, ExchangeEnd::Unreadable, time, out);
            }
        }
    }

    fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.end(0, how, time, out);
        }
    }
}
