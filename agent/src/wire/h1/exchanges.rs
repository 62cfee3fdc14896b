//! The exchanges of a connection that are not over, in the order of their requests.

use std::{collections::VecDeque, sync::Arc};

use super::head::Method;
use crate::{
    account::{Account, Counter},
    time::Timestamp,
    wire::{Event, EventKind, ExchangeEnd, ExchangeId, RequestHead},
};

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not begun.
    Awaited,
    /// It has begun.
    Open,
    /// It is complete.
    Done,
    /// Its end was not recognised, and won't be.
    Lost,
}

struct Exchange {
    id: ExchangeId,
    method: Method,
    declined: bool,
    request: Phase,
    response: Phase,
}

/// The exchanges that are not over.
pub(super) struct Exchanges {
    queue: VecDeque<Exchange>,
    next: u64,
    account: Arc<Account>,
}

impl Exchanges {
    pub fn new(account: Arc<Account>) -> Self {
        Self { queue: VecDeque::new(), next: 0, account }
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// How many responses are still to come, or to be completed.
    pub fn unanswered(&self) -> usize {
        self.queue.iter().filter(|e| e.response != Phase::Done).count()
    }

    /// Begins an exchange with the head of its request.
    pub fn begin(
        &mut self,
        method: Method,
        head: Box<RequestHead>,
        time: Timestamp,
        out: &mut Vec<Event>,
    ) -> ExchangeId {
        let id = ExchangeId(self.next);
        self.next += 1;
        self.queue.push_back(Exchange {
            id,
            method,
            declined: false,
            request: Phase::Open,
            response: Phase::Awaited,
        });
        self.account.add(Counter::Exchanges, 1);
        out.push(Event { exchange: id, time, kind: EventKind::RequestHead(head) });
        id
    }

    /// The exchange of the last request.
    pub fn last(&self) -> Option<ExchangeId> {
        self.next.checked_sub(1).map(ExchangeId)
    }

    /// The exchange that the next response belongs to: its method, and whether it is declined.
    pub fn answer(&mut self) -> Option<(ExchangeId, Method, bool)> {
        let exchange = self.queue.iter_mut().find(|e| e.response == Phase::Awaited)?;
        exchange.response = Phase::Open;
        Some((exchange.id, exchange.method, exchange.declined))
    }

    pub fn decline(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.get(id) {
            exchange.declined = true;
        }
    }

    /// Where the request is.
    pub fn request(&mut self, id: ExchangeId, phase: Phase) {
        if let Some(exchange) = self.get(id) {
            exchange.request = phase;
        }
    }

    /// The response is complete.
    pub fn answered(&mut self, id: ExchangeId) {
        if let Some(exchange) = self.get(id) {
            exchange.response = Phase::Done;
        }
    }

    /// Is it not over?
    pub fn is_open(&self, id: ExchangeId) -> bool {
        self.queue.iter().any(|e| e.id == id)
    }

    /// Did another request begin after this one's?
    pub fn is_followed(&self, id: ExchangeId) -> bool {
        self.queue.back().is_some_and(|last| last.id > id)
    }

    /// Emits an event of an exchange that is not over, unless it is declined.
    pub fn emit(&mut self, id: ExchangeId, time: Timestamp, kind: EventKind, out: &mut Vec<Event>) {
        if self.get(id).is_some_and(|e| !e.declined) {
            out.push(Event { exchange: id, time, kind });
        }
    }

    /// Ends what is complete. A response that came before the end of its request waits for that, so that
    /// what is said about the request is whole.
    pub fn finish(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        while let Some(first) = self.queue.front()
            && first.response == Phase::Done
            && first.request != Phase::Open
        {
            self.end(first.id, ExchangeEnd::Complete, time, out);
        }
    }

    /// Another request begins, so those whose response is complete are over, their request too.
    pub fn drop_answered(&mut self, time: Timestamp, out: &mut Vec<Event>) {
        while let Some(first) = self.queue.front()
            && first.response == Phase::Done
        {
            self.end(first.id, ExchangeEnd::Complete, time, out);
        }
    }

    /// Ends an exchange.
    pub fn end(&mut self, id: ExchangeId, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(at) = self.queue.iter().position(|e| e.id == id)
            && let Some(exchange) = self.queue.remove(at)
            && !exchange.declined
        {
            out.push(Event { exchange: id, time, kind: EventKind::End(how) });
        }
    }

    /// Ends all exchanges whose response is not complete.
    pub fn end_unanswered(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        self.queue.retain(|e| {
            if e.response == Phase::Done {
                return true;
            }
            if !e.declined {
                out.push(Event { exchange: e.id, time, kind: EventKind::End(how) });
            }
            false
        });
    }

    /// Ends all exchanges: `how`, or complete if their response is.
    pub fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        self.drop_answered(time, out);
        self.end_unanswered(how, time, out);
        self.drop_answered(time, out);
    }

    fn get(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        self.queue.iter_mut().find(|e| e.id == id)
    }
}
