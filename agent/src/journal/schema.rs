//! The tables, and how older ones become newer ones.

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

/// Marks the database as a journal (sqlite.org/pragma.html#pragma_application_id): "span".
pub(super) const APPLICATION: i32 = 0x7370_616e;

/// Each step, from the first on; one that was released never changes.
const MIGRATIONS: &[(&str, &str)] = &[(
    "calls, their spans, and what is to be delivered",
    "
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        stored_s INTEGER NOT NULL,
        start_ns INTEGER NOT NULL,
        duration_ns INTEGER NOT NULL,
        trace_id TEXT NOT NULL,
        span_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        service TEXT,
        pid INTEGER,
        container_id TEXT,
        operation TEXT,
        provider TEXT,
        model TEXT,
        response_model TEXT,
        server TEXT,
        status TEXT NOT NULL,
        error_type TEXT,
        http_status INTEGER,
        finish_reason TEXT,
        stream INTEGER,
        first_chunk_s REAL,
        input_tokens INTEGER,
        output_tokens INTEGER,
        cached_tokens INTEGER,
        conversation TEXT,
        degraded TEXT,
        source TEXT,
        waiting INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX calls_start ON calls (start_ns);
    CREATE INDEX calls_trace ON calls (trace_id);
    CREATE INDEX calls_delivered ON calls (id) WHERE waiting = 0;
    CREATE TABLE spans (id INTEGER PRIMARY KEY, otlp BLOB NOT NULL) STRICT;
    CREATE TABLE outputs (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE pending (
        output INTEGER NOT NULL,
        call INTEGER NOT NULL,
        PRIMARY KEY (output, call)
    ) STRICT, WITHOUT ROWID;
    ",
)];

/// The version that this agent writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// What a database is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A journal of this version, perhaps just made so.
    Journal,
    /// A journal of a later version.
    Newer(i64),
    /// Of another program.
    Foreign,
}

/// The version of a journal; none if it is none.
pub(super) fn version(db: &Connection) -> rusqlite::Result<Option<i64>> {
    let application: i32 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION {
        return Ok(None);
    }
    db.query_row("SELECT max(version) FROM migrations", [], |row| row.get(0)).optional()
}

/// Makes an empty database a journal, and an older journal one of this version, all or nothing.
pub(super) fn migrate(db: &mut Connection, now_s: i64) -> rusqlite::Result<Found> {
    let version = match version(db)? {
        Some(version) => version,
        None if is_empty(db)? => 0,
        None => return Ok(Found::Foreign),
    };
    if version > VERSION {
        return Ok(Found::Newer(version));
    }
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version == 0 {
        begin(&transaction)?;
    }
    for (number, (what, statements)) in (1..).zip(MIGRATIONS).skip(version as usize) {
        transaction.execute_batch(statements)?;
        transaction.execute("INSERT INTO migrations VALUES (?1, ?2, ?3)", (number, what, now_s))?;
    }
    transaction.commit()?;
    Ok(Found::Journal)
}

fn begin(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.execute_batch(
        "CREATE TABLE migrations (
            version INTEGER PRIMARY KEY, what TEXT NOT NULL, applied_s INTEGER NOT NULL
        ) STRICT;",
    )
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_has_every_step_and_an_old_one_gets_no_step_twice() {
        let mut db = Connection::open_in_memory().unwrap();
        for now in [7, 8] {
            assert_eq!(migrate(&mut db, now).unwrap(), Found::Journal);
            let steps: Vec<(i64, i64)> = db
                .prepare("SELECT version, applied_s FROM migrations ORDER BY version")
                .unwrap()
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(steps, (1..=VERSION).map(|n| (n, 7)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_no_journal_of_ours_is_left_alone() {
        let mut db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE bookmarks (url)").unwrap();
        assert_eq!(migrate(&mut db, 0).unwrap(), Found::Foreign);

        let mut db = Connection::open_in_memory().unwrap();
        migrate(&mut db, 0).unwrap();
        db.execute("INSERT INTO migrations VALUES (?1, 'of the future', 0)", [VERSION + 1]).unwrap();
        assert_eq!(migrate(&mut db, 0).unwrap(), Found::Newer(VERSION + 1));
    }
}
