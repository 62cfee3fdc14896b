//! Calls, bad and other, as they are handed over; and what is left out of them.

use std::collections::HashMap;

use super::{
    Findings, LeftOut, Limits,
    facts::{self, Role},
    rank,
    seen::Seen,
};
use crate::contract::Delivery;

/// Attributes of which it is remembered what becomes of them, for each of those that are compared.
const REMEMBERED: usize = 2;

/// What becomes of an attribute: it follows from its name, and calls have the same ones.
#[derive(Clone, Copy, Debug)]
enum Use {
    /// It says what makes a call bad.
    Asked,
    /// It says nothing of the call.
    Bookkeeping,
    /// It is compared, as more and less if it is a quantity.
    Compared { role: Role, quantity: bool },
}

impl Use {
    fn of(name: &str, asked: &[String]) -> Self {
        match facts::role(name) {
            _ if asked.iter().any(|asked| facts::are_the_same(asked, name)) => Self::Asked,
            Role::Bookkeeping => Self::Bookkeeping,
            role => Self::Compared { role, quantity: facts::is_quantity(name) },
        }
    }
}

/// Takes calls, and tells what sets the bad ones apart.
#[derive(Debug)]
pub struct Comparison {
    limits: Limits,
    /// Attributes that make a call bad.
    asked: Vec<String>,
    uses: HashMap<Box<str>, Use>,
    seen: Seen,
    left_out: LeftOut,
}

impl Comparison {
    /// A comparison of calls that are bad for these attributes: neither they nor what tells the same can explain anything.
    pub fn new(asked: &[&str], limits: Limits) -> Self {
        let asked = asked.iter().map(|&name| name.to_owned()).collect();
        Self { limits, asked, uses: HashMap::new(), seen: Seen::default(), left_out: LeftOut::default() }
    }

    /// Takes a call. Says whether it takes more.
    pub fn add(&mut self, call: &Delivery, bad: bool) -> bool {
        let Self { limits, asked, uses, seen, left_out } = self;
        // Calls are numbered in 32 bits.
        if seen.calls.len() >= limits.calls.min(u32::MAX as usize - 1) {
            left_out.calls += 1;
            return false;
        }
        seen.begin(bad, facts::weight(call));
        facts::each(call, &mut |name, fact| {
            let used = uses.get(name).copied().unwrap_or_else(|| {
                let used = Use::of(name, asked);
                if uses.len() < REMEMBERED * limits.attributes {
                    uses.insert(name.into(), used);
                }
                used
            });
            let left_out = match used {
                Use::Asked => &mut left_out.asked,
                Use::Bookkeeping => &mut left_out.bookkeeping,
                Use::Compared { role, quantity } => return seen.put(name, role, quantity, fact, limits),
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
