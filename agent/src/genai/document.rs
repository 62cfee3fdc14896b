//! JSON bodies, of which each is looked through once.
//!
//! To read a model's name out of a request with images, all of it has to be passed; to read what stands nested in it must not cost that
//! again, once for each level. So where the longer values stand is noted on the way, and skipping one is looking that up.

use serde::Deserialize;

use super::{
    budget::Budget,
    field::{Field, Kind},
    scan::{self, Marks},
};

/// Values of fewer bytes are scanned again when what they stand in is read.
const SHORT: usize = 64;

/// Where a value stands: its first byte, the byte behind it, and how many of the extents that follow are of values in it. Each is a
/// number of four bytes, little-endian: they reach the fields through serde, and bytes are all that it lends.
pub(super) type Extent = [u8; 12];

/// A JSON body, and where its values stand.
pub(super) struct Document<'a> {
    body: &'a [u8],
    /// The one value; empty if the body is no JSON.
    json: &'a str,
    /// Where it begins in the body.
    start: usize,
    extents: Vec<Extent>,
}

impl<'a> Document<'a> {
    /// Looks a body through.
    pub(super) fn read(body: &'a [u8]) -> Self {
        // Bodies have far fewer long values, unless they are made to have many.
        Self::noting(body, 16 + body.len() / 64)
    }

    /// The same, with so many extents at most.
    fn noting(body: &'a [u8], most: usize) -> Self {
        let most = if u32::try_from(body.len()).is_ok() { most } else { 0 };
        let mut extents = Extents { most, ..Extents::default() };
        let found = std::str::from_utf8(body).ok().and_then(|text| {
            let start = scan::space(body, 0);
            let end = scan::value(body, start, &mut extents)?;
            let whole = scan::space(body, end) == body.len();
            Some((text.get(start..end).filter(|_| whole)?, start))
        });
        let (json, start) = found.unwrap_or_default();
        Self { body, json, start, extents: extents.list }
    }

    /// The body as it is, be it JSON or not.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.body
    }

    /// Is nothing in the body?
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// All of it; `None` if it is not JSON.
    pub(super) fn root(&self) -> Option<Field<'_>> {
        let within = match self.extents.split_first() {
            Some((first, rest)) if start(first) == self.start => rest,
            _ => &self.extents,
        };
        (!self.json.is_empty()).then(|| Field::new(self.json, self.start, within))
    }

    /// All of it, which must be an object. Anything else is counted if it is JSON.
    pub(super) fn object<'d, T: Deserialize<'d>>(&'d self, budget: &mut Budget) -> Option<T> {
        self.root()?.object(budget)
    }
}

/// Calls `f` with every value of a JSON body as it is written, each before those in it; says whether the body is JSON. That is how the
/// reader of bodies is held against others.
pub fn each_value(body: &[u8], mut f: impl FnMut(&str)) -> bool {
    let document = Document::read(body);
    let Some(root) = document.root() else { return false };
    let (mut walks, mut next) = (Vec::new(), Some(root));
    loop {
        if let Some(value) = next {
            f(value.json());
            walks.extend(matches!(value.kind(), Kind::Array | Kind::Object).then(|| value.walk()));
        } else {
            walks.pop();
        }
        let Some(innermost) = walks.last_mut() else { return true };
        next = innermost.value();
    }
}

/// Goes through the extents of the values within one, in order.
#[derive(Clone, Copy)]
pub(super) struct Within<'a>(&'a [Extent]);

impl<'a> Within<'a> {
    pub(super) fn new(extents: &'a [Extent]) -> Self {
        Self(extents)
    }

    /// Of the value that begins at `at`, where it ends and the extents within it; `None` if it is short. Values before it were skipped.
    pub(super) fn take(&mut self, at: usize) -> Option<(usize, &'a [Extent])> {
        let (first, rest) = self.0.split_first()?;
        if start(first) != at {
            return None;
        }
        let (within, behind) = rest.split_at_checked(number(first, 2))?;
        self.0 = behind;
        Some((number(first, 1), within))
    }
}

