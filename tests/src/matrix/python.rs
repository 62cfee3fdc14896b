//! Python packages: CPython with the system's OpenSSL, and extensions that bring their own.

use super::{Client, Install, Link, Place, Registry, Verdict};
use crate::{
    harness::Command,
    provider::{HTTP1, HTTP2},
};

static PYTHON: Install = Install {
    name: "python",
    registry: Registry::Pypi,
    packages: &[
        ("openai", "3.57.0"),
        ("anthropic", "2.14.0"),
        ("aiohttp", "3.14.5"),
        ("httpx[http2]", "0.28.1"),
        ("httpx", "0.28.1"),
        ("websockets", "17.4"),
    ],
    build: &[],
    kept: true,
};
static BUNDLED: Install = Install {
    name: "python-bundled",
    registry: Registry::Pypi,
    packages: &[
        ("google-genai", "3.6.1"),
        ("pycurl", "7.49.0"),
        ("curl_cffi", "0.17.0"),
        ("grpcio", "1.85.3"),
    ],
    build: &[],
    kept: true,
};

/// Seconds between an extension's loading and its first call. What a program loads while it runs, plainspan looks through
/// meanwhile; a build with debug checks needs a second for the largest ones.
const LOADED: &str = "2";

const PYPI: Client = Client {
    name: "",
    install: &PYTHON,
    package: "",
    stack: "OpenSSL 3",
    link: Link::Shared,
    locator: Some("openssl"),
    protocols: HTTP1,
    full: false,
    floor: Verdict::Calls,
    command: |place| python(place, ""),
};

pub(super) const CLIENTS: &[Client] = &[
    Client { name: "python-openai", package: "openai", command: |place| python(place, "openai"), ..PYPI },
    Client {
        name: "python-anthropic",
        package: "anthropic",
        command: |place| python(place, "anthropic"),
        ..PYPI
    },
    Client { name: "python-aiohttp", package: "aiohttp", command: |place| python(place, "aiohttp"), ..PYPI },
    Client {
        name: "python-httpx-http2",
        package: "httpx",
        protocols: HTTP2,
        command: |place| python(place, "httpx"),
        ..PYPI
    },
    Client {
        name: "python-websockets",
        package: "websockets",
        command: |place| python(place, "websockets"),
        ..PYPI
    },
    Client {
        name: "python-google-genai",
        install: &BUNDLED,
        package: "google-genai",
        full: true,
        command: |place| python(place, "genai"),
        ..PYPI
    },
    Client {
        name: "pycurl",
        install: &BUNDLED,
        package: "pycurl",
        link: Link::Bundled,
        protocols: HTTP2,
        full: true,
        command: |place| python(place, "pycurl").env("MATRIX_WAIT", LOADED),
        ..PYPI
    },
    Client {
        name: "curl-cffi",
        install: &BUNDLED,
        package: "curl_cffi",
        stack: "BoringSSL",
        link: Link::Bundled,
        locator: Some("boringssl"),
        protocols: HTTP2,
        full: true,
        command: |place| python(place, "curl_cffi").env("MATRIX_WAIT", LOADED),
        ..PYPI
    },
    Client {
        name: "grpcio",
        install: &BUNDLED,
        package: "grpcio",
        stack: "BoringSSL",
        link: Link::Bundled,
        locator: Some("boringssl"),
        protocols: HTTP2,
        full: true,
        floor: Verdict::Bytes,
        command: |place| python(place, "grpcio").env("MATRIX_WAIT", LOADED),
    },
];

fn python(place: &Place<'_>, library: &str) -> Command {
    place
        .command(place.dir.join("bin/python"))
        .args([super::client_script("client.py")])
        .args([library])
        .env("SSL_CERT_FILE", place.provider.ca())
        .env("REQUESTS_CA_BUNDLE", place.provider.ca())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("ANTHROPIC_OPEN_TELEMETRY", "false")
}
