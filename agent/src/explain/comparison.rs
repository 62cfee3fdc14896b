//! Calls, bad and other, as they are handed over; and what is left out of them.

use super::{
    Findings, LeftOut, Limits,
    facts::{self, Role},
    rank,
    seen::Seen,
};
use crate::contract::Delivery;

/// Takes calls, and tells what sets the bad ones apart.
#[derive(Debug)]
pub struct Comparison {
    limits: Limits,
    /// Attributes that make a call bad.
    asked: Vec<String>,
    seen: Seen,
    left_out: LeftOut,
}

impl Comparison {
    /// A comparison of calls that are bad for these attributes: neither they nor what tells the same can explain anything.
    pub fn new(asked: &[&str], limits: Limits) -> Self {
        let asked = asked.iter().map(|&name| name.to_owned()).collect();
        Self { limits, asked, seen: Seen::default(), left_out: LeftOut::default() }
    }

    /// Takes a call. Says whether it takes more.
    pub fn add(&mut self, call: &Delivery, bad: bool) -> bool {
        let Self { limits, asked, seen, left_out } = self;
        // Calls are numbered in 32 bits.
        if seen.calls.len() >= limits.calls.min(u32::MAX as usize - 1) {
            left_out.calls += 1;
            return false;
        }
        seen.begin(bad, facts::weight(call));
        facts::each(call, &mut |name, fact| {
            let left_out = match facts::role(name) {
                _ if asked.iter().any(|asked| facts::are_the_same(asked, name)) => &mut left_out.asked,
                Role::Bookkeeping => &mut left_out.bookkeeping,
                role => return seen.put(name, role, facts::is_quantity(name), fact, limits),
            };
            if !left_out.iter().any(|known| known == name) {
                left_out.push(name.to_owned());
            }
        });
        seen.end();
        true
    }

    /// What the calls that were taken tell.
    pub fn finish(self) -> Findings {
        let Self { limits, seen, mut left_out, .. } = self;
        left_out.attributes = seen.refused;
        for attribute in &seen.attributes {
            let values = attribute.values.len() as u64;
            let name = attribute.name.to_string();
            let calls = attribute.present.sides.calls();
            if !attribute.refused.is_empty() && attribute.numbers.is_empty() {
                left_out.many.push((name, attribute.refused.len() as u64));
            } else if calls > 1 && values == calls && attribute.numbers.is_empty() {
                left_out.unique.push(name);
            } else if values == 1 && attribute.refused.is_empty() && calls == seen.all.sides.calls() {
                left_out.constant.push(name);
            }
        }
        for names in
            [&mut left_out.asked, &mut left_out.bookkeeping, &mut left_out.unique, &mut left_out.constant]
        {
            names.sort_unstable();
        }
        rank::findings(&seen, &limits, left_out)
    }
}
