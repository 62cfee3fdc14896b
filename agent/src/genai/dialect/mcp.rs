//! The Model Context Protocol over HTTP (<https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>), and
//! over HTTP with SSE as it was before (<https://modelcontextprotocol.io/specification/2024-11-05/basic/transports>).
//!
//! A client posts messages. It is answered with JSON, with a stream in which there may be messages of the server as well, or,
//! if it asked nothing, with an empty body. With a GET it opens a stream for what the server has to say by itself; in the older
//! transport that is the only stream, all answers come in it, and it begins with the address for messages.

use super::{Carried, Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Party, Provider, TraceContext},
        document::Document,
        field::Field,
        finish::Ending,
        mcp::{Mcp, McpAnswer, McpRequest, Message, MessageKind, Settled, is_method},
        openai::path,
    },
    wire::{RequestHead, ResponseHead, SseEvent},
};

/// Headers that only MCP has.
const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";

/// Parameters that the session has in the addresses which servers of the older transport give: the SDKs' names.
const SESSION_PARAMETERS: [&str; 2] = ["session_id", "sessionId"];

/// The dialect.
pub(super) struct ModelContextProtocol;

impl Dialect for ModelContextProtocol {
    fn name(&self) -> &'static str {
        "mcp"
    }

    fn operation(&self) -> OperationName {
        OperationName::ExecuteTool
    }

    fn provider(&self) -> Provider {
        Provider::Unknown
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_named = is_named(head);
        match &*head.method {
            "POST" if is_named => Claim::Yes,
            "POST" if may_carry_messages(head) => Claim::Maybe,
            "GET" if is_named && accepts_events(head) => Claim::Yes,
            "GET" if path::ends_with(&head.path, "/sse") && accepts(head, &["text/event-stream"]) => {
                Claim::Maybe
            }
            // The end of a session, or what a client looks up about the server's authorization.
            _ if is_named => Claim::NotInference("mcp"),
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let header = |name| head.headers.get(name).map(str::to_owned);
        let of_query = session_of(&head.query);
        Box::new(Messages {
            is_named: is_named(head),
            is_post: &*head.method == "POST",
            answers_elsewhere: header(SESSION).is_none() && of_query.is_some(),
            session: header(SESSION).or(of_query),
            version: header(VERSION),
            opened: None,
            has_read: false,
            status: 0,
            streamed: false,
            asked: Vec::new(),
            early: Vec::new(),
            settled: Vec::new(),
        })
    }
}

fn is_named(head: &RequestHead) -> bool {
    [SESSION, VERSION].iter().any(|name| head.headers.get(name).is_some())
}

/// May the body be a message? Clients accept both kinds of answers, which others hardly do, and the first request of a session
/// has no header of its own yet.
fn may_carry_messages(head: &RequestHead) -> bool {
    let is_json = head.headers.get("content-type").is_some_and(|value| media_type(value, "application/json"));
    is_json
        && (accepts(head, &["application/json", "text/event-stream"])
            || path::ends_with(&head.path, "/mcp")
            || session_of(&head.query).is_some() && is_for_messages(&head.path))
}

fn is_for_messages(path: &str) -> bool {
    ["/messages", "/message"].iter().any(|end| path::ends_with(path, end))
}

/// Are these all that it accepts, in any order? What a browser sends of its own is more.
fn accepts(head: &RequestHead, wanted: &[&str]) -> bool {
    let Some(accept) = head.headers.get("accept") else { return false };
    let mut found = 0;
    for range in accept.split(',') {
        if !wanted.iter().any(|wanted| media_type(range, wanted)) {
            return false;
        }
        found += 1;
    }
    found == wanted.len()
}

/// Some clients say for a stream what they say for an answer.
fn accepts_events(head: &RequestHead) -> bool {
    let accept = head.headers.get("accept").unwrap_or_default();
    accept.split(',').any(|range| media_type(range, "text/event-stream"))
}

fn media_type(value: &str, wanted: &str) -> bool {
    value.split(';').next().is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
}

