//! Paths of APIs in OpenAI's form.

use super::super::text;

/// A path without the slash behind it.
pub(in crate::genai) fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Does a path end like this, a slash behind it or not?
pub(in crate::genai) fn ends_with(path: &str, end: &str) -> bool {
    trimmed(path).ends_with(end)
}

/// The deployment in a path like `/openai/deployments/NAME` and this end, percent-decoded.
pub(in crate::genai) fn deployment(path: &str, end: &str) -> Option<String> {
    let path = trimmed(path).strip_suffix(end)?;
    let (_, name) = path.rsplit_once("/deployments/")?;
    text::percent_decode(name).filter(|name| !name.is_empty())
}
