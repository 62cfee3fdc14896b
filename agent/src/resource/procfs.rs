//! Reading `/proc/PID`, each file with a limit: see proc(5) and its pages for the formats.

use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{ProcessInfo, arguments, container, kubernetes, owner, service};
use crate::{capture::Program, text::floor};

/// `status` and `stat` are about 1.5 KiB and 0.4 KiB.
const STATUS_LIMIT: u64 = 16 << 10;
/// One line a hierarchy; cgroup v1 has a dozen.
const CGROUP_LIMIT: u64 = 16 << 10;
/// Enough for every argument that is shown, and for the script behind a long list of interpreter options.
const CMDLINE_LIMIT: u64 = 64 << 10;
/// The kernel allows megabytes (`ARG_MAX`); a variable after so much is not found.
const ENVIRON_LIMIT: u64 = 256 << 10;
/// Longest name or path that is kept, in bytes.
const TEXT_LIMIT: usize = 1024;

impl ProcessInfo {
    /// Describes a process from `proc_root` (`/proc`); `None` if there is no such process.
    ///
    /// What may not be read (another user's `environ`, without privileges) is absent.
    pub fn read(proc_root: &Path, pid: u32) -> Option<Self> {
        let dir = proc_root.join(pid.to_string());
        let status = read_text(&dir.join("status"), STATUS_LIMIT)?;
        let name = status_field(&status, "Name:").map(str::to_owned);
        let uid = uid_of(&status);

        let executable_path = executable(&dir);
        let executable_name =
            executable_path.as_deref().and_then(|path| path.rsplit('/').next()).map(str::to_owned);

        let raw_args =
            arguments::split(&read_bounded(&dir.join("cmdline"), CMDLINE_LIMIT).unwrap_or_default());
        let environ = environ(proc_root, pid);
        let service::Told { name: told, namespace: service_namespace } = service::from_environment(&environ);
        let service_name =
            told.or_else(|| service::from_command(executable_name.as_deref().or(name.as_deref()), &raw_args));
        let cgroups = cgroups(proc_root, pid).unwrap_or_default();
        let container_id = container::id(&cgroups);
        let kubernetes_namespace = kubernetes::namespace(proc_root, pid, &environ, container_id.is_some());
        // The rest of the environment is nobody's business: it is where keys are kept.
        drop(environ);

        let command_args = arguments::shown(&raw_args);
        Some(Self {
            pid,
            parent_pid: status_field(&status, "PPid:").and_then(|p| p.parse().ok()).filter(|p| *p != 0),
            executable_path,
            executable_name,
            command: command_args.first().cloned(),
            command_args,
            owner: uid.map(|uid| owner::name(proc_root, uid, container_id.is_some())),
            service_name,
            service_namespace,
            kubernetes_namespace,
            container_id,
            cgroup: container::unified(&cgroups).map(|path| cut(path, TEXT_LIMIT)),
            host_name: host_name(proc_root),
        })
    }
}

impl ProcessInfo {
    /// Describes a process by what the kernel saw at its exec, and by its parent, with which it shares machine
    /// and container: less than `/proc` tells, and always there.
    pub(super) fn of_program(proc_root: &Path, pid: u32, program: &Program, parent: Option<&Self>) -> Self {
        let arguments = arguments::split(&program.arguments);
        let executable_path = Some(cut(&program.path, TEXT_LIMIT)).filter(|path| !path.is_empty());
        let executable_name =
            executable_path.as_deref().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
        let service_name = service::from_command(executable_name.as_deref(), &arguments);
        let command_args = arguments::shown(&arguments);
        let container_id = parent.and_then(|p| p.container_id.clone());
        Self {
            pid,
            parent_pid: Some(program.parent).filter(|p| *p != 0),
            executable_path,
            executable_name,
            command: command_args.first().cloned(),
            command_args,
            owner: Some(owner::name(proc_root, program.uid, container_id.is_some())),
            service_name,
            service_namespace: None,
            kubernetes_namespace: parent.and_then(|p| p.kubernetes_namespace.clone()),
            container_id,
            cgroup: parent.and_then(|p| p.cgroup.clone()),
            host_name: host_name(proc_root),
        }
    }
}

