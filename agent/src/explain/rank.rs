//! Which sets of calls with something in common the bad ones are in oftener than the others, and how sure that is.

use std::collections::HashMap;

use super::{
    Count, Finding, Findings, LeftOut, Limits, Term,
    chance::{Split, tests_that_count},
    facts::{Role, START, role_of_absence},
    seen::{Group, Seen, SetId},
    together,
    weight::{Sides, Tally},
};
use crate::journal::Condition;

/// Where the numbers of an attribute are divided, as parts of all.
const CUTS: [f64; 13] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
/// Digits of a number at which others are divided: more nobody reads.
const DIGITS: usize = 3;
/// Most that is told of one set of calls.
const TERMS: usize = 8;
/// Most findings that are told of causes and of signs.
const FINDINGS: usize = 64;

/// What calls have in common.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// This value.
    Is(u32),
    /// No value of this attribute.
    Absent(u32),
    /// A number of this attribute that is so great, or greater.
    AtLeast(u32, f64),
    /// A lesser one.
    Below(u32, f64),
}

/// Calls with something in common.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    what: What,
    group: Group,
}

/// Calls that have all of these in common.
#[derive(Debug)]
pub(super) struct Set {
    /// The first is what it goes by.
    pub what: Vec<What>,
    pub group: Group,
    pub role: Role,
    /// As a test sees it.
    split: Split,
    pub ln_p: f64,
}

/// All that the calls tell.
pub(super) fn findings(seen: &Seen, limits: &Limits, left_out: LeftOut) -> Findings {
    let mut sets = sets(seen);
    let mut least: Vec<f64> = sets.iter().map(|set| set.split.least_ln_p()).collect();
    let counted = tests_that_count(&mut least, limits.level);
    let tried = sets.len();
    sets.retain(|set| set.ln_p < 0.0);
    sets.sort_by(|a, b| {
        a.ln_p.total_cmp(&b.ln_p).then_with(|| b.group.sides.failing().total_cmp(&a.group.sides.failing()))
    });
    let ln_counted = (counted as f64).ln();
    let sure = |set: &&Set| set.ln_p + ln_counted <= limits.level.ln();
    let all = &seen.all.sides;
    let tell = |set: &Set| finding(seen, set, ln_counted);

    let causes = best_of_each(seen, sets.iter().filter(|set| set.role == Role::Cause).take_while(sure));
    let signs = best_of_each(seen, sets.iter().filter(|set| set.role == Role::Sign).take_while(sure));
    let mut told: Vec<Finding> = causes.iter().map(|set| tell(set)).collect();
    let members: Vec<_> = causes.iter().map(|set| together::members(seen, set.what[0])).collect();
    together::follow(seen, &members, limits.level, &mut told);
    let pairs = together::pairs(seen, &members, &told, tried, limits.level);
    let unsure = sets.iter().find(|set| set.role == Role::Cause).filter(|_| told.is_empty()).map(tell);
    Findings {
        calls: count(&all.bad.and(&all.rest)),
        bad: count(&all.bad),
        causes: told,
        signs: signs.into_iter().map(tell).collect(),
        together: pairs,
        unsure,
        tried,
        counted,
        left_out,
    }
}

/// Each set of calls with something in common, once; but for those of one call, which has nothing in common with any, and of all.
fn sets(seen: &Seen) -> Vec<Set> {
    let mut sets: Vec<Set> = Vec::new();
    let mut known: HashMap<SetId, usize> = HashMap::new();
    let all = seen.all.sides.calls();
    for Candidate { what, group } in candidates(seen) {
        if group.sides.calls() < 2 || group.sides.calls() == all {
            continue;
        }
        let at = *known.entry(group.set).or_insert_with(|| {
            let split = seen.all.sides.split(&group.sides);
            sets.push(Set { what: Vec::new(), group, role: Role::Sign, split, ln_p: split.ln_p() });
            sets.len() - 1
        });
        sets[at].what.push(what);
    }
    for set in &mut sets {
        // What may be a cause comes before what is a sign, names before numbers, something before nothing, and then what has most values: that it is the
        // same calls by accident is the least likely.
        set.what.sort_by_key(|what| {
            let attribute = &seen.attributes[attribute_of(seen, *what)];
            let kind = match what {
                What::Is(_) => u8::from(!attribute.numbers.is_empty()),
                What::AtLeast(..) | What::Below(..) => 2,
                What::Absent(_) => 3,
            };
            (role_of(seen, *what) != Role::Cause, kind, usize::MAX - attribute.values.len(), &attribute.name)
        });
        set.role = set.what.first().map_or(Role::Sign, |what| role_of(seen, *what));
    }
    sets
}

