//! The numbers of one combination of labels.

use std::sync::Arc;

use super::{
    fold::OTHER,
    histogram::{Histogram, SECONDS, TOKENS},
};
use crate::{
    genai::{Call, OperationName, Provider},
    time::Timestamp,
};

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A call of a model.
    Inference {
        /// What kind.
        operation: OperationName,
        /// Whose API.
        provider: Provider,
    },
    /// A request of MCP.
    Mcp {
        /// Its method.
        method: Arc<str>,
    },
}

/// What calls are told apart by; `_OTHER` stands for values that are too many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    /// What is done.
    pub operation: Operation,
    /// The captured process is the one who answers.
    pub served: bool,
    /// Model that is asked for.
    pub request_model: Option<Arc<str>>,
    /// Model that answered.
    pub response_model: Option<Arc<str>>,
    /// Host.
    pub server_address: Option<Arc<str>>,
    /// Its port.
    pub server_port: Option<u16>,
}

impl Labels {
    /// The same, with all that is too many.
    pub(super) fn folded(self) -> Self {
        let other = |value: Option<Arc<str>>| value.map(|_| OTHER.into());
        Self {
            operation: match self.operation {
                Operation::Mcp { .. } => Operation::Mcp { method: OTHER.into() },
                inference @ Operation::Inference { .. } => inference,
            },
            served: self.served,
            request_model: other(self.request_model),
            response_model: other(self.response_model),
            server_address: other(self.server_address),
            server_port: None,
        }
    }

    /// The same, of which no more than what is required is told.
    pub(super) fn last_resort(self) -> Self {
        Self { request_model: None, response_model: None, server_address: None, server_port: None, ..self }
    }
}

/// Sums, of what providers have told; `None` of what none has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Input tokens.
    pub input: Option<u64>,
    /// Output tokens.
    pub output: Option<u64>,
    /// Input tokens read from a cache.
    pub cache_read: Option<u64>,
    /// Input tokens written to a cache.
    pub cache_write: Option<u64>,
    /// Output tokens spent on reasoning.
    pub reasoning: Option<u64>,
    /// Input tokens that were audio.
    pub audio_input: Option<u64>,
    /// Output tokens that were audio.
    pub audio_output: Option<u64>,
    /// US dollars.
    pub cost: Option<f64>,
}

/// Calls that ended in the same way.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How they failed.
    pub error: Option<Arc<str>>,
    /// How long they took.
    pub duration: Histogram,
    /// Input tokens of each.
    pub input: Histogram,
    /// Output tokens of each.
    pub output: Histogram,
}

/// Calls of the same labels.
#[derive(Clone, Debug)]
pub struct Series {
    /// When the first was counted.
    pub start: Timestamp,
    /// When the last was.
    pub last: Timestamp,
    /// By how they ended.
    pub outcomes: Vec<Outcome>,
    /// Time to the first chunk of streamed answers.
    pub first_chunk: Histogram,
    /// Time to their first content.
    pub first_content: Histogram,
    /// Times between their chunks.
    pub gaps: Histogram,
    /// Sums over all.
    pub sums: Sums,
}

impl Series {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            start: now,
            last: now,
            outcomes: Vec::new(),
            first_chunk: Histogram::new(&SECONDS),
            first_content: Histogram::new(&SECONDS),
            gaps: Histogram::new(&SECONDS),
            sums: Sums::default(),
        }
    }

    /// Has a call ended in this way?
    pub(super) fn has(&self, error: Option<&Arc<str>>) -> bool {
        self.outcomes.iter().any(|outcome| outcome.error.as_ref() == error)
    }

    pub(super) fn add(
        &mut self,
        call: &Call,
        cost: Option<f64>,
        error: Option<Arc<str>>,
        kept: Option<([u8; 16], [u8; 8])>,
        now: Timestamp,
    ) {
        self.last = now;
        let outcome = self.outcome(error);
        outcome.duration.add(call.end.since(call.start).as_secs_f64(), kept, now);
        let usage = &call.usage;
        if let Some(tokens) = usage.input {
            outcome.input.add(tokens as f64, kept, now);
        }
        if let Some(tokens) = usage.output {
            outcome.output.add(tokens as f64, kept, now);
        }
        let streaming = &call.streaming;
        if streaming.streamed {
            let seconds = |at: Timestamp| at.since(call.start).as_secs_f64();
            if let Some(at) = streaming.first_chunk {
                self.first_chunk.add(seconds(at), kept, now);
            }
            if let Some(at) = streaming.first_content {
                self.first_content.add(seconds(at), kept, now);
            }
            if let Some(gaps) = &streaming.gaps {
                let seconds = [gaps.sum, gaps.least, gaps.largest].map(|gap| gap.as_secs_f64());
                self.gaps.add_counted(&gaps.buckets, seconds[0], seconds[1], seconds[2]);
            }
        }
        let sums = &mut self.sums;
        for (sum, tokens) in [
            (&mut sums.input, usage.input),
            (&mut sums.output, usage.output),
            (&mut sums.cache_read, usage.cache_read),
            (&mut sums.cache_write, usage.cache_write),
            (&mut sums.reasoning, usage.reasoning),
            (&mut sums.audio_input, usage.audio_input),
            (&mut sums.audio_output, usage.audio_output),
        ] {
            if let Some(tokens) = tokens {
                *sum = Some(sum.unwrap_or(0).saturating_add(u64::try_from(tokens).unwrap_or(0)));
            }
        }
        if let Some(cost) = cost {
            sums.cost = Some(sums.cost.unwrap_or(0.0) + cost);
        }
    }

    fn outcome(&mut self, error: Option<Arc<str>>) -> &mut Outcome {
        let at = self.outcomes.iter().position(|outcome| outcome.error == error).unwrap_or_else(|| {
            self.outcomes.push(Outcome {
                error,
                duration: Histogram::new(&SECONDS),
                input: Histogram::new(&TOKENS),
                output: Histogram::new(&TOKENS),
            });
            self.outcomes.len() - 1
        });
        &mut self.outcomes[at]
    }
}
