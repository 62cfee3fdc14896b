//! What stands in arrays and objects, whose text is known to be JSON: step by step, and as serde wants it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{
            BorrowedBytesDeserializer, BorrowedStrDeserializer, Error, StringDeserializer, U64Deserializer,
        },
    },
    forward_to_deserialize_any,
};

use super::{
    document::{Extent, Within},
    field::Field,
    scan,
};

/// Goes through the elements of an array or the members of an object.
pub(super) struct Walk<'a> {
    json: &'a str,
    /// Where `json` begins in its document.
    start: usize,
    /// How far it was walked.
    at: usize,
    within: Within<'a>,
}

impl<'a> Walk<'a> {
    /// From the beginning of a container.
    pub(super) fn new(json: &'a str, start: usize, extents: &'a [Extent]) -> Self {
        Self { json, start, at: 1, within: Within::new(extents) }
    }

    /// To the next element or member, if there is another one.
    fn advance(&mut self) -> Option<()> {
        let text = self.json.as_bytes();
        self.at = scan::space(text, self.at);
        match text.get(self.at)? {
            b']' | b'}' => return None,
            b',' => self.at = scan::space(text, self.at + 1),
            _ => {}
        }
        Some(())
    }

    /// The next element of an array.
    pub(super) fn element(&mut self) -> Option<Field<'a>> {
        self.advance()?;
        self.take()
    }

    /// The name of the next member of an object, whose value has to be taken then.
    pub(super) fn name(&mut self) -> Option<Name<'a>> {
        self.advance()?;
        let (end, value) = scan::name(self.json.as_bytes(), self.at)?;
        let name = Name(self.json.get(self.at + 1..end - 1)?);
        self.at = value;
        Some(name)
    }

    /// The next element, or the value of the next member.
    pub(super) fn value(&mut self) -> Option<Field<'a>> {
        if self.json.starts_with('{') {
            self.name()?;
            return self.take();
        }
        self.element()
    }

    /// The value that begins here.
    pub(super) fn take(&mut self) -> Option<Field<'a>> {
        let at = self.start + self.at;
        let (end, within) = match self.within.take(at) {
            Some((end, within)) => (end - self.start, within),
            None => (scan::value(self.json.as_bytes(), self.at, &mut ())?, &[][..]),
        };
        let json = self.json.get(self.at..end)?;
        self.at = end;
        Some(Field::new(json, at, within))
    }
}

/// A member's name as it is written, between its quotes.
pub(super) struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// What it says. A surrogate that stands alone makes no text.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Error> {
        if self.0.bytes().all(|byte| byte != b'\\') {
            return Ok(Cow::Borrowed(self.0));
        }
        serde_json::from_str(&format!("\"{}\"", self.0)).map(Cow::Owned).map_err(Error::custom)
    }
}

/// How a field asks for itself, as the newtype of this name: as a sequence of its text, its extents, and where it begins.
const FIELD: &str = "plainspan::genai::Field";

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(FIELD, Itself)
    }
}

struct Itself;

impl<'de> Visitor<'de> for Itself {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field of a document")
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Field<'de>, A::Error> {
        let json = seq.next_element()?.unwrap_or_default();
        let extents: &[u8] = seq.next_element()?.unwrap_or_default();
        let start: u64 = seq.next_element()?.unwrap_or_default();
        Ok(Field::new(json, start as usize, extents.as_chunks().0))
    }
}

/// The parts of a field, one after the other.
struct Parts<'a> {
    field: Field<'a>,
    next: u8,
}

impl<'de> SeqAccess<'de> for Parts<'de> {
    type Error = Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.next += 1;
        let (json, start, extents) = self.field.parts();
        match self.next {
            1 => seed.deserialize(BorrowedStrDeserializer::new(json)),
            2 => seed.deserialize(BorrowedBytesDeserializer::new(extents.as_flattened())),
            3 => seed.deserialize(U64Deserializer::new(start as u64)),
            _ => return Ok(None),
        }
        .map(Some)
    }
}

/// A field is read as itself, or as a struct or a map of such.
impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only objects and fields are read from documents"))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Members(self.walk()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &str, visitor: V) -> Result<V::Value, Error> {
        if name == FIELD {
            return visitor.visit_seq(Parts { field: self, next: 0 });
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct enum identifier
    }
}

/// The members of an object.
struct Members<'a>(Walk<'a>);

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = self.0.name() else { return Ok(None) };
        match name.text()? {
            Cow::Borrowed(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
            Cow::Owned(name) => seed.deserialize::<StringDeserializer<Error>>(name.into_deserializer()),
        }
        .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.0.take().unwrap_or_default())
    }
}
