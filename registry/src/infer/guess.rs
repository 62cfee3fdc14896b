//! What telemetry does not say of itself: the pattern of a name, how private a value is, how many values there can be.

use super::observed::Observed;
use crate::{
    Cardinality, Kind, Privacy,
    telemetry::{Attributes, Value},
};

/// Shortest value that is looked for in a name: shorter ones are there by chance.
const SHORTEST: usize = 2;

/// The pattern of a span's name: values of its attributes that stand in it as whole words are replaced by their keys. Braces that
/// are there already are left out, since a pattern has them around keys only.
pub(super) fn pattern(name: &str, attributes: &Attributes) -> String {
    let name: String = name.chars().filter(|c| !matches!(c, '{' | '}')).collect();
    let mut values: Vec<(&str, &str)> = attributes
        .iter()
        .filter(|(key, _)| super::plain(key))
        .filter_map(|(key, value)| match value {
            Value::Text(text) if text.len() >= SHORTEST && text.len() <= name.len() => {
                Some((text.as_str(), key.as_str()))
            }
            _ => None,
        })
        .collect();
    // The longest value first, so that `gpt-4` doesn't take its part of `gpt-4-mini`; then by key, for the same every time.
    values.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.1.cmp(b.1)));
    values.truncate(64);
    let mut pieces: Vec<(String, bool)> = vec![(name, false)];
    for (value, key) in values {
        let Some((at, start)) = pieces.iter().enumerate().find_map(|(at, (text, is_key))| {
            if *is_key { None } else { whole(text, value).map(|start| (at, start)) }
        }) else {
            continue;
        };
        let text = pieces[at].0.clone();
        let (before, after) = (text[..start].to_owned(), text[start + value.len()..].to_owned());
        pieces.splice(at..=at, [(before, false), (format!("{{{key}}}"), true), (after, false)]);
    }
    pieces.into_iter().map(|(text, _)| text).collect()
}

/// Where a value stands in a text as a word of its own.
fn whole(text: &str, value: &str) -> Option<usize> {
    text.match_indices(value).map(|(at, _)| at).find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + value.len()..].chars().next();
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(before) && !word(after)
    })
}

/// Words in keys whose values are what people wrote or were told.
const CONTENT: [&str; 17] = [
    "arguments",
    "body",
    "completion",
    "content",
    "cookie",
    "definitions",
    "input",
    "instructions",
    "message",
    "messages",
    "output",
    "payload",
    "prompt",
    "query",
    "result",
    "statement",
    "text",
];

/// Words in keys whose values name somebody or something single.
const IDENTIFYING: [&str; 20] = [
    "account",
    "address",
    "args",
    "authorization",
    "command",
    "customer",
    "email",
    "host",
    "hostname",
    "id",
    "ip",
    "key",
    "login",
    "owner",
    "phone",
    "session",
    "tenant",
    "token",
    "user",
    "username",
];

/// How private an attribute is, as far as its key and the look of its values tell. The more private class wins.
pub(super) fn privacy(key: &str, observed: &Observed) -> Privacy {
    let text = observed.kind().is_some_and(Kind::is_text);
    let mut words = key.split(['.', '_', '-']);
    let last = key.rsplit(['.', '_', '-']).next().unwrap_or(key);
    if text && (CONTENT.contains(&last) || observed.looks.prose) {
        return Privacy::Content;
    }
    let named = words.any(|word| IDENTIFYING.contains(&word)) || key.ends_with("Id");
    if (text || last == "id") && (named || observed.looks.address || observed.looks.identifier) {
        return Privacy::Identifying;
    }
    Privacy::Structural
}

/// Whether values come again and again.
pub(super) fn cardinality(observed: &Observed) -> Cardinality {
    let distinct = observed.distinct() as u64;
    let repeats = distinct <= 2 || distinct * 10 <= observed.items;
    let number = matches!(observed.kind(), Some(Kind::Double | Kind::Doubles));
    if !number && !observed.many && distinct <= 100 && repeats {
        Cardinality::Bounded
    } else {
        Cardinality::Unbounded
    }
}

/// The limit for texts of which the longest was so long: the next power of two that leaves as much room again.
pub(super) fn limit(longest: usize, least: u32) -> u32 {
    let doubled = u32::try_from(longest.saturating_mul(2)).unwrap_or(u32::MAX).clamp(least, 1 << 30);
    doubled.next_power_of_two()
}
