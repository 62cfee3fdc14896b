//! What is private stays where it is: prompts and completions unless asked for, credentials always.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::{
    harness::{AgentCommand, Command, KEY, Local, Report},
    provider::REPLY_MARK,
};
use serde_json::{Value, json};

const PROMPT_MARK: &str = "nightingale-in-the-prompt";
const TOOL_MARK: &str = "get_weather";

fn assert_absent(report: &Report, secrets: &[&str]) {
    let everything = report.everything();
    for secret in secrets {
        if let Some(at) = everything.find(secret) {
            let from = everything[..at].rfind('\n').map_or(0, |n| n + 1);
            let line: String = everything[from..].chars().take(400).collect();
            panic!("{secret:?} came out: {line}");
        }
    }
}

/// Every kind of call, also one that is refused with a message.
fn calls(provider: &Local) -> Vec<(Command, i32)> {
    // From a file, because the arguments of a process are no secret of its calls.
    let file = provider.file("prompt", PROMPT_MARK);
    let prompt = ["--prompt".to_owned(), format!("@{}", file.display())];
    let all = |c: Command| (c.args(["--rich", "--tools"]).args(&prompt), 0);
    vec![
        all(Command::openai(provider, "test-tool")),
        all(Command::openai(provider, "m").args(["--stream"])),
        all(Command::anthropic(provider, "m")),
        all(Command::anthropic(provider, "test-tool").args(["--stream"])),
        (Command::anthropic(provider, "test-error-400").args(&prompt), 1),
    ]
}

#[test]
fn no_content_and_no_credentials_by_default() {
    let provider = Local::new();
    for (command, status) in calls(&provider) {
        let report = AgentCommand::new().args(["-o", "console", "--verbose"]).run(command);
        let mut report = report.exited(status);
        assert_eq!(report.spans.len(), 1, "{report:#?}");
        let sent = provider.calls().pop().expect("it arrived");
        assert!(String::from_utf8_lossy(&sent.request_body).contains(PROMPT_MARK), "the mark was sent");
        // Standard output is the client's own, and what it tells there is not the agent's doing.
        report.finished.stdout.clear();
        assert!(report.finished.stderr.iter().any(|l| l.contains("gen_ai.")), "the console showed the call");
        assert_absent(&report, &[PROMPT_MARK, REPLY_MARK, KEY, TOOL_MARK, "scripted error", "terse"]);
    }
}

#[test]
fn credentials_on_the_command_line_are_masked() {
    let provider = Local::new();
    let key = "sk-ant-on-the-command-line-0123456789";
    let command = Command::anthropic(&provider, "m").args(["--key", key]);
    // Without content there are no arguments at all: a prompt may be one of them.
    let report = AgentCommand::new().args(["-o", "console", "--verbose"]).run(command.clone()).exited(0);
    assert_eq!(report.spans.len(), 1);
    assert!(!report.spans[0].resource.contains_key("process.command_args"));
    assert_absent(&report, &[key]);
    let report = AgentCommand::new().args(["--content", "span"]).run(command).exited(0);
    assert!(report.spans[0].resource.contains_key("process.command_args"));
    assert_absent(&report, &[key]);
}

#[test]
fn content_on_request_and_still_no_credentials() {
    let provider = Local::new();
    for streamed in [false, true] {
        for command in [Command::openai(&provider, "m"), Command::anthropic(&provider, "m")] {
            let command = command.args(["--prompt", PROMPT_MARK, "--rich", "--tools"]);
            let command = if streamed { command.args(["--stream"]) } else { command };
            let report = AgentCommand::new().args(["--content", "span"]).run(command).exited(0);
            assert_eq!(report.spans.len(), 1, "{report:#?}");
            let span = &report.spans[0];
            let parsed = |key: &str| -> Value {
                serde_json::from_str(span.get(key).as_str().unwrap_or_default())
                    .unwrap_or_else(|e| panic!("{key} is {}: {e}", span.get(key)))
            };
            let call = provider.calls().pop().expect("it arrived");
            let output = parsed("gen_ai.output.messages");
            assert_eq!(output[0]["role"], "assistant");
            assert_eq!(output[0]["parts"], json!([{"type": "text", "content": call.facts.texts[0]}]));
            assert_eq!(output[0]["finish_reason"], "stop");
            let input = parsed("gen_ai.input.messages");
            let user = input.as_array().and_then(|m| m.iter().find(|m| m["role"] == "user")).expect("a user");
            assert_eq!(user["parts"], json!([{"type": "text", "content": PROMPT_MARK}]));
            let all = input.to_string();
            for part in [r#""type":"tool_call""#, r#""type":"tool_call_response""#, "Oslo", "rain"] {
                assert!(all.contains(part), "no {part} in {all}");
            }
            let tools = parsed("gen_ai.tool.definitions");
            assert_eq!(tools[0]["name"], TOOL_MARK);
            assert_eq!(tools[0]["parameters"]["required"], json!(["location"]));
            assert!(span.attributes.values().any(|v| v.to_string().contains("You are terse.")), "{span:#?}");
            assert_absent(&report, &[KEY]);
        }
    }
}
