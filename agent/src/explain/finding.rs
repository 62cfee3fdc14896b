//! What a comparison tells.

use crate::journal::Condition;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Calls that were compared.
    pub calls: Count,
    /// The bad ones of them.
    pub bad: Count,
    /// What sets these apart and may be why they are bad, the surest first.
    pub causes: Vec<Finding>,
    /// What sets them apart and is how they went.
    pub signs: Vec<Finding>,
    /// Causes that tell more together than each alone.
    pub together: Vec<Together>,
    /// The likeliest cause, if none is sure.
    pub unsure: Option<Finding>,
    /// Different sets of calls with a value in common.
    pub tried: usize,
    /// As many of them as could have been told, and are accounted for in how sure anything is.
    pub counted: usize,
    /// What was not compared.
    pub left_out: LeftOut,
}

/// A number of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// As many as were seen.
    pub seen: u64,
    /// As many as they stand for, those included that were not kept; an estimate where calls are sampled.
    pub all: f64,
}

/// Calls that have something in common.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What: the first of these, and all else that exactly the same calls have.
    pub terms: Vec<Term>,
    /// How much else, that is not in `terms`.
    pub more_terms: usize,
    /// The bad ones that have it.
    pub bad: Count,
    /// The others that have it.
    pub rest: Count,
    /// The part of the bad ones that has it, from 0 to 1.
    pub bad_share: f64,
    /// The part of the others that has it.
    pub rest_share: f64,
    /// The part of those with it that is bad.
    pub failing: f64,
    /// How many times as often those with it are bad as calls are altogether.
    pub lift: f64,
    /// Natural logarithm of the probability that among all that was tried chance alone makes something stand out so far: at most that.
    pub ln_chance: f64,
    /// The place of the cause, from 0, that it says no more than: beside that one, it does not set bad calls apart.
    pub no_more_than: Option<usize>,
}

/// Two causes, which set more apart together than either does among the calls of the other.
#[derive(Clone, Debug)]
pub struct Together {
    /// Their places among the causes, from 0.
    pub of: (usize, usize),
    /// The calls that have both.
    pub both: Finding,
}

/// Something that a call has.
#[derive(Clone, Debug)]
pub enum Term {
    /// A condition that it fulfils.
    Where(Condition),
    /// It began then or later, in seconds since the Unix epoch.
    Since(i64),
    /// It began before then.
    Before(i64),
}

/// What was not compared, by the names of attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// What makes a call bad, and what tells the same in other words.
    pub asked: Vec<String>,
    /// What says something of the capture, not of the call.
    pub bookkeeping: Vec<String>,
    /// What is another value in each call.
    pub unique: Vec<String>,
    /// What every call has the same of.
    pub constant: Vec<String>,
    /// What has more values than are held, and in how many calls it had one of the others.
    pub many: Vec<(String, u64)>,
    /// Attributes of calls that were too many, counted once for each call.
    pub attributes: u64,
    /// Calls that were too many.
    pub calls: u64,
}
