//! The configuration file: the options of `run` under the names that they have on the command line, and `limits`.

use std::path::{Path, PathBuf};

use serde_yaml_ng::Value;

use super::limits::{LIMITS, Limits};
use crate::text::nearest;

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum FileError {
    #[error("{path} can't be read ({reason}): --config names another file")]
    Read { path: String, reason: std::io::Error },
    #[error("{path} is no YAML ({reason})")]
    Syntax { path: String, reason: String },
    #[error("{path}: there is no setting `{key}`{hint}")]
    Unknown { path: String, key: String, hint: String },
    #[error("{path}: `{key}`: {reason}")]
    Value { path: String, key: String, reason: String },
    #[error("{path}: {reason}")]
    Together { path: String, reason: String },
}

/// A configuration file, of which only the form is known to be right.
#[derive(Debug, Default)]
pub(in crate::cli) struct File {
    /// Where it lies.
    pub(in crate::cli) path: PathBuf,
    /// Options of the command line, with their values as they would be written there.
    pub(super) options: Vec<(String, Vec<String>)>,
    /// The limits, and the names of those that it sets.
    pub(super) limits: Limits,
    pub(super) limited: Vec<&'static str>,
}

impl File {
    /// Reads it; `options` are the names that it may use.
    pub(super) fn read(path: &Path, options: &[String]) -> Result<Self, FileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|reason| FileError::Read { path: shown.clone(), reason })?;
        Self::parse(path, &text, options)
    }

    pub(super) fn parse(path: &Path, text: &str, options: &[String]) -> Result<Self, FileError> {
        let shown = path.display().to_string();
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        let root: Value = serde_yaml_ng::from_str(text)
            .map_err(|error| FileError::Syntax { path: shown.clone(), reason: error.to_string() })?;
        let wrong = |key: &str, reason: &str| FileError::Value {
            path: shown.clone(),
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        let settings = match root {
            Value::Null => return Ok(file),
            Value::Mapping(settings) => settings,
            _ => {
                return Err(FileError::Syntax {
                    path: shown.clone(),
                    reason: "it is no list of `name: value`".to_owned(),
                });
            }
        };
        for (key, value) in &settings {
            let key = key.as_str().ok_or_else(|| wrong(&format!("{key:?}"), "is no name"))?;
            if key == "limits" {
                let limits = match value {
                    Value::Null => continue,
                    Value::Mapping(limits) => limits,
                    _ => return Err(wrong(key, "is no list of `name: number`")),
                };
                for (name, value) in limits {
                    let name = name.as_str().ok_or_else(|| wrong(key, "has something that is no name"))?;
                    let Some(limit) = LIMITS.iter().find(|limit| limit.name == name) else {
                        return Err(unknown(
                            &shown,
                            name,
                            "limits.",
                            &mut LIMITS.iter().map(|limit| limit.name),
                        ));
                    };
                    let full = format!("limits.{name}");
                    let number = value.as_u64().ok_or_else(|| wrong(&full, "is no whole number"))?;
                    file.limits.set(name, number).map_err(|reason| wrong(&full, &reason))?;
                    file.limited.push(limit.name);
                }
                continue;
            }
            if !options.iter().any(|option| option == key) {
                let mut known = options.iter().map(String::as_str).chain(["limits"]);
                return Err(unknown(&shown, key, "", &mut known));
            }
            let values = match value {
                Value::Sequence(values) => values.iter().map(scalar).collect(),
                Value::Null => continue,
                value => scalar(value).map(|value| vec![value]),
            };
            let values = values.ok_or_else(|| wrong(key, "is neither a value nor a list of them"))?;
            file.options.push((key.to_owned(), values));
        }
        Ok(file)
    }
}

fn unknown(path: &str, key: &str, prefix: &str, known: &mut dyn Iterator<Item = &str>) -> FileError {
    let hint = nearest(key, known).map_or_else(
        || ": plainspan config show lists them all".to_owned(),
        |name| format!(": did you mean `{prefix}{name}`?"),
    );
    FileError::Unknown { path: path.to_owned(), key: format!("{prefix}{key}"), hint }
}

pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        let options = ["content", "output", "api-rule", "ring-size", "verbose"].map(str::to_owned);
        File::parse("c.yaml".as_ref(), text, &options).map_err(|error| error.to_string())
    }

    #[test]
    fn settings() {
        let file = parse(
            "# a comment\ncontent: span\noutput: [console, 'file:a b.jsonl']\nring-size: 4096\nverbose: true\napi-rule:\nlimits:\n  text-bytes: 10\n",
        )
        .unwrap();
        let expected = [
            ("content", vec!["span"]),
            ("output", vec!["console", "file:a b.jsonl"]),
            ("ring-size", vec!["4096"]),
            ("verbose", vec!["true"]),
        ];
        let found: Vec<_> = file
            .options
            .iter()
            .map(|(key, values)| (key.as_str(), values.iter().map(String::as_str).collect::<Vec<_>>()))
            .collect();
        assert_eq!(found, expected);
        assert_eq!((file.limits.rooms.genai.content, file.limited), (10, vec!["text-bytes"]));
        assert!(parse("").unwrap().options.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_what_may_have_been_meant() {
        let cases = [
            ("contents: span", "c.yaml: there is no setting `contents`: did you mean `content`?"),
            ("API_Rule: []", "c.yaml: there is no setting `API_Rule`: did you mean `api-rule`?"),
            ("limit: {}", "c.yaml: there is no setting `limit`: did you mean `limits`?"),
            ("colour: red", "c.yaml: there is no setting `colour`: plainspan config show lists them all"),
            (
                "limits: {text-byte: 1}",
                "c.yaml: there is no setting `limits.text-byte`: did you mean `limits.text-bytes`?",
            ),
            ("limits: {text-bytes: many}", "c.yaml: `limits.text-bytes`: is no whole number"),
            (
                "limits: {text-bytes: 0}",
                "c.yaml: `limits.text-bytes`: is a limit of nothing: use a number from 1 up",
            ),
            ("limits: 7", "c.yaml: `limits`: is no list of `name: number`"),
            ("output: {console: true}", "c.yaml: `output`: is neither a value nor a list of them"),
            ("- content", "c.yaml is no YAML (it is no list of `name: value`)"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        }
        for text in ["content: [", "content: span\ncontent: none"] {
            assert!(parse(text).unwrap_err().starts_with("c.yaml is no YAML ("), "{text}");
        }
        let error = File::read("/nowhere/c.yaml".as_ref(), &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("/nowhere/c.yaml can't be read (")
                && error.ends_with("--config names another file")
        );
    }
}
