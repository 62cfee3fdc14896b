//! The names of spans against the patterns of the contract.

use crate::{Part, Pattern, Span};

/// Can a span of this kind have this name, whatever its attributes are? Yes where the contract does not bind the names.
pub fn may_have(span: &Span, name: &str) -> bool {
    span.patterns.is_empty() || span.all_patterns().any(|pattern| may_match(pattern, name))
}

/// Can the pattern give this name? Every value is any text of one character or more; what stands between must be there, in its order.
pub fn may_match(pattern: &Pattern, name: &str) -> bool {
    let mut rest = name;
    let mut open = false;
    for (at, part) in pattern.parts.iter().enumerate() {
        let Part::Text(text) = part else {
            // Two values without a text between them are one.
            open = true;
            continue;
        };
        let last = at + 1 == pattern.parts.len();
        rest = match (open, last) {
            (false, _) => match rest.strip_prefix(text.as_str()) {
                Some(after) => after,
                None => return false,
            },
            (true, true) => return rest.len() > text.len() && rest.ends_with(text.as_str()),
            (true, false) => {
                let from = rest.chars().next().map_or(0, char::len_utf8);
                let Some(found) = rest.get(from..).and_then(|r| r.find(text.as_str())) else { return false };
                &rest[from + found + text.len()..]
            }
        };
        open = false;
    }
    open != rest.is_empty()
}

/// The name that the pattern gives a span whose attributes have these values; `None` if one of them is missing.
pub fn filled(pattern: &Pattern, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut name = String::new();
    for part in &pattern.parts {
        match part {
            Part::Text(text) => name.push_str(text),
            Part::Value(key) => name.push_str(&value(key)?),
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_pattern_can_give() {
        let rows = [
            ("{a} {b}", "chat m", true),
            ("{a} {b}", "chat m with spaces", true),
            ("{a} {b}", "chat", false),
            ("{a} {b}", " m", false),
            ("{a} {b}", "chat ", false),
            ("run {a}", "run x", true),
            ("run {a}", "ran x", false),
            ("run {a}!", "run x!!", true),
            ("run {a}!", "run !", false),
            ("run", "run", true),
            ("run", "runs", false),
            ("{a}", "é", true),
            ("{a}", "", false),
            ("{a}{b}", "x", true),
        ];
        for (pattern, name, wanted) in rows {
            let parsed = Pattern::parse(pattern).unwrap();
            assert_eq!(may_match(&parsed, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_is_filled_in_from_attributes() {
        let pattern = Pattern::parse("{a} of {b}").unwrap();
        assert_eq!(filled(&pattern, |key| Some(key.to_uppercase())).as_deref(), Some("A of B"));
        assert_eq!(filled(&pattern, |key| (key == "a").then(String::new)), None);
    }
}
