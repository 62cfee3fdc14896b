//! How telemetry breaks a contract.

use std::fmt;

/// One way to break it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An attribute under the contract's namespaces that it does not have.
    Unknown,
    /// An attribute of the contract that this signal does not carry.
    NotHere,
    /// A value of another type.
    Type {
        /// The contract's.
        wanted: &'static str,
        /// The value's.
        found: &'static str,
    },
    /// A required attribute is missing.
    Missing {
        /// Why it is required here, if it is not always.
        because: Option<String>,
    },
    /// A value that a closed list does not have.
    NotListed {
        /// The value, unless it may say something about a person.
        found: Option<String>,
    },
    /// A text over its limit.
    TooLong {
        /// The limit in bytes.
        max: u32,
    },
    /// An array over its limit.
    TooMany {
        /// The limit in items.
        max: u32,
    },
    /// An older name is used where the current one isn't.
    Deprecated {
        /// The current one, if there is one.
        current: Option<String>,
    },
    /// A span's name that the contract does not give.
    SpanName {
        /// The form that it should have.
        wanted: String,
    },
    /// A span's kind that it does not come in.
    SpanKind {
        /// The contract's kinds.
        wanted: String,
        /// The span's.
        found: &'static str,
    },
    /// A metric under the contract's namespaces that it does not have.
    UnknownMetric,
    /// An event under the contract's namespaces that it does not have.
    UnknownEvent,
    /// A metric in another unit.
    Unit {
        /// The contract's.
        wanted: String,
        /// The metric's.
        found: String,
    },
    /// A metric of another instrument.
    Instrument {
        /// The contract's.
        wanted: &'static str,
        /// The metric's.
        found: &'static str,
    },
    /// A histogram with other buckets.
    Boundaries,
}

impl Rule {
    /// Its name, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_attribute",
            Self::NotHere => "attribute_not_here",
            Self::Type { .. } => "wrong_type",
            Self::Missing { .. } => "missing_attribute",
            Self::NotListed { .. } => "value_not_listed",
            Self::TooLong { .. } => "too_long",
            Self::TooMany { .. } => "too_many_items",
            Self::Deprecated { .. } => "deprecated_name",
            Self::SpanName { .. } => "unknown_span_name",
            Self::SpanKind { .. } => "wrong_span_kind",
            Self::UnknownMetric => "unknown_metric",
            Self::UnknownEvent => "unknown_event",
            Self::Unit { .. } => "wrong_unit",
            Self::Instrument { .. } => "wrong_instrument",
            Self::Boundaries => "wrong_boundaries",
        }
    }
}

/// One place where telemetry breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Violation {
    /// How.
    pub rule: Rule,
    /// In what: `span gen_ai.client.inference`, `metric x`, `event y`, `resource`.
    pub signal: String,
    /// The attribute's key, or what else of the signal is wrong.
    pub name: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, signal, name } = self;
        write!(f, "{signal}: ")?;
        match rule {
            Rule::Unknown => write!(f, "`{name}` is not in the contract"),
            Rule::NotHere => write!(f, "`{name}` does not belong here"),
            Rule::Type { wanted, found } => write!(f, "`{name}` is of type {found}, must be {wanted}"),
            Rule::Missing { because: None } => write!(f, "`{name}` is missing"),
            Rule::Missing { because: Some(because) } => write!(f, "`{name}` is missing: {because}"),
            Rule::NotListed { found: Some(found) } => {
                write!(f, "`{name}` has {found:?}, which is not listed")
            }
            Rule::NotListed { found: None } => write!(f, "`{name}` has a value that is not listed"),
            Rule::TooLong { max } => write!(f, "`{name}` is longer than {max} bytes"),
            Rule::TooMany { max } => write!(f, "`{name}` has more than {max} items"),
            Rule::Deprecated { current: Some(current) } => {
                write!(f, "`{name}` is an older name, and `{current}` is missing")
            }
            Rule::Deprecated { current: None } => write!(f, "`{name}` is deprecated"),
            Rule::SpanName { wanted } => write!(f, "the name {name:?} is not of the form `{wanted}`"),
            Rule::SpanKind { wanted, found } => write!(f, "the kind is {found}, must be {wanted}"),
            Rule::UnknownMetric => write!(f, "the metric is not in the contract"),
            Rule::UnknownEvent => write!(f, "the event is not in the contract"),
            Rule::Unit { wanted, found } => write!(f, "the unit is {found:?}, must be {wanted:?}"),
            Rule::Instrument { wanted, found } => write!(f, "the instrument is {found}, must be {wanted}"),
            Rule::Boundaries => write!(f, "the buckets have other boundaries"),
        }
    }
}
