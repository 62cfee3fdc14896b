//! The task of an exporter behind the journal: it delivers what is on disk, marks what it has done with, and keeps the rest.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    Exporter, backoff,
    backoff::{FIRST_PAUSE, LONGEST_PAUSE},
    ledger::{Ledger, is_ending},
    outputs::Tally,
};
use crate::{
    account::Account,
    journal::{Backlog, Entry},
};

pub(super) struct Journaled {
    exporter: Box<dyn Exporter>,
    backlog: Backlog,
    draining: watch::Receiver<bool>,
    ledger: Ledger,
    pause: Duration,
}

impl Journaled {
    pub fn new(
        exporter: Box<dyn Exporter>,
        backlog: Backlog,
        draining: watch::Receiver<bool>,
        tally: Arc<Tally>,
        account: Arc<Account>,
    ) -> Self {
        let kept = "spans are kept in the journal and tried again";
        let ledger = Ledger::new(exporter.name(), kept, tally, account);
        Self { exporter, backlog, draining, ledger, pause: FIRST_PAUSE }
    }

    /// Runs until it is to end and there is nothing left, or nothing more can be delivered.
    pub async fn run(mut self) {
        let limits = self.exporter.batching();
        loop {
            match self.backlog.next(limits.spans, limits.bytes).await {
                Ok(entries) if entries.is_empty() => {
                    if is_ending(&mut self.draining) {
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
                    self.ledger.warn(&error.to_string(), true);
                    if !self.rest(None).await {
                        break;
                    }
                }
            }
        }
        self.exporter.shutdown().await;
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
            self.ledger.unreadable(unreadable.len());
            self.backlog.done(unreadable).await;
        }
        if deliveries.is_empty() {
            return true;
        }
        // Whoever is told to end while this goes on has had a try less.
        let last = is_ending(&mut self.draining);
        let Err(failure) = self.exporter.export(&deliveries).await else {
            self.ledger.delivered(ids.len());
            self.backlog.done(ids).await;
            self.ledger.recovered();
            self.pause = FIRST_PAUSE;
            return true;
        };
        let retry = &failure.retry;
        self.ledger.tried(ids.len(), &failure, !retry.is_empty());
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
        !last && self.rest(failure.after).await
    }

    /// Waits before the next try, for as long as the other side asks, else longer each time. False at the end.
    async fn rest(&mut self, after: Option<Duration>) -> bool {
        if is_ending(&mut self.draining) {
            return false;
        }
        let wait = after.unwrap_or_else(|| backoff::jittered(self.pause));
        // At the end there is no time for pauses, but for one more try.
        let _ = timeout(wait, self.draining.changed()).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        true
    }
}
