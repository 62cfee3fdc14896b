//! The journal as a history: what was kept, read by anybody who may.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Condition, JournalError, place, schema, store};
use crate::contract::{Delivery, otlp};

/// Which calls are wanted: those for which all that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The model that was asked for or that answered; `*` and `?` are SQLite's `GLOB`.
    pub model: Option<String>,
    /// Name of the service, a pattern likewise.
    pub service: Option<String>,
    /// Provider, as in `gen_ai.provider.name`.
    pub provider: Option<String>,
    /// Operation, as in `gen_ai.operation.name`.
    pub operation: Option<String>,
    /// Did it fail?
    pub failed: Option<bool>,
    /// Id of a trace, in hexadecimal.
    pub trace: Option<String>,
    /// The call began then or later, in nanoseconds since the Unix epoch.
    pub since: Option<i64>,
    /// It began before then, likewise.
    pub until: Option<i64>,
    /// It took at least so many nanoseconds.
    pub longer: Option<i64>,
    /// What else holds for it.
    pub conditions: Vec<Condition>,
}

/// A call that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its id in the journal.
    pub id: i64,
    /// Its span.
    pub delivery: Delivery,
}

/// The journal, read only.
#[derive(Debug)]
pub struct History {
    pub(super) db: Connection,
    path: std::path::PathBuf,
}

const WANTED: &str = "
    (?1 IS NULL OR model GLOB ?1 OR response_model GLOB ?1) AND (?2 IS NULL OR service GLOB ?2)
    AND (?3 IS NULL OR provider = ?3) AND (?4 IS NULL OR operation = ?4) AND (?5 IS NULL OR status = ?5)
    AND (?6 IS NULL OR trace_id = ?6) AND (?7 IS NULL OR start_ns >= ?7) AND (?8 IS NULL OR start_ns < ?8)
    AND (?9 IS NULL OR duration_ns >= ?9)";

impl History {
    /// Opens the journal in a file, which an agent may be writing to.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let missing = || JournalError::Missing {
            path: path.to_owned(),
            remedy: "none was kept yet, or it is elsewhere (--journal PATH); root's, as of sudo, is only root's to read",
        };
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
            Err(reason) => return Err(JournalError::File { path: path.to_owned(), reason }),
            Ok(_) => {}
        }
        let path = place::resolved(path, false)?;
        place::check(&path)?;
        let failed = |reason| JournalError::Database { path: path.clone(), reason };
        let db = store::reader(&path).map_err(failed)?;
        match schema::version(&db).map_err(failed)? {
            Some(schema::VERSION) => Ok(Self { db, path }),
            Some(found) => Err(JournalError::Newer { path, found, known: schema::VERSION }),
            None => Err(JournalError::Untrusted { path, reason: "it is no journal".to_owned() }),
        }
    }

    /// The last calls that are wanted, at most so many, in the order in which they ended.
    pub fn last(&self, filter: &Filter, most: usize) -> Result<Vec<Kept>, JournalError> {
        let mut kept = self.select(filter, "DESC", i64::MIN, most)?;
        kept.reverse();
        Ok(kept)
    }

    /// The calls that are wanted after the one with this id, at most so many.
    pub fn after(&self, id: i64, filter: &Filter, most: usize) -> Result<Vec<Kept>, JournalError> {
        self.select(filter, "ASC", id, most)
    }

    /// Hands over the calls that are wanted, from the last one back, until no more are.
    pub fn each(&self, filter: &Filter, take: &mut dyn FnMut(Kept) -> bool) -> Result<(), JournalError> {
        self.walk(filter, "DESC", i64::MIN, take)
    }

    /// One call.
    pub fn get(&self, id: i64) -> Result<Option<Kept>, JournalError> {
        Ok(self.after(id.saturating_sub(1), &Filter::default(), 1)?.into_iter().find(|kept| kept.id == id))
    }

    /// The id of the newest call; 0 if there is none.
    pub fn newest(&self) -> Result<i64, JournalError> {
        let newest = self.db.query_row("SELECT coalesce(max(id), 0) FROM calls", [], |row| row.get(0));
        newest.map_err(|reason| JournalError::Database { path: self.path.clone(), reason })
    }

    fn select(
        &self,
        filter: &Filter,
        order: &str,
        after: i64,
        most: usize,
    ) -> Result<Vec<Kept>, JournalError> {
        let mut kept = Vec::new();
        if most > 0 {
            self.walk(filter, order, after, &mut |call| {
                kept.push(call);
                kept.len() < most
            })?;
        }
        Ok(kept)
    }

    fn walk(
        &self,
        filter: &Filter,
        order: &str,
        after: i64,
        take: &mut dyn FnMut(Kept) -> bool,
    ) -> Result<(), JournalError> {
        let mut read = || {
            let mut statement = self.db.prepare_cached(&format!(
                "SELECT calls.id, otlp FROM calls JOIN spans ON spans.id = calls.id WHERE {WANTED} AND calls.id > ?10
                 ORDER BY calls.id {order}"
            ))?;
            let status = filter.failed.map(|failed| if failed { "error" } else { "ok" });
            let mut rows = statement.query(params![
                filter.model,
                filter.service,
                filter.provider,
                filter.operation,
                status,
                filter.trace.as_ref().map(|id| id.to_ascii_lowercase()),
                filter.since,
                filter.until,
                filter.longer,
                after,
            ])?;
            while let Some(row) = rows.next()? {
                // One that can't be read any more is left out: the exporters count it.
                let Ok(delivery) = otlp::decode(row.get_ref(1)?.as_blob()?) else { continue };
                let wanted = filter.conditions.iter().all(|condition| condition.holds(&delivery));
                if wanted && !take(Kept { id: row.get(0)?, delivery }) {
                    break;
                }
            }
            Ok(())
        };
        read().map_err(|reason| JournalError::Database { path: self.path.clone(), reason })
    }
}
