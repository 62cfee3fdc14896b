//! The content of each call in a file of its own, to which its span refers (`plainspan.content.reference`).

mod shelf;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Batching, BoxFuture, ExportError, Exporter, Failure, OpenError};
use crate::{
    account::Account,
    contract::{Delivery, document},
    time::Timestamp,
};
use shelf::Shelf;

/// How often it is looked for files that are too old.
const SWEEP: Duration = Duration::from_secs(60);

/// Where the content of calls is written to, and how much of it is kept.
#[derive(Clone, Debug)]
pub struct ContentSettings {
    /// The directory.
    pub directory: PathBuf,
    /// Most bytes of all files in it.
    pub bytes: u64,
    /// How long a file is kept.
    pub age: Duration,
}

/// Writes the content of calls to files that only their owner may read.
#[derive(Debug)]
pub struct ContentFiles {
    name: String,
    kept_as: String,
    shelf: Arc<Mutex<Shelf>>,
}

impl ContentFiles {
    /// Opens the directory, or makes it for its owner only. Needs a tokio runtime, on which what is too old is removed from time to time.
    ///
    /// # Errors
    /// A directory that can't be made or read.
    pub fn open(settings: &ContentSettings, account: Arc<Account>) -> Result<Self, OpenError> {
        let shelf = Shelf::open(settings, account).map_err(|reason| OpenError::File {
            path: settings.directory.display().to_string(),
            reason,
            remedy: "name a directory that you may write with --content-dir",
        })?;
        let kept_as = format!("content:{}", shelf.directory().display());
        let shelf = Arc::new(Mutex::new(shelf));
        let swept = Arc::downgrade(&shelf);
        tokio::spawn(async move {
            while let Some(shelf) = swept.upgrade() {
                let sweeping = tokio::task::spawn_blocking(move || locked(&shelf).sweep(Timestamp::now()));
                if sweeping.await.is_err() {
                    return;
                }
                tokio::time::sleep(SWEEP).await;
            }
        });
        Ok(Self { name: format!("content:{}", settings.directory.display()), kept_as, shelf })
    }
}

fn locked(shelf: &Mutex<Shelf>) -> std::sync::MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Exporter for ContentFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn kept_as(&self) -> Option<String> {
        Some(self.kept_as.clone())
    }

    fn batching(&self) -> Batching {
        Batching { spans: 512, bytes: 8 << 20, delay: Duration::ZERO }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        let (files, batch) = (Arc::clone(&self.shelf), batch.to_vec());
        Box::pin(async move {
            let len = batch.len();
            let written = tokio::task::spawn_blocking(move || write(&mut locked(&files), &batch));
            written.await.unwrap_or_else(|error| {
                let error = io::Error::other(error).into();
                Err(Failure { retry: (0..len).collect(), lost: 0, error, after: None })
            })
        })
    }
}

/// Writes what these calls have of content; when it returns without an error, it is on disk.
fn write(shelf: &mut Shelf, batch: &[Arc<Delivery>]) -> Result<(), Failure> {
    let (mut lost, mut error) = (0, None);
    let mut wrote = false;
    for (at, delivery) in batch.iter().enumerate() {
        let Some((name, text)) = document(delivery) else { continue };
        match shelf.put(Path::new(&name), &text) {
            Ok(true) => wrote = true,
            Ok(false) => {
                lost += 1;
                error = Some(ExportError::Full(shelf.directory().display().to_string()));
            }
            // There may be room again, and what is written once more is the same.
            Err(error) => {
                let retry = (at..batch.len()).collect();
                return Err(Failure { retry, lost, error: error.into(), after: None });
            }
        }
    }
    if wrote && let Err(error) = shelf.sync() {
        return Err(Failure { retry: (0..batch.len()).collect(), lost: 0, error: error.into(), after: None });
    }
    error.map_or(Ok(()), |error| Err(Failure { retry: Vec::new(), lost, error, after: None }))
}

#[cfg(test)]
mod tests;
