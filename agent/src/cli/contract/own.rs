//! The contract that plainspan itself keeps, as the binary has it.

use std::path::Path;

use anyhow::Context;
use plainspan_registry::{File, Registry};

use crate::cli::Usage;

macro_rules! embedded {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../../../contract/registry/", $name)))),*]
    };
}

/// The files of `contract/registry/`.
const FILES: &[(&str, &str)] = &embedded![
    "events.yaml",
    "fingerprint.yaml",
    "gen_ai.yaml",
    "manifest.yaml",
    "mcp.yaml",
    "metrics.yaml",
    "plainspan.yaml",
    "resource.yaml",
    "spans.yaml",
    "transport.yaml"
];

/// The contract in a directory; plainspan's own where none is named.
pub fn contract(dir: Option<&Path>) -> anyhow::Result<Registry> {
    if let Some(dir) = dir {
        return Ok(Registry::read(dir).map_err(|error| Usage(error.to_string()))?);
    }
    let files = FILES.iter().map(|(name, text)| File { name: (*name).to_owned(), text: (*text).to_owned() });
    Registry::load(&files.collect::<Vec<_>>()).context("plainspan's own contract is wrong")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_contract_is_in_the_binary() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract/registry");
        let mut names: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        names.sort();
        assert_eq!(names, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        assert_eq!(contract(None).unwrap().version.to_string(), crate::contract::VERSION);
    }
}
