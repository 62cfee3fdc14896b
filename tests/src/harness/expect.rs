//! What a span has to be, worked out from what the provider recorded and from nothing of the agent's.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{Command, Span, workspace};
use crate::provider::{
    Provider,
    record::{Ending, Exchange, Protocol, Usage},
};

/// The two clocks (the kernel's and the provider's) are one, but they are read at different moments: a
/// scheduler's round of difference is no error.
const CLOCK_SLACK: f64 = 0.020;
/// How long a message may be under way between client and provider on a busy machine.
const UNDER_WAY: f64 = 3.0;

/// Attributes that are durations: checked against the provider's times instead of a value.
const FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
const FIRST_CONTENT: &str = "plainspan.response.time_to_first_content";

/// Attributes that tell the pace of a stream: checked against each other, and against the span's own duration.
const PACE: [&str; 3] = ["plainspan.stream.gap.mean", "plainspan.stream.gap.max", "plainspan.stream.stalled"];

/// Attributes that tell of a loop in the answer: the provider writes its long texts by repeating a phrase.
const LOOP: [&str; 2] = ["plainspan.response.repetition.period", "plainspan.response.repetition.count"];

/// Keyed hashes that tell calls from others, and how many hexadecimal digits each has.
const PRINTS: [(&str, usize); 4] = [
    ("plainspan.fingerprint.prompt", 32),
    ("plainspan.fingerprint.template", 16),
    ("plainspan.fingerprint.tool_set", 16),
    ("plainspan.fingerprint.tool_sequence", 16),
];
/// What is said of whom the call is for, and what was learnt from earlier calls: tests of their own look at these.
const LEARNT: [&str; 2] = ["plainspan.identity.", "plainspan.model.revision.previous"];
/// Whether another model answered than was asked for, which follows from both names.
const ALIASED: &str = "plainspan.model.aliased";

/// That phrase.
const PHRASE: &str = "lorem ipsum ";
/// So many are a loop wherever they stand, and fewer than the other number are none.
const MANY: u64 = 400;
const FEW: u64 = 20;

/// A whole span, as it has to be.
#[derive(Clone, Debug)]
pub struct Expected {
    name: String,
    attributes: BTreeMap<String, Value>,
    resource: BTreeMap<String, Value>,
    status: u64,
    streamed: bool,
    exchange: Exchange,
}

impl Expected {
    /// The span of a complete exchange, made by `command` running as process `pid` of `parent`.
    pub fn of(exchange: &Exchange, provider: &Provider, command: &Command, pid: u32, parent: u32) -> Self {
        let mut expected = Self {
            name: String::new(),
            attributes: BTreeMap::new(),
            resource: resource(command, pid, parent),
            status: if exchange.facts.error.is_some() { 2 } else { 0 },
            streamed: exchange.streamed,
            exchange: exchange.clone(),
        };
        expected.transport(provider);
        expected.request();
        expected.response();
        let model = expected.attributes.get("gen_ai.request.model").and_then(Value::as_str);
        expected.name = model.map_or_else(|| "chat".to_owned(), |m| format!("chat {m}"));
        expected
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.attributes.insert(key.to_owned(), value.into());
    }

