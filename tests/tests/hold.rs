//! `--hold-new-programs` is in the way of every program of the machine, and must never stay there.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf};

use plainspan_tests::harness::{AgentCommand, Command};

/// A program that nobody has seen.
fn unseen(directory: &tempfile::TempDir, name: &str) -> PathBuf {
    let program = directory.path().join(name);
    fs::copy("/bin/true", &program).expect("there is room");
    program
}

fn holding() -> AgentCommand {
    AgentCommand::new().args(["--cache", "none", "--hold-new-programs"])
}

#[test]
fn the_agents_own_command_and_its_descendants_start() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let (own, other) = (unseen(&directory, "own"), unseen(&directory, "other"));
    holding().run(Command::at(own)).exited(0);
    let script = format!("{0} && {0} && exec {0}", other.display());
    holding().run(Command::at("/bin/sh".into()).args(["-c", &script])).exited(0);
}

#[test]
fn programs_start_when_the_agent_is_gone() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    for killed in [false, true] {
        let agent = holding().start();
        Command::at(unseen(&directory, "before")).run().exited(0);
        if killed {
            agent.kill();
        } else {
            agent.stop().exited(0);
        }
        Command::at(unseen(&directory, "after")).run().exited(0);
    }
}
