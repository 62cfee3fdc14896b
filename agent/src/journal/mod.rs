//! KEEP: spans on disk until they are delivered; also the local history.
//!
//! A span is handed to a thread of its own ([`Journal`]), which writes it to an SQLite database and commits many at
//! once. Only what is committed is offered to an exporter ([`Backlog`]), and only what an exporter has done with is
//! marked so, each exporter by itself. So whatever ends the agent, what it held is there at the next start.

mod backlog;
mod condition;
mod error;
mod history;
mod place;
mod query;
mod record;
mod schema;
mod store;
mod writer;

use std::{path::PathBuf, str::FromStr, time::Duration};

pub use backlog::{Backlog, Entry};
pub use condition::{Condition, ConditionError};
pub use error::JournalError;
pub use history::{Filter, History, Kept};
pub use place::default_path;
pub use query::{Cell, QueryError, Rows};
pub use writer::Journal;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes of the database, what is free in it not counted.
    pub bytes: u64,
    /// How long a span is kept.
    pub age: Duration,
    /// Most spans that wait to be written.
    pub waiting_spans: usize,
    /// Most bytes that wait to be written, as estimated. A larger span passes when nothing waits.
    pub waiting_bytes: usize,
    /// How long the first span waits for others, so that they are committed at once.
    pub gather: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            age: Duration::from_secs(30 * 24 * 3600),
            waiting_spans: 8192,
            waiting_bytes: 64 << 20,
            gather: Duration::from_millis(50),
        }
    }
}

/// Where the journal is, as the user says it with `--journal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Nothing is kept.
    None,
    /// In this file.
    File(PathBuf),
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("a journal needs a path, or `none`".to_owned()),
            "none" => Ok(Self::None),
            path => Ok(Self::File(path.into())),
        }
    }
}

#[cfg(test)]
mod tests;
