//! The resource. Consumers see its attributes all together, whichever entity they belong to.

use super::{Change, ChangeKind, Class, Element, ElementKind, Found, names::Aliases, signal};
use crate::model::{Registry, Use};

/// Finds what changed in it.
pub(super) fn compare(old: &Registry, new: &Registry, found: &mut Found<'_>) {
    let element = Element::new(ElementKind::Resource, "resource");
    let all = |registry: &Registry| -> Vec<Use> {
        registry.entities.iter().flat_map(|entity| &entity.attributes).cloned().collect()
    };
    let aliases = Aliases::of(old, new);
    signal::carried(old, new, &aliases, (&all(old), &all(new)), &element, true, found);
    for was in &old.entities {
        let element = Element::new(ElementKind::Entity, &was.name);
        let Some(is) = new.entities.iter().find(|is| is.name == was.name) else {
            found.push(
                true,
                Change::new(Class::Compatible, ChangeKind::Described, element, "is not told apart any more"),
            );
            continue;
        };
        let ((old, old_name), (new, new_name)) = (signal::keys(&was.identity), signal::keys(&is.identity));
        if old != new {
            let message = format!("is told apart by {new_name}, and was by {old_name}");
            let change = Change::new(Class::Breaking, ChangeKind::Identity, element.clone(), message);
            found.push(true, change.from(old_name).to(new_name).breaking_producers(true));
        }
        found.described(element, (&was.brief, &was.stability) == (&is.brief, &is.stability));
    }
    for is in &new.entities {
        if old.entities.iter().all(|was| was.name != is.name) {
            let element = Element::new(ElementKind::Entity, &is.name);
            found.push(true, Change::new(Class::Compatible, ChangeKind::Described, element, "is told apart"));
        }
    }
}
