//! What a change of a contract does to those who read the telemetry, and to those who send it.
//!
//! The measure is what a consumer of the old contract may rely on: that a span, metric or event is there; that it carries an
//! attribute, always or on its condition; of which type, in which unit, with which values, how long, how private, of how many
//! values; and how spans are named. A change is *breaking* when one of these promises can fail under the new contract. What is
//! deprecated is promised up to its `until` and no longer.

mod attribute;
mod change;
mod names;
mod presence;
mod resource;
mod signal;
mod version;

pub use change::{Change, ChangeKind, Class, Element, ElementKind, Side};

use crate::{
    model::{Deprecated, Registry},
    version::Version,
};

/// Every change from one contract to another.
#[derive(Clone, Debug)]
pub struct Diff {
    /// Version of the old contract.
    pub old: Version,
    /// Version of the new contract.
    pub new: Version,
    /// The changes, those that break first, then in the order of their elements.
    pub changes: Vec<Change>,
}

impl Diff {
    /// Compares two contracts.
    pub fn between(old: &Registry, new: &Registry) -> Self {
        let mut changes = Vec::new();
        let mut found = Found { new: new.version, changes: &mut changes };
        attribute::compare(old, new, &mut found);
        signal::compare(old, new, &mut found);
        resource::compare(old, new, &mut found);
        version::compare(old, new, &mut changes);
        changes.sort_by(|a, b| {
            (b.class, &a.element, a.kind, &a.message).cmp(&(a.class, &b.element, b.kind, &b.message))
        });
        Self { old: old.version, new: new.version, changes }
    }

    /// What the whole change is for consumers; compatible if there is none.
    pub fn class(&self) -> Class {
        self.class_for(Side::Consumers)
    }

    /// What the whole change is for one side; compatible if there is none.
    pub fn class_for(&self, side: Side) -> Class {
        self.changes.iter().map(|change| change.class_for(side)).max().unwrap_or(Class::Compatible)
    }

    /// The changes that break one side.
    pub fn breaking(&self, side: Side) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.class_for(side) == Class::Breaking)
    }
}

/// Takes the changes that are found.
struct Found<'a> {
    new: Version,
    changes: &'a mut Vec<Change>,
}

impl Found<'_> {
    /// Whether something was promised to be there only before the new version.
    fn lapsed(&self, deprecated: Option<&Deprecated>) -> bool {
        deprecated.is_some_and(|d| d.until <= self.new)
    }

    /// Takes a change; where nothing was `promised` any more, it breaks nobody.
    fn push(&mut self, promised: bool, mut change: Change) {
        if !promised && change.class == Class::Breaking {
            change.class = Class::Compatible;
        }
        self.changes.push(change);
    }

    /// Something is not there any more.
    fn gone(&mut self, element: Element, deprecated: Option<&Deprecated>, successor: Option<&str>) {
        let change = match (deprecated, successor) {
            (Some(d), _) if d.until <= self.new => Change::new(
                Class::Compatible,
                ChangeKind::OverlapEnded,
                element,
                format!("is gone; it was promised until {} only", d.until),
            ),
            (Some(d), _) => Change::new(
                Class::Breaking,
                ChangeKind::OverlapCutShort,
                element,
                format!("is gone in {}, but was promised until {}", self.new, d.until),
            ),
            (None, Some(successor)) => Change::new(
                Class::Breaking,
                ChangeKind::RenamedWithoutOverlap,
                element,
                format!(
                    "seems to be renamed to {successor}, with no overlap: keep it beside, as deprecated with \
                     `renamed_to: {successor}`"
                ),
            )
            .to(successor),
            (None, None) => Change::new(Class::Breaking, ChangeKind::Removed, element, "is removed"),
        };
        self.changes.push(change);
    }

    /// Something is deprecated, or differently so.
    fn deprecation(
        &mut self,
        element: Element,
        old: Option<&Deprecated>,
        new: Option<&Deprecated>,
        promised: bool,
    ) {
        let until = |d: &Deprecated| match &d.renamed_to {
            Some(current) => format!("is renamed to {current}, and there under both names until {}", d.until),
            None => format!("is deprecated, and there until {}", d.until),
        };
        let (class, message) = match (old, new) {
            (None, None) => return,
            (Some(old), Some(new)) if old == new => return,
            (Some(old), Some(new)) if new.until < old.until => (
                Class::Breaking,
                format!("is promised until {} only, and was until {}", new.until, old.until),
            ),
            (_, Some(new)) => (Class::Compatible, until(new)),
            (Some(_), None) => (Class::Compatible, "is not deprecated any more".to_owned()),
        };
        let kind = if class == Class::Breaking { ChangeKind::UntilLowered } else { ChangeKind::Deprecated };
        let mut change = Change::new(class, kind, element, message);
        if let Some(current) = new.and_then(|d| d.renamed_to.as_deref()) {
            change = change.to(current);
        }
        self.push(promised, change);
    }

    /// Words about something changed.
    fn described(&mut self, element: Element, same: bool) {
        if !same {
            let said =
                Change::new(Class::Compatible, ChangeKind::Described, element, "is described differently");
            self.changes.push(said);
        }
    }
}

#[cfg(test)]
mod consumer;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
