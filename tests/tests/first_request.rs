//! The first request of a program that starts and calls at once: is it seen?

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and this one measures"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use plainspan_tests::harness::{AgentCommand, Command, Local, directory, installed};

/// Processes of each kind.
const COUNT: usize = 10;

/// Starts, makes one call as soon as it can, and ends.
fn node(provider: &Local, node: &Path) -> Command {
    let script = format!(
        "const https = require('https');
         const body = JSON.stringify({{model: 'first', messages: []}});
         const headers = {{'content-type': 'application/json', authorization: 'Bearer k', 'content-length': body.length}};
         https.request('{}/v1/chat/completions', {{method: 'POST', headers}}, answer => answer.resume()).end(body);",
        provider.url()
    );
    let command = Command { program: node.to_owned(), args: Vec::new(), env: Vec::new() };
    command.args(["--eval", &script]).env("NODE_EXTRA_CA_CERTS", provider.ca())
}

/// How many of them were seen by an agent that watches the whole machine and was there before.
fn seen(cache: &Path, commands: impl IntoIterator<Item = Command>) -> usize {
    let agent = AgentCommand::new().args(["--cache".as_ref(), cache.as_os_str()]).start();
    for command in commands {
        command.run().exited(0);
    }
    agent.stop().exited(0).spans.len()
}

/// An executable of a hundred megabytes that the agent knows from an earlier day.
#[test]
fn of_a_known_executable() {
    let (provider, directory) = (Local::new(), directory());
    let (node_path, cache) = (installed("node"), directory.path().join("cache"));
    let before = AgentCommand::new().args(["--cache".as_ref(), cache.as_os_str()]);
    before.run(node(&provider, &node_path)).exited(0);
    let found = seen(&cache, (0..COUNT).map(|_| node(&provider, &node_path)));
    eprintln!("known executable: {found} of {COUNT} first requests seen");
    assert_eq!(found, COUNT);
}

/// The worst case: each process runs a file that nobody has ever seen. Node.js has symbols, which are looked at first; a
/// busy machine may still be too slow for one, but not for all of them, and never for curl, whose library is known.
#[test]
fn of_an_executable_that_nobody_has_seen() {
    let (provider, directory) = (Local::new(), directory());
    let copies: Vec<PathBuf> = (0..3).map(|n| directory.path().join(format!("node{n}"))).collect();
    for copy in &copies {
        fs::copy(installed("node"), copy).expect("there is room");
    }
    let curl = || {
        let body = serde_json::json!({"model": "first", "messages": []});
        Command::curl(&provider, "/v1/chat/completions", &body)
    };
    let commands = copies.iter().flat_map(|copy| [node(&provider, copy), curl()]);
    let found = seen(&directory.path().join("cache"), commands);
    eprintln!(
        "unknown executable: {} of {} first requests seen",
        found.saturating_sub(copies.len()),
        copies.len()
    );
    assert!(found > copies.len(), "curl's library was known, and symbols are found at once: {found}");
}
