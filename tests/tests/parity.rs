//! The same calls of the same client code, once with OpenTelemetry's own instrumentation of the library and once bare under
//! `plainspan run`: the spans are compared attribute by attribute. What differs has its reason in
//! `tests/parity/reasons.json`, and what comes of it is `docs/parity.md`; `cargo xtask parity` writes that anew.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use plainspan_tests::harness::{AgentCommand, Command, Finished, Local, directory, venv, workspace};
use serde_json::{Map, Value, json};

const LIBRARIES: [&str; 4] = ["openai", "anthropic", "google", "bedrock"];

/// Names the file that the page is written to, instead of being compared with the one that is kept.
const WRITE: &str = "PLAINSPAN_PARITY";

/// How the names of our own contract begin.
const OWN: &str = "plainspan.";

/// A span under either contract: its attributes, and what else it has under names in parentheses.
type Span = BTreeMap<String, Value>;

/// Attributes that are JSON in a string.
const JSON: [&str; 4] = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
];

/// How the two spans stand to each other in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Equal,
    Differs,
    Ours,
    Theirs,
}

impl Verdict {
    fn of(ours: Option<&Value>, theirs: Option<&Value>) -> Self {
        match (ours, theirs) {
            (Some(ours), Some(theirs)) if ours == theirs => Self::Equal,
            (Some(_), Some(_)) => Self::Differs,
            (Some(_), None) => Self::Ours,
            (None, _) => Self::Theirs,
        }
    }

    /// As the reasons name it.
    fn key(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }

    /// As the page names it.
    fn shown(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "ours better",
            Self::Ours => "ours only",
            Self::Theirs => "theirs only",
        }
    }
}

/// What two runs of one library have come to.
struct Compared {
    library: &'static str,
    packages: Vec<(String, String)>,
    cases: Vec<String>,
    /// By attribute and verdict the cases, with what ours and theirs say.
    found: BTreeMap<(String, Verdict), Vec<(String, String)>>,
}

fn command(provider: &Local, library: &str) -> Command {
    let script = workspace().join("tests/parity/client.py");
    Command::at(venv("python"))
        .args([script])
        .args([library, "--url", &provider.url()])
        .env("SSL_CERT_FILE", provider.ca())
        .env("AWS_CA_BUNDLE", provider.ca())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // This one is instrumented by its own maker, too.
        .env("ANTHROPIC_OPEN_TELEMETRY", "false")
}

/// What the client told: the packages and the cases.
fn told(finished: &Finished) -> (Vec<(String, String)>, Vec<String>) {
    let (mut packages, mut cases) = (Vec::new(), Vec::new());
    for line in &finished.stdout {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(versions) = line["packages"].as_object() {
            let text = |version: &Value| version.as_str().unwrap_or_default().to_owned();
            packages = versions.iter().map(|(name, version)| (name.clone(), text(version))).collect();
        }
        cases.extend(line["case"].as_str().map(str::to_owned));
    }
    (packages, cases)
}

/// Spans of the instrumented client, in the form of the SDK's `to_json`.
fn theirs(library: &str) -> (Vec<(String, String)>, Vec<String>, Vec<Span>) {
    let provider = Local::new();
    let dir = directory();
    let file = dir.path().join("spans.jsonl");
    let finished = command(&provider, library).args(["--spans"]).args([&file]).run().exited(0);
    let (packages, cases) = told(&finished);
    let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("no spans: {e}; {finished:#?}"));
    let span = |line: &str| {
        let told: Value = serde_json::from_str(line).expect("each line is a span");
        let mut span: Span =
            told["attributes"].as_object().cloned().unwrap_or_default().into_iter().collect();
        span.insert("(name)".into(), told["name"].clone());
        let kind = told["kind"].as_str().unwrap_or_default().trim_start_matches("SpanKind.");
        span.insert("(kind)".into(), json!(kind));
        span.insert("(status)".into(), told["status"]["status_code"].clone());
        if let Some(description) = told["status"]["description"].as_str() {
            span.insert("(status description)".into(), json!(description));
        }
        normalized(span, &provider)
    };
    (packages, cases, text.lines().map(span).collect())
}

/// Spans of the bare client.
fn ours(library: &str) -> (Vec<String>, Vec<Span>) {
    let provider = Local::new();
    let report = AgentCommand::new().args(["--content", "span"]).run(command(&provider, library)).exited(0);
    let (_, cases) = told(&report.finished);
    let mut spans = report.spans;
    spans.sort_by_key(|span| span.start);
    let spans = spans.into_iter().map(|told| {
        let mut span = told.attributes;
        span.insert("(name)".into(), json!(told.name));
        span.insert("(kind)".into(), json!(if told.kind == 3 { "CLIENT" } else { "other" }));
        span.insert("(status)".into(), json!(if told.status == 2 { "ERROR" } else { "UNSET" }));
        if !told.status_message.is_empty() {
            span.insert("(status description)".into(), json!(told.status_message));
        }
        normalized(span, &provider)
    });
    (cases, spans.collect())
}

/// A span without what has to differ from run to run, and with its JSON read.
fn normalized(mut span: Span, provider: &Local) -> Span {
    for (key, value) in &mut span {
        if JSON.contains(&key.as_str())
            && let Some(text) = value.as_str()
        {
            *value = without_nulls(serde_json::from_str(text).expect("messages are JSON"));
        }
        if key == "server.port" && *value == json!(provider.port()) {
            *value = json!("the provider's");
        }
        // The two clocks are not one, and stand at different places: only that there is a time is compared.
        if key == "gen_ai.response.time_to_first_chunk" && value.is_f64() {
            *value = json!("a time");
        }
    }
    span
}

