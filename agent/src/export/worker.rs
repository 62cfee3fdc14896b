//! One exporter's task: gathers batches, delivers them, and keeps what may yet be delivered.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    Exporter, Failure, backoff,
    backoff::{FIRST_PAUSE, LONGEST_PAUSE, WARN_EVERY},
    outputs::{Message, Queued, Tally},
};
use crate::account::{Account, Counter};

pub(super) struct Worker {
    exporter: Box<dyn Exporter>,
    messages: mpsc::UnboundedReceiver<Message>,
    draining: watch::Receiver<bool>,
    hold: Duration,
    tally: Arc<Tally>,
    account: Arc<Account>,
    /// A span that did not fit into the last batch.
    carry: Option<Queued>,
    /// Nothing can be delivered any more, as the last try at the end has shown.
    given_up: bool,
    warned: Option<Instant>,
    /// The user knows that it fails.
    told: bool,
}

impl Worker {
    pub fn new(
        exporter: Box<dyn Exporter>,
        messages: mpsc::UnboundedReceiver<Message>,
        draining: watch::Receiver<bool>,
        hold: Duration,
        tally: Arc<Tally>,
        account: Arc<Account>,
    ) -> Self {
        Self {
            exporter,
            messages,
            draining,
            hold,
            tally,
            account,
            carry: None,
            given_up: false,
            warned: None,
            told: false,
        }
    }

    /// Runs until the queue is closed and empty.
    pub async fn run(mut self) {
        while let Some((batch, flushes)) = self.gather().await {
            self.deliver(batch).await;
            for flush in flushes {
                // Whoever asked may have stopped waiting.
                let _ = flush.send(());
            }
        }
        self.exporter.shutdown().await;
    }

    /// The next batch, and who waits for it; `None` at the end.
    async fn gather(&mut self) -> Option<(Vec<Queued>, Vec<oneshot::Sender<()>>)> {
        let limits = self.exporter.batching();
        let first = match self.carry.take() {
            Some(span) => span,
            None => loop {
                match self.messages.recv().await? {
                    Message::Span(span) => break span,
                    Message::Flush(answer) => {
                        let _ = answer.send(());
                    }
                }
            },
        };
        let until = Instant::now() + limits.delay;
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        let mut flushes = Vec::new();
        while batch.len() < limits.spans {
            let next = match self.messages.try_recv() {
                Ok(message) => Some(message),
                Err(_) if limits.delay.is_zero() => None,
                Err(_) => timeout_at(until, self.messages.recv()).await.ok().flatten(),
            };
            match next {
                Some(Message::Span(span)) if bytes + span.bytes > limits.bytes => {
                    self.carry = Some(span);
                    break;
                }
                Some(Message::Span(span)) => {
                    bytes += span.bytes;
                    batch.push(span);
                }
                Some(Message::Flush(answer)) => {
                    flushes.push(answer);
                    break;
                }
                None => break,
            }
        }
        Some((batch, flushes))
    }

    /// Delivers a batch, with as many tries as it takes and its time allows.
    async fn deliver(&mut self, mut batch: Vec<Queued>) {
        if self.given_up {
            return self.failed(batch.len());
        }
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            // Without its [`super::Outputs`] there is nobody left to end it.
            let last_try = *self.draining.borrow_and_update() || self.draining.has_changed().is_err();
            let deliveries: Vec<_> = batch.iter().map(|queued| Arc::clone(&queued.delivery)).collect();
            let Err(Failure { retry, lost, error, after }) = self.exporter.export(&deliveries).await else {
                self.delivered(batch.len());
                self.recovered();
                return;
            };
            self.delivered(batch.len().saturating_sub(retry.len() + lost));
            self.failed(lost);
            let error = error.to_string();
            let keep = !retry.is_empty() && !last_try && started.elapsed() < self.hold;
            self.warn(&error, keep);
            *self.tally.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            if !keep {
                self.given_up |= last_try && !retry.is_empty();
                return self.failed(retry.len());
            }
            let mut at = 0;
            batch.retain(|_| {
                at += 1;
                retry.binary_search(&(at - 1)).is_ok()
            });
            // At the end there is no time for pauses.
            let wait = after.unwrap_or_else(|| backoff::jittered(pause));
            let _ = tokio::time::timeout(wait, self.draining.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn delivered(&self, spans: usize) {
        self.tally.delivered.fetch_add(spans as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansDelivered, spans as u64);
    }

    fn failed(&self, spans: usize) {
        self.tally.failed.fetch_add(spans as u64, Ordering::Relaxed);
        self.account.add(Counter::SpansFailed, spans as u64);
    }

    fn warn(&mut self, error: &str, kept: bool) {
        if self.warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned = Some(Instant::now());
        self.told = true;
        self.tally.told.store(true, Ordering::Relaxed);
        let what = if kept { "spans are kept and tried again" } else { "spans are lost, and counted" };
        warn!("{}: {error}; {what}", self.exporter.name());
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.told) {
            info!("{}: delivers again", self.exporter.name());
        }
    }
}
