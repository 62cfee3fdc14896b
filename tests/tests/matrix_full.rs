//! The rows of the capture matrix that take long to install or to build: `cargo xtask test --full`.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

mod rows;

rows::tests! {
    true:
    libcurl_nss python_google_genai pycurl curl_cffi grpcio
    node_16
    go go_http1 go_newer_stripped bun bun_1_2 bun_1_0 deno reqwest_ring reqwest_aws_lc reqwest_native_tls
    claude_code codex codex_own_ca codex_websocket gemini_cli opencode copilot
}
