//! Credentials and addresses: what machines write.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::rule::{Accept, whole};
use crate::{resource::KEY_PREFIXES, text::floor};

/// Shortest key that is known by its beginning, in bytes.
const KEY_LENGTH: usize = 12;
/// How far behind its beginning the end of a private key is looked for, in bytes: an RSA key of 8192 bits has 6.4 KiB.
const PEM_LENGTH: usize = 8000;

/// Keys by their beginnings, what stands behind the name of a secret, and private keys (RFC 7468).
pub(super) fn credential() -> Vec<(String, Accept)> {
    let prefixes: Vec<_> = KEY_PREFIXES.iter().map(|prefix| regex::escape(prefix)).collect();
    let named = r"(?i)(?:api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|passphrase|pwd|credential|authorization)";
    let assigned =
        r#"\\?["']?(?:\s{0,4}(?:=>|:=|=|:)\s{0,4}|\sis\s{1,4})\\?["']?(?P<secret>[^\s"'\\`,;&)}\]]{6,})"#;
    vec![
        (format!(r"(?-u:\b)(?:{})[A-Za-z0-9_.=+/~-]{{4,}}", prefixes.join("|")), key),
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----".into(), private_key),
        (r"(?i)(?-u:\b)(?:bearer|basic)\s{1,4}(?P<secret>[A-Za-z0-9._~+/=-]{8,})".into(), not_a_word),
        (r#"://[^\s/@:'"]*:(?P<secret>[^\s/@'"]+)@"#.into(), whole),
        (format!("{named}{assigned}"), not_a_word),
    ]
}

/// The local part and the domain in any script (RFC 6531), at least one dot in the domain.
pub(super) fn email() -> Vec<(String, Accept)> {
    let local = r#"[^\s@<>"'(),;:\[\]\\{}=/|]+"#;
    let label = r#"[^\s@<>"'(),;:\[\]\\{}=/|.?&!]"#;
    let last = r#"[^\s@<>"'(),;:\[\]\\{}=/|.?&!0-9]{2,}"#;
    vec![(format!(r"{local}@(?:{label}+\.)+{last}"), whole)]
}

/// IPv4 with four decimal parts, IPv6 in any of its forms (RFC 4291, section 2.2).
pub(super) fn ip() -> Vec<(String, Accept)> {
    let four = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}";
    vec![
        (format!(r"(?-u:\b){four}(?-u:\b)"), ipv4),
        (format!(r"(?:[0-9A-Fa-f]{{0,4}}:){{2,7}}(?:{four}|[0-9A-Fa-f]{{0,4}})"), ipv6),
    ]
}

fn key(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = &text[range.clone()];
    let told = KEY_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    let random = word.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
    // What ends a sentence is no part of a key.
    let end = range.start + word.trim_end_matches(['.', '/']).len();
    (told && random && word.len() >= KEY_LENGTH).then_some(range.start..end)
}

#[allow(clippy::unnecessary_wraps, reason = "it stands in a list of those that may find nothing")]
fn private_key(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let rest = &text[range.end..floor(text, range.end + PEM_LENGTH)];
    let length = match rest.find("-----END ") {
        Some(at) => {
            let end = at + "-----END ".len();
            rest[end..].find("-----").map_or(end, |dashes| end + dashes + "-----".len())
        }
        // Its end is missing: all that may be of it.
        None => rest.find(|c: char| !is_pem(c)).unwrap_or(rest.len()),
    };
    Some(range.start..range.end + length)
}

/// Base64, line ends (also escaped ones) and the headers of older private keys (RFC 1421).
fn is_pem(c: char) -> bool {
    c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "+/=\\:,-".contains(c)
}

/// "basic understanding" and "token: string" name no secret.
fn not_a_word(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = text[range.clone()].trim_end_matches('.');
    let plain = word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-' || b == b'_')
        || word
            .strip_prefix(|c: char| c.is_ascii_uppercase())
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase()))
        || word.starts_with("[redacted");
    (!plain).then(|| range.start..range.start + word.len())
}

fn ipv4(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let alone = !text[..range.start].ends_with('.') && !continues(&text[range.end..]);
    (alone && text[range.clone()].parse::<Ipv4Addr>().is_ok()).then_some(range)
}

/// Another number behind a dot: five parts are a version.
fn continues(rest: &str) -> bool {
    rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn ipv6(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let word = &text[range.clone()];
    let of_a_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let alone = !text[..range.start].ends_with(of_a_word) && !text[range.end..].starts_with(of_a_word);
    let named = word.bytes().any(|b| b.is_ascii_hexdigit());
    (alone && named && word.parse::<Ipv6Addr>().is_ok()).then_some(range)
}
