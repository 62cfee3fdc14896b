//! The contract as text: `manifest.yaml`, and a file each for attributes and signals.
//!
//! Written by hand and not by a serializer, for the comments that say what is to be reviewed. Every name and text from outside is
//! a scalar of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    Inference,
    guess::{cardinality, limit, privacy},
    observed::{Group, Observed},
};
use crate::{Cardinality, Kind, Privacy, read::File, yaml::scalar};

/// What the new contract is called.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name: lower-case words joined by dots, dashes and underscores.
    pub name: String,
    /// The start of its schema URL, to which `/0.1.0` is added.
    pub schema_url: String,
}

pub(super) fn files(seen: &Inference, identity: &Identity) -> Vec<File> {
    let attributes = Merged::of(seen);
    let file = |name: &str, text: String| File { name: name.to_owned(), text };
    let mut files =
        vec![file("manifest.yaml", manifest(identity)), file("attributes.yaml", attributes.text())];
    let mut signals = String::from(HEAD);
    spans(seen, &attributes, &mut signals);
    metrics(seen, &attributes, &mut signals);
    events(seen, &attributes, &mut signals);
    entities(seen, &attributes, &mut signals);
    files.push(file("signals.yaml", signals));
    files
}

const HEAD: &str =
    "# Inferred from recorded telemetry. `review` marks what was guessed.\nfile_format: definition/2\n";
const NOTES: &str = "since: 0.1.0";

fn manifest(identity: &Identity) -> String {
    let url = format!("{}/0.1.0", identity.schema_url.trim_end_matches('/'));
    format!(
        "# Inferred from recorded telemetry.\nfile_format: definition_manifest/2.0\nschema_url: {}\ndescription: {}\n\
         stability: development\nannotations:\n  plainspan:\n    name: {}\n    version: 0.1.0\n    based_on: []\n",
        scalar(&url),
        scalar(&format!("What {} exports.", identity.name)),
        scalar(&identity.name),
    )
}

/// All attributes, each as what was seen of it on any signal decides.
struct Merged<'a>(BTreeMap<&'a str, Decided>);

/// An attribute as it is written down.
struct Decided {
    kind: Kind,
    mixed: bool,
    privacy: Privacy,
    cardinality: Cardinality,
    members: BTreeSet<String>,
    max_bytes: usize,
    max_items: usize,
}

impl<'a> Merged<'a> {
    fn of(seen: &'a Inference) -> Self {
        let mut attributes: BTreeMap<&str, Vec<&Observed>> = BTreeMap::new();
        let groups = (seen.spans.values().map(|s| &s.group))
            .chain(seen.metrics.values().map(|m| &m.group))
            .chain(seen.events.values())
            .chain([&seen.resource]);
        for (key, observed) in groups.flat_map(|group| &group.attributes) {
            // Of a type that nothing tells, when only ever an empty array was there.
            if observed.kind().is_some() {
                attributes.entry(key).or_default().push(observed);
            }
        }
        let on_metrics: BTreeSet<&str> =
            seen.metrics.values().flat_map(|m| m.group.attributes.keys().map(String::as_str)).collect();
        let decided = |(key, all): (&'a str, Vec<&Observed>)| {
            Some((key, Decided::of(key, &all, on_metrics.contains(key))?))
        };
        Self(attributes.into_iter().filter_map(decided).collect())
    }

    fn text(&self) -> String {
        let mut out = String::from(HEAD);
        if self.0.is_empty() {
            return out;
        }
        out.push_str("attributes:\n");
        for (key, decided) in &self.0 {
            attribute(key, decided, &mut out);
        }
        out
    }
}

impl Decided {
    fn of(key: &str, all: &[&Observed], on_metric: bool) -> Option<Self> {
        let most = all.iter().max_by_key(|observed| observed.count)?;
        let kinds: BTreeSet<_> = all.iter().filter_map(|o| o.kind()).map(Kind::name).collect();
        let mut kind = most.kind()?;
        if kinds.iter().all(|name| matches!(*name, "int" | "double")) && kinds.len() == 2 {
            kind = Kind::Double;
        }
        let mut privacy = all.iter().map(|o| privacy(key, o)).max()?;
        if on_metric {
            // No metric carries content.
            privacy = privacy.min(Privacy::Identifying);
        }
        let cardinality = all.iter().map(|o| cardinality(o)).max()?;
        let listed = privacy == Privacy::Structural
            && cardinality == Cardinality::Bounded
            && matches!(kind, Kind::String | Kind::Strings)
            && all.iter().any(|o| o.members().is_some())
            && all.iter().all(|o| o.few());
        let members =
            if listed { all.iter().flat_map(|o| o.kept()).cloned().collect() } else { BTreeSet::new() };
        Some(Self {
            kind,
            mixed: kinds.len() > 1 && kind != Kind::Double || all.iter().any(|o| o.mixed()),
            privacy,
            cardinality,
            members,
            max_bytes: all.iter().map(|o| o.max_bytes).max()?,
            max_items: all.iter().map(|o| o.max_items).max()?,
        })
    }
}

