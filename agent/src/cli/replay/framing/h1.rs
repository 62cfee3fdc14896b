//! HTTP/1.1 (RFC 9112).

use bytes::{Bytes, BytesMut};

use super::super::message::{Answered, Asked, Body};

/// The calls that write the request: its head, and its body.
pub(in super::super) fn request(asked: &Asked<'_>) -> Vec<Bytes> {
    let mut head = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target);
    if !asked.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        push_header(&mut head, "host", asked.authority);
    }
    push_headers(&mut head, &asked.fields);
    if !asked.body.is_empty() || !matches!(asked.method, "GET" | "HEAD" | "DELETE" | "OPTIONS") {
        push_header(&mut head, "content-length", &asked.body.len().to_string());
    }
    head.push_str("\r\n");
    vec![head.into(), Bytes::copy_from_slice(asked.body)]
}

/// The calls that read the response: its head, and its body or the chunks of it.
pub(in super::super) fn response(answered: Answered<'_>) -> Vec<Bytes> {
    let mut head = format!("HTTP/1.1 {} \r\n", answered.status);
    push_headers(&mut head, &answered.fields);
    match answered.body {
        Body::None => {
            head.push_str("\r\n");
            vec![head.into()]
        }
        Body::Streamed(parts) => {
            head.push_str("transfer-encoding: chunked\r\n\r\n");
            let mut calls = vec![head.into()];
            calls.extend(parts.iter().map(|part| chunk(part)));
            calls.push(Bytes::from_static(b"0\r\n\r\n"));
            calls
        }
        Body::Whole(body) => {
            push_header(&mut head, "content-length", &body.len().to_string());
            head.push_str("\r\n");
            vec![head.into(), body.into()]
        }
    }
}

fn push_headers(head: &mut String, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        push_header(head, name, value);
    }
}

fn push_header(head: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        head.push_str(part);
    }
}

fn chunk(data: &[u8]) -> Bytes {
    let mut framed = BytesMut::from(&*format!("{:x}\r\n", data.len()));
    framed.extend_from_slice(data);
    framed.extend_from_slice(b"\r\n");
    framed.freeze()
}
