//! A change: of what, of which kind, and whom it breaks.

use std::fmt;

use serde::Serialize;

/// What a change is for those who rely on the contract, from the most harmless on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nobody sees it who does not look for it.
    Compatible,
    /// There is something that was not there.
    Additive,
    /// Something that was promised can fail.
    Breaking,
}

impl Class {
    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Additive => "additive",
            Self::Breaking => "breaking",
        }
    }
}

/// Who relies on a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those who read the telemetry.
    Consumers,
    /// Those who send it, and are held to the contract.
    Producers,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is gone, and something like it has appeared.
    RenamedWithoutOverlap,
    /// It is gone before the version that it was promised until.
    OverlapCutShort,
    /// It is gone, as announced.
    OverlapEnded,
    /// An attribute is not on this signal any more; others still have it.
    TakenOff,
    /// It is deprecated, or not any more, or for longer.
    Deprecated,
    /// It is promised for less long.
    UntilLowered,
    /// The type of its values.
    Type,
    /// Its unit.
    Unit,
    /// A listed value is new.
    MemberAdded,
    /// A value is not listed any more.
    MemberRemoved,
    /// Only listed values are allowed now.
    ValuesClosed,
    /// Values that are not listed are allowed now.
    ValuesOpened,
    /// Its privacy class.
    Privacy,
    /// Its cardinality class.
    Cardinality,
    /// The longest text.
    MaxBytes,
    /// The most items.
    MaxItems,
    /// When it must be there.
    Requirement,
    /// The span kinds it comes in.
    SpanKind,
    /// How spans are named.
    NamePattern,
    /// What a metric is measured with.
    Instrument,
    /// A histogram's buckets.
    Boundaries,
    /// What tells one entity from another.
    Identity,
    /// Words only.
    Described,
    /// The contract's version does not tell of the change.
    Version,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 26] = [
        Self::Added,
        Self::Removed,
        Self::RenamedWithoutOverlap,
        Self::OverlapCutShort,
        Self::OverlapEnded,
        Self::TakenOff,
        Self::Deprecated,
        Self::UntilLowered,
        Self::Type,
        Self::Unit,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ValuesClosed,
        Self::ValuesOpened,
        Self::Privacy,
        Self::Cardinality,
        Self::MaxBytes,
        Self::MaxItems,
        Self::Requirement,
        Self::SpanKind,
        Self::NamePattern,
        Self::Instrument,
        Self::Boundaries,
        Self::Identity,
        Self::Described,
        Self::Version,
    ];

    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::RenamedWithoutOverlap => "renamed_without_overlap",
            Self::OverlapCutShort => "overlap_cut_short",
            Self::OverlapEnded => "overlap_ended",
            Self::TakenOff => "taken_off",
            Self::Deprecated => "deprecated",
            Self::UntilLowered => "until_lowered",
            Self::Type => "type",
            Self::Unit => "unit",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ValuesClosed => "values_closed",
            Self::ValuesOpened => "values_opened",
            Self::Privacy => "privacy",
            Self::Cardinality => "cardinality",
            Self::MaxBytes => "max_bytes",
            Self::MaxItems => "max_items",
            Self::Requirement => "requirement",
            Self::SpanKind => "span_kind",
            Self::NamePattern => "name_pattern",
            Self::Instrument => "instrument",
            Self::Boundaries => "boundaries",
            Self::Identity => "identity",
            Self::Described => "described",
            Self::Version => "version",
        }
    }
}

/// What kind of thing an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ElementKind {
    /// The contract as a whole.
    Contract,
    /// A kind of span.
    Span,
    /// A metric.
    Metric,
    /// An event.
    Event,
    /// The resource, all entities together.
    Resource,
    /// A part of the resource.
    Entity,
    /// An attribute, wherever it is.
    Attribute,
}

impl ElementKind {
    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Span => "span",
            Self::Metric => "metric",
            Self::Event => "event",
            Self::Resource => "resource",
            Self::Entity => "entity",
            Self::Attribute => "attribute",
        }
    }
}

/// What a change is about: an element of the contract, or an attribute as one of them carries it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Element {
    /// What it is.
    pub kind: ElementKind,
    /// Its name in the registry, or the attribute's key.
    pub name: String,
    /// The key of the attribute on it that changed; `None` where the element itself did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
}

impl Element {
    pub(super) fn new(kind: ElementKind, name: &str) -> Self {
        Self { kind, name: name.to_owned(), attribute: None }
    }

    pub(super) fn with(&self, key: &str) -> Self {
        Self { attribute: Some(key.to_owned()), ..self.clone() }
    }

    /// The key of the attribute that changed, be it everywhere or on one signal.
    pub fn key(&self) -> Option<&str> {
        match self.kind {
            ElementKind::Attribute => Some(&self.name),
            _ => self.attribute.as_deref(),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.attribute) {
            (ElementKind::Resource, None) => f.write_str("the resource"),
            (ElementKind::Resource, Some(key)) => write!(f, "{key} on the resource"),
            (kind, None) => write!(f, "{} {}", kind.name(), self.name),
            (kind, Some(key)) => write!(f, "{key} on {} {}", kind.name(), self.name),
        }
    }
}

/// One change of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is for consumers.
    pub class: Class,
    /// It also breaks producers that kept to the old contract.
    pub breaks_producers: bool,
    /// What changed.
    pub kind: ChangeKind,
    /// Of what.
    pub element: Element,
    /// What was there, where that is one value: a type, a unit, a listed value, a name pattern.
    pub old: Option<String>,
    /// What is there now; a successor's name, where there is one.
    pub new: Option<String>,
    /// The rest of a sentence that begins with the element.
    pub message: String,
}

impl Change {
    pub(super) fn new(class: Class, kind: ChangeKind, element: Element, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { class, breaks_producers: false, kind, element, old: None, new: None, message }
    }

    pub(super) fn from(self, old: impl Into<String>) -> Self {
        Self { old: Some(old.into()), ..self }
    }

    pub(super) fn to(self, new: impl Into<String>) -> Self {
        Self { new: Some(new.into()), ..self }
    }

    pub(super) fn breaking_producers(self, breaks: bool) -> Self {
        Self { breaks_producers: breaks, ..self }
    }

    /// What it is for one side. What consumers lose costs producers nothing, as long as they may still send it.
    pub fn class_for(&self, side: Side) -> Class {
        match side {
            Side::Consumers => self.class,
            Side::Producers if self.breaks_producers => Class::Breaking,
            Side::Producers if self.kind == ChangeKind::Added => Class::Additive,
            Side::Producers if self.kind == ChangeKind::Version => self.class,
            Side::Producers => Class::Compatible,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.element, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for kind in ChangeKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.name()));
        }
        for class in [Class::Compatible, Class::Additive, Class::Breaking] {
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{}\"", class.name()));
        }
    }
}
