//! Declared consumers: who reads what, as `contract/consumers/*.yaml` says it.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::found::Usage;
use crate::yaml::scalar;

/// `file_format` of a file of declarations.
pub const FILE_FORMAT: &str = "consumers/1";

/// A file of declarations.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declarations {
    /// [`FILE_FORMAT`].
    pub file_format: String,
    /// Whom a change has to be agreed with: a person, a team, a channel.
    pub owner: String,
    /// What the owner has that reads the telemetry.
    pub consumers: Vec<Consumer>,
}

impl Declarations {
    /// As they are written in a file.
    pub fn yaml(&self) -> String {
        let mut out =
            format!("file_format: {}\nowner: {}\nconsumers:\n", self.file_format, scalar(&self.owner));
        for consumer in &self.consumers {
            let _ = writeln!(out, "  - name: {}", scalar(&consumer.name));
            for (key, text) in [("file", &consumer.file), ("note", &consumer.note)] {
                if let Some(text) = text {
                    let _ = writeln!(out, "    {key}: {}", scalar(text));
                }
            }
            out.push_str(if consumer.reads.is_empty() { "    reads: []\n" } else { "    reads:\n" });
            for reading in &consumer.reads {
                let _ = writeln!(out, "      - {}", reading.yaml());
            }
        }
        out
    }
}

/// Something that reads the telemetry: a dashboard, a set of rules, a query, a product.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// What it is called where a change that breaks it is spoken of.
    pub name: String,
    /// The file that reads, from the directory on that the contract lies in; what it reads is held against the declaration.
    #[serde(default)]
    pub file: Option<String>,
    /// What else is to be known.
    #[serde(default)]
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
    fn yaml(&self) -> String {
        let how: Vec<_> = self.usages.iter().map(|usage| usage.name()).collect();
        let mut out =
            format!("{{{}: {}, how: [{}]", self.subject.kind(), scalar(self.subject.name()), how.join(", "));
        if !self.values.is_empty() {
            let values: Vec<_> = self.values.iter().map(|value| scalar(value)).collect();
            let _ = write!(out, ", values: [{}]", values.join(", "));
        }
        out.push('}');
        out
    }

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
