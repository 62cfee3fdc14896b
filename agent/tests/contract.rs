//! `plainspan contract` as it is called in CI.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn contract(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plainspan"))
        .current_dir(root())
        .arg("contract")
        .args(args)
        .output()
        .unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A copy of the registry after some replacements, each in one file.
fn edited(edits: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(root().join("contract/baselines/0.1.0")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut text = fs::read_to_string(&path).unwrap();
        for (_, from, to) in edits.iter().filter(|(file, ..)| *file == name) {
            assert!(text.contains(from), "{name} has no {from}");
            text = text.replace(from, to);
        }
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

/// Retypes an attribute.
const BREAKING: [(&str, &str, &str); 3] = [
    ("manifest.yaml", "schemas/0.1.0", "schemas/0.2.0"),
    ("manifest.yaml", "    version: 0.1.0", "    version: 0.2.0"),
    (
        "gen_ai.yaml",
        "key: gen_ai.request.seed\n    type: int\n    brief: Seed of the sampling.\n    stability: development\n    \
         annotations: {plainspan: {privacy: structural, cardinality: unbounded",
        "key: gen_ai.request.seed\n    type: string\n    brief: Seed of the sampling.\n    stability: development\n    \
         annotations: {plainspan: {max_bytes: 64, privacy: structural, cardinality: unbounded",
    ),
];

#[test]
fn our_own_contract_passes_its_gate() {
    let output = contract(&["check", "--baseline", "contract/baselines"]);
    assert_eq!(status(&output), Some(0), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with("contract plainspan 0.1.0 -> "), "{}", text(&output.stdout));
}

#[test]
fn a_break_is_a_status_and_is_told_in_each_form() {
    let new = edited(&BREAKING);
    let dir = new.path().to_str().unwrap();
    let said = "attribute gen_ai.request.seed is of type string, and was of int";
    for form in [&[][..], &["--json"], &["--sarif"], &["--github"]] {
        let output = contract(&[&["diff", "contract/baselines/0.1.0", dir], form].concat());
        assert_eq!(status(&output), Some(1), "{form:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(said), "{form:?}: {}", text(&output.stdout));
    }
    let output = contract(&["check", dir, "--baseline", "contract/baselines/0.1.0", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["class"], &json["changes"][0]["change"]), (&"breaking".into(), &"type".into()));
}

#[test]
fn what_cannot_be_compared_is_status_2() {
    let broken = edited(&[("gen_ai.yaml", "type: int", "type: integer")]);
    let dir = broken.path().to_str().unwrap();
    for (args, wanted) in [
        (&["diff", "contract", dir][..], "type integer is none of string"),
        (&["diff", "contract", "no/such/dir"], "no contract in no/such/dir"),
        (&["check", "--baseline", "docs"], "no baseline in docs"),
        (&["diff", "contract", "contract", "--json", "--sarif"], "cannot be used with"),
        (&["diff", "contract"], "NEW"),
    ] {
        let output = contract(args);
        assert_eq!(status(&output), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(wanted), "{args:?}: {}", text(&output.stderr));
    }
}
