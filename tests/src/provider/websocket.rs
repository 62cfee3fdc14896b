//! A WebSocket's server side (RFC 6455) with permessage-deflate and context takeover in both directions (RFC 7692), for
//! OpenAI Responses and Realtime.

use std::{
    io,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use hyper::http::request::Parts;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::sleep,
};

use super::{
    answer::{Answer, Content},
    counted::Counted,
    realtime,
    record::{Ending, Facts, Protocol},
    responses,
    routes::{begun, headers, holds},
    script::Script,
    server::Link,
};

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// What ends a flushed DEFLATE block, and is left out of a message (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Longest message that is taken.
const LONGEST: usize = 64 << 20;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A WebSocket that a client asked for.
#[derive(Debug)]
pub struct Opening {
    path: String,
    headers: Vec<(String, String)>,
    authorized: bool,
    deflate: bool,
    /// The model of a Realtime session.
    realtime: Option<String>,
}

/// What a request to open one asks for, and the answer to it; `None` if it is no such request.
pub fn opening(head: &Parts) -> Option<(Opening, Answer)> {
    let realtime = head.uri.path() == "/v1/realtime";
    if !(realtime || head.uri.path() == "/v1/responses") || !holds(head, "upgrade", "websocket") {
        return None;
    }
    let key = head.headers.get("sec-websocket-key")?.to_str().ok()?;
    let opening = Opening {
        path: head.uri.path().to_owned(),
        headers: headers(head),
        authorized: holds(head, "authorization", "Bearer "),
        deflate: holds(head, "sec-websocket-extensions", "permessage-deflate"),
        realtime: realtime.then(|| realtime::model(head.uri.query().unwrap_or_default())),
    };
    let mut answer = Answer {
        status: 101,
        headers: vec![
            ("connection", "Upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-accept", accept(key)),
        ],
        content: Content::Plain(Bytes::new()),
        facts: Facts::default(),
        request_id: None,
        script: Script::default(),
    };
    if opening.deflate {
        // Without parameters, both sides keep their window from message to message.
        answer = answer.with("sec-websocket-extensions", "permessage-deflate");
    }
    Some((opening, answer))
}

/// RFC 6455, section 4.2.2.
fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()))
}

/// Answers every message that asks until the client closes; `read` is what it sent before this began.
pub async fn serve(io: Counted, read: Bytes, opening: Opening, link: &Link) -> Counted {
    let mut socket =
        Socket { io, read: BytesMut::from(&read[..]), deflate: opening.deflate.then(Deflate::new) };
    if let Some(model) = &opening.realtime
        && socket.send(TEXT, realtime::created(model).to_string().as_bytes()).await.is_err()
    {
        return socket.io;
    }
    // An error is a client that went away or that broke the protocol; either way the connection ends.
    while let Ok(Some(message)) = socket.receive().await {
        if exchange(&mut socket, &message, &opening, link).await.is_err() {
            break;
        }
    }
    socket.io
}