fn attribute(key: &str, decided: &Decided, out: &mut String) {
    let Decided { kind, privacy, cardinality, members, .. } = decided;
    let _ = writeln!(out, "  - key: {}", scalar(key));
    let mut notes = format!("privacy: {}, cardinality: {}", privacy.name(), cardinality.name());
    if *kind == Kind::String && !members.is_empty() {
        out.push_str("    type:\n      members:\n");
        for (id, value) in ids(members) {
            let _ = writeln!(
                out,
                "        - {{id: {}, value: {}, stability: development}}",
                scalar(&id),
                scalar(value)
            );
        }
    } else {
        let _ = writeln!(out, "    type: {}", scalar(kind.name()));
    }
    if !members.is_empty() {
        notes.push_str(", values: open");
        if *kind == Kind::Strings {
            let items: Vec<_> = members.iter().map(|m| scalar(m)).collect();
            let _ = write!(notes, ", items: [{}]", items.join(", "));
        }
    }
    if kind.is_text() {
        let _ = write!(notes, ", max_bytes: {}", limit(decided.max_bytes, 64));
    }
    if kind.is_array() {
        let _ = write!(notes, ", max_items: {}", limit(decided.max_items, 8));
    }
    let _ = writeln!(out, "    brief: {}", scalar(&words(key)));
    out.push_str("    stability: development\n");
    if decided.mixed {
        out.push_str("    # review: values of other types came, too.\n");
    }
    if !members.is_empty() {
        out.push_str(
            "    # review: the values are those that came. Make them closed if there are no others.\n",
        );
    }
    if *privacy != Privacy::Structural {
        out.push_str(
            "    # review: the privacy class was guessed from the key and from what values look like.\n",
        );
    }
    let _ = writeln!(out, "    annotations: {{plainspan: {{{notes}, {NOTES}}}}}");
}

fn spans(seen: &Inference, attributes: &Merged<'_>, out: &mut String) {
    if !seen.spans.is_empty() {
        out.push_str("spans:\n");
    }
    let mut taken = BTreeSet::new();
    for (pattern, span) in &seen.spans {
        let name = unique(&slug(pattern), &mut taken);
        let kinds: Vec<_> = span.kinds.keys().map(|kind| kind.name()).collect();
        let usual =
            span.kinds.iter().max_by_key(|(_, count)| **count).map_or("internal", |(kind, _)| kind.name());
        let _ = writeln!(out, "  # review: give it a name of its own.\n  - type: {}", scalar(&name));
        let _ = writeln!(out, "    kind: {usual}\n    name: {{note: {}}}", scalar(&format!("`{pattern}`")));
        let _ = writeln!(
            out,
            "    brief: {}\n    stability: development",
            scalar(&format!("Seen {} times.", span.group.count))
        );
        let _ = writeln!(
            out,
            "    annotations: {{plainspan: {{kinds: [{}], name_pattern: {}, {NOTES}}}}}",
            kinds.join(", "),
            scalar(pattern)
        );
        uses(&span.group, &pattern_keys(pattern), attributes, out);
    }
}

fn metrics(seen: &Inference, attributes: &Merged<'_>, out: &mut String) {
    if !seen.metrics.is_empty() {
        out.push_str("metrics:\n");
    }
    for (name, metric) in &seen.metrics {
        let _ = writeln!(out, "  - name: {}\n    instrument: {}", scalar(name), metric.instrument.name());
        let _ = writeln!(
            out,
            "    unit: {}\n    brief: {}\n    stability: development",
            scalar(&metric.unit),
            scalar(&words(name))
        );
        let grow =
            metric.boundaries.is_sorted_by(|a, b| a < b) && metric.boundaries.iter().all(|b| b.is_finite());
        let mut notes = NOTES.to_owned();
        if !metric.boundaries.is_empty() && grow {
            let all: Vec<_> = metric.boundaries.iter().map(|b| format!("{b:?}")).collect();
            let _ = write!(notes, ", boundaries: [{}]", all.join(", "));
        }
        let _ = writeln!(out, "    annotations: {{plainspan: {{{notes}}}}}");
        uses(&metric.group, &BTreeSet::new(), attributes, out);
    }
}

