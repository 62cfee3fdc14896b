//! When the agent has gone, the code of the processes that it watched is again what it was.
//!
//! One test, alone in its binary: breakpoints of another test's agent would be seen here too.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
};

use plainspan_tests::harness::{AgentCommand, Command, Local};

/// How many bytes of the TLS library's code differ, in the memory of a process, from the library's file.
fn changed_bytes(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process runs");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the tests run as root");
    let mut changed = 0;
    let mut mapped = 0;
    for line in maps.lines() {
        // proc_pid_maps(5): address range, permissions, offset, device, inode, path.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [range, permissions, offset, _, _, path] = fields[..] else { continue };
        if !permissions.contains('x') || !path.contains("libssl") {
            continue;
        }
        let number = |text| u64::from_str_radix(text, 16).expect("it is hexadecimal");
        let (from, to) = range.split_once('-').map(|(a, b)| (number(a), number(b))).expect("a range");
        let (mut code, mut original) = (vec![0; (to - from) as usize], vec![0; (to - from) as usize]);
        memory.read_exact_at(&mut code, from).expect("code can be read");
        // The last page of a mapping may reach beyond the end of its file.
        let library = File::open(format!("/proc/{pid}/root{path}")).expect("the library is there");
        let length = library.read_at(&mut original, number(offset)).expect("it can be read");
        changed += code[..length].iter().zip(&original).filter(|(a, b)| a != b).count();
        mapped += length;
    }
    assert!(mapped > 0, "the client uses libssl as a shared library: {maps}");
    changed
}

#[test]
fn code_is_what_it_was() {
    let provider = Local::new();
    let mut client = Command::openai(&provider, "m").args(["--step", "--count", "3"]).start();
    client.expect("ready");
    assert_eq!(changed_bytes(client.pid()), 0);
    for how in ["ended", "killed"] {
        let agent = AgentCommand::new().args(["--pid", &client.pid().to_string()]).start();
        client.step();
        client.expect("done");
        assert_ne!(changed_bytes(client.pid()), 0, "it is being watched");
        if how == "ended" {
            let report = agent.stop().exited(0);
            assert_eq!(report.spans.len(), 1);
        } else {
            agent.kill();
        }
        assert_eq!(changed_bytes(client.pid()), 0, "the agent has {how}");
    }
    client.step();
    client.expect("done");
    client.wait().exited(0);
}
