//! The registry, resolved and checked: every reference points somewhere, every attribute says all that we ask of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};

use crate::source::{
    self, AttributeNotes, Cardinality, Definitions, EnumType, Event, File, Level, Manifest, Member, Privacy,
    Reference, ReferenceNotes, SpanNotes, Values,
};

/// The whole contract.
#[derive(Debug)]
pub struct Registry {
    pub version: String,
    pub schema_url: String,
    pub description: String,
    pub based_on: Vec<String>,
    /// In the order of their keys.
    pub attributes: Vec<Attribute>,
    pub spans: Vec<Span>,
    pub entities: Vec<Entity>,
}

#[derive(Debug)]
pub struct Attribute {
    pub key: String,
    pub kind: Kind,
    pub brief: String,
    pub note: Option<String>,
    pub examples: Vec<String>,
    pub stability: String,
    /// Listed values: an enum's members, or the items of an array.
    pub members: Vec<Member>,
    pub values: Option<Values>,
    pub privacy: Privacy,
    pub cardinality: Cardinality,
    pub since: String,
    pub max_bytes: Option<u32>,
    pub max_items: Option<u32>,
    /// The current name, where this is the older one.
    pub renamed_to: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Int,
    Double,
    Bool,
    Strings,
    /// `any` in the conventions; a JSON string on spans.
    Json,
}

#[derive(Debug)]
pub struct Span {
    pub name: String,
    pub kinds: Vec<String>,
    pub naming: String,
    pub brief: String,
    pub note: Option<String>,
    pub attributes: Vec<Use>,
}

#[derive(Debug)]
pub struct Entity {
    pub name: String,
    pub brief: String,
    pub attributes: Vec<Use>,
}

/// An attribute as one span or entity uses it.
#[derive(Debug)]
pub struct Use {
    pub key: String,
    pub level: Requirement,
    /// The condition or hint beside the level, in words.
    pub when: Option<String>,
    pub required_with: Option<String>,
    pub required_on_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    Required,
    Conditional,
    Recommended,
    OptIn,
}

impl Registry {
    /// Resolves and checks the files.
    pub fn load(files: &[File]) -> anyhow::Result<Self> {
        let (manifest, definitions) = source::parse(files)?;
        let version = check_manifest(&manifest)?;

        let mut attributes: BTreeMap<String, (String, Attribute)> = BTreeMap::new();
        let mut groups: BTreeMap<String, (String, Vec<Reference>)> = BTreeMap::new();
        for (file, definitions) in &definitions {
            for raw in &definitions.attributes {
                let attribute =
                    attribute(raw, &version).with_context(|| format!("{file}: attribute {}", raw.key))?;
                if let Some((first, _)) = attributes.insert(raw.key.clone(), (file.clone(), attribute)) {
                    bail!("{file}: attribute {} is already defined in {first}", raw.key);
                }
            }
            for group in &definitions.attribute_groups {
                let held = (file.clone(), group.attributes.clone());
                if let Some((first, _)) = groups.insert(group.id.clone(), held) {
                    bail!("{file}: group {} is already defined in {first}", group.id);
                }
            }
        }
        for (key, (file, attribute)) in &attributes {
            check_rename(attribute, &attributes).with_context(|| format!("{file}: attribute {key}"))?;
        }
        check_rust_names(&attributes)?;

        let resolver = Resolver { attributes: &attributes, groups: &groups };
        let mut spans = Vec::new();
        let mut entities = Vec::new();
        for (file, definitions) in &definitions {
            resolver.spans(definitions, &mut spans).with_context(|| file.clone())?;
            resolver.entities(definitions, &mut entities).with_context(|| file.clone())?;
        }
        check_all_used(&attributes, &spans, &entities)?;

        Ok(Self {
            version,
            schema_url: manifest.schema_url,
            description: manifest.description,
            based_on: manifest.annotations.plainspan.based_on,
            attributes: attributes.into_values().map(|(_, attribute)| attribute).collect(),
            spans,
            entities,
        })
    }

    /// The attribute of a key that a [`Use`] names; the registry was checked, so it is there.
    pub fn attribute(&self, key: &str) -> anyhow::Result<&Attribute> {
        self.attributes.iter().find(|a| a.key == key).with_context(|| format!("no attribute {key}"))
    }
}

fn check_manifest(manifest: &Manifest) -> anyhow::Result<String> {
    let notes = &manifest.annotations.plainspan;
    let file = "contract/registry/manifest.yaml";
    ensure!(notes.name == "plainspan", "{file}: the contract's name is plainspan, not {}", notes.name);
    ensure!(
        version_parts(&notes.version).is_some(),
        "{file}: version {} is not MAJOR.MINOR.PATCH",
        notes.version
    );
    let last = manifest.schema_url.rsplit('/').next().unwrap_or_default();
    ensure!(
        last == notes.version,
        "{file}: schema_url must end in the version {}, ends in {last}",
        notes.version
    );
    Ok(notes.version.clone())
}

fn version_parts(version: &str) -> Option<[u32; 3]> {
    let parts: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    parts.try_into().ok()
}

