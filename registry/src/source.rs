//! The registry's files as they are written: Weaver's `definition/2` YAML, with our annotations.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, bail};
use serde::{Deserialize, de::DeserializeOwned};

/// `manifest.yaml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub file_format: String,
    pub schema_url: String,
    pub description: String,
    #[serde(rename = "stability")]
    pub _stability: String,
    pub annotations: ManifestAnnotations,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestAnnotations {
    pub plainspan: ManifestNotes,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestNotes {
    pub name: String,
    pub version: String,
    pub based_on: Vec<String>,
}

/// Any other file of the registry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    pub file_format: String,
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    #[serde(default)]
    pub attribute_groups: Vec<Group>,
    #[serde(default)]
    pub spans: Vec<Span>,
    #[serde(default)]
    pub entities: Vec<Entity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    pub key: String,
    /// Checked by hand, so that the message can name the attribute.
    pub r#type: serde_yaml_ng::Value,
    pub brief: String,
    #[serde(default)]
    pub note: Option<String>,
    #[serde(default)]
    pub examples: Vec<serde_yaml_ng::Value>,
    pub stability: String,
    #[serde(default)]
    pub deprecated: Option<Deprecated>,
    #[serde(default)]
    pub annotations: BTreeMap<String, serde_yaml_ng::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deprecated {
    pub reason: String,
    #[serde(default)]
    pub renamed_to: Option<String>,
    #[serde(default, rename = "note")]
    pub _note: Option<String>,
}

/// `type: {members: [...]}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnumType {
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub id: String,
    pub value: String,
    pub brief: String,
    #[serde(default, rename = "stability")]
    pub _stability: Option<String>,
}

/// `annotations.plainspan` of an attribute.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeNotes {
    pub privacy: Privacy,
    pub cardinality: Cardinality,
    pub since: String,
    #[serde(default)]
    pub values: Option<Values>,
    #[serde(default)]
    pub items: Vec<String>,
    #[serde(default)]
    pub max_bytes: Option<u32>,
    #[serde(default)]
    pub max_items: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    Structural,
    Identifying,
    Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cardinality {
    Bounded,
    Unbounded,
}

/// May a value be one that the registry does not list?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Values {
    Open,
    Closed,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub id: String,
    #[serde(default, rename = "visibility")]
    pub _visibility: Option<String>,
    pub attributes: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub r#type: String,
    pub kind: String,
    pub name: SpanName,
    pub brief: String,
    #[serde(default)]
    pub note: Option<String>,
    #[serde(rename = "stability")]
    pub _stability: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, serde_yaml_ng::Value>,
    pub attributes: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanName {
    pub note: String,
}

/// `annotations.plainspan` of a span.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpanNotes {
    pub kinds: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    pub r#type: String,
    pub brief: String,
    #[serde(rename = "stability")]
    pub _stability: String,
    pub identity: Vec<Reference>,
    #[serde(default)]
    pub description: Vec<Reference>,
}

/// `ref` or `ref_group`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    #[serde(default)]
    pub r#ref: Option<String>,
    #[serde(default)]
    pub ref_group: Option<String>,
    #[serde(default)]
    pub requirement_level: Option<Level>,
    #[serde(default)]
    pub annotations: BTreeMap<String, serde_yaml_ng::Value>,
}

/// `annotations.plainspan` of a reference: conditions that can be checked on the finished span.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceNotes {
    #[serde(default)]
    pub required_with: Option<String>,
    #[serde(default)]
    pub required_on: Option<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Error,
}

/// A requirement level, bare or with its condition.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Level {
    Bare(String),
    When(BTreeMap<String, String>),
}

/// One file of the registry, with the name under which messages speak of it.
pub struct File {
    pub name: String,
    pub text: String,
}

/// The registry's files: the manifest and the rest, in the order of their names.
pub fn read(root: &Path) -> anyhow::Result<Vec<File>> {
    let dir = root.join("contract/registry");
    let mut files = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let base = path.file_name().unwrap_or_default().to_string_lossy();
            files.push(File { name: format!("contract/registry/{base}"), text });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Splits the files into the manifest and the definitions.
pub fn parse(files: &[File]) -> anyhow::Result<(Manifest, Vec<(String, Definitions)>)> {
    let mut manifest = None;
    let mut definitions = Vec::new();
    for file in files {
        if file.name.ends_with("/manifest.yaml") {
            let parsed: Manifest = yaml(file)?;
            if parsed.file_format != "definition_manifest/2.0" {
                bail!(
                    "{}: file_format must be definition_manifest/2.0, is {}",
                    file.name,
                    parsed.file_format
                );
            }
            manifest = Some(parsed);
        } else {
            let parsed: Definitions = yaml(file)?;
            if parsed.file_format != "definition/2" {
                bail!("{}: file_format must be definition/2, is {}", file.name, parsed.file_format);
            }
            definitions.push((file.name.clone(), parsed));
        }
    }
    let manifest = manifest.context("contract/registry/manifest.yaml is missing")?;
    Ok((manifest, definitions))
}

fn yaml<T: DeserializeOwned>(file: &File) -> anyhow::Result<T> {
    serde_yaml_ng::from_str(&file.text).map_err(|error| anyhow::anyhow!("{}: {error}", file.name))
}

/// `annotations.plainspan`, or `None` where there is none.
pub fn notes<T: DeserializeOwned>(
    annotations: &BTreeMap<String, serde_yaml_ng::Value>,
) -> anyhow::Result<Option<T>> {
    match annotations.get("plainspan") {
        None => Ok(None),
        Some(value) => {
            serde_yaml_ng::from_value(value.clone()).map(Some).context("annotations.plainspan is wrong")
        }
    }
}
