//! The incident that the contract is for, replayed: a rename that is harmless to everybody who is asked, and empties a dashboard of
//! somebody who is not. Needs no privileges. docs/contract-guide.md tells it with the output of these steps.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{collections::BTreeMap, path::Path, process::Command};

use plainspan_tests::harness::{
    ContractCopy, Process, agent, contract, parse_spans, recordings, venv, workspace,
};
use serde_json::{Value, json};

/// Finance's dashboard: tokens by provider and operation.
const DASHBOARD: &str = "finance/token-spend.json";

/// A contract whose readers include finance.
fn with_finance() -> ContractCopy {
    let copy = ContractCopy::new();
    copy.add(&workspace().join("tests/incident/finance"), ".");
    copy.add(&workspace().join("tests/incident/consumers.yaml"), "contract/consumers/finance.yaml");
    copy
}

/// What the gate says of it.
fn gate(copy: &ContractCopy) -> (String, Option<i32>) {
    let baselines = workspace().join("contract/baselines");
    contract(&["check".as_ref(), "--baseline".as_ref(), baselines.as_path(), &copy.path("contract")])
}

/// Recorded calls as spans, under the names of a profile.
fn replayed(profile: &str, to: &Path) {
    let mut replay = agent();
    replay.args(["replay", "--contract", profile, "-o"]).arg(format!("file:{}", to.display()));
    replay.arg(recordings().join("opentelemetry-python-contrib.jsonl"));
    let ended = Process::start(replay).wait();
    assert!(ended.status.success(), "{ended:?}");
}

/// The rows that the dashboard shows of these spans.
fn shown(spans: &Path) -> Vec<Value> {
    let mut query = Command::new(venv("python"));
    query.arg(workspace().join("tests/incident/query.py"));
    query.arg(workspace().join("tests/incident").join(DASHBOARD)).arg(spans);
    let ended = Process::start(query).wait();
    assert!(ended.status.success(), "{ended:?}");
    ended.stdout.iter().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

/// The same, counted from the spans themselves, by the name that counts.
fn counted(spans: &Path) -> BTreeMap<(String, String), i64> {
    let text = std::fs::read_to_string(spans).expect("it was written");
    let mut tokens = BTreeMap::new();
    for span in parse_spans(&text).unwrap_or_else(|e| panic!("{e}")) {
        let text = |key: &str| span.get(key).as_str().unwrap_or_default().to_owned();
        let count = |key: &str| span.attributes.get(key).and_then(Value::as_i64);
        let both = (count("gen_ai.usage.input_tokens"), count("gen_ai.usage.output_tokens"));
        if let (Some(input), Some(output)) = both {
            let key = (text("gen_ai.provider.name"), text("gen_ai.operation.name"));
            *tokens.entry(key).or_default() += input + output;
        }
    }
    tokens
}

#[test]
fn a_rename_without_its_overlap_fails_the_gate_and_names_the_dashboard() {
    let copy = with_finance();
    let (said, status) = gate(&copy);
    assert_eq!(status, Some(0), "as it is, it breaks nobody: {said}");
    let (said, status) = contract(&["consumers".as_ref(), &copy.path("contract")]);
    assert_eq!(status, Some(0), "finance is declared as its file reads: {said}");

    // Somebody tidies up: the operation gets a shorter name.
    for file in ["gen_ai.yaml", "spans.yaml", "metrics.yaml"] {
        let name = format!("contract/registry/{file}");
        copy.edit(&name, "gen_ai.operation.name", "gen_ai.operation");
    }
    let (said, status) = gate(&copy);
    assert_eq!(status, Some(1), "{said}");
    let wanted = "finance/token-spend.json groups by `gen_ai.operation.name`, which this change removes (owner: finance)";
    assert!(said.contains(wanted), "{said}");

    // The same with the old name beside the new one.
    let mended = with_finance();
    mended.edit(
        "contract/registry/gen_ai.yaml",
        "  - key: gen_ai.operation.name\n",
        "  - key: gen_ai.operation\n    type: string\n    brief: What kind of operation the call is.\n    stability: development\n    \
         annotations: {plainspan: {privacy: structural, cardinality: bounded, max_bytes: 64, since: 0.2.0}}\n  \
         - key: gen_ai.operation.name\n    deprecated: {reason: renamed, renamed_to: gen_ai.operation}\n",
    );
    mended.edit("contract/registry/gen_ai.yaml", "brief: What kind of operation the call is.\n    stability: development\n    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: open, max_bytes: 64, since: 0.1.0", "brief: What kind of operation the call is.\n    stability: development\n    annotations: {plainspan: {until: 1.0.0, privacy: structural, cardinality: bounded, values: open, max_bytes: 64, since: 0.1.0");
    for file in ["spans.yaml", "metrics.yaml"] {
        mended.edit(
            &format!("contract/registry/{file}"),
            "      - {ref: gen_ai.operation.name, requirement_level: required}\n",
            "      - {ref: gen_ai.operation, requirement_level: required}\n      - {ref: gen_ai.operation.name, requirement_level: required}\n",
        );
    }
    let conditionally = "requirement_level: {conditionally_required: when a tool is called}}";
    mended.edit(
        "contract/registry/spans.yaml",
        &format!("      - {{ref: gen_ai.operation.name, {conditionally}\n"),
        &format!(
            "      - {{ref: gen_ai.operation, {conditionally}\n      - {{ref: gen_ai.operation.name, {conditionally}\n"
        ),
    );
    let (said, status) = gate(&mended);
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn the_dashboard_keeps_its_sums_while_both_names_are_there() {
    let dir = plainspan_tests::harness::directory();
    let spans = dir.path().join("overlap.jsonl");
    replayed("overlap", &spans);
    let counted = counted(&spans);
    assert!(counted.len() >= 4 && counted.values().sum::<i64>() > 10_000, "{counted:?}");
    let mut rows = BTreeMap::new();
    for row in shown(&spans) {
        let text = |at: usize| row[at].as_str().expect("a text").to_owned();
        assert_eq!(rows.insert((text(0), text(1)), row[2].as_i64().unwrap_or_default()), None);
    }
    rows.retain(|_, tokens| *tokens > 0);
    assert_eq!(rows, counted);

    // What finance saw on the day of the rename.
    let spans = dir.path().join("current.jsonl");
    replayed("current", &spans);
    assert_eq!(shown(&spans), Vec::<Value>::new());
    // And nobody else: the calls and their tokens are there.
    assert_eq!(json!(self::counted(&spans).values().sum::<i64>()), json!(counted.values().sum::<i64>()));
}