fn events(seen: &Inference, attributes: &Merged<'_>, out: &mut String) {
    if !seen.events.is_empty() {
        out.push_str("events:\n");
    }
    for (name, event) in &seen.events {
        let _ = writeln!(out, "  - name: {}\n    brief: {}", scalar(name), scalar(&words(name)));
        let _ = writeln!(out, "    stability: development\n    annotations: {{plainspan: {{{NOTES}}}}}");
        uses(event, &BTreeSet::new(), attributes, out);
    }
}

/// The resource: one entity for each first word of its keys, told apart by what is always there.
fn entities(seen: &Inference, attributes: &Merged<'_>, out: &mut String) {
    let mut entities: BTreeMap<&str, Vec<(&str, &Observed)>> = BTreeMap::new();
    for (key, observed) in &seen.resource.attributes {
        if attributes.0.contains_key(key.as_str()) {
            let first = key.split('.').find(|word| !word.is_empty()).unwrap_or("resource");
            entities.entry(first).or_default().push((key, observed));
        }
    }
    if !entities.is_empty() {
        out.push_str("entities:\n");
    }
    for (name, held) in entities {
        let _ = writeln!(out, "  - type: {}\n    brief: {}", scalar(name), scalar(&format!("The {name}.")));
        out.push_str(
            "    stability: development\n    # review: which of them tell one from another.\n    identity:\n",
        );
        let always = |observed: &Observed| observed.count == seen.resource.count;
        let first = held.iter().find(|(_, o)| always(o)).or(held.first()).map(|(key, _)| *key);
        for (at, (key, observed)) in held
            .iter()
            .filter(|(key, _)| Some(*key) == first)
            .chain(held.iter().filter(|(key, _)| Some(*key) != first))
            .enumerate()
        {
            if at == 1 {
                out.push_str("    description:\n");
            }
            let level = if always(observed) { "required" } else { "recommended" };
            let _ = writeln!(out, "      - {{ref: {}, requirement_level: {level}}}", scalar(key));
        }
    }
}

fn uses(group: &Group, in_name: &BTreeSet<&str>, attributes: &Merged<'_>, out: &mut String) {
    let used: Vec<_> =
        group.attributes.iter().filter(|(key, _)| attributes.0.contains_key(key.as_str())).collect();
    if used.is_empty() {
        return;
    }
    out.push_str("    attributes:\n");
    for (key, observed) in used {
        let content = attributes.0.get(key.as_str()).is_some_and(|d| d.privacy == Privacy::Content);
        let failing =
            group.failed > 0 && observed.count == observed.on_failed && observed.on_failed == group.failed;
        let key_text = scalar(key);
        let _ = match () {
            () if content => writeln!(out, "      - {{ref: {key_text}, requirement_level: opt_in}}"),
            () if observed.count == group.count || in_name.contains(key.as_str()) => {
                writeln!(out, "      - {{ref: {key_text}, requirement_level: required}}")
            }
            () if failing => writeln!(
                out,
                "      - {{ref: {key_text}, requirement_level: {{conditionally_required: when it failed}}, annotations: {{plainspan: {{required_on: error}}}}}}"
            ),
            () => writeln!(
                out,
                "      - {{ref: {key_text}, requirement_level: recommended}} # on {} of {}",
                observed.count, group.count
            ),
        };
    }
}

fn pattern_keys(pattern: &str) -> BTreeSet<&str> {
    pattern.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(key, _)| key)).collect()
}

/// `{gen_ai.operation.name} of {x}` as `gen_ai.operation.name.of.x`.
fn slug(pattern: &str) -> String {
    let words: Vec<String> = pattern
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_')))
        .map(|word| word.trim_matches('.').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() { "span".to_owned() } else { words.join(".") }
}

fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = name.to_owned();
    let mut n = 1;
    while !taken.insert(name.clone()) {
        n += 1;
        name = format!("{}.{n}", name.trim_end_matches(|c: char| c == '.' || c.is_ascii_digit()));
    }
    name
}

/// An id for each value: its letters and digits in lower case.
fn ids(members: &BTreeSet<String>) -> Vec<(String, &String)> {
    let mut taken = BTreeSet::new();
    members
        .iter()
        .map(|value| {
            let plain: String = value
                .to_lowercase()
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
                .collect();
            let plain = plain.trim_matches('_');
            (unique(if plain.is_empty() { "value" } else { plain }, &mut taken), value)
        })
        .collect()
}

/// A key as the beginning of a sentence.
fn words(key: &str) -> String {
    let text = key.replace(['.', '_'], " ");
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}
