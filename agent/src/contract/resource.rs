//! Who made a call, as resource attributes.

use std::collections::HashSet;

use super::{
    Options, Origin,
    attributes::Attributes,
    check,
    key::{Key, Shape, definition},
    names,
    settle::settle,
    span::Resource,
};
use crate::{account::Account, resource::ProcessInfo, text::floor};

/// Longest value of an attribute that the user gave, in bytes; as long as the longest of ours.
const MAX_EXTRA: usize = 4096;

/// Entities that say which process it was: nothing that the user configures may change them.
const FIXED: [&Shape; 3] =
    [&names::ENTITY_PROCESS, &names::ENTITY_CONTAINER, &names::ENTITY_TELEMETRY_DISTRO];

/// The resource of a process. `extra` are the attributes of the agent's own `OTEL_RESOURCE_ATTRIBUTES`: they are added, the last one of a
/// name counts, and none overrides what was found out about the process.
///
/// `arguments` are those of the process in the form that content is kept in, which they are: a prompt is often one of them. What does
/// not fit the contract is left out, named on the resource and counted.
pub fn resource(
    info: &ProcessInfo,
    extra: &[(String, String)],
    arguments: Vec<String>,
    options: &Options,
    account: &Account,
) -> Resource {
    let mut attributes = Attributes::default();
    let (name, namespace) = (info.service_name.as_deref(), info.service_namespace.as_deref());
    set_service(&mut attributes, name, namespace, extra, || unknown_service(info));
    attributes.set(names::PROCESS_PID, i64::from(info.pid));
    attributes.set_some(names::PROCESS_PARENT_PID, info.parent_pid.map(i64::from));
    attributes.set_some(names::PROCESS_EXECUTABLE_NAME, info.executable_name.clone());
    attributes.set_some(names::PROCESS_EXECUTABLE_PATH, info.executable_path.clone());
    attributes.set_some(names::PROCESS_COMMAND, info.command.clone());
    let shown = !arguments.is_empty();
    attributes.set_some(names::PROCESS_COMMAND_ARGS, shown.then_some(arguments));
    attributes.set_some(names::PROCESS_OWNER, info.owner.clone());
    attributes.set_some(names::CONTAINER_ID, info.container_id.clone());
    set_origin(&mut attributes, info.host_name.as_deref(), extra);

    let mut is_cut = false;
    let kept = extras(&attributes, extra, &mut is_cut);
    let cut = is_cut.then_some("OTEL_RESOURCE_ATTRIBUTES");

    let context = check::Context { failed: false, content: shown, profile: options.profile };
    settle(&mut attributes, &names::RESOURCE, context, cut.into_iter(), account);
    Resource { attributes: attributes.finish(), extra: kept }
}

/// The resource of the metrics of a service on this machine: those of its processes stand for all of them.
pub(super) fn service_resource(name: Option<&str>, namespace: Option<&str>, origin: &Origin) -> Resource {
    let mut attributes = Attributes::default();
    let nobody = || "unknown_service".to_owned();
    set_service(&mut attributes, name, namespace, &origin.extra, nobody);
    set_origin(&mut attributes, origin.host_name.as_deref(), &origin.extra);
    attributes.rename(origin.profile);
    let extra = extras(&attributes, &origin.extra, &mut false);
    Resource { attributes: attributes.finish(), extra }
}

/// The service, where nothing of it is known as the user says, else as `otherwise` has it.
fn set_service(
    attributes: &mut Attributes,
    name: Option<&str>,
    namespace: Option<&str>,
    extra: &[(String, String)],
    otherwise: impl FnOnce() -> String,
) {
    let known = |name: &&str| !name.is_empty();
    let name = name.filter(known).or_else(|| given(extra, names::SERVICE_NAME).filter(known));
    attributes.set(names::SERVICE_NAME, name.map_or_else(otherwise, str::to_owned));
    let namespace = namespace.or_else(|| given(extra, names::SERVICE_NAMESPACE));
    attributes.set_some(names::SERVICE_NAMESPACE, namespace.map(str::to_owned));
}

/// The machine, and by whom it was seen.
fn set_origin(attributes: &mut Attributes, host: Option<&str>, extra: &[(String, String)]) {
    let host = host.or_else(|| given(extra, names::HOST_NAME));
    attributes.set_some(names::HOST_NAME, host.map(str::to_owned));
    attributes.set(names::TELEMETRY_DISTRO_NAME, "plainspan".to_owned());
    attributes.set(names::TELEMETRY_DISTRO_VERSION, env!("CARGO_PKG_VERSION").to_owned());
}

/// What the user gave as an attribute, the last of several.
fn given(extra: &[(String, String)], key: Key<String>) -> Option<&str> {
    extra.iter().rev().find(|(name, _)| name == key.name()).map(|(_, value)| value.as_str())
}

/// Attributes that the user gave and that override nothing; tells whether one was cut.
fn extras(attributes: &Attributes, extra: &[(String, String)], cut: &mut bool) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = Vec::new();
    let mut held = HashSet::new();
    for (name, value) in extra.iter().rev() {
        let own = definition(name);
        let fixed = own.is_some_and(|def| attributes.has(def) || FIXED.iter().any(|shape| shape.has(def)));
        if !fixed && !name.is_empty() && held.insert(name) {
            let end = floor(value, MAX_EXTRA);
            *cut |= end < value.len();
            kept.push((name.clone(), value[..end].to_owned()));
        }
    }
    kept.reverse();
    kept
}

