//! Processes that are left out: nothing of them is looked at, while their neighbours are seen.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf, process::Command as Program};

use plainspan_tests::harness::{AgentCommand, Command, KEY, Local, Process, Report, Span, agent, directory};
use rustix::process::Signal;
use serde_json::json;

const PATH: &str = "/v1/chat/completions";

fn curl(provider: &Local, model: &str) -> Command {
    Command::curl(provider, PATH, &json!({"model": model, "messages": []}))
}

/// The same without files, for those who can read none of the tester's.
fn curl_of_anybody(provider: &Local, model: &str) -> Command {
    Command::new("curl")
        .args(["--silent", "--show-error", "--insecure", "--http1.1", "-H", "content-type: application/json"])
        .args(["-H", &format!("authorization: Bearer {KEY}"), "--data-binary"])
        .args([json!({"model": model, "messages": []}).to_string(), format!("{}{PATH}", provider.url())])
}

/// Spans of clients: the provider is part of the test, and is seen as well.
fn of_clients(report: &Report) -> impl Iterator<Item = &Span> {
    report.spans.iter().filter(|span| span.is_client())
}

fn names(report: &Report) -> Vec<&str> {
    of_clients(report).map(|span| span.name.as_str()).collect()
}

#[test]
fn those_that_ask_for_it_and_what_has_their_environment() {
    let provider = Local::new();
    let mut before =
        Command::openai(&provider, "before").env("PLAINSPAN_IGNORE", "1").args(["--step"]).start();
    before.expect("ready");
    let agent = AgentCommand::new().start();
    before.step();
    before.expect("done");
    before.wait().exited(0);
    curl(&provider, "itself").env("PLAINSPAN_IGNORE", "1").run().exited(0);
    let python = Command::openai(&provider, "python");
    python.clone().env("PLAINSPAN_IGNORE", "1").run().exited(0);
    curl(&provider, "something-else").env("PLAINSPAN_IGNORE", "0").run().exited(0);
    // Without exec in between: what is forked is as its parent.
    let child = curl(&provider, "child").quoted();
    let free = curl(&provider, "with-its-own").quoted();
    let script = format!("(exec {child}); {child}; env -u PLAINSPAN_IGNORE {free}");
    Command::shell(&script).env("PLAINSPAN_IGNORE", "1").run().exited(0);
    python.run().exited(0);
    let report = agent.stop().exited(0);
    assert_eq!(names(&report), ["chat something-else", "chat with-its-own", "chat python"]);
    assert_eq!(provider.calls().len(), 8, "all were made");
    let asked = report.account.get("probe", "processes left out, PLAINSPAN_IGNORE=1");
    assert!(asked >= 5, "{asked}: {report:#?}");
}

#[test]
fn they_cost_nothing_in_the_kernel() {
    let provider = Local::new();
    for (value, calls) in [("1", 0), ("0", 1)] {
        let client = curl(&provider, "m").env("PLAINSPAN_IGNORE", value);
        let report = AgentCommand::new().run(client).exited(0);
        let seen = ["bytes moved by the libraries", "bytes captured"]
            .map(|name| report.account.get("capture", name));
        assert_eq!((report.spans.len(), seen.map(|bytes| bytes > 0)), (calls, [calls > 0; 2]), "{report:#?}");
    }
}

