//! HTTP/2 (RFC 9113): all exchanges at once, each on a stream, in frames that take turns.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    super::{
        message::{Answered, Asked, Body},
        random::Random,
    },
    hpack::Encoder,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest payload that every peer takes (RFC 9113, section 6.5.2).
const MAX_FRAME: usize = 16_384;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Fields that HTTP/2 has no use for (RFC 9113, section 8.2.2), or in another place.
const NOT_SENT: [&str; 6] = ["connection", "keep-alive", "proxy-connection", "upgrade", "te", "host"];

/// A message on its way.
struct Message {
    stream: u32,
    head: Option<Vec<(String, String)>>,
    parts: VecDeque<Bytes>,
}

/// The calls that write the requests, and those that read the responses. Without chance frames are as most peers send
/// them: none padded, no header block in parts, one message after the other.
pub(in super::super) fn calls(
    all: Vec<(Asked<'_>, Answered<'_>)>,
    mut random: Option<Random>,
) -> [Vec<Bytes>; 2] {
    let (mut requests, mut responses) = (VecDeque::new(), VecDeque::new());
    for (at, (asked, answered)) in all.into_iter().enumerate() {
        let stream = 2 * at as u32 + 1;
        requests.push_back(request(stream, &asked));
        responses.push_back(response(stream, answered));
    }
    // MAX_CONCURRENT_STREAMS and INITIAL_WINDOW_SIZE, and HEADER_TABLE_SIZE.
    let client = [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0, 4, 0, 16, 0, 0]), window(0)].concat();
    let mut sent = vec![[PREFACE, &client].concat().into()];
    let mut received = vec![
        Bytes::from(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0])),
        Bytes::from(frame(SETTINGS, ACK, 0, &[])),
    ];
    // Requests are numbered in the order in which they begin, responses begin in any.
    for (calls, messages, ordered) in [(&mut sent, requests, true), (&mut received, responses, false)] {
        let chance = random.as_mut().map(|random| Random::new(random.next(), 0));
        let encoder = Encoder::new(random.as_mut().map(|random| Random::new(random.next(), 1)));
        Writer { calls, encoder, random: chance }.messages(messages, ordered);
    }
    [sent, received]
}

fn request(stream: u32, asked: &Asked<'_>) -> Message {
    let host = asked.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = host.map_or(asked.authority, |(_, value)| value);
    let mut head = vec![(":method".to_owned(), asked.method.to_owned())];
    if asked.method != "CONNECT" {
        head.push((":scheme".to_owned(), "https".to_owned()));
        head.push((":path".to_owned(), asked.target.clone()));
    }
    head.push((":authority".to_owned(), authority.to_owned()));
    head.extend(sent_fields(&asked.fields));
    Message { stream, head: Some(head), parts: parts(&[asked.body]) }
}

fn response(stream: u32, answered: Answered<'_>) -> Message {
    let mut head = vec![(":status".to_owned(), answered.status.to_string())];
    head.extend(sent_fields(&answered.fields));
    let parts = match &answered.body {
        Body::None => VecDeque::new(),
        Body::Whole(body) => parts(&[body]),
        Body::Streamed(all) => parts(all),
    };
    Message { stream, head: Some(head), parts }
}

fn sent_fields(fields: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
        .filter(|(name, _)| !NOT_SENT.contains(&&**name))
}

fn parts(all: &[impl AsRef<[u8]>]) -> VecDeque<Bytes> {
    all.iter().flat_map(|part| part.as_ref().chunks(MAX_FRAME)).map(Bytes::copy_from_slice).collect()
}

/// Writes the frames of one direction.
struct Writer<'a> {
    calls: &'a mut Vec<Bytes>,
    encoder: Encoder,
    random: Option<Random>,
}

impl Writer<'_> {
    fn chance(&mut self, probability: f64) -> bool {
        self.random.as_mut().is_some_and(|random| random.chance(probability))
    }

    /// Up to `most`, which it is without chance.
    fn size(&mut self, most: usize) -> usize {
        self.random.as_mut().map_or(most, |random| random.size(most))
    }

    /// Writes messages that take turns.
    fn messages(&mut self, mut waiting: VecDeque<Message>, ordered: bool) {
        let mut open: Vec<Message> = Vec::new();
        loop {
            let begins = open.is_empty() || self.chance(0.3);
            if begins && !waiting.is_empty() {
                let which = if ordered || self.random.is_none() { 0 } else { self.size(waiting.len()) - 1 };
                open.extend(waiting.remove(which));
            }
            if open.is_empty() {
                return;
            }
            let which = if self.random.is_none() { 0 } else { self.size(open.len()) - 1 };
            // A request's number is given when it begins, so its head comes first.
            let which = open.iter().position(|message| message.head.is_some()).unwrap_or(which);
            if self.some(&mut open[which]) {
                open.remove(which);
            }
        }
    }

    /// Writes some of a message; true if that was all.
    fn some(&mut self, message: &mut Message) -> bool {
        if self.chance(0.1) {
            self.calls.push(window(message.stream).into());
            self.calls.push(frame(PING, 0, 0, b"plainspa").into());
        }
        let stream = message.stream;
        if let Some(head) = message.head.take() {
            let ends = message.parts.is_empty();
            self.block(stream, &head, ends);
            return ends;
        }
        let Some(mut part) = message.parts.pop_front() else { return true };
        let most = self.size(part.len());
        let now = part.split_to(most);
        if !part.is_empty() {
            message.parts.push_front(part);
        }
        let last = message.parts.is_empty();
        let trailers = last && self.chance(0.2);
        let ends = last && !trailers && !self.chance(0.2);
        self.data(stream, &now, ends);
        if trailers {
            self.block(stream, &[("checksum".to_owned(), "none".to_owned())], true);
        } else if last && !ends {
            self.calls.push(frame(DATA, END_STREAM, stream, &[]).into());
        }
        last
    }

    fn data(&mut self, stream: u32, data: &[u8], ends: bool) {
        let flags = if ends { END_STREAM } else { 0 };
        if data.len() < MAX_FRAME - 256 && self.chance(0.2) {
            let padding = self.size(255);
            let payload = [&[padding as u8], data, &vec![0; padding]].concat();
            self.calls.push(frame(DATA, flags | PADDED, stream, &payload).into());
        } else {
            self.calls.push(frame(DATA, flags, stream, data).into());
        }
    }

    fn block(&mut self, stream: u32, fields: &[(String, String)], ends: bool) {
        let block = self.encoder.block(fields.iter().map(|(name, value)| (&**name, &**value)));
        let mut rest = &block[..];
        let mut kind = HEADERS;
        let mut frames = Vec::new();
        while !rest.is_empty() || kind == HEADERS {
            let most = if self.chance(0.3) { self.size(rest.len()) } else { rest.len() };
            let (now, later) = rest.split_at(most.min(MAX_FRAME));
            let ends = if ends && kind == HEADERS { END_STREAM } else { 0 };
            let whole = if later.is_empty() { END_HEADERS } else { 0 };
            frames.extend(frame(kind, ends | whole, stream, now));
            (rest, kind) = (later, CONTINUATION);
        }
        self.calls.push(frames.into());
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn window(stream: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &(1u32 << 20).to_be_bytes())
}
