//! What can go wrong with a journal.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a journal can't be used. Each message ends with what to do.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Another agent writes to it.
    #[error(
        "the journal {path} is in use by {holder}: end that one, or give this one its own with --journal PATH, or \
         --journal none"
    )]
    InUse {
        /// Its path.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// It lies behind a symbolic link.
    #[error(
        "the journal {0} is a symbolic link, which is not followed: name the place itself with --journal PATH"
    )]
    Symlink(PathBuf),
    /// It is not the agent's, or others may change it.
    #[error(
        "the journal {path} can't be trusted, {reason}: remove it, or choose another path with --journal PATH"
    )]
    Untrusted {
        /// Its path.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It was written by a later version.
    #[error(
        "the journal {path} was written by a later plainspan (its form is {found}, this one knows {known}): use that \
         one, or choose another path with --journal PATH"
    )]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Version of its schema.
        found: i64,
        /// The last one known here.
        known: i64,
    },
    /// There is none.
    #[error("there is no journal at {path}: {remedy}")]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// Where it may be instead.
        remedy: &'static str,
    },
    /// The operating system refused.
    #[error(
        "cannot keep a journal at {path}: {reason}; choose another path with --journal PATH, or --journal none"
    )]
    File {
        /// The path.
        path: PathBuf,
        /// Why; part of the message, and so no source of its own.
        reason: io::Error,
    },
    /// The database refused.
    #[error("the journal {path}: {reason}; is its disk full, or can it not be written?")]
    Database {
        /// Its path.
        path: PathBuf,
        /// Why; part of the message, and so no source of its own.
        reason: rusqlite::Error,
    },
    /// The thread that writes could not be started, or is gone.
    #[error("the journal's thread can't be had: {0}")]
    Thread(String),
}

/// Does the error say that the file is damaged, or no database at all?
pub(super) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
    )
}
