//! Executable files that a process has mapped, from `/proc/PID/maps`.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use super::identity::Identity;

/// Most bytes of a maps file that are read: a process can have 65,530 mappings by default, and make its
/// paths long.
const MAX_BYTES: u64 = 16 << 20;

/// A file that a process has mapped for execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Path as the process sees it.
    pub path: PathBuf,
    /// Inode, as the kernel reports it with the mapping.
    pub inode: u64,
    /// `START-END` of one of its mappings.
    pub range: String,
}

impl Mapped {
    /// A path by which the agent reaches this very file, and its identity. The path leads through the
    /// process's own root, for it may live in another mount namespace; a file that was deleted or replaced
    /// since is reached through the mapping itself.
    pub fn reach(&self, proc_root: &Path, pid: u32) -> io::Result<(PathBuf, Identity)> {
        let process = proc_root.join(pid.to_string());
        let relative = self.path.strip_prefix("/").unwrap_or(&self.path);
        let through_root = process.join("root").join(relative);
        if let Ok(found) = std::fs::metadata(&through_root)
            && found.ino() == self.inode
        {
            let id = Identity::new(&through_root, &found);
            return Ok((through_root, id));
        }
        let through_mapping = process.join("map_files").join(&self.range);
        let found = std::fs::metadata(&through_mapping)?;
        let id = Identity::new(&through_mapping, &found);
        Ok((through_mapping, id))
    }
}

/// Reads the executable file mappings of a process, each file once.
pub fn executable_files(proc_root: &Path, pid: u32) -> io::Result<Vec<Mapped>> {
    let file = File::open(proc_root.join(pid.to_string()).join("maps"))?;
    parse(BufReader::new(file.take(MAX_BYTES)))
}

fn parse(mut input: impl BufRead) -> io::Result<Vec<Mapped>> {
    let mut files: Vec<Mapped> = Vec::new();
    let mut seen = HashSet::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(files);
        }
        // start-end perms offset dev inode path, see proc_pid_maps(5)
        let Some(mapped) = mapping(&line) else { continue };
        if seen.insert((mapped.inode, mapped.path.clone())) {
            files.push(mapped);
        }
    }
}

fn mapping(line: &[u8]) -> Option<Mapped> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields = line.splitn(6, |b| *b == b' ');
    let range = std::str::from_utf8(fields.next()?).ok()?;
    let permissions = fields.next()?;
    let (_offset, _device) = (fields.next()?, fields.next()?);
    let inode: u64 = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let path = fields.next()?.trim_ascii_start();
    if permissions.get(2) != Some(&b'x') || inode == 0 || path.first() != Some(&b'/') {
        return None;
    }
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(Mapped { path: PathBuf::from(std::ffi::OsStr::from_bytes(path)), inode, range: range.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_file_mappings_once_each() {
        let text = "\
55d0c8a00000-55d0c8a10000 r--p 00000000 fe:00 131 /usr/bin/with space
55d0c8a10000-55d0c8a20000 r-xp 00010000 fe:00 131 /usr/bin/with space
7f0000000000-7f0000001000 r-xp 00000000 00:00 0 
7f0000002000-7f0000003000 r-xp 00001000 fe:00 77                         /usr/lib/libssl.so.3 (deleted)
7f0000003000-7f0000004000 r-xp 00001000 fe:00 77                         /usr/lib/libssl.so.3 (deleted)
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0                          [vdso]
garbage
7f0000005000-7f0000006000 r-xp 00001000 fe:00 notanumber /x
";
        let found = parse(text.as_bytes()).unwrap();
        let short: Vec<_> = found.iter().map(|m| (m.path.to_str().unwrap(), m.inode)).collect();
        assert_eq!(short, [("/usr/bin/with space", 131), ("/usr/lib/libssl.so.3", 77)]);
        assert_eq!(found[1].range, "7f0000002000-7f0000003000");
    }

    #[test]
    fn own_mappings_are_reachable() {
        let proc_root = Path::new("/proc");
        let pid = std::process::id();
        let files = executable_files(proc_root, pid).unwrap();
        assert!(!files.is_empty());
        let (path, id) = files[0].reach(proc_root, pid).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().ino(), id.file.inode);
    }
}
