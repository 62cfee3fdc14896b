//! Bodies that are made of records: lines, messages, the parts of a form.

use bytes::Bytes;

use super::{
    Body, Headers, Limits, body::Sink, encoding::Stop, event::SseEvent, eventstream, grpc,
    multipart::Multipart, ndjson::Lines, sse::Found,
};

/// What was left out of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// A record over the limit.
    pub too_long: bool,
    /// A record that could not be decoded.
    pub undecoded: bool,
}

/// Streams of events other than server-sent ones, and forms.
pub(super) enum Records {
    Lines(Lines),
    EventStream(Box<eventstream::Messages>),
    Grpc(Box<grpc::Messages>),
    Parts(Box<Multipart>),
}

impl Records {
    /// By the head.
    pub fn of(headers: &Headers, request: bool, limits: &Limits) -> Option<Self> {
        let content_type = headers.get("content-type")?;
        let limit = limits.event_bytes;
        if let Some(messages) = grpc::Messages::of(headers, limit, limits.body_bytes) {
            return Some(Self::Grpc(Box::new(messages)));
        }
        if request {
            return Multipart::of(content_type).map(|parts| Self::Parts(Box::new(parts)));
        }
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Some(match media_type.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            // What Cohere calls them.
            | "application/stream+json" => Self::Lines(Lines::new(limit)),
            "application/vnd.amazon.eventstream" => {
                Self::EventStream(Box::new(eventstream::Messages::new(limit)))
            }
            _ => return None,
        })
    }

    /// Can the body be encoded as a whole? gRPC compresses each message for itself.
    pub fn may_be_encoded(&self) -> bool {
        !matches!(self, Self::Grpc(_))
    }

    /// About how many bytes are held.
    pub fn held(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.held(),
            Self::EventStream(messages) => messages.held(),
            Self::Grpc(messages) => messages.held(),
            Self::Parts(parts) => parts.held(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: Bytes, left_out: &mut LeftOut, sink: &mut Sink<'_>) -> Result<(), Stop> {
        match self {
            Self::Lines(lines) => lines.push(bytes, &mut |found| hand_on(found, left_out, sink)),
            Self::EventStream(messages) => {
                let found = &mut |found| hand_on(found, left_out, sink);
                messages.push(bytes, found).map_err(|_| Stop::Malformed)?;
            }
            Self::Grpc(messages) => messages.push(bytes, &mut |found| message(found, left_out, sink))?,
            Self::Parts(parts) => parts.push(bytes, &mut |part| sink.put(Body::Part(part))),
        }
        Ok(())
    }

    /// Bytes are missing here; fails if nothing behind them can be read.
    pub fn gap(&mut self, len: Option<u64>, sink: &mut Sink<'_>) -> Result<(), Stop> {
        match self {
            Self::Lines(lines) => lines.gap(),
            Self::EventStream(messages) => messages.gap(len).map_err(|_| Stop::Malformed)?,
            Self::Grpc(messages) => messages.gap(len)?,
            Self::Parts(parts) => parts.gap(&mut |part| sink.put(Body::Part(part))),
        }
        Ok(())
    }

    /// The body is complete.
    pub fn end(&mut self, left_out: &mut LeftOut, sink: &mut Sink<'_>) -> Result<(), Stop> {
        match self {
            Self::Lines(lines) => lines.end(&mut |found| hand_on(found, left_out, sink)),
            Self::Grpc(messages) => messages.end()?,
            Self::EventStream(_) | Self::Parts(_) => {}
        }
        Ok(())
    }
}

/// Hands an event on.
pub(super) fn hand_on(found: Found, left_out: &mut LeftOut, sink: &mut Sink<'_>) {
    match found {
        Found::Event(event) => sink.put(Body::Sse(event)),
        Found::TooLong => {
            left_out.too_long = true;
            sink.missing(None, true);
        }
    }
}

fn message(found: grpc::Found, left_out: &mut LeftOut, sink: &mut Sink<'_>) {
    match found {
        grpc::Found::Message(data) => sink.put(Body::Sse(SseEvent { event: Box::default(), data })),
        grpc::Found::TooLong => hand_on(Found::TooLong, left_out, sink),
        grpc::Found::Undecoded => {
            left_out.undecoded = true;
            sink.missing(None, false);
        }
    }
}
