//! Where the files of a contract are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{error::Error, model::Registry, version::Version};

/// One file of a contract, with the name under which messages speak of it.
#[derive(Clone, Debug)]
pub struct File {
    /// Its path, as it was given.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Directories in directories are read down to here, so that a loop of links ends.
const DEPTH: usize = 8;

impl Registry {
    /// Reads the contract in a directory: its registry, or what has that in `registry/`.
    pub fn read(dir: &Path) -> Result<Self, Error> {
        Self::load(&files(dir)?)
    }
}

/// The files of the contract in a directory: its registry, or what has that in `registry/`.
pub fn files(dir: &Path) -> Result<Vec<File>, Error> {
    let registry = registry_dir(dir).ok_or_else(|| Error::NoManifest { dir: dir.display().to_string() })?;
    let mut files = Vec::new();
    collect(&registry, DEPTH, &mut files)?;
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// The directory of the newest contract among the releases in a directory, each in a directory named after its version. A
/// directory that is itself a contract is that contract.
pub fn newest(dir: &Path) -> Result<PathBuf, Error> {
    if registry_dir(dir).is_some() {
        return Ok(dir.to_path_buf());
    }
    let newest = releases(dir)?.pop();
    newest.map(|(_, path)| path).ok_or_else(|| Error::NoBaseline { dir: dir.display().to_string() })
}

/// The releases in a directory of baselines, from the oldest on. Directories that are not named after a version are none.
pub fn releases(dir: &Path) -> Result<Vec<(Version, PathBuf)>, Error> {
    let mut releases = Vec::new();
    for path in entries(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Ok(version) = name.parse::<Version>()
            && registry_dir(&path).is_some()
        {
            releases.push((version, path));
        }
    }
    releases.sort();
    Ok(releases)
}

fn registry_dir(dir: &Path) -> Option<PathBuf> {
    let inner = dir.join("registry");
    [dir, &inner].into_iter().find(|dir| dir.join("manifest.yaml").is_file()).map(Path::to_path_buf)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |error| Error::Read { path: dir.to_path_buf(), error };
    let listed: io::Result<Vec<_>> =
        fs::read_dir(dir).map_err(failed)?.map(|e| e.map(|e| e.path())).collect();
    listed.map_err(failed)
}

fn collect(dir: &Path, depth: usize, files: &mut Vec<File>) -> Result<(), Error> {
    for path in entries(dir)? {
        if path.is_dir() && depth > 0 {
            collect(&path, depth - 1, files)?;
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            let text =
                fs::read_to_string(&path).map_err(|error| Error::Read { path: path.clone(), error })?;
            files.push(File { name: path.display().to_string(), text });
        }
    }
    Ok(())
}
