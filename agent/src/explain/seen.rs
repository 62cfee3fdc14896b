//! What is held of the calls that were seen, by attribute and value.

use std::{borrow::Cow, collections::HashMap};

use super::{
    Limits,
    facts::{Fact, Role},
    weight::Sides,
};

/// Different numbers of an attribute of which each is a value of its own; with more, it is ranges that tell something.
const NUMBERS: usize = 1000;
/// Bytes that are kept of a value that is too long to be told apart by all of it.
const BEGINNING: usize = 64;

/// Which calls: a set's number, equal for equal sets. It is a sum of 128 bits that stand for each call, so that sets are equal by
/// mistake as seldom as 128 random bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SetId(u128);

impl SetId {
    /// The set of one call.
    pub fn of(call: u32) -> Self {
        let half = |salt: u64| {
            // SplitMix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, 2014).
            let mut z = u64::from(call).wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self(u128::from(half(1)) << 64 | u128::from(half(1 << 40)))
    }

    pub fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    pub fn without(self, part: Self) -> Self {
        Self(self.0.wrapping_sub(part.0))
    }
}

/// Some calls.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub sides: Sides,
    pub set: SetId,
    /// The last call in it, and one more; a call is in it once, however often it has the value.
    next: u32,
}

impl Group {
    /// Puts a call in that comes no earlier than those in it. Is it new?
    fn add(&mut self, number: u32, call: &Call) -> bool {
        let new = self.next <= number;
        if new {
            self.next = number + 1;
            self.put(number, call);
        }
        new
    }

    /// Puts a call in that is not in it.
    pub fn put(&mut self, number: u32, call: &Call) {
        self.sides.add(call.bad, call.weight);
        self.set.add(SetId::of(number));
    }

    pub fn without(&self, part: &Self) -> Self {
        Self { sides: self.sides.without(&part.sides), set: self.set.without(part.set), next: 0 }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub bad: bool,
    pub weight: f64,
    /// Its values, by their numbers.
    pub values: Box<[u32]>,
}

/// A value of an attribute.
#[derive(Debug)]
pub(super) struct Value {
    /// Number of the attribute.
    pub attribute: u32,
    pub text: Box<str>,
    /// The text is its beginning only.
    pub cut: bool,
    pub group: Group,
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Attribute {
    pub name: Box<str>,
    pub role: Role,
    /// Calls that have any value.
    pub present: Group,
    pub values: HashMap<Box<str>, u32>,
    /// Calls and their numbers, where more and less mean something.
    pub numbers: Vec<(u32, f64)>,
    /// These calls.
    pub numeric: Group,
    /// Calls that had a value that was one too many.
    pub refused: Vec<u32>,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub calls: Vec<Call>,
    pub all: Group,
    pub attributes: Vec<Attribute>,
    pub values: Vec<Value>,
    names: HashMap<Box<str>, u32>,
    /// Attributes that were too many, once for each call.
    pub refused: u64,
    /// Values of the call that is being added.
    current: Vec<u32>,
}

impl Seen {
    /// Begins with a call: what is put in then is its.
    pub fn begin(&mut self, bad: bool, weight: f64) {
        self.current.clear();
        let call = Call { bad, weight, values: Box::default() };
        self.all.add(self.calls.len() as u32, &call);
        self.calls.push(call);
    }

    /// Puts in a value of the call.
    pub fn put(&mut self, name: &str, role: Role, quantity: bool, fact: Fact<'_>, limits: &Limits) {
        let Some(attribute) = self.attribute(name, role, limits) else { return };
        let Some(number) = self.calls.len().checked_sub(1) else { return };
        let (number, call) = (number as u32, &self.calls[number]);
        let column = &mut self.attributes[attribute as usize];
        column.present.add(number, call);
        let (text, number_of) = match fact {
            Fact::Text(text) => (Cow::Borrowed(text), None),
            Fact::Flag(flag) => (Cow::Owned(flag.to_string()), None),
            Fact::Int(int) => (Cow::Owned(int.to_string()), Some(int as f64)),
            Fact::Double(double) => (Cow::Owned(double.to_string()), Some(double)),
        };
        let mut most = limits.values;
        if let Some(of) = number_of.filter(|of| quantity && of.is_finite()) {
            if column.numeric.add(number, call) {
                column.numbers.push((number, of));
            }
            most = most.min(NUMBERS);
        }
        let (key, shown) = key(&text, limits.value_bytes);
        let value = match column.values.get(key.as_str()) {
            Some(value) => *value,
            None if column.values.len() < most && self.values.len() < limits.all_values => {
                let value = self.values.len() as u32;
                let cut = shown < text.len();
                let text = text[..shown].into();
                self.values.push(Value { attribute, text, cut, group: Group::default() });
                column.values.insert(key.into(), value);
                value
            }
            None => {
                if column.refused.last() != Some(&number) {
                    column.refused.push(number);
                }
                return;
            }
        };
        if self.values[value as usize].group.add(number, call) {
            self.current.push(value);
        }
    }

    /// Ends with the call.
    pub fn end(&mut self) {
        if let Some(call) = self.calls.last_mut() {
            call.values = self.current.as_slice().into();
        }
    }

    fn attribute(&mut self, name: &str, role: Role, limits: &Limits) -> Option<u32> {
        if let Some(number) = self.names.get(name) {
            return Some(*number);
        }
        if self.attributes.len() >= limits.attributes {
            self.refused += 1;
            return None;
        }
        let number = self.attributes.len() as u32;
        self.attributes.push(Attribute {
            name: name.into(),
            role,
            present: Group::default(),
            values: HashMap::new(),
            numbers: Vec::new(),
            numeric: Group::default(),
            refused: Vec::new(),
        });
        self.names.insert(name.into(), number);
        Some(number)
    }
}

/// What a value is known by, and how much of it is shown.
fn key(text: &str, longest: usize) -> (String, usize) {
    if text.len() <= longest {
        return (text.to_owned(), text.len());
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    // No text that is short enough has a length and this in it by chance.
    (format!("{} {}", text.len(), crate::text::hex(digest.as_ref())), crate::text::floor(text, BEGINNING))
}
