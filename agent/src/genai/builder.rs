//! Events of one exchange in, one [`Call`] out; several of a protocol whose exchanges carry several.

use std::{fmt, sync::Arc};

use super::{
    answer,
    bedrock::path,
    budget::{Budget, Gather},
    call::{Call, CallError, Damage, Missed, Provider, Streaming, TraceContext, Transport},
    dialect::{Carried, Dialect, Fold},
    document::Document,
    elements::{self, Elements},
    finish::Ending,
    mcp,
    pace::{self, Pace},
    provider, rate_limit, repetition,
    stated::{Sources, Stated},
    told::Told,
    trace, transport,
};
use crate::{
    account::{Account, Counter},
    time::Timestamp,
    wire::{Body, Event, EventKind, ExchangeEnd, Missing, RequestHead, ResponseHead, Role, SseEvent},
};

/// Media types of streams of events.
const STREAMS: [&str; 2] = ["text/event-stream", "application/vnd.amazon.eventstream"];

/// A dialect that the exchange may be in.
pub(super) struct Candidate {
    fold: Box<dyn Fold>,
    /// It is a call of this dialect: the head or a body says so.
    sure: bool,
    call: Call,
}

impl Candidate {
    pub(super) fn open(dialect: &dyn Dialect, head: &RequestHead, sure: bool) -> Self {
        let provider = match provider::of_authority(head.authority.as_deref()) {
            Some(provider) => provider,
            // Others than its own provider speak a dialect too, at paths of their own.
            None if head.partial && (head.authority.is_none() || head.path.is_empty()) => Provider::Unknown,
            None => dialect.provider(),
        };
        let call =
            Call { operation: dialect.operation(), provider, dialect: dialect.name(), ..Call::default() };
        Self { fold: dialect.open(head), sure, call }
    }
}

/// How it is known of which dialect the exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// By the path, if need be by the bodies as well.
    ByPath,
    /// By the answer, which has not come yet: until then nothing is read.
    NotYet,
    /// By the answer.
    ByAnswer,
}

/// Rebuilds one call. It is fed every event of its exchange, in order.
pub struct CallBuilder {
    candidates: Vec<Candidate>,
    known: Known,
    budget: Budget,
    account: Arc<Account>,
    role: Role,
    start: Timestamp,
    transport: Transport,
    trace: Option<TraceContext>,
    request: Gather,
    request_over: bool,
    request_read: bool,
    response: Gather,
    /// Takes a response apart that may be an array of events.
    elements: Option<Elements>,
    /// When the last byte of the response came.
    last_byte: Timestamp,
    /// Nothing has come after the last gap of the response, so its end may lie in the gap.
    ends_in_gap: bool,
    streaming: Streaming,
    /// Bytes were missing before the first chunk that was seen, or the first with content: there was an earlier one, perhaps.
    missed_first_chunk: bool,
    missed_first_content: bool,
    pace: Pace,
    damage: Damage,
    /// Where the request says whom and what it is for, and what it says.
    sources: Arc<Sources>,
    stated: Stated,
    /// Calls were told before the end.
    has_told: bool,
}

