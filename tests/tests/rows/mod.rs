//! One test a row, in a namespace of its own.

use std::process::Command;

use plainspan_tests::harness::{executables, installed, require_root};

/// Makes the tests, and one that none is missing.
macro_rules! tests {
    ($full:literal: $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                $crate::rows::run(stringify!($name));
            }
        )+

        #[test]
        fn every_client_has_its_test() {
            let clients = plainspan_tests::matrix::clients();
            let wanted = clients.iter().filter(|client| client.full == $full);
            let wanted: Vec<String> = wanted.map(|client| client.test()).collect();
            assert_eq!(wanted, [$(stringify!($name)),+]);
        }
    };
}

pub(crate) use tests;

/// Runs a row where there is no network but the loopback: clients that would phone home reach nobody.
pub fn run(name: &str) {
    require_root();
    let matrix = executables().join("matrix");
    assert!(matrix.is_file(), "no {}: use `cargo xtask test`", matrix.display());
    let dir =
        std::env::var_os("PLAINSPAN_MATRIX").expect("PLAINSPAN_MATRIX is not set: use `cargo xtask test`");
    let newest = std::env::var_os("PLAINSPAN_MATRIX_NEWEST").map(|_| "--newest");
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let ended = Command::new(installed("unshare"))
        .args(["--net", "--", "sh", "-c", script])
        .arg(&matrix)
        .args(["run", name, "--dir"])
        .arg(&dir)
        .args(newest)
        .output()
        .expect("unshare can be started");
    let told = [ended.stdout, ended.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(ended.status.success(), "{told}");
}
