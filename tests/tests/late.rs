//! TLS code that comes late, is replaced, or is gone: what a process has mapped counts, not what a path leads to now.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use plainspan_tests::harness::{AgentCommand, Client, Command, Local, Report, directory};

/// The system's library, as the linker's cache names it.
fn system_library() -> PathBuf {
    let told = Command::new("ldconfig").args(["-p"]).run().exited(0).stdout;
    let line = told.iter().find(|line| line.trim_start().starts_with("libssl.so.3 ")).expect("OpenSSL 3");
    let path = line.rsplit(" => ").next().expect("a path comes last");
    fs::canonicalize(path).expect("it is there")
}

/// A copy of the system's library is no file that the agent knows; it has no probes yet.
fn copy(directory: &Path) -> PathBuf {
    let path = directory.join("libssl.so.3");
    fs::copy(system_library(), &path).expect("there is room");
    path
}

fn ready(command: Command) -> Client {
    let mut client = command.start();
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

/// The library is known from an earlier run. It is probed between its mapping and the call, which comes at once: with its
/// first request.
#[test]
fn a_library_that_is_loaded_for_the_first_call() {
    let provider = Local::new();
    let directory = directory();
    copy(directory.path());
    let agent = || AgentCommand::new().args(["--cache".as_ref(), directory.path().join("cache").as_os_str()]);
    let mut before = ready(Command::late(&provider, Some(directory.path())).args(["--load"]));
    let report = agent().args(["--pid", &before.pid().to_string()]).start().stop().exited(0);
    assert!(report.account.get("probe", "files probed") > 0, "{report:#?}");
    call(&mut before);
    before.wait().exited(0);

    // Nothing holds the call back: on a busy machine a process may win this race, but not one after the other.
    let attempt = || {
        let mut late = ready(Command::late(&provider, Some(directory.path())));
        let agent = agent().args(["--pid", &late.pid().to_string()]).start();
        let made = [call(&mut late), call(&mut late)];
        late.wait().exited(0);
        let report = agent.stop().exited(0);
        ids(&report) == made
    };
    assert!((0..3).any(|_| attempt()), "each of three processes was faster");
}

/// Nothing is known of it: it is examined meanwhile, and the second call is certain to be seen.
#[test]
fn a_library_that_nobody_has_seen() {
    let provider = Local::new();
    let directory = directory();
    copy(directory.path());
    let mut late = ready(Command::late(&provider, Some(directory.path())));
    let agent = AgentCommand::new().args(["--cache", "none", "--log", "info"]);
    let mut agent = agent.args(["--pid", &late.pid().to_string()]).start();
    call(&mut late);
    agent.process().wait_for_stderr(&directory.path().display().to_string());
    let second = call(&mut late);
    late.wait().exited(0);
    let report = agent.stop().exited(0);
    assert_eq!(ids(&report).last(), Some(&second.as_str()), "{report:#?}");
}

#[test]
fn a_library_that_is_deleted_while_it_is_used() {
    let provider = Local::new();
    let directory = directory();
    let library = copy(directory.path());
    let mut client = ready(Command::late(&provider, Some(directory.path())).args(["--load"]));
    fs::remove_file(library).expect("it is ours");
    let agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
    let made = [call(&mut client)];
    client.wait().exited(0);
    assert_eq!(ids(&agent.stop().exited(0)), made);
}

/// An update under a running process: both have the same path, and both are watched.
#[test]
fn a_library_that_is_replaced_while_it_is_used() {
    let provider = Local::new();
    let directory = directory();
    let library = copy(directory.path());
    let client = || ready(Command::late(&provider, Some(directory.path())).args(["--load"]));
    let mut old = client();
    let new = directory.path().join("new");
    fs::copy(&library, &new).expect("there is room");
    fs::rename(new, library).expect("it is ours");
    let mut new = client();
    let pids = [old.pid().to_string(), new.pid().to_string()];
    let agent = AgentCommand::new().args(["--pid", &pids[0], "--pid", &pids[1]]).start();
    let made = [call(&mut old), call(&mut new), call(&mut old)];
    old.wait().exited(0);
    new.wait().exited(0);
    assert_eq!(ids(&agent.stop().exited(0)), made);
}

/// It has no path at all.
#[test]
fn a_library_in_memory() {
    let provider = Local::new();
    let library = system_library();
    let client =
        Command::late(&provider, None).args(["--load".as_ref(), "--memory".as_ref(), library.as_os_str()]);
    let mut client = ready(client);
    let maps = fs::read_to_string(format!("/proc/{}/maps", client.pid())).expect("it runs");
    assert!(maps.contains("/memfd:library"), "{maps}");
    assert!(!maps.contains("/libssl.so"), "only the copy in memory is used: {maps}");
    let agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
    let made = [call(&mut client)];
    client.wait().exited(0);
    assert_eq!(ids(&agent.stop().exited(0)), made);
}
