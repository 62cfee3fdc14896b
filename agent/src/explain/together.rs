//! Which causes are one and the same seen twice, and which act together.

use super::{
    Finding, Together,
    rank::{What, told},
    seen::Seen,
    weight::Sides,
};

/// Causes that are looked at in pairs.
const PAIRED: usize = 24;
/// Causes that others are held against.
const LEADING: usize = 8;
/// Most pairs that are told.
const TOLD: usize = 8;

/// Some calls, a bit for each.
#[derive(Debug)]
pub(super) struct Members(Vec<u64>);

impl Members {
    fn none(calls: usize) -> Self {
        Self(vec![0; calls.div_ceil(64)])
    }

    fn put(&mut self, call: usize) {
        self.0[call / 64] |= 1 << (call % 64);
    }

    fn has(&self, call: usize) -> bool {
        self.0[call / 64] >> (call % 64) & 1 == 1
    }

    fn sides(seen: &Seen, words: impl Iterator<Item = u64>) -> Sides {
        let mut sides = Sides::default();
        for (at, mut word) in words.enumerate() {
            while word != 0 {
                let call = &seen.calls[at * 64 + word.trailing_zeros() as usize];
                sides.add(call.bad, call.weight);
                word &= word - 1;
            }
        }
        sides
    }

    fn alone(&self, seen: &Seen) -> Sides {
        Self::sides(seen, self.0.iter().copied())
    }

    fn both(seen: &Seen, one: &Self, other: &Self) -> Sides {
        Self::sides(seen, one.0.iter().zip(&other.0).map(|(one, other)| one & other))
    }
}

/// The calls that have it.
pub(super) fn members(seen: &Seen, what: What) -> Members {
    let mut members = Members::none(seen.calls.len());
    match what {
        What::Is(value) => {
            for (at, _) in seen.calls.iter().enumerate().filter(|(_, call)| call.values.contains(&value)) {
                members.put(at);
            }
        }
        What::AtLeast(attribute, cut) | What::Below(attribute, cut) => {
            let great = matches!(what, What::AtLeast(..));
            for (call, number) in &seen.attributes[attribute as usize].numbers {
                if (*number >= cut) == great {
                    members.put(*call as usize);
                }
            }
        }
        What::Absent(number) => {
            let attribute = &seen.attributes[number as usize];
            let of = |value: &u32| seen.values[*value as usize].attribute == number;
            let mut present = Members::none(seen.calls.len());
            let others = attribute.refused.iter().chain(attribute.numbers.iter().map(|(call, _)| call));
            others.for_each(|call| present.put(*call as usize));
            for (at, call) in seen.calls.iter().enumerate() {
                if !present.has(at) && !call.values.iter().any(of) {
                    members.put(at);
                }
            }
        }
    }
    members
}

/// How sure it is that among some calls those with something are bad more often.
fn ln_p(all: &Sides, with: &Sides) -> f64 {
    all.split(with).ln_p()
}

/// Notes of each cause whether it is a surer one seen again: neither among the calls of that one nor among the others does it set bad
/// ones apart.
pub(super) fn follow(seen: &Seen, members: &[Members], level: f64, causes: &mut [Finding]) {
    let all = &seen.all.sides;
    let sides: Vec<Sides> = members.iter().map(|one| one.alone(seen)).collect();
    // Of each two of them, both among those with the one and among those without it.
    let tests = 2 * causes.len() * LEADING.min(causes.len());
    let unsure = |ln_p: f64| ln_p + (tests as f64).ln() > level.ln();
    let mut leading: Vec<usize> = Vec::new();
    for at in 0..causes.len() {
        let follows = leading.iter().copied().find(|&lead| {
            let both = Members::both(seen, &members[lead], &members[at]);
            unsure(ln_p(&sides[lead], &both))
                && unsure(ln_p(&all.without(&sides[lead]), &sides[at].without(&both)))
        });
        causes[at].no_more_than = follows;
        if follows.is_none() && leading.len() < LEADING {
            leading.push(at);
        }
    }
}

/// Pairs of which each tells something among the calls of the other. `tried` is how many sets there were to choose two from.
pub(super) fn pairs(
    seen: &Seen,
    members: &[Members],
    causes: &[Finding],
    tried: usize,
    level: f64,
) -> Vec<Together> {
    let all = &seen.all.sides;
    let own: Vec<usize> =
        (0..causes.len()).filter(|at| causes[*at].no_more_than.is_none()).take(PAIRED).collect();
    // Any two could have been the ones.
    let tests = (tried as f64 * (tried as f64 - 1.0) / 2.0).max(1.0).ln();
    let mut pairs = Vec::new();
    let sides: Vec<Sides> = own.iter().map(|&at| members[at].alone(seen)).collect();
    for (place, &one) in own.iter().enumerate() {
        for (next, &other) in own.iter().enumerate().skip(place + 1) {
            let both = Members::both(seen, &members[one], &members[other]);
            // Surely more than the one and surely more than the other: as sure as the less sure of the two.
            let ln_chance = ln_p(&sides[place], &both).max(ln_p(&sides[next], &both)) + tests;
            if ln_chance <= level.ln() {
                let terms = [one, other].iter().filter_map(|at| causes[*at].terms.first().cloned()).collect();
                pairs.push(Together { of: (one, other), both: told(all, &both, terms, 0, ln_chance) });
            }
        }
    }
    pairs.sort_by(|a, b| a.both.ln_chance.total_cmp(&b.both.ln_chance));
    pairs.truncate(TOLD);
    pairs
}
