//! A body on its way out: content encoding undone, event streams taken apart, limits kept.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{
    Body, Event, EventKind, ExchangeId, Headers, Limits, Missing,
    encoding::{Decoder, Stop},
    records::{LeftOut, Records, hand_on},
    sse::Sse,
};
use crate::{
    account::{Account, Counter},
    time::Timestamp,
};

/// Decoded bytes are collected up to this length before they are handed on.
const COLLECT: usize = 64 * 1024;

/// How much may become of a byte of an encoded stream, beyond the limit of bodies. Events of LLM APIs, which repeat each other, come to
/// a tenth or twentieth of their length.
const EXPANSION: u64 = 100;

/// Where the parts of a body go.
pub(super) struct Sink<'a> {
    pub out: &'a mut Vec<Event>,
    pub exchange: ExchangeId,
    pub time: Timestamp,
    /// Of the request; else of the response.
    pub request: bool,
}

impl Sink<'_> {
    pub fn put(&mut self, body: Body) {
        let kind = if self.request { EventKind::RequestBody(body) } else { EventKind::ResponseBody(body) };
        self.out.push(Event { exchange: self.exchange, time: self.time, kind });
    }

    pub fn missing(&mut self, len: Option<u64>, cut: bool) {
        self.put(Body::Missing(Missing { len, cut }));
    }
}

enum Coded {
    Plain,
    Encoded(Box<Decoder>),
    /// In an encoding that isn't known.
    Unknown,
    /// Its head is partial and names no encoding, so that there may be one. What has come of it, too little to tell.
    Untold(BytesMut),
}

/// Reads one body.
pub(super) struct BodyReader {
    account: Arc<Account>,
    coded: Coded,
    content: Content,
    /// Nothing more is read: the body is over its limit, or the rest can't be decoded.
    over: bool,
}

impl BodyReader {
    /// For the body that follows a head, of which some fields may be unknown.
    pub fn new(
        headers: &Headers,
        request: bool,
        partial: bool,
        limits: &Limits,
        account: &Arc<Account>,
    ) -> Self {
        let records = Records::of(headers, request, limits);
        let may_be_encoded = partial && records.as_ref().is_none_or(Records::may_be_encoded);
        let codings = headers.0.iter().filter(|h| &*h.name == "content-encoding").map(|h| &*h.value);
        let coded = match Decoder::new(codings) {
            Ok(None) if may_be_encoded && headers.get("content-encoding").is_none() => {
                Coded::Untold(BytesMut::new())
            }
            Ok(None) => Coded::Plain,
            Ok(Some(decoder)) => Coded::Encoded(Box::new(decoder)),
            Err(_) => Coded::Unknown,
        };
        let media_type = headers.get("content-type");
        let is_sse = |v: &str| {
            v.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
        };
        // Without a type the content tells, once it is known not to be encoded.
        let may_be_sse = !request && media_type.map_or(partial, is_sse);
        let sse = may_be_sse.then(|| Box::new(Sse::new(limits.event_bytes)));
        let content = Content {
            sse,
            records,
            left: limits.body_bytes,
            collected: BytesMut::new(),
            left_out: LeftOut::default(),
        };
        Self { account: account.clone(), coded, content, over: false }
    }

    /// The next bytes of the wire.
    pub fn data(&mut self, bytes: Bytes, sink: &mut Sink<'_>) {
        if self.over || bytes.is_empty() {
            return;
        }
        let bytes = match &mut self.coded {
            Coded::Untold(held) => {
                held.extend_from_slice(&bytes);
                let Some(told) = Told::of(held) else { return };
                let bytes = std::mem::take(held).freeze();
                self.told(told);
                bytes
            }
            _ => bytes,
        };
        self.content.came(bytes.len());
        let result = match &mut self.coded {
            Coded::Plain => self.content.put(bytes, sink),
            Coded::Unknown | Coded::Untold(_) => Err(Stop::Malformed),
            Coded::Encoded(decoder) => {
                let result = decoder.push(&bytes, &mut |part| self.content.collect(part, sink));
                self.content.flush(sink).and(result)
            }
        };
        self.settle(result, sink);
    }

