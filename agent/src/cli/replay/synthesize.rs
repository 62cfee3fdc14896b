//! From a recorded exchange to the records of a capture: HTTP/1.1 messages, cut as the options say.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};

use super::{Encoding, Exchange, ReplayOptions, Split, random::Random};
use crate::{
    capture::{Close, CloseReason, ConnectionId, Data, Direction, Process, Record},
    time::Timestamp,
};

/// 2026-01-01T00:00:00Z, at which every replayed connection begins.
const BASE: u64 = 1_767_225_600_000_000_000;

/// From one record to the next.
const STEP: u64 = 1_000_000;

/// Plaintext of the largest TLS record (RFC 8446, section 5.1).
const CALL: usize = 16 * 1024;

/// A stored body is decoded up to this length, in bytes.
const MAX_DECODED: u64 = 256 << 20;

/// The records that a capture of the exchange on a connection of its own would have made.
///
/// Framing headers are rewritten to fit. A stored body that is really encoded is decoded before it is
/// encoded anew; if it can't be decoded it goes out as it was stored.
pub fn records(exchange: &Exchange, connection: ConnectionId, options: &ReplayOptions) -> Vec<Record> {
    let seed = if let Split::Random(seed) = options.split { seed } else { 0 };
    let mut cuts = Random::new(seed, connection.0);
    let mut drops = Random::new(!seed, connection.0);
    let mut records = Vec::new();
    let mut totals = [0, 0];
    let mut time = BASE;
    let ways =
        [(Direction::Sent, request(exchange)), (Direction::Received, response(exchange, options.encoding))];
    for ((direction, calls), total) in ways.into_iter().zip(&mut totals) {
        for bytes in cut(calls, options.split, &mut cuts) {
            let offset = *total;
            *total += bytes.len() as u64;
            if !drops.chance(options.drop) {
                records.push(Record::Data(Data {
                    connection,
                    process: Process { pid: 0, tid: 0 },
                    direction,
                    time: Timestamp(time),
                    offset,
                    skipped: 0,
                    call_len: bytes.len() as u32,
                    epoch: 0,
                    cut: false,
                    bytes,
                }));
            }
            time += STEP;
        }
    }
    let [sent, received] = totals.map(Some);
    let time = Timestamp(time);
    records.push(Record::Close(Close {
        connection,
        time,
        reason: CloseReason::Freed,
        sent,
        received,
        skipped: [0; 2],
    }));
    records
}

/// Cuts the calls of one direction.
fn cut(calls: Vec<Bytes>, split: Split, random: &mut Random) -> Vec<Bytes> {
    let joined = || {
        let mut all = BytesMut::with_capacity(calls.iter().map(Bytes::len).sum());
        for call in &calls {
            all.extend_from_slice(call);
        }
        all.freeze()
    };
    match split {
        Split::Calls => calls.into_iter().flat_map(|call| pieces(call, || CALL)).collect(),
        Split::Every(n) => pieces(joined(), || n),
        Split::Random(_) => {
            // Small and large pieces both, in different streams.
            let most = 4usize << (random.next() % 13);
            pieces(joined(), || random.size(most))
        }
    }
}

fn pieces(mut bytes: Bytes, mut size: impl FnMut() -> usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(bytes.split_to(size().clamp(1, bytes.len())));
    }
    all
}

/// The calls that write the request: its head, and its body.
fn request(exchange: &Exchange) -> Vec<Bytes> {
    let request = &exchange.request;
    let (authority, target) = split_url(&request.url);
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method);
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        push_header(&mut head, "host", authority);
    }
    push_headers(&mut head, &request.headers, |name| !is_framing(name));
    if !request.body.is_empty() || !matches!(&*request.method, "GET" | "HEAD" | "DELETE" | "OPTIONS") {
        push_header(&mut head, "content-length", &request.body.len().to_string());
    }
    head.push_str("\r\n");
    vec![head.into(), Bytes::copy_from_slice(&request.body)]
}