/// What is null is not there.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn compare(library: &'static str) -> Compared {
    let (packages, cases, theirs) = theirs(library);
    let (again, ours) = ours(library);
    assert_eq!(cases, again, "{library}: both runs make the same calls");
    assert_eq!((theirs.len(), ours.len()), (cases.len(), cases.len()), "{library}: a span of each call");
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        for key in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            // Those are ours by their name, and the contract has them one by one.
            if key.starts_with(OWN) && !theirs.contains_key(key) {
                let of_own = found.entry((format!("{OWN}*"), Verdict::Ours)).or_default();
                if of_own.last().is_none_or(|(last, _)| last != case) {
                    of_own.push((case.clone(), String::new()));
                }
                continue;
            }
            let (ours, theirs) = (ours.get(key), theirs.get(key));
            let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
            let values = format!("ours {}, theirs {}", shown(ours), shown(theirs));
            found.entry((key.clone(), Verdict::of(ours, theirs))).or_default().push((case.clone(), values));
        }
    }
    Compared { library, packages, cases, found }
}

/// Why the spans are not the same in some attribute.
struct Reason {
    libraries: Vec<String>,
    /// Its name; a star at its end stands for all that begin so.
    attribute: String,
    verdict: String,
    why: String,
}

impl Reason {
    fn all() -> Vec<Self> {
        let path = workspace().join("tests/parity/reasons.json");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let all: Vec<Value> =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let text = |value: &Value| value.as_str().map(str::to_owned);
        all.iter()
            .map(|one| Self {
                libraries: one["libraries"].as_array().into_iter().flatten().filter_map(text).collect(),
                attribute: text(&one["attribute"]).expect("it names an attribute"),
                verdict: text(&one["verdict"]).expect("and how it differs"),
                why: text(&one["why"]).filter(|why| !why.is_empty()).expect("and why"),
            })
            .collect()
    }

    fn fits(&self, library: &str, attribute: &str, verdict: Verdict) -> bool {
        let named = match self.attribute.strip_suffix('*') {
            Some(start) => attribute.starts_with(start),
            None => self.attribute == attribute,
        };
        let of_library = self.libraries.is_empty() || self.libraries.iter().any(|l| l == library);
        named && of_library && self.verdict == verdict.key()
    }
}

/// The page, and what has no reason.
fn page(all: &[Compared], reasons: &[Reason], used: &mut BTreeSet<usize>) -> (String, String) {
    let mut page = String::from(HEAD);
    let mut unexplained = String::new();
    for Compared { library, packages, cases, found } in all {
        let versions: Vec<String> =
            packages.iter().map(|(name, version)| format!("`{name}` {version}")).collect();
        let _ = write!(
            page,
            "\n## {}\n\nBy {}. Calls: {}.\n\n",
            title(library),
            versions.join(" and "),
            cases.join("; ")
        );
        page += "| Attribute | | In | Why |\n|---|---|---|---|\n";
        for ((attribute, verdict), in_cases) in found {
            let mut why = "";
            if *verdict != Verdict::Equal {
                if let Some(at) = reasons.iter().position(|reason| reason.fits(library, attribute, *verdict))
                {
                    used.insert(at);
                    why = &reasons[at].why;
                } else {
                    let (case, values) = &in_cases[0];
                    let key = verdict.key();
                    let _ = writeln!(unexplained, "{library}: {attribute} ({key}) in {case}: {values}");
                }
            }
            let names: Vec<&str> = in_cases.iter().map(|(case, _)| case.as_str()).collect();
            let whole = names.len() == cases.len();
            let names = if whole { "all".to_owned() } else { names.join("; ") };
            let _ = writeln!(page, "| `{attribute}` | {} | {names} | {why} |", verdict.shown());
        }
    }
    (page, unexplained)
}

fn title(library: &str) -> &'static str {
    match library {
        "openai" => "OpenAI",
        "anthropic" => "Anthropic",
        "google" => "Google",
        _ => "Amazon Bedrock",
    }
}

const HEAD: &str = "\
<!-- Generated by `cargo xtask parity` from tests/parity/. Do not edit. -->
# Parity with the SDKs' own instrumentation

The same calls, made by the same code through a provider's own library, give two spans: one of OpenTelemetry's own instrumentation of that library, inside the process, and one of plainspan, from
outside of a process that has none. This page compares them attribute by attribute, content included. *Equal*: the same value. *Ours better*: both have a value, and it differs. *Ours only*, *theirs only*: the
other span has none. Each difference has its reason. A member of a message that is null counts as absent, and of a time it is only compared that there is one.

The calls are made against a provider on the same machine, which answers as the real APIs do.
";

#[test]
fn spans_say_what_the_instrumentation_of_the_sdks_says() {
    let all = LIBRARIES.map(compare);
    let reasons = Reason::all();
    let mut used = BTreeSet::new();
    let (page, unexplained) = page(&all, &reasons, &mut used);
    assert!(
        unexplained.is_empty(),
        "different, and tests/parity/reasons.json says nothing of it:\n{unexplained}"
    );
    let unused: Vec<&str> =
        (0..reasons.len()).filter(|at| !used.contains(at)).map(|at| reasons[at].attribute.as_str()).collect();
    assert!(unused.is_empty(), "reasons for what does not differ: {unused:?}");
    if let Some(path) = std::env::var_os(WRITE) {
        fs::write(&path, page).expect("the page can be written");
        return;
    }
    let kept = fs::read_to_string(workspace().join("docs/parity.md")).unwrap_or_default();
    assert!(kept == page, "docs/parity.md is stale: `cargo xtask parity` writes it anew");
}
