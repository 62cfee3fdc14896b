//! For programs.

use serde::Serialize;

use super::Report;
use crate::{
    diff::{ChangeKind, Class, Element, Side},
    version::Version,
};

#[derive(Serialize)]
struct Document<'a> {
    contract: &'a str,
    old: Version,
    new: Version,
    class: Class,
    changes: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    class: Class,
    change: ChangeKind,
    element: &'a Element,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<&'a str>,
    /// `consumers`, `producers`.
    breaks: Vec<&'static str>,
    message: String,
    affected: Vec<String>,
}

impl Report<'_> {
    /// One JSON object: `{contract, old, new, class, changes: [{class, change, element: {kind, name, attribute?}, old?, new?,
    /// breaks, message, affected}]}`.
    pub fn json(&self) -> serde_json::Result<String> {
        let changes = self.diff.changes.iter().map(|change| Entry {
            class: self.class_of(change),
            change: change.kind,
            element: &change.element,
            old: change.old.as_deref(),
            new: change.new.as_deref(),
            breaks: [(Side::Consumers, "consumers"), (Side::Producers, "producers")]
                .into_iter()
                .filter(|(side, _)| change.class_for(*side) == Class::Breaking)
                .map(|(_, name)| name)
                .collect(),
            message: change.to_string(),
            affected: (self.affected)(change),
        });
        let document = Document {
            contract: self.contract,
            old: self.diff.old,
            new: self.diff.new,
            class: self.class(),
            changes: changes.collect(),
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}
