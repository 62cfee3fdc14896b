//! What a process was told in its environment, of which little is anybody's business.

use crate::text::attribute;

/// With this variable a process asks to be left out.
const LEAVE_OUT: (&str, &str) = ("PLAINSPAN_IGNORE", "1");

/// The value of a variable in the text of `/proc/PID/environ`.
pub(super) fn variable(environ: &[u8], name: &str) -> Option<String> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// `OTEL_RESOURCE_ATTRIBUTES` (OpenTelemetry specification, "SDK environment variables"): what is no `key=value` is passed over.
pub(super) fn attributes(environ: &[u8]) -> Vec<(String, String)> {
    let text = variable(environ, "OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    text.split(',').filter_map(attribute).collect()
}

/// Does the process ask to be left out?
pub(super) fn asks_to_be_left_out(environ: &[u8]) -> bool {
    variable(environ, LEAVE_OUT.0).as_deref() == Some(LEAVE_OUT.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_for_in_these_words_only() {
        for (environ, wanted) in [
            ("A=1\0PLAINSPAN_IGNORE=1\0", true),
            ("PLAINSPAN_IGNORE=1", true),
            ("PLAINSPAN_IGNORE=0\0", false),
            ("PLAINSPAN_IGNORE=10\0", false),
            ("XPLAINSPAN_IGNORE=1\0", false),
            ("", false),
        ] {
            assert_eq!(asks_to_be_left_out(environ.as_bytes()), wanted, "{environ:?}");
        }
    }
}
