//! What is remembered of one direction.

use super::{framing::Framing, head::Collector};
use crate::wire::{ExchangeId, body::BodyReader};

/// One direction of the connection.
pub(super) struct Side {
    pub state: State,
    /// The head in progress, or what may be one.
    pub head: Collector,
    /// Whose message is in progress; `None` if it belongs to no exchange.
    pub current: Option<ExchangeId>,
    /// Its body, if anybody wants it.
    pub body: Option<BodyReader>,
    /// Length of the smallest head seen, of those that a message can't do without.
    pub smallest_head: Option<u64>,
}

pub(super) enum State {
    /// Between messages or in a head.
    Head,
    /// In a body.
    Body(Framing),
    /// Somewhere: reading goes on at a piece that begins with a head.
    Lost(Lost),
}

#[derive(Clone, Copy, Default)]
pub(super) struct Lost {
    /// Nothing was seen of this side yet.
    pub fresh: bool,
    /// Bytes missing or skipped since then, or since the last request began.
    pub unread: u64,
    /// The lost message was chunked: reading may go on at a piece that begins with a chunk.
    pub chunked: bool,
    /// It is not that bytes are missing, but that they are malformed.
    pub hopeless: bool,
}

impl Side {
    pub fn new() -> Self {
        let state = State::Lost(Lost { fresh: true, ..Lost::default() });
        Self { state, head: Collector::default(), current: None, body: None, smallest_head: None }
    }

    /// About how many bytes are held.
    pub fn held(&self) -> usize {
        self.head.held() + self.body.as_ref().map_or(0, BodyReader::held)
    }

    /// Is too little unread for another message to have begun in it?
    pub fn same_message(&self, lost: Lost) -> bool {
        !lost.hopeless && (lost.unread == 0 || self.smallest_head.is_some_and(|head| lost.unread < head / 2))
    }

    /// A head of so many bytes began a message.
    pub fn head_seen(&mut self, len: usize) {
        let len = len as u64;
        self.smallest_head = Some(self.smallest_head.map_or(len, |smallest| smallest.min(len)));
    }
}
