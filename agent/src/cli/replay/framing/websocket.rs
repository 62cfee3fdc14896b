//! WebSocket sessions (RFC 6455), with permessage-deflate (RFC 7692) if asked for.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::super::{Session, message::split_url, random::Random};
use crate::capture::Direction;

/// Fields that are said anew.
const HANDSHAKE: [&str; 6] = [
    "upgrade",
    "connection",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-accept",
    "sec-websocket-extensions",
];

/// What every compressed message ends with, and is left out of it (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The calls that move a session, in their order: those that open it, and one for each message, which a random source
/// takes apart into fragments.
pub(in super::super) fn session(
    session: &Session,
    compress: bool,
    masks: &mut Random,
    mut fragments: Option<Random>,
) -> Vec<(Direction, Bytes)> {
    let extension = session.response_headers.iter().find(|(name, _)| is(name, "sec-websocket-extensions"));
    let extension = extension.map_or("permessage-deflate", |(_, value)| value);
    let takeover =
        |side: &str| !extension.to_ascii_lowercase().contains(&format!("{side}_no_context_takeover"));
    let mut client = compress.then(|| Deflate::new(takeover("client")));
    let mut server = compress.then(|| Deflate::new(takeover("server")));
    let mut all = vec![
        (Direction::Sent, request(session, compress.then_some(extension))),
        (Direction::Received, response(session, compress.then_some(extension))),
    ];
    for message in &session.messages {
        let sent = message.direction == Direction::Sent;
        let deflate = if sent { &mut client } else { &mut server };
        let (data, compressed) = match deflate {
            Some(deflate) => (deflate.message(&message.data), true),
            None => (message.data.clone(), false),
        };
        let mut cut = data.len();
        if let Some(random) = &mut fragments
            && random.chance(0.3)
        {
            cut = random.size(data.len().max(1)).min(data.len());
        }
        let mut mask = || sent.then(|| (masks.next() as u32).to_be_bytes());
        let opcode = if message.text { 1 } else { 2 };
        let (first, second) = data.split_at(cut);
        let mut bytes = Vec::with_capacity(data.len() + 28);
        frame(&mut bytes, second.is_empty(), compressed, opcode, mask(), first);
        if !second.is_empty() {
            frame(&mut bytes, true, false, 9, mask(), b"between");
            frame(&mut bytes, true, false, 0, mask(), second);
        }
        all.push((message.direction, bytes.into()));
    }
    all
}

fn is(name: &str, other: &str) -> bool {
    name.eq_ignore_ascii_case(other)
}

fn request(session: &Session, extension: Option<&str>) -> Bytes {
    let (authority, target) = split_url(&session.url);
    let mut head = format!("GET {target} HTTP/1.1\r\n");
    if !authority.is_empty() {
        push(&mut head, "host", authority);
    }
    push(&mut head, "upgrade", "websocket");
    push(&mut head, "connection", "Upgrade");
    push(&mut head, "sec-websocket-key", "cGxhaW5zcGFuIHJlcGxheQ==");
    push(&mut head, "sec-websocket-version", "13");
    finish(head, &session.request_headers, extension)
}

fn response(session: &Session, extension: Option<&str>) -> Bytes {
    let mut head = "HTTP/1.1 101 \r\n".to_owned();
    push(&mut head, "upgrade", "websocket");
    push(&mut head, "connection", "Upgrade");
    finish(head, &session.response_headers, extension)
}

/// The fields that were recorded, and what is to be used of the extensions.
fn finish(mut head: String, fields: &[(String, String)], extension: Option<&str>) -> Bytes {
    let printable = |text: &str| !text.bytes().any(|byte| byte < b' ');
    for (name, value) in fields {
        let again = HANDSHAKE.iter().any(|field| is(name, field)) || is(name, "host");
        if !again && printable(name) && printable(value) {
            push(&mut head, name, value);
        }
    }
    if let Some(extension) = extension {
        push(&mut head, "sec-websocket-extensions", extension);
    }
    head.push_str("\r\n");
    head.into()
}

fn push(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

/// One frame (RFC 6455, section 5.2).
fn frame(out: &mut Vec<u8>, last: bool, compressed: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    out.push(u8::from(last) << 7 | u8::from(compressed) << 6 | opcode);
    let masked = u8::from(mask.is_some()) << 7;
    match payload.len() {
        len @ 0..=125 => out.push(masked + len as u8),
        len @ 126..=0xffff => {
            out.push(masked + 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(masked + 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    match mask {
        None => out.extend_from_slice(payload),
        Some(key) => {
            out.extend_from_slice(&key);
            out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
}

/// One side's messages, compressed.
struct Deflate {
    stream: Compress,
    /// Messages refer to those before.
    takeover: bool,
}

impl Deflate {
    fn new(takeover: bool) -> Self {
        Self { stream: Compress::new(Compression::fast(), false), takeover }
    }

    fn message(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut coded = Vec::with_capacity(plain.len() / 2 + 64);
        let before = self.stream.total_in();
        loop {
            let at = usize::try_from(self.stream.total_in() - before).unwrap_or(plain.len());
            // Memory is all that compressing can run out of.
            let status = self.stream.compress_vec(&plain[at..], &mut coded, FlushCompress::Sync);
            if status.is_err() || coded.len() < coded.capacity() {
                break;
            }
            coded.reserve(coded.len());
        }
        coded.truncate(coded.len() - if coded.ends_with(&TAIL) { TAIL.len() } else { 0 });
        if !self.takeover {
            self.stream.reset();
        }
        coded
    }
}
