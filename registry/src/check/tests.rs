use super::*;
use crate::{Instrument, SpanKind, read::File};

const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/0.1.0
description: A contract.
stability: development
annotations: {plainspan: {name: shop, version: 0.1.0, based_on: []}}
";

const DEFINITIONS: &str = "
file_format: definition/2
attributes:
  - {key: shop.model, type: string, brief: A., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, max_bytes: 8, since: 0.1.0}}}
  - key: shop.engine
    type: string
    brief: B.
    stability: stable
    deprecated: {reason: renamed, renamed_to: shop.model}
    annotations: {plainspan: {privacy: structural, cardinality: unbounded, max_bytes: 8, since: 0.1.0, until: 0.3.0}}
  - {key: shop.tokens, type: int, brief: C., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 0.1.0}}}
  - {key: shop.words, type: 'string[]', brief: C., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, max_items: 2, since: 0.1.0}}}
  - {key: shop.text, type: any, brief: C., stability: stable, annotations: {plainspan: {privacy: content, cardinality: unbounded, since: 0.1.0}}}
  - {key: server.address, type: string, brief: D., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 0.1.0}}}
  - {key: server.port, type: int, brief: E., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 0.1.0}}}
  - {key: error.type, type: string, brief: F., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 0.1.0}}}
  - key: shop.end
    type: {members: [{id: good, value: good}, {id: bad, value: bad}]}
    brief: G.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: closed, since: 0.1.0}}
  - key: shop.who
    type: {members: [{id: me, value: me}]}
    brief: G.
    stability: stable
    annotations: {plainspan: {privacy: identifying, cardinality: bounded, values: closed, since: 0.1.0}}
  - {key: service.name, type: string, brief: H., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 0.1.0}}}
  - {key: shop.tier, type: string, brief: I., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 0.1.0}}}
spans:
  - type: shop.call
    kind: client
    name: {note: n}
    brief: J.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, name_pattern: ['ask {shop.model}', ask]}}
    attributes:
      - {ref: shop.model, requirement_level: required}
      - {ref: shop.engine, requirement_level: required}
      - {ref: shop.tokens, requirement_level: recommended}
      - {ref: shop.words, requirement_level: recommended}
      - {ref: shop.text, requirement_level: opt_in}
      - {ref: shop.end, requirement_level: recommended}
      - {ref: shop.who, requirement_level: recommended}
      - {ref: server.address, requirement_level: recommended}
      - {ref: server.port, requirement_level: {conditionally_required: c}, annotations: {plainspan: {required_with: server.address}}}
      - {ref: error.type, requirement_level: {conditionally_required: c}, annotations: {plainspan: {required_on: error}}}
  - type: shop.tool
    kind: internal
    name: {note: n}
    brief: K.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, name_pattern: tool}}
    attributes:
      - {ref: shop.end, requirement_level: required}
metrics:
  - name: shop.call.duration
    instrument: histogram
    unit: s
    brief: L.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, boundaries: [0.5, 1.0]}}
    attributes:
      - {ref: shop.model, requirement_level: required}
  - name: shop.time
    instrument: histogram
    unit: s
    brief: L.
    stability: stable
    deprecated: {reason: renamed, renamed_to: shop.call.duration}
    annotations: {plainspan: {since: 0.1.0, until: 0.3.0}}
events:
  - name: shop.retry
    brief: M.
    stability: stable
    annotations: {plainspan: {since: 0.1.0}}
    attributes:
      - {ref: shop.tokens, requirement_level: required}
entities:
  - type: service
    brief: N.
    stability: stable
    identity:
      - {ref: service.name, requirement_level: required}
    description:
      - {ref: shop.tier, requirement_level: recommended}
";

