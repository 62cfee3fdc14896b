//! The database itself, as its one writer has it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, config::DbConfig, params,
};
use tracing::warn;

use super::{
    JournalError, Limits,
    error::is_corrupt,
    place::Place,
    record,
    schema::{self, Found},
};
use crate::{
    contract::{Delivery, otlp},
    time::Timestamp,
};

/// How long another connection may keep the database from this one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements that are kept compiled: all there are.
const STATEMENTS: usize = 32;
/// Calls that are let go at a time, until there is room.
const STEP: i64 = 32;
/// Most calls that are let go in one commit for their age; the next one goes on.
const MOST_AGED: i64 = 4096;
/// Least size that is kept to: less would not hold the tables.
pub(super) const LEAST_BYTES: u64 = 1 << 20;

/// What an output has done with.
#[derive(Debug)]
pub(super) struct Mark {
    pub output: i64,
    pub calls: Vec<i64>,
}

/// What was let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    /// Calls that every output had, for the size.
    pub delivered_size: u64,
    /// Calls that every output had, for their age.
    pub delivered_age: u64,
    /// Spans that an output did not have, once for each, for the size.
    pub undelivered_size: u64,
    /// Spans that an output did not have, once for each, for their age.
    pub undelivered_age: u64,
}

/// The writer's connection.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    place: Place,
    limits: Limits,
    /// Ids of those that are to get every span.
    outputs: Vec<i64>,
    /// The id of the last call that was written.
    last: i64,
    names: Vec<String>,
}

impl Store {
    /// Opens or makes it, for these outputs. A damaged one is moved aside; the second value then says where it is, and why.
    pub fn open(
        place: Place,
        limits: Limits,
        names: Vec<String>,
    ) -> Result<(Self, Option<(PathBuf, String)>), JournalError> {
        let failed = |path: &PathBuf, reason| JournalError::Database { path: path.clone(), reason };
        let path = place.path.clone();
        let begin = || {
            let mut db = connect(&path)?;
            Ok((schema::migrate(&mut db, now_s())?, db))
        };
        let (db, aside) = match begin() {
            Ok((found, db)) => (known(&path, found, db)?, None),
            Err(error) if is_corrupt(&error) => {
                let moved =
                    place.move_aside().map_err(|reason| JournalError::File { path: path.clone(), reason })?;
                let (found, db) = begin().map_err(|reason| failed(&path, reason))?;
                (known(&path, found, db)?, Some((moved, error.to_string())))
            }
            Err(reason) => return Err(failed(&path, reason)),
        };
        let mut store = Self { db, place, limits, outputs: Vec::new(), last: 0, names };
        store.register().map_err(|reason| failed(&path, reason))?;
        Ok((store, aside))
    }

    /// Starts anew after the database was found damaged. Where it was moved.
    pub fn start_anew(&mut self) -> Result<PathBuf, JournalError> {
        let path = self.place.path.clone();
        // Without a connection, nothing writes to the files that are moved.
        self.db = Connection::open_in_memory()
            .map_err(|reason| JournalError::Database { path: path.clone(), reason })?;
        let moved =
            self.place.move_aside().map_err(|reason| JournalError::File { path: path.clone(), reason })?;
        let opened = connect(&path).and_then(|mut db| {
            schema::migrate(&mut db, now_s())?;
            // Whoever has read up to an id looks for greater ones.
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('calls', ?1)", [self.last])?;
            self.db = db;
            self.register()
        });
        opened.map_err(|reason| JournalError::Database { path, reason })?;
        Ok(moved)
    }

    /// A connection that can only read, and sees what is committed.
    pub fn reader(&self) -> rusqlite::Result<Connection> {
        reader(&self.place.path)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.place.path
    }

    /// The ids of the outputs, in their order.
    pub fn outputs(&self) -> &[i64] {
        &self.outputs
    }

