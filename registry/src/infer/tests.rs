use proptest::prelude::*;

use super::*;
use crate::{Cardinality, Kind, Privacy, Registry, Requirement, check::Checker, telemetry::Value};

fn identity() -> Identity {
    Identity { name: "shop".into(), schema_url: "https://example.com/schemas".into() }
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn load(seen: &Inference) -> Registry {
    let files = seen.files(&identity());
    let all: Vec<_> = files.iter().map(|f| format!("--- {}\n{}", f.name, f.text)).collect();
    Registry::load(&files).unwrap_or_else(|e| panic!("{e}\n{}", all.join("\n")))
}

/// Twenty calls of two operations and many models, a failing one among them.
fn calls() -> Vec<Span> {
    (0..20)
        .map(|i| {
            let (operation, model) = (["chat", "embed"][i % 2], format!("model-{i}"));
            let mut attributes = vec![
                ("shop.operation".to_owned(), text(operation)),
                ("shop.model".to_owned(), text(&model)),
                ("shop.tokens".to_owned(), Value::Int(i as i64)),
                ("shop.user.email".to_owned(), text(&format!("u{i}@example.com"))),
                ("shop.input.messages".to_owned(), text("[{\"role\": \"user\", \"parts\": []}]")),
                ("shop.reasons".to_owned(), Value::List(vec![text("stop")])),
                ("shop.price".to_owned(), if i == 3 { Value::Int(1) } else { Value::Double(0.5) }),
            ];
            if i == 7 {
                attributes.push(("error.type".to_owned(), text("timeout")));
            }
            if i < 10 {
                attributes.push(("shop.cached".to_owned(), Value::Bool(true)));
            }
            Span {
                name: format!("{operation} {model}"),
                kind: Some(SpanKind::Client),
                failed: i == 7,
                attributes,
                events: vec![Event {
                    name: "shop.retry".into(),
                    attributes: vec![("shop.count".into(), Value::Int(1))],
                }],
            }
        })
        .collect()
}

fn inferred() -> Inference {
    let mut seen = Inference::new(Limits::default());
    for span in calls() {
        seen.span(&span);
        seen.resource(&vec![("service.name".into(), text("s")), ("process.pid".into(), Value::Int(1))]);
    }
    let point = vec![("shop.operation".to_owned(), text("chat"))];
    seen.metric(&Metric {
        name: "shop.duration".into(),
        unit: "s".into(),
        instrument: Some(Instrument::Histogram),
        boundaries: vec![0.5, 1.0],
        points: vec![point],
    });
    seen
}

#[test]
fn what_was_seen_becomes_a_contract() {
    let registry = load(&inferred());
    assert_eq!(registry.name, "shop");
    assert_eq!(registry.spans.len(), 1, "{:?}", registry.spans);
    let span = &registry.spans[0];
    assert_eq!(span.patterns[0].to_string(), "{shop.operation} {shop.model}");
    assert_eq!(span.kinds, [SpanKind::Client]);
    let level =
        |key: &str| span.attributes.iter().find(|u| u.key == key).map(|u| (u.level, u.required_on_error));
    assert_eq!(level("shop.model"), Some((Requirement::Required, false)));
    assert_eq!(level("shop.cached"), Some((Requirement::Recommended, false)));
    assert_eq!(level("error.type"), Some((Requirement::Conditional, true)));
    assert_eq!(level("shop.input.messages"), Some((Requirement::OptIn, false)));
    let attribute = |key: &str| registry.attribute(key).unwrap();
    let values: Vec<_> = attribute("shop.operation").members.iter().map(|m| m.value.as_str()).collect();
    assert_eq!(values, ["chat", "embed"]);
    assert_eq!(attribute("shop.operation").cardinality, Cardinality::Bounded);
    assert_eq!(attribute("shop.model").cardinality, Cardinality::Unbounded);
    assert!(attribute("shop.model").members.is_empty());
    assert_eq!(attribute("shop.user.email").privacy, Privacy::Identifying);
    assert_eq!(attribute("shop.input.messages").privacy, Privacy::Content);
    assert_eq!(attribute("shop.price").kind, Kind::Double);
    assert_eq!(attribute("shop.reasons").kind, Kind::Strings);
    let metric = registry.metric("shop.duration").unwrap();
    assert_eq!(
        (metric.instrument, metric.unit.as_str(), metric.boundaries.as_slice()),
        (Instrument::Histogram, "s", &[0.5, 1.0][..])
    );
    assert!(registry.event("shop.retry").is_some());
    assert_eq!(registry.entities.len(), 2);
}

#[test]
fn what_it_was_inferred_from_keeps_the_contract() {
    let registry = load(&inferred());
    let checker = Checker::new(&registry);
    for span in calls() {
        // The one value that is not of the type that most have.
        let wanted: usize =
            usize::from(span.attributes.iter().any(|(k, v)| k == "shop.price" && *v == Value::Int(1)));
        let mut violations = Vec::new();
        assert!(checker.span(&span, &mut |v| violations.push(v)), "it is the contract's");
        assert_eq!(violations.len(), wanted, "{violations:?}");
    }
}

#[test]
fn guesses_are_marked_for_review() {
    let files = inferred().files(&identity());
    let all = &files[1].text;
    let at = all.find("shop.user.email").unwrap();
    assert!(all[at..].lines().take(6).any(|l| l.contains("# review: the privacy class")), "{all}");
}

#[test]
fn what_is_over_a_limit_is_left_out_and_counted() {
    let mut seen = Inference::new(Limits { signals: 2, attributes: 2, values: 4 });
    for i in 0..5 {
        let attributes = (0..4).map(|n| (format!("a.b{n}"), Value::Int(i))).collect();
        seen.span(&Span { name: format!("s{i}"), attributes, ..Span::default() });
    }
    assert_eq!(seen.left_out(), LeftOut { signals: 3, attributes: 4 });
    assert_eq!(load(&seen).spans.len(), 2);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        ".{0,20}".prop_map(Value::Text),
        "(a|b|c)".prop_map(Value::Text),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Other("map")),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| proptest::collection::vec(inner, 0..4).prop_map(Value::List))
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    proptest::collection::vec(("(a|b|a\\.b|gen_ai\\.id|x\\.text|.{0,6})", any_value()), 0..6)
}

proptest! {
    /// Whatever comes, the loader takes what is written, and the checker the rest.
    #[test]
    fn any_telemetry_makes_a_contract(
        spans in proptest::collection::vec(("(a|b c|.{0,12})", any_attributes(), any::<bool>()), 0..12),
        resource in any_attributes(),
        names in proptest::collection::vec(("(m\\.n|.{0,6})", ".{0,4}", any_attributes()), 0..4),
    ) {
        let mut seen = Inference::new(Limits { signals: 6, attributes: 4, values: 3 });
        let spans: Vec<Span> = spans
            .into_iter()
            .map(|(name, attributes, failed)| Span { name, failed, attributes, ..Span::default() })
            .collect();
        for span in &spans {
            seen.span(span);
            seen.resource(&resource);
        }
        for (name, unit, attributes) in names {
            seen.event(&Event { name: name.clone(), attributes: attributes.clone() });
            let instrument = Some(Instrument::Counter);
            seen.metric(&Metric { name, unit, instrument, boundaries: vec![], points: vec![attributes] });
        }
        let registry = load(&seen);
        let checker = Checker::new(&registry);
        for span in &spans {
            checker.span(span, &mut |_| ());
        }
        checker.resource(&resource, &mut |_| ());
    }
}
