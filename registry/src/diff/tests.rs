//! Each kind of change, made by hand in YAML.

use super::*;
use crate::read::File;

const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/1.4.0
description: A contract.
stability: stable
annotations: {plainspan: {name: team, version: 1.4.0}}
";

const OLD: &str = "
file_format: definition/2
attributes:
  - key: op
    type: {members: [{id: chat, value: chat, brief: Chat.}, {id: embed, value: embed, brief: Embed.}]}
    brief: What is done.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: open, max_bytes: 32, since: 1.0.0}}
  - key: end
    type: {members: [{id: good, value: good, brief: Good.}, {id: bad, value: bad, brief: Bad.}]}
    brief: How it ended.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: closed, since: 1.0.0}}
  - key: model
    type: string
    brief: The model.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 64, since: 1.0.0}}
  - key: engine
    type: string
    brief: Its older name.
    stability: stable
    deprecated: {reason: renamed, renamed_to: model}
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 64, since: 1.0.0, until: 2.0.0}}
  - key: tokens
    type: int
    brief: Tokens.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: unbounded, unit: '{token}', since: 1.0.0}}
  - key: stops
    type: string[]
    brief: Stops.
    stability: stable
    annotations: {plainspan: {privacy: identifying, cardinality: unbounded, max_bytes: 16, max_items: 4, since: 1.0.0}}
  - key: service
    type: string
    brief: Who.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 64, since: 1.0.0}}
spans:
  - type: call
    kind: client
    name: {note: The operation and the model.}
    brief: A call.
    stability: stable
    annotations: {plainspan: {since: 1.0.0, kinds: [client, server], name_pattern: ['{op} {model}', '{op}']}}
    attributes:
      - {ref: op, requirement_level: required}
      - {ref: end, requirement_level: recommended}
      - {ref: model, requirement_level: {conditionally_required: when it is named}}
      - {ref: engine, requirement_level: {conditionally_required: when it is named}}
      - {ref: tokens, requirement_level: recommended}
      - {ref: stops, requirement_level: recommended}
metrics:
  - name: calls.duration
    instrument: histogram
    unit: s
    brief: How long calls take.
    stability: stable
    annotations: {plainspan: {since: 1.0.0, boundaries: [0.1, 1, 10]}}
    attributes:
      - {ref: op, requirement_level: required}
      - {ref: model, requirement_level: recommended}
  - name: calls.time
    instrument: histogram
    unit: s
    brief: Its older name.
    stability: stable
    deprecated: {reason: renamed, renamed_to: calls.duration}
    annotations: {plainspan: {since: 1.0.0, until: 2.0.0}}
events:
  - name: refused
    brief: A refusal.
    stability: stable
    annotations: {plainspan: {since: 1.0.0}}
    attributes:
      - {ref: op, requirement_level: required}
entities:
  - type: service
    brief: A service.
    stability: stable
    identity:
      - {ref: service, requirement_level: required}
";

fn registry(manifest: &str, definitions: &str) -> Registry {
    let file = |name: &str, text: &str| File { name: name.into(), text: text.into() };
    Registry::load(&[file("manifest.yaml", manifest), file("all.yaml", definitions)]).unwrap()
}

/// What is replaced by what.
type Edits<'a> = &'a [(&'a str, &'a str)];

/// The contract after some replacements, as another version.
fn edited(version: &str, edits: Edits<'_>) -> Registry {
    let mut text = OLD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the contract");
        text = text.replacen(from, to, 1);
    }
    registry(&MANIFEST.replace("1.4.0", version), &text)
}

fn said(diff: &Diff) -> Vec<String> {
    diff.changes.iter().map(|c| format!("{} {}: {c}", c.class.name(), c.kind.name())).collect()
}

const MODEL_USE: &str =
    "      - {ref: model, requirement_level: {conditionally_required: when it is named}}\n";

