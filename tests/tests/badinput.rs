//! Bad input: one line that says what is wrong and what to do, a status that says that the job failed, and no
//! span lost that could be delivered.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
};

use plainspan_tests::harness::{
    AgentCommand, Command, Finished, Local, Process, agent, directory, free_port, plainspan, require_root,
};
use serde_json::json;

fn run(args: &[&str], env: &[(&str, &str)]) -> Finished {
    require_root();
    let mut command = agent();
    command.args(args).envs(env.iter().copied());
    Process::start(command).wait()
}

/// One line on standard error with all these parts, nothing on standard output, and a failure.
fn assert_one_line(what: &str, ended: &Finished, parts: &[&str]) {
    assert!(!ended.status.success(), "{what}: {ended:#?}");
    assert_eq!(ended.stdout, Vec::<String>::new(), "{what}");
    let lines: Vec<&String> = ended.stderr.iter().filter(|l| !l.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{what}: {ended:#?}");
    for part in parts {
        assert!(lines[0].contains(part), "{what}: no {part:?} in {:?}", lines[0]);
    }
    assert!(!lines[0].contains("panicked"), "{what}: {}", lines[0]);
}

#[test]
fn arguments_and_settings() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case] = &[
        (&["run", "-o", "fax", "--", "true"], &[], &["fax", "console", "file:", "otlp"]),
        (&["run", "-o", "file:", "--", "true"], &[], &["file:"]),
        (&["run", "-o", "file:/no/such/dir/spans.jsonl", "--", "true"], &[], &["/no/such/dir/spans.jsonl"]),
        (&["run", "--ring-size", "banana", "--", "true"], &[], &["--ring-size", "banana"]),
        (&["run", "--call-cap", "-1", "--", "true"], &[], &["--call-cap", "-1"]),
        (&["run", "--call-cap", "0", "--", "true"], &[], &["--call-cap", "8388608"]),
        (&["run", "--content", "everything", "--", "true"], &[], &["everything", "none", "redacted", "full"]),
        (&["run", "--pid", "pid"], &[], &["--pid", "pid"]),
        (&["run", "--pid", "4194305"], &[], &["4194305"]),
        (&["run", "--exe", "[", "--", "true"], &[], &["--exe", "["]),
        (&["run", "--cgroup", "/no/such/group"], &[], &["/no/such/group"]),
        (&["run", "--colour", "--", "true"], &[], &["--colour"]),
        (&["walk"], &[], &["walk"]),
        (
            &["run", "-o", "otlp", "--", "true"],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")],
            &["OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon", "grpc", "http/protobuf"],
        ),
        (
            &["run", "-o", "otlp", "--", "true"],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address")],
            &["OTEL_EXPORTER_OTLP_ENDPOINT", "is no URL"],
        ),
        (
            &["run", "-o", "otlp", "--", "true"],
            &[("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")],
            &["OTEL_EXPORTER_OTLP_TIMEOUT", "soon"],
        ),
        (&["replay", "/no/such/file.jsonl"], &[], &["/no/such/file.jsonl"]),
        (
            &["replay", "--api-rule", "/ask=openai.chat", "/dev/null"],
            &[],
            &["--api-rule", "openai.chat", "openai.chat_completions"],
        ),
        (&["run", "--api-rule", "ask"], &[], &["--api-rule", "HOST/PATH=DIALECT"]),
        (&["replay", "--split", "sometimes", "/dev/null"], &[], &["--split", "sometimes", "random:"]),
        (&["replay"], &[], &["FILE"]),
    ];
    for (args, env, parts) in cases {
        assert_one_line(&args.join(" "), &run(args, env), parts);
    }
}

#[test]
fn a_command_that_is_not_there() {
    // The statuses are those of shells (POSIX, "Shell Command Language", 2.8.2).
    let ended = run(&["run", "--", "/no/such/program", "argument"], &[]);
    assert_one_line("not there", &ended, &["/no/such/program"]);
    assert_eq!(ended.status.code(), Some(127));

    let dir = directory();
    let path = dir.path().join("not-executable");
    fs::write(&path, "text").expect("it is ours");
    let path = path.to_string_lossy();
    let ended = run(&["run", "--", &path], &[]);
    assert_one_line("not executable", &ended, &[&path]);
    assert_eq!(ended.status.code(), Some(126));
}

#[test]
fn a_command_that_ends_at_once() {
    let report = AgentCommand::new().run(Command::new("true")).exited(0);
    assert_eq!(report.spans, []);
    AgentCommand::new().run(Command::new("false")).exited(1);
}

#[test]
fn an_output_that_fills_up() {
    let provider = Local::new();
    let curl = Command::curl(&provider, "/v1/chat/completions", &json!({"model": "full"}));
    let report = AgentCommand::new().args(["-o", "file:/dev/full"]).run(curl);
    // The command did its work and its span reached the output that works; the other is named.
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    let complaints = report.finished.stderr.iter().filter(|l| l.contains("/dev/full")).count();
    assert_eq!(complaints, 1, "{report:#?}");
    assert_eq!(report.account.get("export", "spans not delivered"), 1);
}

#[test]
fn a_collector_that_cannot_be_reached() {
    let provider = Local::new();
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let agent = AgentCommand::new()
        .args(["-o", "otlp"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20collector-credential");
    let report = agent.run(Command::openai(&provider, "m").args(["--count", "3"]));
    assert_eq!(report.spans.len(), 3, "the other output has them: {report:#?}");
    let complaints: Vec<_> = report.finished.stderr.iter().filter(|l| l.contains(&endpoint)).collect();
    assert_eq!(complaints.len(), 1, "{report:#?}");
    assert_eq!(report.account.get("export", "spans not delivered"), 3, "{report:#?}");
    assert!(!report.everything().contains("collector-credential"));
}

#[test]
fn without_privileges() {
    require_root();
    let dir = directory();
    let copy = dir.path().join("plainspan");
    fs::copy(plainspan(), &copy).expect("there is room");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut command = std::process::Command::new(&copy);
    command.args(["run", "--", "echo", "it ran"]).uid(65534).gid(65534).current_dir("/");
    assert_one_line("nobody", &Process::start(command).wait(), &["root", "sudo"]);
}

#[test]
fn a_replay_file_cut_in_the_middle_of_a_line() {
    let dir = directory();
    let line = |n: u32| {
        json!({
            "source": format!("made#{n}"),
            "request": {
                "method": "POST", "url": "https://api.openai.com/v1/chat/completions",
                "headers": [["content-type", "application/json"]], "body_b64": "eyJtb2RlbCI6Im0ifQ==",
            },
            "response": {"status": 200, "headers": [["content-type", "application/json"]], "body_b64": "e30="},
        })
        .to_string()
    };
    let whole = format!("{}\n{}\n{}\n", line(1), line(2), line(3));
    let input = dir.path().join("cut.jsonl");
    fs::write(&input, &whole[..whole.len() - 40]).expect("it is ours");
    let output = dir.path().join("spans.jsonl");
    let (input, out) = (input.to_string_lossy().into_owned(), format!("file:{}", output.display()));
    let ended = run(&["replay", "-o", &out, &input], &[]);
    assert!(!ended.status.success());
    let named: Vec<_> = ended.stderr.iter().filter(|l| l.contains(&format!("{input}:3"))).collect();
    assert_eq!(named.len(), 1, "{ended:#?}");
    let spans = fs::read_to_string(&output).expect("what could be delivered was");
    assert_eq!(spans.lines().count(), 2, "{ended:#?}");
}
