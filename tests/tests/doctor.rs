//! `plainspan doctor`: what it says of processes and programs.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::process::Command as Program;

use plainspan_tests::harness::{Command, Finished, Local, Process, agent};
use serde_json::Value;

fn doctor(args: &[&str]) -> Finished {
    let mut command = agent();
    command.args(["doctor", "--cache", "none"]).args(args);
    Process::start(command).wait()
}

fn json(args: &[&str]) -> Value {
    let finished = doctor(&[&["--json"], args].concat()).exited(0);
    serde_json::from_str(&finished.stdout.join("\n")).expect("it is JSON")
}

/// The stacks that were found in all files of the first subject.
fn stacks(told: &Value) -> Vec<&str> {
    let files = told["subjects"][0]["files"].as_array().expect("a list");
    let findings = files.iter().flat_map(|file| file["findings"].as_array().expect("a list"));
    findings.map(|finding| finding["stack"].as_str().expect("a name")).collect()
}

#[test]
fn a_process_that_has_loaded_tls() {
    let provider = Local::new();
    let mut client = Command::late(&provider, None).args(["--load"]).start();
    client.expect("ready");
    let pid = client.pid().to_string();
    let told = json(&[&pid]);
    assert_eq!(told["machine"]["captures"], true, "{told:#}");
    assert_eq!(stacks(&told), ["openssl"], "{told:#}");
    let file = &told["subjects"][0]["files"][0];
    assert!(file["path"].as_str().is_some_and(|path| path.contains("libssl")), "{told:#}");
    let points = file["findings"][0]["points"].as_array().expect("a list");
    assert!(points.iter().all(|point| point["offset"].as_u64() > Some(0)), "{told:#}");
    // The whole system has it too.
    let all = doctor(&[]).exited(0);
    assert!(all.stdout.iter().any(|line| line.ends_with(&format!("(process {pid})"))), "{all:#?}");
    client.kill();
}

/// A script is what its interpreter is.
#[test]
fn a_program_and_what_interprets_it() {
    let provider = Local::new();
    let script = provider.file("client.js", "#!/usr/bin/env node\n");
    let script = script.display().to_string();
    for subject in ["node", &script] {
        let told = doctor(&[subject]).exited(0);
        let line = told.stdout.iter().find(|line| line.trim_start().starts_with("openssl "));
        assert!(line.is_some_and(|line| line.contains("SSL_write")), "{told:#?}");
    }
}

#[test]
fn what_holds_nothing_or_is_not_there() {
    let mut process = Program::new("sleep").arg("60").spawn().expect("it starts");
    let nothing = doctor(&[&process.id().to_string()]).exited(1);
    assert!(nothing.stdout.iter().any(|line| line.contains("docs/requirements.md")), "{nothing:#?}");
    process.kill().and_then(|()| process.wait().map(drop)).expect("it is ours");
    for (subject, status, word) in [("4194305", 1, "pgrep"), ("no-such-program", 2, "PATH")] {
        let told = doctor(&[subject]).exited(status);
        assert!(told.stderr.len() == 1 && told.stderr[0].contains(word), "{told:#?}");
    }
}