fn extent(start: usize, end: usize, within: usize) -> Extent {
    let mut extent = [0; 12];
    for (bytes, number) in extent.as_chunks_mut().0.iter_mut().zip([start, end, within]) {
        *bytes = (number as u32).to_le_bytes();
    }
    extent
}

fn number(extent: &Extent, at: usize) -> usize {
    extent.as_chunks().0.get(at).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

fn start(extent: &Extent) -> usize {
    number(extent, 0)
}

/// Notes the extents of all values that are not short, in the order in which they begin, as long as there is room.
#[derive(Default)]
struct Extents {
    list: Vec<Extent>,
    /// How many there may be.
    most: usize,
    /// The innermost value that is open, counted from 1; 0 if there is none. As long as a value is open, its end is that of the one around
    /// it.
    innermost: usize,
    /// How many are open within it for which there was no room. What they hold is not noted either.
    unnoted: usize,
}

impl Extents {
    fn has_room(&self) -> bool {
        self.unnoted == 0 && self.list.len() < self.most
    }
}

impl Marks for Extents {
    fn open(&mut self, start: usize) {
        if !self.has_room() {
            self.unnoted += 1;
            return;
        }
        self.list.push(extent(start, self.innermost, 0));
        self.innermost = self.list.len();
    }

    fn close(&mut self, end: usize) {
        if self.unnoted > 0 {
            self.unnoted -= 1;
            return;
        }
        let within = self.list.len() - self.innermost;
        let Some(opened) = self.innermost.checked_sub(1).and_then(|at| self.list.get_mut(at)) else { return };
        let begin = start(opened);
        self.innermost = number(opened, 1);
        if end - begin < SHORT {
            // What stood in it is shorter still.
            self.list.pop();
        } else {
            *opened = extent(begin, end, within);
        }
    }

    fn string(&mut self, start: usize, end: usize) {
        if end - start >= SHORT && self.has_room() {
            self.list.push(extent(start, end, 0));
        }
    }
}

#[cfg(test)]
impl Field<'static> {
    /// All of a body; `None` if it is not JSON.
    pub(super) fn root(body: &[u8]) -> Option<Self> {
        let document = Document::read(Box::leak(body.into()));
        Box::leak(Box::new(document)).root()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::de::DeserializeOwned;
    use serde_json::value::RawValue;

    use super::{
        super::{
            budget::tests::budget,
            scan::tests::{VISITED, json},
            tests::harness::Exchange,
        },
        *,
    };

    /// A field as serde_json reads it.
    #[derive(Default)]
    struct Raw(Option<Box<RawValue>>);

    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Box::deserialize(deserializer).map(Some).map(Self)
        }
    }

    impl Raw {
        fn json(&self) -> &str {
            self.0.as_ref().map_or("null", |raw| raw.get())
        }
    }

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Pair<T> {
        #[serde(alias = "\u{e9}")]
        a: T,
        b: T,
    }

    fn of_serde<T: DeserializeOwned>(json: &str) -> Option<T> {
        serde_json::from_str(json).ok()
    }

    /// Everything in a field is what serde_json reads there, and what is refused it refuses too.
    fn agrees(field: Field<'_>) -> Result<(), TestCaseError> {
        let mut budget = budget();
        match field.kind() {
            Kind::Array => {
                let expected: Vec<Raw> = of_serde(field.json()).unwrap();
                let mut elements = Vec::new();
                field.each(&mut budget, |element, _| elements.push(element));
                let texts: Vec<_> = elements.iter().map(|element| element.json()).collect();
                prop_assert_eq!(texts, expected.iter().map(Raw::json).collect::<Vec<_>>());
                elements.into_iter().try_for_each(agrees)
            }
            Kind::Object => {
                let expected: Option<Pair<Raw>> = of_serde(field.json());
                let found: Option<Pair<Field<'_>>> = field.object(&mut budget);
                prop_assert_eq!(budget.unknown, u64::from(expected.is_none()));
                let texts = found.map(|pair| (pair.a.json(), pair.b.json()));
                prop_assert_eq!(texts, expected.as_ref().map(|pair| (pair.a.json(), pair.b.json())));
                let expected: Option<BTreeMap<String, Raw>> = of_serde(field.json());
                let found: Option<BTreeMap<String, Field<'_>>> = field.object(&mut budget);
                prop_assert_eq!(found.is_some(), expected.is_some());
                let (expected, found) = (expected.unwrap_or_default(), found.unwrap_or_default());
                let texts: Vec<_> = found.iter().map(|(name, field)| (name, field.json())).collect();
                prop_assert_eq!(
                    texts,
                    expected.iter().map(|(name, raw)| (name, raw.json())).collect::<Vec<_>>()
                );
                found.into_values().try_for_each(agrees)
            }
            _ => Ok(()),
        }
    }

    #[test]
    fn bodies() {
        let cases = [
            (&b" {\"a\":1}\n"[..], Some("{\"a\":1}")),
            (b"\"\xc3\xa9\"", Some("\"\u{e9}\"")),
            (b"\"\xe9\"", None),
            (b"{} {}", None),
            (b"{", None),
            (b"", None),
            (b"ID3\x04", None),
        ];
        for (body, expected) in cases {
            let document = Document::read(body);
            assert_eq!(document.root().map(Field::json), expected, "{body:?}");
            assert_eq!((document.bytes(), document.is_empty()), (body, body.is_empty()));
        }
    }

    /// All values that are long, in order, with how many lie within each.
    #[test]
    fn extents_are_those_of_long_values() {
        let long = "x".repeat(SHORT);
        let body = format!(r#"{{"{long}":[{{"a":{{}}}},"{long}"],"b":"{long}","c":[1,[2]]}}"#);
        let document = Document::read(body.as_bytes());
        let found: Vec<_> = document
            .extents
            .iter()
            .map(|extent| (&body[start(extent)..number(extent, 1)], number(extent, 2)))
            .collect();
        let text = format!("\"{long}\"");
        let array = format!("[{{\"a\":{{}}}},{text}]");
        assert_eq!(found, [(&*body, 3), (&*array, 1), (&*text, 0), (&*text, 0)]);
    }

    #[test]
    fn a_body_that_is_made_to_have_many_extents_gets_no_more() {
        let depth = 100_000;
        let nested = "[".repeat(depth) + &"]".repeat(depth);
        let texts = format!("[{}]", vec![format!("\"{}\"", "x".repeat(SHORT)); 10_000].join(","));
        for body in [nested, texts] {
            let document = Document::read(body.as_bytes());
            assert!(document.root().is_some());
            assert!(document.extents.len() <= 16 + body.len() / 64);
        }
    }

    /// Whatever the nesting: only short values, and names, are passed a second time.
    #[test]
    fn bytes_are_scanned_once() {
        let image = format!(
            r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}"#,
            "iVBORw0K".repeat(100_000)
        );
        let images = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{image},{image}]}}]}}"#);
        let turn = format!(
            r#"{{"role":"assistant","content":"{}","tool_calls":[{{"id":"c","function":{{"name":"f","arguments":"{{}}"}}}}]}}"#,
            r#"a \"line\"\n"#.repeat(100)
        );
        let turns = format!(r#"{{"model":"m","messages":[{}]}}"#, vec![turn; 100].join(","));
        for (body, again) in [(images, 1000), (turns, 40_000)] {
            let before = VISITED.get();
            let call = Exchange::openai().request(&body).json(200, "{}").call();
            assert!(call.request.messages.iter().all(|message| message.parts.len() == 2));
            let visited = VISITED.get() - before;
            assert!((body.len()..body.len() + again).contains(&visited), "{visited} of {}", body.len());
        }
    }

    proptest! {
        #[test]
        fn fields_are_read_as_serde_reads_them(json in json(), most in prop_oneof![Just(usize::MAX), 0..9usize]) {
            let document = Document::noting(json.as_bytes(), most);
            prop_assert!(document.extents.len() <= most);
            agrees(document.root().unwrap())?;
        }
    }
}
