//! JSON fields that are read when they are asked for.
//!
//! A wrong type in one field must not lose the others, and a body that quotes whole files must not be copied
//! to read a model's name: structs borrow each field as raw JSON, and reading one decides about its type.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer as _,
    de::{self, Visitor},
};
use serde_json::Deserializer;

pub(super) use super::escaped::Escaped;
use super::{budget::Budget, call::Content, document::Extent, walk::Walk};

/// One field of a JSON object, not yet read, in the [`Document`](super::document::Document) that it stands in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Field<'a> {
    /// Its text, which is known to be JSON; empty where there is no such field.
    json: &'a str,
    /// Where it begins in its document.
    start: usize,
    /// Where the longer values in it stand.
    extents: &'a [Extent],
}

/// JSON type of a field; `null` is as good as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Absent,
    Text,
    Number,
    Bool,
    Array,
    Object,
}

impl<'a> Field<'a> {
    pub(super) fn new(json: &'a str, start: usize, extents: &'a [Extent]) -> Self {
        Self { json, start, extents }
    }

    /// What it is made of, as `new` takes it.
    pub(super) fn parts(self) -> (&'a str, usize, &'a [Extent]) {
        (self.json, self.start, self.extents)
    }

    /// Goes through what an array or object holds.
    pub(super) fn walk(self) -> Walk<'a> {
        Walk::new(self.json, self.start, self.extents)
    }

    pub(super) fn kind(self) -> Kind {
        match self.json.bytes().next() {
            None | Some(b'n') => Kind::Absent,
            Some(b'"') => Kind::Text,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            Some(_) => Kind::Number,
        }
    }

    pub(super) fn is_some(self) -> bool {
        self.kind() != Kind::Absent
    }

    /// This field, or another one where this is absent.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }

    /// The JSON text; `null` where there is none.
    pub(super) fn json(self) -> &'a str {
        if self.json.is_empty() { "null" } else { self.json }
    }

    /// Is it of this kind? Another one that is not absent is counted.
    fn expect(self, kind: Kind, budget: &mut Budget) -> Option<&'a str> {
        let found = self.kind();
        if found != kind {
            budget.unknown += u64::from(found != Kind::Absent);
            return None;
        }
        Some(self.json)
    }

    /// A value that has to be of a given kind and must then parse; else it is counted.
    fn read<T: Deserialize<'a>>(self, kind: Kind, budget: &mut Budget) -> Option<T> {
        let value = serde_json::from_str(self.expect(kind, budget)?).ok();
        budget.unknown += u64::from(value.is_none());
        value
    }

    /// An object.
    pub(super) fn object<T: Deserialize<'a>>(self, budget: &mut Budget) -> Option<T> {
        self.expect(Kind::Object, budget)?;
        let value = T::deserialize(self).ok();
        budget.unknown += u64::from(value.is_none());
        value
    }

    pub(super) fn flag(self, budget: &mut Budget) -> Option<bool> {
        self.read(Kind::Bool, budget)
    }

    pub(super) fn number(self, budget: &mut Budget) -> Option<f64> {
        self.read(Kind::Number, budget)
    }

    /// An integer, also where it is written as `100.0`.
    pub(super) fn integer(self, budget: &mut Budget) -> Option<i64> {
        let text = self.expect(Kind::Number, budget)?;
        let value = serde_json::from_str::<i64>(text).ok().or_else(|| {
            // Beyond 2^53 a double does not say which integer was meant.
            let float = serde_json::from_str::<f64>(text).ok()?;
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        });
        budget.unknown += u64::from(value.is_none());
        value
    }

    /// A number of something: an integer that is not negative.
    pub(super) fn count(self, budget: &mut Budget) -> Option<i64> {
        let value = self.integer(budget)?;
        budget.unknown += u64::from(value < 0);
        (value >= 0).then_some(value)
    }

    /// A string as it is written, which may be too long to be copied.
    pub(super) fn escaped(self, budget: &mut Budget) -> Option<Escaped<'a>> {
        let json = self.expect(Kind::Text, budget)?;
        json.get(1..json.len() - 1).map(Escaped)
    }

    /// A string, borrowed where it has no escapes.
    pub(super) fn text(self, budget: &mut Budget) -> Option<Cow<'a, str>> {
        self.expect(Kind::Text, budget)?;
        let text = self.string();
        budget.unknown += u64::from(text.is_none());
        text
    }

    /// The same, and nothing is counted.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        let json = Some(self.json).filter(|_| self.kind() == Kind::Text)?;
        let inner = json.get(1..json.len() - 1)?;
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inner));
        }
        // A lone surrogate is valid in JSON (RFC 8259 section 8.2) but not in a string: it is replaced.
        let text =
            serde_json::from_str(json).or_else(|_| Deserializer::from_str(json).deserialize_bytes(LossyText));
        text.ok().map(Cow::Owned)
    }

    /// A name or id; an empty one is none.
    pub(super) fn label(self, budget: &mut Budget) -> Option<String> {
        let text = self.text(budget)?;
        budget.label(&text)
    }

    /// A string that is not empty, within the limits of content.
    pub(super) fn content(self, budget: &mut Budget) -> Option<Content> {
        let text = self.text(budget)?;
        (!text.is_empty()).then(|| budget.content(&text))
    }

    /// The JSON text of the field, within the limits of content.
    pub(super) fn json_content(self, budget: &mut Budget) -> Content {
        budget.content(self.json())
    }

    /// The first name in an object that `wanted` accepts.
    pub(super) fn key(self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let mut members = (self.kind() == Kind::Object).then(|| self.walk())?;
        loop {
            let name = members.name()?.text().ok()?;
            if wanted(&name) {
                return Some(name.into_owned());
            }
            members.take()?;
        }
    }

    /// Calls `f` with every element of an array.
    pub(super) fn each(self, budget: &mut Budget, mut f: impl FnMut(Self, &mut Budget)) {
        if self.expect(Kind::Array, budget).is_none() {
            return;
        }
        let mut elements = self.walk();
        while let Some(element) = elements.element() {
            f(element, budget);
        }
    }
}

