//! What can be wrong with a contract, each with the file and the element in which it is.

use std::{io, path::PathBuf};

use crate::version::{NoVersion, Version};

/// Why a contract cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The directory holds no contract.
    #[error("no contract in {dir}: neither manifest.yaml nor registry/manifest.yaml is there")]
    NoManifest {
        /// The directory, as it was given.
        dir: String,
    },
    /// A directory of baselines is empty.
    #[error("no baseline in {dir}: neither a contract nor directories named after versions are there")]
    NoBaseline {
        /// The directory, as it was given.
        dir: String,
    },
    /// A file is no YAML, or no YAML of this form.
    #[error("{file}: {error}")]
    Yaml {
        /// The file.
        file: String,
        /// What the parser says, with line and column.
        error: serde_yaml_ng::Error,
    },
    /// The files are well formed and say something that cannot be.
    #[error("{place}: {rule}")]
    Rule {
        /// The file, then the elements from the outermost on, joined by `: `.
        place: String,
        /// What is wrong there.
        rule: Box<Rule>,
    },
}

/// A rule of contracts that was broken.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum Rule {
    #[error("file_format must be {wanted}, is {found}")]
    FileFormat { wanted: &'static str, found: String },
    #[error("version {0}")]
    Version(#[from] NoVersion),
    #[error("schema_url must end in the version {version}, ends in {found}")]
    SchemaUrl { version: Version, found: String },
    #[error("the name {0:?} is not lower-case words joined by dots, dashes and underscores")]
    ContractName(String),
    #[error("based_on has {0} twice")]
    ConventionsTwice(String),
    #[error("upstream.conventions {0} is not in the manifest's based_on")]
    UnknownConventions(String),
    #[error("annotations.plainspan is missing ({0})")]
    NoAnnotations(&'static str),
    #[error("annotations.plainspan is wrong: {0}")]
    Annotations(serde_yaml_ng::Error),
    #[error("{what} is already defined in {first}")]
    Twice { what: String, first: String },
    #[error("a name is text without spaces and braces")]
    Name,
    #[error(
        "type {0} is none of string, int, double, boolean, any, one of the first four with [], or members"
    )]
    UnknownType(String),
    #[error("type is wrong: {0}")]
    Type(serde_yaml_ng::Error),
    #[error("type has no members")]
    NoMembers,
    #[error("members are of more than one type")]
    MixedMembers,
    #[error("member id {0} is there twice")]
    MemberIdTwice(String),
    #[error("member value {0} is there twice")]
    MemberValueTwice(String),
    #[error("items is for string[]; an enum has members")]
    Items,
    #[error("values (open or closed) belongs to a list of values, and only to one")]
    Values,
    #[error("max_bytes belongs to free text, and only to that")]
    MaxBytes,
    #[error("max_items belongs to arrays, and only to those")]
    MaxItems,
    #[error("unit belongs to numbers, and only to those")]
    Unit,
    #[error("an example is no plain value")]
    Example,
    #[error("since {since} is not a released or the current version ({version})")]
    Since { since: Version, version: Version },
    #[error("deprecated.reason {0} is not supported: renamed and obsoleted are")]
    DeprecatedReason(String),
    #[error("deprecated.renamed_to belongs to the reason renamed, and only to that")]
    RenamedTo,
    #[error("annotations.plainspan.until belongs to what is deprecated, and only to that")]
    Until,
    #[error("older_name belongs to a span with a name_pattern, which replaced it")]
    OlderName,
    #[error("until {until} must be later than since {since}")]
    UntilTooEarly { until: Version, since: Version },
    #[error("renamed_to {0}, which is not defined")]
    RenamedToNothing(String),
    #[error("renamed_to {0}, which is itself an older name")]
    RenamedToOlder(String),
    #[error("renamed_to {0}, which has another type")]
    RenamedToOtherType(String),
    #[error("no signal has it: it is on no span, metric or event and in no entity")]
    Unused,
    #[error("ref_group {0} is not defined")]
    UnknownGroup(String),
    #[error("ref {0} is not defined")]
    UnknownRef(String),
    #[error("refers to a group")]
    GroupInGroup,
    #[error("an entry needs either ref or ref_group")]
    Reference,
    #[error("{0} is referred to twice")]
    ReferredTwice(String),
    #[error("{0} has no requirement_level")]
    NoLevel(String),
    #[error("{0}: requirement_level needs exactly one level")]
    OneLevel(String),
    #[error("{key}: requirement_level {level} is unknown, or lacks its condition")]
    Level { key: String, level: String },
    #[error("{key} is required_with {other}, which is not here")]
    RequiredWith { key: String, other: String },
    #[error("kind {0} is not supported: client, server, internal, producer and consumer are")]
    SpanKind(String),
    #[error("kinds do not contain the kind {0}")]
    Kinds(String),
    #[error("{0} is content, so it must be opt_in")]
    Content(String),
    #[error("{0} is content, which no metric carries")]
    ContentOnMetric(String),
    #[error("{older} is an older name of {current}, which is not here beside it")]
    OlderAlone { older: String, current: String },
    #[error("{0}: required_with and required_on belong to conditionally_required, and only to that")]
    ConditionLevel(String),
    #[error("name_pattern {0:?} is not text with keys in braces")]
    NamePattern(String),
    #[error("name_pattern has {0}, which is not on the span")]
    NamePatternKey(String),
    #[error("name_pattern {0:?} is there twice")]
    NamePatternTwice(String),
    #[error("has no identity")]
    NoIdentity,
    #[error("boundaries belong to a histogram, and only to one")]
    Boundaries,
    #[error("boundaries are not numbers that grow from one to the next")]
    BoundariesOrder,
}

/// A broken rule on its way out, with the elements it is in, from the innermost on.
pub(crate) struct Fault {
    within: Vec<String>,
    rule: Rule,
}

impl Fault {
    /// The error, now that the file is known.
    pub(crate) fn at(self, file: &str) -> Error {
        let places = std::iter::once(file).chain(self.within.iter().rev().map(String::as_str));
        Error::Rule { place: places.collect::<Vec<_>>().join(": "), rule: Box::new(self.rule) }
    }
}

impl From<Rule> for Fault {
    fn from(rule: Rule) -> Self {
        Self { within: Vec::new(), rule }
    }
}

/// Says in which element a rule was broken.
pub(crate) trait Within<T> {
    /// Adds the element around.
    fn within(self, place: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T, E: Into<Fault>> Within<T> for Result<T, E> {
    fn within(self, place: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|error| {
            let mut fault = error.into();
            fault.within.push(place());
            fault
        })
    }
}

/// The rule is kept, or it is the error.
pub(crate) fn ensure(kept: bool, rule: impl FnOnce() -> Rule) -> Result<(), Rule> {
    if kept { Ok(()) } else { Err(rule()) }
}
