//! Patterns of span names: `{gen_ai.operation.name} {gen_ai.request.model}`.

use std::fmt;

use crate::error::Rule;

/// One form that a span's name has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// What follows on what.
    pub parts: Vec<Part>,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The same text in every name.
    Text(String),
    /// The value of the attribute with this key, which the span then carries.
    Value(String),
}

impl Pattern {
    /// Reads a pattern. Braces stand around keys and nowhere else.
    pub(crate) fn parse(text: &str) -> Result<Self, Rule> {
        let wrong = || Rule::NamePattern(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            let (key, after) =
                tail.strip_prefix('{').and_then(|tail| tail.split_once('}')).ok_or_else(wrong)?;
            if key.is_empty() || key.contains(['{', ' ']) {
                return Err(wrong());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Value(key.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.is_empty() { Err(wrong()) } else { Ok(Self { parts }) }
    }

    /// The keys whose values are in the name, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(key) => Some(key.as_str()),
            Part::Text(_) => None,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Value(key) => write!(f, "{{{key}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_texts_and_keys() {
        let pattern = Pattern::parse("run {a.name} of {b}!").unwrap();
        let value = |key: &str| Part::Value(key.into());
        let text = |text: &str| Part::Text(text.into());
        assert_eq!(pattern.parts, [text("run "), value("a.name"), text(" of "), value("b"), text("!")]);
        assert_eq!(pattern.keys().collect::<Vec<_>>(), ["a.name", "b"]);
        assert_eq!(pattern.to_string(), "run {a.name} of {b}!");
    }

    #[test]
    fn braces_must_meet() {
        for text in ["", "{", "}", "a}", "{a", "{}", "{a b}", "{a{b}}"] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }
}
