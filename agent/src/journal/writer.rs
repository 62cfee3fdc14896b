//! The thread that writes: what waits is gathered, and committed at once.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{oneshot, watch};
use tracing::{error, info, warn};

use super::{
    Backlog, JournalError, Limits,
    backlog::Reader,
    error::is_corrupt,
    place::Place,
    store::{Mark, Pruned, Store},
};
use crate::{
    account::{Account, Counter},
    contract::Delivery,
    gate,
};

/// Most spans in a commit.
const MOST_SPANS: usize = 1024;
/// What is too old goes at least that often.
const TIDY: Duration = Duration::from_secs(60);
/// Pause after a commit that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Tries at the end.
const LAST_TRIES: u32 = 3;
/// The user is told of a failure that goes on no more often than this.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Message {
    Span(Arc<Delivery>, gate::Place),
    /// An output has done with these; answered when that is on disk.
    Mark(Mark, oneshot::Sender<()>),
    /// Answered when all that came before is on disk.
    Flush(oneshot::Sender<()>),
    /// A reader thinks that the database is damaged.
    Suspect,
}

/// Told of spans when they are on disk.
type Committed = Box<dyn FnMut(&[Arc<Delivery>]) + Send>;

/// The journal of a running agent.
#[derive(Debug)]
pub struct Journal {
    messages: mpsc::Sender<Message>,
    gate: gate::Gate,
    reader: Reader,
    last: watch::Receiver<i64>,
    outputs: Vec<i64>,
    ending: Arc<AtomicBool>,
    told: AtomicBool,
    account: Arc<Account>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// Opens the journal in a file, which is made if it is missing, and starts its thread. Every span is to be delivered to each of
    /// `outputs`, and is handed to `committed` when it is on disk.
    pub fn open(
        path: &Path,
        limits: Limits,
        outputs: &[String],
        account: Arc<Account>,
        committed: Committed,
    ) -> Result<Self, JournalError> {
        let (store, aside) = Store::open(Place::take(path)?, limits, outputs.to_vec())?;
        if let Some((aside, reason)) = aside {
            account.add(Counter::JournalsDamaged, 1);
            warn!(
                "the journal {} was damaged ({reason}): it is now {}, and a new one is begun",
                path.display(),
                aside.display()
            );
        }
        let database = |reason| JournalError::Database { path: path.to_owned(), reason };
        account.add(Counter::SpansLeft, store.pending().map_err(database)?);
        let reader: Reader = Arc::new(Mutex::new(store.reader().map_err(database)?));
        let (messages, received) = mpsc::channel();
        let (last, seen) = watch::channel(0);
        let ending = Arc::new(AtomicBool::new(false));
        let ids = store.outputs().to_vec();
        let writer = Writer {
            store,
            received,
            reader: Arc::clone(&reader),
            last,
            committed,
            ending: Arc::clone(&ending),
            account: Arc::clone(&account),
            gather: limits.gather,
            warned: None,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| JournalError::Thread(error.to_string()))?;
        Ok(Self {
            messages,
            gate: gate::Gate::new(limits.waiting_spans, limits.waiting_bytes),
            reader,
            last: seen,
            outputs: ids,
            ending,
            told: AtomicBool::new(false),
            account,
            thread,
        })
    }

    /// What the output at this place of those that the journal was opened for has yet to deliver.
    pub fn backlog(&self, output: usize) -> Option<Backlog> {
        Some(Backlog {
            output: *self.outputs.get(output)?,
            reader: Arc::clone(&self.reader),
            messages: self.messages.clone(),
            committed: self.last.clone(),
            after: 0,
        })
    }

    /// Hands over a span without ever waiting; if too many wait already it is dropped, and counted.
    pub fn append(&self, delivery: Arc<Delivery>) {
        match self.gate.try_enter(delivery.span.size()) {
            Some(place) => self.tell(Message::Span(delivery, place)),
            None => self.refuse(),
        }
    }

    /// As [`Self::append`], for a source that can wait until there is room.
    pub async fn append_waiting(&self, delivery: Arc<Delivery>) {
        match self.gate.enter(delivery.span.size()).await {
            Some(place) => self.tell(Message::Span(delivery, place)),
            None => self.refuse(),
        }
    }

    /// Until every span that was handed over is on disk, or could not be written.
    pub async fn flush(&self) {
        let (answer, answered) = oneshot::channel();
        self.tell(Message::Flush(answer));
        // An error means that the thread is gone, and with it all that could be waited for.
        let _ = answered.await;
    }

    /// From now on a disk that can't be written is not waited for.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Writes what waits and closes the journal, once every [`Backlog`] is dropped.
    pub fn close(self) {
        self.end();
        drop(self.messages);
        // Whose connection is the last one takes the log into the database and removes it, if it may write.
        drop(self.reader);
        if self.thread.join().is_err() {
            error!("the journal's thread has failed: report it");
        }
    }

