//! Probes stand on links of their own where the kernel has them, else on perf events: what is seen is the same.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Expected, Local, assert_span};

#[test]
fn both_ways_see_the_same() {
    let provider = Local::new();
    for (args, way) in [(&[][..], "links of their own"), (&["--perf-events"], "perf events")] {
        for command in
            [Command::openai(&provider, "m").args(["--stream"]), Command::anthropic(&provider, "m")]
        {
            let report = AgentCommand::new()
                .args(["--log", "plainspan::capture=debug"])
                .args(args)
                .run(command.clone())
                .exited(0);
            // Where the kernel has links, and this one has, they are what is used.
            let told = format!("probes are placed on {way}");
            assert!(report.finished.stderr.iter().any(|line| line.contains(&told)), "{told}: {report:#?}");
            assert_eq!(report.spans.len(), 1, "{way}: {report:#?}");
            let exchange = provider.calls().pop().expect("it arrived");
            let pid = report.spans[0].resource["process.pid"].as_u64().expect("a number");
            let parent = report.spans[0].resource["process.parent_pid"].as_u64().expect("a number");
            let expected = Expected::of(&exchange, &provider, &command, pid as u32, parent as u32);
            assert_span(&report.spans[0], &expected);
            assert_eq!(report.account.bytes_not_captured(), 0, "{way}: {report:#?}");
        }
    }
}
