//! A contract, resolved and checked: every reference points somewhere, every element says all that we ask of it.

use serde::{Deserialize, Serialize};

use crate::{pattern::Pattern, version::Version};

/// The whole contract.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: Version,
    /// Its schema URL, which ends in the version.
    pub schema_url: String,
    /// What it is a contract of.
    pub description: String,
    /// The conventions that it follows.
    pub based_on: Vec<Conventions>,
    /// In the order of their keys.
    pub attributes: Vec<Attribute>,
    /// In the order of the files.
    pub spans: Vec<Span>,
    /// In the order of the files.
    pub metrics: Vec<Metric>,
    /// In the order of the files.
    pub events: Vec<Event>,
    /// In the order of the files.
    pub entities: Vec<Entity>,
}

impl Registry {
    /// The attribute of a key.
    pub fn attribute(&self, key: &str) -> Option<&Attribute> {
        let at = self.attributes.binary_search_by(|a| a.key.as_str().cmp(key)).ok()?;
        Some(&self.attributes[at])
    }

    /// The kind of span of a name in the registry.
    pub fn span(&self, name: &str) -> Option<&Span> {
        self.spans.iter().find(|span| span.name == name)
    }

    /// The metric of a name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// The event of a name.
    pub fn event(&self, name: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.name == name)
    }
}

/// Published conventions that a contract follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conventions {
    /// How elements of the contract refer to it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version that is followed.
    pub version: String,
    /// What of it is followed.
    pub note: Option<String>,
}

/// What an element follows upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Id of the [`Conventions`].
    pub conventions: String,
    /// Their version.
    pub version: String,
    /// The element's name there.
    pub name: String,
}

/// An older name, or something that goes without a successor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// The current name; `None` if it goes without one.
    pub renamed_to: Option<String>,
    /// The first version of the contract that may leave it out. Every version before that emits it.
    pub until: Version,
}

/// An attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its key.
    pub key: String,
    /// Type of its value.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub brief: String,
    /// More about it.
    pub note: Option<String>,
    /// Examples, as JSON.
    pub examples: Vec<String>,
    /// How settled it is, in the conventions' words.
    pub stability: String,
    /// Listed values: an enum's members, or the items of an array.
    pub members: Vec<Member>,
    /// Whether only listed values are allowed; `None` where there is no list.
    pub values: Option<Values>,
    /// UCUM unit of the number.
    pub unit: Option<String>,
    /// How private it is.
    pub privacy: Privacy,
    /// Whether it is fit to group by.
    pub cardinality: Cardinality,
    /// Version of the contract that brought it.
    pub since: Version,
    /// Longest text in bytes, for each item of an array.
    pub max_bytes: Option<u32>,
    /// Most items of an array.
    pub max_items: Option<u32>,
    /// Set where this is an older name, or goes.
    pub deprecated: Option<Deprecated>,
    /// What it follows.
    pub upstream: Option<Upstream>,
}

impl Attribute {
    /// The current name, where this is the older one.
    pub fn renamed_to(&self) -> Option<&str> {
        self.deprecated.as_ref()?.renamed_to.as_deref()
    }
}

/// The type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `string`, or an enum of strings.
    String,
    /// `int`, or an enum of integers.
    Int,
    /// `double`.
    Double,
    /// `boolean`.
    Bool,
    /// `string[]`.
    Strings,
    /// `int[]`.
    Ints,
    /// `double[]`.
    Doubles,
    /// `boolean[]`.
    Bools,
    /// `any` in the conventions; a JSON string on spans.
    Json,
}

impl Kind {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Double => "double",
            Self::Bool => "boolean",
            Self::Strings => "string[]",
            Self::Ints => "int[]",
            Self::Doubles => "double[]",
            Self::Bools => "boolean[]",
            Self::Json => "any",
        }
    }

    /// The type of such a name.
    pub fn of_name(name: &str) -> Option<Self> {
        use Kind::{Bool, Bools, Double, Doubles, Int, Ints, Json, String, Strings};
        [String, Int, Double, Bool, Strings, Ints, Doubles, Bools, Json]
            .into_iter()
            .find(|k| k.name() == name)
    }

    /// An array.
    pub fn is_array(self) -> bool {
        matches!(self, Self::Strings | Self::Ints | Self::Doubles | Self::Bools)
    }

    /// A text, or an array of texts.
    pub fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Strings | Self::Json)
    }

    /// A number, or an array of numbers.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Ints | Self::Doubles)
    }
}

/// A listed value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id in the registry.
    pub id: String,
    /// The value, as text.
    pub value: String,
    /// What it means; may be empty.
    pub brief: String,
}

/// May a value be one that the registry does not list?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    /// It may.
    Open,
    /// It may not.
    Closed,
}

/// How private a value is, from the least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// Says nothing about people or content.
    Structural,
    /// May name a person, a tenant or a single call.
    Identifying,
    /// Prompts, completions, tools.
    Content,
}

