//! The files of a contract as they are written: Weaver's `definition/2` YAML, with our annotations.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_yaml_ng::Value;

use crate::{
    error::{Error, Fault, Rule},
    model::{Cardinality, Instrument, Privacy, Values},
    read::File,
};

/// Annotations, by whose they are.
pub(crate) type Annotations = BTreeMap<String, Value>;

/// `manifest.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    file_format: String,
    pub(crate) schema_url: String,
    pub(crate) description: String,
    #[serde(rename = "stability")]
    _stability: String,
    pub(crate) annotations: ManifestAnnotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestAnnotations {
    pub(crate) plainspan: ManifestNotes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManifestNotes {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) based_on: Vec<Conventions>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Conventions {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// Any other file of the registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definitions {
    file_format: String,
    #[serde(default)]
    pub(crate) attributes: Vec<Attribute>,
    #[serde(default)]
    pub(crate) attribute_groups: Vec<Group>,
    #[serde(default)]
    pub(crate) spans: Vec<Span>,
    #[serde(default)]
    pub(crate) metrics: Vec<Metric>,
    #[serde(default)]
    pub(crate) events: Vec<Event>,
    #[serde(default)]
    pub(crate) entities: Vec<Entity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attribute {
    pub(crate) key: String,
    /// Checked by hand, so that the message can name the attribute.
    pub(crate) r#type: Value,
    pub(crate) brief: String,
    #[serde(default)]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) examples: Vec<Value>,
    pub(crate) stability: String,
    #[serde(default)]
    pub(crate) deprecated: Option<Deprecated>,
    #[serde(default)]
    pub(crate) annotations: Annotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deprecated {
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) renamed_to: Option<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// `type: {members: [...]}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnumType {
    pub(crate) members: Vec<Member>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) value: MemberValue,
    #[serde(default)]
    pub(crate) brief: Option<String>,
    #[serde(default, rename = "stability")]
    _stability: Option<String>,
}

/// A member's value: an enum is of strings or of integers.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum MemberValue {
    Int(i64),
    Text(String),
}

/// `annotations.plainspan` of an attribute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttributeNotes {
    pub(crate) privacy: Privacy,
    pub(crate) cardinality: Cardinality,
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) upstream: Option<Upstream>,
    #[serde(default)]
    pub(crate) unit: Option<String>,
    #[serde(default)]
    pub(crate) values: Option<Values>,
    #[serde(default)]
    pub(crate) items: Vec<String>,
    #[serde(default)]
    pub(crate) max_bytes: Option<u32>,
    #[serde(default)]
    pub(crate) max_items: Option<u32>,
}

/// What is followed: by default the same name, in the version that the manifest tells.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    pub(crate) conventions: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) id: String,
    #[serde(default, rename = "visibility")]
    _visibility: Option<String>,
    pub(crate) attributes: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    pub(crate) r#type: String,
    pub(crate) kind: String,
    pub(crate) name: SpanName,
    pub(crate) brief: String,
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) stability: String,
    #[serde(default)]
    pub(crate) deprecated: Option<Deprecated>,
    #[serde(default)]
    pub(crate) annotations: Annotations,
    #[serde(default)]
    pub(crate) attributes: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpanName {
    pub(crate) note: String,
}

/// `annotations.plainspan` of a span.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpanNotes {
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) upstream: Option<Upstream>,
    #[serde(default)]
    pub(crate) kinds: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) name_pattern: Option<OneOrMore>,
    #[serde(default)]
    pub(crate) older_name: Option<OlderName>,
}

/// How the spans were named before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OlderName {
    pub(crate) name_pattern: OneOrMore,
    pub(crate) replaced: String,
    pub(crate) until: String,
}

/// One text, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    /// The texts.
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) instrument: Instrument,
    pub(crate) unit: String,
    pub(crate) brief: String,
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) stability: String,
    #[serde(default)]
    pub(crate) deprecated: Option<Deprecated>,
    #[serde(default)]
    pub(crate) annotations: Annotations,
    #[serde(default)]
    pub(crate) attributes: Vec<Reference>,
}

/// `annotations.plainspan` of a metric.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricNotes {
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) upstream: Option<Upstream>,
    #[serde(default)]
    pub(crate) boundaries: Option<Vec<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) brief: String,
    #[serde(default)]
    pub(crate) note: Option<String>,
    pub(crate) stability: String,
    #[serde(default)]
    pub(crate) deprecated: Option<Deprecated>,
    #[serde(default)]
    pub(crate) annotations: Annotations,
    #[serde(default)]
    pub(crate) attributes: Vec<Reference>,
}

/// `annotations.plainspan` of an event.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventNotes {
    pub(crate) since: String,
    #[serde(default)]
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) upstream: Option<Upstream>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entity {
    pub(crate) r#type: String,
    pub(crate) brief: String,
    pub(crate) stability: String,
    pub(crate) identity: Vec<Reference>,
    #[serde(default)]
    pub(crate) description: Vec<Reference>,
}

/// `ref` or `ref_group`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reference {
    #[serde(default)]
    pub(crate) r#ref: Option<String>,
    #[serde(default)]
    pub(crate) ref_group: Option<String>,
    #[serde(default)]
    pub(crate) requirement_level: Option<Level>,
    #[serde(default)]
    pub(crate) annotations: Annotations,
}

/// `annotations.plainspan` of a reference: conditions that can be checked on the finished span.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReferenceNotes {
    #[serde(default)]
    pub(crate) required_with: Option<String>,
    #[serde(default)]
    pub(crate) required_on: Option<Occasion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Occasion {
    Error,
}

/// A requirement level, bare or with its condition.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Level {
    Bare(String),
    When(BTreeMap<String, String>),
}

/// A manifest and the definitions beside it, each with its file's name.
pub(crate) type Parsed = ((String, Manifest), Vec<(String, Definitions)>);

/// Splits the files into the manifest and the definitions.
pub(crate) fn parse(files: &[File]) -> Result<Parsed, Error> {
    let mut manifest = None;
    let mut definitions = Vec::new();
    for file in files {
        if file.name == "manifest.yaml" || file.name.ends_with("/manifest.yaml") {
            let parsed: Manifest = yaml(file)?;
            format(file, &parsed.file_format, "definition_manifest/2.0")?;
            if let Some((first, _)) = &manifest {
                let twice = Rule::Twice { what: "the manifest".into(), first: String::clone(first) };
                return Err(Fault::from(twice).at(&file.name));
            }
            manifest = Some((file.name.clone(), parsed));
        } else {
            let parsed: Definitions = yaml(file)?;
            format(file, &parsed.file_format, "definition/2")?;
            definitions.push((file.name.clone(), parsed));
        }
    }
    let manifest = manifest.ok_or_else(|| Error::NoManifest { dir: "these files".into() })?;
    Ok((manifest, definitions))
}

fn format(file: &File, found: &str, wanted: &'static str) -> Result<(), Error> {
    if found == wanted {
        return Ok(());
    }
    Err(Fault::from(Rule::FileFormat { wanted, found: found.to_owned() }).at(&file.name))
}

fn yaml<T: DeserializeOwned>(file: &File) -> Result<T, Error> {
    serde_yaml_ng::from_str(&file.text).map_err(|error| Error::Yaml { file: file.name.clone(), error })
}

/// `annotations.plainspan`, or `None` where there is none.
pub(crate) fn notes<T: DeserializeOwned>(annotations: &Annotations) -> Result<Option<T>, Rule> {
    let Some(value) = annotations.get("plainspan") else { return Ok(None) };
    serde_yaml_ng::from_value(value.clone()).map(Some).map_err(Rule::Annotations)
}