    /// Sets an attribute if the value is there.
    fn maybe(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    fn openai(&self) -> bool {
        self.exchange.path.starts_with("/v1/chat/completions")
    }

    fn transport(&mut self, provider: &Provider) {
        let exchange = self.exchange.clone();
        let (system, api) = if self.openai() {
            self.set("openai.api.type", "chat_completions");
            ("openai", "openai.chat_completions")
        } else {
            ("anthropic", "anthropic.messages")
        };
        self.set("gen_ai.operation.name", "chat");
        self.set("gen_ai.provider.name", system);
        self.set("gen_ai.system", system);
        self.set("plainspan.api", api);
        self.set("plainspan.call.ended", "complete");
        self.set("plainspan.contract.version", contract_version());
        self.set("server.address", "localhost");
        self.set("server.port", provider.port());
        self.set("http.request.method", "POST");
        self.set("url.path", exchange.path.split('?').next().unwrap_or_default());
        self.set("http.response.status_code", exchange.status);
        let version = if exchange.protocol == Protocol::Http2 { "2" } else { "1.1" };
        self.set("network.protocol.version", version);
        self.maybe("user_agent.original", exchange.header("user-agent"));
        self.maybe("plainspan.response.request_id", exchange.request_id.as_deref());
    }

    fn request(&mut self) {
        let request = self.exchange.request();
        let request = request.as_object().cloned().unwrap_or_default();
        let mut copy = |wire: &str, key: &str| {
            if let Some(value) = request.get(wire).filter(|v| !v.is_null()) {
                self.attributes.insert(key.to_owned(), value.clone());
            }
        };
        copy("model", "gen_ai.request.model");
        for same in
            ["temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "max_tokens"]
        {
            copy(same, &format!("gen_ai.request.{same}"));
        }
        copy("max_completion_tokens", "gen_ai.request.max_tokens");
        copy("stop", "gen_ai.request.stop_sequences");
        copy("stop_sequences", "gen_ai.request.stop_sequences");
        copy("reasoning_effort", "gen_ai.request.reasoning.level");
        copy("n", "gen_ai.request.choice.count");
        self.maybe(
            "gen_ai.request.reasoning.level",
            request.get("output_config").map(|c| c["effort"].clone()),
        );
        if request.get("stream") == Some(&json!(true)) {
            self.set("gen_ai.request.stream", true);
        }
        if request.get("response_format").is_some() {
            self.set("gen_ai.output.type", "json");
        }
        let tier = if self.openai() { "openai" } else { "plainspan" };
        self.maybe(&format!("{tier}.request.service_tier"), request.get("service_tier").cloned());
    }

    fn response(&mut self) {
        let facts = self.exchange.facts.clone();
        self.maybe("error.type", facts.error);
        let (kind, code) = facts.error_told;
        self.maybe("plainspan.error.type", kind);
        self.maybe("plainspan.error.code", code);
        if self.exchange.status == 429 {
            self.set("plainspan.response.retry_after", 7);
            self.set("plainspan.rate_limit.requests.limit", 60);
            self.set("plainspan.rate_limit.requests.remaining", 0);
            self.set("plainspan.rate_limit.requests.reset", 60.5);
        }
        self.maybe("gen_ai.response.id", facts.id);
        self.maybe("gen_ai.response.model", facts.model);
        if !facts.finish_reasons.is_empty() {
            let ours: Vec<&str> = facts.finish_reasons.iter().map(|r| finish_reason(r)).collect();
            self.set("gen_ai.response.finish_reasons", ours);
            self.set("plainspan.response.finish_reasons", facts.finish_reasons);
        }
        let tier = if self.openai() { "openai" } else { "plainspan" };
        self.maybe(&format!("{tier}.response.service_tier"), facts.service_tier);
        self.maybe("openai.response.system_fingerprint", facts.system_fingerprint);
        if let Some(usage) = facts.usage {
            self.usage(&usage);
        }
        if self.streamed {
            self.set("plainspan.stream.chunks", self.exchange.events);
        }
    }

    fn usage(&mut self, usage: &Usage) {
        self.set("gen_ai.usage.input_tokens", usage.input);
        self.set("gen_ai.usage.output_tokens", usage.output);
        self.set("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
        self.set("gen_ai.usage.cache_write.input_tokens", usage.cache_write);
        self.set("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
        self.maybe("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
        if self.openai() {
            // The provider tells that there was none.
            self.set("gen_ai.usage.audio.input_tokens", 0);
            self.set("gen_ai.usage.audio.output_tokens", 0);
        }
    }
}

/// The contract's word for a provider's.
fn finish_reason(word: &str) -> &str {
    match word {
        "end_turn" => "stop",
        "max_tokens" => "length",
        "tool_calls" | "tool_use" => "tool_call",
        "refusal" => "content_filter",
        other => other,
    }
}

/// Version of the contract in the tree.
fn contract_version() -> String {
    let path = workspace().join("contract/registry/manifest.yaml");
    let manifest = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("no {}: {e}", path.display()));
    let line = manifest.lines().find_map(|l| l.trim().strip_prefix("version:"));
    line.expect("the manifest names its version").trim().to_owned()
}

fn resource(command: &Command, pid: u32, parent: u32) -> BTreeMap<String, Value> {
    let path = command.program.canonicalize().expect("the program is there");
    let name = path.file_name().expect("it has a name").to_string_lossy().into_owned();
    // An interpreter's service is the script that it runs.
    let script = command.args.first().map(Path::new).filter(|p| {
        p.extension()
            .is_some_and(|extension| ["py", "mjs"].iter().any(|known| extension == OsStr::new(known)))
    });
    let service =
        script.and_then(Path::file_stem).map_or_else(|| name.clone(), |s| s.to_string_lossy().into_owned());
    let args: Vec<String> = std::iter::once(command.program.as_os_str())
        .chain(command.args.iter().map(AsRef::as_ref))
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let pairs = [
        ("process.pid", json!(pid)),
        ("process.parent_pid", json!(parent)),
        ("process.executable.path", json!(path.to_string_lossy())),
        ("process.executable.name", json!(name)),
        ("process.command", json!(args[0])),
        ("process.owner", json!("root")),
        ("service.name", json!(service)),
        ("host.name", json!(host.trim())),
        ("telemetry.distro.name", json!("plainspan")),
        ("telemetry.distro.version", json!(env!("CARGO_PKG_VERSION"))),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// Fails unless the span is as expected in every part: name, kind, status, every attribute and no other, the
/// resource, the scope, and times that fit those of the provider.
pub fn assert_span(span: &Span, expected: &Expected) {
    let mut attributes = span.attributes.clone();
    let timings: Vec<(&str, Option<Value>)> =
        [FIRST_CHUNK, FIRST_CONTENT].into_iter().map(|key| (key, attributes.remove(key))).collect();
    let pace = PACE.map(|key| attributes.remove(key));
    let repeated = LOOP.map(|key| attributes.remove(key).and_then(|value| value.as_u64()));
    let mut different: Vec<String> = Vec::new();
    take_prints(&mut attributes, &mut different);
    compare("attribute", &attributes, &with_alias(&expected.attributes), &mut different);
    compare("resource attribute", &span.resource, &expected.resource, &mut different);
    let mut same = |what: &str, found: Value, wanted: Value| {
        if found != wanted {
            different.push(format!("{what} is {found}, expected {wanted}"));
        }
    };
    same("name", json!(span.name), json!(expected.name));
    same("kind", json!(span.kind), json!(3));
    same("status", json!(span.status), json!(expected.status));
    same("scope", json!(span.scope), json!("plainspan"));
    let schema_url = format!("https://plainspan.dev/schemas/{}", contract_version());
    same("schema URL", json!(span.schema_url), json!(schema_url));
    same("trace flags", json!(span.flags & 0xff), json!(1));
    same("parent", json!(span.parent_span_id), json!(""));
    same("length of the trace id", json!(span.trace_id.len()), json!(32));
    same("length of the span id", json!(span.span_id.len()), json!(16));
    times(span, &expected.exchange, &timings, expected.streamed, &mut different);
    let times = expected.exchange.facts.texts.iter().map(|text| phrases(text)).max().unwrap_or_default();
    let told = match repeated {
        [None, None] => times < MANY,
        // What came before it was seen to be a loop does not count.
        [Some(period), Some(count)] => {
            period == PHRASE.len() as u64 && times >= FEW && (times * 9 / 10..=times + 1).contains(&count)
        }
        _ => false,
    };
    if !told {
        different.push(format!("the loop is {repeated:?} of a phrase that is there {times} times"));
    }
    match &pace {
        [None, None, None] if !expected.streamed || expected.exchange.events < 3 || expected.status != 0 => {}
        [Some(mean), Some(largest), Some(Value::Bool(false))] if expected.streamed => {
            let took = (span.end - span.start) as f64 / 1e9;
            let ordered = mean.as_f64() >= Some(0.0) && mean.as_f64() <= largest.as_f64();
            if !ordered || largest.as_f64() > Some(took) {
                different.push(format!("the pace is {pace:?} in a span of {took} s"));
            }
        }
        _ => different.push(format!("the pace is {pace:?}")),
    }
    assert!(different.is_empty(), "the span is not as expected:\n  {}\n{span:#?}", different.join("\n  "));
}

/// Fails unless the span of a call whose connection was joined late says so with `degraded`, and says nothing but what is
/// so: it may lack what is in `may_lack`, and nothing else.
pub fn assert_late_span(span: &Span, expected: &Expected, degraded: &[&str], may_lack: &[&str]) {
    let marks = span.get("plainspan.capture.degraded").as_array().cloned().unwrap_or_default();
    assert_eq!(marks, degraded, "{span:#?}");
    let mut wanted = expected.attributes.clone();
    for key in may_lack.iter().filter(|key| !span.attributes.contains_key(**key)) {
        wanted.remove(*key);
    }
    let apart = [FIRST_CHUNK, FIRST_CONTENT, "plainspan.capture.degraded"];
    let apart = |key: &str| apart.contains(&key) || PACE.contains(&key) || LOOP.contains(&key);
    let told = span.attributes.iter().filter(|(key, _)| !apart(key));
    let mut told = told.map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut different = Vec::new();
    take_prints(&mut told, &mut different);
    compare("attribute", &told, &with_alias(&wanted), &mut different);
    assert!(different.is_empty(), "the span is not as expected:\n  {}\n{span:#?}", different.join("\n  "));
}

/// How often a text has, one behind the other, the phrase of which the provider makes long ones.
fn phrases(text: &str) -> u64 {
    let (mut most, mut run, mut end) = (0, 0, 0);
    for (at, phrase) in text.match_indices(PHRASE) {
        run = if at == end { run + 1 } else { 1 };
        (most, end) = (most.max(run), at + phrase.len());
    }
    most
}

/// Takes out what can't be foretold, and tells what of it is not of the form that it has.
fn take_prints(attributes: &mut BTreeMap<String, Value>, different: &mut Vec<String>) {
    for (key, digits) in PRINTS {
        let Some(value) = attributes.remove(key) else { continue };
        let hash = value.as_str().unwrap_or_default();
        if hash.len() != digits || !hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            different.push(format!("attribute {key} is {value}, expected {digits} hexadecimal digits"));
        }
    }
    attributes.retain(|key, _| !LEARNT.iter().any(|learnt| key.starts_with(learnt)));
}

/// What is wanted, and whether both names of the model are the same.
fn with_alias(wanted: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut wanted = wanted.clone();
    let name = |key: &str| wanted.get(key).cloned();
    if let (Some(asked), Some(answered)) = (name("gen_ai.request.model"), name("gen_ai.response.model")) {
        wanted.insert(ALIASED.to_owned(), json!(asked != answered));
    }
    wanted
}

fn compare(
    what: &str,
    found: &BTreeMap<String, Value>,
    wanted: &BTreeMap<String, Value>,
    different: &mut Vec<String>,
) {
    for (key, value) in wanted {
        match found.get(key) {
            None => different.push(format!("{what} {key} is absent, expected {value}")),
            Some(there) if !equal(there, value) => {
                different.push(format!("{what} {key} is {there}, expected {value}"));
            }
            Some(_) => {}
        }
    }
    let more = found.keys().filter(|k| !wanted.contains_key(*k));
    different.extend(more.map(|k| format!("{what} {k} is {}, expected none", found[k])));
}

/// A double that is whole is still the same number.
fn equal(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() < f64::EPSILON)
}

fn times(
    span: &Span,
    exchange: &Exchange,
    timings: &[(&str, Option<Value>)],
    streamed: bool,
    different: &mut Vec<String>,
) {
    let (start, end) = (span.start as f64 / 1e9, span.end as f64 / 1e9);
    let mut within = |what: &str, found: f64, low: f64, high: f64| {
        if found < low - CLOCK_SLACK || found > high + CLOCK_SLACK {
            different.push(format!("{what} is {found:.6}, expected {low:.6} to {high:.6}"));
        }
    };
    // The request is sent before it is received, and the answer received after it is sent.
    let received = seconds(exchange.received);
    within("start", start, received - UNDER_WAY, received);
    let (Some(first), Some(last)) = (exchange.first_chunk, exchange.last_chunk) else { return };
    if exchange.ending == Ending::Complete {
        within("end", end, seconds(last), seconds(last) + UNDER_WAY);
    }
    let (mut before, mut missing) = (seconds(first), Vec::new());
    for (key, value) in timings {
        match value.as_ref().and_then(Value::as_f64) {
            Some(found) if streamed => {
                within(key, start + found, before, (seconds(first) + UNDER_WAY).min(end));
                before = start + found;
            }
            // The time to the first content is absent where there was none.
            None if !streamed || *key == FIRST_CONTENT => {}
            _ => missing.push(format!("{key} is {value:?}, of an answer that was streamed: {streamed}")),
        }
    }
    different.append(&mut missing);
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told() {
        let map = |pairs: &[(&str, Value)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let found = map(&[("a", json!(1.0)), ("b", json!("x")), ("c", json!(true))]);
        let wanted = map(&[("a", json!(1)), ("b", json!("y")), ("d", json!([]))]);
        let mut different = Vec::new();
        compare("attribute", &found, &wanted, &mut different);
        assert_eq!(different.len(), 3, "{different:?}");
    }
}