fn shop() -> Registry {
    let file = |name: &str, text: &str| File { name: name.into(), text: text.into() };
    Registry::load(&[file("manifest.yaml", MANIFEST), file("all.yaml", DEFINITIONS)]).unwrap()
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn call() -> telemetry::Span {
    telemetry::Span {
        name: "ask m".into(),
        kind: Some(SpanKind::Client),
        attributes: vec![("shop.model".into(), text("m")), ("shop.engine".into(), text("m"))],
        ..telemetry::Span::default()
    }
}

/// The violations that a check tells, and whether it was of the contract.
fn told(check: impl FnOnce(Tell<'_>) -> bool) -> Option<Vec<String>> {
    let mut told = Vec::new();
    let ours = check(&mut |v| told.push(format!("{} {v}", v.rule.name())));
    assert!(ours || told.is_empty());
    ours.then_some(told)
}

fn said(checker: &Checker<'_>, span: &telemetry::Span) -> Vec<String> {
    told(|tell| checker.span(span, tell)).unwrap_or_default()
}

#[test]
fn a_span_that_keeps_the_contract_has_no_violations() {
    let registry = shop();
    let checker = Checker::new(&registry);
    let mut span = call();
    assert_eq!(told(|tell| checker.span(&span, tell)), Some(vec![]));
    // What other libraries add is none of the contract's business.
    span.attributes.push(("http.request.method".into(), text("GET")));
    span.attributes.push(("elsewhere.x".into(), text("GET")));
    assert_eq!(told(|tell| checker.span(&span, tell)), Some(vec![]));
    // Only the current name, as after the overlap.
    span.attributes.retain(|(key, _)| key != "shop.engine");
    assert_eq!(told(|tell| checker.span(&span, tell)), Some(vec![]));
}

#[test]
fn each_violation_is_named() {
    let registry = shop();
    let checker = Checker::new(&registry);
    let list = |n: usize| Value::List(vec![text("a"); n]);
    #[rustfmt::skip]
    let rows: Vec<(&str, Value, &[&str])> = vec![
        ("shop.modle", text("x"), &["unknown_attribute span shop.call: `shop.modle` is not in the contract"]),
        ("shop.tier", text("x"), &["attribute_not_here span shop.call: `shop.tier` does not belong here"]),
        ("shop.tokens", Value::Double(1.0), &["wrong_type span shop.call: `shop.tokens` is of type double, must be int"]),
        ("shop.tokens", text("1"), &["wrong_type span shop.call: `shop.tokens` is of type string, must be int"]),
        ("shop.words", text("1"), &["wrong_type span shop.call: `shop.words` is of type string, must be string[]"]),
        ("shop.words", Value::List(vec![]), &[]),
        ("shop.words", Value::List(vec![text("a"), Value::Int(1)]), &["wrong_type span shop.call: `shop.words` is of type mixed array, must be string[]"]),
        ("shop.words", list(3), &["too_many_items span shop.call: `shop.words` has more than 2 items"]),
        ("shop.text", text("[]"), &[]),
        ("shop.text", Value::Other("map"), &[]),
        ("shop.text", Value::Int(1), &["wrong_type span shop.call: `shop.text` is of type int, must be any"]),
        ("shop.end", text("ugly"), &["value_not_listed span shop.call: `shop.end` has \"ugly\", which is not listed"]),
        ("shop.who", text("you"), &["value_not_listed span shop.call: `shop.who` has a value that is not listed"]),
        ("server.address", text("h"), &["missing_attribute span shop.call: `server.port` is missing: `server.address` is there"]),
    ];
    for (key, value, wanted) in rows {
        let mut span = call();
        span.attributes.push((key.into(), value));
        assert_eq!(said(&checker, &span), wanted, "{key}");
    }
}

#[test]
fn names_kinds_and_what_is_missing() {
    type Change = fn(&mut telemetry::Span);
    let registry = shop();
    let checker = Checker::new(&registry);
    #[rustfmt::skip]
    let rows: Vec<(Change, &[&str])> = vec![
        (|s| s.name = "asks m".into(), &["unknown_span_name span shop.call: the name \"asks m\" is not of the form `ask {shop.model}`"]),
        (|s| s.name = "ask".into(), &["unknown_span_name span shop.call: the name \"ask\" is not of the form `ask {shop.model}`"]),
        (|s| { s.name = "ask".into(); s.attributes.remove(0); s.attributes.remove(0); s.attributes.push(("shop.tokens".into(), Value::Int(1))) },
         &["missing_attribute span shop.call: `shop.model` is missing"]),
        (|s| s.kind = Some(SpanKind::Server), &["wrong_span_kind span shop.call: the kind is server, must be client"]),
        (|s| s.failed = true, &["missing_attribute span shop.call: `error.type` is missing: the span failed"]),
        (|s| s.attributes = vec![("shop.tokens".into(), Value::Int(1))], &["missing_attribute span shop.call: `shop.model` is missing"]),
        (|s| s.attributes = vec![("shop.engine".into(), text("m"))], &["deprecated_name span shop.call: `shop.engine` is an older name, and `shop.model` is missing"]),
        (|s| { let long = "m".repeat(9); s.name = format!("ask {long}"); s.attributes[0].1 = Value::Text(long) },
         &["too_long span shop.call: `shop.model` is longer than 8 bytes"]),
        (|s| { s.name = "tool".into(); s.kind = None; s.attributes = vec![("shop.end".into(), text("good"))] }, &[]),
        (|s| s.events.push(telemetry::Event { name: "shop.retry".into(), attributes: vec![] }), &["missing_attribute event shop.retry: `shop.tokens` is missing"]),
        (|s| s.events.push(telemetry::Event { name: "shop.retri".into(), attributes: vec![] }), &["unknown_event event shop.retri: the event is not in the contract"]),
        (|s| s.events.push(telemetry::Event { name: "exception".into(), attributes: vec![] }), &[]),
    ];
    for (change, wanted) in rows {
        let mut span = call();
        change(&mut span);
        assert_eq!(said(&checker, &span), wanted);
    }
}

#[test]
fn what_is_not_the_contracts_is_left_alone() {
    let registry = shop();
    let checker = Checker::new(&registry);
    let mut span = call();
    span.attributes = vec![("http.request.method".into(), text("GET"))];
    span.name = "GET".into();
    assert_eq!(told(|tell| checker.span(&span, tell)), None);
    // Its very name makes it the contract's, with nothing under its namespaces.
    span.name = "tool".into();
    span.kind = None;
    assert_eq!(said(&checker, &span), ["missing_attribute span shop.tool: `shop.end` is missing"]);
    let other = telemetry::Metric { name: "http.x".into(), ..Default::default() };
    assert_eq!(told(|tell| checker.metric(&other, tell)), None);
}

#[test]
fn metrics_and_resources() {
    let registry = shop();
    let checker = Checker::new(&registry);
    let fine = telemetry::Metric {
        name: "shop.call.duration".into(),
        unit: "s".into(),
        instrument: Some(Instrument::Histogram),
        boundaries: vec![0.5, 1.0],
        points: vec![vec![("shop.model".into(), text("m"))]],
    };
    let metric = |metric: &telemetry::Metric| told(|tell| checker.metric(metric, tell)).unwrap();
    assert_eq!(metric(&fine), Vec::<String>::new());
    let wrong = telemetry::Metric {
        unit: "ms".into(),
        instrument: Some(Instrument::Gauge),
        boundaries: vec![1.0],
        points: vec![vec![]],
        ..fine.clone()
    };
    let wanted = [
        "wrong_unit metric shop.call.duration: the unit is \"ms\", must be \"s\"",
        "wrong_instrument metric shop.call.duration: the instrument is gauge, must be histogram",
        "wrong_boundaries metric shop.call.duration: the buckets have other boundaries",
        "missing_attribute metric shop.call.duration: `shop.model` is missing",
    ];
    assert_eq!(metric(&wrong), wanted);
    let unknown = telemetry::Metric { name: "shop.calls".into(), ..fine };
    assert_eq!(metric(&unknown), ["unknown_metric metric shop.calls: the metric is not in the contract"]);
    let resource = |attributes: Attributes| {
        let mut told = Vec::new();
        checker.resource(&attributes, &mut |v| told.push(v.to_string()));
        told
    };
    assert_eq!(
        resource(vec![("service.name".into(), text("s")), ("os.type".into(), text("x"))]),
        Vec::<String>::new()
    );
    assert_eq!(
        resource(vec![("shop.teer".into(), text("s"))]).len(),
        2,
        "unknown, and the service is missing"
    );
    let mut told = Vec::new();
    checker.resource_of_metrics(&vec![("shop.teer".into(), text("s"))], &mut |v| told.push(v.to_string()));
    assert_eq!(told.len(), 1, "metrics need not tell of a service: {told:?}");
}

#[test]
fn an_older_metric_is_fine_beside_the_current_one() {
    let registry = shop();
    let checker = Checker::new(&registry);
    let older = |came: &[&str]| {
        let came = came.iter().map(|name| (*name).to_owned()).collect();
        let mut told = Vec::new();
        checker.older_metrics(&came, &mut |v| told.push(v.to_string()));
        told
    };
    assert!(older(&["shop.time", "shop.call.duration"]).is_empty());
    assert!(older(&["shop.call.duration"]).is_empty());
    let wanted = ["metric shop.time: `shop.time` is an older name, and `shop.call.duration` is missing"];
    assert_eq!(older(&["shop.time"]), wanted);
}
