//! The names that spans can go by: those of the contract and of its versions, and those that others published (`contract/profiles.yaml`).

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, ensure};
use plainspan_registry::{Event, Kind, Metric, Registry, Version};
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
    /// Metrics that it does not have.
    pub left_out_metrics: Vec<String>,
    /// Events that it does not have.
    pub left_out_events: Vec<String>,
    /// Spans that go by the names that they had before.
    pub older_span_names: Vec<String>,
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
    /// The first version of the contract that may leave it out.
    pub until: String,
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
    let older = || registry.attributes.iter().filter(|a| a.renamed_to().is_some());
    let of_now = |name: &str, brief: String| Profile {
        name: name.to_owned(),
        brief,
        version: registry.version.to_string(),
        schema_url: registry.schema_url.clone(),
        left_out: Vec::new(),
        doubles: Vec::new(),
        left_out_metrics: Vec::new(),
        left_out_events: Vec::new(),
        older_span_names: Vec::new(),
        older_fields: true,
    };
    let renamed_metric = |m: &Metric| m.deprecated.as_ref().and_then(|d| d.renamed_to.clone());
    let renamed_event = |e: &Event| e.deprecated.as_ref().and_then(|d| d.renamed_to.clone());
    let named = |m: &Metric| m.name.clone();
    let event = |e: &Event| e.name.clone();
    let older_names = |replaced_after: Option<Version>| {
        let spans = registry.spans.iter().filter(|span| {
            span.older.as_ref().is_some_and(|older| match replaced_after {
                Some(version) => older.replaced > version,
                None => registry.version < older.until,
            })
        });
        spans.map(|span| span.name.clone()).collect()
    };
    let mut all = vec![
        Profile {
            older_span_names: older_names(None),
            ..of_now("overlap", "Both names of all that was renamed, until the older one goes.".to_owned())
        },
        Profile {
            left_out: older().map(|a| a.key.clone()).collect(),
            left_out_metrics: registry.metrics.iter().filter(|m| m.deprecated.is_some()).map(named).collect(),
            left_out_events: registry.events.iter().filter(|e| e.deprecated.is_some()).map(event).collect(),
            older_fields: false,
            ..of_now("current", "Current names only.".to_owned())
        },
    ];
    let (base, _) = registry.schema_url.rsplit_once('/').context("the schema URL has no path")?;
    for version in versions(registry) {
        let later = registry.attributes.iter().filter(|a| a.since > version);
        all.push(Profile {
            schema_url: format!("{base}/{version}"),
            left_out: later.map(|a| a.key.clone()).collect(),
            left_out_metrics: registry.metrics.iter().filter(|m| m.since > version).map(named).collect(),
            left_out_events: registry.events.iter().filter(|e| e.since > version).map(event).collect(),
            older_span_names: older_names(Some(version)),
            version: version.to_string(),
            ..of_now(&version.to_string(), format!("The contract as its version {version} had it."))
        });
    }
    for published in &source.profiles {
        let renamed = older().filter_map(|a| a.renamed_to().map(str::to_owned)).collect();
        all.push(Profile {
            schema_url: published.schema_url.clone(),
            left_out: renamed,
            left_out_metrics: registry.metrics.iter().filter_map(renamed_metric).collect(),
            left_out_events: registry.events.iter().filter_map(renamed_event).collect(),
            doubles: published.doubles.clone(),
            ..of_now(&published.name, published.brief.trim().to_owned())
        });
    }
    Ok(all)
}

fn check(source: &Source, registry: &Registry) -> anyhow::Result<()> {
    for OlderField { attribute, field, current, until } in &source.older_fields {
        let holder = registry.attribute(attribute).with_context(|| format!("older field {field}"))?;
        ensure!(holder.kind == Kind::Json, "older field {field}: {attribute} is no JSON");
        registry.attribute(current).with_context(|| format!("older field {field}: no {current}"))?;
        let until: Version = until.parse().with_context(|| format!("older field {field}"))?;
        ensure!(until > registry.version, "older field {field}: {until} has come, so it goes");
    }
    for published in &source.profiles {
        for key in &published.doubles {
            let attribute =
                registry.attribute(key).with_context(|| format!("{}: no {key}", published.name))?;
            ensure!(attribute.kind == Kind::Int, "{}: {key} is no int", published.name);
        }
    }
    Ok(())
}

