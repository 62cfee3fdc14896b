//! One exporter's task: gathers batches, delivers them, and keeps what may yet be delivered.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Exporter, backoff,
    backoff::{FIRST_PAUSE, LONGEST_PAUSE},
    ledger::{Ledger, is_ending},
    outputs::{Message, Queued, Tally},
};
use crate::account::Account;

pub(super) struct Worker {
    exporter: Box<dyn Exporter>,
    messages: mpsc::UnboundedReceiver<Message>,
    draining: watch::Receiver<bool>,
    hold: Duration,
    ledger: Ledger,
    /// A span that did not fit into the last batch.
    carry: Option<Queued>,
    /// Nothing can be delivered any more, as the last try at the end has shown.
    given_up: bool,
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
        let ledger = Ledger::new(exporter.name(), "spans are kept and tried again", tally, account);
        Self { exporter, messages, draining, hold, ledger, carry: None, given_up: false }
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
            return self.ledger.failed(batch.len());
        }
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let last_try = is_ending(&mut self.draining);
            let deliveries: Vec<_> = batch.iter().map(|queued| Arc::clone(&queued.delivery)).collect();
            let Err(failure) = self.exporter.export(&deliveries).await else {
                self.ledger.delivered(batch.len());
                self.ledger.recovered();
                return;
            };
            let retry = &failure.retry;
            let keep = !retry.is_empty() && !last_try && started.elapsed() < self.hold;
            self.ledger.tried(batch.len(), &failure, keep);
            if !keep {
                self.given_up |= last_try && !retry.is_empty();
                return self.ledger.failed(retry.len());
            }
            let mut at = 0;
            batch.retain(|_| {
                at += 1;
                retry.binary_search(&(at - 1)).is_ok()
            });
            // At the end there is no time for pauses.
            let wait = failure.after.unwrap_or_else(|| backoff::jittered(pause));
            let _ = tokio::time::timeout(wait, self.draining.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}
