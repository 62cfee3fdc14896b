//! Who reads what plainspan exports: every declaration holds, and every dashboard, alert and query of ours has one.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, bail};
use plainspan_registry::{Registry, consumers};

/// Where our own files are that read.
const READERS: [&str; 3] = ["deploy/alerts", "deploy/dashboards", "deploy/queries"];

/// Fails with all that does not hold.
pub fn check(root: &Path, registry: &Registry) -> anyhow::Result<()> {
    let contract = root.join("contract");
    let declared = consumers::read(&contract)?;
    let mut problems: Vec<String> =
        consumers::check_all(&contract, &declared, registry).iter().map(ToString::to_string).collect();
    let files: BTreeSet<&str> =
        declared.iter().flat_map(|(_, d)| &d.consumers).filter_map(|c| c.file.as_deref()).collect();
    for dir in READERS {
        for file in listed(root, dir)? {
            if !files.contains(file.as_str()) {
                problems.push(format!(
                    "{file} has no declaration: `plainspan contract consumers --scan {file}` makes one"
                ));
            }
        }
    }
    if !problems.is_empty() {
        bail!("contract/consumers:\n  {}", problems.join("\n  "));
    }
    Ok(())
}

fn listed(root: &Path, dir: &str) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(dir)).with_context(|| format!("cannot read {dir}"))? {
        files.push(format!("{dir}/{}", entry?.file_name().to_string_lossy()));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_we_deploy_is_declared_as_it_is() {
        let root = super::super::workspace_root().unwrap();
        let registry = Registry::read(&root.join("contract/registry")).unwrap();
        check(&root, &registry).unwrap();
    }
}
