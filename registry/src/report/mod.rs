//! The gate's findings, for people and for the tools around them.

mod github;
mod json;
mod places;
mod sarif;
mod text;

pub use places::Places;

use crate::diff::{Change, Class, Diff, Side};

/// What the gate found, and what is to be said with it.
pub struct Report<'a> {
    /// Name of the contract.
    pub contract: &'a str,
    /// The changes.
    pub diff: &'a Diff,
    /// Whose promises count.
    pub sides: &'a [Side],
    /// Where the elements of the new contract stand.
    pub places: &'a Places,
    /// Who is hit by a change, a line for each: "finance/token-spend.json groups by `gen_ai.request.model`".
    pub affected: &'a dyn Fn(&Change) -> Vec<String>,
}

impl Report<'_> {
    /// The change, and a line for each whom it hits.
    fn message(&self, change: &Change) -> String {
        let lines: Vec<String> = std::iter::once(change.to_string()).chain((self.affected)(change)).collect();
        lines.join("\n")
    }

    /// What a change is for those who count.
    pub fn class_of(&self, change: &Change) -> Class {
        self.sides.iter().map(|side| change.class_for(*side)).max().unwrap_or(Class::Compatible)
    }

    /// What the whole change is for those who count.
    pub fn class(&self) -> Class {
        self.diff.changes.iter().map(|change| self.class_of(change)).max().unwrap_or(Class::Compatible)
    }

    fn count(&self, class: Class) -> usize {
        self.diff.changes.iter().filter(|change| self.class_of(change) == class).count()
    }
}

#[cfg(test)]
mod tests;
