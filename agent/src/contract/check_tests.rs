use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value as Parsed, json};

use super::super::{
    definition, names,
    names::{GEN_AI_CLIENT_INFERENCE as SPAN, RESOURCE},
    span::Attribute,
};
use super::*;

fn text(value: &str) -> Value {
    Value::String(value.into())
}

fn minimal() -> Attributes {
    let mut attributes = Attributes::default();
    for (key, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.system", "openai"),
        ("plainspan.api", "openai.chat_completions"),
        ("plainspan.call.ended", "complete"),
        ("plainspan.contract.version", "0.1.0"),
    ] {
        attributes.put(definition(key).unwrap(), text(value));
    }
    attributes
}

const CALM: Context = Context { failed: false, content: false, profile: Profile::DEFAULT };

fn said(findings: &Findings) -> Vec<String> {
    findings.violations.iter().map(ToString::to_string).collect()
}

#[test]
fn a_minimal_span_fits() {
    let mut attributes = minimal();
    let findings = fit(&mut attributes, &SPAN, CALM);
    assert_eq!((findings.violations, findings.cut), (vec![], vec![]));
    assert_eq!(attributes.finish(), minimal().finish());
}

#[test]
fn what_does_not_fit_is_removed_and_named() {
    #[rustfmt::skip]
    let rows = [
        ("process.pid", Value::Int(1), "unknown: process.pid"),
        ("gen_ai.request.top_k", Value::Double(1.0), "type: gen_ai.request.top_k"),
        ("gen_ai.request.temperature", Value::Double(f64::NAN), "type: gen_ai.request.temperature"),
        ("gen_ai.request.stop_sequences", text("x"), "type: gen_ai.request.stop_sequences"),
        ("gen_ai.output.type", text("smell"), "not_listed: gen_ai.output.type"),
        ("plainspan.capture.degraded", Value::Strings(vec!["usage_partial".into(), "bored".into()]), "not_listed: plainspan.capture.degraded"),
        ("gen_ai.input.messages", text("[]"), "private: gen_ai.input.messages"),
    ];
    for (key, value, wanted) in rows {
        let mut attributes = minimal();
        attributes.put(definition(key).unwrap(), value);
        assert_eq!(said(&fit(&mut attributes, &SPAN, CALM)), [wanted]);
        assert_eq!(attributes.finish(), minimal().finish(), "{key} is removed and nothing else");
    }
}

#[test]
fn what_is_missing_is_named() {
    let mut attributes = minimal();
    attributes.retain(|def, _| def.name != "gen_ai.system");
    attributes.put(names::SERVER_ADDRESS.def(), text("h"));
    let findings = fit(&mut attributes, &SPAN, Context { failed: true, ..CALM });
    assert_eq!(said(&findings), ["missing: gen_ai.system", "missing: server.port", "missing: error.type"]);
    let findings = fit(&mut Attributes::default(), &RESOURCE, CALM);
    assert_eq!(findings.violations.len(), 4, "service, pid, distro name and version");
}

#[test]
fn what_a_profile_leaves_out_is_not_missed() {
    for (profile, wanted) in [
        ("overlap", &["missing: gen_ai.provider.name", "missing: gen_ai.system"][..]),
        ("current", &["missing: gen_ai.provider.name"]),
        ("otel-1.41", &["missing: gen_ai.system"]),
    ] {
        let mut attributes = minimal();
        attributes.retain(|def, _| !matches!(def.name, "gen_ai.provider.name" | "gen_ai.system"));
        let context = Context { profile: Profile::parse(profile).unwrap(), ..CALM };
        assert_eq!(said(&fit(&mut attributes, &SPAN, context)), wanted, "{profile}");
    }
}

#[test]
fn long_values_are_cut_between_characters_and_named() {
    let mut attributes = minimal();
    attributes.put(names::GEN_AI_REQUEST_MODEL.def(), Value::String(format!("{}é", "m".repeat(255))));
    let many = Value::Strings(vec!["s".into(); 33]);
    attributes.put(names::GEN_AI_REQUEST_STOP_SEQUENCES.def(), many);
    let long = Value::Strings(vec!["x".repeat(65), "y".repeat(65)]);
    attributes.put(names::PLAINSPAN_RESPONSE_FINISH_REASONS.def(), long);
    let findings = fit(&mut attributes, &SPAN, CALM);
    assert_eq!(findings.violations, []);
    assert_eq!(
        findings.cut,
        ["gen_ai.request.model", "gen_ai.request.stop_sequences", "plainspan.response.finish_reasons"]
    );
    let values: Vec<_> = attributes.finish().drain(6..).map(|attribute| attribute.value).collect();
    assert_eq!(
        values,
        [
            Value::String("m".repeat(255)),
            Value::Strings(vec!["s".into(); 32]),
            Value::Strings(vec!["x".repeat(64), "y".repeat(64)]),
        ]
    );
}

#[test]
fn json_is_never_cut() {
    let max = names::GEN_AI_TOOL_DEFINITIONS.def().max_bytes.unwrap();
    for (len, wanted) in [(max, 0), (max + 1, 1)] {
        let mut attributes = minimal();
        attributes.put(names::GEN_AI_TOOL_DEFINITIONS.def(), Value::String(" ".repeat(len)));
        let findings = fit(&mut attributes, &SPAN, Context { content: true, ..CALM });
        assert_eq!((findings.violations.len(), findings.cut.len()), (wanted, 0));
    }
}

