use super::*;

const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/0.1.0
description: A contract.
stability: development
annotations: {plainspan: {name: plainspan, version: 0.1.0, based_on: [something]}}
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
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 8, since: 0.1.0}}
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
    attributes:
      - ref_group: g
      - {ref: a.kind, requirement_level: recommended}
      - {ref: a.text, requirement_level: opt_in}
entities:
  - type: e
    brief: An entity.
    stability: stable
    identity:
      - {ref: a.name, requirement_level: required}
";

fn load(manifest: &str, definitions: &[&str]) -> anyhow::Result<Registry> {
    let mut files = vec![File { name: "contract/registry/manifest.yaml".into(), text: manifest.into() }];
    for (i, text) in definitions.iter().enumerate() {
        files.push(File { name: format!("contract/registry/{i}.yaml"), text: (*text).into() });
    }
    Registry::load(&files)
}

#[test]
fn a_good_registry_resolves() {
    let registry = load(MANIFEST, &[GOOD]).unwrap();
    assert_eq!(registry.version, "0.1.0");
    let keys: Vec<_> = registry.attributes.iter().map(|a| a.key.as_str()).collect();
    assert_eq!(keys, ["a.kind", "a.name", "a.old", "a.text"], "sorted, as the agent's lookup needs it");
    let used: Vec<_> = registry.spans[0].attributes.iter().map(|u| u.key.as_str()).collect();
    assert_eq!(used, ["a.name", "a.old", "a.kind", "a.text"], "groups in their place");
    assert_eq!(registry.spans[0].attributes[1].required_with.as_deref(), Some("a.name"));
    assert_eq!(registry.spans[0].kinds, ["client"]);
    assert_eq!(registry.attribute("a.kind").unwrap().members.len(), 2);
}

/// Each row breaks the good registry in one place; the message must name the file, the id and what is wrong.
#[test]
fn errors_are_readable() {
    #[rustfmt::skip]
    let rows: &[(&str, &str, &[&str])] = &[
        ("ref: a.kind, req", "ref: a.kid, req", &["0.yaml", "span s", "ref a.kid is not defined"]),
        ("ref_group: g", "ref_group: h", &["0.yaml", "span s", "ref_group h is not defined"]),
        ("- {ref: a.kind,", "- {ref: a.name,", &["span s", "a.name is referred to twice"]),
        ("key: a.old", "key: a.name", &["0.yaml", "attribute a.name is already defined in contract/registry/0.yaml"]),
        ("type: any", "type: text", &["0.yaml", "attribute a.text", "type text is none of string"]),
        ("key: a.text", "key: A.text", &["0.yaml", "attribute A.text", "lower-case"]),
        ("privacy: content", "privacy: secret", &["attribute a.text", "unknown variant `secret`"]),
        ("values: closed, ", "", &["attribute a.kind", "values (open or closed)"]),
        ("max_bytes: 80, ", "", &["attribute a.text", "max_bytes belongs to free text"]),
        ("max_bytes: 80, since: 0.1.0", "max_bytes: 80, since: 0.2.0", &["attribute a.text", "since 0.2.0"]),
        ("id: y.z", "id: x", &["attribute a.kind", "member id x is there twice"]),
        ("renamed_to: a.name", "renamed_to: a.nome", &["attribute a.old", "renamed_to a.nome, which is not defined"]),
        ("renamed_to: a.name", "renamed_to: a.old", &["attribute a.old", "itself an older name"]),
        ("required_with: a.name", "required_with: b", &["span s", "a.old is required_with b"]),
        ("ref: a.text, requirement_level: opt_in", "ref: a.text, requirement_level: recommended", &["a.text is content"]),
        ("ref: a.kind, requirement_level: recommended", "ref: a.kind, requirement_level: nice", &["a.kind", "nice is unknown"]),
        ("      - {ref: a.kind, requirement_level: recommended}\n", "", &["0.yaml", "attribute a.kind is on no span"]),
        ("kind: client", "kind: sideways", &["span s", "kind sideways is not supported"]),
        ("    brief: A text.\n", "", &["0.yaml", "missing field `brief`", "line"]),
        ("    brief: A text.\n", "    brief: A text.\n    brif: x\n", &["0.yaml", "unknown field `brif`"]),
        ("definition/2", "definition/1", &["0.yaml", "file_format must be definition/2"]),
        ("- {ref: a.name, requirement_level: required}\n      - ref", "- {requirement_level: required}\n      - ref", &["span s", "group g", "needs either ref or ref_group"]),
    ];
    for (from, to, wanted) in rows {
        let broken = GOOD.replacen(from, to, 1);
        assert_ne!(broken, GOOD, "{from} is not in the registry");
        let message = format!("{:#}", load(MANIFEST, &[&broken]).expect_err(to));
        for part in *wanted {
            assert!(message.contains(part), "{to}: {message:?} does not say {part:?}");
        }
    }
}

#[test]
fn a_key_defined_in_two_files_names_both() {
    let message = format!("{:#}", load(MANIFEST, &[GOOD, GOOD]).unwrap_err());
    assert!(message.contains("contract/registry/1.yaml: attribute a.name"), "{message}");
    assert!(message.contains("already defined in contract/registry/0.yaml"), "{message}");
}

#[test]
fn keys_that_meet_in_rust_are_refused() {
    let broken = GOOD.replace("a.old", "a_name");
    let message = format!("{:#}", load(MANIFEST, &[&broken]).unwrap_err());
    assert!(message.contains("a.name") && message.contains("a_name"), "{message}");
}

#[test]
fn the_schema_url_carries_the_version() {
    let broken = MANIFEST.replace("schemas/0.1.0", "schemas/0.2.0");
    let message = format!("{:#}", load(&broken, &[GOOD]).unwrap_err());
    assert!(message.contains("must end in the version 0.1.0"), "{message}");
}

#[test]
fn names_in_rust() {
    assert_eq!(constant_case("gen_ai.usage.cache_read.input_tokens"), "GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS");
    assert_eq!(pascal_case("plainspan.call.ended"), "PlainspanCallEnded");
    assert_eq!(pascal_case("azure.ai.openai"), "AzureAiOpenai");
}
