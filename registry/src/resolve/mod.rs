//! From the files to the contract: references are followed, and every rule of contracts is checked.

mod attribute;
mod signal;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{Error, Fault, Rule, Within, ensure},
    model::{Conventions, Deprecated, Registry, Upstream, Use},
    read::File,
    source::{self, Definitions, Manifest, Reference},
    version::Version,
};

/// Something of the registry, with the file that defines it.
struct Held<T> {
    file: String,
    value: T,
}

type Attributes = BTreeMap<String, Held<crate::model::Attribute>>;
type Groups<'a> = BTreeMap<&'a str, Held<&'a [Reference]>>;

impl Registry {
    /// Resolves and checks the files of a contract: one `manifest.yaml` and any number of definitions.
    pub fn load(files: &[File]) -> Result<Self, Error> {
        let ((manifest_file, manifest), definitions) = source::parse(files)?;
        let scope = Scope::of(&manifest).map_err(|fault| fault.at(&manifest_file))?;

        let attributes = attributes(&scope, &definitions)?;
        let groups = groups(&definitions)?;
        let mut signals = signal::Signals::new(&scope, &attributes, &groups);
        for (file, definitions) in &definitions {
            signals.add(file, definitions).map_err(|fault| fault.at(file))?;
        }
        let found = signals.finish()?;
        check_all_used(&attributes, found.uses())?;

        Ok(Self {
            name: manifest.annotations.plainspan.name,
            version: scope.version,
            schema_url: manifest.schema_url,
            description: one_line(&manifest.description),
            based_on: scope.based_on,
            attributes: attributes.into_values().map(|held| held.value).collect(),
            spans: found.spans,
            metrics: found.metrics,
            events: found.events,
            entities: found.entities,
        })
    }
}

/// What the manifest says that elements are checked against.
struct Scope {
    version: Version,
    based_on: Vec<Conventions>,
}

impl Scope {
    fn of(manifest: &Manifest) -> Result<Self, Fault> {
        let notes = &manifest.annotations.plainspan;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
        ensure(!notes.name.is_empty() && notes.name.chars().all(plain), || {
            Rule::ContractName(notes.name.clone())
        })?;
        let version: Version = notes.version.parse().map_err(Rule::Version)?;
        let last = manifest.schema_url.rsplit('/').next().unwrap_or_default();
        ensure(last == notes.version, || Rule::SchemaUrl { version, found: last.to_owned() })?;
        let mut based_on: Vec<Conventions> = Vec::new();
        for raw in &notes.based_on {
            ensure(based_on.iter().all(|c| c.id != raw.id), || Rule::ConventionsTwice(raw.id.clone()))?;
            based_on.push(Conventions {
                id: raw.id.clone(),
                name: raw.name.clone(),
                version: raw.version.clone(),
                note: raw.note.as_deref().map(one_line),
            });
        }
        Ok(Self { version, based_on })
    }

    fn since(&self, text: &str) -> Result<Version, Rule> {
        let since: Version = text.parse()?;
        ensure(since <= self.version, || Rule::Since { since, version: self.version })?;
        Ok(since)
    }

    fn upstream(&self, name: &str, raw: Option<&source::Upstream>) -> Result<Option<Upstream>, Rule> {
        let Some(raw) = raw else { return Ok(None) };
        let known = self.based_on.iter().find(|c| c.id == raw.conventions);
        let known = known.ok_or_else(|| Rule::UnknownConventions(raw.conventions.clone()))?;
        Ok(Some(Upstream {
            conventions: known.id.clone(),
            version: raw.version.clone().unwrap_or_else(|| known.version.clone()),
            name: raw.name.clone().unwrap_or_else(|| name.to_owned()),
        }))
    }
}

/// `deprecated`, with the `until` of the annotations.
fn deprecated(
    raw: Option<&source::Deprecated>,
    until: Option<&str>,
    since: Version,
) -> Result<Option<Deprecated>, Rule> {
    let (Some(raw), Some(until)) = (raw, until) else {
        return if raw.is_none() && until.is_none() { Ok(None) } else { Err(Rule::Until) };
    };
    let renamed = match raw.reason.as_str() {
        "renamed" => true,
        "obsoleted" => false,
        other => return Err(Rule::DeprecatedReason(other.to_owned())),
    };
    ensure(raw.renamed_to.is_some() == renamed, || Rule::RenamedTo)?;
    let until: Version = until.parse()?;
    ensure(until > since, || Rule::UntilTooEarly { until, since })?;
    Ok(Some(Deprecated { renamed_to: raw.renamed_to.clone(), until }))
}

fn attributes(scope: &Scope, definitions: &[(String, Definitions)]) -> Result<Attributes, Error> {
    let mut attributes = Attributes::new();
    for (file, definitions) in definitions {
        for raw in &definitions.attributes {
            let place = || format!("attribute {}", raw.key);
            let value = attribute::resolve(raw, scope).within(place).map_err(|fault| fault.at(file))?;
            let held = Held { file: file.clone(), value };
            if let Some(first) = attributes.insert(raw.key.clone(), held) {
                return Err(twice(place(), first.file).at(file));
            }
        }
    }
    for held in attributes.values() {
        let place = || format!("attribute {}", held.value.key);
        attribute::check_rename(&held.value, &attributes)
            .within(place)
            .map_err(|fault| fault.at(&held.file))?;
    }
    Ok(attributes)
}

fn groups(definitions: &[(String, Definitions)]) -> Result<Groups<'_>, Error> {
    let mut groups = Groups::new();
    for (file, definitions) in definitions {
        for group in &definitions.attribute_groups {
            let held = Held { file: file.clone(), value: group.attributes.as_slice() };
            if let Some(first) = groups.insert(&group.id, held) {
                return Err(twice(format!("group {}", group.id), first.file).at(file));
            }
        }
    }
    Ok(groups)
}

fn twice(what: String, first: String) -> Fault {
    Rule::Twice { what, first }.into()
}

fn check_all_used<'a>(attributes: &Attributes, uses: impl Iterator<Item = &'a Use>) -> Result<(), Error> {
    let keys: BTreeSet<&str> = uses.map(|u| u.key.as_str()).collect();
    for (key, held) in attributes {
        ensure(keys.contains(key.as_str()), || Rule::Unused)
            .within(|| format!("attribute {key}"))
            .map_err(|fault| fault.at(&held.file))?;
    }
    Ok(())
}

/// What stands in dashboards and queries: no spaces, and nothing that a name pattern is made with.
fn check_name(name: &str) -> Result<(), Rule> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}');
    ensure(!name.is_empty() && !name.contains(odd), || Rule::Name)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Checks that an older name leads to a current one. `target` tells of a name whether it is deprecated itself, and whether it measures
/// the same.
fn check_rename<'b>(
    deprecated: Option<&Deprecated>,
    target: impl Fn(&str) -> Option<(Option<&'b Deprecated>, bool)>,
) -> Result<(), Rule> {
    let Some(current) = deprecated.and_then(|d| d.renamed_to.as_deref()) else { return Ok(()) };
    let (older, same) = target(current).ok_or_else(|| Rule::RenamedToNothing(current.to_owned()))?;
    ensure(older.is_none_or(|d| d.renamed_to.is_none()), || Rule::RenamedToOlder(current.to_owned()))?;
    ensure(same, || Rule::RenamedToOtherType(current.to_owned()))
}

#[cfg(test)]
mod tests;