/// An attribute as JSON has it.
pub(in crate::contract) fn json_of(attribute: &Attribute) -> (String, Parsed) {
    let value = match &attribute.value {
        Value::String(v) => json!(v),
        Value::Int(v) => json!(v),
        Value::Double(v) => json!(v),
        Value::Bool(v) => json!(v),
        Value::Strings(v) => json!(v),
    };
    (attribute.key.to_owned(), value)
}

/// The generated schema of a span's attributes.
pub(in crate::contract) static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema: Parsed =
        serde_json::from_str(include_str!("../../../contract/generated/gen_ai.client.inference.schema.json"))
            .unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

/// Texts around every limit, of characters of every length, and such that lists have.
fn any_text(def: &'static AttributeDef) -> BoxedStrategy<String> {
    let max = def.max_bytes.unwrap_or(64).min(8192);
    let around =
        (prop::sample::select(vec!["a", "é", "€", "😀", "\"", "\0"]), max.saturating_sub(5)..max + 5)
            .prop_map(|(letter, len)| letter.repeat(len.div_ceil(letter.len())));
    let mut choices = vec![around.boxed(), ".{0,12}".boxed()];
    if !def.members.is_empty() {
        choices.push(prop::sample::select(def.members.to_vec()).prop_map(str::to_owned).boxed());
    }
    prop::strategy::Union::new(choices).boxed()
}

/// Mostly of the right type.
fn any_value(def: &'static AttributeDef) -> BoxedStrategy<Value> {
    let int = any::<i64>().prop_map(Value::Int).boxed();
    let double = any::<f64>().prop_map(Value::Double).boxed();
    let bool = any::<bool>().prop_map(Value::Bool).boxed();
    let string = any_text(def).prop_map(Value::String).boxed();
    let strings = prop::collection::vec(any_text(def), 0..40).prop_map(Value::Strings).boxed();
    let right = match def.kind {
        ValueKind::Int => int.clone(),
        ValueKind::Double => double.clone(),
        ValueKind::Bool => bool.clone(),
        ValueKind::String | ValueKind::Json => string.clone(),
        ValueKind::Strings => strings.clone(),
    };
    prop_oneof![6 => right, 1 => int, 1 => double, 1 => bool, 1 => string, 1 => strings].boxed()
}

fn any_attributes() -> impl Strategy<Value = Vec<(&'static AttributeDef, Value)>> {
    let one = prop::sample::select(names::ATTRIBUTES.iter().collect::<Vec<_>>())
        .prop_flat_map(|def| any_value(def).prop_map(move |value| (def, value)));
    prop::collection::vec(one, 0..40)
}

proptest! {
    /// Whatever is set, what the check leaves is what the schema describes, but for what the check has named as missing.
    #[test]
    fn the_check_leaves_what_the_schema_accepts(
        given in any_attributes(), whole in any::<bool>(), failed in any::<bool>(), content in any::<bool>()
    ) {
        let mut attributes = if whole { minimal() } else { Attributes::default() };
        for (def, value) in given {
            attributes.put(def, value);
        }
        let findings = fit(&mut attributes, &SPAN, Context { failed, content, ..CALM });
        let left = attributes.finish();
        let mut object: serde_json::Map<_, _> = left.iter().map(json_of).collect();
        prop_assert_eq!(object.len(), left.len(), "keys are unique");
        // In bytes, which the schema can't say.
        for attribute in &left {
            let def = definition(attribute.key).unwrap();
            let fits = |text: &String| def.max_bytes.is_none_or(|max| text.len() <= max);
            match &attribute.value {
                Value::String(text) => prop_assert!(fits(text), "{}", def.name),
                Value::Strings(texts) => prop_assert!(texts.iter().all(fits), "{}", def.name),
                _ => {}
            }
            prop_assert!(content || def.privacy != Privacy::Content, "{}", def.name);
        }
        let missing: Vec<_> =
            findings.violations.iter().filter(|v| v.reason == Reason::Missing).map(|v| v.key).collect();
        // `error.type` is asked for by the status, which is no attribute.
        let told: Vec<_> = missing.iter().filter(|key| **key != "error.type").collect();
        prop_assert_eq!(SCHEMA.is_valid(&Parsed::Object(object.clone())), told.is_empty(), "{:?}", told);
        for key in told {
            object.insert((*key).to_owned(), filler(definition(key).unwrap()));
        }
        let errors: Vec<_> = SCHEMA.iter_errors(&Parsed::Object(object)).map(|e| e.to_string()).collect();
        prop_assert_eq!(errors, [""; 0]);
    }
}

/// A value that fits.
fn filler(def: &AttributeDef) -> Parsed {
    match def.kind {
        ValueKind::Int => json!(1),
        ValueKind::Double => json!(1.5),
        ValueKind::Bool => json!(true),
        ValueKind::String | ValueKind::Json => json!(def.members.first().copied().unwrap_or("x")),
        ValueKind::Strings => json!(def.members),
    }
}
