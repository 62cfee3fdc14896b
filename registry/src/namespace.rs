//! Which names a contract answers for.

use std::collections::BTreeSet;

use crate::Registry;

/// Namespaces of OpenTelemetry's general conventions. A contract borrows single names of them; whatever else stands in them was put
/// there by an SDK or another library, and is none of the contract's business (opentelemetry.io/docs/specs/semconv/registry).
const GENERAL: [&str; 43] = [
    "android",
    "artifact",
    "aspnetcore",
    "browser",
    "cicd",
    "client",
    "cloud",
    "code",
    "container",
    "cpu",
    "db",
    "deployment",
    "destination",
    "device",
    "disk",
    "dns",
    "error",
    "event",
    "exception",
    "faas",
    "file",
    "geo",
    "go",
    "host",
    "http",
    "jvm",
    "k8s",
    "log",
    "messaging",
    "network",
    "nodejs",
    "os",
    "otel",
    "peer",
    "process",
    "rpc",
    "server",
    "service",
    "session",
    "source",
    "telemetry",
    "thread",
    "tls",
];

/// More of them.
const GENERAL_TOO: [&str; 8] = ["enduser", "net", "system", "test", "url", "user", "user_agent", "webengine"];

/// The first words of the contract's own names: those of its attributes, metrics and events that are not general.
///
/// An unknown name that begins with one of them is taken for a mistake; one that doesn't is somebody else's.
pub fn own(registry: &Registry) -> BTreeSet<String> {
    let attributes = registry.attributes.iter().map(|a| a.key.as_str());
    let metrics = registry.metrics.iter().map(|m| m.name.as_str());
    let events = registry.events.iter().map(|e| e.name.as_str());
    attributes
        .chain(metrics)
        .chain(events)
        // A name of one word is no namespace.
        .filter_map(|name| name.split_once('.').map(|(first, _)| first))
        .filter(|first| !GENERAL.contains(first) && !GENERAL_TOO.contains(first))
        .map(str::to_owned)
        .collect()
}

/// Is a name under one of the namespaces?
pub fn holds(own: &BTreeSet<String>, name: &str) -> bool {
    name.split_once('.').is_some_and(|(first, _)| own.contains(first))
}
