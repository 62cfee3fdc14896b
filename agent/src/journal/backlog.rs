//! What of the journal one output has yet to deliver.

use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use tracing::debug;

use super::{JournalError, error::is_corrupt, store::Mark, writer::Message};
use crate::contract::{Delivery, otlp};

/// A span that is on disk.
#[derive(Debug)]
pub struct Entry {
    /// The call's id in the journal.
    pub id: i64,
    /// The span; none if what is on disk is none any more.
    pub delivery: Option<Arc<Delivery>>,
    /// Bytes that it takes there.
    pub bytes: usize,
}

/// The reading connection, which the writer replaces when it starts anew.
pub(super) type Reader = Arc<Mutex<Connection>>;

/// The spans that one output has yet to deliver, in the order in which they were written.
#[derive(Debug)]
pub struct Backlog {
    pub(super) output: i64,
    pub(super) reader: Reader,
    pub(super) messages: mpsc::Sender<Message>,
    /// The id of the last call on disk.
    pub(super) committed: watch::Receiver<i64>,
    /// Those up to here have been handed out.
    pub(super) after: i64,
}

impl Backlog {
    /// The next spans, at most so many and of so many bytes together, but one at least if there is any.
    pub async fn next(&mut self, spans: usize, bytes: usize) -> Result<Vec<Entry>, JournalError> {
        // What comes while this reads is seen as new then.
        self.committed.borrow_and_update();
        let (reader, output, after) = (Arc::clone(&self.reader), self.output, self.after);
        let read = tokio::task::spawn_blocking(move || {
            let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
            read(&db, output, after, spans, bytes)
        });
        let entries = match read.await.map_err(|error| JournalError::Thread(error.to_string()))? {
            Ok(entries) => entries,
            Err(error) => {
                if is_corrupt(&error) {
                    self.tell(Message::Suspect);
                }
                return Err(JournalError::Database { path: "of this agent".into(), reason: error });
            }
        };
        if let Some(last) = entries.last() {
            self.after = last.id;
        }
        Ok(entries)
    }

    /// Until there may be more than [`Self::next`] has seen; false when nothing comes any more.
    pub async fn more(&mut self) -> bool {
        self.committed.changed().await.is_ok()
    }

    /// These are done with; returns when that is on disk.
    pub async fn done(&self, calls: Vec<i64>) {
        let (answer, answered) = oneshot::channel();
        self.tell(Message::Mark(Mark { output: self.output, calls }, answer));
        // Without an answer the writer is gone, and the spans are delivered once more at the next start.
        let _ = answered.await;
    }

    /// Hands out again what comes after this call.
    pub fn back_to(&mut self, after: i64) {
        self.after = after;
    }

    /// How many spans are left, delivered in part or not at all.
    pub async fn left(&self) -> u64 {
        let (reader, output) = (Arc::clone(&self.reader), self.output);
        let counted = tokio::task::spawn_blocking(move || {
            let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
            db.query_row("SELECT count(*) FROM pending WHERE output = ?1", [output], |row| {
                row.get::<_, i64>(0)
            })
        });
        counted.await.ok().and_then(Result::ok).unwrap_or(0) as u64
    }

    fn tell(&self, message: Message) {
        if self.messages.send(message).is_err() {
            debug!("the journal's thread is gone");
        }
    }
}

fn read(
    db: &Connection,
    output: i64,
    after: i64,
    spans: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = db.prepare_cached(
        "SELECT call, otlp FROM pending LEFT JOIN spans ON spans.id = pending.call
         WHERE output = ?1 AND call > ?2 ORDER BY call LIMIT ?3",
    )?;
    let mut rows = statement.query((output, after, spans as i64))?;
    let mut entries = Vec::new();
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let stored = row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default();
        total += stored.len();
        if total > bytes && !entries.is_empty() {
            break;
        }
        let delivery = otlp::decode(stored)
            .inspect_err(|error| debug!(%error, "a span in the journal can't be read"))
            .ok()
            .map(Arc::new);
        entries.push(Entry { id: row.get(0)?, delivery, bytes: stored.len() });
    }
    Ok(entries)
}
