//! Whom a change of the contract hits.

use super::{
    check::readers,
    declaration::{Declarations, Reading, Subject},
    found::Usage,
};
use crate::diff::{Change, ChangeKind, Class, ElementKind};

/// The consumers whose reading a change takes away or makes into something else, each as a sentence; in the order of the
/// declarations. An overlap that has ended as announced still hits those that have not moved.
pub fn affected(declared: &[(String, Declarations)], change: &Change) -> Vec<String> {
    if change.class != Class::Breaking && change.kind != ChangeKind::OverlapEnded {
        return Vec::new();
    }
    let mut said = Vec::new();
    for subject in subjects(change) {
        for (owner, consumer, reading) in readers(declared, &subject) {
            if concerns(change, reading) {
                let (name, verbs) = (&consumer.name, reading.verbs());
                said.push(format!("{name} {verbs} {subject}, {} (owner: {owner})", what_it_does(change)));
            }
        }
    }
    said
}

/// What of a contract a change is of, as consumers declare it.
fn subjects(change: &Change) -> Vec<Subject> {
    let name = change.element.name.clone();
    let key = change.element.attribute.clone();
    match (change.element.kind, key) {
        (ElementKind::Attribute, _) => {
            vec![Subject::Attribute(name.clone()), Subject::ResourceAttribute(name)]
        }
        (ElementKind::Resource | ElementKind::Entity, Some(key)) => vec![Subject::ResourceAttribute(key)],
        (_, Some(key)) => vec![Subject::Attribute(key)],
        (ElementKind::Span, None) => vec![Subject::SpanName(name)],
        (ElementKind::Metric, None) => vec![Subject::Metric(name)],
        _ => Vec::new(),
    }
}

/// Does the change matter to this use of what it changes?
fn concerns(change: &Change, reading: &Reading) -> bool {
    let any = |usages: &[Usage]| usages.iter().any(|usage| reading.usages.contains(usage));
    match change.kind {
        // More values cost only those that keep them apart.
        ChangeKind::Cardinality => any(&[Usage::GroupsBy, Usage::Counts]),
        ChangeKind::Boundaries => any(&[Usage::Measures, Usage::Reads]),
        // A value that is not looked for is not missed.
        ChangeKind::MemberRemoved => {
            reading.values.is_empty() || change.old.as_ref().is_none_or(|old| reading.values.contains(old))
        }
        _ => true,
    }
}

fn what_it_does(change: &Change) -> String {
    let old = change.old.as_deref().unwrap_or_default();
    match change.kind {
        ChangeKind::Removed
        | ChangeKind::RenamedWithoutOverlap
        | ChangeKind::OverlapCutShort
        | ChangeKind::OverlapEnded => "which this change removes".to_owned(),
        ChangeKind::TakenOff => {
            format!("which this change takes off {} {}", change.element.kind.name(), change.element.name)
        }
        ChangeKind::MemberRemoved => format!("which this change takes the value {old:?} from"),
        ChangeKind::Type => "which this change gives another type".to_owned(),
        ChangeKind::Unit => "which this change gives another unit".to_owned(),
        ChangeKind::NamePattern => "which this change makes up differently".to_owned(),
        ChangeKind::Cardinality => "which this change lets have any number of values".to_owned(),
        ChangeKind::Requirement => "which this change promises less often".to_owned(),
        ChangeKind::UntilLowered => "which this change promises for less long".to_owned(),
        _ => "which this change alters".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Registry,
        consumers::tests::{DEFINITIONS, MANIFEST},
        diff::Diff,
        read::File,
    };

    const DECLARED: &str = "
file_format: consumers/1
owner: finance
consumers:
  - name: finance/token-spend.json
    reads:
      - {attribute: shop.model, how: [groups_by]}
      - {attribute: shop.end, how: [filters_on], values: [good]}
      - {span_name: shop.call, how: [filters_on]}
      - {metric: shop.call.duration, how: [measures]}
  - name: other.sql
    reads:
      - {attribute: shop.end, how: [groups_by]}
      - {resource_attribute: service.name, how: [reads]}
";

    /// What the consumers are told of an edit of the contract.
    fn told(from: &str, to: &str) -> Vec<String> {
        let load = |text: &str| {
            let file = |name: &str, text: &str| File { name: name.into(), text: text.into() };
            Registry::load(&[file("manifest.yaml", MANIFEST), file("all.yaml", text)]).unwrap()
        };
        let edited = DEFINITIONS.replace(from, to);
        assert_ne!(edited, DEFINITIONS, "{from}");
        let declared = [("finance.yaml".to_owned(), serde_yaml_ng::from_str(DECLARED).unwrap())];
        let diff = Diff::between(&load(DEFINITIONS), &load(&edited));
        let mut told: Vec<_> = diff.changes.iter().flat_map(|change| affected(&declared, change)).collect();
        told.dedup();
        told
    }

    #[test]
    fn a_change_names_those_that_it_breaks() {
        #[rustfmt::skip]
        let rows: [(&str, &str, &[&str]); 6] = [
            ("shop.model", "shop.variant", &["finance/token-spend.json groups by `shop.model`, which this change removes (owner: finance)"]),
            (", {id: bad, value: bad}", "", &["other.sql groups by `shop.end`, which this change takes the value \"bad\" from (owner: finance)"]),
            ("{id: good, value: good}, ", "", &[
                "finance/token-spend.json filters on `shop.end`, which this change takes the value \"good\" from (owner: finance)",
                "other.sql groups by `shop.end`, which this change takes the value \"good\" from (owner: finance)"]),
            ("'ask {shop.model}'", "'{shop.model} ask'", &["finance/token-spend.json filters on the names of spans `shop.call`, which this change makes up differently (owner: finance)"]),
            ("unit: s\n", "unit: ms\n", &["finance/token-spend.json measures the metric `shop.call.duration`, which this change gives another unit (owner: finance)"]),
            ("brief: A.", "brief: Other words.", &[]),
        ];
        for (from, to, wanted) in rows {
            let told = told(from, to);
            for line in wanted {
                assert!(told.iter().any(|t| t == line), "{line}\n{told:#?}");
            }
            assert_eq!(told.is_empty(), wanted.is_empty(), "{told:#?}");
        }
    }
}