struct LossyText;

impl Visitor<'_> for LossyText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::budget::tests::budget, *};

    fn field(json: &str) -> Field<'_> {
        Field::root(json.as_bytes()).unwrap()
    }

    #[test]
    fn integers() {
        let cases = [
            ("100", Some(100), 0),
            ("100.0", Some(100), 0),
            ("-1", Some(-1), 0),
            ("1.5", None, 1),
            ("1e400", None, 1),
            ("1e300", None, 1),
            ("\"7\"", None, 1),
            ("null", None, 0),
            ("[7]", None, 1),
        ];
        for (json, expected, unknown) in cases {
            let mut budget = budget();
            assert_eq!(field(json).integer(&mut budget), expected, "{json}");
            assert_eq!(budget.unknown, unknown, "{json}");
        }
        assert_eq!(field("-1").count(&mut budget()), None);
    }

    #[test]
    fn texts() {
        let cases = [
            (r#""plain""#, Some("plain")),
            (r#""a\n\u00e9""#, Some("a\né")),
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""x\ud83dy""#, Some("x\u{fffd}\u{fffd}\u{fffd}y")),
            (r#""""#, Some("")),
            ("5", None),
            ("null", None),
        ];
        for (json, expected) in cases {
            assert_eq!(field(json).text(&mut budget()).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn a_wrong_type_does_not_lose_the_other_fields() {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Pair<'a> {
            #[serde(borrow)]
            first: Field<'a>,
            #[serde(borrow)]
            second: Field<'a>,
        }
        let mut budget = budget();
        let pair: Pair<'_> = field(r#"{"first":{"x":1},"third":[],"second":2}"#).object(&mut budget).unwrap();
        assert_eq!((pair.first.label(&mut budget), pair.second.integer(&mut budget)), (None, Some(2)));
        assert_eq!(budget.unknown, 1);
        assert!(field("[1,2]").object::<Pair<'_>>(&mut budget).is_none());
    }

    #[test]
    fn arrays_are_walked() {
        let mut seen = Vec::new();
        field(r#"[1, "two", [3]]"#).each(&mut budget(), |item, _| seen.push(item.json().to_owned()));
        assert_eq!(seen, ["1", "\"two\"", "[3]"]);
    }

    #[test]
    fn names_are_looked_for() {
        let cases = [
            (r#"{"a":[{"b":1}],"b":2}"#, Some("b")),
            (r#"{"\u0062":{"c":3}}"#, Some("b")),
            (r#"{"a":{"b":1}}"#, None),
            (r#"["b"]"#, None),
            ("null", None),
        ];
        for (json, expected) in cases {
            assert_eq!(field(json).key(|name| name == "b").as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn strings_read_as_serde_reads_them(text in ".*") {
            let json = serde_json::to_string(&text).unwrap();
            let mut budget = budget();
            let read = field(&json).text(&mut budget);
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }
    }
}
