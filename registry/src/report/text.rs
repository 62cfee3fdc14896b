//! For people.

use std::fmt::Write as _;

use super::Report;
use crate::diff::{Class, Side};

impl Report<'_> {
    /// A few lines on a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let (old, new) = (self.diff.old, self.diff.new);
        let _ = writeln!(out, "contract {} {old} -> {new}: {}", self.contract, self.verdict());
        for class in [Class::Breaking, Class::Additive, Class::Compatible] {
            let mut changes = self.diff.changes.iter().filter(|c| self.class_of(c) == class).peekable();
            if changes.peek().is_some() {
                let _ = writeln!(out, "\n{}:", class.name());
            }
            for change in changes {
                let _ = writeln!(out, "  {change}");
                if class == Class::Breaking && change.class_for(Side::Consumers) != Class::Breaking {
                    let _ = writeln!(out, "    producers that kept to {old} do not keep to {new}");
                }
                for who in (self.affected)(change) {
                    let _ = writeln!(out, "    {who}");
                }
            }
        }
        if !self.diff.changes.is_empty() {
            let [breaking, additive, compatible] =
                [Class::Breaking, Class::Additive, Class::Compatible].map(|class| self.count(class));
            let _ = writeln!(out, "\n{breaking} breaking, {additive} additive, {compatible} compatible");
        }
        out
    }

    fn verdict(&self) -> &'static str {
        if self.diff.changes.is_empty() { "the same" } else { self.class().name() }
    }
}