    /// Bytes of the wire are missing here.
    pub fn gap(&mut self, len: Option<u64>, cut: bool, sink: &mut Sink<'_>) {
        if self.over {
            return;
        }
        // With what is held goes all before the gap, and behind it nothing can be told any more.
        let untold = matches!(self.coded, Coded::Untold(_));
        sink.missing(len.filter(|_| !untold), cut);
        if matches!(self.coded, Coded::Plain) {
            if let Some(sse) = &mut self.content.sse {
                sse.gap();
            }
            let lost = self.content.records.as_mut().is_some_and(|records| records.gap(len, sink).is_err());
            if lost {
                self.over = true;
                self.account.add(Counter::BodiesUndecoded, 1);
            }
        } else {
            self.over = true;
            self.account.add(Counter::BodiesUndecoded, 1);
        }
    }

    /// The body is complete.
    pub fn end(mut self, sink: &mut Sink<'_>) {
        if self.over {
            return;
        }
        if matches!(&self.coded, Coded::Untold(held) if !held.is_empty()) {
            self.settle(Err(Stop::Malformed), sink);
        } else if let Coded::Encoded(decoder) = &mut self.coded {
            let result = decoder.finish(&mut |part| self.content.collect(part, sink));
            let result = self.content.flush(sink).and(result);
            self.settle(result, sink);
        }
        if !self.over {
            let result = self.content.end(sink);
            self.settle(result, sink);
        }
    }

    /// About how many bytes it holds.
    pub fn held(&self) -> usize {
        let coded = match &self.coded {
            Coded::Plain | Coded::Unknown => 0,
            Coded::Encoded(decoder) => decoder.held(),
            Coded::Untold(held) => held.len(),
        };
        coded + self.content.held()
    }

    fn told(&mut self, told: Told) {
        self.coded = match told {
            Told::Events | Told::Json => Coded::Plain,
            Told::Neither => Coded::Unknown,
        };
        if told == Told::Json {
            self.content.sse = None;
        }
    }

    fn settle(&mut self, result: Result<(), Stop>, sink: &mut Sink<'_>) {
        let left_out = std::mem::take(&mut self.content.left_out);
        self.account.add(Counter::BodiesCut, u64::from(left_out.too_long));
        self.account.add(Counter::BodiesUndecoded, u64::from(left_out.undecoded));
        let Err(stop) = result else { return };
        self.over = true;
        self.account.add(
            match stop {
                Stop::Full => Counter::BodiesCut,
                Stop::Malformed => Counter::BodiesUndecoded,
            },
            1,
        );
        sink.missing(None, stop == Stop::Full);
        self.coded = Coded::Unknown;
        self.content.sse = None;
    }
}

/// What the beginning of a body tells of it where its head does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is an event stream, not encoded.
    Events,
    /// It is JSON, not encoded.
    Json,
    /// It may be anything.
    Neither,
}

impl Told {
    /// `None`: too little has come. All the encodings that there are begin with other bytes.
    fn of(bytes: &[u8]) -> Option<Self> {
        const ENOUGH: usize = 8;
        let beginning = &bytes[..bytes.len().min(ENOUGH)];
        if !beginning.iter().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
            return Some(Self::Neither);
        }
        if bytes.len() < ENOUGH {
            return None;
        }
        let fields: [&[u8]; 4] = [b"data:", b"event:", b"id:", b":"];
        Some(match beginning.first() {
            _ if fields.iter().any(|field| beginning.starts_with(field)) => Self::Events,
            Some(b'{' | b'[') => Self::Json,
            _ => Self::Neither,
        })
    }
}

/// The decoded side of a body.
struct Content {
    sse: Option<Box<Sse>>,
    records: Option<Records>,
    /// Decoded bytes that may still come.
    left: u64,
    collected: BytesMut,
    /// What could not be handed on since it was last counted.
    left_out: LeftOut,
}

impl Content {
    fn held(&self) -> usize {
        let records = self.records.as_ref().map_or(0, Records::held);
        self.sse.as_ref().map_or(0, |sse| sse.held()) + records + self.collected.len()
    }

