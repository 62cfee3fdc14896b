//! Typed attribute keys, and the tables behind them.

use std::{fmt, marker::PhantomData};

use super::span::Value;

/// An attribute's key together with the type of its value, so that a wrong type does not compile.
pub struct Key<T> {
    def: &'static AttributeDef,
    value: PhantomData<fn(T)>,
}

impl<T> Key<T> {
    /// Only generated code makes keys.
    pub(super) const fn new(def: &'static AttributeDef) -> Self {
        Self { def, value: PhantomData }
    }

    /// The key as it is exported.
    pub const fn name(self) -> &'static str {
        self.def.name
    }

    /// What the contract says about the attribute.
    pub const fn def(self) -> &'static AttributeDef {
        self.def
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.def.name)
    }
}

/// A JSON text; exported as a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub String);

/// What is exported as a string: strings, and the enums of the contract.
pub trait Text {
    /// The exported text.
    fn into_text(self) -> String;
}

impl Text for String {
    fn into_text(self) -> String {
        self
    }
}

/// A type that an attribute's value can have.
pub trait AttributeValue {
    /// The value as it is exported.
    fn into_value(self) -> Value;
}

impl<T: Text> AttributeValue for T {
    fn into_value(self) -> Value {
        Value::String(self.into_text())
    }
}

impl<T: Text> AttributeValue for Vec<T> {
    fn into_value(self) -> Value {
        Value::Strings(self.into_iter().map(Text::into_text).collect())
    }
}

impl AttributeValue for i64 {
    fn into_value(self) -> Value {
        Value::Int(self)
    }
}

impl AttributeValue for f64 {
    fn into_value(self) -> Value {
        Value::Double(self)
    }
}

impl AttributeValue for bool {
    fn into_value(self) -> Value {
        Value::Bool(self)
    }
}

impl AttributeValue for Json {
    fn into_value(self) -> Value {
        Value::String(self.0)
    }
}

/// The type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A string.
    String,
    /// An integer.
    Int,
    /// A double.
    Double,
    /// A boolean.
    Bool,
    /// An array of strings.
    Strings,
    /// A JSON text in a string: never cut by the general limit, since the rest would not be JSON.
    Json,
}

/// How private an attribute's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Says nothing about people or content.
    Structural,
    /// May name a person, a tenant or a single call.
    Identifying,
    /// Prompts, completions, tools: exported only when asked for.
    Content,
}

/// Whether an attribute is fit to group or label by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Few values.
    Bounded,
    /// Any number of values.
    Unbounded,
}

/// What the contract says about an attribute.
#[derive(Debug)]
pub struct AttributeDef {
    /// The key.
    pub name: &'static str,
    /// Its place in [`ATTRIBUTES`](super::names::ATTRIBUTES).
    pub index: usize,
    /// Type of its value.
    pub kind: ValueKind,
    /// Listed values, of an enum or of an array's items; empty when there is no list.
    pub members: &'static [&'static str],
    /// Only listed values are allowed.
    pub closed: bool,
    /// Privacy class.
    pub privacy: Privacy,
    /// Cardinality class.
    pub cardinality: Cardinality,
    /// Longest text in bytes, for each item of an array.
    pub max_bytes: Option<usize>,
    /// Most items of an array.
    pub max_items: Option<usize>,
    /// Version of the contract that brought it.
    pub since: &'static str,
}

/// Must a span or resource carry an attribute?
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// Always.
    Required,
    /// Whenever the other attribute is there.
    With(&'static AttributeDef),
    /// Whenever the span's status is an error.
    OnError,
    /// On a condition that only the wire can tell.
    Conditional,
    /// If it is known.
    Recommended,
    /// If the user asks for it.
    OptIn,
}

/// An attribute as a span or resource uses it.
#[derive(Debug)]
pub struct Use {
    /// The attribute.
    pub attribute: &'static AttributeDef,
    /// Must it be there?
    pub requirement: Requirement,
}

/// The attributes of a kind of span, of an entity, or of the resource.
#[derive(Debug)]
pub struct Shape {
    /// Its name in the registry.
    pub name: &'static str,
    /// Its attributes, in the order of the registry.
    pub attributes: &'static [Use],
    /// The same, to look one up.
    set: AttributeSet,
}

