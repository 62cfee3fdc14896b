use super::*;
use crate::model::{Instrument, Kind, SpanKind};

const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/0.1.0
description: A contract.
stability: development
annotations: {plainspan: {name: team, version: 0.1.0, based_on: [{id: conv, name: Conventions, version: 1.2.3}]}}
";

const GOOD: &str = "
file_format: definition/2
attributes:
  - key: a.name
    type: string
    brief: A name.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 8, since: 0.1.0}}
  - key: a.old
    type: string
    brief: Its older name.
    stability: stable
    deprecated: {reason: renamed, renamed_to: a.name}
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 8, since: 0.1.0, until: 0.3.0, upstream: {conventions: conv}}}
  - key: a.kind
    type: {members: [{id: x, value: X, brief: An x.}, {id: y.z, value: Y, brief: A y.}]}
    brief: A kind.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: closed, since: 0.1.0}}
  - key: a.text
    type: any
    brief: A text.
    stability: stable
    annotations: {plainspan: {privacy: content, cardinality: unbounded, max_bytes: 80, since: 0.1.0}}
  - key: a.seconds
    type: double
    brief: A time.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: unbounded, unit: s, since: 0.1.0}}
  - key: a.code
    type: {members: [{id: ok, value: 0}, {id: bad, value: 1}]}
    brief: A code.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: open, since: 0.1.0}}
attribute_groups:
  - id: g
    attributes:
      - {ref: a.name, requirement_level: required}
      - ref: a.old
        requirement_level: {conditionally_required: when there is a name}
        annotations: {plainspan: {required_with: a.name}}
spans:
  - type: s
    kind: client
    name: {note: a name}
    brief: A span.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, kinds: [client, server], name_pattern: ['{a.name} done', '{a.name}']}}
    attributes:
      - ref_group: g
      - {ref: a.kind, requirement_level: recommended}
      - {ref: a.text, requirement_level: opt_in}
metrics:
  - name: m.new
    instrument: histogram
    unit: s
    brief: A metric.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, boundaries: [0.1, 1, 10]}, code_generation: {metric_value_type: double}}
    attributes:
      - {ref: a.kind, requirement_level: required}
  - name: m.old
    instrument: histogram
    unit: s
    brief: Its older name.
    stability: stable
    deprecated: {reason: renamed, renamed_to: m.new}
    annotations: {plainspan: {since: 0.1.0, until: 1.0.0}}
events:
  - name: happened
    brief: An event.
    stability: stable
    annotations: {plainspan: {since: 0.1.0}}
    attributes:
      - {ref: a.seconds, requirement_level: required}
      - {ref: a.code, requirement_level: recommended}
entities:
  - type: e
    brief: An entity.
    stability: stable
    identity:
      - {ref: a.name, requirement_level: required}
";

fn load(manifest: &str, definitions: &[&str]) -> Result<Registry, Error> {
    let mut files = vec![File { name: "here/manifest.yaml".into(), text: manifest.into() }];
    for (i, text) in definitions.iter().enumerate() {
        files.push(File { name: format!("here/{i}.yaml"), text: (*text).into() });
    }
    Registry::load(&files)
}

fn refusal(manifest: &str, definitions: &[&str]) -> String {
    load(manifest, definitions).unwrap_err().to_string()
}

#[test]
fn a_good_registry_resolves() {
    let registry = load(MANIFEST, &[GOOD]).unwrap();
    assert_eq!((registry.name.as_str(), registry.version.to_string().as_str()), ("team", "0.1.0"));
    let keys: Vec<_> = registry.attributes.iter().map(|a| a.key.as_str()).collect();
    assert_eq!(
        keys,
        ["a.code", "a.kind", "a.name", "a.old", "a.seconds", "a.text"],
        "sorted, as lookups need it"
    );
    assert!(keys.iter().all(|key| registry.attribute(key).unwrap().key == *key));
    assert!(registry.attribute("a.none").is_none());

    let span = registry.span("s").unwrap();
    let used: Vec<_> = span.attributes.iter().map(|u| u.key.as_str()).collect();
    assert_eq!(used, ["a.name", "a.old", "a.kind", "a.text"], "groups in their place");
    assert_eq!(span.attributes[1].required_with.as_deref(), Some("a.name"));
    assert_eq!(span.kinds, [SpanKind::Client, SpanKind::Server]);
    let names: Vec<_> = span.patterns.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["{a.name} done", "{a.name}"]);

    let old = registry.attribute("a.old").unwrap();
    assert_eq!(old.renamed_to(), Some("a.name"));
    assert_eq!(old.deprecated.as_ref().unwrap().until.to_string(), "0.3.0");
    let upstream = old.upstream.clone().unwrap();
    let upstream = [upstream.conventions, upstream.version, upstream.name];
    assert_eq!(
        upstream,
        ["conv", "1.2.3", "a.old"],
        "the manifest's version and the same name, unless it says others"
    );
    assert_eq!(registry.attribute("a.seconds").unwrap().unit.as_deref(), Some("s"));
    let code = registry.attribute("a.code").unwrap();
    assert_eq!((code.kind, code.members[1].value.as_str()), (Kind::Int, "1"));
}

