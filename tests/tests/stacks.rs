//! Programs that carry TLS code other than the system's OpenSSL, unmodified, each known by what is in its file.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use plainspan_tests::harness::{AgentCommand, Command, Local, Report, venv, workspace};
use serde_json::json;

/// Every call has its span, and every byte that the library moved is there.
fn captured(report: &Report, provider: &Local, calls: usize) {
    assert_eq!(provider.calls().len(), calls, "the client made its calls: {report:#?}");
    assert_eq!(report.spans.len(), calls, "{report:#?}");
    for call in provider.calls() {
        let id = call.facts.id.as_deref().expect("each answer has an id");
        assert_eq!(report.span(id).name, "chat gpt-4o-mini");
    }
    let count = |name| report.account.get("capture", name);
    assert!(count("bytes captured") > 0 && count("kernel table full") == 0, "{report:#?}");
    assert_eq!(count("bytes captured"), count("bytes moved by the libraries"), "{report:#?}");
}

/// Node.js has OpenSSL in its executable, or in a library of its own; its first call is the first thing that it does.
#[test]
fn openssl_in_the_executable_of_node() {
    let provider = Local::new();
    let script = format!(
        "for (const stream of [false, true]) {{
           const body = JSON.stringify({{model: 'gpt-4o-mini', stream, messages: []}});
           const headers = {{'content-type': 'application/json', authorization: 'Bearer k'}};
           const answer = await fetch('{}/v1/chat/completions', {{method: 'POST', headers, body}});
           await answer.text();
         }}",
        provider.url()
    );
    let command = Command::new("node")
        .args(["--input-type=module", "--eval", &script])
        .env("NODE_EXTRA_CA_CERTS", provider.ca());
    captured(&AgentCommand::new().run(command).exited(0), &provider, 2);
}

/// wget is linked with GnuTLS, whose gnutls_record_send ends in a jump to gnutls_record_send2: one call, two returns.
#[test]
fn gnutls_of_wget() {
    let provider = Local::new();
    let body = provider.file("body", &json!({"model": "gpt-4o-mini", "messages": []}).to_string());
    let command = Command::new("wget").args(["--quiet", "--output-document=-"]).args([
        &format!("--ca-certificate={}", provider.ca().display()),
        "--header=content-type: application/json",
        "--header=authorization: Bearer k",
        &format!("--post-file={}", body.display()),
        &format!("{}/v1/chat/completions", provider.url()),
    ]);
    captured(&AgentCommand::new().run(command).exited(0), &provider, 1);
}

/// tstclnt is NSS's own client; it writes and reads through NSPR, which knows nothing of plaintext.
#[test]
fn nss_of_tstclnt() {
    let provider = Local::new();
    let body = json!({"model": "gpt-4o-mini", "messages": []}).to_string();
    let request = provider.file(
        "request",
        &format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer k\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    // Without a database of certificates, in which it would look for the provider's.
    let command = Command::new("tstclnt")
        .args(["-4", "-h", "127.0.0.1", "-a", "localhost", "-D", "-o", "-p", &provider.port().to_string()])
        .args(["-A".as_ref(), request.as_os_str()]);
    captured(&AgentCommand::new().run(command).exited(0), &provider, 1);
}

/// The AWS Common Runtime brings s2n, with the ciphers of aws-lc: its bytes are seen once, above them.
#[test]
fn s2n_of_the_aws_common_runtime() {
    let provider = Local::new();
    let script = workspace().join("tests/clients/s2n_client.py");
    let command = Command::at(venv("python"))
        .args([script.as_os_str(), format!("{}/v1/chat/completions", provider.url()).as_ref()])
        .args([provider.ca()])
        .args(["gpt-4o-mini"])
        .env("PYTHONDONTWRITEBYTECODE", "1");
    captured(&AgentCommand::new().run(command).exited(0), &provider, 2);
}
