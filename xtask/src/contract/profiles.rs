//! The names that spans can go by: those of the contract and of its versions, and those that others published (`contract/profiles.yaml`).

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, ensure};
use plainspan_registry::model::{Kind, Registry};
use serde::Deserialize;

const FILE: &str = "contract/profiles.yaml";

/// A choice of names.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub brief: String,
    /// Version of the contract whose attributes these are.
    pub version: String,
    pub schema_url: String,
    /// Attributes that it does not have.
    pub left_out: Vec<String>,
    /// Integers that are doubles in it.
    pub doubles: Vec<String>,
    /// Whether older names inside the JSON of content are written.
    pub older_fields: bool,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    pub older_fields: Vec<OlderField>,
    profiles: Vec<Published>,
}

/// A field of the JSON in an attribute, whose value stands elsewhere by now.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OlderField {
    pub attribute: String,
    pub field: String,
    pub current: String,
}

/// Names that others published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    name: String,
    brief: String,
    schema_url: String,
    #[serde(default)]
    doubles: Vec<String>,
}

/// Reads the file below the workspace.
pub fn read(root: &Path) -> anyhow::Result<Source> {
    let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    serde_yaml_ng::from_str(&text).with_context(|| FILE.to_owned())
}

/// All profiles; the default is the first.
pub fn profiles(source: &Source, registry: &Registry) -> anyhow::Result<Vec<Profile>> {
    check(source, registry).context(FILE)?;
    let older = || registry.attributes.iter().filter(|a| a.renamed_to.is_some());
    let of_now = |name: &str, brief: String| Profile {
        name: name.to_owned(),
        brief,
        version: registry.version.clone(),
        schema_url: registry.schema_url.clone(),
        left_out: Vec::new(),
        doubles: Vec::new(),
        older_fields: true,
    };
    let mut all = vec![
        of_now("overlap", "Both names of all that was renamed, until the older one goes.".to_owned()),
        Profile {
            left_out: older().map(|a| a.key.clone()).collect(),
            older_fields: false,
            ..of_now("current", "Current names only.".to_owned())
        },
    ];
    let (base, _) = registry.schema_url.rsplit_once('/').context("the schema URL has no path")?;
    for version in versions(registry)? {
        let pinned = parts(&version)?;
        let mut left_out = Vec::new();
        for attribute in &registry.attributes {
            if parts(&attribute.since)? > pinned {
                left_out.push(attribute.key.clone());
            }
        }
        all.push(Profile {
            schema_url: format!("{base}/{version}"),
            left_out,
            version: version.clone(),
            ..of_now(&version, format!("The contract as its version {version} had it."))
        });
    }
    for published in &source.profiles {
        let renamed = older().filter_map(|a| a.renamed_to.clone()).collect();
        all.push(Profile {
            schema_url: published.schema_url.clone(),
            left_out: renamed,
            doubles: published.doubles.clone(),
            ..of_now(&published.name, published.brief.trim().to_owned())
        });
    }
    Ok(all)
}

fn check(source: &Source, registry: &Registry) -> anyhow::Result<()> {
    for OlderField { attribute, field, current } in &source.older_fields {
        let holder = registry.attribute(attribute).with_context(|| format!("older field {field}"))?;
        ensure!(holder.kind == Kind::Json, "older field {field}: {attribute} is no JSON");
        registry.attribute(current).with_context(|| format!("older field {field}"))?;
    }
    for published in &source.profiles {
        for key in &published.doubles {
            let attribute = registry.attribute(key).with_context(|| published.name.clone())?;
            ensure!(attribute.kind == Kind::Int, "{}: {key} is no int", published.name);
        }
    }
    Ok(())
}

/// Versions that brought something, and the current one.
fn versions(registry: &Registry) -> anyhow::Result<Vec<String>> {
    let all = registry.attributes.iter().map(|a| &a.since).chain([&registry.version]);
    let parsed: BTreeSet<[u32; 3]> = all.map(|version| parts(version)).collect::<anyhow::Result<_>>()?;
    Ok(parsed.into_iter().map(|[major, minor, patch]| format!("{major}.{minor}.{patch}")).collect())
}

fn parts(version: &str) -> anyhow::Result<[u32; 3]> {
    let parts: Vec<u32> = version.split('.').map(str::parse).collect::<Result<_, _>>()?;
    parts.try_into().ok().with_context(|| format!("{version} is not MAJOR.MINOR.PATCH"))
}
