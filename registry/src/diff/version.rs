//! Whether the contract's version tells of the change, as semver.org has it.

use super::{Change, ChangeKind, Class, Element, ElementKind};
use crate::{model::Registry, version::Version};

/// Adds what is wrong with the version, given all other changes.
pub(super) fn compare(old: &Registry, new: &Registry, changes: &mut Vec<Change>) {
    let element = Element::new(ElementKind::Contract, &new.name);
    let (was, is) = (old.version, new.version);
    // Words are no telemetry.
    let seen = changes.iter().filter(|change| change.kind != ChangeKind::Described);
    let needed = seen.map(|change| change.class).max().map_or(was, |class| next(was, class));
    if is < needed {
        let message = format!("is version {is}; after {was}, these changes make it {needed} at least");
        let change = Change::new(Class::Breaking, ChangeKind::Version, element.clone(), message);
        changes.push(change.from(was.to_string()).to(needed.to_string()));
    }
    if old.name != new.name || old.description != new.description {
        let message = format!("is described differently, and was called {}", old.name);
        changes.push(Change::new(Class::Compatible, ChangeKind::Described, element, message));
    }
}

/// The first version that may have changes of a class.
fn next(version: Version, class: Class) -> Version {
    let Version { major, minor, patch } = version;
    match class {
        Class::Breaking if major > 0 => Version { major: major.saturating_add(1), minor: 0, patch: 0 },
        Class::Breaking | Class::Additive => Version { major, minor: minor.saturating_add(1), patch: 0 },
        Class::Compatible => Version { major, minor, patch: patch.saturating_add(1) },
    }
}
