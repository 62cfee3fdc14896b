//! Whom a change of a contract breaks: declarations, the files that they speak of, and the gate. Needs no privileges.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::path::Path;

use plainspan_tests::harness::{ContractCopy, contract, workspace};

#[test]
fn our_own_declarations_hold() {
    let (said, status) = contract(&["consumers".as_ref(), &workspace().join("contract")]);
    assert!(said.contains("every declaration holds"), "{said}");
    assert_eq!(status, Some(0));
}

#[test]
fn a_dashboard_that_was_edited_has_to_be_declared_anew() {
    let copy = ContractCopy::new();
    copy.edit(
        "deploy/dashboards/llm-calls.json",
        "by (span.gen_ai.operation.name)",
        "by (span.gen_ai.response.model)",
    );
    let (said, status) = contract(&["consumers".as_ref(), &copy.path("contract")]);
    let wanted = "deploy/dashboards/llm-calls.json groups by `gen_ai.response.model`, which its declaration does not say";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(status, Some(1));
}

#[test]
fn the_gate_names_those_that_a_change_breaks() {
    let copy = ContractCopy::new();
    let old = workspace().join("contract");
    for file in ["gen_ai.yaml", "spans.yaml", "metrics.yaml"] {
        copy.edit(&format!("contract/registry/{file}"), "gen_ai.request.model", "gen_ai.request.variant");
    }
    let (said, status) = contract(&["diff".as_ref(), &old, &copy.path("contract")]);
    for wanted in [
        "deploy/dashboards/llm-calls.json groups by `gen_ai.request.model`, which this change removes (owner: plainspan)",
        "deploy/queries/tokens.sql groups by `gen_ai.request.model`, which this change removes (owner: plainspan)",
        "arize-phoenix",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    assert_eq!(status, Some(1));
}

#[test]
fn what_files_read_is_written_as_declarations() {
    let query = workspace().join("deploy/queries/tokens.sql");
    let none = Path::new("/nowhere");
    let (said, status) = contract(&["consumers".as_ref(), none, "--scan".as_ref(), &query]);
    assert!(said.contains("- {attribute: gen_ai.request.model, how: [groups_by]}"), "{said}");
    assert!(said.contains("- {resource_attribute: service.name, how: [groups_by]}"), "{said}");
    assert_eq!(status, Some(0));
    let (said, status) =
        contract(&["consumers".as_ref(), &workspace().join("contract"), "--scan".as_ref(), none]);
    assert!(said.contains("/nowhere can't be read"), "{said}");
    assert_eq!(status, Some(2));
}