    fn refuse(&self) {
        self.account.add(Counter::SpansUnwritten, 1);
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!("the journal cannot keep up, its queue is full; spans are dropped and counted");
        }
    }

    fn tell(&self, message: Message) {
        if let Err(mpsc::SendError(Message::Span(..))) = self.messages.send(message) {
            self.account.add(Counter::SpansUnwritable, 1);
        }
    }
}

struct Writer {
    /// Before the store, so that it goes first.
    reader: Reader,
    store: Store,
    received: mpsc::Receiver<Message>,
    last: watch::Sender<i64>,
    committed: Committed,
    ending: Arc<AtomicBool>,
    account: Arc<Account>,
    gather: Duration,
    warned: Option<Instant>,
}

/// What one commit is to hold.
#[derive(Default)]
struct Batch {
    spans: Vec<Arc<Delivery>>,
    /// Free again when the commit is over.
    places: Vec<gate::Place>,
    marks: Vec<Mark>,
    answers: Vec<oneshot::Sender<()>>,
    suspect: bool,
}

impl Batch {
    fn take(&mut self, message: Message) {
        match message {
            Message::Span(delivery, place) => {
                self.spans.push(delivery);
                self.places.push(place);
            }
            Message::Mark(mark, answer) => {
                self.marks.push(mark);
                self.answers.push(answer);
            }
            Message::Flush(answer) => self.answers.push(answer),
            Message::Suspect => self.suspect = true,
        }
    }

    /// Somebody waits for it, or it holds enough.
    fn is_due(&self) -> bool {
        !self.answers.is_empty() || self.spans.len() >= MOST_SPANS
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            let mut batch = Batch::default();
            match self.received.recv_timeout(TIDY) {
                Ok(first) => batch.take(first),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let until = Instant::now() + self.gather;
            while batch.spans.len() < MOST_SPANS {
                // What waits already costs no time.
                let wait = if batch.is_due() || batch.spans.is_empty() {
                    Duration::ZERO
                } else {
                    until.saturating_duration_since(Instant::now())
                };
                match self.received.recv_timeout(wait) {
                    Ok(message) => batch.take(message),
                    Err(_) => break,
                }
            }
            if batch.suspect
                && let Some(reason) = self.store.damage()
            {
                self.start_anew(&reason);
            }
            self.write(&batch);
            // Who is answered finds the room that its spans took.
            drop(batch.places);
            for answer in batch.answers {
                // Whoever asked may have stopped waiting.
                let _ = answer.send(());
            }
        }
    }

    /// Commits, with as many tries as it takes while the agent runs.
    fn write(&mut self, batch: &Batch) {
        let mut tries = 0;
        loop {
            match self.store.commit(&batch.spans, &batch.marks) {
                Ok((last, pruned)) => {
                    self.count(batch.spans.len(), pruned);
                    if self.warned.take().is_some() {
                        info!("the journal is written again");
                    }
                    (self.committed)(&batch.spans);
                    if let Some(last) = last {
                        self.last.send_replace(last);
                    }
                    return;
                }
                Err(error) if is_corrupt(&error) => self.start_anew(&error.to_string()),
                Err(error) => self.warn(&error),
            }
            tries += 1;
            if self.ending.load(Ordering::Relaxed) && tries >= LAST_TRIES {
                self.account.add(Counter::SpansUnwritable, batch.spans.len() as u64);
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn count(&self, written: usize, pruned: Pruned) {
        for (counter, n) in [
            (Counter::SpansWritten, written as u64),
            (Counter::SpansGoneSize, pruned.delivered_size),
            (Counter::SpansGoneAge, pruned.delivered_age),
            (Counter::SpansLostSize, pruned.undelivered_size),
            (Counter::SpansLostAge, pruned.undelivered_age),
        ] {
            self.account.add(counter, n);
        }
    }

    /// Begins a new database in place of a damaged one. If even that can't be done, the next try does it.
    fn start_anew(&mut self, reason: &str) {
        self.account.add(Counter::JournalsDamaged, 1);
        let path = self.store.path().to_owned();
        match self.store.start_anew() {
            Ok(aside) => {
                warn!(
                    "the journal {} is damaged ({reason}): it is now {}, and a new one is begun",
                    path.display(),
                    aside.display()
                );
                match self.store.reader() {
                    Ok(reader) => *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader,
                    Err(error) => self.warn(&error),
                }
            }
            Err(error) => warn!(
                "the journal {} is damaged ({reason}), and can't be begun anew: {error}",
                path.display()
            ),
        }
    }

    fn warn(&mut self, error: &rusqlite::Error) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            warn!(
                "the journal {} can't be written ({error}): spans wait in memory until there is room; free space on its \
                 disk, or use --journal PATH",
                self.store.path().display()
            );
        }
    }
}
