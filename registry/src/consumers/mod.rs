//! Who reads the telemetry, and what of it: so that a change can name those that it breaks.
//!
//! Consumers are declared in `contract/consumers/*.yaml` ([`Declarations`]). What a file of queries reads is found by an extractor for
//! each language ([`scan`]) and held against its declaration ([`check()`]); what a change takes away is looked up in all declarations
//! ([`readers`]).

mod affected;
mod check;
mod declaration;
mod document;
mod files;
mod found;
mod lexer;
mod names;
mod prometheus;
mod promql;
mod sql;
mod traceql;

pub use affected::affected;
pub use check::{Problem, check, readers};
pub use declaration::{Consumer, Declarations, FILE_FORMAT, Reading, Subject};
pub use files::{check_all, read};
pub use found::{Found, Usage, Value, What};
pub use names::Names;

/// Longest file that is scanned, in bytes: the largest dashboards are a tenth of it.
pub const MAX_BYTES: usize = 16 << 20;

/// Why a file is not scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing is known of files with such a name.
    #[error("what {0} holds is not known: use .json (Grafana), .yaml (rules), .promql, .sql or .traceql")]
    Unknown(String),
    /// It is not what its name says.
    #[error("{file}: {error}")]
    Json {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        error: serde_json::Error,
    },
    /// It is not what its name says.
    #[error("{file}: {error}")]
    Yaml {
        /// The file.
        file: String,
        /// What is wrong, with its place.
        error: serde_yaml_ng::Error,
    },
    /// It is longer than [`MAX_BYTES`].
    #[error("{0} is longer than 16 MiB")]
    TooLong(String),
}

/// All names that a file reads, in the language that the ending of its name tells.
pub fn scan(file: &str, text: &str) -> Result<Vec<Found>, ScanError> {
    if text.len() > MAX_BYTES {
        return Err(ScanError::TooLong(file.to_owned()));
    }
    let ending = file.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending);
    match ending.map(str::to_ascii_lowercase).as_deref() {
        Some("json") => {
            let document = serde_json::from_str(text)
                .map_err(|error| ScanError::Json { file: file.to_owned(), error })?;
            Ok(document::scan(&document))
        }
        Some("yaml" | "yml" | "rules") => {
            let mut found = Vec::new();
            for part in serde_yaml_ng::Deserializer::from_str(text) {
                let document = serde::Deserialize::deserialize(part)
                    .map_err(|error| ScanError::Yaml { file: file.to_owned(), error })?;
                found.extend(document::scan(&document));
            }
            Ok(found)
        }
        Some("promql") => Ok(promql::scan(text)),
        Some("sql") => Ok(sql::scan(text)),
        Some("traceql") => Ok(traceql::scan(text)),
        _ => Err(ScanError::Unknown(file.to_owned())),
    }
}

#[cfg(test)]
mod tests;