/// The fallback that the OpenTelemetry resource conventions ask for.
fn unknown_service(info: &ProcessInfo) -> String {
    match &info.executable_name {
        Some(name) => format!("unknown_service:{name}"),
        None => "unknown_service".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{account::Counter, contract::Value};

    /// Without content, and nothing wrong.
    fn plain(info: &ProcessInfo, extra: &[(String, String)]) -> Resource {
        let account = Account::default();
        let resource = resource(info, extra, Vec::new(), &Options::default(), &account);
        assert_eq!(account.to_string(), "");
        resource
    }

    fn get(resource: &Resource, key: &str) -> Option<Value> {
        resource.get(key).cloned()
    }

    fn pairs(extra: &[(&str, &str)]) -> Vec<(String, String)> {
        extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_known_process_says_all() {
        let info = ProcessInfo {
            pid: 42,
            parent_pid: Some(1),
            executable_path: Some("/usr/bin/python3.12".into()),
            executable_name: Some("python3.12".into()),
            command: Some("python3".into()),
            command_args: vec!["python3".into(), "app.py".into()],
            owner: Some("www-data".into()),
            service_name: Some("app".into()),
            service_namespace: Some("shop".into()),
            container_id: Some("ab".repeat(32)),
            host_name: Some("node-7".into()),
            ..ProcessInfo::default()
        };
        let arguments = info.command_args.clone();
        let resource = resource(&info, &[], arguments, &Options::default(), &Account::default());
        let text = |value: &str| Some(Value::String(value.into()));
        #[rustfmt::skip]
        let rows = [
            ("process.pid", Some(Value::Int(42))),
            ("process.parent_pid", Some(Value::Int(1))),
            ("process.executable.path", text("/usr/bin/python3.12")),
            ("process.executable.name", text("python3.12")),
            ("process.command", text("python3")),
            ("process.command_args", Some(Value::Strings(vec!["python3".into(), "app.py".into()]))),
            ("process.owner", text("www-data")),
            ("service.name", text("app")),
            ("service.namespace", text("shop")),
            ("container.id", text(&"ab".repeat(32))),
            ("host.name", text("node-7")),
            ("telemetry.distro.name", text("plainspan")),
            ("telemetry.distro.version", text(env!("CARGO_PKG_VERSION"))),
        ];
        for (key, wanted) in &rows {
            assert_eq!(get(&resource, key), *wanted, "{key}");
        }
        assert_eq!(resource.attributes.len(), rows.len());
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let resource = plain(&ProcessInfo { pid: 7, ..ProcessInfo::default() }, &[]);
        let keys: Vec<_> = resource.attributes.iter().map(|a| a.key).collect();
        assert_eq!(
            keys,
            ["service.name", "process.pid", "telemetry.distro.name", "telemetry.distro.version"]
        );
    }

    #[test]
    fn service_name_falls_back() {
        #[rustfmt::skip]
        let rows = [
            (Some("own"), Some("exe"), &[("service.name", "given")][..], "own"),
            (None, Some("exe"), &[("service.name", "given")][..], "given"),
            (None, Some("exe"), &[("service.name", "")][..], "unknown_service:exe"),
            (None, Some("exe"), &[][..], "unknown_service:exe"),
            (Some(""), None, &[][..], "unknown_service"),
        ];
        for (own, exe, extra, wanted) in rows {
            let info = ProcessInfo {
                service_name: own.map(Into::into),
                executable_name: exe.map(Into::into),
                ..ProcessInfo::default()
            };
            let resource = plain(&info, &pairs(extra));
            assert_eq!(get(&resource, "service.name"), Some(Value::String(wanted.into())));
            assert_eq!(resource.extra, [], "never twice");
        }
    }

    #[test]
    fn the_users_attributes_never_say_which_process_it_was() {
        let extra = pairs(&[
            ("deployment.environment.name", "test"),
            ("process.pid", "1"),
            ("process.owner", "nobody"),
            ("container.id", "of-the-agent"),
            ("telemetry.distro.name", "other"),
            ("team", "a"),
            ("team", "b"),
            ("host.name", "given"),
            ("", "nameless"),
        ]);
        let resource = plain(&ProcessInfo { pid: 7, ..ProcessInfo::default() }, &extra);
        assert_eq!(resource.extra, pairs(&[("deployment.environment.name", "test"), ("team", "b")]));
        assert_eq!(get(&resource, "process.pid"), Some(Value::Int(7)));
        assert_eq!(get(&resource, "host.name"), Some(Value::String("given".into())));
        assert_eq!(get(&resource, "container.id"), None);
    }
    #[test]
    fn what_is_too_long_is_cut_named_and_counted() {
        let info = ProcessInfo {
            pid: 7,
            executable_path: Some("é".repeat(3000)),
            owner: Some("o".repeat(1000)),
            ..ProcessInfo::default()
        };
        let account = Account::default();
        let extra = [("team".to_owned(), "€".repeat(3000))];
        let resource = resource(&info, &extra, Vec::new(), &Options::default(), &account);
        let max = |key: Key<String>| key.def().max_bytes.unwrap();
        let path = "é".repeat(max(names::PROCESS_EXECUTABLE_PATH) / 2);
        assert_eq!(get(&resource, "process.executable.path"), Some(Value::String(path)));
        let owner = "o".repeat(max(names::PROCESS_OWNER));
        assert_eq!(get(&resource, "process.owner"), Some(Value::String(owner)));
        assert_eq!(resource.extra, pairs(&[("team", &"€".repeat(MAX_EXTRA / 3))]));
        let cut = ["process.executable.path", "process.owner", "OTEL_RESOURCE_ATTRIBUTES"];
        assert_eq!(
            get(&resource, "plainspan.contract.cut"),
            Some(Value::Strings(cut.map(str::to_owned).into()))
        );
        assert_eq!(account.get(Counter::ValuesCut), 3);
        assert_eq!(account.get(Counter::ContractViolations), 0);
    }
}
