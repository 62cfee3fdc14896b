//! Calls that are alike: the same provider, model and operation, streamed or not.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::durations::Durations;
use crate::genai::Call;

/// Most cohorts. Those of which nothing was heard for longest make room, but none that is in use: models are named by whoever asks.
const MOST: usize = 1024;

/// Minutes after which a cohort may be forgotten.
const IDLE: u64 = 60;

/// What is remembered of one.
#[derive(Debug, Default)]
pub(super) struct Cohort {
    durations: Durations,
    minute: u64,
    /// Kept in this minute.
    kept: u32,
}

impl Cohort {
    /// It is now this minute.
    fn now(&mut self, minute: u64) {
        if minute > self.minute {
            (self.minute, self.kept) = (minute, 0);
        }
    }

    /// Takes in how long a call took, and tells whether that was slow.
    pub(super) fn slow(&mut self, duration: Duration, quantile: f64) -> bool {
        self.durations.take(duration, quantile)
    }

    /// Are fewer kept in this minute than there have to be? As long as that is so, all are kept: it are the first ones of the minute, whatever chance says.
    pub(super) fn below(&self, floor: u32) -> bool {
        self.kept < floor
    }

    /// One is kept.
    pub(super) fn kept(&mut self) {
        self.kept = self.kept.saturating_add(1);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Cohorts {
    /// By the hash of what they have in common.
    known: HashMap<u64, Cohort>,
    /// Stands for all that there is no room for.
    others: Cohort,
    hasher: RandomState,
    /// When it was last looked whether one can be forgotten.
    tidied: u64,
}

impl Cohorts {
    /// That of a call, and whether it has one of its own.
    pub(super) fn of(&mut self, call: &Call, minute: u64) -> (&mut Cohort, bool) {
        let model = call.request.model.as_deref().or(call.response.model.as_deref());
        let tool = call.mcp.as_ref().map(|mcp| (&mcp.method, &mcp.tool));
        let key = (call.provider, call.operation, call.streaming.streamed, model, tool);
        let key = self.hasher.hash_one(key);
        if self.known.len() >= MOST && minute > self.tidied && !self.known.contains_key(&key) {
            self.tidied = minute;
            self.known.retain(|_, cohort| cohort.minute + IDLE > minute);
        }
        let own = self.known.len() < MOST || self.known.contains_key(&key);
        let cohort = if own { self.known.entry(key).or_default() } else { &mut self.others };
        cohort.now(minute);
        (cohort, own)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
