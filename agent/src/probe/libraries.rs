//! TLS libraries of the system.

use std::path::{Path, PathBuf};

/// TLS libraries in the directories in which the dynamic linker looks by default, and one level below them
/// (Debian's multiarch directories).
pub(super) fn of_system() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"] {
        let Ok(entries) = std::fs::read_dir(top) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if is_tls_library(&path) {
                found.push(path);
            } else if path.extension().is_none() && entry.file_name().as_encoded_bytes().contains(&b'-') {
                let below = std::fs::read_dir(&path).into_iter().flatten().flatten();
                found.extend(below.map(|e| e.path()).filter(|p| is_tls_library(p)));
            }
        }
    }
    found
}

fn is_tls_library(path: &Path) -> bool {
    const NAMES: [&[u8]; 3] = [b"libssl.so", b"libgnutls.so", b"libssl3.so"];
    path.file_name().is_some_and(|n| NAMES.iter().any(|name| n.as_encoded_bytes().starts_with(name)))
}
