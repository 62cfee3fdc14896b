//! The command of `run -- COMMAND`.

use std::{
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
};

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, Command};

/// The user who called sudo.
struct Invoker {
    uid: u32,
    gid: u32,
    name: Option<String>,
    home: Option<String>,
}

/// The limit of open files that the agent was started with.
#[derive(Clone, Copy)]
pub(super) struct FileLimit(Rlimit);

impl FileLimit {
    /// Lets the agent open as many files as it may: a probed library takes a dozen descriptors.
    pub(super) fn raise() -> Self {
        let given = getrlimit(Resource::Nofile);
        set(Rlimit { current: given.maximum, ..given });
        Self(given)
    }

    /// Runs `f` under the limit that was given: programs that use select(2) can't do with a higher one.
    fn given<R>(self, f: impl FnOnce() -> R) -> R {
        let raised = getrlimit(Resource::Nofile);
        set(self.0);
        let result = f();
        set(raised);
        result
    }
}

fn set(limit: Rlimit) {
    // More files is what is wished for; fewer will do, and a failure to probe is reported.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The command, as the user who called sudo if somebody did.
pub(super) fn command(command: &[OsString]) -> anyhow::Result<Command> {
    let (program, arguments) = command.split_first().context("no command is given after --")?;
    let mut child = Command::new(program);
    child.args(arguments);
    if let Some(invoker) = invoker(&|name| std::env::var(name).ok()) {
        child.uid(invoker.uid).gid(invoker.gid);
        for (variable, value) in
            [("HOME", &invoker.home), ("USER", &invoker.name), ("LOGNAME", &invoker.name)]
        {
            if let Some(value) = value {
                child.env(variable, value);
            }
        }
        for variable in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
            child.env_remove(variable);
        }
    }
    Ok(child)
}

/// Starts it.
pub(super) fn start(mut command: Command, files: FileLimit) -> anyhow::Result<Child> {
    files.given(|| command.spawn()).map_err(|error| {
        let program = command.as_std().get_program().to_string_lossy();
        match error.kind() {
            std::io::ErrorKind::NotFound => NotStarted {
                status: 127,
                reason: format!("{program}: there is no such command; check its name and PATH"),
            },
            std::io::ErrorKind::PermissionDenied => NotStarted {
                status: 126,
                reason: format!("{program}: may not be executed; check its permissions"),
            },
            _ => NotStarted { status: 126, reason: format!("{program}: could not be started ({error})") },
        }
        .into()
    })
}

/// The command could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NotStarted {
    /// Exit status, as shells have it.
    pub(super) status: u8,
    pub(super) reason: String,
}

/// The status with which to end when the command ended with `status`: its own, or 128 + the signal, as shells
/// have it.
pub(super) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s)).unwrap_or(1);
    ExitCode::from(code as u8)
}

fn invoker(variable: &dyn Fn(&str) -> Option<String>) -> Option<Invoker> {
    let uid: u32 = variable("SUDO_UID")?.parse().ok()?;
    let gid = variable("SUDO_GID")?.parse().ok()?;
    // Only root can become somebody else, and root who called sudo stays root.
    if uid == 0 || !is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home = passwd.lines().find_map(|line| {
        // name:password:uid:gid:comment:home:shell, see passwd(5)
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(5).map(|h| (*h).to_owned()))?
    });
    Some(Invoker { uid, gid, name: variable("SUDO_USER"), home })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_as_shells_have_them() {
        let cases = [(0, 0), (3 << 8, 3), (9, 137), (15, 143)];
        for (raw, expected) in cases {
            let code = exit_code(ExitStatus::from_raw(raw));
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(expected)));
        }
    }

    #[tokio::test]
    async fn the_command_has_the_limit_of_files_that_was_given() {
        let given = getrlimit(Resource::Nofile);
        let files = FileLimit(Rlimit { current: Some(100), ..given });
        let test = ["sh", "-c", "test $(ulimit -Sn) = 100"].map(OsString::from);
        let status = start(command(&test).unwrap(), files).unwrap().wait().await.unwrap();
        assert!(status.success());
        assert_eq!(getrlimit(Resource::Nofile).current, given.current);
    }

    #[test]
    fn who_called_sudo() {
        let with = |pairs: &'static [(&str, &str)]| {
            invoker(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
        };
        assert!(with(&[]).is_none());
        assert!(with(&[("SUDO_UID", "0"), ("SUDO_GID", "0")]).is_none());
        assert!(with(&[("SUDO_UID", "x"), ("SUDO_GID", "1")]).is_none());
        if is_root() {
            let found = with(&[("SUDO_UID", "1"), ("SUDO_GID", "1"), ("SUDO_USER", "daemon")]).unwrap();
            assert_eq!((found.uid, found.gid, found.name.as_deref()), (1, 1, Some("daemon")));
        }
    }
}
