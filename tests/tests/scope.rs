//! Whose calls are reported: `--pid`, `--exe`, `--cgroup`, `run -- COMMAND`, and how the command ends.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf};

use plainspan_tests::{
    harness::{AgentCommand, Client, Command, Local, Process, Report, wait_until},
    provider::Provider,
};
use serde_json::json;

/// A client that waits before each of its calls.
fn waiting(provider: &Provider, model: &str) -> Client {
    let mut client = Command::openai(provider, model).args(["--step", "--count", "2"]).start();
    client.expect("ready");
    client
}

fn call(client: &mut Client) -> String {
    client.step();
    client.expect("done")["id"].as_str().expect("it has an id").to_owned()
}

fn ids(report: &Report) -> Vec<&str> {
    report.spans.iter().filter_map(|s| s.response_id()).collect()
}

fn curl(provider: &Local, model: &str) -> Command {
    Command::curl(provider, "/v1/chat/completions", &json!({"model": model, "messages": []}))
}

#[test]
fn one_process() {
    let provider = Local::new();
    let (mut watched, mut other) = (waiting(&provider, "watched"), waiting(&provider, "other"));
    let agent = AgentCommand::new().args(["--pid", &watched.pid().to_string()]).start();
    call(&mut other);
    let first = call(&mut watched);
    call(&mut other);
    let second = call(&mut watched);
    watched.wait().exited(0);
    other.wait().exited(0);
    let report = agent.stop().exited(0);
    assert_eq!(ids(&report), [first, second]);
}

#[test]
fn children_that_a_process_had_before() {
    let provider = Local::new();
    let call = curl(&provider, "of-a-worker").quoted();
    let script = format!("exec 3<&0; (read line <&3; {call}) & echo up; wait");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    let mut parent = Process::start(shell);
    assert_eq!(parent.stdout_line(), "up");
    let agent = AgentCommand::new().args(["--pid", &parent.pid().to_string()]).start();
    parent.write_line("go");
    let report = agent.wait().exited(0);
    assert_eq!(ids(&report).len(), 1);
}

#[test]
fn two_processes() {
    let provider = Local::new();
    let mut clients: Vec<Client> = ["one", "two", "three"].map(|m| waiting(&provider, m)).into();
    let pids = [clients[0].pid().to_string(), clients[1].pid().to_string()];
    let agent = AgentCommand::new().args(["--pid", &pids[0], "--pid", &pids[1]]).start();
    let made: Vec<String> = clients.iter_mut().map(call).collect();
    let report = agent.stop().exited(0);
    assert_eq!(ids(&report), made[..2]);
}

#[test]
fn executables_that_a_pattern_names() {
    let provider = Local::new();
    let mut python = waiting(&provider, "python");
    let agent = AgentCommand::new().args(["--exe", "/usr/bin/cur*"]).start();
    call(&mut python);
    // Later processes count as well.
    curl(&provider, "curl").run().exited(0);
    call(&mut python);
    let report = agent.stop().exited(0);
    assert_eq!(report.spans.len(), 1, "{report:#?}");
    assert_eq!(report.spans[0].name, "chat curl");
}

/// Mount point of the cgroup v2 tree.
fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("it can be read");
    let line = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>()).find(|w| w[2] == "cgroup2");
    PathBuf::from(line.expect("no cgroup v2 tree is mounted: mount -t cgroup2 none DIR")[1])
}

#[test]
fn processes_of_a_cgroup() {
    struct Group(PathBuf);
    impl Drop for Group {
        fn drop(&mut self) {
            let _ = fs::remove_dir(self.0.join("inner"));
            let _ = fs::remove_dir(&self.0);
        }
    }

    let provider = Local::new();
    let group = Group(cgroups().join(format!("plainspan-test-{}", std::process::id())));
    fs::create_dir_all(group.0.join("inner")).expect("the tests run as root");
    let inside = |dir: &str, model: &str| {
        let procs = group.0.join(dir).join("cgroup.procs");
        Command::shell(&format!(
            "echo $$ > '{}' && exec {}",
            procs.display(),
            curl(&provider, model).quoted()
        ))
    };
    let agent = AgentCommand::new().args(["--cgroup".as_ref(), group.0.as_os_str()]).start();
    inside("", "in-the-group").run().exited(0);
    curl(&provider, "outside").run().exited(0);
    inside("inner", "below-it").run().exited(0);
    let report = agent.stop().exited(0);
    let names: Vec<&str> = report.spans.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["chat in-the-group", "chat below-it"]);
}

