//! Small readings of text that several dialects share.

use super::{
    budget::Budget,
    field::{Field, Kind},
};
use crate::text::{floor, percent_decoded};

/// One stop sequence, or a list of them.
pub(super) fn stop_sequences(field: Field<'_>, budget: &mut Budget) -> Vec<String> {
    let mut out = Vec::new();
    let mut push = |field: Field<'_>, budget: &mut Budget| {
        if let Some(text) = field.text(budget)
            && budget.item()
            && let Some(text) = budget.whole(&text)
        {
            out.push(text);
        }
    };
    match field.kind() {
        Kind::Absent => {}
        Kind::Array => field.each(budget, push),
        _ => push(field, budget),
    }
    out
}

/// The longest beginning of `text` of at most `max` bytes that ends at a character.
pub(super) fn head(text: &str, max: usize) -> &str {
    &text[..floor(text, max)]
}

/// Percent-decoding of a path segment (RFC 3986 section 2.1); `None` where the result is no UTF-8.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(percent_decoded(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::{super::budget::tests::budget, *};

    #[test]
    fn percent_decoding() {
        let cases = [
            ("gpt-4o", Some("gpt-4o")),
            ("a%3Ab%2fc", Some("a:b/c")),
            ("100%", Some("100%")),
            ("%4", Some("%4")),
            ("%zz", Some("%zz")),
            ("%ff", None),
        ];
        for (text, expected) in cases {
            assert_eq!(percent_decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn heads() {
        let cases = [("abc", 5, "abc"), ("abc", 2, "ab"), ("aé", 2, "a"), ("é", 1, ""), ("", 0, "")];
        for (text, max, expected) in cases {
            assert_eq!(head(text, max), expected, "{text} {max}");
        }
    }

    #[test]
    fn stops() {
        let cases =
            [(r#""a""#, vec!["a"]), (r#"["a",7,"b"]"#, vec!["a", "b"]), ("null", vec![]), ("7", vec![])];
        for (json, expected) in cases {
            let field = Field::root(json.as_bytes()).unwrap();
            assert_eq!(stop_sequences(field, &mut budget()), expected, "{json}");
        }
    }
}
