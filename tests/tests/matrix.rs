//! The rows of the capture matrix that are quick; `cargo xtask test --full` runs those of matrix_full.rs too.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

mod rows;

rows::tests! {
    false:
    curl curl_http2 wget ruby php perl
    python_openai python_anthropic python_aiohttp python_httpx_http2 python_websockets
    node_openai node_anthropic node_undici_http2 node_http2
}