#[test]
fn a_command_and_its_descendants_and_nobody_else() {
    let provider = Local::new();
    let mut outside = waiting(&provider, "outside");
    // A child, a grandchild, and one whose parent has gone, which the agent waits for as well.
    let script = format!(
        "{}; sh -c \"$(cat)\"; (sleep 0.3; exec {}) &",
        curl(&provider, "child").quoted(),
        curl(&provider, "orphan").quoted()
    );
    let mut agent = AgentCommand::new().start_with(Command::shell(&script));
    wait_until("the command's first call", || !provider.calls().is_empty());
    call(&mut outside);
    agent.process().write_line(&curl(&provider, "grandchild").quoted());
    let report = agent.wait().exited(0);
    call(&mut outside);
    let mut names: Vec<&str> = report.spans.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["chat child", "chat grandchild", "chat orphan"], "{report:#?}");
}

/// The first thread of a process ends before the process does, and when another one calls exec.
#[test]
fn a_process_outlives_its_first_thread() {
    let provider = Local::new();
    let call = curl(&provider, "by-another-thread").quoted();
    let scripts = [
        "import os, sys, threading, time\n\
         threading.Thread(target=lambda: os.execvp('sh', ['sh', '-c', sys.argv[1]])).start()\n\
         time.sleep(20)",
        "import ctypes, os, subprocess, sys, threading, time\n\
         def late():\n    time.sleep(0.3)\n    os._exit(subprocess.call(['sh', '-c', sys.argv[1]]))\n\
         threading.Thread(target=late).start()\n\
         ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)",
    ];
    for script in scripts {
        let report = AgentCommand::new().run(Command::new("python3").args(["-c", script, &call])).exited(0);
        assert_eq!(ids(&report).len(), 1, "{script}: {report:#?}");
    }
}

/// What is known of one request says nothing of the next one, however late the agent gets to know it.
#[test]
fn a_late_verdict_does_not_reach_the_next_request() {
    let provider = Local::new();
    let script = "import http.client, os, signal, ssl, sys, time\n\
         host, port = sys.argv[1].split(':')\n\
         c = http.client.HTTPSConnection(host, int(port), context=ssl._create_unverified_context())\n\
         os.kill(os.getppid(), signal.SIGSTOP)\n\
         try:\n    c.request('GET', '/v1/models')\n    c.getresponse().read()\n    \
         body = b'{\"model\": \"late\", \"messages\": []}'\n    c.putrequest('POST', '/v1/chat/completions')\n    \
         c.putheader('content-type', 'application/json')\n    c.putheader('authorization', 'Bearer k')\n    \
         c.putheader('content-length', str(len(body)))\n    \
         c.endheaders()\nfinally:\n    os.kill(os.getppid(), signal.SIGCONT)\n\
         time.sleep(0.5)\nc.send(body)\nc.getresponse().read()";
    let at = format!("localhost:{}", provider.port());
    let report = AgentCommand::new().run(Command::new("python3").args(["-c", script, &at])).exited(0);
    let names: Vec<&str> = report.spans.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["chat late"]);
    assert_eq!(ids(&report).len(), 1);
}

#[test]
fn everybody_by_default() {
    let provider = Local::new();
    let mut early = waiting(&provider, "early");
    let agent = AgentCommand::new().start();
    call(&mut early);
    curl(&provider, "later").run().exited(0);
    let report = agent.stop().exited(0);
    // Whoever else calls meanwhile is none of this test's business. The provider runs in this process, and its side is
    // captured, too.
    let port = json!(provider.port());
    let mine = report.spans.iter().filter(|s| s.get("server.port") == &port && s.is_client());
    assert_eq!(mine.map(|s| s.name.as_str()).collect::<Vec<_>>(), ["chat early", "chat later"]);
}

#[test]
fn exit_status_passes_through() {
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)]
    {
        AgentCommand::new().run(Command::shell(script)).exited(status);
    }
}

#[test]
fn signals_reach_the_command() {
    let mut agent = AgentCommand::new()
        .start_with(Command::shell("trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"));
    assert_eq!(agent.process().stdout_line(), "up");
    agent.stop().exited(5);
}

#[test]
fn standard_streams_are_the_commands() {
    let mut agent =
        AgentCommand::new().start_with(Command::shell("read line; echo \"got $line\"; echo oops >&2"));
    agent.process().write_line("this");
    let report = agent.wait().exited(0);
    assert_eq!(report.finished.stdout, ["got this"]);
    assert!(report.finished.stderr.iter().any(|l| l == "oops"));
}

/// Under sudo the command runs as who typed it. sudo itself may be absent here; these variables are what it
/// tells (sudo(8), "ENVIRONMENT").
#[test]
fn under_sudo_the_command_runs_as_the_invoking_user() {
    let agent = AgentCommand::new()
        .env("SUDO_UID", "65534")
        .env("SUDO_GID", "65534")
        .env("SUDO_USER", "nobody")
        .env("SUDO_COMMAND", "plainspan");
    let report = agent.run(Command::shell("id -u; id -g; id -G")).exited(0);
    assert_eq!(report.finished.stdout, ["65534", "65534", "65534"]);
}
