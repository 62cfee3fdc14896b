//! What can be known of a container without asking Kubernetes or the container's runtime, and of its labels.
//!
//! Files of a container are read below its own root, where its links lead too (openat2(2), `RESOLVE_IN_ROOT`): none of them gets
//! out to a file of the machine.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use serde_json::Value;

use super::{environment, procfs::read_bounded};

/// A container's own account (Kubernetes, "Service Accounts": files of the volume that is projected into every pod, unless it
/// declines).
const NAMESPACE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where the labels of a pod are that asks for them, in the words of Kubernetes' own documentation ("Downward API").
const LABELS: &str = "etc/podinfo/labels";
/// What Docker keeps of a container.
const DOCKER: &str = "1/root/var/lib/docker/containers";

/// Labels of pods have up to 63 characters in a part, and there are dozens of them at most.
const LABELS_LIMIT: u64 = 64 << 10;
/// A container's description: with its health checks, its mounts and its environment.
const DOCKER_LIMIT: u64 = 1 << 20;
/// A namespace is a label of DNS (RFC 1123).
const NAMESPACE_LIMIT: usize = 63;

/// The namespace of the pod that the process runs in: `k8s.namespace.name` in its `OTEL_RESOURCE_ATTRIBUTES`, else what its
/// account says.
pub(super) fn namespace(proc_root: &Path, pid: u32, environ: &[u8], in_container: bool) -> Option<String> {
    let told = environment::attributes(environ);
    let told = told.into_iter().find_map(|(key, value)| (key == "k8s.namespace.name").then_some(value));
    let account = || read_inside(proc_root, pid, NAMESPACE, NAMESPACE_LIMIT as u64 + 1);
    let name = told.or_else(|| in_container.then(account).flatten())?;
    let name = name.trim();
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_name = (1..=NAMESPACE_LIMIT).contains(&name.len()) && name.bytes().all(fits);
    is_name.then(|| name.to_owned())
}

/// Labels of the process's pod or container: `k8s.pod.label.KEY` and `container.label.KEY` in its `OTEL_RESOURCE_ATTRIBUTES`, those that
/// the pod has as a file, and those that Docker keeps. What of them was given as what is not told apart.
pub(super) fn labels(
    proc_root: &Path,
    pid: u32,
    environ: &[u8],
    container: Option<&str>,
) -> Vec<(String, String)> {
    let told = environment::attributes(environ).into_iter().filter_map(|(key, value)| {
        let label = key.strip_prefix("k8s.pod.label.").or_else(|| key.strip_prefix("container.label."))?;
        Some((label.to_owned(), value))
    });
    let mut labels: Vec<(String, String)> = told.collect();
    if let Some(container) = container {
        labels
            .extend(read_inside(proc_root, pid, LABELS, LABELS_LIMIT).iter().flat_map(|text| of_file(text)));
        labels.extend(of_docker(&proc_root.join(DOCKER).join(container).join("config.v2.json")));
    }
    labels
}

/// `key="value"` a line, the value as Go writes it.
fn of_file(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once('=')?;
            Some((key.to_owned(), serde_json::from_str(value).ok()?))
        })
        .collect()
}

fn of_docker(path: &Path) -> Vec<(String, String)> {
    let text = read_bounded(path, DOCKER_LIMIT).unwrap_or_default();
    let Ok(config) = serde_json::from_slice::<Value>(&text) else { return Vec::new() };
    let labels = config.pointer("/Config/Labels").and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A file as the process sees it, up to a limit.
fn read_inside(proc_root: &Path, pid: u32, path: &str, limit: u64) -> Option<String> {
    let root: PathBuf = proc_root.join(pid.to_string()).join("root");
    let directory = rustix::fs::openat(CWD, &root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // A pipe or a device is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&directory, path, flags, Mode::empty(), inside).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{super::procfs::tests::FakeProc, *};

    fn pod(files: &[(&str, &str)]) -> FakeProc {
        let fake = FakeProc::new();
        fake.process(42, 5, "/app", &["/app"]);
        for (path, text) in files {
            let path = fake.root().join("42/root").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fake
    }

    #[test]
    fn the_namespace_is_told_or_that_of_the_account() {
        let fake = pod(&[("run/secrets/kubernetes.io/serviceaccount/namespace", "shop\n")]);
        // As distributions have it: absolute, and so the machine's if it were followed from outside.
        symlink("/run", fake.root().join("42/root/var-run")).unwrap();
        fs::create_dir_all(fake.root().join("42/root/var")).unwrap();
        symlink("/run", fake.root().join("42/root/var/run")).unwrap();
        let of = |environ: &str, inside| namespace(fake.root(), 42, environ.as_bytes(), inside);
        assert_eq!(of("", true).as_deref(), Some("shop"));
        assert_eq!(of("", false), None, "a file of the machine says nothing of a pod");
        let told = "OTEL_RESOURCE_ATTRIBUTES=a=b,k8s.namespace.name=bank\0";
        assert_eq!(of(told, true).as_deref(), Some("bank"));
        assert_eq!(of("OTEL_RESOURCE_ATTRIBUTES=k8s.namespace.name=No Name\0", true), None);
    }

    #[test]
    fn links_do_not_lead_out_of_the_container() {
        let fake = pod(&[("etc/none", "")]);
        let outside = fake.root().join("outside");
        fs::write(&outside, "key=\"secret\"").unwrap();
        fs::create_dir_all(fake.root().join("42/root/etc/podinfo")).unwrap();
        symlink(&outside, fake.root().join("42/root").join(LABELS)).unwrap();
        assert_eq!(labels(fake.root(), 42, b"", Some("c")), []);
    }

    #[test]
    fn labels_of_all_sources() {
        let fake = pod(&[(LABELS, "app=\"batch-7\"\nbroken\ntier=\"a\\\"b\"\n")]);
        let docker = fake.root().join(DOCKER).join("c0ffee");
        fs::create_dir_all(&docker).unwrap();
        fs::write(docker.join("config.v2.json"), r#"{"Config":{"Labels":{"team":"search","n":1}}}"#).unwrap();
        let environ = b"OTEL_RESOURCE_ATTRIBUTES=k8s.pod.label.app=x,container.label.role=y,service.name=z\0";
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            labels(fake.root(), 42, environ, Some("c0ffee")),
            [
                pair("app", "x"),
                pair("role", "y"),
                pair("app", "batch-7"),
                pair("tier", "a\"b"),
                pair("team", "search")
            ]
        );
        assert_eq!(labels(fake.root(), 42, environ, None).len(), 2);
    }
}
