//! SARIF 2.1.0, for code scanning (OASIS "Static Analysis Results Interchange Format").

use std::collections::BTreeSet;

use serde::Serialize;

use super::Report;
use crate::diff::Class;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    version: &'a str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
struct Run<'a> {
    tool: Tool<'a>,
    results: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
struct Driver<'a> {
    name: &'a str,
    version: &'a str,
    rules: Vec<Described<'a>>,
}

#[derive(Serialize)]
struct Described<'a> {
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'a> {
    rule_id: &'a str,
    level: &'a str,
    message: Message,
    locations: [Location<'a>; 1],
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: Physical<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical<'a> {
    artifact_location: Artifact<'a>,
    region: Region,
}

#[derive(Serialize)]
struct Artifact<'a> {
    uri: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
}

impl Report<'_> {
    /// One SARIF log with a result for each change: `error` for what breaks, `note` for the rest.
    pub fn sarif(&self) -> serde_json::Result<String> {
        let results = self.diff.changes.iter().map(|change| {
            let (uri, start_line) = self.places.find(&change.element);
            let level = if self.class_of(change) == Class::Breaking { "error" } else { "note" };
            let location = Physical { artifact_location: Artifact { uri }, region: Region { start_line } };
            Finding {
                rule_id: change.kind.name(),
                level,
                message: Message { text: self.message(change) },
                locations: [Location { physical_location: location }],
            }
        });
        let rules: BTreeSet<&str> = self.diff.changes.iter().map(|change| change.kind.name()).collect();
        let driver = Driver {
            name: "plainspan contract",
            version: env!("CARGO_PKG_VERSION"),
            rules: rules.into_iter().map(|id| Described { id }).collect(),
        };
        let log = Log {
            schema: "https://json.schemastore.org/sarif-2.1.0.json",
            version: "2.1.0",
            runs: [Run { tool: Tool { driver }, results: results.collect() }],
        };
        Ok(serde_json::to_string_pretty(&log)? + "\n")
    }
}
