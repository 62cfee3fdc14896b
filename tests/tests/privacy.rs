//! What is private stays where it is: prompts and completions unless asked for, credentials always.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::{
    harness::{AgentCommand, Command, KEY, Local, Report},
    provider::{LEAKED, REPLY_MARK},
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
    let report = AgentCommand::new().args(["--content", "full"]).run(command).exited(0);
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
            let report = AgentCommand::new().args(["--content", "full"]).run(command).exited(0);
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

/// A prompt with somebody's data in it: the card's number is the one that schemes give as an example.
const PERSONAL: &str =
    "Bill 4111 1111 1111 1111 of DE89 3704 0044 0532 0130 00, call +49 351 463 1234 from 203.0.113.9";

#[test]
fn redacted_content_has_neither_credentials_nor_personal_data() {
    let provider = Local::new();
    let file = provider.file("personal", PERSONAL);
    let prompt = ["--prompt".to_owned(), format!("@{}", file.display())];
    for client in [Command::openai, Command::anthropic] {
        for streamed in [&[][..], &["--stream"]] {
            let command = client(&provider, "test-leak").args(&prompt).args(streamed);
            let report = AgentCommand::new()
                .args(["--content", "redacted", "--redact", "bird=king[a-z]+", "-o", "console", "--verbose"])
                .run(command);
            let mut report = report.exited(0);
            report.finished.stdout.clear();
            assert_absent(
                &report,
                &[
                    "4111 1111",
                    "3704 0044",
                    "463 1234",
                    "203.0.113",
                    LEAKED[0],
                    LEAKED[1],
                    "mail.example",
                    "G7h8",
                ],
            );
            let span = &report.spans[0];
            assert_eq!(span.get("plainspan.content.form"), &json!("redacted"));
            assert_eq!(span.get("plainspan.content.redacted"), &json!(7), "{span:#?}");
            let (asked, said) = (span.get("gen_ai.input.messages"), span.get("gen_ai.output.messages"));
            let asked = asked.as_str().expect("a text");
            assert!(
                asked.contains(
                    "Bill [redacted:card] of [redacted:iban], call [redacted:phone] from [redacted:ip]"
                ),
                "{asked}"
            );
            let said = said.as_str().expect("a text");
            assert!(
                said.contains("[redacted:bird]-in-the-reply")
                    && said.contains("ask [redacted:email] or use [redacted:credential] please"),
                "{said}"
            );
        }
    }
}

#[test]
fn hashed_content_tells_only_what_is_equal() {
    let provider = Local::new();
    let file = provider.file("personal", PERSONAL);
    let prompt = ["--prompt".to_owned(), format!("@{}", file.display())];
    let secret = provider.file("secret", "0123456789abcdef0123456789abcdef");
    let hashes: Vec<Value> = ["a", "b"]
        .into_iter()
        .map(|model| {
            let report = AgentCommand::new()
                .args(["--content", "hashed", "--secret"])
                .args([&secret])
                .run(Command::openai(&provider, model).args(&prompt));
            let mut report = report.exited(0);
            report.finished.stdout.clear();
            assert_absent(&report, &["4111 1111", "Bill", REPLY_MARK]);
            let span = &report.spans[0];
            assert_eq!(span.get("plainspan.content.form"), &json!("hashed"));
            assert!(span.get("gen_ai.output.messages").to_string().contains("hmac-sha256:"));
            span.get("gen_ai.input.messages").clone()
        })
        .collect();
    assert_eq!(hashes[0], hashes[1], "the same prompt under the same secret");
}

#[test]
fn the_form_of_content_follows_rules() {
    let provider = Local::new();
    for (model, service, wanted) in [
        ("gpt-plain", "shop", Some("full")),
        ("secret-model", "shop", None),
        ("gpt-plain", "bank", Some("redacted")),
    ] {
        let command = Command::openai(&provider, model).env("OTEL_SERVICE_NAME", service);
        let report = AgentCommand::new()
            .env("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
            .args(["--content-rule", "none model=secret-*", "--content-rule", "redacted service=bank"])
            .run(command);
        let report = report.exited(0);
        let form = report.spans[0].attributes.get("plainspan.content.form").and_then(Value::as_str);
        assert_eq!(form, wanted, "{model} {service}");
        assert_eq!(report.spans[0].attributes.contains_key("gen_ai.output.messages"), wanted.is_some());
    }
}
