//! What an exporter's task counts and tells of its tries.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use super::{Failure, backoff::WARN_EVERY, outputs::Tally};
use crate::account::{Account, Counter};

/// Counts for the output and for all, and warns, but not of every try.
pub(super) struct Ledger {
    output: String,
    /// What the user is told of spans that are tried again.
    kept: &'static str,
    tally: Arc<Tally>,
    account: Arc<Account>,
    warned: Option<Instant>,
    /// The user knows that it fails.
    told: bool,
}

impl Ledger {
    pub fn new(output: &str, kept: &'static str, tally: Arc<Tally>, account: Arc<Account>) -> Self {
        Self { output: output.to_owned(), kept, tally, account, warned: None, told: false }
    }

    pub fn delivered(&self, spans: usize) {
        self.tally.delivered.fetch_add(spans as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansDelivered, spans as u64);
    }

    pub fn failed(&self, spans: usize) {
        self.tally.failed.fetch_add(spans as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansFailed, spans as u64);
    }

    /// Spans that can't be read from where they were kept.
    pub fn unreadable(&self, spans: usize) {
        self.account.add(Counter::SpansUnreadable, spans as u64);
    }

    /// A try to deliver so many spans has failed, for some or all of them; `kept` are those that are tried again.
    pub fn tried(&mut self, spans: usize, failure: &Failure, kept: bool) {
        self.delivered(spans.saturating_sub(failure.retry.len() + failure.lost));
        self.failed(failure.lost);
        let error = failure.error.to_string();
        self.warn(&error, kept);
        *self.tally.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub fn warn(&mut self, error: &str, kept: bool) {
        if self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        self.told = true;
        self.tally.told.store(true, Ordering::Relaxed);
        let what = if kept { self.kept } else { "spans are lost, and counted" };
        warn!("{}: {error}; {what}", self.output);
    }

    pub fn recovered(&mut self) {
        if std::mem::take(&mut self.told) {
            info!("{}: delivers again", self.output);
        }
    }
}

/// Is it time to end? Without its [`super::Outputs`] there is nobody left to end a task.
pub(super) fn is_ending(draining: &mut watch::Receiver<bool>) -> bool {
    *draining.borrow_and_update() || draining.has_changed().is_err()
}
