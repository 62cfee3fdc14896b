//! Telemetry as it is checked and inferred from: what OTLP carries, without its encoding.

use crate::{Instrument, Kind, SpanKind};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// An integer.
    Int(i64),
    /// A number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// An array.
    List(Vec<Value>),
    /// A map, bytes, or nothing: in no contract.
    Other(&'static str),
}

impl Value {
    /// The contract's type of it; `None` for what no contract has, and for an array that is empty or mixed.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Text(_) => Kind::String,
            Self::Int(_) => Kind::Int,
            Self::Double(_) => Kind::Double,
            Self::Bool(_) => Kind::Bool,
            Self::List(items) => {
                let first = items.first()?.kind()?;
                if items.iter().any(|item| item.kind() != Some(first)) {
                    return None;
                }
                match first {
                    Kind::String => Kind::Strings,
                    Kind::Int => Kind::Ints,
                    Kind::Double => Kind::Doubles,
                    Kind::Bool => Kind::Bools,
                    _ => return None,
                }
            }
            Self::Other(_) => return None,
        })
    }

    /// The type in words.
    pub fn kind_name(&self) -> &'static str {
        match (self, self.kind()) {
            (_, Some(kind)) => kind.name(),
            (Self::List(items), None) if items.is_empty() => "empty array",
            (Self::Other(what), None) => what,
            _ => "mixed array",
        }
    }

    /// The value as it would be written into a name.
    pub fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Double(number) => Some(number.to_string()),
            Self::List(_) | Self::Other(_) => None,
        }
    }
}

/// Attributes in the order in which they came.
pub type Attributes = Vec<(String, Value)>;

/// The value of a key.
pub fn get<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a Value> {
    attributes.iter().find(|(k, _)| k == key).map(|(_, value)| value)
}

/// A span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its kind; `None` if it tells none, which means internal.
    pub kind: Option<SpanKind>,
    /// Its status is an error.
    pub failed: bool,
    /// What it carries.
    pub attributes: Attributes,
    /// What happened in it.
    pub events: Vec<Event>,
}

/// An event: of a span, or a log record with an event name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// What it carries.
    pub attributes: Attributes,
}

/// A metric with the points of one export.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What its points were measured with; `None` for what no instrument of today makes (a summary).
    pub instrument: Option<Instrument>,
    /// Upper bounds of a histogram's buckets, of its first point.
    pub boundaries: Vec<f64>,
    /// The attributes of each point.
    pub points: Vec<Attributes>,
}
