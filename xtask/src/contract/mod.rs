//! `cargo xtask contract`: from the registry under `contract/`, everything that is generated.

mod consumers;
mod docs;
mod gate;
mod lists;
mod otel;
mod profiles;
mod rust;
mod schema;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use plainspan_registry::{Registry, releases};

/// Where only generated files are, below the workspace.
const GENERATED: &str = "contract/generated";

/// `contract [--check]`: writes the generated files; or says which of them are stale, which consumers are not declared as they are, and
/// whether the contract breaks what was released.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask contract [--check]"),
    };
    let root = workspace_root()?;
    let registry = Registry::read(&root.join("contract/registry"))?;
    let mut files = generate(&registry, &profiles::read(&root)?)?;
    files.extend(beside(&root, &registry)?);
    if !check {
        return write_files(&root, &files);
    }
    check_files(&root, &files)?;
    consumers::check(&root, &registry)?;
    gate::check(&root, &registry)
}

/// Path below the workspace, and text, of every generated file.
fn generate(registry: &Registry, source: &profiles::Source) -> anyhow::Result<Vec<(String, String)>> {
    let profiles = profiles::profiles(source, registry)?;
    let mut files = vec![
        ("agent/src/contract/names.rs".to_owned(), rust::generate(registry, &profiles)?),
        ("docs/contract.md".to_owned(), docs::generate(registry, &profiles, &source.older_fields)?),
    ];
    for span in &registry.spans {
        let name = format!("contract/generated/{}", schema::file(span));
        files.push((name, schema::generate(registry, span)?));
    }
    Ok(files)
}

/// The same of what is for tools of others.
fn beside(root: &Path, registry: &Registry) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = vec![
        ("contract/generated/attributes.json".to_owned(), lists::attributes(registry)?),
        ("contract/generated/collector.yaml".to_owned(), lists::collector(registry)?),
    ];
    let mut versions = Vec::new();
    for (version, dir) in releases(&root.join(gate::BASELINES))? {
        let released = Registry::read(&dir)?;
        ensure!(released.version == version, "{} is version {}", dir.display(), released.version);
        versions.extend((version < registry.version).then_some(released));
    }
    versions.push(registry.clone());
    for (version, text) in otel::generate(&versions)? {
        files.push((format!("contract/generated/schema-{version}.yaml"), text));
    }
    Ok(files)
}

fn write_files(root: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for name in left_over(root, files)? {
        fs::remove_file(root.join(&name)).with_context(|| format!("cannot remove {name}"))?;
        writeln!(stdout, "removed {name}")?;
    }
    for (name, text) in files {
        let path = root.join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(stdout, "wrote {name}")?;
    }
    Ok(())
}

fn check_files(root: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let stale: Vec<_> = files
        .iter()
        .filter(|(name, text)| fs::read_to_string(root.join(name)).map_or(true, |old| old != *text))
        .map(|(name, _)| name.as_str())
        .collect();
    let stale: Vec<_> = stale.into_iter().map(str::to_owned).chain(left_over(root, files)?).collect();
    if !stale.is_empty() {
        bail!("stale, renew with `cargo xtask contract`: {}", stale.join(", "));
    }
    Ok(())
}

/// Files beside the generated ones that are generated no more, by their paths below the workspace.
fn left_over(root: &Path, files: &[(String, String)]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(GENERATED)).with_context(|| format!("cannot read {GENERATED}"))? {
        let name = format!("{GENERATED}/{}", entry?.file_name().display());
        if files.iter().all(|(generated, _)| *generated != name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn workspace_root() -> anyhow::Result<PathBuf> {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(Path::to_path_buf).context("xtask stands in no workspace")
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn load() -> Registry {
        Registry::read(&workspace_root().unwrap().join("contract/registry")).unwrap()
    }

    fn generated() -> Vec<(String, String)> {
        let root = workspace_root().unwrap();
        let mut files = generate(&load(), &profiles::read(&root).unwrap()).unwrap();
        files.extend(beside(&root, &load()).unwrap());
        files
    }

    #[test]
    fn generated_files_are_fresh_and_say_what_they_are() {
        let files = generated();
        check_files(&workspace_root().unwrap(), &files).unwrap();
        for (name, text) in &files {
            let first = text.lines().next().unwrap();
            assert!(first.contains("Generated by `cargo xtask contract`"), "{name}: {first}");
        }
    }

    #[test]
    fn a_stale_file_is_named() {
        let mut files = generated();
        files[1].1.push('x');
        files.retain(|(name, _)| !name.ends_with("attributes.json"));
        let message = check_files(&workspace_root().unwrap(), &files).unwrap_err().to_string();
        assert!(message.ends_with(": docs/contract.md, contract/generated/attributes.json"), "{message}");
    }

    #[test]
    fn generation_is_deterministic() {
        assert_eq!(generated(), generated());
    }
}
