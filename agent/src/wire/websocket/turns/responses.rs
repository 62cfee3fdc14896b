//! OpenAI's Responses over WebSocket (<https://developers.openai.com/api/docs/guides/websocket-mode>): the client sends a
//! `response.create` for each turn, and the server the events of the response, up to one that ends it. Turns do not
//! overlap: what is sent meanwhile waits. So answers come in the order of the questions, and as in HTTP/1.x
//! pairing is counting as long as nothing is missing; after a loss the rule is again: rather no answer than the wrong one.
//! An answer goes on after a loss only if so little is missing (less than half of the shortest first event that was
//! seen) that no other can have begun in it.

use std::collections::VecDeque;

use super::{
    super::incoming::{Fault, Message},
    Exchange, Session, Turns, kind, missing,
};
use crate::{
    account::Counter,
    time::Timestamp,
    wire::{Body, Event, ExchangeEnd, ExchangeId, Missing, SseEvent},
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
    exchange: Exchange,
    /// The answer's first event was seen.
    begun: bool,
    /// The turn before did not end as it should: what comes before the first event of this one is not its own.
    strict: bool,
    /// Something of the answer is missing: its end may be.
    damaged: bool,
}

/// The turns of a session.
pub(super) struct Responses {
    session: Session,
    open: VecDeque<Turn>,
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
}

impl Responses {
    /// No turn was seen.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            open: VecDeque::new(),
            stray: false,
            unsure: false,
            shortest: None,
            unread: 0,
            apart: None,
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

    fn emit_answer(&mut self, body: Body, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(turn) = self.open.front_mut() {
            turn.exchange.answer(&self.session, body, time, out);
        }
    }

    fn end_first(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        self.unread = 0;
        if let Some(turn) = self.open.pop_front() {
            turn.exchange.end(how, time, out);
        }
    }
}

impl Turns for Responses {
    fn decline(&mut self, id: ExchangeId) {
        if let Some(turn) = self.open.iter_mut().find(|turn| turn.exchange.id == id) {
            turn.exchange.declined = true;
        }
    }

    fn asked(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) -> bool {
        if !message.text || kind(&message.data).as_deref() != Some(ASKS) {
            self.session.account.add(Counter::MessagesApart, 1);
            if let Some(fault) = message.fault {
                self.question_lost(missing(fault));
            }
            return true;
        }
        // Whoever asks has seen the answer before to its end, unless it says so before that has begun.
        if self.open.front().is_some_and(|turn| turn.damaged) {
            self.give_up(time, out);
        }
        if self.open.len() >= self.session.most {
            return false;
        }
        if self.open.is_empty() {
            self.unread = 0;
        }
        let strict =
            self.open.is_empty() && (std::mem::take(&mut self.unsure) | std::mem::take(&mut self.stray));
        let body = message.fault.map_or(Body::Bytes(message.data), |fault| Body::Missing(missing(fault)));
        let exchange = self.session.begin(message.since, time, [body], out);
        self.open.push_back(Turn { exchange, begun: false, strict, damaged: false });
        // A loss is noticed when the next bytes come: the answer may have passed by then.
        if matches!(message.fault, Some(Fault::Missing(_)))
            && self.apart.is_some_and(|at| at >= message.since)
            && let Some(turn) = self.open.pop_back()
        {
            turn.exchange.end(ExchangeEnd::Unreadable, time, out);
        }
        true
    }

    fn answered(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) {
        // The beginning of a message is often enough to know what it was.
        let kind = if message.text { kind(&message.data) } else { None };
        if let (None, Some(fault)) = (&kind, message.fault) {
            self.missing(missing(fault), time, out);
            self.answers_skipped(message.sent, time, out);
            return;
        }
        let Some(kind) = kind else {
            self.session.account.add(Counter::MessagesApart, 1);
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
            self.session.account.add(Counter::MessagesApart, 1);
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

    fn question_lost(&mut self, _: Missing) {
        self.unsure |= self.open.is_empty();
    }

    fn answers_lost(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        self.missing(missing, time, out);
        self.answers_skipped(missing.len.unwrap_or(u64::MAX), time, out);
    }

    fn answers_skipped(&mut self, n: u64, time: Timestamp, out: &mut Vec<Event>) {
        self.unread = self.unread.saturating_add(n);
        // A client that has asked again has seen the answer before to its end.
        let asked_again = self.open.len() > 1;
        if asked_again || self.shortest.is_none_or(|shortest| self.unread >= shortest / 2) {
            self.give_up(time, out);
        }
    }

    fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        while !self.open.is_empty() {
            self.end_first(how, time, out);
        }
    }
}
