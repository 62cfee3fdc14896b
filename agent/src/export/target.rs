//! Where spans go, as the user says it with `-o`.

use std::{fmt, path::PathBuf, str::FromStr};

use thiserror::Error;

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A line a call on standard output.
    Console,
    /// OTLP JSON lines, appended to a file.
    File(PathBuf),
    /// Events as OTLP JSON lines, appended to a file.
    Events(PathBuf),
    /// An OTLP collector; where and how, the `OTEL_EXPORTER_OTLP_*` variables say.
    Otlp,
}

impl Target {
    /// Where spans go when the user says nothing: the console, and a collector if there is one in the
    /// environment, which `variable` looks up.
    pub fn defaults(variable: &dyn Fn(&str) -> Option<String>) -> Vec<Self> {
        let collector = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
            .iter()
            .any(|name| variable(name).is_some_and(|value| !value.is_empty()));
        if collector { vec![Self::Console, Self::Otlp] } else { vec![Self::Console] }
    }
}

/// A target that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No exporter has this name.
    #[error("no output is called `{0}`: use `console`, `file:PATH`, `events:PATH` or `otlp`")]
    Unknown(String),
    /// A file without a path.
    #[error("`{0}:` needs a path, for example `{0}:calls.jsonl`")]
    NoPath(&'static str),
    /// An address where none belongs.
    #[error("`otlp` takes no address: set OTEL_EXPORTER_OTLP_ENDPOINT to it")]
    Address,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "console" => Ok(Self::Console),
            None if text == "otlp" => Ok(Self::Otlp),
            Some(("file", "")) => Err(TargetError::NoPath("file")),
            None if text == "file" => Err(TargetError::NoPath("file")),
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("events", "")) => Err(TargetError::NoPath("events")),
            None if text == "events" => Err(TargetError::NoPath("events")),
            Some(("events", path)) => Ok(Self::Events(path.into())),
            Some(("otlp", _)) => Err(TargetError::Address),
            _ => Err(TargetError::Unknown(text.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("console"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Events(path) => write!(f, "events:{}", path.display()),
            Self::Otlp => f.write_str("otlp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed() {
        let cases = [
            ("console", Ok(Target::Console)),
            ("otlp", Ok(Target::Otlp)),
            ("file:a.jsonl", Ok(Target::File("a.jsonl".into()))),
            ("file:/a:b", Ok(Target::File("/a:b".into()))),
            ("file:", Err(TargetError::NoPath("file"))),
            ("file", Err(TargetError::NoPath("file"))),
            ("events:e.jsonl", Ok(Target::Events("e.jsonl".into()))),
            ("events:", Err(TargetError::NoPath("events"))),
            ("events", Err(TargetError::NoPath("events"))),
            ("otlp:http://x", Err(TargetError::Address)),
            ("stdout", Err(TargetError::Unknown("stdout".into()))),
            ("", Err(TargetError::Unknown(String::new()))),
        ];
        for (text, expected) in cases {
            let target = text.parse::<Target>();
            assert_eq!(target, expected, "{text}");
            if let Ok(target) = target {
                assert_eq!(target.to_string(), text);
            }
        }
    }

    #[test]
    fn an_error_names_what_is_possible() {
        let error = "stdout".parse::<Target>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no output is called `stdout`: use `console`, `file:PATH`, `events:PATH` or `otlp`"
        );
    }

    #[test]
    fn a_collector_in_the_environment_is_used() {
        let with =
            |set: &'static str| Target::defaults(&move |name| (name == set).then(|| "http://c".into()));
        assert_eq!(with("OTEL_EXPORTER_OTLP_ENDPOINT"), [Target::Console, Target::Otlp]);
        assert_eq!(with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), [Target::Console, Target::Otlp]);
        assert_eq!(with("PATH"), [Target::Console]);
        assert_eq!(Target::defaults(&|_| Some(String::new())), [Target::Console]);
    }
}
