//! Declared consumers: who reads what, as `contract/consumers/*.yaml` says it.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

use super::found::Usage;

/// `file_format` of a file of declarations.
pub const FILE_FORMAT: &str = "consumers/1";

/// A file of declarations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    /// [`FILE_FORMAT`].
    pub file_format: String,
    /// Whom a change has to be agreed with: a person, a team, a channel.
    pub owner: String,
    /// What the owner has that reads the telemetry.
    pub consumers: Vec<Consumer>,
}

/// Something that reads the telemetry: a dashboard, a set of rules, a query, a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// What it is called where a change that breaks it is spoken of.
    pub name: String,
    /// The file that reads, from the directory on that the contract lies in; what it reads is held against the declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What else is to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it reads.
    pub reads: Vec<Reading>,
}

/// Something in the contract that can be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An attribute of spans, metrics or events, by its key.
    Attribute(String),
    /// An attribute of the resource, by its key.
    ResourceAttribute(String),
    /// The names of spans of a kind, by the kind's name in the registry (Weaver's `type`).
    SpanName(String),
    /// A metric, by its name.
    Metric(String),
}

impl Subject {
    /// The name that it is declared under.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Attribute(_) => "attribute",
            Self::ResourceAttribute(_) => "resource_attribute",
            Self::SpanName(_) => "span_name",
            Self::Metric(_) => "metric",
        }
    }

    /// Its name in the contract.
    pub fn name(&self) -> &str {
        match self {
            Self::Attribute(name)
            | Self::ResourceAttribute(name)
            | Self::SpanName(name)
            | Self::Metric(name) => name,
        }
    }

    fn of(kind: &str, name: String) -> Option<Self> {
        Some(match kind {
            "attribute" => Self::Attribute(name),
            "resource_attribute" => Self::ResourceAttribute(name),
            "span_name" => Self::SpanName(name),
            "metric" => Self::Metric(name),
            _ => return None,
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(name) => write!(f, "`{name}`"),
            Self::ResourceAttribute(name) => write!(f, "`{name}` of the resource"),
            Self::SpanName(name) => write!(f, "the names of spans `{name}`"),
            Self::Metric(name) => write!(f, "the metric `{name}`"),
        }
    }
}

/// One thing that a consumer reads: `{attribute: gen_ai.request.model, how: [groups_by]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What.
    pub subject: Subject,
    /// How; what breaks one use may leave another whole.
    pub usages: BTreeSet<Usage>,
    /// Values that it looks for.
    pub values: BTreeSet<String>,
}

impl Reading {
    /// As in "groups by and sums".
    pub fn verbs(&self) -> String {
        let verbs: Vec<_> = self.usages.iter().map(|usage| usage.verb()).collect();
        match verbs.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => Usage::Reads.verb().to_owned(),
        }
    }
}

/// As it is written; exactly one of the four says what is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    attribute: Option<String>,
    resource_attribute: Option<String>,
    span_name: Option<String>,
    metric: Option<String>,
    how: BTreeSet<Usage>,
    #[serde(default)]
    values: BTreeSet<String>,
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let named = [
            ("attribute", written.attribute),
            ("resource_attribute", written.resource_attribute),
            ("span_name", written.span_name),
            ("metric", written.metric),
        ];
        let mut subjects = named.into_iter().filter_map(|(kind, name)| Subject::of(kind, name?));
        match (subjects.next(), subjects.next()) {
            (Some(subject), None) if !written.how.is_empty() => {
                Ok(Self { subject, usages: written.how, values: written.values })
            }
            (Some(subject), None) => Err(D::Error::custom(format!("{subject}: how is empty"))),
            _ => Err(D::Error::custom(
                "an entry needs exactly one of attribute, resource_attribute, span_name and metric",
            )),
        }
    }
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.subject.kind(), self.subject.name())?;
        map.serialize_entry("how", &self.usages)?;
        if !self.values.is_empty() {
            map.serialize_entry("values", &self.values)?;
        }
        map.end()
    }
}