fn attribute(raw: &source::Attribute, version: &str) -> anyhow::Result<Attribute> {
    ensure!(is_key(&raw.key), "a key is lower-case words joined by dots and underscores");
    let (kind, mut members) = attribute_type(&raw.r#type)?;
    let notes: AttributeNotes = source::notes(&raw.annotations)?
        .context("annotations.plainspan is missing (privacy, cardinality, since)")?;

    ensure!(
        version_parts(&notes.since).is_some_and(|since| Some(since) <= version_parts(version)),
        "since {} is not a released or the current version ({version})",
        notes.since
    );
    let listed = !members.is_empty() || !notes.items.is_empty();
    ensure!(notes.items.is_empty() || kind == Kind::Strings, "items is for string[]; an enum has members");
    ensure!(
        listed == notes.values.is_some(),
        "values (open or closed) belongs to a list of values, and only to one"
    );
    for item in &notes.items {
        members.push(Member {
            id: item.clone(),
            value: item.clone(),
            brief: String::new(),
            _stability: None,
        });
    }
    check_members(&members)?;

    let text =
        matches!(kind, Kind::String | Kind::Strings | Kind::Json) && notes.values != Some(Values::Closed);
    ensure!(text == notes.max_bytes.is_some(), "max_bytes belongs to free text, and only to that");
    ensure!(
        (kind == Kind::Strings) == notes.max_items.is_some(),
        "max_items belongs to arrays, and only to those"
    );
    let renamed_to = match &raw.deprecated {
        None => None,
        Some(deprecated) => {
            ensure!(
                deprecated.reason == "renamed",
                "deprecated.reason {} is not supported",
                deprecated.reason
            );
            Some(deprecated.renamed_to.clone().context("deprecated.renamed_to is missing")?)
        }
    };
    Ok(Attribute {
        key: raw.key.clone(),
        kind,
        brief: one_line(&raw.brief),
        note: raw.note.as_deref().map(one_line),
        examples: raw.examples.iter().map(example).collect::<anyhow::Result<_>>()?,
        stability: raw.stability.clone(),
        members,
        values: notes.values,
        privacy: notes.privacy,
        cardinality: notes.cardinality,
        since: notes.since,
        max_bytes: notes.max_bytes,
        max_items: notes.max_items,
        renamed_to,
    })
}

fn attribute_type(raw: &serde_yaml_ng::Value) -> anyhow::Result<(Kind, Vec<Member>)> {
    if let Some(name) = raw.as_str() {
        let kind = match name {
            "string" => Kind::String,
            "int" => Kind::Int,
            "double" => Kind::Double,
            "boolean" => Kind::Bool,
            "string[]" => Kind::Strings,
            "any" => Kind::Json,
            other => bail!("type {other} is none of string, int, double, boolean, string[], any, or members"),
        };
        return Ok((kind, Vec::new()));
    }
    let members: EnumType = serde_yaml_ng::from_value(raw.clone()).context("type is wrong")?;
    ensure!(!members.members.is_empty(), "type has no members");
    Ok((Kind::String, members.members))
}

fn check_members(members: &[Member]) -> anyhow::Result<()> {
    let mut ids = BTreeSet::new();
    let mut values = BTreeSet::new();
    for member in members {
        ensure!(is_key(&member.id), "member id {} is not lower-case words", member.id);
        ensure!(ids.insert(pascal_case(&member.id)), "member id {} is there twice", member.id);
        ensure!(values.insert(&member.value), "member value {} is there twice", member.value);
    }
    Ok(())
}

fn check_rename(
    attribute: &Attribute,
    attributes: &BTreeMap<String, (String, Attribute)>,
) -> anyhow::Result<()> {
    let Some(current) = &attribute.renamed_to else { return Ok(()) };
    let Some((_, target)) = attributes.get(current) else {
        bail!("renamed_to {current}, which is not defined");
    };
    ensure!(target.renamed_to.is_none(), "renamed_to {current}, which is itself an older name");
    ensure!(target.kind == attribute.kind, "renamed_to {current}, which has another type");
    Ok(())
}

/// Two keys must not become one constant or one type in Rust.
fn check_rust_names(attributes: &BTreeMap<String, (String, Attribute)>) -> anyhow::Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (key, (file, _)) in attributes {
        if let Some(other) = seen.insert(constant_case(key), key) {
            bail!("{file}: attribute {key} and {other} have the same name in Rust");
        }
    }
    Ok(())
}

fn check_all_used(
    attributes: &BTreeMap<String, (String, Attribute)>,
    spans: &[Span],
    entities: &[Entity],
) -> anyhow::Result<()> {
    let all = spans.iter().flat_map(|s| &s.attributes).chain(entities.iter().flat_map(|e| &e.attributes));
    let used: BTreeSet<&str> = all.map(|u| u.key.as_str()).collect();
    for (key, (file, _)) in attributes {
        ensure!(used.contains(key.as_str()), "{file}: attribute {key} is on no span and in no entity");
    }
    Ok(())
}

struct Resolver<'a> {
    attributes: &'a BTreeMap<String, (String, Attribute)>,
    groups: &'a BTreeMap<String, (String, Vec<Reference>)>,
}