/// Inode of the initial UTS namespace (`PROC_UTS_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_UTS_NAMESPACE: u64 = 0xEFFF_FFFE;

/// The machine's name; absent where the agent sees only that of its own container.
pub fn host_name(proc_root: &Path) -> Option<String> {
    let namespace = std::fs::metadata(proc_root.join("self/ns/uts")).ok()?;
    if namespace.ino() != INITIAL_UTS_NAMESPACE {
        return None;
    }
    let name = read_text(&proc_root.join("sys/kernel/hostname"), STATUS_LIMIT)?;
    Some(name.trim().to_owned()).filter(|n| !n.is_empty())
}

/// When a process started, in clock ticks since boot (field 22 of `stat`): with the pid, its identity.
pub(super) fn start_time(proc_root: &Path, pid: u32) -> Option<u64> {
    let stat = read_text(&proc_root.join(pid.to_string()).join("stat"), STATUS_LIMIT)?;
    // The name in parentheses may itself hold spaces and parentheses; after the last one come numbers.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// The environment as it was when the program began; empty where it may not be read.
pub(super) fn environ(proc_root: &Path, pid: u32) -> Vec<u8> {
    read_bounded(&proc_root.join(pid.to_string()).join("environ"), ENVIRON_LIMIT).unwrap_or_default()
}

/// The text of `cgroup`.
pub(super) fn cgroups(proc_root: &Path, pid: u32) -> Option<String> {
    read_text(&proc_root.join(pid.to_string()).join("cgroup"), CGROUP_LIMIT)
}

/// The user's id.
pub(super) fn uid(proc_root: &Path, pid: u32) -> Option<u32> {
    uid_of(&read_text(&proc_root.join(pid.to_string()).join("status"), STATUS_LIMIT)?)
}

fn uid_of(status: &str) -> Option<u32> {
    status_field(status, "Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok())
}

pub(super) fn executable(dir: &Path) -> Option<String> {
    let path: PathBuf = std::fs::read_link(dir.join("exe")).ok()?;
    let path = path.to_string_lossy();
    // Appended by the kernel when the file was removed or replaced under the running process.
    let path = path.strip_suffix(" (deleted)").unwrap_or(&path);
    (!path.is_empty()).then(|| cut(path, TEXT_LIMIT))
}

fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Reads at most `limit` bytes of a file.
pub(super) fn read_bounded(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// As [`read_bounded`], with what is not UTF-8 replaced.
pub(super) fn read_text(path: &Path, limit: u64) -> Option<String> {
    read_bounded(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The first `limit` bytes of a text, and a sign that it went on.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{}…", &text[..floor(text, limit)])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    /// A `/proc` with processes of our own making.
    pub struct FakeProc(tempfile::TempDir);

    impl FakeProc {
        pub fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("1/root/etc")).unwrap();
            fs::write(
                dir.path().join("1/root/etc/passwd"),
                "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/:\n",
            )
            .unwrap();
            Self(dir)
        }

        pub fn root(&self) -> &Path {
            self.0.path()
        }

        pub fn process(&self, pid: u32, start: u64, exe: &str, args: &[&str]) {
            let dir = self.root().join(pid.to_string());
            fs::create_dir_all(&dir).unwrap();
            let cmdline: String = args.iter().flat_map(|a| [*a, "\0"]).collect();
            let name = exe.rsplit('/').next().unwrap();
            let zeros = "0 ".repeat(18);
            self.file(pid, "cmdline", &cmdline);
            self.file(
                pid,
                "status",
                &format!("Name:\t{name}\nPid:\t{pid}\nPPid:\t7\nUid:\t1000\t1000\t1000\t1000\n"),
            );
            self.file(pid, "stat", &format!("{pid} (a ) b) S {zeros}{start} 0 0\n"));
            self.file(pid, "environ", "HOME=/\0OPENAI_API_KEY=sk-hidden\0");
            self.file(pid, "cgroup", "0::/user.slice/user-1000.slice/session-2.scope\n");
            let _ = fs::remove_file(dir.join("exe"));
            symlink(exe, dir.join("exe")).unwrap();
        }

        pub fn file(&self, pid: u32, name: &str, content: &str) {
            fs::write(self.root().join(pid.to_string()).join(name), content).unwrap();
        }

        pub fn remove(&self, pid: u32) {
            fs::remove_dir_all(self.root().join(pid.to_string())).unwrap();
        }
    }

    #[test]
    fn a_process_is_described() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/usr/bin/python3.12", &["python3", "-u", "/srv/app.py", "--api-key", "hunter2"]);
        assert_eq!(
            ProcessInfo::read(fake.root(), 42),
            Some(ProcessInfo {
                pid: 42,
                parent_pid: Some(7),
                executable_path: Some("/usr/bin/python3.12".into()),
                executable_name: Some("python3.12".into()),
                host_name: None,
                command: Some("python3".into()),
                command_args: ["python3", "-u", "/srv/app.py", "--api-key", "***"].map(String::from).into(),
                owner: Some("ada".into()),
                service_name: Some("app".into()),
                service_namespace: None,
                kubernetes_namespace: None,
                container_id: None,
                cgroup: Some("/user.slice/user-1000.slice/session-2.scope".into()),
            })
        );
        assert_eq!(start_time(fake.root(), 42), Some(5));
    }

    #[test]
    fn a_container_names_its_users_itself() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/app", &["/app"]);
        let id = "0123456789abcdef".repeat(4);
        fake.file(42, "cgroup", &format!("0::/system.slice/docker-{id}.scope\n"));
        let info = ProcessInfo::read(fake.root(), 42).unwrap();
        assert_eq!((info.container_id, info.owner.as_deref()), (Some(id), Some("1000")));
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        let fake = FakeProc::new();
        assert_eq!(ProcessInfo::read(fake.root(), 42), None);
        fake.process(42, 5, "/usr/bin/curl (deleted)", &[]);
        fs::remove_file(fake.root().join("42/cgroup")).unwrap();
        fs::remove_file(fake.root().join("42/environ")).unwrap();
        let info = ProcessInfo::read(fake.root(), 42).unwrap();
        assert_eq!(info.executable_path.as_deref(), Some("/usr/bin/curl"));
        assert_eq!((info.command, info.command_args.len(), info.cgroup), (None, 0, None));
        assert_eq!(info.service_name.as_deref(), Some("curl"));
        fs::remove_file(fake.root().join("42/exe")).unwrap();
        let info = ProcessInfo::read(fake.root(), 42).unwrap();
        assert_eq!((info.executable_path, info.executable_name), (None, None));
    }

    #[test]
    fn garbage_and_excess_do_no_harm() {
        let fake = FakeProc::new();
        fake.process(42, 5, "/a", &["a"]);
        fs::write(fake.root().join("42/cmdline"), vec![b'x'; 1 << 20]).unwrap();
        fs::write(fake.root().join("42/status"), [0xff; 64]).unwrap();
        fs::write(fake.root().join("42/stat"), b"42 (a").unwrap();
        fs::write(fake.root().join("42/cgroup"), vec![b'/'; 1 << 20]).unwrap();
        let info = ProcessInfo::read(fake.root(), 42).unwrap();
        assert!(info.command.unwrap().len() < 600);
        assert_eq!((info.owner, info.cgroup, start_time(fake.root(), 42)), (None, None, None));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("aéb", 2), "a…");
    }
}
