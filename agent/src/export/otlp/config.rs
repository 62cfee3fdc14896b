//! The `OTEL_EXPORTER_OTLP_*` environment variables (OpenTelemetry specification, "OTLP exporter").
//!
//! The specification lets those that make no sense be ignored; here they are errors.

use std::time::Duration;

use opentelemetry_http::Request;

use super::{OpenError, Signal};
use crate::text;

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `gzip` (RFC 1952).
    Gzip,
}

/// Certificates in PEM form, for `https` endpoints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// What the collector's certificate is checked against; without it, what the system trusts.
    pub certificate: Option<Vec<u8>>,
    /// The client's own certificate and its private key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (certificate, client) = (self.certificate.is_some(), self.client.is_some());
        f.debug_struct("Tls").field("certificate", &certificate).field("client", &client).finish()
    }
}

/// Where and how to send.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The protocol.
    pub protocol: Protocol,
    /// URL: for HTTP with its path.
    pub endpoint: String,
    /// Time for one request and its retries.
    pub timeout: Duration,
    /// Compression of requests.
    pub compression: Option<Compression>,
    /// Names and values of headers that go with every request; the values may be credentials.
    pub headers: Vec<(String, String)>,
    /// Certificates.
    pub tls: Tls,
}

impl std::fmt::Debug for OtlpConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The endpoint may hold a password.
        f.debug_struct("OtlpConfig")
            .field("protocol", &self.protocol)
            .field("endpoint", &self.shown_endpoint())
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("tls", &self.tls)
            .finish()
    }
}

/// A setting: its names for traces, metrics and logs, and the one for all signals.
type Names = [&'static str; 4];

macro_rules! names {
    ($setting:literal) => {
        [
            concat!("OTEL_EXPORTER_OTLP_TRACES_", $setting),
            concat!("OTEL_EXPORTER_OTLP_METRICS_", $setting),
            concat!("OTEL_EXPORTER_OTLP_LOGS_", $setting),
            concat!("OTEL_EXPORTER_OTLP_", $setting),
        ]
    };
}

const ENDPOINT: Names = names!("ENDPOINT");
const PROTOCOL: Names = names!("PROTOCOL");
const TIMEOUT: Names = names!("TIMEOUT");
const COMPRESSION: Names = names!("COMPRESSION");
const HEADERS: Names = names!("HEADERS");
const INSECURE: Names = names!("INSECURE");
const CERTIFICATE: Names = names!("CERTIFICATE");
const CLIENT_CERTIFICATE: Names = names!("CLIENT_CERTIFICATE");
const CLIENT_KEY: Names = names!("CLIENT_KEY");

/// The name for one signal, which counts before the one for all.
fn own(names: Names, signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => names[0],
        Signal::Metrics => names[1],
        Signal::Logs => names[2],
    }
}

/// The name for all signals.
const fn general(names: Names) -> &'static str {
    names[3]
}