/// The session that a query names.
fn session_of(query: &str) -> Option<String> {
    query.split('&').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        (SESSION_PARAMETERS.contains(&name) && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The messages of one exchange.
struct Messages {
    /// A header says that it is MCP.
    is_named: bool,
    is_post: bool,
    /// Answers come in the stream of the session: the older transport.
    answers_elsewhere: bool,
    session: Option<String>,
    version: Option<String>,
    /// The session whose stream this is, in the older transport.
    opened: Option<String>,
    /// The body was read.
    has_read: bool,
    /// What the body asks, and is not answered yet.
    asked: Vec<Asked>,
    /// What the body asks and has its answer elsewhere.
    early: Vec<McpRequest>,
    status: u16,
    /// It is answered with a stream.
    streamed: bool,
    settled: Vec<Settled>,
}

struct Asked {
    mcp: Box<Mcp>,
    trace: Option<TraceContext>,
}

impl Messages {
    /// What this message says, with what its exchange knows.
    fn call(&self, message: &Message<'_>, sender: Party, budget: &mut Budget) -> Option<Asked> {
        let (mut mcp, trace) = message.call(sender, budget)?;
        mcp.session_id.clone_from(&self.session);
        mcp.protocol_version = self.version.clone().or(mcp.protocol_version);
        Some(Asked { mcp: Box::new(mcp), trace })
    }

    /// Is anything of the body still to be answered?
    fn is_asked(&self) -> bool {
        self.asked.iter().any(|asked| asked.mcp.request_id.is_some())
    }

    /// A message of the body.
    fn asks(&mut self, message: &Message<'_>, budget: &mut Budget) -> bool {
        match message.kind() {
            MessageKind::Call => {
                let Some(method) = message.method(budget) else { return false };
                // Language servers are initialized, too.
                let is_known =
                    is_method(&method) && (method != "initialize" || message.has_protocol_version(budget));
                if !(self.is_named || is_known) {
                    return false;
                }
                if self.asked.len() + self.early.len() >= budget.limits().choices {
                    budget.omitted += 1;
                } else if let Some(asked) = self.call(message, Party::Client, budget) {
                    self.ask(asked);
                }
                true
            }
            MessageKind::Answer => {
                // Only what the server asked is answered by a request.
                if let (Some(id), Some(session)) = (message.id(budget), self.session.clone()) {
                    let request = McpRequest { session, sender: Party::Server, id };
                    self.settled.push(Settled::Answer { request, answer: message.answer(budget) });
                }
                true
            }
            MessageKind::None => false,
        }
    }

    fn ask(&mut self, asked: Asked) {
        let elsewhere = asked.mcp.request_id.clone().zip(self.session.clone());
        match elsewhere.filter(|_| self.answers_elsewhere) {
            // The answer may be there before this exchange is over.
            Some((id, session)) => {
                self.early.push(McpRequest { session, sender: Party::Client, id });
                let Asked { mcp, trace } = asked;
                self.settled.push(Settled::Open { mcp, trace, elsewhere: true });
            }
            None => self.asked.push(asked),
        }
    }

    /// A message of the server.
    fn says(&mut self, message: &Message<'_>, budget: &mut Budget) -> bool {
        match message.kind() {
            MessageKind::Call => {
                if let Some(Asked { mcp, trace }) = self.call(message, Party::Server, budget) {
                    self.settled.push(Settled::Open { mcp, trace, elsewhere: true });
                }
                true
            }
            MessageKind::Answer => {
                let id = message.id(budget);
                let answer = message.answer(budget);
                let at = self
                    .asked
                    .iter()
                    .position(|asked| asked.mcp.request_id.is_some() && asked.mcp.request_id == id);
                match (at, id, self.session.clone()) {
                    (Some(at), ..) => self.over(at, answer),
                    (None, Some(id), Some(session)) => {
                        let request = McpRequest { session, sender: Party::Client, id };
                        self.settled.push(Settled::Answer { request, answer });
                    }
                    // An error without an id is about all of them (JSON-RPC 2.0, section 5).
                    (None, None, _) if answer.error.is_some() => {
                        for at in (0..self.asked.len()).rev() {
                            self.over(at, answer.clone());
                        }
                    }
                    _ => {}
                }
                true
            }
            MessageKind::None => false,
        }
    }

    fn over(&mut self, at: usize, answer: McpAnswer) {
        let Asked { mut mcp, trace } = self.asked.remove(at);
        // The answer to `initialize` has it.
        mcp.session_id = mcp.session_id.or_else(|| self.session.clone());
        self.settled.push(Settled::Over { mcp, trace, answer });
    }
}

impl Fold for Messages {
    fn request(&mut self, body: &Document<'_>, _: &mut Call, budget: &mut Budget) -> Result<bool, Malformed> {
        if !self.is_post {
            // What the stream of the older transport begins with tells it.
            return if self.is_named { Ok(true) } else { Err(Malformed) };
        }
        self.has_read = true;
        let mut fits = false;
        Message::each(body, budget, |message, budget| fits |= self.asks(&message, budget))?;
        Ok(fits)
    }

    fn head(&mut self, head: &ResponseHead, _: &mut Budget) {
        self.status = head.status;
        let is_stream = |value| media_type(value, "text/event-stream");
        self.streamed = head.headers.get("content-type").is_some_and(is_stream);
        if let Some(session) = head.headers.get(SESSION) {
            self.session = Some(session.to_owned());
        }
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        let message: Message<'_> = body.object(budget)?;
        message.error(budget)
    }

    fn response(&mut self, body: &Document<'_>, _: &mut Call, budget: &mut Budget) -> Result<(), Malformed> {
        if body.is_empty() {
            // To notifications nothing is answered, and in the older transport it is elsewhere.
            return if self.has_read && !self.is_asked() { Ok(()) } else { Err(Malformed) };
        }
        if self.answers_elsewhere {
            return Ok(());
        }
        let mut fits = false;
        Message::each(body, budget, |message, budget| fits |= self.says(&message, budget))?;
        if fits { Ok(()) } else { Err(Malformed) }
    }

    fn event(&mut self, event: &SseEvent, _: &mut Call, budget: &mut Budget) -> Result<Carried, Malformed> {
        if &*event.event == "endpoint" && !self.is_post {
            let address = std::str::from_utf8(&event.data).map_err(|_| Malformed)?;
            let (_, query) = address.split_once('?').ok_or(Malformed)?;
            self.session = session_of(query);
            self.opened.clone_from(&self.session);
            return Ok(Carried::Data);
        }
        if event.data.is_empty() {
            return Ok(Carried::Nothing);
        }
        let is_known = self.is_named || self.is_post || self.opened.is_some();
        let mut fits = false;
        Message::each(&Document::read(&event.data), budget, |message, budget| {
            fits |= is_known && self.says(&message, budget);
        })?;
        if fits { Ok(Carried::Content) } else { Err(Malformed) }
    }

    fn terminated(&self, _: &Call) -> bool {
        self.is_post && !self.is_asked()
    }

    /// One that ends without an answer goes on in another exchange.
    fn ends_with_its_body(&self) -> bool {
        true
    }

    fn finish(&mut self, _: Ending, damaged: bool, call: &mut Call, _: &mut Budget) {
        // What is missing may be the answer.
        let elsewhere = self.streamed && !damaged;
        for Asked { mut mcp, trace } in std::mem::take(&mut self.asked) {
            mcp.session_id = mcp.session_id.or_else(|| self.session.clone());
            self.settled.push(Settled::Open { mcp, trace, elsewhere });
        }
        if self.status >= 400 {
            for request in std::mem::take(&mut self.early) {
                let error = call.error.clone();
                let error = error
                    .unwrap_or_else(|| CallError { kind: self.status.to_string(), ..CallError::default() });
                self.settled.push(Settled::Answer { request, answer: McpAnswer::failed(error) });
            }
        }
        if let Some(session) = self.opened.take() {
            self.settled.push(Settled::Closed { session });
        }
    }

    fn settled(&mut self) -> Option<Vec<Settled>> {
        Some(std::mem::take(&mut self.settled))
    }
}

#[cfg(test)]
mod tests;
