//! Exchanges over HTTP/1.1, with bodies of all kinds.

use std::io::Write;

use crate::Pieces;

/// A piece as large as most reads of a TLS library: a record (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// An event of a stream; nothing in it is special.
pub const EVENT: &str = r#"{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1741569952,"model":"gpt-4.1-mini","choices":[{"index":0,"delta":{"content":" hello"},"logprobs":null,"finish_reason":null}],"usage":null}"#;

/// A request, and the head of its response with these fields.
fn asked(fields: &str) -> Pieces {
    Pieces::default()
        .sent("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
        .received(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
}

/// A response with a body of this length.
fn answered(fields: &str, len: usize) -> Pieces {
    asked(&format!("{fields}content-length: {len}\r\n"))
}

/// A response with this body, in pieces of this size.
fn with_body(fields: &str, body: Vec<u8>, size: usize) -> Pieces {
    answered(fields, body.len()).in_pieces(body, size)
}

/// Text that can be compressed, though not to nothing.
fn text(len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + EVENT.len() + 8);
    let mut n = 1u32;
    while text.len() < len {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend(format!("{n:x}").bytes());
        text.extend_from_slice(&EVENT.as_bytes()[..(n >> 25) as usize]);
    }
    text.truncate(len);
    text
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

/// A chunk a record.
pub fn chunked(scale: usize) -> Pieces {
    let pieces = asked("transfer-encoding: chunked\r\n");
    let chunk = bytes::Bytes::from(chunk(EVENT.as_bytes()));
    (0..100 * scale).fold(pieces, |pieces, _| pieces.received(chunk.clone())).received("0\r\n\r\n")
}

/// Chunks that are more framing than data.
pub fn small_chunks(scale: usize) -> Pieces {
    let body = [chunk(b"x").repeat(4096 * scale), b"0\r\n\r\n".to_vec()].concat();
    asked("transfer-encoding: chunked\r\n").in_pieces(body, RECORD)
}

/// A body whose every byte is a record.
pub fn single_bytes(scale: usize) -> Pieces {
    with_body("", text(1024 * scale), 1)
}

/// A head up to the limit, whose every byte is a record.
pub fn long_head(scale: usize) -> Pieces {
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "y".repeat(1000 * scale));
    Pieces::default().sent("GET / HTTP/1.1\r\nhost: h\r\n\r\n").in_pieces(head, 1)
}

/// Exchanges with small heads and bodies, sixteen at once.
pub fn many_requests(scale: usize) -> Pieces {
    let request = "GET /a HTTP/1.1\r\nhost: h\r\naccept: */*\r\n\r\n".repeat(16);
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".repeat(16);
    (0..4 * scale).fold(Pieces::default(), |all, _| all.sent(request.clone()).received(response.clone()))
}

const SSE: &str = "content-type: text/event-stream\r\n";

/// Events, some in a record.
pub fn sse(scale: usize) -> Pieces {
    with_body(SSE, format!("data: {EVENT}\n\n").repeat(100 * scale).into_bytes(), 2048)
}

/// One event, in small records.
pub fn one_sse_event(scale: usize) -> Pieces {
    let body = [b"data: ", &text(64 * 1024 * scale)[..], b"\n\n"].concat();
    with_body(SSE, body, 512)
}

/// One event of short lines.
pub fn many_sse_lines(scale: usize) -> Pieces {
    with_body(SSE, ["data:x\n".repeat(4096 * scale).as_bytes(), b"\n"].concat(), RECORD)
}

const NDJSON: &str = "content-type: application/x-ndjson\r\n";

/// Lines, some in a record.
pub fn ndjson(scale: usize) -> Pieces {
    with_body(NDJSON, format!("{EVENT}\n").repeat(100 * scale).into_bytes(), 2048)
}

/// One line, in small records.
pub fn one_line(scale: usize) -> Pieces {
    with_body(NDJSON, text(64 * 1024 * scale), 512)
}

const EVENTSTREAM: &str = "content-type: application/vnd.amazon.eventstream\r\n";

/// A message of an AWS event stream.
fn message(payload: &[u8]) -> Vec<u8> {
    let headers =
        [b"\x0b:event-type\x07\0\x05chunk".as_slice(), b"\x0d:content-type\x07\0\x10application/json"]
            .concat();
    let lens = [16 + headers.len() + payload.len(), headers.len()];
    let mut bytes: Vec<u8> = lens.iter().flat_map(|len| (*len as u32).to_be_bytes()).collect();
    bytes.extend(sum(&bytes));
    bytes.extend([&headers, payload].concat());
    bytes.extend(sum(&bytes));
    bytes
}

fn sum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// Messages, some in a record.
pub fn eventstream(scale: usize) -> Pieces {
    with_body(EVENTSTREAM, message(EVENT.as_bytes()).repeat(100 * scale), 2048)
}

/// One message, in small records.
pub fn one_message(scale: usize) -> Pieces {
    with_body(EVENTSTREAM, message(&text(64 * 1024 * scale)), 512)
}

/// A form of these parts, sent in pieces of this size.
fn form(parts: &str, size: usize) -> Pieces {
    let body = format!("{parts}--b--\r\n");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    body.as_bytes().chunks(size).fold(Pieces::default().sent(head), |all, piece| all.sent(piece.to_vec()))
}

/// Small fields.
pub fn form_fields(scale: usize) -> Pieces {
    let field = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n";
    form(&field.repeat(100 * scale), RECORD)
}

/// A file that is full of what may be the beginning of a delimiter, each byte a record.
pub fn form_file(scale: usize) -> Pieces {
    let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n";
    form(&[head, &"\r\n--".repeat(256 * scale), "\r\n"].concat(), 1)
}

// Writing to memory does not fail.
fn gzipped(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let _ = encoder.write_all(text);
    encoder.finish().unwrap_or_default()
}

fn brotlied(text: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    let _ = encoder.write_all(text);
    encoder.into_inner()
}

fn zstded(text: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(text, 3).unwrap_or_default()
}

/// A compressed body in records as they are.
pub fn gzip(scale: usize) -> Pieces {
    with_body("content-encoding: gzip\r\n", gzipped(&text(64 * 1024 * scale)), RECORD)
}

/// And in records of one byte.
pub fn gzip_single_bytes(scale: usize) -> Pieces {
    with_body("content-encoding: gzip\r\n", gzipped(&text(4096 * scale)), 1)
}

/// A compressed body in records as they are.
pub fn brotli(scale: usize) -> Pieces {
    with_body("content-encoding: br\r\n", brotlied(&text(64 * 1024 * scale)), RECORD)
}

/// And in records of one byte.
pub fn brotli_single_bytes(scale: usize) -> Pieces {
    with_body("content-encoding: br\r\n", brotlied(&text(4096 * scale)), 1)
}

/// A compressed body in records as they are.
pub fn zstd(scale: usize) -> Pieces {
    with_body("content-encoding: zstd\r\n", zstded(&text(64 * 1024 * scale)), RECORD)
}

/// And in records of one byte.
pub fn zstd_single_bytes(scale: usize) -> Pieces {
    with_body("content-encoding: zstd\r\n", zstded(&text(4096 * scale)), 1)
}