impl Resolver<'_> {
    fn spans(&self, definitions: &Definitions, spans: &mut Vec<Span>) -> anyhow::Result<()> {
        for raw in &definitions.spans {
            let name = &raw.r#type;
            ensure!(spans.iter().all(|s| s.name != *name), "span {name} is already defined");
            let notes: Option<SpanNotes> =
                source::notes(&raw.annotations).with_context(|| format!("span {name}"))?;
            let kinds = notes.map_or_else(|| vec![raw.kind.clone()], |notes| notes.kinds);
            ensure!(kinds.contains(&raw.kind), "span {name}: kinds do not contain the kind {}", raw.kind);
            for kind in &kinds {
                ensure!(
                    matches!(kind.as_str(), "client" | "server"),
                    "span {name}: kind {kind} is not supported"
                );
            }
            let attributes = self.uses(&raw.attributes).with_context(|| format!("span {name}"))?;
            for used in &attributes {
                let (_, attribute) = &self.attributes[&used.key];
                ensure!(
                    attribute.privacy != Privacy::Content || used.level == Requirement::OptIn,
                    "span {name}: {} is content, so it must be opt_in",
                    used.key
                );
            }
            spans.push(Span {
                name: name.clone(),
                kinds,
                naming: one_line(&raw.name.note),
                brief: one_line(&raw.brief),
                note: raw.note.as_deref().map(one_line),
                attributes,
            });
        }
        Ok(())
    }

    fn entities(&self, definitions: &Definitions, entities: &mut Vec<Entity>) -> anyhow::Result<()> {
        for raw in &definitions.entities {
            let name = &raw.r#type;
            ensure!(entities.iter().all(|e| e.name != *name), "entity {name} is already defined");
            ensure!(!raw.identity.is_empty(), "entity {name} has no identity");
            let all: Vec<_> = raw.identity.iter().chain(&raw.description).cloned().collect();
            let attributes = self.uses(&all).with_context(|| format!("entity {name}"))?;
            entities.push(Entity { name: name.clone(), brief: one_line(&raw.brief), attributes });
        }
        Ok(())
    }

    fn uses(&self, references: &[Reference]) -> anyhow::Result<Vec<Use>> {
        let mut uses = Vec::new();
        for reference in references {
            match (&reference.r#ref, &reference.ref_group) {
                (Some(_), None) => uses.push(self.single(reference)?),
                (None, Some(group)) => {
                    let Some((_, members)) = self.groups.get(group) else {
                        bail!("ref_group {group} is not defined");
                    };
                    for member in members {
                        ensure!(member.ref_group.is_none(), "group {group} refers to a group");
                        uses.push(self.single(member).with_context(|| format!("group {group}"))?);
                    }
                }
                _ => bail!("an entry needs either ref or ref_group"),
            }
        }
        let mut seen = BTreeSet::new();
        for used in &uses {
            ensure!(seen.insert(&used.key), "{} is referred to twice", used.key);
        }
        for used in &uses {
            if let Some(other) = &used.required_with {
                ensure!(seen.contains(other), "{} is required_with {other}, which is not here", used.key);
            }
        }
        Ok(uses)
    }

    fn single(&self, reference: &Reference) -> anyhow::Result<Use> {
        let key = reference.r#ref.clone().context("an entry needs either ref or ref_group")?;
        ensure!(self.attributes.contains_key(&key), "ref {key} is not defined");
        let (level, when) = match &reference.requirement_level {
            None => bail!("{key} has no requirement_level"),
            Some(Level::Bare(level)) => (level.as_str(), None),
            Some(Level::When(map)) => match map.iter().next() {
                Some((level, when)) if map.len() == 1 => (level.as_str(), Some(one_line(when))),
                _ => bail!("{key}: requirement_level needs exactly one level"),
            },
        };
        let level = match (level, &when) {
            ("required", None) => Requirement::Required,
            ("conditionally_required", Some(_)) => Requirement::Conditional,
            ("recommended", _) => Requirement::Recommended,
            ("opt_in", _) => Requirement::OptIn,
            (other, _) => bail!("{key}: requirement_level {other} is unknown, or lacks its condition"),
        };
        let notes: ReferenceNotes =
            source::notes(&reference.annotations).with_context(|| key.clone())?.unwrap_or_default();
        let required_on_error = notes.required_on == Some(Event::Error);
        Ok(Use { key, level, when, required_with: notes.required_with, required_on_error })
    }
}

fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_'))
        && !["..", "__", "._", "_."].iter().any(|pair| text.contains(pair))
}

/// `gen_ai.operation.name` as `GEN_AI_OPERATION_NAME`.
pub fn constant_case(key: &str) -> String {
    key.replace('.', "_").to_ascii_uppercase()
}

/// `gen_ai.operation.name` as `GenAiOperationName`.
pub fn pascal_case(key: &str) -> String {
    let mut name = String::new();
    for word in key.split(['.', '_']) {
        let mut letters = word.chars();
        name.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn example(value: &serde_yaml_ng::Value) -> anyhow::Result<String> {
    serde_json::to_string(value).context("an example is no plain value")
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
