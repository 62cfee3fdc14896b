//! What a file holds: every locator is asked.

use std::{collections::HashSet, fs::File, sync::Arc};

use tracing::debug;

use super::{
    Architecture, Elf, Finding,
    locate::{LOCATORS, Locator},
};

/// TLS code that can't be probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which implementation: the name of the locator.
    pub stack: &'static str,
    /// Why, for a person.
    pub reason: String,
}

/// What came of a file. Both lists are empty for most files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examined {
    /// What can be probed; no place is in it twice.
    pub findings: Vec<Arc<Finding>>,
    /// What is there and can't be probed.
    pub refusals: Vec<Refusal>,
}

/// Everything that a file holds: a program may carry several TLS implementations. What one locator can't tell of
/// hides nothing of the others.
pub fn examine(file: &File) -> Examined {
    ask(file, |_| true)
}

/// What a file holds by its symbols alone, which takes a millisecond or so.
pub fn examine_symbols(file: &File) -> Examined {
    ask(file, |locator| locator.by_symbols())
}

fn ask(file: &File, whom: impl Fn(&dyn Locator) -> bool) -> Examined {
    let mut examined = Examined::default();
    let mut taken = HashSet::new();
    let viewed = Elf::view(file, |elf| {
        if Some(elf.architecture()) != Architecture::native() {
            return;
        }
        for locator in LOCATORS.iter().filter(|locator| whom(**locator)) {
            match locator.locate(elf) {
                Ok(None) => {}
                Ok(Some(finding)) => examined.findings.extend(distinct(finding, &mut taken).map(Arc::new)),
                Err(reason) => examined.refusals.push(Refusal { stack: locator.name(), reason }),
            }
        }
    });
    // Text files, data and programs for other machines are mapped executable now and then.
    if let Err(error) = viewed {
        debug!(%error, "not examined");
    }
    examined
}

/// Without the points that an earlier finding has at the same place, or bytes would be reported twice.
fn distinct(mut finding: Finding, taken: &mut HashSet<(u64, super::Mechanism)>) -> Option<Finding> {
    finding.points.retain(|point| taken.insert((point.offset, point.mechanism)));
    (!finding.points.is_empty()).then_some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Mechanism, ProbePoint};

    #[test]
    fn no_place_is_probed_for_two_findings() {
        let finding = |stack, offsets: &[u64]| Finding {
            stack,
            evidence: String::new(),
            points: offsets
                .iter()
                .map(|offset| ProbePoint {
                    symbol: "f",
                    offset: *offset,
                    mechanism: Mechanism::Uprobe,
                    point: agent_common::Point::default(),
                })
                .collect(),
        };
        let mut taken = HashSet::new();
        let left: Vec<_> = [finding("a", &[1, 2]), finding("b", &[2]), finding("c", &[2, 3])]
            .into_iter()
            .filter_map(|finding| distinct(finding, &mut taken))
            .map(|f| (f.stack, f.points.len(), f.points[0].offset))
            .collect();
        assert_eq!(left, [("a", 2, 1), ("c", 1, 3)]);
    }

    #[test]
    fn what_is_no_program_holds_nothing() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"#!/bin/sh\n").unwrap();
        assert_eq!(examine(&file), Examined::default());
    }
}
