//! Processes that live in another mount namespace, as those of containers do.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Local};

/// The whole root of the client, its TLS library included, is a file system that only its own mount namespace
/// has: the agent reaches it through `/proc/PID/root`.
#[test]
fn a_library_in_another_mount_namespace() {
    let provider = Local::new();
    let root = provider.file("root", "").with_extension("d");
    std::fs::create_dir(&root).expect("it is ours");
    let url = format!("https://127.0.0.1:{}/v1/chat/completions", provider.port());
    let request = |model: &str| {
        format!(
            "--silent --fail --http1.1 --cacert {ca} -H 'content-type: application/json' \
             -H 'authorization: Bearer k' --data '{{\"model\": \"{model}\", \"messages\": []}}' {url}",
            ca = provider.ca().display()
        )
    };
    // The library becomes known when the client has mapped it, which the first answer leaves time for.
    let inside = format!(
        "mount -t tmpfs none {root}; curl=$(command -v curl); \
         cp -L --parents $curl $(ldd $curl | grep -o '/[^ ]*') {ca} {root}; \
         exec chroot {root} $curl {first} --next {second}",
        root = root.display(),
        ca = provider.ca().display(),
        first = request("test-late-500"),
        second = request("second"),
    );
    // The machine's own libraries are probed whatever runs.
    let before = AgentCommand::new().run(Command::new("true")).exited(0).account.get("probe", "files probed");
    let command = Command::new("unshare").args(["--mount", "sh", "-ec", &inside]);
    let report = AgentCommand::new().run(command).exited(0);
    assert_eq!(provider.calls().len(), 2, "{report:#?}");
    let names: Vec<&str> = report.spans.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"chat second"), "{report:#?}");
    assert!(report.account.get("probe", "files probed") > before, "the machine's library and the other one");
}