impl Privacy {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structural => "structural",
            Self::Identifying => "identifying",
            Self::Content => "content",
        }
    }
}

/// How many values an attribute takes, from the fewest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    /// Few: it is fit to group or label by.
    Bounded,
    /// Any number.
    Unbounded,
}

impl Cardinality {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bounded => "bounded",
            Self::Unbounded => "unbounded",
        }
    }
}

/// A kind of span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name in the registry (Weaver's `type`); not the name that its spans have.
    pub name: String,
    /// The span kinds it comes in.
    pub kinds: Vec<SpanKind>,
    /// How its spans are named, in words.
    pub naming: String,
    /// The forms of their names, the usual one first; none if the contract does not bind them.
    pub patterns: Vec<Pattern>,
    /// How they were named before, and are until a declared version.
    pub older: Option<OlderNames>,
    /// What it is, in one sentence.
    pub brief: String,
    /// More about it.
    pub note: Option<String>,
    /// How settled it is, in the conventions' words.
    pub stability: String,
    /// Version of the contract that brought it.
    pub since: Version,
    /// Set where it has a successor, or goes.
    pub deprecated: Option<Deprecated>,
    /// What it follows.
    pub upstream: Option<Upstream>,
    /// What it carries.
    pub attributes: Vec<Use>,
}

impl Span {
    /// The forms of the name that spans have in this version of the contract, unless somebody chooses another: a span has one name
    /// only, so that of an overlap is the older one, and the current one stands beside it in an attribute.
    pub fn shown(&self, version: Version) -> &[Pattern] {
        match &self.older {
            Some(older) if version < older.until => &older.patterns,
            _ => &self.patterns,
        }
    }

    /// All forms, current and older.
    pub fn all_patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.iter().chain(self.older.iter().flat_map(|older| &older.patterns))
    }
}

/// The forms of the names that spans had before they were renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OlderNames {
    /// The forms, the usual one first.
    pub patterns: Vec<Pattern>,
    /// Version of the contract that brought the current ones.
    pub replaced: Version,
    /// The first version that may leave the older ones out.
    pub until: Version,
}

/// OpenTelemetry's span kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpanKind {
    /// Makes a request.
    Client,
    /// Serves one.
    Server,
    /// Neither.
    Internal,
    /// Sends a message.
    Producer,
    /// Takes one.
    Consumer,
}

impl SpanKind {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Internal => "internal",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The kind of such a name.
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [Self::Client, Self::Server, Self::Internal, Self::Producer, Self::Consumer];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it is measured with.
    pub instrument: Instrument,
    /// UCUM unit.
    pub unit: String,
    /// What it says, in one sentence.
    pub brief: String,
    /// More about it.
    pub note: Option<String>,
    /// How settled it is, in the conventions' words.
    pub stability: String,
    /// Version of the contract that brought it.
    pub since: Version,
    /// Set where it is an older name, or goes.
    pub deprecated: Option<Deprecated>,
    /// What it follows.
    pub upstream: Option<Upstream>,
    /// Upper bounds of a histogram's buckets, in the metric's unit; none if the contract does not bind them.
    pub boundaries: Vec<f64>,
    /// What its points carry.
    pub attributes: Vec<Use>,
}

/// OpenTelemetry's instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Instrument {
    /// A sum that only grows.
    Counter,
    /// A sum.
    UpDownCounter,
    /// The last value.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Instrument {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// An event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// What it says, in one sentence.
    pub brief: String,
    /// More about it.
    pub note: Option<String>,
    /// How settled it is, in the conventions' words.
    pub stability: String,
    /// Version of the contract that brought it.
    pub since: Version,
    /// Set where it is an older name, or goes.
    pub deprecated: Option<Deprecated>,
    /// What it follows.
    pub upstream: Option<Upstream>,
    /// What it carries.
    pub attributes: Vec<Use>,
}

/// A part of the resource.
#[derive(Clone, Debug)]
pub struct Entity {
    /// Its name in the registry (Weaver's `type`).
    pub name: String,
    /// What it is, in one sentence.
    pub brief: String,
    /// How settled it is, in the conventions' words.
    pub stability: String,
    /// Keys of the attributes that tell one such entity from another.
    pub identity: Vec<String>,
    /// What it carries, identity first.
    pub attributes: Vec<Use>,
}

/// An attribute as a span, metric, event or entity uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The attribute's key.
    pub key: String,
    /// Must it be there?
    pub level: Requirement,
    /// The condition or hint beside the level, in words.
    pub when: Option<String>,
    /// Required whenever the attribute of this key is there.
    pub required_with: Option<String>,
    /// Required whenever the span's status is an error.
    pub required_on_error: bool,
}

/// Must an attribute be there?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Always.
    Required,
    /// On its condition.
    Conditional,
    /// If it is known.
    Recommended,
    /// If the user asks for it.
    OptIn,
}

impl Requirement {
    /// Its name in the YAML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Conditional => "conditionally_required",
            Self::Recommended => "recommended",
            Self::OptIn => "opt_in",
        }
    }
}