impl Shape {
    /// Only generated code makes shapes.
    pub(super) const fn new(name: &'static str, attributes: &'static [Use]) -> Self {
        let mut set = AttributeSet::EMPTY;
        let mut at = 0;
        while at < attributes.len() {
            set = set.with(attributes[at].attribute);
            at += 1;
        }
        Self { name, attributes, set }
    }

    /// Is it an attribute of this?
    pub const fn has(&self, attribute: &AttributeDef) -> bool {
        self.set.has(attribute)
    }
}

/// Some of the contract's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeSet([u64; 4]);

impl AttributeSet {
    /// None of them.
    pub const EMPTY: Self = Self([0; 4]);

    /// Only generated code lists them. Does not compile when the contract has more attributes than there is room for.
    pub(super) const fn of(attributes: &[&AttributeDef]) -> Self {
        let mut set = Self::EMPTY;
        let mut at = 0;
        while at < attributes.len() {
            set = set.with(attributes[at]);
            at += 1;
        }
        set
    }

    const fn with(mut self, attribute: &AttributeDef) -> Self {
        self.0[attribute.index / 64] |= 1 << (attribute.index % 64);
        self
    }

    /// Is it one of them?
    pub const fn has(&self, attribute: &AttributeDef) -> bool {
        self.0[attribute.index / 64] >> (attribute.index % 64) & 1 == 1
    }

    /// Puts it in, and tells whether it was not.
    pub(super) const fn insert(&mut self, attribute: &AttributeDef) -> bool {
        let new = !self.has(attribute);
        *self = self.with(attribute);
        new
    }

    /// Takes it out.
    pub(super) const fn remove(&mut self, attribute: &AttributeDef) {
        self.0[attribute.index / 64] &= !(1 << (attribute.index % 64));
    }
}

/// A name that was renamed, and that consumers still read.
#[derive(Debug)]
pub struct Overlap {
    /// The name that counts.
    pub current: &'static AttributeDef,
    /// The name that older consumers read.
    pub older: &'static AttributeDef,
    /// The first version of the contract that may leave the older name out.
    pub until: &'static str,
}

/// What the contract says about a key; `None` for a key that it does not know.
pub fn definition(name: &str) -> Option<&'static AttributeDef> {
    let table = &super::names::ATTRIBUTES;
    table.binary_search_by(|def| def.name.cmp(name)).ok().map(|index| &table[index])
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_name() {
        for (index, def) in names::ATTRIBUTES.iter().enumerate() {
            assert!(std::ptr::eq(definition(def.name).unwrap(), def), "{}", def.name);
            assert_eq!(def.index, index, "{}", def.name);
        }
        assert!(definition("gen_ai.nonsense").is_none());
        assert!(definition("").is_none());
    }

    #[test]
    fn keys_point_at_their_own_definition() {
        assert_eq!(names::GEN_AI_REQUEST_TOP_K.name(), "gen_ai.request.top_k");
        assert_eq!(names::GEN_AI_REQUEST_TOP_K.def().kind, ValueKind::Int);
        assert_eq!(names::GEN_AI_INPUT_MESSAGES.def().privacy, Privacy::Content);
        assert_eq!(format!("{:?}", names::SERVER_PORT), "server.port");
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = AttributeSet::EMPTY;
        for (at, def) in names::ATTRIBUTES.iter().enumerate() {
            assert!(!set.has(def) && set.insert(def) && !set.insert(def) && set.has(def), "{}", def.name);
            assert!(names::ATTRIBUTES[at + 1..].iter().all(|other| !set.has(other)), "{}", def.name);
        }
        set.remove(names::SERVER_PORT.def());
        let left_out: Vec<_> =
            names::ATTRIBUTES.iter().filter(|def| !set.has(def)).map(|def| def.name).collect();
        assert_eq!(left_out, ["server.port"]);
        assert!(
            names::RESOURCE.has(names::PROCESS_PID.def()) && !names::RESOURCE.has(names::SERVER_PORT.def())
        );
    }
}
