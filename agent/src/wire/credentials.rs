//! Credentials end here: which headers and query parameters never leave `wire/`.

/// Parts of a header name that mark it as a credential, or as something that stands in for one.
const CREDENTIAL_WORDS: &[&str] = &[
    "api-key",
    "api_key",
    "apikey",
    "auth",
    "bearer",
    "cookie",
    "credential",
    "jwt",
    "passwd",
    "password",
    "secret",
    "session",
    "signature",
    "token",
];

/// Names that end in `key` or contain one of the words and are harmless all the same. The id of an MCP session must not be taken
/// for proof of who asks (MCP, security best practices).
const HARMLESS: &[&str] =
    &["idempotency-key", "x-idempotency-key", "mcp-session-id", "sec-websocket-key", "surrogate-key"];

/// Query parameters that are kept; all others may carry a key or a signature, and nothing needs them.
const KEPT_PARAMETERS: &[&str] = &[
    "$alt",
    "after",
    "alt",
    "api-version",
    "api_version",
    "before",
    "beta",
    "include",
    "limit",
    "model",
    "order",
    // Of MCP's older transport.
    "sessionId",
    "session_id",
    "stream",
    "version",
];

/// Is a header of this name a credential, whatever its value? `name` in lower case.
pub fn is_credential_name(name: &str) -> bool {
    is_credential_header(name, "")
}

/// Is a header a credential? `name` in lower case.
pub(super) fn is_credential_header(name: &str, value: &str) -> bool {
    // Browsers can't set headers on a WebSocket: OpenAI takes the key as one of its subprotocols.
    if name == "sec-websocket-protocol" {
        return true;
    }
    // Rate limits and usage are told in tokens of text, which are no tokens of access.
    let counts = name.contains("ratelimit") || name.ends_with("-token-count");
    let harmless = HARMLESS.contains(&name) || counts;
    if !harmless && (name.ends_with("key") || CREDENTIAL_WORDS.iter().any(|word| name.contains(word))) {
        return true;
    }
    let scheme = value.split(' ').next().unwrap_or_default();
    value.len() > scheme.len()
        && ["bearer", "basic", "digest", "negotiate", "aws4-hmac-sha256"]
            .iter()
            .any(|s| scheme.eq_ignore_ascii_case(s))
}

/// The value of a header without the credentials that a URL in it may carry (`location`, `referer`);
/// `None` when nothing of it can be kept.
pub(super) fn clean_value(value: &str) -> Option<&str> {
    let Some((_, rest)) = value.split_once("://") else { return Some(value) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return None;
    }
    Some(value.split('?').next().unwrap_or_default())
}

/// What is kept of a query, as it was sent.
pub(super) fn clean_query(query: &str) -> String {
    let mut kept = String::new();
    for parameter in query.split('&') {
        let name = parameter.split('=').next().unwrap_or_default();
        if KEPT_PARAMETERS.contains(&name) {
            if !kept.is_empty() {
                kept.push('&');
            }
            kept.push_str(parameter);
        }
    }
    kept
}

/// An authority without its user information.
pub(super) fn clean_authority(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let removed = [
            "authorization",
            "proxy-authorization",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "cookie",
            "set-cookie",
            "x-amz-security-token",
            "x-auth-user",
            "x-client-secret",
            "ocp-apim-subscription-key",
            "x-functions-key",
            "my-session-id",
            "key",
            "x-apikey",
            "sec-websocket-protocol",
        ];
        for name in removed {
            assert!(is_credential_header(name, "v"), "{name}");
        }
        let kept = [
            "openai-organization",
            "openai-project",
            "content-type",
            "traceparent",
            "mcp-session-id",
            "mcp-protocol-version",
            "x-ratelimit-remaining-tokens",
            "anthropic-ratelimit-output-tokens-limit",
            "x-amzn-bedrock-cache-read-input-token-count",
            "idempotency-key",
            "request-id",
            "x-goog-api-client",
            "host",
        ];
        for name in kept {
            assert!(!is_credential_header(name, "v"), "{name}");
        }
        assert!(is_credential_header("x-forwarded-a", "Bearer abc"));
        assert!(is_credential_header("x-forwarded-a", "basic abc"));
        assert!(!is_credential_header("server", "basic"));
    }

    #[test]
    fn values_with_urls() {
        let table = [
            ("text/html", Some("text/html")),
            ("https://a.example/b?sig=1", Some("https://a.example/b")),
            ("https://user:pw@a.example/b", None),
            ("https://a.example/@b", Some("https://a.example/@b")),
            ("why? because", Some("why? because")),
        ];
        for (value, kept) in table {
            assert_eq!(clean_value(value), kept, "{value}");
        }
    }

    #[test]
    fn queries() {
        let table = [
            ("", ""),
            ("key=AIza", ""),
            ("api-version=2024-06-01&api_key=x&alt=sse", "api-version=2024-06-01&alt=sse"),
            ("access_token=t&token=t&sig=s&se=1&sp=r&sv=2&X-Amz-Signature=s", ""),
            ("beta=true&beta", "beta=true&beta"),
            ("Key=a&KEY=b&%6bey=c", ""),
        ];
        for (query, kept) in table {
            assert_eq!(clean_query(query), kept, "{query}");
        }
    }

    #[test]
    fn authorities() {
        assert_eq!(clean_authority("api.example:443"), "api.example:443");
        assert_eq!(clean_authority("me:secret@api.example"), "api.example");
        assert_eq!(clean_authority("a@b@api.example"), "api.example");
    }
}
