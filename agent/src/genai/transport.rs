//! The HTTP around a call.

use super::{call::Transport, text};
use crate::wire::{ExchangeEnd, Headers, RequestHead, ResponseHead, Role};

/// Header fields in which providers name a request: OpenAI and most others, Anthropic, Azure's gateway, AWS.
const REQUEST_ID: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid"];

/// Longest header value that is kept, in bytes.
const VALUE_MAX: usize = 1024;

/// What the head of the request says.
pub(super) fn of_request(head: &RequestHead) -> Transport {
    let (server_address, server_port) = match head.authority.as_deref().and_then(split_authority) {
        Some((host, port)) => (Some(host.to_owned()), port),
        None => (None, None),
    };
    Transport {
        server_address,
        server_port,
        method: head.method.to_string(),
        path: head.path.to_string(),
        version: Some(head.version),
        user_agent: value(&head.headers, "user-agent"),
        ..Transport::default()
    }
}

/// The provider's id of the request. In a partial head the one that comes first may be what is unknown.
pub(super) fn request_id(head: &ResponseHead) -> Option<String> {
    let names = if head.partial { &REQUEST_ID[..1] } else { &REQUEST_ID[..] };
    names.iter().find_map(|name| value(&head.headers, name))
}

/// How long a body is to be (RFC 9110, section 8.6), before its encoding is undone; 0 if that is not said.
pub(super) fn content_length(headers: &Headers) -> u64 {
    headers.get("content-length").and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// The word for an exchange that broke off; `silent` if nothing of its answer had come.
pub(super) fn failure(end: ExchangeEnd, role: Role, silent: bool) -> &'static str {
    let words = match (end, role) {
        (ExchangeEnd::ClosedLocally, Role::Client) | (ExchangeEnd::ClosedRemotely, Role::Server) => {
            ["client_closed", "client_closed_before_answer"]
        }
        (ExchangeEnd::ClosedLocally, Role::Server) | (ExchangeEnd::ClosedRemotely, Role::Client) => {
            ["server_closed", "server_closed_before_answer"]
        }
        (ExchangeEnd::Closed, _) => ["connection_closed", "connection_closed_before_answer"],
        (ExchangeEnd::ProcessExit, _) => ["process_exit", "process_exit"],
        (ExchangeEnd::Complete | ExchangeEnd::CaptureEnd | ExchangeEnd::Unreadable, _) => {
            ["incomplete_stream", "incomplete_stream"]
        }
    };
    words[usize::from(silent)]
}

fn value(headers: &Headers, name: &str) -> Option<String> {
    let value = headers.get(name)?.trim();
    (!value.is_empty()).then(|| text::head(value, VALUE_MAX).to_owned())
}

/// Host without brackets, and port (RFC 3986 section 3.2). Without a port it is that of https, since what is
/// captured is TLS; a port that is no number is none.
pub(super) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let authority = authority.trim();
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        (host, rest.strip_prefix(':').unwrap_or(rest))
    } else {
        match authority.split_once(':') {
            // More than one colon without brackets is a bare IPv6 address.
            Some((_, rest)) if rest.contains(':') => (authority, ""),
            Some(parts) => parts,
            None => (authority, ""),
        }
    };
    let port = if port.is_empty() { Some(443) } else { port.parse().ok().filter(|port| *port > 0) };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let cases = [
            ("api.openai.com", Some(("api.openai.com", Some(443)))),
            ("localhost:8443", Some(("localhost", Some(8443)))),
            ("localhost:", Some(("localhost", Some(443)))),
            ("[::1]:8443", Some(("::1", Some(8443)))),
            ("[2001:db8::1]", Some(("2001:db8::1", Some(443)))),
            ("2001:db8::1", Some(("2001:db8::1", Some(443)))),
            ("host:port", Some(("host", None))),
            ("host:0", Some(("host", None))),
            ("host:70000", Some(("host", None))),
            ("[::1", None),
            (":443", None),
            ("", None),
        ];
        for (authority, expected) in cases {
            assert_eq!(split_authority(authority), expected, "{authority}");
        }
    }
}
