//! Which calls become spans: the odd ones always, of the others some.
//!
//! Every call has a probability with which it is kept. It follows from what the call says, from what came before, and from how much came, but never from the
//! random bits of its trace, nor from what these kept; so the reciprocals of the kept ones' probabilities add up to all calls (Horvitz and Thompson, 1952).

mod budget;
mod cohort;
mod durations;
mod odd;
mod probability;
mod recent;
mod trace_state;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use self::{budget::Budget, cohort::Cohorts, recent::Recent};
pub use self::{
    odd::{Oddities, Reason},
    probability::{Randomness, Threshold},
};
use crate::{
    account::{Account, Counter, Rule},
    genai::Call,
    time::Timestamp,
};

/// Most templates, revisions, tool sets and tenants that are remembered, to twice as many.
const KINDS: usize = 65_536;

/// Seconds after which one that was not seen again is new, to twice as many.
const KINDS_PERIOD: u64 = 3600;

/// Most calls of each sort that are kept in a minute since they are the first of a kind: where everything is new, nothing is odd about it.
const NEW_A_MINUTE: u32 = 60;

/// Most traces that are remembered, to twice as many.
const TRACES: usize = 16_384;

/// Seconds for which they are, to twice as many.
const TRACES_PERIOD: u64 = 600;

/// How many calls are kept of those that nothing speaks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// All calls are kept, odd or not, and nothing is said of sampling.
    All,
    /// This part, from 0 to 1.
    Part(f64),
    /// So many that with the odd ones there are about so many spans a second.
    Budget(f64),
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Of calls that nothing speaks for.
    pub rate: Rate,
    /// What is kept always.
    pub keep: Oddities,
    /// The part of a cohort's calls, from 0 to 1, that one has to take longer than to be slow.
    pub slow: f64,
    /// Of each cohort, the first so many calls of a minute are kept.
    pub floor: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate: Rate::All, keep: Oddities::ALL, slow: 0.99, floor: 1 }
    }
}

/// What a call is a kind of; what is not known is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds<'a> {
    /// Its prompt's template.
    pub template: Option<&'a str>,
    /// The revision of the model that answered.
    pub revision: Option<&'a str>,
    /// Its set of tools.
    pub tool_set: Option<&'a str>,
    /// On whose behalf it was made.
    pub tenant: Option<&'a str>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Decision {
    /// There is no sampling: it is kept.
    #[default]
    Everything,
    /// It is kept.
    Kept(Kept),
    /// It makes no span.
    Dropped,
}

impl Decision {
    /// Does it become a span?
    pub fn kept(self) -> bool {
        self != Self::Dropped
    }
}

/// Why a call is kept, and how likely that was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// The first reason that there is.
    pub reason: Reason,
    /// Traces whose random bits are not below it are kept.
    pub threshold: Threshold,
}

impl Kept {
    /// The `tracestate` of the span: what the request's says, with the span's own threshold. The parent's tells how likely the parent was kept; calls are seen
    /// whether it was or not, so it takes nothing from their own ("ignores the parent's sampling threshold", as any consistent probability sampler).
    pub fn trace_state(&self, of_request: &str) -> String {
        trace_state::with_threshold(of_request, self.threshold)
    }
}

/// Decides, call by call.
#[derive(Debug)]
pub struct Sampler {
    settings: Settings,
    budget: Budget,
    cohorts: Cohorts,
    /// Kinds by the hash of what they are.
    kinds: Recent<u64, ()>,
    hasher: RandomState,
    /// How many were kept of each sort in this minute, being the first of a kind.
    new: [u32; 4],
    minute: u64,
    /// Traces of which calls were kept, with the lowest threshold that was.
    traces: Recent<[u8; 16], Threshold>,
    /// The latest end of a call: what comes late is not of the past.
    now: Timestamp,
    account: Arc<Account>,
}

impl Sampler {
    /// One that has seen nothing.
    pub fn new(settings: Settings, account: Arc<Account>) -> Self {
        Self {
            settings,
            budget: Budget::new(settings.rate),
            cohorts: Cohorts::default(),
            kinds: Recent::new(KINDS, KINDS_PERIOD),
            hasher: RandomState::new(),
            new: [0; 4],
            minute: 0,
            traces: Recent::new(TRACES, TRACES_PERIOD),
            now: Timestamp(0),
            account,
        }
    }

