//! The files of `deploy/`: they fit their schemas, and their command lines work with the rights that they name.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf, process};

use plainspan_tests::harness::{
    self, Command, Local, Process, Received, Receiver, directory, installed, plainspan, require_root, venv,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Versions of Kubernetes that the manifest must fit: the first with all its fields, and the newest known here.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];
/// Where all three files say that the agent is.
const INSTALLED: &str = "/usr/bin/plainspan";

fn deploy(name: &str) -> PathBuf {
    harness::workspace().join("deploy").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy(name)).unwrap_or_else(|e| panic!("no deploy/{name}: {e}"))
}

/// Runs a checker and returns whether it was content, and all that it said.
fn check(program: PathBuf, args: &[&str]) -> (bool, String) {
    let output = process::Command::new(&program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("can't start {}: {e}", program.display()));
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A file with `from` put in place of `to`, for a checker that takes a path.
fn with(name: &str, from: &str, to: &str) -> (tempfile::TempDir, String) {
    let text = read(name);
    assert!(text.contains(from), "deploy/{name} has no {from:?}");
    let dir = directory();
    let path = dir.path().join(PathBuf::from(name).file_name().expect("a file has a name"));
    fs::write(&path, text.replace(from, to)).expect("a file can be written");
    let path = path.to_str().expect("its name is text").to_owned();
    (dir, path)
}

const MANIFEST: &str = "kubernetes/plainspan.yaml";
const UNIT: &str = "plainspan.service";

/// The documents of the manifest.
fn manifest() -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let path = deploy(MANIFEST);
    let (read, said) = check(venv("python"), &["-c", script, path.to_str().expect("its name is text")]);
    assert!(read, "{said}");
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// The one container of the DaemonSet, and the pod that it is in.
fn container() -> (Value, Value) {
    let daemon_set = manifest().into_iter().find(|d| d["kind"] == "DaemonSet").expect("there is a DaemonSet");
    let pod = daemon_set["spec"]["template"]["spec"].clone();
    assert_eq!(pod["containers"].as_array().map(Vec::len), Some(1));
    (pod["containers"][0].clone(), pod)
}

/// Values of a key in the unit, each line's words apart.
fn unit(key: &str) -> Vec<String> {
    let unit = read(UNIT);
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().expect("a list").iter().map(|v| v.as_str().expect("of strings").to_owned());
    texts.collect()
}

#[test]
fn manifest_fits_kubernetes() {
    let path = deploy(MANIFEST);
    for version in KUBERNETES {
        let args = ["--strict", "--kubernetes-version", version, path.to_str().expect("its name is text")];
        let (fits, said) = check(venv("kubernetes-validate"), &args);
        assert!(fits, "{said}");
        let passed = said.matches(" passed for ").count();
        assert_eq!(passed, manifest().len(), "{said}");
    }
}

#[test]
fn a_misspelt_manifest_is_caught() {
    for (right, wrong) in [
        ("hostPID:", "hostPid:"),
        ("readOnlyRootFilesystem:", "readonlyRootFilesystem:"),
        ("maxUnavailable:", "maxUnavailabe:"),
        ("matchLabels:", "matchLabel:"),
        ("terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 30s"),
    ] {
        let (_dir, path) = with(MANIFEST, right, wrong);
        let (fits, said) = check(venv("kubernetes-validate"), &["--strict", &path]);
        assert!(!fits, "{wrong}: {said}");
    }
}

#[test]
fn unit_fits_systemd() {
    let agent = plainspan();
    // It looks for the executable, which is not installed here.
    let (_dir, path) = with(UNIT, INSTALLED, agent.to_str().expect("its name is text"));
    let (_, said) = check(installed("systemd-analyze"), &["verify", &path]);
    // It has something to say about units of the machine too, and ends with 0 where it ignores a line.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(UNIT)).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));

    let (_dir, path) = with(UNIT, "ProtectClock=", "ProtectClok=");
    let (_, said) = check(installed("systemd-analyze"), &["verify", &path]);
    assert!(said.contains("ProtectClok"), "{said}");
}

#[test]
fn unit_is_hardened() {
    // 0 is closed, 10 exposed; services that systemd itself ships with care are at 2 to 4.
    let path = deploy(UNIT);
    let args = ["security", "--no-pager", "--offline=true", "--threshold=35"];
    let (closed, said) = check(
        installed("systemd-analyze"),
        &[&args[..], &[path.to_str().expect("its name is text")]].concat(),
    );
    assert!(closed, "{said}");
}

#[test]
fn dockerfile_is_clean() {
    let path = deploy("Dockerfile");
    let (clean, said) =
        check(venv("hadolint"), &["--failure-threshold", "style", path.to_str().expect("text")]);
    assert!(clean, "{said}");
    let (_dir, path) = with("Dockerfile", "WORKDIR", "WORKDIRECTORY");
    let (clean, said) = check(venv("hadolint"), &[&path]);
    assert!(!clean, "{said}");
}

#[test]
fn all_three_start_the_same() {
    let dockerfile = read("Dockerfile");
    let instruction = |name: &str| -> Vec<String> {
        let mut lines = dockerfile.lines().filter_map(|line| line.strip_prefix(name));
        strings(&serde_json::from_str(lines.next_back().expect("it has one")).expect("in its JSON form"))
    };
    let (container, pod) = container();
    assert_eq!(instruction("ENTRYPOINT"), [INSTALLED]);
    assert_eq!(instruction("CMD"), strings(&container["args"]));
    assert!(dockerfile.contains(&format!(" {INSTALLED}\n")), "what is started is not copied");
    let unit_line = unit("ExecStart");
    assert_eq!(unit_line, [instruction("ENTRYPOINT"), instruction("CMD")].concat());

    // The same rights, and no others.
    let mut of_unit: Vec<String> = unit("CapabilityBoundingSet");
    let mut of_container = strings(&container["securityContext"]["capabilities"]["add"]);
    for name in &mut of_container {
        name.insert_str(0, "CAP_");
    }
    of_unit.sort();
    of_container.sort();
    assert_eq!(of_unit, of_container);
    assert_eq!(strings(&container["securityContext"]["capabilities"]["drop"]), ["ALL"]);
    assert_eq!(pod["hostPID"], true);
    for (field, value) in
        [("privileged", false), ("allowPrivilegeEscalation", false), ("readOnlyRootFilesystem", true)]
    {
        assert_eq!(container["securityContext"][field], value, "{field}");
    }
    let version = format!(":{}", env!("CARGO_PKG_VERSION"));
    assert!(
        container["image"].as_str().is_some_and(|image| image.ends_with(&version)),
        "{}",
        container["image"]
    );
}

/// Starts the agent as systemd or a container runtime would: with these capabilities and no way to others, a
/// file system that is read-only but for where state belongs, and an environment of which nothing is the tester's.
fn start(args: &[String], capabilities: &[String], env: &[(String, String)]) -> Process {
    require_root();
    let granted =
        capabilities.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let mut command = process::Command::new(installed("unshare"));
    command
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .args([
            "mount -o remount,bind,ro / && mount -t tmpfs tmpfs /var/lib && exec \"$@\"",
            "sh",
            "setpriv",
            "--no-new-privs",
            "--inh-caps=-all",
        ])
        .arg(format!("--bounding-set=-all{}", granted.collect::<String>()))
        .arg(plainspan())
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(env.iter().map(|(name, value)| (name, value)));
    Process::start(command)
}

/// The command line captures a call of another process, delivers it, and ends with 0 on SIGTERM. Returns the
/// resource of the call's span.
fn captures(
    model: &str,
    args: &[String],
    capabilities: &[String],
    mut env: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let (provider, collector) = (Local::new(), Receiver::start());
    assert!(env.iter().any(|(name, _)| name == "OTEL_EXPORTER_OTLP_ENDPOINT"), "{env:?}");
    env.retain(|(name, _)| name != "OTEL_EXPORTER_OTLP_ENDPOINT");
    env.push(("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), collector.grpc()));

    let mut agent = start(args, capabilities, &env);
    agent.wait_for_stderr("capturing");
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hello"}]});
    let client = Command::curl(&provider, "/v1/chat/completions", &body).run();
    assert!(client.status.success(), "{client:?}");
    agent.signal(Signal::TERM);
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(!ended.stderr.iter().any(|line| line.contains("no journal")), "{ended:#?}");
    let kept = ended.stderr.iter().any(|line| line.ends_with("spans written"));
    assert!(kept, "it went through the journal: {ended:#?}");

    let name = format!("chat {model}");
    let received = collector.stop();
    // The provider's side is in this process, and captured too.
    let made = |span: &&Received| span.name == name && span.kind == "SPAN_KIND_CLIENT";
    let spans: Vec<_> = received.iter().filter(made).collect();
    assert_eq!(spans.len(), 1, "{received:#?}\n{ended:#?}");
    spans[0].resource.clone().into_iter().collect()
}

#[test]
fn unit_works_with_its_capabilities() {
    let env = unit("Environment")
        .iter()
        .filter_map(|e| e.split_once('='))
        .map(|(n, v)| (n.into(), v.into()))
        .collect();
    let line = unit("ExecStart");
    let resource = captures("from-unit", &line[1..], &unit("CapabilityBoundingSet"), env);
    assert!(
        resource.iter().any(|(key, value)| key == "service.name" && value == "Str(curl)"),
        "{resource:?}"
    );
}

#[test]
fn manifest_works_with_its_capabilities() {
    let (container, _) = container();
    // As the kubelet does it: fields of the pod, and what refers to variables before it.
    let mut env: Vec<(String, String)> = Vec::new();
    for variable in container["env"].as_array().expect("it has an environment") {
        let name = variable["name"].as_str().expect("it has a name").to_owned();
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("spec.nodeName") => "node-7".to_owned(),
            Some("status.hostIP") => "127.0.0.1".to_owned(),
            Some(other) => panic!("the test knows no {other}"),
            None => env
                .iter()
                .fold(variable["value"].as_str().expect("it has a value").to_owned(), |value, (n, v)| {
                    value.replace(&format!("$({n})"), v)
                }),
        };
        assert!(!value.contains("$("), "{name} refers to what is not set: {value}");
        env.push((name, value));
    }
    let granted = strings(&container["securityContext"]["capabilities"]["add"]);
    let resource = captures("from-manifest", &strings(&container["args"]), &granted, env);
    assert!(
        resource.iter().any(|(key, value)| key == "k8s.node.name" && value == "Str(node-7)"),
        "{resource:?}"
    );
}

#[test]
fn it_needs_no_administrator_where_the_kernel_has_links_of_many_probes() {
    let named = unit("CapabilityBoundingSet");
    let without: Vec<String> = named.iter().filter(|name| *name != "CAP_SYS_ADMIN").cloned().collect();
    assert!(without.len() + 1 == named.len());
    let env = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), String::new())];
    let line = unit("ExecStart");
    captures("without-administrator", &line[1..], &without, env);
    // On perf events it does here, and says so.
    let on_perf_events: Vec<String> = line[1..].iter().cloned().chain(["--perf-events".to_owned()]).collect();
    let ended = start(&on_perf_events, &without, &[]).wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.iter().any(|line| line.contains("probes only for CAP_SYS_ADMIN")), "{ended:?}");
}

#[test]
fn without_a_capability_it_says_which() {
    let named = unit("CapabilityBoundingSet");
    let without: Vec<String> = named.iter().filter(|name| *name != "CAP_SYS_PTRACE").cloned().collect();
    let ended = start(&unit("ExecStart")[1..], &without, &[]).wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.iter().any(|line| line.contains("CAP_SYS_PTRACE")), "{ended:?}");
}