async fn exchange(socket: &mut Socket, message: &[u8], opening: &Opening, link: &Link) -> io::Result<()> {
    let request: Value = serde_json::from_slice(message).unwrap_or_default();
    if opening.realtime.is_some() {
        let (first, asks) = realtime::heard(&request);
        for event in first {
            socket.send(TEXT, event.to_string().as_bytes()).await?;
        }
        if !asks {
            return Ok(());
        }
    }
    let mut begun = begun(link, "GET", SystemTime::now());
    begun.protocol = Protocol::WebSocket;
    begun.path.clone_from(&opening.path);
    begun.request_headers.clone_from(&opening.headers);
    begun.request_body = message.to_vec();
    begun.status = 101;
    begun.streamed = true;
    let number = link.shared.open(begun);
    let answer = match &opening.realtime {
        Some(model) => realtime::answer(number, opening.authorized, model),
        None => responses::answer_message(number, opening.authorized, &request),
    };
    link.shared.update(number, |e| e.facts = answer.facts.clone());
    sleep(answer.script.late).await;
    let messages = responses::messages(&answer);
    let middle = messages.len() / 2;
    for (i, message) in messages.iter().enumerate() {
        if let Some(death) = answer.script.death.filter(|_| i == middle) {
            // Long enough for what was sent before to leave the machine's buffers.
            sleep(Duration::from_millis(30)).await;
            *link.fate.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(death);
            link.shared.update(number, |e| e.ending = Ending::Died(death));
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let sent = socket.send(TEXT, message).await;
        link.shared.update(number, |e| {
            let now = SystemTime::now();
            e.first_chunk.get_or_insert(now);
            e.last_chunk = Some(now);
            e.response_body.extend_from_slice(message);
            e.response_body.push(b'\n');
            e.events += 1;
            e.ending = match &sent {
                Err(_) => Ending::ClientGone,
                Ok(_) if i + 1 == messages.len() => Ending::Complete,
                Ok(_) => Ending::Running,
            };
            e.response_wire_len += *sent.as_ref().unwrap_or(&0) as u64;
        });
        sent?;
        if i + 1 < messages.len() {
            sleep(answer.script.slow).await;
        }
    }
    Ok(())
}

struct Socket {
    io: Counted,
    read: BytesMut,
    deflate: Option<Deflate>,
}

impl Socket {
    /// The next message; `None` once the client has closed.
    async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        let mut compressed = false;
        loop {
            let Some(frame) = self.frame().await? else { return Ok(None) };
            match frame.opcode {
                TEXT | BINARY | CONTINUATION => {
                    compressed |= frame.compressed;
                    message.extend_from_slice(&frame.payload);
                    if message.len() > LONGEST {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    if frame.last {
                        return match (&mut self.deflate, compressed) {
                            (Some(deflate), true) => deflate.expand(message).map(Some),
                            (_, false) => Ok(Some(message)),
                            (None, true) => Err(io::ErrorKind::InvalidData.into()),
                        };
                    }
                }
                PING => drop(self.send(PONG, &frame.payload).await?),
                CLOSE => {
                    self.send(CLOSE, &frame.payload).await?;
                    return Ok(None);
                }
                _ => {}
            }
        }
    }

    async fn frame(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.read)? {
                return Ok(Some(frame));
            }
            if self.io.read_buf(&mut self.read).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends one message in one frame; returns the length of the frame.
    async fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<usize> {
        let compressed = match &mut self.deflate {
            Some(deflate) if opcode < CLOSE => Some(deflate.squeeze(payload)?),
            _ => None,
        };
        let first = 0x80 | opcode | if compressed.is_some() { 0x40 } else { 0 };
        let payload = compressed.as_deref().unwrap_or(payload);
        let mut frame = vec![first];
        match payload.len() {
            n @ ..126 => frame.push(n as u8),
            n @ 126..=0xffff => {
                frame.push(126);
                frame.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                frame.push(127);
                frame.extend_from_slice(&(n as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        self.io.write_all(&frame).await?;
        self.io.flush().await?;
        Ok(frame.len())
    }
}

/// RFC 6455, section 5.2.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    last: bool,
    compressed: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl Frame {
    /// Takes a whole frame off what was read, if one is there.
    fn take(read: &mut BytesMut) -> io::Result<Option<Self>> {
        let [first, second, ..] = read[..] else { return Ok(None) };
        let (size, start) = match second & 0x7f {
            126 => match read.get(2..4).and_then(|n| n.try_into().ok()) {
                Some(n) => (usize::from(u16::from_be_bytes(n)), 4),
                None => return Ok(None),
            },
            127 => match read.get(2..10).and_then(|n| n.try_into().ok()) {
                Some(n) => (usize::try_from(u64::from_be_bytes(n)).unwrap_or(usize::MAX), 10),
                None => return Ok(None),
            },
            n => (usize::from(n), 2),
        };
        // A client masks all that it sends.
        if size > LONGEST || second & 0x80 == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read.len() < start + 4 + size {
            return Ok(None);
        }
        let frame = read.split_to(start + 4 + size);
        let (mask, payload) = frame[start..].split_at(4);
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        Ok(Some(Self {
            last: first & 0x80 != 0,
            compressed: first & 0x40 != 0,
            opcode: first & 0x0f,
            payload,
        }))
    }
}

/// Both directions' windows.
struct Deflate {
    out: Compress,
    back: Decompress,
}

impl Deflate {
    fn new() -> Self {
        Self { out: Compress::new(Compression::default(), false), back: Decompress::new(false) }
    }

    fn squeeze(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plain.len() + 64);
        let begin = self.out.total_in();
        loop {
            let consumed = (self.out.total_in() - begin) as usize;
            self.out
                .compress_vec(&plain[consumed..], &mut out, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            // With room left over, everything is out.
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(plain.len() + 64);
        }
        out.truncate(out.len() - TAIL.len());
        Ok(out)
    }

    fn expand(&mut self, mut squeezed: Vec<u8>) -> io::Result<Vec<u8>> {
        squeezed.extend_from_slice(&TAIL);
        let mut out = Vec::with_capacity(4 * squeezed.len());
        let begin = self.back.total_in();
        loop {
            let consumed = (self.back.total_in() - begin) as usize;
            self.back
                .decompress_vec(&squeezed[consumed..], &mut out, FlushDecompress::Sync)
                .map_err(io::Error::other)?;
            if out.len() < out.capacity() {
                return Ok(out);
            }
            if out.len() > LONGEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            out.reserve(out.len().max(256));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_key_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_are_taken_whole_and_unmasked() {
        // RFC 6455, section 5.7: "Hello" in one masked frame.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        for n in 0..hello.len() {
            assert_eq!(Frame::take(&mut BytesMut::from(&hello[..n])).unwrap(), None, "{n}");
        }
        let frame = Frame::take(&mut BytesMut::from(&hello[..])).unwrap().unwrap();
        assert_eq!(frame, Frame { last: true, compressed: false, opcode: TEXT, payload: b"Hello".to_vec() });
        assert!(Frame::take(&mut BytesMut::from(&[0x81, 0x05, b'H'][..])).is_err(), "not masked");
    }

    #[test]
    fn messages_share_a_window() {
        let (mut one, mut other) = (Deflate::new(), Deflate::new());
        let text = (0..2000).map(|i| i.to_string()).collect::<Vec<_>>().join(" ");
        let mut sizes = Vec::new();
        for _ in 0..3 {
            let squeezed = one.squeeze(text.as_bytes()).unwrap();
            sizes.push(squeezed.len());
            assert_eq!(other.expand(squeezed).unwrap(), text.as_bytes());
        }
        assert!(sizes[1] * 4 < sizes[0], "{sizes:?}");
        // RFC 7692, section 7.2.3.1: "Hello" compressed.
        let hello = vec![0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(Deflate::new().expand(hello).unwrap(), b"Hello");
    }
}
