//! WHY: what calls that are bad have in common, and others have not.
//!
//! Calls are handed to a [`Comparison`], each with a word whether it is bad; it tells which values of which attributes set the bad ones apart, and
//! how sure that is, all values counted that were tried. Pure: it knows spans and conditions on them, but neither where they come from
//! nor who reads the answer.

mod chance;
mod comparison;
mod facts;
mod finding;
mod rank;
mod seen;
mod together;
mod weight;

pub use comparison::Comparison;
pub use finding::{Count, Finding, Findings, LeftOut, Term, Together};

/// How much is held, and when something is sure.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most calls that are compared.
    pub calls: usize,
    /// Most attributes.
    pub attributes: usize,
    /// Most different values of one attribute.
    pub values: usize,
    /// Most different values of all attributes together.
    pub all_values: usize,
    /// Longest value that is told from others by all of it, in bytes.
    pub value_bytes: usize,
    /// Greatest probability that anything at all is told of calls that nothing sets apart.
    pub level: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 500_000,
            attributes: 1024,
            values: 20_000,
            all_values: 500_000,
            value_bytes: 256,
            level: 0.01,
        }
    }
}

#[cfg(test)]
mod tests;
