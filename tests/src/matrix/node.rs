//! Node.js, with OpenSSL in its executable, and the SDKs on it.

use super::{Client, Install, Link, Place, Registry, Verdict};
use crate::{
    harness::{Command, installed},
    provider::{HTTP1, HTTP2},
};

static SYSTEM: Install =
    Install { name: "node", registry: Registry::Debian, packages: &[("nodejs", "")], build: &[], kept: true };
static SDKS: Install = Install {
    name: "node-sdks",
    registry: Registry::Npm,
    packages: &[
        ("node-linux-@ARCH", "26.10.0"),
        ("openai", "7.57.0"),
        ("@anthropic-ai/sdk", "1.14.0"),
        ("undici", "8.13.1"),
    ],
    build: &[],
    kept: true,
};
/// The last with OpenSSL 1.1.
static OLD: Install = Install {
    name: "node-16",
    registry: Registry::Npm,
    packages: &[("node-linux-@ARCH", "16.20.2")],
    build: &[],
    kept: true,
};
const NODE: Client = Client {
    name: "",
    install: &SDKS,
    package: "",
    stack: "OpenSSL 3",
    link: Link::Static,
    locator: Some("openssl"),
    protocols: HTTP1,
    full: false,
    floor: Verdict::Calls,
    command: |place| node(place, ""),
};

pub(super) const CLIENTS: &[Client] = &[
    Client { name: "node-openai", package: "openai", command: |place| node(place, "openai"), ..NODE },
    Client {
        name: "node-anthropic",
        package: "@anthropic-ai/sdk",
        command: |place| node(place, "anthropic"),
        ..NODE
    },
    Client {
        name: "node-undici-http2",
        package: "undici",
        protocols: HTTP2,
        command: |place| node(place, "undici"),
        ..NODE
    },
    Client {
        name: "node-http2",
        install: &SYSTEM,
        package: "nodejs",
        protocols: HTTP2,
        command: |place| script(place, installed("node"), "http2"),
        ..NODE
    },
    Client {
        name: "node-16",
        install: &OLD,
        package: "node-linux-@ARCH",
        stack: "OpenSSL 1.1",
        protocols: HTTP2,
        full: true,
        command: |place| node(place, "http2"),
        ..NODE
    },
];

/// The Node.js of the install: that of the system may be too old for the SDKs.
fn node(place: &Place<'_>, library: &str) -> Command {
    script(place, program(place), library)
}

/// Node.js in an install that has it from npm.
pub(super) fn program(place: &Place<'_>) -> std::path::PathBuf {
    place.dir.join(format!("node_modules/node-linux-{}/bin/node", super::install::arch()))
}

/// Modules are looked for beside the script, which the install is not.
fn script(place: &Place<'_>, program: std::path::PathBuf, library: &str) -> Command {
    place
        .command(program)
        .args([super::client_script("client.mjs")])
        .args([library])
        .env("MATRIX_MODULES", place.dir.join("node_modules"))
        .env("NODE_EXTRA_CA_CERTS", place.provider.ca())
}
