//! The name of a user.

use std::path::Path;

use super::procfs::{cut, read_text};

/// A machine with a longer user list has the rest of it in a directory service, which is not asked.
const PASSWD_LIMIT: u64 = 1 << 20;
/// Longest user name that is shown, in bytes.
const NAME_LIMIT: usize = 64;

/// The name of a user of this machine, else the uid as text.
///
/// A container has users of its own: there the machine's names would be wrong.
pub(super) fn name(proc_root: &Path, uid: u32, in_container: bool) -> String {
    let name = if in_container {
        None
    } else {
        // The agent may itself run in a container; the machine's file is the one that its first process sees.
        read_text(&proc_root.join("1/root/etc/passwd"), PASSWD_LIMIT)
            .or_else(|| read_text(Path::new("/etc/passwd"), PASSWD_LIMIT))
            .and_then(|passwd| find(&passwd, uid))
    };
    name.unwrap_or_else(|| uid.to_string())
}

/// passwd(5): `name:password:uid:...`
fn find(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| cut(name, NAME_LIMIT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_uid() {
        let passwd =
            "# comment\nroot:x:0:0:root:/root:/bin/bash\nbroken:x\n:x:5:\nsvc:*:998:998::/:/bin/false\n";
        for (uid, expected) in [(0, Some("root")), (998, Some("svc")), (5, None), (1, None)] {
            assert_eq!(find(passwd, uid).as_deref(), expected, "{uid}");
        }
    }
}
