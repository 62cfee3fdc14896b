//! All settings as a file that would bring them about.

use std::fmt::Write as _;

use super::{Setting, Settings, Source, Written};
use crate::export::shown_url;

/// Column at which it is said where a setting comes from.
const COLUMN: usize = 44;

/// Variables of the environment that say more than a setting does, by what they begin with.
const VARIABLES: [&str; 2] = ["OTEL_", "PLAINSPAN_"];

impl Settings {
    /// In YAML, with comments on where each comes from. Nothing in it is a secret.
    pub(super) fn shown(&self) -> String {
        let mut out = match self.path() {
            Some(path) => format!("# {}\n", path.display()),
            None => "# no file\n".to_owned(),
        };
        let mut within_limits = false;
        for Setting { name, value, source } in &self.all {
            let name = match name.strip_prefix("limits.") {
                Some(name) => {
                    if !std::mem::replace(&mut within_limits, true) {
                        out.push_str("limits:\n");
                    }
                    format!("  {name}")
                }
                None => name.clone(),
            };
            let line = format!("{name}: {value}");
            let _ = writeln!(out, "{line:COLUMN$} # {source}");
        }
        for (name, value) in variables(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        })) {
            let _ = writeln!(out, "# {name}={value}");
        }
        out
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("null"),
            Self::One(value) => f.write_str(&scalar(value)),
            Self::List(values) => {
                let values: Vec<_> = values.iter().map(|value| scalar(value)).collect();
                write!(f, "[{}]", values.join(", "))
            }
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) => write!(f, "environment: {name}"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value that YAML reads as what it is: in quotes where it could be taken for something else.
fn scalar(value: &str) -> String {
    let plain = value.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/')
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte));
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

/// Those of the environment that are listened to, without their secrets, in the order of their names.
fn variables(all: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut found: Vec<_> = all
        .filter(|(name, _)| VARIABLES.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(name, value)| {
            let value = if name.ends_with("HEADERS") {
                masked(&value)
            } else if name.ends_with("ENDPOINT") || value.contains("://") {
                shown_url(&value)
            } else {
                value
            };
            // It is a comment of one line.
            (name, value.replace(['\n', '\r'], " "))
        })
        .collect();
    found.sort();
    found
}

/// `name=value,...` with the names alone.
fn masked(headers: &str) -> String {
    let names = headers.split(',').map(|header| match header.split_once('=') {
        Some((name, _)) => format!("{}=***", name.trim()),
        None => "***".to_owned(),
    });
    names.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let cases = [
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer x, api-key=y,z",
                "authorization=***,api-key=***,***",
            ),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://me:pw@c:4318/v1?key=s", "https://c:4318/v1"),
            ("OTEL_SERVICE_NAME", "a\nb", "a b"),
            ("PLAINSPAN_LOG", "info", "info"),
        ];
        for (name, value, expected) in cases {
            let all = [(name.to_owned(), value.to_owned()), ("HOME".to_owned(), "/root".to_owned())];
            assert_eq!(variables(all.into_iter()), [(name.to_owned(), expected.to_owned())]);
        }
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        for (value, written) in [
            ("console", "console"),
            ("/var/x.d", "/var/x.d"),
            ("16777216", "16777216"),
            ("file:a b", "\"file:a b\""),
            ("*", "\"*\""),
            ("-x", "\"-x\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(value), written);
            let read: serde_yaml_ng::Value = serde_yaml_ng::from_str(written).unwrap();
            assert_eq!(super::super::file::scalar(&read).as_deref(), Some(value));
        }
    }
}
