//! Calls of MCP whose answer comes in another exchange of their process: what a server asks in a stream is answered by a
//! request of its client, and over HTTP with SSE all answers come in the one stream of a session.

use std::collections::{BTreeMap, HashMap};

use super::{Finished, Outcome};
use crate::{
    genai::{Call, McpRequest, Party, Role, Told},
    time::Timestamp,
    wire::ExchangeEnd,
};

/// Names a call: the process, which side of the exchanges it is, and the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    role: Role,
    request: McpRequest,
}

/// A call without its answer.
struct Held {
    finished: Finished,
    number: u64,
    bytes: usize,
}

/// Most calls that wait, and most bytes of what they were asked with: those that wait longest give way.
const MOST: usize = 1024;
const MOST_BYTES: usize = 64 << 20;

/// Calls that wait for their answers.
#[derive(Default)]
pub(super) struct Waiting {
    held: HashMap<Key, Held>,
    /// In the order in which they came.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
}

impl Waiting {
    /// Takes what an exchange told; `finish` says whose it is. What is over goes to the outcome.
    pub fn take(
        &mut self,
        told: Told,
        finish: impl FnOnce(Call) -> Finished,
        pid: u32,
        outcome: &mut Outcome,
    ) {
        match told {
            Told::Call(call) => outcome.calls.push(finish(*call)),
            Told::Asked { role, request, call } => {
                let key = Key { pid, role, request };
                let before = self.remove(&key);
                self.hold(key, finish(*call));
                let time = Timestamp::default();
                outcome
                    .calls
                    .extend(before.map(|finished| unanswered(finished, ExchangeEnd::CaptureEnd, time)));
                while self.held.len() > MOST || self.bytes > MOST_BYTES {
                    let Some(oldest) = self.order.first_key_value().map(|(_, key)| key.clone()) else {
                        break;
                    };
                    let given_up = self.remove(&oldest);
                    outcome
                        .calls
                        .extend(given_up.map(|finished| unanswered(finished, ExchangeEnd::CaptureEnd, time)));
                }
            }
            Told::Answered { role, request, answer, time } => {
                if let Some(mut finished) = self.remove(&Key { pid, role, request }) {
                    finished.call.answer(answer);
                    finished.call.end = time.max(finished.call.end);
                    outcome.calls.push(finished);
                }
            }
            Told::Closed { role, session, end: how, time } => {
                let its = |key: &&Key| {
                    key.pid == pid
                        && key.role == role
                        && key.request.sender == Party::Client
                        && key.request.session == session
                };
                let keys: Vec<Key> = self.order.values().filter(its).cloned().collect();
                for key in keys {
                    outcome.calls.extend(self.remove(&key).map(|finished| unanswered(finished, how, time)));
                }
            }
        }
    }

    /// Nothing more comes.
    pub fn finish(&mut self, time: Timestamp, calls: &mut Vec<Finished>) {
        for (_, key) in std::mem::take(&mut self.order) {
            calls.extend(
                self.remove(&key).map(|finished| unanswered(finished, ExchangeEnd::CaptureEnd, time)),
            );
        }
    }

    fn hold(&mut self, key: Key, finished: Finished) {
        let bytes = weight(&finished.call);
        self.bytes += bytes;
        self.order.insert(self.next, key.clone());
        self.held.insert(key, Held { finished, number: self.next, bytes });
        self.next += 1;
    }

    fn remove(&mut self, key: &Key) -> Option<Finished> {
        let held = self.held.remove(key)?;
        self.order.remove(&held.number);
        self.bytes -= held.bytes;
        Some(held.finished)
    }
}

fn weight(call: &Call) -> usize {
    let arguments = call.mcp.as_ref().and_then(|mcp| mcp.arguments.as_ref());
    arguments.map_or(0, |content| content.text.len())
}

fn unanswered(mut finished: Finished, how: ExchangeEnd, time: Timestamp) -> Finished {
    finished.call.unanswered(how);
    finished.call.end = time.max(finished.call.end);
    finished
}