impl fmt::Debug for CallBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies are content: they are never printed.
        f.debug_struct("CallBuilder").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl CallBuilder {
    pub(super) fn new(candidates: Vec<Candidate>, budget: Budget, account: Arc<Account>) -> Self {
        Self {
            candidates,
            known: Known::ByPath,
            budget,
            account,
            role: Role::Client,
            start: Timestamp::default(),
            transport: Transport::default(),
            trace: None,
            request: Gather::default(),
            request_over: false,
            request_read: false,
            response: Gather::default(),
            elements: None,
            last_byte: Timestamp::default(),
            ends_in_gap: false,
            streaming: Streaming::default(),
            missed_first_chunk: false,
            missed_first_content: false,
            pace: Pace::default(),
            damage: Damage::default(),
            sources: Arc::default(),
            stated: Stated::default(),
            has_told: false,
        }
    }

    /// It is looked there for what the request says of whom and what it is for.
    pub(super) fn looking_at(self, sources: Arc<Sources>) -> Self {
        Self { sources, ..self }
    }

    /// The path is unknown: the answer has to tell which of the candidates it is, if any.
    pub(super) fn told_by_answer(self) -> Self {
        Self { known: Known::NotYet, ..self }
    }

    /// Takes the next event, the head of the request being the first; tells the call at the end of the
    /// exchange, unless its bodies showed that it was no LLM call (which is then counted).
    pub fn event(&mut self, event: Event) -> Vec<Told> {
        let time = event.time;
        match event.kind {
            EventKind::RequestHead(head) => self.request_head(&head, time),
            EventKind::RequestBody(body) => match body {
                Body::Bytes(bytes) => self.damage.request.cut += self.request.push(&bytes, &mut self.budget),
                Body::Missing(missing) => {
                    self.damage.request.add(missing);
                    self.request.spoil(&mut self.budget);
                }
                Body::Sse(event) => self.asked(&event),
                Body::Part(part) => {
                    for candidate in &mut self.candidates {
                        // That a form was not read can't go unsaid.
                        let read = candidate.fold.part(&part, &mut self.budget);
                        self.damage.request_malformed |= read.is_err();
                    }
                }
            },
            EventKind::RequestEnd => {
                self.request_over = true;
                self.read_request(true);
            }
            EventKind::ResponseHead(head) => self.response_head(&head),
            EventKind::ResponseBody(body) => self.response_body(body, time),
            // No API that is read says anything there.
            EventKind::ResponseTrailers(_) => {}
            EventKind::End(end) => return self.end(end, time),
        }
        self.settle(time)
    }

    /// Tells what was settled by now, in a protocol that settles things before the end.
    fn settle(&mut self, time: Timestamp) -> Vec<Told> {
        let sure = self.candidates.iter_mut().find(|candidate| candidate.sure);
        let settled = sure.and_then(|candidate| Some((candidate.fold.settled()?, &candidate.call)));
        let Some((settled, call)) = settled.filter(|(settled, _)| !settled.is_empty()) else {
            return Vec::new();
        };
        let whole = Call {
            role: Some(self.role),
            start: self.start,
            transport: self.transport.clone(),
            damage: self.damage,
            trace: self.trace.clone(),
            stated: self.stated.clone(),
            ..call.clone()
        };
        let told = self.tell(settled, &whole, time);
        // A stream may live for days, and what it told is kept no longer.
        self.budget.renew();
        told
    }

    /// Is it known to be no call, before its end? It is counted then, and need not be shown the rest.
    pub fn gives_up(&self) -> bool {
        let none = self.candidates.is_empty() && self.known != Known::NotYet;
        if none {
            self.account.add(Counter::ExchangesNotLlm, 1);
        }
        none
    }

    fn tell(&mut self, settled: Vec<mcp::Settled>, whole: &Call, time: Timestamp) -> Vec<Told> {
        let told = settled.into_iter().map(|settled| {
            let told = mcp::told(settled, whole, time);
            let is_call = matches!(told, Told::Call(_) | Told::Asked { .. });
            self.has_told |= is_call;
            self.account.add(Counter::McpCalls, u64::from(is_call));
            told
        });
        told.collect()
    }

    fn request_head(&mut self, head: &RequestHead, time: Timestamp) {
        self.role = head.role;
        self.start = time;
        self.transport = transport::of_request(head);
        self.trace = trace::context(&head.headers);
        self.sources.read_head(&head.headers, &mut self.stated);
        self.request.expect(transport::content_length(&head.headers));
        self.damage.request.unknown |= head.partial;
    }

    /// A message of a session that the call is asked with.
    fn asked(&mut self, event: &SseEvent) {
        self.request_read = true;
        let body = Document::read(&event.data);
        self.sources.read_body(&body, &mut self.stated);
        for candidate in &mut self.candidates {
            match candidate.fold.asked(&body, &mut candidate.call, &mut self.budget) {
                Ok(fits) => candidate.sure |= fits,
                Err(_) => self.damage.request_malformed = true,
            }
        }
    }

    /// The trace that the request named.
    pub fn trace_id(&self) -> Option<[u8; 16]> {
        self.trace.as_ref().map(|trace| trace.trace_id)
    }

    /// Hands the request's body to the dialects, once. `complete` is whether all of it was sent.
    fn read_request(&mut self, complete: bool) {
        if self.known == Known::NotYet || std::mem::replace(&mut self.request_read, true) {
            return;
        }
        let Some(body) = self.request.take(&mut self.budget) else { return };
        let body = Document::read(&body);
        self.sources.read_body(&body, &mut self.stated);
        // A GET promises nothing.
        let complete = complete && self.transport.method != "GET";
        let by_answer = self.known == Known::ByAnswer;
        let (budget, malformed) = (&mut self.budget, &mut self.damage.request_malformed);
        self.candidates.retain_mut(|candidate| {
            let Ok(fits) = candidate.fold.request(&body, &mut candidate.call, budget) else {
                // Half a body is no JSON, but that is not the client's fault.
                *malformed |= complete && !by_answer;
                return !(complete && by_answer);
            };
            // What is stored can be asked for, too, and looks like an answer then.
            if by_answer {
                return candidate.call.request.model.is_some();
            }
            candidate.sure |= fits;
            candidate.sure
        });
        // One that fits is a better claim than one that could not read it.
        if self.candidates.iter().any(|candidate| candidate.sure) {
            self.candidates.retain(|candidate| candidate.sure);
        }
    }

    fn response_head(&mut self, head: &ResponseHead) {
        self.damage.response.unknown |= head.partial;
        self.transport.status = Some(head.status);
        self.response.expect(transport::content_length(&head.headers));
        self.transport.request_id = transport::request_id(head);
        self.transport.retry_after = rate_limit::retry_after(head);
        self.transport.rate_limits = rate_limit::read(head);
        let media_type = head.headers.get("content-type").and_then(|value| value.split(';').next());
        self.streaming.streamed = media_type.is_some_and(|media_type| {
            STREAMS.iter().any(|stream| media_type.trim().eq_ignore_ascii_case(stream))
        });
        if self.known == Known::NotYet && path::is_of_aws(head) {
            self.candidates.clear();
        }
        for candidate in &mut self.candidates {
            candidate.fold.head(head, &mut self.budget);
        }
        let array = self.candidates.iter().any(|candidate| candidate.fold.streams_array());
        self.elements = (array && head.status < 300).then(Elements::default);
    }

    fn response_body(&mut self, body: Body, time: Timestamp) {
        match body {
            Body::Missing(missing) => {
                self.damage.response.add(missing);
                self.response.spoil(&mut self.budget);
                if let Some(elements) = &mut self.elements {
                    elements.spoil(&mut self.budget);
                }
                self.ends_in_gap = true;
                self.missed_first_chunk |= self.streaming.first_chunk.is_none();
                self.missed_first_content |= self.streaming.first_content.is_none();
                return;
            }
            Body::Bytes(bytes) => {
                if bytes.is_empty() {
                    return;
                }
                let found = self.elements.as_mut().map(|elements| elements.push(&bytes, &mut self.budget));
                if let Some(elements::Found::Elements(found, cut)) = found {
                    self.damage.response.cut += cut;
                    for element in found {
                        self.sse(&SseEvent { event: Box::default(), data: element.into() }, time);
                    }
                } else {
                    self.elements = None;
                    self.damage.response.cut += self.response.push(&bytes, &mut self.budget);
                }
            }
            Body::Sse(event) => self.sse(&event, time),
            // Responses are never taken apart as forms.
            Body::Part(_) => {}
        }
        self.streaming.first_chunk.get_or_insert(time);
        self.last_byte = time;
        self.ends_in_gap = false;
    }

    /// Looks which of the candidates an answer is of.
    fn identify(&mut self, answer: &[u8]) {
        if self.known == Known::NotYet
            && let Some(name) = answer::dialect(answer, &mut self.budget)
        {
            self.known = Known::ByAnswer;
            self.candidates.retain(|candidate| candidate.call.dialect == name);
            self.candidates.iter_mut().for_each(|candidate| candidate.sure = true);
            if self.request_over {
                self.read_request(true);
            }
        }
    }

    fn sse(&mut self, event: &SseEvent, time: Timestamp) {
        self.streaming.streamed = true;
        self.identify(&event.data);
        if self.known == Known::NotYet {
            self.chunk(Carried::Data, time);
            return;
        }
        let mut carried = Carried::Nothing;
        let mut fits = false;
        for candidate in &mut self.candidates {
            match candidate.fold.event(event, &mut candidate.call, &mut self.budget) {
                Ok(Carried::Nothing) => fits = true,
                Ok(found) => {
                    fits = true;
                    candidate.sure = true;
                    if carried != Carried::Content {
                        carried = found;
                    }
                }
                Err(_) => self.damage.response_malformed = true,
            }
        }
        if !fits && self.transport.method == "GET" {
            // Nothing but its stream could tell that it is one.
            self.candidates.retain(|candidate| candidate.sure);
        }
        self.chunk(carried, time);
    }

    fn chunk(&mut self, carried: Carried, time: Timestamp) {
        if carried == Carried::Nothing {
            return;
        }
        let content = carried == Carried::Content;
        self.streaming.chunks += 1;
        self.pace.chunk(time, content);
        if content {
            self.streaming.first_content.get_or_insert(time);
        }
    }

    /// What can only be said once it is known whether all of the answer was seen.
    fn set_streaming(&self, call: &mut Call, end: ExchangeEnd, ending: Ending, time: Timestamp) {
        call.streaming = Streaming {
            first_chunk: self.streaming.first_chunk.filter(|_| !self.missed_first_chunk),
            first_content: self.streaming.first_content.filter(|_| !self.missed_first_content),
            ..self.streaming
        };
        if self.damage.response.any() {
            return;
        }
        call.response.repetition = repetition::of_answer(call);
        if self.streaming.streamed {
            let broke_off = ending == Ending::Broken;
            self.pace.tell(broke_off.then_some(time), &mut call.streaming);
            call.streaming.stopped_by = if broke_off { pace::stopped_by(end, self.role) } else { None };
        }
    }

    fn end(&mut self, end: ExchangeEnd, time: Timestamp) -> Vec<Told> {
        let body = if self.streaming.streamed { None } else { self.response.take(&mut self.budget) };
        self.identify(body.as_deref().unwrap_or_default());
        if self.known == Known::NotYet {
            self.candidates.clear();
        }
        self.read_request(false);
        // Its head may be what is missing, so that nobody said so yet.
        self.damage.response.unknown |= end == ExchangeEnd::Unreadable;
        let status = self.transport.status;
        let mut read = false;
        if let (Some(body), Some(status)) = (body, status) {
            let body = Document::read(&body);
            for candidate in &mut self.candidates {
                let Candidate { fold, call, sure } = candidate;
                if status < 400 {
                    let fits = fold.response(&body, call, &mut self.budget).is_ok();
                    *sure |= fits;
                    read |= fits;
                } else if let Some(root) = body.root() {
                    call.error = fold.error(root, &mut self.budget);
                    read = true;
                }
            }
            // A proxy's error page and an answer that broke off are not the API's.
            let promised = status < 300 && end == ExchangeEnd::Complete;
            self.damage.response_malformed |= promised && !read;
        }
        let Some(at) = self.candidates.iter().position(|candidate| candidate.sure) else {
            self.account.add(Counter::ExchangesNotLlm, 1);
            return Vec::new();
        };
        let Candidate { mut fold, mut call, .. } = self.candidates.swap_remove(at);
        let terminated = if self.streaming.streamed {
            fold.terminated(&call) || end == ExchangeEnd::Complete && fold.ends_with_its_body()
        } else {
            read
        };
        let ending = self.ending(end, terminated);
        let damaged = self.damage.response.any();
        if self.streaming.streamed {
            // With a gap somewhere, the choice's last word may have been in it.
            let known = if damaged && ending == Ending::Broken { Ending::Unknown } else { ending };
            fold.finish(known, damaged, &mut call, &mut self.budget);
        } else {
            fold.finish(Ending::Whole, damaged, &mut call, &mut self.budget);
        }
        self.set_error(&mut call, end, ending);
        call.role = Some(self.role);
        call.start = self.start;
        call.end = if terminated && end != ExchangeEnd::Complete { self.last_byte } else { time };
        call.ended = Some(if terminated { ExchangeEnd::Complete } else { end });
        self.set_streaming(&mut call, end, ending, time);
        call.transport = std::mem::take(&mut self.transport);
        call.trace = self.trace.take();
        call.stated = std::mem::take(&mut self.stated);
        call.damage = self.damage;
        call.omitted = self.budget.omitted;
        let settled = fold.settled();
        self.count(&call, ending, settled.is_none());
        let Some(settled) = settled else { return vec![Told::Call(Box::new(call))] };
        let time = call.end;
        let told = self.tell(settled, &call, time);
        // Opened or closed a session, or only answered what the server had asked.
        self.account.add(Counter::ExchangesNotInference, u64::from(!self.has_told));
        told
    }

    fn ending(&self, end: ExchangeEnd, terminated: bool) -> Ending {
        match end {
            _ if terminated => Ending::Whole,
            // A stream whose connection ended well and that yet didn't say that it is over broke off behind
            // a proxy.
            ExchangeEnd::Complete if !self.streaming.streamed => Ending::Whole,
            // Bytes that make no sense are nearly always bytes that were lost: the call itself may be well.
            ExchangeEnd::CaptureEnd | ExchangeEnd::Unreadable => Ending::Unknown,
            _ if self.ends_in_gap => Ending::Unknown,
            _ => Ending::Broken,
        }
    }

    /// What the provider says went wrong, else the HTTP status, else how the call was cut short.
    fn set_error(&self, call: &mut Call, end: ExchangeEnd, ending: Ending) {
        let status = self.transport.status.filter(|status| *status >= 400);
        if status.is_some() || call.error.is_some() {
            let error = call.error.get_or_insert_default();
            if error.kind.is_empty() {
                error.kind = status.map_or_else(|| "_OTHER".to_owned(), |status| status.to_string());
            }
        } else if ending == Ending::Broken {
            let silent = self.transport.status.is_none()
                && self.streaming.first_chunk.is_none()
                && !self.damage.response.any();
            let kind = transport::failure(end, self.role, silent);
            call.error = Some(CallError { kind: kind.to_owned(), ..CallError::default() });
        }
    }

    fn count(&self, call: &Call, ending: Ending, is_call: bool) {
        let damage = &call.damage;
        let malformed = u64::from(damage.request_malformed) + u64::from(damage.response_malformed);
        let cut = ending == Ending::Broken || call.ended != Some(ExchangeEnd::Complete);
        self.account.add(Counter::Calls, u64::from(is_call));
        self.account.add(Counter::CallsCut, u64::from(cut && is_call));
        self.account.add(Counter::CallsDamaged, u64::from(damage.request.any() || damage.response.any()));
        self.account.add(Counter::BodiesMalformed, malformed);
        self.account.add(Counter::UnknownValues, self.budget.unknown);
        self.account.add(Counter::PartsOmitted, self.budget.omitted);
    }
}

impl Missed {
    fn add(&mut self, missing: Missing) {
        match missing.len {
            Some(len) if missing.cut => self.cut = self.cut.saturating_add(len),
            Some(len) => self.lost = self.lost.saturating_add(len),
            None => self.unknown = true,
        }
    }
}