#[test]
fn metrics_and_events_resolve() {
    let registry = load(MANIFEST, &[GOOD]).unwrap();
    let metric = registry.metric("m.new").unwrap();
    assert_eq!((metric.instrument, metric.unit.as_str()), (Instrument::Histogram, "s"));
    assert_eq!(metric.boundaries, [0.1, 1.0, 10.0]);
    assert_eq!(metric.attributes[0].key, "a.kind");
    let older = registry.metric("m.old").unwrap().deprecated.clone().unwrap();
    assert_eq!((older.renamed_to.as_deref(), older.until.to_string().as_str()), (Some("m.new"), "1.0.0"));
    assert_eq!(registry.event("happened").unwrap().attributes.len(), 2);
    assert_eq!(registry.entities[0].identity, ["a.name"]);
}

/// Each row breaks the good registry in one place; the message must name the file, the id and what is wrong.
#[test]
fn errors_are_readable() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &[&str])] = &[
        ("ref: a.kind, requirement_level: recommended", "ref: a.kid, requirement_level: recommended", &["0.yaml", "span s", "ref a.kid is not defined"]),
        ("ref_group: g", "ref_group: h", &["0.yaml", "span s", "ref_group h is not defined"]),
        ("- {ref: a.kind, requirement_level: recommended}", "- {ref: a.name, requirement_level: recommended}", &["span s", "a.name is referred to twice"]),
        ("key: a.old", "key: a.name", &["0.yaml", "attribute a.name is already defined in here/0.yaml"]),
        ("type: any", "type: text", &["0.yaml", "attribute a.text", "type text is none of string"]),
        ("key: a.text", "key: a text", &["0.yaml", "attribute a text", "without spaces"]),
        ("privacy: content", "privacy: secret", &["attribute a.text", "unknown variant `secret`"]),
        ("values: closed, ", "", &["attribute a.kind", "values (open or closed)"]),
        ("values: open, ", "max_bytes: 3, values: open, ", &["attribute a.code", "max_bytes belongs to free text"]),
        ("unit: s, ", "max_items: 3, ", &["attribute a.seconds", "max_items belongs to arrays"]),
        ("max_bytes: 80, ", "unit: By, ", &["attribute a.text", "unit belongs to numbers"]),
        ("max_bytes: 80, since: 0.1.0", "max_bytes: 80, since: 0.2.0", &["attribute a.text", "since 0.2.0"]),
        ("max_bytes: 80, since: 0.1.0", "max_bytes: 80, since: new", &["attribute a.text", "new is not MAJOR.MINOR.PATCH"]),
        ("id: y.z", "id: x", &["attribute a.kind", "member id x is there twice"]),
        ("value: 1}", "value: one}", &["attribute a.code", "members are of more than one type"]),
        ("renamed_to: a.name", "renamed_to: a.nome", &["attribute a.old", "renamed_to a.nome, which is not defined"]),
        ("renamed_to: a.name", "renamed_to: a.old", &["attribute a.old", "itself an older name"]),
        ("renamed_to: a.name", "renamed_to: a.seconds", &["attribute a.old", "another type"]),
        ("{reason: renamed, renamed_to: a.name}", "{reason: renamed}", &["attribute a.old", "renamed_to belongs to the reason renamed"]),
        ("reason: renamed, renamed_to: a.name", "reason: bored", &["attribute a.old", "bored is not supported"]),
        ("until: 0.3.0, ", "", &["attribute a.old", "until belongs to what is deprecated"]),
        ("until: 0.3.0, ", "until: 0.1.0, ", &["attribute a.old", "until 0.1.0 must be later than since 0.1.0"]),
        ("upstream: {conventions: conv}", "upstream: {conventions: cov}", &["attribute a.old", "cov is not in the manifest's based_on"]),
        ("      - {ref: a.name, requirement_level: required}\n      - ref", "      - ref", &["span s", "a.old is an older name of a.name, which is not here beside it"]),
        ("requirement_level: {conditionally_required: when there is a name}", "requirement_level: recommended", &["span s", "group g", "a.old: required_with and required_on belong to"]),
        ("required_with: a.name", "required_with: b", &["span s", "a.old is required_with b"]),
        ("ref: a.text, requirement_level: opt_in", "ref: a.text, requirement_level: recommended", &["a.text is content"]),
        ("ref: a.kind, requirement_level: recommended", "ref: a.kind, requirement_level: nice", &["a.kind", "nice is unknown"]),
        ("      - {ref: a.text, requirement_level: opt_in}\n", "", &["0.yaml", "attribute a.text", "no signal has it"]),
        ("kind: client", "kind: sideways", &["span s", "kinds do not contain the kind sideways"]),
        ("kinds: [client, server]", "kinds: [client, sideways]", &["span s", "kind sideways is not supported"]),
        (
            "name_pattern: ['{a.name} done', '{a.name}']",
            "older_name: {name_pattern: '{a.name}', replaced: 0.1.0, until: 1.0.0}",
            &["span s", "older_name belongs to a span with a name_pattern"],
        ),
        (
            "name_pattern: ['{a.name} done', '{a.name}']",
            "name_pattern: '{a.name}', older_name: {name_pattern: 'old', replaced: 0.1.0, until: 0.1.0}",
            &["span s", "until 0.1.0 must be later"],
        ),
        ("'{a.name} done'", "'{a.name done'", &["span s", "name_pattern \"{a.name done\""]),
        ("'{a.name} done'", "'{a.code} done'", &["span s", "name_pattern has a.code, which is not on the span"]),
        ("'{a.name} done'", "'{a.name}'", &["span s", "is there twice"]),
        ("boundaries: [0.1, 1, 10]", "boundaries: [0.1, 1, 1]", &["metric m.new", "boundaries are not numbers that grow"]),
        ("instrument: histogram", "instrument: counter", &["metric m.new", "boundaries belong to a histogram"]),
        ("instrument: histogram", "instrument: sundial", &["0.yaml", "unknown variant `sundial`"]),
        ("renamed_to: m.new", "renamed_to: m.newer", &["0.yaml: metric m.old", "renamed_to m.newer, which is not defined"]),
        ("{ref: a.kind, requirement_level: required}", "{ref: a.text, requirement_level: opt_in}", &["metric m.new", "a.text is content, which no metric carries"]),
        ("name: happened", "name: what happened", &["event what happened", "without spaces"]),
        ("    brief: A text.\n", "", &["0.yaml", "missing field `brief`", "line"]),
        ("    brief: A text.\n", "    brief: A text.\n    brif: x\n", &["0.yaml", "unknown field `brif`"]),
        ("definition/2", "definition/1", &["0.yaml", "file_format must be definition/2"]),
        ("- {ref: a.name, requirement_level: required}\n      - ref", "- {requirement_level: required}\n      - ref", &["span s", "group g", "needs either ref or ref_group"]),
    ];
    for (from, to, wanted) in rows {
        let broken = GOOD.replacen(from, to, 1);
        assert_ne!(broken, GOOD, "{from} is not in the registry");
        let message = refusal(MANIFEST, &[&broken]);
        for part in *wanted {
            assert!(message.contains(part), "{to}: {message:?} does not say {part:?}");
        }
    }
}

