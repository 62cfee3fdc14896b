//! What the heads of all versions have in common: header fields without credentials, and targets taken apart.

use super::{
    Header,
    credentials::{clean_authority, clean_value, is_credential_header},
};

/// A header as it is handed on; `None` if it is a credential.
pub(super) fn clean_header(name: &str, value: &[u8]) -> Option<Header> {
    let name = name.to_ascii_lowercase();
    let value = String::from_utf8_lossy(value);
    if is_credential_header(&name, &value) {
        return None;
    }
    let value = if name == "host" { clean_authority(&value) } else { clean_value(&value)? };
    Some(Header { name: name.into(), value: value.into() })
}

/// Authority, path and query of a request target (RFC 9112, section 3.2).
pub(super) fn split_target<'a>(method: &str, target: &'a str) -> (Option<&'a str>, &'a str, &'a str) {
    if method == "CONNECT" {
        return (Some(target), "", "");
    }
    let (authority, rest) = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => (None, target),
    };
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (authority, path, query)
}