    /// Bytes of the wire came. A stream is handed on event by event, each within its limit, so it may go on for as long as
    /// it likes, unless it is made of next to nothing.
    fn came(&mut self, len: usize) {
        if self.sse.is_some() || self.records.is_some() {
            self.left = self.left.saturating_add((len as u64).saturating_mul(EXPANSION));
        }
    }

    fn collect(&mut self, part: &[u8], sink: &mut Sink<'_>) -> Result<(), Stop> {
        self.collected.extend_from_slice(part);
        if self.collected.len() >= COLLECT { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: &mut Sink<'_>) -> Result<(), Stop> {
        if self.collected.is_empty() {
            return Ok(());
        }
        let bytes = self.collected.split().freeze();
        self.put(bytes, sink)
    }

    fn put(&mut self, mut bytes: Bytes, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let full = bytes.len() as u64 > self.left;
        if full {
            bytes.truncate(self.left as usize);
        }
        self.left -= bytes.len() as u64;
        match (&mut self.sse, &mut self.records) {
            _ if bytes.is_empty() => {}
            (Some(sse), _) => sse.push(bytes, &mut |found| hand_on(found, &mut self.left_out, sink)),
            (None, Some(records)) => records.push(bytes, &mut self.left_out, sink)?,
            (None, None) => sink.put(Body::Bytes(bytes)),
        }
        if full { Err(Stop::Full) } else { Ok(()) }
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Result<(), Stop> {
        let Some(records) = &mut self.records else { return Ok(()) };
        records.end(&mut self.left_out, sink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, encoding::tests::encode};

    const LIMITS: Limits = Limits {
        head_bytes: 1000,
        headers: 10,
        body_bytes: 20,
        event_bytes: 16,
        outstanding: 1,
        streams: 1,
        undecided_bytes: 1,
    };

    /// Headers, pieces, what is read, and what is counted.
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a [u8]], &'a str, [u64; 2]);

    /// `text` for bytes, `e(text)` for an event, `-?` and `-?cut` for what is missing.
    fn read(headers: &[(&str, &str)], pieces: &[&[u8]], limits: &Limits) -> (String, [u64; 2]) {
        let account = Arc::new(Account::default());
        let headers =
            Headers(headers.iter().map(|(n, v)| Header { name: (*n).into(), value: (*v).into() }).collect());
        let mut body = BodyReader::new(&headers, false, false, limits, &account);
        let mut out = Vec::new();
        let mut sink = Sink { out: &mut out, exchange: ExchangeId(0), time: Timestamp(0), request: false };
        for piece in pieces {
            match *piece {
                b"<gap>" => body.gap(Some(3), false, &mut sink),
                piece => body.data(Bytes::copy_from_slice(piece), &mut sink),
            }
        }
        body.end(&mut sink);
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let shown = out.iter().map(|event| match &event.kind {
            EventKind::ResponseBody(Body::Bytes(b)) => text(b),
            EventKind::ResponseBody(Body::Sse(e)) => format!("{}({})", e.event, text(&e.data)),
            EventKind::ResponseBody(Body::Missing(m)) => {
                let len = m.len.map_or("?".to_owned(), |n| n.to_string());
                format!("-{len}{}", if m.cut { "cut" } else { "" })
            }
            other => panic!("{other:?}"),
        });
        (shown.collect(), [account.get(Counter::BodiesCut), account.get(Counter::BodiesUndecoded)])
    }

    #[test]
    fn bodies() {
        const SSE: (&str, &str) = ("content-type", "Text/Event-Stream; charset=utf-8");
        const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
        const AWS: (&str, &str) = ("content-type", "application/vnd.amazon.eventstream");
        const GRPC: (&str, &str) = ("content-type", "application/grpc");
        let aws = crate::wire::eventstream::tests::message(&[], b"");
        let grpc = crate::wire::grpc::tests::message;
        let deflated = encode("deflate", b"ab");
        let gzip = ("content-encoding", "gzip");
        let zipped = |text: &str| encode("gzip", text.as_bytes());
        let (short, bomb, event) = (zipped("hello"), zipped(&"x".repeat(5000)), zipped("data: a\n\n"));
        let endless = zipped(&"data:\n\n".repeat(1 << 20));
        // What is left by the limits: so many events, and a part of one.
        let endless_cut = "()".repeat((20 + 100 * endless.len()) / 7) + "-?cut";
        let half = &short[..short.len() / 2];
        let xs = "x".repeat(20);
        let xs_cut = format!("{xs}-?cut");
        let table: &[Row<'_>] = &[
            (&[], &[b"ab", b"cd"], "abcd", [0, 0]),
            (&[], &[b"ab", b"<gap>", b"cd"], "ab-3cd", [0, 0]),
            (&[], &[xs.as_bytes()], &xs, [0, 0]),
            (&[], &[xs.as_bytes(), b"y", b"z", b"<gap>"], &xs_cut, [1, 0]),
            (&[gzip], &[&short], "hello", [0, 0]),
            (&[gzip], &[], "", [0, 0]),
            (&[gzip], &[b"{\"a\":1}"], "{\"a\":1}", [0, 0]),
            (&[gzip], &[&bomb], &xs_cut, [1, 0]),
            (&[gzip], &[b"<gap>", &short], "-3", [0, 1]),
            (&[gzip], &[half], "h-?", [0, 1]),
            (&[("content-encoding", "dcz")], &[b"ab", b"cd"], "-?", [0, 1]),
            (&[("content-encoding", "dcz")], &[], "", [0, 0]),
            (&[("content-encoding", "br")], &[b"{\"a\":\"bcdefghijkl\"}"], "-?", [0, 1]),
            (&[SSE], &[b"event: e\ndata: a\n\n"], "e(a)", [0, 0]),
            (&[SSE, gzip], &[&event], "(a)", [0, 0]),
            (&[SSE], &[b"da", b"<gap>", b"x\n\n", b"data:b\n\n"], "-3(b)", [0, 0]),
            (&[SSE], &[b"data:56789abcdefgh\n\n"], "-?cut", [1, 0]),
            (&[SSE], &[b"data: abcdefg\n\n", b"data: a\n\n", b"data: bcd\n\n"], "(abcdefg)(a)(bcd)", [0, 0]),
            (&[SSE, gzip], &[&endless], &endless_cut, [1, 0]),
            (
                &[NDJSON],
                &[b"{\"a\":\"67\"}\n", b"{\"a\":\"67\"}\n"],
                "({\"a\":\"67\"})({\"a\":\"67\"})",
                [0, 0],
            ),
            (&[NDJSON], &[b"{\"a\":1}\n{", b"}"], "({\"a\":1})({})", [0, 0]),
            (&[NDJSON, gzip], &[&zipped("{}\n[]")], "({})([])", [0, 0]),
            (&[NDJSON], &[b"{", b"<gap>", b"}\n[]\n"], "-3([])", [0, 0]),
            (&[NDJSON], &[b"{\"a\":\"6789abcde\"}\n[]"], "-?cut([])", [1, 0]),
            (&[AWS], &[&aws], "()", [0, 0]),
            (&[AWS], &[b"{\"message\":\"no\"}"], "-?", [0, 1]),
            (&[AWS], &[b"<gap>", &aws], "-3", [0, 1]),
            (&[GRPC], &[&grpc(0, b"one"), &grpc(0, b"two")], "(one)(two)", [0, 0]),
            (&[GRPC], &[&grpc(0, b"one")[..6]], "-?", [0, 1]),
            (&[GRPC, ("grpc-encoding", "deflate")], &[&grpc(1, &deflated)], "(ab)", [0, 0]),
            (&[GRPC], &[&grpc(1, b"ab"), &grpc(0, b"c")], "-?(c)", [0, 1]),
            (&[GRPC], &[&grpc(0, b"one")[..5], b"<gap>", &grpc(0, b"two")], "-3(two)", [0, 0]),
            (&[GRPC], &[&grpc(0, &[b'x'; 17])[..15], &[b'x'; 5]], "-?cut", [1, 0]),
            (&[GRPC], &[b"{\"message\":\"no\"}"], "-?", [0, 1]),
        ];
        for (headers, pieces, shown, counted) in table {
            assert_eq!(
                read(headers, pieces, &LIMITS),
                ((*shown).to_owned(), *counted),
                "{headers:?} {pieces:?}"
            );
        }
    }
}