#[test]
fn a_rename_must_measure_the_same() {
    let broken = GOOD.replacen(
        "    instrument: histogram\n    unit: s\n    brief: Its",
        "    instrument: histogram\n    unit: ms\n    brief: Its",
        1,
    );
    assert!(refusal(MANIFEST, &[&broken]).contains("metric m.old: renamed_to m.new, which has another type"));
}

#[test]
fn a_key_defined_in_two_files_names_both() {
    let message = refusal(MANIFEST, &[GOOD, GOOD]);
    assert!(message.contains("here/1.yaml: attribute a.name"), "{message}");
    assert!(message.contains("already defined in here/0.yaml"), "{message}");
}

#[test]
fn the_manifest_is_checked() {
    let rows = [
        ("schemas/0.1.0", "schemas/0.2.0", "must end in the version 0.1.0"),
        ("version: 0.1.0,", "version: '0.1',", "0.1 is not MAJOR.MINOR.PATCH"),
        ("name: team", "name: The team", "\"The team\" is not lower-case words"),
        ("[{id: conv,", "[{id: conv, name: C, version: '1'}, {id: conv,", "based_on has conv twice"),
        ("definition_manifest/2.0", "definition_manifest/1.0", "file_format must be definition_manifest/2.0"),
    ];
    for (from, to, wanted) in rows {
        let message = refusal(&MANIFEST.replacen(from, to, 1), &[GOOD]);
        assert!(message.starts_with("here/manifest.yaml: ") && message.contains(wanted), "{message}");
    }
}

#[test]
fn a_contract_is_read_from_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    let write = |path: &str, manifest: &str| {
        std::fs::create_dir_all(at(path).join("more")).unwrap();
        std::fs::write(at(path).join("manifest.yaml"), manifest).unwrap();
        std::fs::write(at(path).join("more/all.yaml"), GOOD).unwrap();
    };
    let baseline = |path: &str| crate::read::newest(&at(path)).and_then(|dir| Registry::read(&dir));
    write("mine/registry", MANIFEST);
    for path in ["mine", "mine/registry"] {
        assert_eq!(Registry::read(&at(path)).unwrap().name, "team", "{path}");
        assert_eq!(baseline(path).unwrap().name, "team", "{path}");
    }
    let nothing = Registry::read(dir.path()).unwrap_err().to_string();
    assert!(
        nothing.contains("no contract in") && nothing.contains(&dir.path().display().to_string()),
        "{nothing}"
    );
    assert!(baseline("mine/registry/more").unwrap_err().to_string().contains("no baseline in"));
    assert!(baseline("none").unwrap_err().to_string().contains("cannot read"));

    for version in ["0.9.0", "0.10.0"] {
        write(&format!("baselines/{version}"), &MANIFEST.replace("0.1.0", version));
    }
    std::fs::create_dir_all(at("baselines/1.0.0")).unwrap();
    assert_eq!(baseline("baselines").unwrap().version.to_string(), "0.10.0", "by number, and only contracts");
}
