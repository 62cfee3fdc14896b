//! Settings that are read again while calls are made: none is lost.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::fs;

use plainspan_tests::harness::{AgentCommand, Command, Local, directory};
use rustix::process::Signal;

/// How many calls are made while the settings change.
const CALLS: usize = 30;

#[test]
fn nothing_is_lost_when_the_settings_change() {
    let provider = Local::new();
    let directory = directory();
    let file = directory.path().join("config.yaml");
    let write = |text: &str| fs::write(&file, text).expect("there is room");
    write("content: none\n");
    let client =
        Command::openai(&provider, "test-events-40").args(["--count", &CALLS.to_string(), "--stream"]);
    let mut agent = AgentCommand::new().args(["--config".as_ref(), file.as_os_str()]).start_with(client);
    for round in 1..=4 {
        agent.wait_for_spans(round * 3);
        let content = if round % 2 == 1 { "span" } else { "none" };
        write(&format!(
            "content: {content}\napi-rule: ['/rule/{round}=openai.responses']\nring-size: {}\n",
            1 << (20 + round)
        ));
        agent.process().signal(Signal::HUP);
        agent.process().wait_for_stderr("settings read again");
    }
    write("contents: span\n");
    agent.process().signal(Signal::HUP);
    agent.process().wait_for_stderr("did you mean `content`?");
    let report = agent.wait().exited(0);
    assert_eq!(report.spans.len(), CALLS, "{report:#?}");
    assert_eq!(report.account.get("genai", "LLM calls"), CALLS as u64);
    assert_eq!(report.account.bytes_not_captured(), 0);
    let said = report.finished.stderr.join("\n");
    assert!(said.contains("after a restart: ring-size"), "{said}");
    let with_content =
        report.spans.iter().filter(|span| span.attributes.contains_key("gen_ai.output.messages")).count();
    assert!((1..CALLS).contains(&with_content), "{with_content} of {CALLS} have content");
}

#[test]
fn sampling_begins_and_ends_when_the_settings_say_so() {
    let provider = Local::new();
    let directory = directory();
    let file = directory.path().join("config.yaml");
    let write = |text: &str| fs::write(&file, text).expect("there is room");
    write("sample: all\n");
    let client =
        Command::openai(&provider, "test-events-40").args(["--count", &CALLS.to_string(), "--stream"]);
    let mut agent = AgentCommand::new().args(["--config".as_ref(), file.as_os_str()]).start_with(client);
    agent.wait_for_spans(3);
    write("sample: 0%\nsample-keep: none\nsample-floor: 0\n");
    agent.process().signal(Signal::HUP);
    agent.process().wait_for_stderr("settings read again: sample, sample-keep, sample-floor changed");
    let report = agent.wait().exited(0);
    let spans = report.spans.len();
    assert!((3..CALLS).contains(&spans), "{spans} of {CALLS}");
    assert_eq!(report.account.get("genai", "LLM calls"), CALLS as u64);
    assert_eq!(report.account.get("policy", "calls not sampled"), (CALLS - spans) as u64);
    assert_eq!(report.account.get("export", "spans"), spans as u64);
}
