//! JSON bodies: what is in them is what another reader finds, and what that refuses is none.

use std::fmt;

use plainspan::genai::each_value;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Error, value::RawValue};

/// Deeper ones are not compared: the other reader takes a pass a level.
const DEPTH: usize = 100;

/// Any bytes.
pub fn json(data: &[u8]) {
    if data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > DEPTH {
        return;
    }
    let mut found = Vec::new();
    let is_json = each_value(data, |value| found.push(value.to_owned()));
    let text = std::str::from_utf8(data).ok();
    assert_eq!(is_json, text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()));
    let Some(Ok(root)) = text.map(serde_json::from_str::<&RawValue>) else { return };
    let mut expected = Vec::new();
    // It reads no further than a name that makes no text.
    if values(root, &mut expected).is_ok() {
        assert_eq!(found, expected);
    }
}

fn values(raw: &RawValue, all: &mut Vec<String>) -> Result<(), Error> {
    all.push(raw.get().to_owned());
    let mut within = Deserializer::from_str(raw.get());
    match raw.get().as_bytes().first() {
        Some(b'[') => within.deserialize_seq(Inside(all)),
        Some(b'{') => within.deserialize_map(Inside(all)),
        _ => Ok(()),
    }
}

struct Inside<'a>(&'a mut Vec<String>);

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element()? {
            values(raw, self.0).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((_, raw)) = map.next_entry::<String, _>()? {
            values(raw, self.0).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
