//! What of a recorded exchange goes over the wire in any protocol: fields without framing, bodies encoded and in parts.

use std::io::{self, Read, Write};

use super::{Encoding, Exchange};

/// A stored body is decoded up to this length, in bytes.
const MAX_DECODED: u64 = 256 << 20;

/// A request.
pub(super) struct Asked<'a> {
    pub method: &'a str,
    /// Without user information.
    pub authority: &'a str,
    /// Path with query.
    pub target: String,
    /// Without framing.
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: &'a [u8],
}

/// A response.
pub(super) struct Answered<'a> {
    pub status: u16,
    /// Without framing.
    pub fields: Vec<(&'a str, &'a str)>,
    pub body: Body,
}

/// The body of a response, as it is sent.
pub(super) enum Body {
    /// There can't be one.
    None,
    /// It is sent at once.
    Whole(Vec<u8>),
    /// It is sent in these parts.
    Streamed(Vec<Vec<u8>>),
}

/// The request of an exchange.
pub(super) fn asked(exchange: &Exchange) -> Asked<'_> {
    let request = &exchange.request;
    let (authority, target) = split_url(&request.url);
    let fields = fields(&request.headers).filter(|(name, _)| !is_framing(name)).collect();
    Asked { method: &request.method, authority, target, fields, body: &request.body }
}

/// The response of an exchange. A stored body that is really encoded is decoded before it is encoded anew; if it can't
/// be decoded it goes out as it was stored.
pub(super) fn answered(exchange: &Exchange, encoding: Encoding) -> Answered<'_> {
    let response = &exchange.response;
    let header = |name: &str| {
        response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    };
    let decoded = decode(header("content-encoding"), &response.body);
    let encode = decoded.is_some() && !response.body.is_empty() && encoding != Encoding::Identity;
    let keep_encoding = decoded.is_none();
    let mut fields: Vec<_> = fields(&response.headers)
        .filter(|(name, _)| {
            !is_framing(name) && (keep_encoding || !name.eq_ignore_ascii_case("content-encoding"))
        })
        .collect();
    if encode {
        fields.push(("content-encoding", encoding.name()));
    }
    let body = decoded.unwrap_or_else(|| response.body.clone());
    let encoding = if encode { encoding } else { Encoding::Identity };
    let bodiless = exchange.request.method == "HEAD" || matches!(response.status, 100..200 | 204 | 304);
    let media_type = header("content-type").and_then(|v| v.split(';').next()).unwrap_or_default().trim();
    let event_stream = media_type.eq_ignore_ascii_case("text/event-stream");
    let body = if bodiless {
        Body::None
    } else if event_stream || media_type.eq_ignore_ascii_case("application/x-ndjson") {
        let parts =
            if event_stream { events(&body) } else { body.split_inclusive(|b| *b == b'\n').collect() };
        let parts = encode_parts(encoding, &parts);
        Body::Streamed(parts.into_iter().filter(|part| !part.is_empty()).collect())
    } else {
        Body::Whole(encode_parts(encoding, &[&body]).concat())
    };
    Answered { status: response.status, fields, body }
}

fn fields(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    headers.iter().map(|(name, value)| (&**name, &**value))
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "trailer"].iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Authority without user information, and path with query.
pub(super) fn split_url(url: &str) -> (&str, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let slash = if target.starts_with('/') { "" } else { "/" };
    (authority, format!("{slash}{target}"))
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
