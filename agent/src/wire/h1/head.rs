//! Heads: collecting their bytes, parsing them, and what they say about the body (RFC 9112).

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr_iter;

use super::framing::Framing;
use crate::{
    time::Timestamp,
    wire::{
        Headers, Limits, RequestHead, ResponseHead, Role, Version,
        credentials::{clean_authority, clean_query},
        fields::{clean_header, split_target},
    },
};

/// What may begin on a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Request,
    Response,
    /// Which side this is isn't known yet.
    Either,
}

/// What became of the bytes of a head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// The input is used up.
    More,
    /// A whole head, with the blank line, and when its first byte was moved.
    Head(Bytes, Timestamp),
    /// No head begins like this, or it is over the limit; so many bytes that were held are thrown away.
    Refused(u64),
}

/// Collects the bytes of a head, each looked at once however they are cut.
#[derive(Debug, Default)]
pub(super) struct Collector {
    held: BytesMut,
    since: Timestamp,
}

impl Collector {
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes that are held for a head that is not whole.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Forgets what is held, and says how much it was.
    pub fn clear(&mut self) -> u64 {
        std::mem::take(&mut self.held).len() as u64
    }

    /// Takes what belongs to the head off `input`.
    pub fn feed(&mut self, input: &mut Bytes, time: Timestamp, expect: Expect, limit: usize) -> Collected {
        if self.held.is_empty() {
            // RFC 9112, section 2.2: empty lines before a request line are ignored.
            while matches!(input.first(), Some(b'\r' | b'\n')) {
                input.advance(1);
            }
            if input.is_empty() {
                return Collected::More;
            }
            self.since = time;
            let window = &input[..input.len().min(limit)];
            if !may_begin(window, expect) {
                return Collected::Refused(0);
            }
            if let Some(end) = head_end(window, 0) {
                return Collected::Head(input.split_to(end), time);
            }
        }
        let old = self.held.len();
        let n = input.len().min(limit - old);
        self.held.extend_from_slice(&input[..n]);
        if old < PREFIX && !may_begin(&self.held, expect) {
            return Collected::Refused(self.refuse(old));
        }
        if let Some(end) = head_end(&self.held, old) {
            input.advance(end - old);
            self.held.truncate(end);
            return Collected::Head(self.held.split().freeze(), self.since);
        }
        if self.held.len() >= limit {
            return Collected::Refused(self.refuse(old));
        }
        input.advance(n);
        Collected::More
    }

    /// Forgets what is held; the part that came with the input, which is still there, is not counted twice.
    fn refuse(&mut self, old: usize) -> u64 {
        self.clear();
        old as u64
    }
}

/// Bytes after which it is clear whether a head may begin like this.
const PREFIX: usize = 32;

/// Could a head begin with these bytes?
fn may_begin(bytes: &[u8], expect: Expect) -> bool {
    let response = {
        let want = b"HTTP/1.";
        let n = bytes.len().min(want.len());
        bytes[..n] == want[..n]
    };
    match expect {
        Expect::Request => may_begin_request(bytes),
        Expect::Response => response,
        Expect::Either => response || may_begin_request(bytes),
    }
}

/// A method in capitals, a space, and the beginning of a target.
fn may_begin_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')).count();
    match bytes.get(method) {
        None => method < PREFIX - 2,
        Some(b' ') if method > 0 && method < PREFIX - 2 => {
            bytes.get(method + 1).is_none_or(|b| matches!(b, b'/' | b'*' | b'[') || b.is_ascii_alphanumeric())
        }
        Some(_) => false,
    }
}

/// The end of the blank line that ends a head, if its line feed is at `from` or later.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr_iter(b'\n', &bytes[from..]).map(|i| from + i).find_map(|i| {
        let before = &bytes[..i];
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        before.ends_with(b"\n").then_some(i + 1)
    })
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is the beginning of the HTTP/2 connection preface (RFC 9113, section 3.4).
    Http2Preface,
    /// It is not HTTP/1.x, or over the limits, or its framing contradicts itself.
    Malformed,
}

/// What a request's method means for the response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// A parsed request head.
pub(super) struct Request {
    pub head: Box<RequestHead>,
    pub method: Method,
    pub framing: Framing,
}

