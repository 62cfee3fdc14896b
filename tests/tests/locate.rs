//! What is found in libraries as their makers ship them, for other machines than this one too.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use object::{Object as _, ObjectSymbol as _};
use plainspan::probe::{Elf, Finding, locate::LOCATORS};
use plainspan_tests::harness::wheel;

/// What all locators find in a file.
fn found(path: &Path) -> Vec<Finding> {
    let found = Elf::open(path, |elf| {
        let mut found = Vec::new();
        for locator in LOCATORS {
            match locator.locate(elf) {
                Ok(finding) => found.extend(finding),
                Err(reason) => panic!("{} in {}: {reason}", locator.name(), path.display()),
            }
        }
        found
    });
    found.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Fails unless nothing but this stack is in the library, with points in these functions.
fn holds(path: &Path, stack: &str, functions: &[&str]) -> Finding {
    let mut all = found(path);
    assert_eq!(all.iter().map(|f| f.stack).collect::<Vec<_>>(), [stack], "{}: {all:?}", path.display());
    let finding = all.remove(0);
    let mut symbols: Vec<&str> = finding.points.iter().map(|p| p.symbol).collect();
    symbols.sort_unstable();
    symbols.dedup();
    assert_eq!(symbols, functions, "{}: {finding:?}", path.display());
    finding
}

/// Fails unless each point is where the library's own symbol table has its function.
fn by_symbols(path: &Path, finding: &Finding) {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = object::File::parse(&*bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let symbols: BTreeMap<&str, u64> =
        file.symbols().filter_map(|s| Some((s.name().ok()?, s.address()))).collect();
    Elf::open(path, |elf| {
        for point in &finding.points {
            let address = elf.address(point.offset);
            assert_eq!(address, symbols.get(point.symbol).copied(), "{} of {}", point.symbol, path.display());
        }
    })
    .expect("it was read before");
}

#[test]
fn boringssl_for_aarch64() {
    let all = ["SSL_new", "SSL_read", "SSL_shutdown", "SSL_write"];
    // This one has its symbols still, which the locator does not ask.
    let library = wheel("curl_cffi==0.17.0-manylinux2014_aarch64", "_wrapper.abi3.so");
    by_symbols(&library, &holds(&library, "boringssl", &all));
    let library = wheel("grpcio==1.85.3-manylinux2014_aarch64", "cygrpc.cpython");
    holds(&library, "boringssl", &all);
}

/// Below s2n there is aws-lc, whose ciphers must not be found a second time.
#[test]
fn s2n_for_aarch64() {
    let library = wheel("awscrt==0.38.1-manylinux2014_aarch64", "_awscrt.abi3.so");
    let all = ["s2n_connection_free", "s2n_connection_wipe", "s2n_recv", "s2n_send", "s2n_shutdown"];
    by_symbols(&library, &holds(&library, "s2n", &all));
}

/// Its functions are called as those of OpenSSL 3 are.
#[test]
fn openssl_of_before_version_3() {
    let library = wheel("psycopg2-binary==2.9.5-manylinux2014_x86_64", "libssl-");
    holds(&library, "openssl", &["SSL_free", "SSL_shutdown", "ssl_read_internal", "ssl_write_internal"]);
}