/// The calls that read the response: its head, and its body or the chunks of it.
fn response(exchange: &Exchange, encoding: Encoding) -> Vec<Bytes> {
    let response = &exchange.response;
    let header = |name: &str| {
        response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    };
    let mut head = format!("HTTP/1.1 {} \r\n", response.status);
    let decoded = decode(header("content-encoding"), &response.body);
    let encode = decoded.is_some() && !response.body.is_empty() && encoding != Encoding::Identity;
    let keep_encoding = decoded.is_none();
    push_headers(&mut head, &response.headers, |name| {
        !is_framing(name) && (keep_encoding || !name.eq_ignore_ascii_case("content-encoding"))
    });
    if encode {
        push_header(&mut head, "content-encoding", encoding.name());
    }
    let body = decoded.unwrap_or_else(|| response.body.clone());
    let encoding = if encode { encoding } else { Encoding::Identity };
    let bodiless = exchange.request.method == "HEAD" || matches!(response.status, 100..200 | 204 | 304);
    let media_type = header("content-type").and_then(|v| v.split(';').next()).unwrap_or_default().trim();
    let event_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    if bodiless {
        head.push_str("\r\n");
        vec![head.into()]
    } else if event_stream || media_type.eq_ignore_ascii_case("application/x-ndjson") {
        head.push_str("transfer-encoding: chunked\r\n\r\n");
        let parts =
            if event_stream { events(&body) } else { body.split_inclusive(|b| *b == b'\n').collect() };
        let mut calls = vec![head.into()];
        calls.extend(encode_parts(encoding, &parts).into_iter().filter(|p| !p.is_empty()).map(|p| chunk(&p)));
        calls.push(Bytes::from_static(b"0\r\n\r\n"));
        calls
    } else {
        let body = encode_parts(encoding, &[&body]).concat();
        push_header(&mut head, "content-length", &body.len().to_string());
        head.push_str("\r\n");
        vec![head.into(), body.into()]
    }
}

fn push_headers(head: &mut String, headers: &[(String, String)], keep: impl Fn(&str) -> bool) {
    for (name, value) in headers.iter().filter(|(name, _)| keep(name)) {
        push_header(head, name, value);
    }
}

fn push_header(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "trailer"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Authority without user information, and path with query.
fn split_url(url: &str) -> (&str, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let slash = if target.starts_with('/') { "" } else { "/" };
    (authority, format!("{slash}{target}"))
}

fn chunk(data: &[u8]) -> Bytes {
    let mut framed = BytesMut::from(&*format!("{:x}\r\n", data.len()));
    framed.extend_from_slice(data);
    framed.extend_from_slice(b"\r\n");
    framed.freeze()
}

/// The events of a stream, each with the blank line that ends it.
fn events(body: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    let (mut begin, mut line) = (0, 0);
    while let Some(end) = memchr::memchr2(b'\n', b'\r', &body[line..]).map(|at| line + at) {
        let blank = end == line && line > begin;
        line = end + if body[end..].starts_with(b"\r\n") { 2 } else { 1 };
        if blank {
            all.push(&body[begin..line]);
            begin = line;
        }
    }
    if begin < body.len() {
        all.push(&body[begin..]);
    }
    all
}

/// Undoes the encoding that a body was really stored in; `None` if that can't be done.
///
/// Many recorders store the decoded body under the header of the encoded one, so the first bytes decide.
fn decode(header: Option<&str>, body: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let header = header.unwrap_or_default().trim().to_ascii_lowercase();
    let read = match &*header {
        "gzip" | "x-gzip" if body.starts_with(&[0x1f, 0x8b]) => {
            flate2::read::MultiGzDecoder::new(body).take(MAX_DECODED).read_to_end(&mut decoded)
        }
        "zstd" if body.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) => zstd::stream::read::Decoder::new(body)
            .and_then(|decoder| decoder.take(MAX_DECODED).read_to_end(&mut decoded)),
        "" | "identity" | "gzip" | "x-gzip" | "zstd" => return Some(body.to_vec()),
        "deflate" => flate2::read::ZlibDecoder::new(body).take(MAX_DECODED).read_to_end(&mut decoded),
        "br" => brotli::Decompressor::new(body, 4096).take(MAX_DECODED).read_to_end(&mut decoded),
        _ => return None,
    };
    read.ok().filter(|n| (*n as u64) < MAX_DECODED).map(|_| decoded)
}

/// Encodes a body part by part, flushed after each as a server that streams does; one more part ends it.
fn encode_parts(encoding: Encoding, parts: &[&[u8]]) -> Vec<Vec<u8>> {
    let encoded = match encoding {
        Encoding::Identity => Ok(parts.iter().map(|part| part.to_vec()).collect()),
        Encoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            write_parts(&mut encoder, parts, |e| std::mem::take(e.get_mut())).and_then(|mut all| {
                all.push(encoder.finish()?);
                Ok(all)
            })
        }
        Encoding::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 18);
            write_parts(&mut encoder, parts, |e| std::mem::take(e.get_mut())).map(|mut all| {
                all.push(encoder.into_inner());
                all
            })
        }
        Encoding::Zstd => zstd::stream::write::Encoder::new(Vec::new(), 1).and_then(|mut encoder| {
            let mut all = write_parts(&mut encoder, parts, |e| std::mem::take(e.get_mut()))?;
            all.push(encoder.finish()?);
            Ok(all)
        }),
    };
    // Writing to memory does not fail.
    encoded.unwrap_or_default()
}

fn write_parts<E: Write>(
    encoder: &mut E,
    parts: &[&[u8]],
    mut written: impl FnMut(&mut E) -> Vec<u8>,
) -> io::Result<Vec<Vec<u8>>> {
    let mut all = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        encoder.write_all(part)?;
        encoder.flush()?;
        all.push(written(encoder));
    }
    Ok(all)
}