/// Versions that brought something, and the current one.
fn versions(registry: &Registry) -> BTreeSet<Version> {
    let metrics = registry.metrics.iter().map(|m| m.since);
    let events = registry.events.iter().map(|e| e.since);
    let attributes = registry.attributes.iter().map(|a| a.since);
    attributes.chain(metrics).chain(events).chain([registry.version]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        read(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap()
    }

    /// A contract in which an attribute was renamed in 0.2.0, and another one is new.
    fn registry() -> Registry {
        let mut registry = super::super::tests::load();
        registry.version = "0.3.0".parse().unwrap();
        registry.schema_url = "https://example.com/schemas/0.3.0".into();
        let versions = [
            ("gen_ai.provider.name", "0.2.0"),
            ("gen_ai.usage.cache_write.input_tokens", "0.2.0"),
            ("plainspan.contract.cut", "0.3.0"),
        ];
        for attribute in &mut registry.attributes {
            let version = versions.iter().find(|(key, _)| *key == attribute.key);
            attribute.since = version.map_or("0.1.0", |(_, version)| version).parse().unwrap();
        }
        registry
    }

    #[test]
    fn each_profile_leaves_out_what_was_not_known_or_is_no_longer_wanted() {
        let older = ["gen_ai.system", "gen_ai.usage.cache_creation.input_tokens"];
        let current = ["gen_ai.provider.name", "gen_ai.usage.cache_write.input_tokens"];
        let first = [&current[..], &["plainspan.contract.cut"]].concat();
        let found = profiles(&source(), &registry()).unwrap();
        let rows = [
            ("overlap", &[][..], true, "https://example.com/schemas/0.3.0"),
            ("current", &older, false, "https://example.com/schemas/0.3.0"),
            ("0.1.0", &first, true, "https://example.com/schemas/0.1.0"),
            ("0.2.0", &["plainspan.contract.cut"], true, "https://example.com/schemas/0.2.0"),
            ("0.3.0", &[], true, "https://example.com/schemas/0.3.0"),
            ("otel-1.41", &current, true, "https://opentelemetry.io/schemas/1.41.0"),
        ];
        assert_eq!(found.len(), rows.len());
        for (profile, (name, left_out, older_fields, schema_url)) in found.iter().zip(rows) {
            assert_eq!(profile.name, name);
            assert_eq!(profile.left_out, left_out, "{name}");
            // The content of calls as an event is newer than the first contract.
            assert_eq!(!profile.left_out_events.is_empty(), name == "0.1.0", "{name}");
            assert_eq!(
                (profile.older_fields, profile.schema_url.as_str()),
                (older_fields, schema_url),
                "{name}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_the_registry_is_refused() {
        let registry = registry();
        #[expect(clippy::type_complexity, reason = "a table of edits")]
        let rows: [(&str, fn(&mut Source)); 5] = [
            ("is no JSON", |s| s.older_fields[0].attribute = "server.port".into()),
            ("gen_ai.nonsense", |s| s.older_fields[0].current = "gen_ai.nonsense".into()),
            ("has come", |s| s.older_fields[0].until = "0.3.0".into()),
            ("is no int", |s| s.profiles[0].doubles = vec!["gen_ai.request.model".into()]),
            ("gen_ai.nonsense", |s| s.profiles[0].doubles = vec!["gen_ai.nonsense".into()]),
        ];
        for (wanted, edit) in rows {
            let mut source = source();
            edit(&mut source);
            let message = format!("{:#}", profiles(&source, &registry).unwrap_err());
            assert!(message.contains(wanted), "{message} does not say {wanted}");
        }
    }
}