#[test]
fn every_kind_of_change_is_told() {
    #[rustfmt::skip]
    let rows: &[(&str, Edits<'_>, &[&str])] = &[
        // Additive.
        ("1.5.0", &[("{id: embed,", "{id: rank, value: rank}, {id: embed,")], &["additive member_added: attribute op also has the value `rank`"]),
        ("1.5.0", &[("values: closed", "values: open, max_bytes: 9")], &["additive values_opened: attribute end may have values that are not listed"]),
        ("1.5.0", &[("      - {ref: op, requirement_level: required}\nentities", "      - {ref: op, requirement_level: required}\n      - {ref: end, requirement_level: required}\nentities")], &["additive added: end on event refused is new there"]),
        ("1.5.0", &[("kinds: [client, server]", "kinds: [client, server, internal]")], &["additive span_kind: span call also comes as internal"]),
        // Compatible.
        ("1.4.0", &[("brief: Tokens.", "brief: All tokens.")], &["compatible described: attribute tokens is described differently"]),
        ("1.4.0", &[("model, requirement_level: {conditionally_required: when it is named}", "model, requirement_level: {conditionally_required: when named}")], &["compatible described: model on span call has a condition in other words: does it mean the same?"]),
        ("1.4.1", &[("max_bytes: 16", "max_bytes: 17")], &["compatible max_bytes: attribute stops has up to 17 bytes, and had up to 16"]),
        ("1.4.1", &[("privacy: identifying", "privacy: structural")], &["compatible privacy: attribute stops is structural, and was identifying"]),
        ("1.4.1", &[("ref: tokens, requirement_level: recommended", "ref: tokens, requirement_level: required")], &["compatible requirement: tokens on span call is required, and was recommended"]),
        // Breaking.
        ("2.0.0", &[("type: int", "type: double")], &["breaking type: attribute tokens is of type double, and was of int"]),
        ("2.0.0", &[("unit: '{token}'", "unit: By")], &["breaking unit: attribute tokens is in By, and was in {token}"]),
        ("2.0.0", &[(", {id: embed, value: embed, brief: Embed.}", "")], &["breaking member_removed: attribute op does not list `embed` any more"]),
        ("2.0.0", &[(", {id: bad, value: bad, brief: Bad.}", "")], &["breaking member_removed: attribute end does not list `bad` any more"]),
        ("2.0.0", &[("values: open, max_bytes: 32", "values: closed")], &["breaking values_closed: attribute op has listed values only, and had others, too"]),
        ("2.0.0", &[("cardinality: bounded, max_bytes: 64, since: 1.0.0}}\n  - key: engine", "cardinality: unbounded, max_bytes: 64, since: 1.0.0}}\n  - key: engine")], &["breaking cardinality: attribute model is unbounded, and was bounded"]),
        ("2.0.0", &[("privacy: structural, cardinality: unbounded", "privacy: identifying, cardinality: unbounded")], &["breaking privacy: attribute tokens is identifying, and was structural"]),
        ("2.0.0", &[("max_bytes: 16", "max_bytes: 15")], &["breaking max_bytes: attribute stops has up to 15 bytes, and had up to 16"]),
        ("2.0.0", &[("max_items: 4", "max_items: 3")], &["breaking max_items: attribute stops has up to 3 items, and had up to 4"]),
        ("2.0.0", &[("ref: op, requirement_level: required", "ref: op, requirement_level: recommended")], &["breaking requirement: op on span call is recommended, and was required"]),
        ("2.0.0", &[("ref: tokens, requirement_level: recommended", "ref: tokens, requirement_level: opt_in")], &["breaking requirement: tokens on span call is opt in, and was recommended"]),
        ("2.0.0", &[("    attributes:\n      - {ref: op, requirement_level: required}\nentities", "entities")], &["breaking taken_off: op on event refused is not there any more"]),
        ("2.0.0", &[("kinds: [client, server]", "kinds: [client]")], &["breaking span_kind: span call does not come as server any more"]),
        ("2.0.0", &[("'{op} {model}'", "'{model} {op}'")], &["breaking name_pattern: span call is named `{model} {op}`, and was `{op} {model}`"]),
        ("2.0.0", &[("['{op} {model}', '{op}']", "['{op}', '{op} {model}']")], &["breaking name_pattern: span call is named `{op}`, and was `{op} {model}`"]),
        ("2.0.0", &[("boundaries: [0.1, 1, 10]", "boundaries: [0.1, 1, 5, 10]")], &["breaking boundaries: metric calls.duration has its buckets at [0.1, 1.0, 5.0, 10.0], and had them at [0.1, 1.0, 10.0]"]),
        ("2.0.0", &[("  - name: refused\n    brief: A refusal.", "  - name: denied\n    brief: A denial.")], &["breaking removed: event refused is removed", "additive added: event denied is new"]),
        ("2.0.0", &[("  - name: refused", "  - name: denied")], &["breaking renamed_without_overlap: event refused seems to be renamed to denied, with no overlap: keep it beside, as deprecated with `renamed_to: denied`", "additive added: event denied is new"]),
        ("2.0.0", &[("- type: service\n", "- type: team\n")], &["compatible described: entity service is not told apart any more", "compatible described: entity team is told apart"]),
        // The version must tell.
        ("1.4.1", &[("{id: embed,", "{id: rank, value: rank}, {id: embed,")], &["breaking version: contract team is version 1.4.1; after 1.4.0, these changes make it 1.5.0 at least", "additive member_added: attribute op also has the value `rank`"]),
        ("1.4.0", &[("max_bytes: 16", "max_bytes: 17")], &["breaking version: contract team is version 1.4.0; after 1.4.0, these changes make it 1.4.1 at least", "compatible max_bytes: attribute stops has up to 17 bytes, and had up to 16"]),
        ("1.3.0", &[], &["breaking version: contract team is version 1.3.0; after 1.4.0, these changes make it 1.4.0 at least"]),
    ];
    let old = registry(MANIFEST, OLD);
    for (version, edits, wanted) in rows {
        let found = said(&Diff::between(&old, &edited(version, edits)));
        assert_eq!(found, *wanted, "{edits:?}");
    }
}

/// Each attribute is taken off the only span that has it, so that it leaves the contract.
fn without_model(version: &str) -> Registry {
    edited(
        version,
        &[
            ("  - key: engine\n", "  - key: was_engine\n"),
            ("    deprecated: {reason: renamed, renamed_to: model}\n", ""),
            (", until: 2.0.0}}\n  - key: tokens", "}}\n  - key: tokens"),
            ("{ref: engine,", "{ref: was_engine,"),
        ],
    )
}

#[test]
fn what_is_deprecated_is_promised_until_its_version() {
    let old = registry(MANIFEST, OLD);
    let early = Diff::between(&old, &without_model("1.9.0"));
    assert_eq!(
        said(&early)[1],
        "breaking overlap_cut_short: attribute engine is gone in 1.9.0, but was promised until 2.0.0"
    );
    let due = Diff::between(&old, &without_model("2.0.0"));
    assert_eq!(due.class(), Class::Additive, "{:?}", said(&due));
    assert!(
        said(&due).contains(
            &"compatible overlap_ended: attribute engine is gone; it was promised until 2.0.0 only"
                .to_owned()
        ),
        "{:?}",
        said(&due)
    );
    let sooner = Diff::between(&old, &edited("1.5.0", &[("until: 2.0.0", "until: 1.6.0")]));
    assert_eq!(
        said(&sooner)[1],
        "breaking until_lowered: attribute engine is promised until 1.6.0 only, and was until 2.0.0"
    );
}

#[test]
fn a_rename_with_an_overlap_breaks_nobody_even_in_the_span_name() {
    let old = registry(MANIFEST, OLD);
    let overlap = [
        (
            "  - key: engine\n",
            "  - key: llm\n    type: string\n    brief: The LLM.\n    stability: stable\n    annotations: {plainspan: {privacy: structural, \
             cardinality: bounded, max_bytes: 64, since: 1.5.0}}\n  - key: engine\n",
        ),
        ("renamed_to: model}", "renamed_to: llm}"),
        (
            "brief: The model.\n    stability: stable\n    annotations: {plainspan: {",
            "brief: The model.\n    stability: stable\n    deprecated: {reason: renamed, renamed_to: llm}\n    annotations: {plainspan: {until: \
             2.0.0, ",
        ),
        (
            MODEL_USE,
            "      - {ref: llm, requirement_level: {conditionally_required: when it is named}}\n      - ref: model\n        requirement_level: \
             {conditionally_required: when `llm` is there}\n        annotations: {plainspan: {required_with: llm}}\n",
        ),
        (
            "      - {ref: model, requirement_level: recommended}\n",
            "      - {ref: model, requirement_level: recommended}\n      - {ref: llm, requirement_level: recommended}\n",
        ),
        ("['{op} {model}', '{op}']", "['{op} {llm}', '{op}']"),
    ];
    let diff = Diff::between(&old, &edited("1.5.0", &overlap));
    let found = said(&diff);
    assert_eq!(diff.class(), Class::Additive, "{found:?}");
    for wanted in [
        "compatible name_pattern: span call is named the same, by other patterns",
        "compatible deprecated: attribute model is renamed to llm, and there under both names until 2.0.0",
        "compatible requirement: model on span call is conditionally required with llm, and was conditionally required",
        "additive added: attribute llm is new, on span call, metric calls.duration",
    ] {
        assert!(found.iter().any(|said| said == wanted), "{wanted} is not in {found:#?}");
    }
}

#[test]
fn a_span_is_renamed_with_its_older_name_until_a_version() {
    const NAMED: &str = "name_pattern: ['{op} {model}', '{op}']";
    let renamed = |until: &str| {
        format!(
            "name_pattern: ['llm {{op}}'], older_name: {{name_pattern: ['{{op}} {{model}}', '{{op}}'], replaced: 1.5.0, until: {until}}}"
        )
    };
    let old = registry(MANIFEST, OLD);
    // (the contract before, the one after, its version, what is said)
    let kept = renamed("2.0.0");
    let rows = [
        (
            NAMED,
            &*kept,
            "1.5.0",
            Some("compatible deprecated: span call is renamed, and has its older name until 2.0.0"),
        ),
        (
            NAMED,
            "name_pattern: ['llm {op}']",
            "1.5.0",
            Some("breaking name_pattern: span call is named `llm {op}`, and was `{op} {model}`"),
        ),
        (
            &kept,
            "name_pattern: ['llm {op}']",
            "1.6.0",
            Some("breaking name_pattern: span call is named `llm {op}`, and was `{op} {model}`"),
        ),
        (
            &kept,
            &renamed("1.9.0"),
            "1.6.0",
            Some(
                "breaking until_lowered: span call has its older name until 1.9.0 only, and had it until 2.0.0",
            ),
        ),
        (&kept, "name_pattern: ['llm {op}']", "2.0.0", None),
        (
            &kept,
            "name_pattern: ['{op}']",
            "2.0.0",
            Some("breaking name_pattern: span call is named `{op}`, and was `llm {op}`"),
        ),
    ];
    for (before, after, version, wanted) in rows {
        let before = if before == NAMED { old.clone() } else { edited("1.5.0", &[(NAMED, before)]) };
        let diff = Diff::between(&before, &edited(version, &[(NAMED, after)]));
        let found: Vec<_> = said(&diff).into_iter().filter(|said| said.contains("span call")).collect();
        assert_eq!(found.first().map(String::as_str), wanted, "{after} at {version}: {found:?}");
    }
}

#[test]
fn producers_and_consumers_are_hit_by_different_changes() {
    let old = registry(MANIFEST, OLD);
    let tightened = Diff::between(
        &old,
        &edited(
            "1.5.0",
            &[("ref: tokens, requirement_level: recommended", "ref: tokens, requirement_level: required")],
        ),
    );
    assert_eq!(tightened.class_for(Side::Consumers), Class::Compatible);
    assert_eq!(tightened.class_for(Side::Producers), Class::Breaking);
    assert_eq!(tightened.breaking(Side::Producers).count(), 1);
    let loosened = Diff::between(
        &old,
        &edited(
            "2.0.0",
            &[("ref: op, requirement_level: required", "ref: op, requirement_level: recommended")],
        ),
    );
    assert_eq!(loosened.class_for(Side::Consumers), Class::Breaking);
    assert_eq!(loosened.class_for(Side::Producers), Class::Compatible);
}

#[test]
fn what_is_implied_is_no_looser() {
    let with = "      - {ref: tokens, requirement_level: {conditionally_required: with it}, annotations: {plainspan: {required_with: op}}}\n";
    let plain = "      - {ref: tokens, requirement_level: recommended}\n";
    let always = edited("1.4.0", &[(plain, "      - {ref: tokens, requirement_level: required}\n")]);
    let implied = edited("1.4.1", &[(plain, with)]);
    let diff = Diff::between(&always, &implied);
    assert_eq!(
        said(&diff),
        ["compatible requirement: tokens on span call is conditionally required with op, and was required"]
    );
}

#[test]
fn changes_name_element_and_kind() {
    let old = registry(MANIFEST, OLD);
    let gone = ("    attributes:\n      - {ref: op, requirement_level: required}\nentities", "entities");
    let diff = Diff::between(&old, &edited("2.0.0", &[gone]));
    let change = diff.changes.iter().find(|c| c.kind == ChangeKind::TakenOff).unwrap();
    assert_eq!((change.element.kind, change.element.name.as_str()), (ElementKind::Event, "refused"));
    assert_eq!(change.element.key(), Some("op"));
}