#[test]
fn those_that_rules_name() {
    struct Group(PathBuf);
    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::remove_dir(&self.0);
        }
    }

    let provider = Local::new();
    let mounts = fs::read_to_string("/proc/self/mounts").expect("it can be read");
    let mount =
        mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|words| words[2] == "cgroup2");
    let mount = mount.expect("no cgroup v2 tree is mounted: mount -t cgroup2 none DIR")[1];
    let group = Group(PathBuf::from(mount).join(format!("plainspan-ignored-{}", std::process::id())));
    fs::create_dir(&group.0).expect("the tests run as root");
    let directory = directory();
    let quiet = directory.path().join("quiet-client");
    let found = Program::new("sh").args(["-c", "command -v curl"]).output().expect("sh is there").stdout;
    fs::copy(String::from_utf8_lossy(&found).trim(), &quiet).expect("there is room");

    let agent = AgentCommand::new()
        .args(["--ignore", "exe=quiet-*", "--ignore", "uid=4242", "--ignore"])
        .args([format!("cgroup=/plainspan-ignored-{}", std::process::id())])
        .start();
    Command { program: quiet, ..curl(&provider, "by-executable") }.run().exited(0);
    let of_a_user = curl_of_anybody(&provider, "by-user").quoted();
    for uid in ["4242", "4243"] {
        let user = format!("exec setpriv --reuid {uid} --clear-groups {of_a_user}");
        Command::shell(&user.replace("by-user", &format!("by-user-{uid}"))).run().exited(0);
    }
    let procs = group.0.join("cgroup.procs");
    Command::shell(&format!(
        "echo $$ > '{}' && exec {}",
        procs.display(),
        curl(&provider, "by-cgroup").quoted()
    ))
    .run()
    .exited(0);
    let report = agent.stop().exited(0);
    assert_eq!(names(&report), ["chat by-user-4243"]);
    assert_eq!(provider.calls().len(), 4, "all were made");
    for kind in ["exe", "uid", "cgroup"] {
        assert!(
            report.account.get("probe", &format!("processes left out, {kind}")) >= 1,
            "{kind}: {report:#?}"
        );
    }
}

#[test]
fn those_whose_label_a_rule_names() {
    let provider = Local::new();
    let agent = AgentCommand::new().args(["--ignore", "label=tier=batch-*"]).start();
    for label in ["batch-7", "front"] {
        let client = Command::openai(&provider, label);
        client.env("OTEL_RESOURCE_ATTRIBUTES", format!("k8s.pod.label.tier={label}")).run().exited(0);
    }
    let report = agent.stop().exited(0);
    assert_eq!(names(&report), ["chat front"]);
    assert_eq!(provider.calls().len(), 2, "both were made");
    assert!(report.account.get("probe", "processes left out, label") >= 1, "{report:#?}");
}

#[test]
fn rules_that_change_meanwhile() {
    let provider = Local::new();
    let directory = directory();
    let file = directory.path().join("config.yaml");
    let write = |text: &str| fs::write(&file, text).expect("there is room");
    write("");
    let mut client = Command::openai(&provider, "m").args(["--step", "--count", "3"]).start();
    client.expect("ready");
    let executable = fs::read_link(format!("/proc/{}/exe", client.pid())).expect("it runs");
    let mut agent = AgentCommand::new().args(["--config".as_ref(), file.as_os_str()]).start();
    let mut made = Vec::new();
    for rules in [None, Some(format!("ignore: ['exe={}']\n", executable.display())), Some(String::new())] {
        if let Some(rules) = rules {
            write(&rules);
            agent.process().signal(Signal::HUP);
            agent.process().wait_for_stderr("settings read again: ignore changed");
        }
        client.step();
        made.push(client.expect("done")["id"].as_str().expect("it has an id").to_owned());
    }
    client.wait().exited(0);
    let report = agent.stop().exited(0);
    let seen: Vec<&str> = of_clients(&report).filter_map(|span| span.response_id()).collect();
    assert_eq!(seen, [&made[0], &made[2]]);
}

#[test]
fn doctor_names_them_with_the_reason() {
    let provider = Local::new();
    let mut client = Command::late(&provider, None).args(["--load"]).env("PLAINSPAN_IGNORE", "1").start();
    client.expect("ready");
    let mut other = Command::late(&provider, None).args(["--load"]).start();
    other.expect("ready");
    let directory = directory();
    let file = directory.path().join("config.yaml");
    let executable = fs::read_link(format!("/proc/{}/exe", client.pid())).expect("it runs");
    fs::write(&file, format!("ignore: ['exe={}']\nring-size: 4096\n", executable.display()))
        .expect("there is room");
    let doctor = |config: &str, pid: u32| {
        let mut command = agent();
        command.args(["doctor", "--cache", "none", "--config", config, &pid.to_string()]);
        Process::start(command).wait().stdout.join("\n")
    };
    let asked = doctor("none", client.pid());
    assert!(asked.ends_with("left out: its environment has PLAINSPAN_IGNORE=1"), "{asked}");
    assert!(doctor("none", other.pid()).contains("SSL_write"));
    let ruled = doctor(&file.display().to_string(), other.pid());
    assert!(ruled.ends_with(&format!("left out: --ignore exe={}", executable.display())), "{ruled}");
    client.kill();
    other.kill();
}