/// A parsed response head.
pub(super) struct Response {
    pub head: Box<ResponseHead>,
    length: Length,
}

impl Response {
    /// How the body is framed (RFC 9112, section 6.3).
    pub fn framing(&self, method: Method) -> Framing {
        let status = self.head.status;
        match (method, status, self.length) {
            (Method::Head, ..) | (_, 100..200 | 204 | 304, _) => Framing::Length(0),
            (.., Length::Chunked) => Framing::chunked(),
            (.., Length::Bytes(n)) => Framing::Length(n),
            (.., Length::Absent | Length::OtherCoding) => Framing::UntilClose,
        }
    }
}

/// What the headers say about a body's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Absent,
    Bytes(u64),
    Chunked,
    /// A transfer coding that doesn't end in `chunked`.
    OtherCoding,
}

/// Parses a whole request head.
pub(super) fn request(raw: &[u8], role: Role, limits: &Limits) -> Result<Request, Refused> {
    if raw.starts_with(b"PRI * HTTP/2.0") {
        return Err(Refused::Http2Preface);
    }
    let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Request::new(&mut fields);
    let (Ok(httparse::Status::Complete(_)), Some(method), Some(target), Some(version)) =
        (parsed.parse(raw), parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refused::Malformed);
    };
    let framing = match length(parsed.headers)? {
        Length::Absent => Framing::Length(0),
        Length::Bytes(n) => Framing::Length(n),
        Length::Chunked => Framing::chunked(),
        // RFC 9112, section 6.3: the length of such a request can't be told.
        Length::OtherCoding => return Err(Refused::Malformed),
    };
    let (authority, path, query) = split_target(method, target);
    let host = parsed.headers.iter().find(|h| h.name.eq_ignore_ascii_case("host"));
    let host = host.map(|h| String::from_utf8_lossy(h.value));
    let authority = authority.or(host.as_deref()).map(|a| clean_authority(a).into());
    let head = RequestHead {
        method: method.into(),
        path: path.into(),
        query: clean_query(query).into(),
        authority,
        version: if version == 0 { Version::Http10 } else { Version::Http11 },
        role,
        headers: clean_headers(parsed.headers),
        session: None,
        partial: false,
    };
    let method = match method {
        "HEAD" => Method::Head,
        "CONNECT" => Method::Connect,
        _ => Method::Other,
    };
    Ok(Request { head: Box::new(head), method, framing })
}

/// Parses a whole response head.
pub(super) fn response(raw: &[u8], limits: &Limits) -> Result<Response, Refused> {
    let mut fields = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let (Ok(httparse::Status::Complete(_)), Some(status @ 100..)) =
        (config.parse_response(&mut parsed, raw), parsed.code)
    else {
        return Err(Refused::Malformed);
    };
    let length = length(parsed.headers)?;
    let head = ResponseHead { status, headers: clean_headers(parsed.headers), partial: false };
    Ok(Response { head: Box::new(head), length })
}

fn clean_headers(fields: &[httparse::Header<'_>]) -> Headers {
    Headers(fields.iter().filter_map(|field| clean_header(field.name, field.value)).collect())
}

fn length(fields: &[httparse::Header<'_>]) -> Result<Length, Refused> {
    let (mut length, mut coding) = (None, None);
    for field in fields {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            let value = String::from_utf8_lossy(field.value);
            let last = value.rsplit(',').map(str::trim).find(|v| !v.is_empty()).unwrap_or_default();
            coding = Some(last.eq_ignore_ascii_case("chunked"));
        } else if field.name.eq_ignore_ascii_case("content-length") {
            // RFC 9110, section 8.6: a list of the same number is that number.
            for part in String::from_utf8_lossy(field.value).split(',').map(str::trim) {
                let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                let n = part.parse::<u64>().ok().filter(|_| digits).ok_or(Refused::Malformed)?;
                if length.is_some_and(|known| known != n) {
                    return Err(Refused::Malformed);
                }
                length = Some(n);
            }
        }
    }
    Ok(match (coding, length) {
        (Some(true), _) => Length::Chunked,
        (Some(false), _) => Length::OtherCoding,
        (None, Some(n)) => Length::Bytes(n),
        (None, None) => Length::Absent,
    })
}