    /// Does the database say that it is damaged?
    pub fn damage(&self) -> Option<String> {
        let found: rusqlite::Result<String> =
            self.db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        match found {
            Ok(said) if said == "ok" => None,
            Ok(said) => Some(said),
            Err(error) => is_corrupt(&error).then(|| error.to_string()),
        }
    }

    /// How many spans wait for the outputs, once for each.
    pub fn pending(&self) -> rusqlite::Result<u64> {
        let mut statement = self.db.prepare_cached("SELECT count(*) FROM pending WHERE output = ?1")?;
        self.outputs.iter().try_fold(0, |sum, output| {
            Ok(sum + statement.query_row([output], |row| row.get::<_, i64>(0))? as u64)
        })
    }

    /// Writes spans and marks, all or nothing; when it returns they are on disk. What had to go is gone, too. The id of the last
    /// call.
    pub fn commit(
        &mut self,
        spans: &[Arc<Delivery>],
        marks: &[Mark],
    ) -> rusqlite::Result<(Option<i64>, Pruned)> {
        let now = now_s();
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last = append(&transaction, spans, now, &self.outputs)?;
        for mark in marks {
            settle(&transaction, mark)?;
        }
        let pruned = prune(&transaction, &self.limits, now)?;
        transaction.commit()?;
        self.last = last.unwrap_or(self.last);
        Ok((last, pruned))
    }

    fn register(&mut self) -> rusqlite::Result<()> {
        self.outputs.clear();
        for name in &self.names {
            self.db.execute("INSERT OR IGNORE INTO outputs (name) VALUES (?1)", [name])?;
            let id = self.db.query_row("SELECT id FROM outputs WHERE name = ?1", [name], |row| row.get(0))?;
            self.outputs.push(id);
        }
        Ok(())
    }
}

/// A connection that can only read.
pub(super) fn reader(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    harden(&db)?;
    db.busy_timeout(PATIENCE)?;
    Ok(db)
}

fn connect(path: &std::path::Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    harden(&db)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // In WAL mode NORMAL would lose the last commits in a power cut; FULL waits for the disk with each (sqlite.org/pragma.html#pragma_synchronous).
    db.pragma_update(None, "synchronous", "FULL")?;
    // After a checkpoint the log gives back what it took beyond that.
    db.pragma_update(None, "journal_size_limit", 8 << 20)?;
    Ok(db)
}

/// The file may have been made by somebody else: nothing in it is run, and nothing believed (sqlite.org/security.html).
fn harden(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.pragma_update(None, "cell_size_check", true)
}

fn known(path: &std::path::Path, found: Found, db: Connection) -> Result<Connection, JournalError> {
    match found {
        Found::Journal => Ok(db),
        Found::Newer(found) => {
            Err(JournalError::Newer { path: path.to_owned(), found, known: schema::VERSION })
        }
        Found::Foreign => Err(JournalError::Untrusted {
            path: path.to_owned(),
            reason: "it is the database of another program".to_owned(),
        }),
    }
}

fn append(
    transaction: &Transaction<'_>,
    spans: &[Arc<Delivery>],
    now: i64,
    outputs: &[i64],
) -> rusqlite::Result<Option<i64>> {
    let mut call = transaction.prepare_cached(record::INSERT_CALL)?;
    let mut span = transaction.prepare_cached("INSERT INTO spans (id, otlp) VALUES (?1, ?2)")?;
    let mut pending = transaction.prepare_cached("INSERT INTO pending (output, call) VALUES (?1, ?2)")?;
    let mut last = None;
    for delivery in spans {
        let id = record::insert(&mut call, delivery, now, outputs.len() as i64)?;
        span.execute(params![id, otlp::encode(delivery)])?;
        for output in outputs {
            pending.execute((output, id))?;
        }
        last = Some(id);
    }
    Ok(last)
}

