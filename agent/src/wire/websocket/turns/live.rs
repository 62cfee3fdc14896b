//! Gemini Live (<https://ai.google.dev/api/live>): an answer is asked for by the client with `clientContent` that completes its
//! turn, or begun by the server when it hears that the user has stopped to speak. It ends with `turnComplete`.
//! Answers do not overlap and have no ids: after a loss in which one may have ended, what comes next is told apart from what
//! came before.

use serde::{Deserialize, de::IgnoredAny};

use super::{super::incoming::Message, Exchange, Session, Turns, event, held::Held, missing};
use crate::{
    account::Counter,
    time::Timestamp,
    wire::{Body, Event, ExchangeEnd, ExchangeId, Missing},
};

/// A message of the client. Names may be in snake case.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FromClient {
    setup: Option<IgnoredAny>,
    #[serde(alias = "client_content")]
    client_content: Option<ClientContent>,
    #[serde(alias = "realtime_input")]
    realtime_input: Option<RealtimeInput>,
    #[serde(alias = "tool_response")]
    tool_response: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientContent {
    #[serde(alias = "turn_complete")]
    turn_complete: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RealtimeInput {
    text: Option<IgnoredAny>,
}

/// A message of the server.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FromServer {
    setup_complete: Option<IgnoredAny>,
    server_content: Option<ServerContent>,
    tool_call: Option<IgnoredAny>,
    usage_metadata: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ServerContent {
    model_turn: Option<IgnoredAny>,
    output_transcription: Option<IgnoredAny>,
    input_transcription: Option<IgnoredAny>,
    turn_complete: bool,
}

/// An answer that is not complete.
struct Turn {
    exchange: Exchange,
    /// Something of it is missing: its end may be.
    damaged: bool,
}

/// The answers of a session.
pub(super) struct Live {
    session: Session,
    open: Option<Turn>,
    held: Held,
    /// When the next answer was asked for, while one goes on, or when the user was last heard.
    since: Option<Timestamp>,
    /// What is missing may be the beginning of what comes next.
    unsure: bool,
}

/// How messages begin that bring content: their end is elsewhere.
const CONTENT: [&[u8]; 2] = [b"modelTurn", b"outputTranscription"];

impl Live {
    /// No answer was seen; of what is said before one, `held` bytes are kept.
    pub fn new(session: Session, held: usize) -> Self {
        Self { session, open: None, held: Held::new(held), since: None, unsure: false }
    }

    fn begin(&mut self, since: Timestamp, time: Timestamp, more: Option<Body>, out: &mut Vec<Event>) {
        self.since = None;
        let asked = self.held.take().into_iter().chain(more);
        let exchange = self.session.begin(since, time, asked, out);
        self.open = Some(Turn { exchange, damaged: false });
    }

    fn end(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(turn) = self.open.take() {
            turn.exchange.end(how, time, out);
        }
    }

    fn apart(&self) {
        self.session.account.add(Counter::MessagesApart, 1);
    }

    /// A message of the server can't be read. Where it may have been the end of an answer, that is given up.
    fn unread(&mut self, missing: Missing, ends: bool, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(turn) = &mut self.open {
            turn.damaged = true;
            turn.exchange.answer(&self.session, Body::Missing(missing), time, out);
        }
        if ends {
            self.end(ExchangeEnd::Unreadable, time, out);
            self.unsure = true;
        }
    }
}

impl Turns for Live {
    fn held(&self) -> usize {
        self.held.len()
    }

    fn decline(&mut self, id: ExchangeId) {
        if let Some(turn) = self.open.as_mut().filter(|turn| turn.exchange.id == id) {
            turn.exchange.declined = true;
        }
    }

    fn asked(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) -> bool {
        if let Some(fault) = message.fault {
            self.held.lost(missing(fault));
            return true;
        }
        let told: FromClient = serde_json::from_slice(&message.data).unwrap_or_default();
        let completes = told.client_content.as_ref().is_some_and(|content| content.turn_complete);
        if completes {
            // Whoever asks has seen the answer before to its end, or interrupts it.
            if self.open.as_ref().is_some_and(|turn| turn.damaged) {
                self.end(ExchangeEnd::Unreadable, time, out);
            }
            if self.open.is_none() {
                self.unsure = false;
                self.begin(message.since, time, Some(event(message.data)), out);
            } else {
                self.since.get_or_insert(message.since);
                self.held.add(message.data);
            }
        } else if told.setup.is_some() {
            self.held.stand("setup", message.data);
        } else if told.client_content.is_some()
            || told.tool_response.is_some()
            || told.realtime_input.is_some_and(|input| input.text.is_some())
        {
            self.since = Some(message.since);
            self.held.add(message.data);
        } else {
            // What the user speaks is not kept.
            self.apart();
        }
        true
    }

    fn answered(&mut self, message: Message, time: Timestamp, out: &mut Vec<Event>) {
        if let Some(fault) = message.fault {
            let brings = CONTENT.iter().any(|name| memchr::memmem::find(&message.data, name).is_some());
            self.unread(missing(fault), !brings, time, out);
            return;
        }
        let told: FromServer = serde_json::from_slice(&message.data).unwrap_or_default();
        if told.setup_complete.is_some() {
            self.held.stand("complete", message.data);
            return self.apart();
        }
        let belongs =
            told.server_content.is_some() || told.tool_call.is_some() || told.usage_metadata.is_some();
        let content = told.server_content.unwrap_or_default();
        let brings = content.model_turn.is_some()
            || content.output_transcription.is_some()
            || told.tool_call.is_some();
        let heard = content.input_transcription.is_some();
        if self.open.is_none() && heard && !brings && !content.turn_complete {
            self.since = Some(message.since);
            self.held.add(message.data);
            return;
        }
        if self.open.is_none() && (brings || (content.turn_complete && told.usage_metadata.is_some())) {
            let since = self.since.unwrap_or(message.since);
            self.begin(since, time, None, out);
            if std::mem::take(&mut self.unsure)
                && let Some(turn) = &mut self.open
            {
                let missing = Missing { len: None, cut: false };
                turn.exchange.answer(&self.session, Body::Missing(missing), time, out);
            }
        }
        let Some(turn) = self.open.as_mut().filter(|_| belongs || told.error.is_some()) else {
            return self.apart();
        };
        turn.exchange.answer(&self.session, event(message.data), time, out);
        if content.turn_complete || told.error.is_some() {
            self.end(ExchangeEnd::Complete, time, out);
        }
    }

    fn question_lost(&mut self, missing: Missing) {
        self.held.lost(missing);
    }

    fn answers_lost(&mut self, missing: Missing, time: Timestamp, out: &mut Vec<Event>) {
        self.unread(missing, true, time, out);
    }

    fn answers_skipped(&mut self, _: u64, time: Timestamp, out: &mut Vec<Event>) {
        self.end(ExchangeEnd::Unreadable, time, out);
        self.unsure = true;
    }

    fn end_all(&mut self, how: ExchangeEnd, time: Timestamp, out: &mut Vec<Event>) {
        self.end(how, time, out);
    }
}
