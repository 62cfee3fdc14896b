//! The first request of a program that starts and calls at once: is it seen? Of clients that are quick to have;
//! `cargo xtask test --full` measures those of first_request_full.rs too.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests fail by panicking, and these measure"
)]

mod first;

first::tests! {
    curl 0
    wget 0
    python_httpx_http2 0
    node_http2 0
}