/// A call that was let go meanwhile has nothing left to mark.
fn settle(transaction: &Transaction<'_>, mark: &Mark) -> rusqlite::Result<()> {
    let mut taken = transaction.prepare_cached("DELETE FROM pending WHERE output = ?1 AND call = ?2")?;
    let mut waiting = transaction.prepare_cached("UPDATE calls SET waiting = waiting - 1 WHERE id = ?1")?;
    for call in &mark.calls {
        if taken.execute((mark.output, call))? > 0 {
            waiting.execute([call])?;
        }
    }
    Ok(())
}

/// Lets calls go that are too old, and then as many as it takes: of those that every output had the oldest first, then the
/// oldest.
fn prune(transaction: &Transaction<'_>, limits: &Limits, now: i64) -> rusqlite::Result<Pruned> {
    let mut pruned = Pruned::default();
    let oldest = now - i64::try_from(limits.age.as_secs()).unwrap_or(i64::MAX).min(now);
    let first = transaction
        .prepare_cached("SELECT stored_s FROM calls ORDER BY id LIMIT 1")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    if first.is_some_and(|stored| stored < oldest) {
        let aged = ids(
            transaction,
            "SELECT id FROM (SELECT id, stored_s FROM calls ORDER BY id LIMIT ?2) WHERE stored_s < ?1",
            (oldest, MOST_AGED),
        )?;
        let (delivered, undelivered) = remove(transaction, &aged)?;
        pruned.delivered_age += delivered;
        pruned.undelivered_age += undelivered;
    }
    let limit = limits.bytes.max(LEAST_BYTES);
    if used(transaction)? <= limit {
        return Ok(pruned);
    }
    // A little more than has to go, so that the next commit does not begin here again.
    while used(transaction)? > limit - limit / 16 {
        let mut gone =
            ids(transaction, "SELECT id FROM calls WHERE waiting = 0 ORDER BY id LIMIT ?1", [STEP])?;
        if gone.is_empty() {
            gone = ids(transaction, "SELECT id FROM calls ORDER BY id LIMIT ?1", [STEP])?;
        }
        if gone.is_empty() {
            break;
        }
        let (delivered, undelivered) = remove(transaction, &gone)?;
        pruned.delivered_size += delivered;
        pruned.undelivered_size += undelivered;
    }
    Ok(pruned)
}

/// How many of these calls every output had, and how many spans an output had not, once for each.
fn remove(transaction: &Transaction<'_>, calls: &[i64]) -> rusqlite::Result<(u64, u64)> {
    let outputs = ids(transaction, "SELECT id FROM outputs", [])?;
    let mut pending = transaction.prepare_cached("DELETE FROM pending WHERE output = ?1 AND call = ?2")?;
    let mut call = transaction.prepare_cached("DELETE FROM calls WHERE id = ?1")?;
    let mut span = transaction.prepare_cached("DELETE FROM spans WHERE id = ?1")?;
    let (mut delivered, mut undelivered) = (0, 0);
    for id in calls {
        let mut missed = 0;
        for output in &outputs {
            missed += pending.execute((output, id))? as u64;
        }
        call.execute([id])?;
        span.execute([id])?;
        delivered += u64::from(missed == 0);
        undelivered += missed;
    }
    Ok((delivered, undelivered))
}

fn ids(
    transaction: &Transaction<'_>,
    statement: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<i64>> {
    transaction.prepare_cached(statement)?.query_map(parameters, |row| row.get(0))?.collect()
}

/// Bytes of the database that hold something.
fn used(db: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    Ok(((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?) as u64)
}

/// The time, in seconds since the Unix epoch.
pub(super) fn now_s() -> i64 {
    i64::try_from(Timestamp::now().0 / 1_000_000_000).unwrap_or(i64::MAX)
}

impl Drop for Store {
    fn drop(&mut self) {
        // What is in the log goes into the database now and not when somebody reads it.
        if let Err(error) = self.db.pragma_query(None, "wal_checkpoint", |_| Ok(())) {
            warn!(%error, "the journal's log could not be taken into the journal; the next agent does it");
        }
    }
}