/// Does the environment, which `variable` looks up, want a signal other than traces exported over OTLP? Not if it has a collector for traces
/// alone, nor if the signal's exporter is `none`; `instead` says what there is besides.
///
/// # Errors
/// An exporter that is neither.
pub fn is_wanted(
    signal: Signal,
    instead: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<bool, OpenError> {
    let exporter = match signal {
        Signal::Traces => return Ok(true),
        Signal::Metrics => "OTEL_METRICS_EXPORTER",
        Signal::Logs => "OTEL_LOGS_EXPORTER",
    };
    let set = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    match set(exporter).as_deref() {
        Some("none") => return Ok(false),
        None | Some("otlp") => {}
        Some(other) => {
            return Err(wrong(
                exporter,
                format!("`{other}` is not supported: use `otlp` or `none`, {instead}"),
            ));
        }
    }
    let named = [general(ENDPOINT), own(ENDPOINT, signal), exporter];
    let of_traces_alone = set(own(ENDPOINT, Signal::Traces)).is_some();
    Ok(!of_traces_alone || named.into_iter().any(|name| set(name).is_some()))
}

/// Time for one request, unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Port at which collectors speak HTTP.
const HTTP_PORT: &str = ":4318";

impl OtlpConfig {
    /// What the environment says of a signal, which `variable` looks up; empty is unset.
    pub fn from_env(signal: Signal, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, OpenError> {
        let get = |names: Names| {
            [own(names, signal), general(names)].into_iter().find_map(|name| {
                Some((name, variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())?))
            })
        };
        let endpoint = get(ENDPOINT);
        let protocol = match get(PROTOCOL) {
            Some((_, value)) if value.eq_ignore_ascii_case("grpc") => Protocol::Grpc,
            Some((_, value)) if value.eq_ignore_ascii_case("http/protobuf") => Protocol::HttpProtobuf,
            Some((name, value)) => {
                return Err(wrong(
                    name,
                    format!("`{value}` is not supported: use `grpc` or `http/protobuf`"),
                ));
            }
            // An address with the port of HTTP is no address of gRPC.
            None if endpoint.as_ref().is_some_and(|(_, url)| authority(url).ends_with(HTTP_PORT)) => {
                Protocol::HttpProtobuf
            }
            None => Protocol::Grpc,
        };
        let insecure = get(INSECURE).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let endpoint = match (protocol, endpoint) {
            (Protocol::Grpc, None) => "http://localhost:4317".to_owned(),
            (Protocol::HttpProtobuf, None) => format!("http://localhost:4318/{}", signal.path()),
            (Protocol::Grpc, Some((name, url))) if !url.contains("://") => {
                valid_url(name, format!("{}://{url}", if insecure { "http" } else { "https" }))?
            }
            (Protocol::Grpc, Some((name, url))) => valid_url(name, url)?,
            (Protocol::HttpProtobuf, Some((name, url))) if name == own(ENDPOINT, signal) => {
                valid_url(name, url)?
            }
            (Protocol::HttpProtobuf, Some((name, url))) => {
                let slash = if url.ends_with('/') { "" } else { "/" };
                valid_url(name, format!("{url}{slash}{}", signal.path()))?
            }
        };
        let timeout = match get(TIMEOUT) {
            None => DEFAULT_TIMEOUT,
            Some((name, value)) => match value.parse() {
                Ok(milliseconds) if milliseconds > 0 => Duration::from_millis(milliseconds),
                _ => return Err(wrong(name, format!("`{value}` is not a number of milliseconds"))),
            },
        };
        let compression = match get(COMPRESSION) {
            None => None,
            Some((name, value)) => match value.to_ascii_lowercase().as_str() {
                "none" => None,
                "gzip" => Some(Compression::Gzip),
                _ => return Err(wrong(name, format!("`{value}` is not supported: use `gzip` or `none`"))),
            },
        };
        let headers = match get(HEADERS) {
            Some((name, headers)) => read_headers(name, &headers)?,
            None => Vec::new(),
        };
        let client = match (read(get(CLIENT_CERTIFICATE))?, read(get(CLIENT_KEY))?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(wrong(general(CLIENT_KEY), "is needed with a client certificate".into()));
            }
            (None, Some(_)) => {
                return Err(wrong(general(CLIENT_CERTIFICATE), "is needed with a client key".into()));
            }
        };
        let tls = Tls { certificate: read(get(CERTIFICATE))?, client };
        Ok(Self { protocol, endpoint, timeout, compression, headers, tls })
    }

    /// The endpoint as it may be shown: without a user's name and password, and without a query.
    pub fn shown_endpoint(&self) -> String {
        shown_url(&self.endpoint)
    }

    /// Is TLS spoken?
    pub fn is_https(&self) -> bool {
        self.endpoint.starts_with("https://")
    }
}

fn wrong(variable: &'static str, reason: String) -> OpenError {
    OpenError::Setting { variable, reason }
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The URL, with its scheme in lower case; an error does not quote it, since it may hold a password.
fn valid_url(name: &'static str, url: String) -> Result<String, OpenError> {
    let hint = "is no URL of a collector, such as `http://localhost:4317`";
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong(name, hint.into()))?;
    let scheme = scheme.to_ascii_lowercase();
    let url = format!("{scheme}://{rest}");
    let host = authority(&url).rsplit('@').next().unwrap_or_default();
    if !matches!(scheme.as_str(), "http" | "https") || host.is_empty() || host.starts_with(':') {
        return Err(wrong(name, hint.into()));
    }
    match Request::post(&url).body(()) {
        Ok(_) => Ok(url),
        Err(error) => Err(wrong(name, format!("{hint}: {error}"))),
    }
}

/// A URL as it may be shown: without a user's name and password, and without a query. That of an endpoint of gRPC may lack its scheme.
pub fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + "://".len()));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}{}{path}", authority.rsplit('@').next().unwrap_or_default())
}

/// Headers are `name=value` pairs with commas between, the values percent-encoded where they must be (as in W3C Baggage); what
/// they say is nobody's business.
fn read_headers(name: &'static str, headers: &str) -> Result<Vec<(String, String)>, OpenError> {
    let pairs = headers.split_terminator(',').enumerate().map(|(at, pair)| {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        pair.split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .filter(|(key, value)| !key.is_empty() && key.chars().all(token) && !value.is_empty())
            .map(|(key, value)| (key.to_owned(), percent_decoded(value)))
            .ok_or_else(|| wrong(name, format!("entry {} is not of the form `name=value`", at + 1)))
    });
    pairs.collect()
}

