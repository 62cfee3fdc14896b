//! Protocols with frames.

use flate2::{Compress, Compression, FlushCompress};

use crate::{Pieces, bodies::EVENT};

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals (RFC 7541, section 6.2.1).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let literal = |(name, value): &(&str, &str)| {
        [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    fields.iter().flat_map(literal).collect()
}

const REQUEST: [(&str, &str); 3] = [(":method", "GET"), (":path", "/"), (":authority", "h")];

fn http2() -> Pieces {
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &[])[..]].concat();
    Pieces::default().sent(preface).received(frame(4, 0, 0, &[]))
}

fn exchange() -> Pieces {
    http2().sent(frame(1, 5, 1, &block(&REQUEST))).received(frame(1, 4, 1, &block(&[(":status", "200")])))
}

/// A frame a record.
pub fn http2_data(scale: usize) -> Pieces {
    let data = bytes::Bytes::from(frame(0, 0, 1, EVENT.as_bytes()));
    (0..100 * scale).fold(exchange(), |all, _| all.received(data.clone())).received(frame(0, 1, 1, &[]))
}

/// A byte a record, of frames with a byte each.
pub fn http2_single_bytes(scale: usize) -> Pieces {
    let data = frame(0, 0, 1, b"x").repeat(100 * scale);
    exchange().in_pieces(data, 1).received(frame(0, 1, 1, &[]))
}

/// Exchanges without bodies, a frame a record.
pub fn http2_heads(scale: usize) -> Pieces {
    let (request, response) = (block(&REQUEST), block(&[(":status", "200"), ("content-type", "text/plain")]));
    (0..50 * scale as u32).fold(http2(), |all, n| {
        all.sent(frame(1, 5, 2 * n + 1, &request)).received(frame(1, 5, 2 * n + 1, &response))
    })
}

/// One head in frames of a byte each, up to the limit.
pub fn http2_continuations(scale: usize) -> Pieces {
    let long = "y".repeat(100);
    let mut fields = block(&REQUEST);
    for _ in 0..scale {
        fields.extend(block(&[("x", &long)]));
    }
    let mut frames = frame(1, 1, 1, &fields[..1]);
    let count = fields.len() - 1;
    for (at, byte) in fields[1..].iter().enumerate() {
        frames.extend(frame(9, if at + 1 == count { 4 } else { 0 }, 1, &[*byte]));
    }
    http2().sent(frames)
}

fn session(extensions: &str) -> Pieces {
    let request =
        "GET /v1/responses HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    let response = format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n{extensions}\r\n");
    Pieces::default().sent(request).received(response)
}

/// A frame of a WebSocket (RFC 6455, section 5.2).
fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    match u16::try_from(payload.len()) {
        Ok(n @ 0..=125) => [&[first, n as u8], payload].concat(),
        Ok(n) => [&[first, 126], &n.to_be_bytes()[..], payload].concat(),
        Err(_) => [&[first, 127], &(payload.len() as u64).to_be_bytes()[..], payload].concat(),
    }
}

/// What asks for the answers, masked with zeros.
fn asked(pieces: Pieces) -> Pieces {
    let asks = br#"{"type":"response.create","input":"x"}"#;
    pieces.sent([&[0x81, 0x80 | asks.len() as u8, 0, 0, 0, 0], &asks[..]].concat())
}

const DELTA: &str = r#"{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":" hello"}"#;

/// A message a record.
pub fn websocket(scale: usize) -> Pieces {
    let delta = bytes::Bytes::from(message(0x81, DELTA.as_bytes()));
    (0..200 * scale).fold(asked(session("")), |all, _| all.received(delta.clone()))
}

/// One message in fragments of a byte.
pub fn websocket_fragments(scale: usize) -> Pieces {
    let fragments = [message(1, b"{"), message(0, b" ").repeat(4096 * scale), message(0x80, b"}")].concat();
    asked(session("")).in_pieces(fragments, 4096)
}

/// Compressed messages, a record each, that refer to those before.
pub fn websocket_deflate(scale: usize) -> Pieces {
    let mut compress = Compress::new(Compression::default(), false);
    let pieces = asked(session("sec-websocket-extensions: permessage-deflate\r\n"));
    (0..200 * scale).fold(pieces, |all, n| {
        let text = DELTA.replace(" hello", &format!(" word {n}"));
        let mut out = Vec::with_capacity(1024);
        // There is room for all of it.
        let _ = compress.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync);
        out.truncate(out.len().saturating_sub(4));
        all.received(message(0xc1, &out))
    })
}
