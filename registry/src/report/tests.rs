use super::*;
use crate::{model::Registry, read::File};

const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/1.4.0
description: A contract.
stability: stable
annotations: {plainspan: {name: team, version: 1.4.0}}
";

const OLD: &str = "file_format: definition/2
attributes:
  - key: model
    type: string
    brief: The model.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 1.0.0}}
  - key: tokens
    type: int
    brief: Tokens.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 1.0.0}}
spans:
  - type: call
    kind: client
    name: {note: call}
    brief: A call.
    stability: stable
    annotations: {plainspan: {since: 1.0.0}}
    attributes:
      - {ref: model, requirement_level: required}
      - {ref: tokens, requirement_level: recommended}
";

fn files(version: &str, edits: &[(&str, &str)]) -> Vec<File> {
    let mut text = OLD.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let file = |name: &str, text: String| File { name: format!("contract/{name}"), text };
    vec![file("manifest.yaml", MANIFEST.replace("1.4.0", version)), file("all.yaml", text)]
}

/// Runs `check` on the report of a retyped attribute, a span that goes and one that comes.
fn with_report(sides: &[Side], check: impl Fn(&Report<'_>)) {
    let old = Registry::load(&files("1.4.0", &[])).unwrap();
    let new = files(
        "2.0.0",
        &[("type: int", "type: string"), ("- type: call", "- type: deal"), ("A call.", "A deal.")],
    );
    let diff = Diff::between(&old, &Registry::load(&new).unwrap());
    let places = Places::of(&new);
    let affected = |change: &Change| match change.element.key() {
        Some("tokens") => vec!["finance/token-spend.json sums `tokens`, 100%".to_owned()],
        _ => Vec::new(),
    };
    check(&Report { contract: "team", diff: &diff, sides, places: &places, affected: &affected });
}

#[test]
fn people_see_what_breaks_first_and_who() {
    with_report(&[Side::Consumers], |report| {
        assert_eq!(report.class(), Class::Breaking);
        assert_eq!(
            report.text(),
            "contract team 1.4.0 -> 2.0.0: breaking\n\
             \nbreaking:\n  span call is removed\n  attribute tokens is of type string, and was of int\n    \
             finance/token-spend.json sums `tokens`, 100%\n\
             \nadditive:\n  span deal is new\n\
             \n2 breaking, 1 additive, 0 compatible\n"
        );
    });
}

#[test]
fn the_same_is_said_so() {
    let old = Registry::load(&files("1.4.0", &[])).unwrap();
    let diff = Diff::between(&old, &old);
    let (places, affected) = (Places::default(), |_: &Change| Vec::new());
    let report = Report {
        contract: "team",
        diff: &diff,
        sides: &[Side::Consumers],
        places: &places,
        affected: &affected,
    };
    assert_eq!(report.text(), "contract team 1.4.0 -> 1.4.0: the same\n");
    assert_eq!(report.github(), "");
}

#[test]
fn programs_get_every_field() {
    with_report(&[Side::Consumers, Side::Producers], |report| {
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!((json["old"].as_str(), json["class"].as_str()), (Some("1.4.0"), Some("breaking")));
        let retyped = json["changes"].as_array().unwrap().iter().find(|c| c["change"] == "type").unwrap();
        assert_eq!(retyped["element"], serde_json::json!({"kind": "attribute", "name": "tokens"}));
        assert_eq!((&retyped["old"], &retyped["new"]), (&"int".into(), &"string".into()));
        assert_eq!(retyped["breaks"], serde_json::json!(["consumers", "producers"]));
        assert_eq!(retyped["affected"][0], "finance/token-spend.json sums `tokens`, 100%");
    });
}

#[test]
fn pull_requests_are_annotated_on_the_line() {
    with_report(&[Side::Consumers], |report| {
        let lines: Vec<String> = report.github().lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "::error file=contract/manifest.yaml,line=1,title=contract%3A removed::span call is removed",
                "::error file=contract/all.yaml,line=8,title=contract%3A type::attribute tokens is of type string, and was of \
                 int%0Afinance/token-spend.json sums `tokens`, 100%25",
                "::notice file=contract/all.yaml,line=14,title=contract%3A added::span deal is new",
            ]
        );
    });
}

#[test]
fn code_scanning_gets_sarif() {
    with_report(&[Side::Consumers], |report| {
        let log: serde_json::Value = serde_json::from_str(&report.sarif().unwrap()).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules: Vec<_> =
            run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|r| &r["id"]).collect();
        assert_eq!(rules, ["added", "removed", "type"]);
        let levels: Vec<_> =
            run["results"].as_array().unwrap().iter().map(|r| (&r["ruleId"], &r["level"])).collect();
        assert_eq!(
            levels,
            [
                (&"removed".into(), &"error".into()),
                (&"type".into(), &"error".into()),
                (&"added".into(), &"note".into())
            ]
        );
        let place = &run["results"][1]["locations"][0]["physicalLocation"];
        assert_eq!(
            *place,
            serde_json::json!({"artifactLocation": {"uri": "contract/all.yaml"}, "region": {"startLine": 8}})
        );
    });
}
