//! Which files a command will run.

use std::{
    fs::File,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Most bytes of a script's first line, as the kernel reads it (`BINPRM_BUF_SIZE`, include/uapi/linux/binfmts.h).
const LINE: u64 = 256;

/// Most interpreters of interpreters that are followed.
const DEPTH: usize = 4;

/// The program, and the interpreters that its first line names (execve(2)): `#!/usr/bin/env node` names two.
pub(super) fn of_command(program: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = vec![program.to_owned()];
    while let Some(program) = next.pop() {
        let Some(path) = on_path(&program).and_then(|p| p.canonicalize().ok()) else { continue };
        if found.contains(&path) || found.len() > DEPTH {
            continue;
        }
        next.extend(interpreters(&path));
        found.push(path);
    }
    found
}

fn on_path(program: &Path) -> Option<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn interpreters(script: &Path) -> Vec<PathBuf> {
    let mut line = Vec::new();
    let read = File::open(script).and_then(|file| file.take(LINE).read_to_end(&mut line));
    if read.is_err() || !line.starts_with(b"#!") {
        return Vec::new();
    }
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    let words = line[2..].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    // Options of `env`, and what a shell is given, are no programs.
    words
        .filter(|word| word[0] != b'-' && !word.contains(&b'='))
        .take(2)
        .map(|word| PathBuf::from(std::ffi::OsStr::from_bytes(word)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let inner = write("inner", "#! /bin/sh -e\necho");
        let outer = write("outer", &format!("#!/usr/bin/env -S A=1 {} x\n", inner.display()));
        let all = of_command(&outer);
        let real = |path: &str| Path::new(path).canonicalize().unwrap();
        assert!(
            all.contains(&outer.canonicalize().unwrap()) && all.contains(&real("/usr/bin/env")),
            "{all:?}"
        );
        assert!(all.contains(&inner.canonicalize().unwrap()) && all.contains(&real("/bin/sh")), "{all:?}");
        assert_eq!(of_command(Path::new("sh")), [real("/bin/sh")]);
        assert!(of_command(Path::new("/no/such/program")).is_empty());
        let own = write("own", "");
        std::fs::write(&own, format!("#!{}\n", own.display())).unwrap();
        assert_eq!(of_command(&own).len(), 1);
    }
}
