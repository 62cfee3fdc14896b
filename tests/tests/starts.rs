//! Programs that are held before they start. The only test of its program: a child of another one would have a copy of the
//! descriptor by which they are held.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, os::fd::AsRawFd as _, path::Path, time::Duration};

use plainspan::capture::{Start, Starts};
use tokio::process::Command;

fn is_of(start: &Start, program: &Path) -> bool {
    let opened = format!("/proc/self/fd/{}", start.file.as_raw_fd());
    fs::read_link(opened).expect("it is open") == program
}

/// What waits goes on when it is let go, and at the latest when it has waited long enough.
#[tokio::test]
async fn nobody_waits_for_ever() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let mut starts = Starts::hold(Duration::from_millis(500)).expect("tests run as root");
    for keep in [false, true] {
        let program = directory.path().join(format!("program-{keep}"));
        fs::copy("/bin/true", &program).expect("there is room");
        let mut command = Command::new(&program);
        starts.leave_out(&mut command);
        // It has started when its exec is done.
        let mut started = tokio::task::spawn_blocking(move || command.spawn());
        let start = loop {
            tokio::select! {
                start = starts.next() => if is_of(&start, &program) { break start },
                _ = &mut started => panic!("it did not wait"),
            }
        };
        let kept = keep.then_some(start);
        // Others may start meanwhile.
        let mut child = loop {
            tokio::select! {
                start = starts.next() => drop(start),
                child = &mut started => break child.expect("it was waited for").expect("it could be started"),
            }
        };
        assert!(child.wait().await.expect("it ends").success());
        drop(kept);
    }
}