fn candidates(seen: &Seen) -> impl Iterator<Item = Candidate> + '_ {
    let values = (0..)
        .zip(&seen.values)
        .map(|(number, value)| Candidate { what: What::Is(number), group: value.group });
    let absent = (0..).zip(&seen.attributes).map(|(number, attribute)| Candidate {
        what: What::Absent(number),
        group: seen.all.without(&attribute.present),
    });
    let ranges =
        (0..).zip(&seen.attributes).flat_map(|(number, attribute)| ranges(seen, number, &attribute.numbers));
    values.chain(absent).chain(ranges)
}

/// The numbers of an attribute, divided in two at each of some places.
fn ranges(seen: &Seen, attribute: u32, numbers: &[(u32, f64)]) -> Vec<Candidate> {
    let mut numbers = numbers.to_vec();
    numbers.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let column = &seen.attributes[attribute as usize];
    // Where there are few of them, or they are times, they are divided where they are.
    let exact = column.refused.is_empty() || &*column.name == START;
    let mut cuts: Vec<f64> = CUTS
        .iter()
        .filter_map(|part| numbers.get((part * numbers.len() as f64) as usize))
        .map(|(_, number)| if exact { *number } else { rounded(*number) })
        .collect();
    cuts.dedup();
    // Ranges grow from cut to cut, so that each call is gone through once.
    let (mut below, mut from) = (Group::default(), 0);
    let mut out = Vec::with_capacity(2 * cuts.len());
    for cut in cuts {
        let to = numbers.partition_point(|(_, number)| *number < cut);
        for (call, _) in &numbers[from..to] {
            below.put(*call, &seen.calls[*call as usize]);
        }
        from = to;
        out.push(Candidate { what: What::Below(attribute, cut), group: below });
        out.push(Candidate { what: What::AtLeast(attribute, cut), group: column.numeric.without(&below) });
    }
    out
}

fn rounded(number: f64) -> f64 {
    format!("{number:.*e}", DIGITS - 1).parse().unwrap_or(number)
}

fn attribute_of(seen: &Seen, what: What) -> usize {
    (match what {
        What::Is(value) => seen.values[value as usize].attribute,
        What::Absent(attribute) | What::AtLeast(attribute, _) | What::Below(attribute, _) => attribute,
    }) as usize
}

fn role_of(seen: &Seen, what: What) -> Role {
    let attribute = &seen.attributes[attribute_of(seen, what)];
    match what {
        What::Absent(_) => role_of_absence(&attribute.name),
        _ => attribute.role,
    }
}

/// Of the values of a number, which all say that it is great or that it is small, the surest.
fn best_of_each<'a>(seen: &Seen, sets: impl Iterator<Item = &'a Set>) -> Vec<&'a Set> {
    let mut numbers = Vec::new();
    sets.filter(|set| {
        let attribute = attribute_of(seen, set.what[0]);
        if seen.attributes[attribute].numbers.is_empty() {
            return true;
        }
        let new = !numbers.contains(&attribute);
        numbers.push(attribute);
        new
    })
    .take(FINDINGS)
    .collect()
}

fn finding(seen: &Seen, set: &Set, ln_counted: f64) -> Finding {
    // That a number is great says nothing more where it is always the same one.
    let mut attributes = Vec::new();
    let mut own = set.what.clone();
    own.retain(|what| {
        let attribute = attribute_of(seen, *what);
        let new = !attributes.contains(&attribute);
        attributes.push(attribute);
        new
    });
    let terms: Vec<Term> = own.iter().filter_map(|what| term(seen, *what)).take(TERMS).collect();
    let more_terms = own.len() - terms.len();
    told(&seen.all.sides, &set.group.sides, terms, more_terms, set.ln_p + ln_counted)
}

/// What calls with these sides, of all, are told to be.
pub(super) fn told(
    all: &Sides,
    with: &Sides,
    terms: Vec<Term>,
    more_terms: usize,
    ln_chance: f64,
) -> Finding {
    let failing = with.failing();
    Finding {
        terms,
        more_terms,
        bad: count(&with.bad),
        rest: count(&with.rest),
        bad_share: all.bad.share(&with.bad),
        rest_share: all.rest.share(&with.rest),
        failing,
        lift: failing / all.failing(),
        ln_chance: ln_chance.min(0.0),
        no_more_than: None,
    }
}

fn count(tally: &Tally) -> Count {
    Count { seen: tally.calls, all: tally.weight }
}

/// What can't be said as a condition is left out.
fn term(seen: &Seen, what: What) -> Option<Term> {
    let name = &*seen.attributes[attribute_of(seen, what)].name;
    let condition = match what {
        What::Is(value) => {
            let value = &seen.values[value as usize];
            if value.cut { Condition::begins(name, &value.text) } else { Condition::is(name, &value.text) }
        }
        What::Absent(_) => Condition::absent(name),
        What::AtLeast(_, seconds) if name == START => return Some(Term::Since(seconds as i64)),
        What::Below(_, seconds) if name == START => return Some(Term::Before(seconds as i64)),
        What::AtLeast(_, number) => Condition::at_least(name, number),
        What::Below(_, number) => Condition::below(name, number),
    };
    condition.ok().map(Term::Where)
}
