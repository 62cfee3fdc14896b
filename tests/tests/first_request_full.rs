//! The same as in first_request.rs, of clients that take long to install or to build: `cargo xtask test --full`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and these measure"
)]

mod first;

first::tests! {
    pycurl 0
    curl_cffi 0
    go 0
    bun 0
    deno 0
    reqwest_ring 0
}
