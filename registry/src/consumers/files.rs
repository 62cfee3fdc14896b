//! Where declarations are, and the files that they speak of.

use std::{fs, path::Path};

use super::{Declarations, Names, Problem, check};
use crate::{Error, Registry};

/// The declarations of a contract: every `consumers/*.yaml` below its directory, each with its path. None where there is no such
/// directory.
pub fn read(contract: &Path) -> Result<Vec<(String, Declarations)>, Error> {
    let dir = contract.join("consumers");
    let failed = |path: &Path, error| Error::Read { path: path.to_path_buf(), error };
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut declared = Vec::new();
    for entry in fs::read_dir(&dir).map_err(|error| failed(&dir, error))? {
        let path = entry.map_err(|error| failed(&dir, error))?.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
            let file = path.display().to_string();
            let declarations =
                serde_yaml_ng::from_str(&text).map_err(|error| Error::Yaml { file: file.clone(), error })?;
            declared.push((file, declarations));
        }
    }
    declared.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(declared)
}

/// All that is wrong with the declarations of a contract. The files of consumers are looked for from the directory on that the
/// contract's lies in.
pub fn check_all(contract: &Path, declared: &[(String, Declarations)], registry: &Registry) -> Vec<Problem> {
    let names = Names::new(registry);
    let root = contract.join("..");
    let read = |file: &str| {
        fs::read_to_string(root.join(file)).map_err(|error| format!("{file} can't be read: {error}"))
    };
    declared.iter().flat_map(|(file, declarations)| check(file, declarations, &names, read)).collect()
}
