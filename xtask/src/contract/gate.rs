//! The gate: what is worked on, against the newest released baseline.

use std::path::Path;

use anyhow::{bail, ensure};
use plainspan_registry::{
    Registry, consumers,
    diff::{Class, Diff, Side},
    newest,
    report::{Places, Report},
};

/// Where the released contracts are, below the workspace.
pub const BASELINES: &str = "contract/baselines";

/// Fails if the contract breaks those who read what was released last. What the agent sends is no question of the gate: it is
/// built from the contract.
pub fn check(root: &Path, registry: &Registry) -> anyhow::Result<()> {
    let baseline = Registry::read(&newest(&root.join(BASELINES))?)?;
    for attribute in &registry.attributes {
        ensure!(
            attribute.since > baseline.version || baseline.attribute(&attribute.key).is_some(),
            "{} says since {}, and is not in {}: it is new in {}",
            attribute.key,
            attribute.since,
            baseline.version,
            registry.version
        );
    }
    let diff = Diff::between(&baseline, registry);
    let declared = consumers::read(&root.join("contract"))?;
    let report = Report {
        contract: &registry.name,
        diff: &diff,
        sides: &[Side::Consumers],
        places: &Places::default(),
        affected: &|change| consumers::affected(&declared, change),
    };
    if report.class() == Class::Breaking {
        bail!("the contract breaks its consumers\n{}", report.text());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{tests::load, workspace_root};
    use super::*;

    #[test]
    fn the_contract_keeps_what_was_released() {
        check(&workspace_root().unwrap(), &load()).unwrap();
    }

    #[test]
    fn what_is_new_says_since_when() {
        let mut registry = load();
        let mut new = registry.attribute("gen_ai.request.model").unwrap().clone();
        new.key = "aaa".into();
        registry.attributes.insert(0, new);
        let message = check(&workspace_root().unwrap(), &registry).unwrap_err().to_string();
        assert!(message.contains("aaa says since 0.1.0, and is not in 0.1.0"), "{message}");
    }

    #[test]
    fn what_was_released_cannot_just_go() {
        let mut registry = load();
        for span in &mut registry.spans {
            span.attributes.retain(|used| used.key != "gen_ai.request.model");
        }
        let message = check(&workspace_root().unwrap(), &registry).unwrap_err().to_string();
        assert!(
            message.contains("gen_ai.request.model on span gen_ai.client.inference is not there any more"),
            "{message}"
        );
    }
}
