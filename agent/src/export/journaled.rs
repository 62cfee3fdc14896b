//! The task of an exporter behind the journal: it delivers what is on disk, marks what it has done with, and keeps the rest.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{info, warn};

use super::{
    Exporter, Failure, backoff,
    backoff::{FIRST_PAUSE, LONGEST_PAUSE, WARN_EVERY},
    outputs::Tally,
};
use crate::{
    account::{Account, Counter},
    journal::{Backlog, Entry},
};

pub(super) struct Journaled {
    exporter: Box<dyn Exporter>,
    backlog: Backlog,
    draining: watch::Receiver<bool>,
    tally: Arc<Tally>,
    account: Arc<Account>,
    pause: Duration,
    warned: Option<Instant>,
    /// The user knows that it fails.
    told: bool,
}

impl Journaled {
    pub fn new(
        exporter: Box<dyn Exporter>,
        backlog: Backlog,
        draining: watch::Receiver<bool>,
        tally: Arc<Tally>,
        account: Arc<Account>,
    ) -> Self {
        Self { exporter, backlog, draining, tally, account, pause: FIRST_PAUSE, warned: None, told: false }
    }

    /// Runs until it is to end and there is nothing left, or nothing more can be delivered.
    pub async fn run(mut self) {
        let limits = self.exporter.batching();
        loop {
            match self.backlog.next(limits.spans, limits.bytes).await {
                Ok(entries) if entries.is_empty() => {
                    if self.is_last() {
                        break;
                    }
                    tokio::select! {
                        more = self.backlog.more() => if !more { break },
                        _ = self.draining.changed() => continue,
                    }
                    // The first one waits for others.
                    let _ = timeout(limits.delay, self.draining.changed()).await;
                }
                Ok(entries) => {
                    if !self.deliver(entries).await {
                        break;
                    }
                }
                Err(error) => {
                    self.warn(&error.to_string(), true);
                    if !self.rest(None).await {
                        break;
                    }
                }
            }
        }
        self.exporter.shutdown().await;
    }

    /// Without its [`super::Outputs`] there is nobody left to end it.
    fn is_last(&mut self) -> bool {
        *self.draining.borrow_and_update() || self.draining.has_changed().is_err()
    }

    /// One try. False if it was the last.
    async fn deliver(&mut self, entries: Vec<Entry>) -> bool {
        let (mut ids, mut deliveries, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match entry.delivery {
                Some(delivery) => {
                    ids.push(entry.id);
                    deliveries.push(delivery);
                }
                None => unreadable.push(entry.id),
            }
        }
        if !unreadable.is_empty() {
            self.account.add(Counter::SpansUnreadable, unreadable.len() as u64);
            self.backlog.done(unreadable).await;
        }
        if deliveries.is_empty() {
            return true;
        }
        // Whoever is told to end while this goes on has had a try less.
        let last = self.is_last();
        let Err(Failure { retry, lost, error, after }) = self.exporter.export(&deliveries).await else {
            self.delivered(ids.len());
            self.backlog.done(ids).await;
            self.recovered();
            return true;
        };
        self.delivered(ids.len().saturating_sub(retry.len() + lost));
        self.tally.failed.fetch_add(lost as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansFailed, lost as u64);
        let error = error.to_string();
        self.warn(&error, !retry.is_empty());
        *self.tally.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        let first = retry.first().and_then(|at| ids.get(*at)).copied();
        let mut at = 0;
        ids.retain(|_| {
            at += 1;
            retry.binary_search(&(at - 1)).is_err()
        });
        if !ids.is_empty() {
            self.backlog.done(ids).await;
        }
        let Some(first) = first else { return true };
        self.backlog.back_to(first - 1);
        !last && self.rest(after).await
    }

    /// Waits before the next try, for as long as the other side asks, else longer each time. False at the end.
    async fn rest(&mut self, after: Option<Duration>) -> bool {
        if self.is_last() {
            return false;
        }
        let wait = after.unwrap_or_else(|| backoff::jittered(self.pause));
        // At the end there is no time for pauses, but for one more try.
        let _ = timeout(wait, self.draining.changed()).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }

    fn delivered(&self, spans: usize) {
        self.tally.delivered.fetch_add(spans as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansDelivered, spans as u64);
    }

    fn warn(&mut self, error: &str, kept: bool) {
        if self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        self.told = true;
        self.tally.told.store(true, Ordering::Relaxed);
        let what = if kept {
            "spans are kept in the journal and tried again"
        } else {
            "spans are lost, and counted"
        };
        warn!("{}: {error}; {what}", self.exporter.name());
    }

    fn recovered(&mut self) {
        self.pause = FIRST_PAUSE;
        if std::mem::take(&mut self.told) {
            info!("{}: delivers again", self.exporter.name());
        }
    }
}
