//! The tools that a model may call, and those that it called.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::{
    genai::{Call, Part, ToolDefinition},
    policy::content::Key,
};

/// As many names of called tools are told.
const NAMES: usize = 32;

/// The keyed hash of the tools; none without tools, or if not all of them are known.
pub(super) fn set(call: &Call, key: &Key) -> Option<String> {
    let tools = &call.request.tools;
    if tools.is_empty() || call.omitted > 0 || call.damage.request.any() {
        return None;
    }
    let mut each: Vec<u64> = tools.iter().map(tool).collect();
    each.sort_unstable();
    let mut hash = key.begin("tool_set");
    for tool in each {
        hash.field(&tool.to_be_bytes());
    }
    Some(hash.finish(16))
}

/// The keyed hash of the names of the called tools, and the last of them; none if not all of them are known.
pub(super) fn sequence(call: &Call, key: &Key) -> (Option<String>, Vec<String>) {
    if call.omitted > 0 || call.damage.request.any() || call.damage.response.any() {
        return (None, Vec::new());
    }
    let asked = call.request.messages.iter();
    let answered = call.response.generations.iter().map(|generation| &generation.message);
    let parts = asked.chain(answered).flat_map(|message| &message.parts);
    let names: Vec<&str> = parts
        .filter_map(|part| match part {
            Part::ToolCall { name, .. } | Part::ServerToolCall { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return (None, Vec::new());
    }
    let mut hash = key.begin("tool_sequence");
    for name in &names {
        hash.field(name.as_bytes());
    }
    let last = &names[names.len().saturating_sub(NAMES)..];
    (Some(hash.finish(16)), last.iter().map(|name| (*name).to_owned()).collect())
}

fn tool(tool: &ToolDefinition) -> u64 {
    let parameters = tool.parameters.as_ref().map(|json| {
        let json = json.get();
        let read = Unordered.deserialize(&mut serde_json::Deserializer::from_str(json));
        // Nested too deep to be read.
        read.unwrap_or_else(|_| hashed(json))
    });
    hashed((&tool.kind, &tool.name, parameters))
}

fn hashed(value: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Hashes JSON without regard to spaces and to the order of members (RFC 8259, section 4: objects are unordered).
struct Unordered;

impl<'de> DeserializeSeed<'de> for Unordered {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unordered {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(hashed("null"))
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(hashed(("bool", value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(hashed(("number", value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(hashed(("number", i128::from(value))))
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(hashed(("number", value.to_bits())))
    }

    fn visit_str<E>(self, value: &str) -> Result<u64, E> {
        Ok(hashed(("string", value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<u64, A::Error> {
        let mut hasher = DefaultHasher::new();
        "array".hash(&mut hasher);
        while let Some(element) = seq.next_element_seed(Self)? {
            element.hash(&mut hasher);
        }
        Ok(hasher.finish())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u64, A::Error> {
        let mut sum = 0_u64;
        while let Some(name) = map.next_key_seed(Self)? {
            sum = sum.wrapping_add(hashed((name, map.next_value_seed(Self)?)));
        }
        Ok(hashed(("object", sum)))
    }
}
