//! Programs that the distribution brings, with the system's TLS libraries.

use serde_json::json;

use super::{Client, Install, Link, Place, Registry, Verdict};
use crate::{
    harness::{Command, KEY},
    provider::{HTTP1, HTTP2},
};

const fn debian(name: &'static str, packages: &'static [(&'static str, &'static str)]) -> Install {
    Install { name, registry: Registry::Debian, packages, build: &[], kept: true }
}

static CURL: Install = debian("curl", &[("curl", "")]);
static WGET: Install = debian("wget", &[("wget", "")]);
static RUBY: Install = debian("ruby", &[("ruby", "")]);
static PHP: Install = debian("php", &[("php-cli", "")]);
static PERL: Install = debian("perl", &[("libio-socket-ssl-perl", "")]);
static NSS: Install = Install {
    build: &[&["cc", "-o", "@DIR/client", "@CLIENTS/nss.c", "-l:libcurl-nss.so.4"]],
    ..debian("nss", &[("libcurl3-nss", ""), ("nss-plugin-pem", "")])
};

const SYSTEM: Client = Client {
    name: "",
    install: &CURL,
    package: "",
    stack: "OpenSSL 3",
    link: Link::Shared,
    locator: Some("openssl"),
    protocols: HTTP1,
    full: false,
    floor: Verdict::Calls,
    command: |place| place.command("true"),
};

pub(super) const CLIENTS: &[Client] = &[
    Client { name: "curl", package: "curl", command: curl, ..SYSTEM },
    Client { name: "curl-http2", package: "curl", protocols: HTTP2, command: curl, ..SYSTEM },
    Client {
        name: "wget",
        install: &WGET,
        package: "wget",
        stack: "GnuTLS",
        locator: Some("gnutls"),
        command: wget,
        ..SYSTEM
    },
    Client {
        name: "ruby",
        install: &RUBY,
        package: "ruby",
        command: |place| place.script("ruby", "client.rb"),
        ..SYSTEM
    },
    Client {
        name: "php",
        install: &PHP,
        package: "php-cli",
        command: |place| place.script("php", "client.php"),
        ..SYSTEM
    },
    Client {
        name: "perl",
        install: &PERL,
        package: "libio-socket-ssl-perl",
        command: |place| place.script("perl", "client.pl"),
        ..SYSTEM
    },
    Client {
        name: "libcurl-nss",
        install: &NSS,
        package: "libcurl3-nss",
        stack: "NSS",
        locator: Some("nss"),
        protocols: HTTP2,
        full: true,
        command: |place| place.command(place.dir.join("client")),
        ..SYSTEM
    },
];

/// One call with a plain answer, and one with a stream, on one connection.
fn curl(place: &Place<'_>) -> Command {
    let mut command = place.command(crate::harness::installed("curl"));
    for stream in [false, true] {
        let body = json!({"model": "gpt-4o-mini", "stream": stream, "messages": []}).to_string();
        let body = place.file(&format!("body-{stream}"), &body);
        if stream {
            command = command.args(["--next"]);
        }
        command = command
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .args([place.provider.ca()])
            .args(["-H", "content-type: application/json", "-H", &format!("authorization: Bearer {KEY}")])
            .args(["--data-binary", &format!("@{}", body.display())])
            .args([format!("{}/v1/chat/completions", place.provider.url())]);
    }
    command
}

fn wget(place: &Place<'_>) -> Command {
    let body = place.file("body", &json!({"model": "gpt-4o-mini", "messages": []}).to_string());
    place.command(crate::harness::installed("wget")).args(["--quiet", "--output-document=-"]).args([
        &format!("--ca-certificate={}", place.provider.ca().display()),
        "--header=content-type: application/json",
        &format!("--header=authorization: Bearer {KEY}"),
        &format!("--post-file={}", body.display()),
        &format!("{}/v1/chat/completions", place.provider.url()),
    ])
}