    /// From now on this is kept; what was learnt stays.
    pub fn set(&mut self, settings: Settings) {
        if settings.rate != self.settings.rate {
            self.budget = Budget::new(settings.rate);
        }
        self.settings = settings;
    }

    /// What becomes of a call that is over; `trace_id` is that of its span. Of a call that is dropped nothing is copied.
    pub fn decide(&mut self, call: &Call, trace_id: [u8; 16], kinds: &Kinds<'_>) -> Decision {
        if self.settings.rate == Rate::All {
            return Decision::Everything;
        }
        self.tick(call.end);
        let Settings { keep, slow, floor, .. } = self.settings;
        // All that is to be learnt of a call is learnt, whatever is found first.
        let is_new = self.first_of(kinds);
        let (cohort, own) = self.cohorts.of(call, self.minute);
        if !own {
            self.account.add(Counter::CohortsShared, 1);
        }
        // Those that fail at once, or wait for what does not come, tell nothing of how long others take.
        let is_whole = odd::of(call, Oddities::ALL).is_none();
        let is_slow =
            is_whole && cohort.slow(call.end.since(call.start), slow) && own && keep.has(Reason::Slow);
        let known = call.trace.is_some().then(|| self.traces.get(&trace_id)).flatten();
        let certain = odd::of(call, keep)
            .or_else(|| is_slow.then_some(Reason::Slow))
            .or(is_new)
            .or_else(|| (known == Some(Threshold::ALWAYS)).then_some(Reason::Trace))
            .or_else(|| cohort.below(floor).then_some(Reason::Floor));
        let kept = if let Some(reason) = certain {
            self.budget.certain();
            Kept { reason, threshold: Threshold::ALWAYS }
        } else {
            // Of a trace that was kept by a lower one the rest is, too.
            let threshold = self.budget.rest().min(known.unwrap_or(Threshold::NEVER));
            if !threshold.keeps(randomness(call, trace_id)) {
                self.account.add(Counter::CallsUnsampled, 1);
                return Decision::Dropped;
            }
            Kept { reason: Reason::Rate, threshold }
        };
        cohort.kept();
        // Those of the floor are kept for their cohort's sake, not for their trace's; and nobody else can be of a trace that no request names.
        if call.trace.is_some() && kept.reason != Reason::Floor {
            let lowest = known.map_or(kept.threshold, |known| known.min(kept.threshold));
            self.account.add(Counter::TracesForgotten, self.traces.see(trace_id, lowest));
        }
        self.account.add_to_rule(Counter::CallsSampled, Rule { kind: "", about: kept.reason.name() });
        Decision::Kept(kept)
    }

    fn tick(&mut self, end: Timestamp) {
        self.now = self.now.max(end);
        let second = self.now.0 / 1_000_000_000;
        self.budget.now(second);
        self.kinds.now(second);
        self.traces.now(second);
        if second / 60 > self.minute {
            (self.minute, self.new) = (second / 60, [0; 4]);
        }
    }

    /// The sort of which the call is the first of a kind.
    fn first_of(&mut self, kinds: &Kinds<'_>) -> Option<Reason> {
        let sorts = [
            (Reason::NewTemplate, kinds.template),
            (Reason::NewModelRevision, kinds.revision),
            (Reason::NewToolSet, kinds.tool_set),
            (Reason::NewTenant, kinds.tenant),
        ];
        let mut first = None;
        for (at, (reason, kind)) in sorts.into_iter().enumerate() {
            let Some(kind) = kind else { continue };
            let key = self.hasher.hash_one((at, kind));
            let is_new = self.kinds.get(&key).is_none();
            self.account.add(Counter::KindsForgotten, self.kinds.see(key, ()));
            if !is_new || first.is_some() || !self.settings.keep.has(reason) {
                continue;
            }
            if self.new[at] < NEW_A_MINUTE {
                self.new[at] += 1;
                first = Some(reason);
            } else {
                self.account.add(Counter::NewKindsPassed, 1);
            }
        }
        first
    }
}

/// The bits that a call's trace is decided by.
fn randomness(call: &Call, trace_id: [u8; 16]) -> Randomness {
    let state = call.trace.as_ref().and_then(|trace| trace.state.as_deref());
    state.and_then(trace_state::randomness).unwrap_or_else(|| Randomness::of_trace(trace_id))
}

#[cfg(test)]
mod tests;