/// The value as it is meant; one that is not percent-encoded is meant as it stands.
fn percent_decoded(text: &str) -> String {
    String::from_utf8(text::percent_decoded(text)).unwrap_or_else(|_| text.to_owned())
}

fn read(file: Option<(&'static str, String)>) -> Result<Option<Vec<u8>>, OpenError> {
    file.map(|(name, path)| {
        std::fs::read(&path).map_err(|error| wrong(name, format!("cannot read {path}: {error}")))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<OtlpConfig, String> {
        let lookup =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        OtlpConfig::from_env(Signal::Traces, &lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn endpoints_and_protocols() {
        use Protocol::{Grpc, HttpProtobuf};
        const E: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const T: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        const P: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
        type Case = (&'static [(&'static str, &'static str)], Protocol, &'static str);
        let cases: &[Case] = &[
            (&[], Grpc, "http://localhost:4317"),
            (&[(E, "")], Grpc, "http://localhost:4317"),
            (&[(E, "http://c:4317")], Grpc, "http://c:4317"),
            (&[(E, "HTTPS://c")], Grpc, "https://c"),
            (&[(E, "c:4317")], Grpc, "https://c:4317"),
            (&[(E, "c:4317"), ("OTEL_EXPORTER_OTLP_INSECURE", "true")], Grpc, "http://c:4317"),
            (&[(E, "http://c:4318")], HttpProtobuf, "http://c:4318/v1/traces"),
            (&[(E, "http://c:4318"), (P, "grpc")], Grpc, "http://c:4318"),
            (&[(P, "http/protobuf")], HttpProtobuf, "http://localhost:4318/v1/traces"),
            (&[(P, "http/protobuf"), (E, "https://c/api/")], HttpProtobuf, "https://c/api/v1/traces"),
            (
                &[(P, "http/protobuf"), (T, "https://c/spans"), (E, "http://d")],
                HttpProtobuf,
                "https://c/spans",
            ),
            (
                &[(P, "grpc"), ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "HTTP/protobuf"), (E, "http://c")],
                HttpProtobuf,
                "http://c/v1/traces",
            ),
        ];
        for (variables, protocol, endpoint) in cases {
            let config = config(variables).unwrap();
            assert_eq!((config.protocol, &*config.endpoint), (*protocol, *endpoint), "{variables:?}");
        }
    }

    #[test]
    fn a_garbled_setting_is_one_clear_line() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("ca.pem").display().to_string();
        let cases = [
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/json",
                "`http/json` is not supported: use `grpc` or `http/protobuf`",
            ),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "tcp", "`tcp` is not supported"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "`10s` is not a number of milliseconds"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0", "not a number of milliseconds"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "`zstd` is not supported"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c", "is no URL of a collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://", "is no URL of a collector"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:secret@[x", "is no URL of a collector"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1,secret", "entry 2 is not of the form `name=value`"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret", "entry 1"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &missing, "cannot read "),
        ];
        for (name, value, expected) in cases {
            let error = config(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}: ")) && error.contains(expected), "{error}");
            assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
        }
        let file = dir.path().join("client.pem");
        std::fs::write(&file, "x").unwrap();
        let file = file.display().to_string();
        let error = config(&[("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &file)]).unwrap_err();
        assert_eq!(error, "OTEL_EXPORTER_OTLP_CLIENT_KEY: is needed with a client certificate");
    }

    #[test]
    fn the_rest() {
        let config = config(&[
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "GZIP"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, a=b,"),
        ])
        .unwrap();
        assert_eq!(config.timeout, Duration::from_millis(1500));
        assert_eq!(config.compression, Some(Compression::Gzip));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(config.headers, [pair("authorization", "Bearer x"), pair("a", "b")]);
        assert!(!format!("{config:?}").contains("Bearer"));
        for (text, expected) in
            [("v%201", "v 1"), ("v 1", "v 1"), ("%C3%B6", "ö"), ("v%XX1%", "v%XX1%"), ("%ff", "%ff")]
        {
            assert_eq!(percent_decoded(text), expected);
        }
    }

    #[test]
    fn credentials_in_an_endpoint_are_not_shown() {
        let config =
            config(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:secret@c:4318/x?key=secret")])
                .unwrap();
        assert_eq!(config.shown_endpoint(), "http://c:4318/x");
        assert!(!format!("{config:?}").contains("secret"));
    }
}
