//! Examines files beside the capture: a large program takes a second, and the ring must be emptied meanwhile.

use std::{
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    cache::Cache,
    examine::{Examined, examine, examine_symbols},
    identity::Identity,
};

/// Threads that search files. Two, so that a library need not wait for a program of hundreds of megabytes; no more, for
/// the processors belong to what is watched. One more looks at what is known, and at symbols, and waits for nobody.
const SEARCHERS: usize = 2;

/// A file to be examined.
struct Job {
    identity: Identity,
    file: File,
}

/// A file that was examined.
pub struct Done {
    /// Which one.
    pub(super) identity: Identity,
    /// Open: the way that led to it may be gone.
    pub(super) file: File,
    /// What it holds; nothing if it was written to meanwhile.
    pub(super) examined: Option<Arc<Examined>>,
    /// Whether that is all, or more may be found.
    pub(super) whole: bool,
}

/// The threads that examine.
pub(super) struct Examiner {
    jobs: Option<Sender<Job>>,
    done: UnboundedReceiver<Done>,
    cache: Arc<Cache>,
}

impl Examiner {
    /// Starts the threads.
    pub(super) fn start(cache: Cache) -> io::Result<Self> {
        let cache = Arc::new(cache);
        let (jobs, queue) = mpsc::channel();
        let (unknown, to_search) = mpsc::channel();
        let to_search = Arc::new(Mutex::new(to_search));
        let (finished, done) = unbounded_channel();
        for _ in 0..SEARCHERS {
            let (queue, finished, cache) = (Arc::clone(&to_search), finished.clone(), Arc::clone(&cache));
            spawn("search", move || search(&queue, &finished, &cache))?;
        }
        let known = Arc::clone(&cache);
        spawn("examine", move || glance(&queue, &unknown, &finished, &known))?;
        Ok(Self { jobs: Some(jobs), done, cache })
    }

    /// Asks for a file. Both queues hold as much as was asked for: the caller bounds it.
    pub(super) fn ask(&self, identity: Identity, file: File) {
        if let Some(jobs) = &self.jobs {
            // The threads end only when this end of the queue is gone.
            let _ = jobs.send(Job { identity, file });
        }
    }

    /// The next file that was examined; waits for ever if none was asked for.
    pub(super) async fn next(&mut self) -> Done {
        match self.done.recv().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// The next one that is there now.
    pub(super) fn try_next(&mut self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// The next one, for who may wait.
    #[cfg(test)]
    pub(super) fn wait(&mut self) -> Done {
        self.done.blocking_recv().unwrap()
    }
}

impl Drop for Examiner {
    fn drop(&mut self) {
        self.jobs = None;
        self.cache.keep(true);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

/// Answers what is known, tells what symbols say, and hands on what must be searched.
fn glance(jobs: &Receiver<Job>, unknown: &Sender<Job>, finished: &UnboundedSender<Done>, cache: &Cache) {
    // It ends when nobody asks any more; and whoever has gone needs no answer.
    for Job { identity, file } in jobs {
        if let Some(known) = cache.get(&identity, &file) {
            let _ = finished.send(Done { identity, file, examined: Some(known), whole: true });
            continue;
        }
        let examined = examine_symbols(&file);
        if !examined.findings.is_empty()
            && let Ok(file) = file.try_clone()
        {
            let _ = finished.send(Done { identity, file, examined: Some(Arc::new(examined)), whole: false });
        }
        let _ = unknown.send(Job { identity, file });
    }
}

fn search(queue: &Mutex<Receiver<Job>>, finished: &UnboundedSender<Done>, cache: &Cache) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { identity, file }) = job else { return };
        let examined = look(&identity, &file, cache);
        if finished.send(Done { identity, file, examined, whole: true }).is_err() {
            return;
        }
        cache.keep(false);
    }
}

/// What the file holds, from the cache if it is known; none if it was written to meanwhile.
pub(super) fn look(identity: &Identity, file: &File, cache: &Cache) -> Option<Arc<Examined>> {
    if let Some(known) = cache.get(identity, file) {
        return Some(known);
    }
    let examined = Arc::new(examine(file));
    // What was read while it was written is of no version.
    if Identity::of(file).ok()? != *identity {
        return None;
    }
    cache.put(*identity, file, Arc::clone(&examined));
    Some(examined)
}
