use std::collections::BTreeMap;

use super::*;
use crate::{Registry, read::File};

pub(super) const MANIFEST: &str = "
file_format: definition_manifest/2.0
schema_url: https://example.com/schemas/0.1.0
description: A contract.
stability: development
annotations: {plainspan: {name: shop, version: 0.1.0, based_on: []}}
";

pub(super) const DEFINITIONS: &str = "
file_format: definition/2
attributes:
  - {key: shop.model, type: string, brief: A., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 0.1.0}}}
  - {key: shop.tokens, type: int, brief: B., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 0.1.0}}}
  - {key: server.port, type: int, brief: C., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: bounded, since: 0.1.0}}}
  - key: shop.end
    type: {members: [{id: good, value: good}, {id: bad, value: bad}]}
    brief: D.
    stability: stable
    annotations: {plainspan: {privacy: structural, cardinality: bounded, values: closed, since: 0.1.0}}
  - {key: service.name, type: string, brief: E., stability: stable, annotations: {plainspan: {privacy: structural, cardinality: unbounded, since: 0.1.0}}}
spans:
  - type: shop.call
    kind: client
    name: {note: n}
    brief: F.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, name_pattern: 'ask {shop.model}'}}
    attributes:
      - {ref: shop.model, requirement_level: required}
      - {ref: shop.tokens, requirement_level: recommended}
      - {ref: shop.end, requirement_level: recommended}
      - {ref: server.port, requirement_level: recommended}
  - type: shop.tool
    kind: internal
    name: {note: n}
    brief: G.
    stability: stable
    annotations: {plainspan: {since: 0.1.0, name_pattern: tool}}
    attributes:
      - {ref: shop.end, requirement_level: recommended}
metrics:
  - name: shop.call.duration
    instrument: histogram
    unit: s
    brief: H.
    stability: stable
    annotations: {plainspan: {since: 0.1.0}}
    attributes:
      - {ref: shop.model, requirement_level: required}
entities:
  - type: service
    brief: I.
    stability: stable
    identity:
      - {ref: service.name, requirement_level: required}
";

fn shop() -> Registry {
    let file = |name: &str, text: &str| File { name: name.into(), text: text.into() };
    Registry::load(&[file("manifest.yaml", MANIFEST), file("all.yaml", DEFINITIONS)]).unwrap()
}

/// `attribute shop.model: groups by, sums = good`
fn shown(readings: &[Reading]) -> Vec<String> {
    let one = |r: &Reading| {
        let values: Vec<_> = r.values.iter().cloned().collect();
        let values = if values.is_empty() { String::new() } else { format!(" = {}", values.join("|")) };
        format!("{} {}: {}{values}", r.subject.kind(), r.subject.name(), r.verbs())
    };
    readings.iter().map(one).collect()
}

#[test]
fn names_in_queries_become_those_of_the_contract() {
    let registry = shop();
    let names = Names::new(&registry);
    #[rustfmt::skip]
    let rows: [(&str, &str, &[&str]); 9] = [
        ("a.promql", "sum by (shop_model, pod, service_name) (rate(shop_call_duration_seconds_sum{shop_end=~\"good|bad\"}[5m]))",
         &["attribute shop.end: filters on = bad|good", "attribute shop.model: groups by", "resource_attribute service.name: groups by", "metric shop.call.duration: sums"]),
        ("a.promql", "{\"shop.call.duration\"} + shop_gone_total + up{shop_modle=\"x\"}",
         &["attribute shop_modle: filters on = x", "metric shop.call.duration: reads", "metric shop_gone_total: reads"]),
        ("a.traceql", "{ name = \"ask x\" && span.shop.model != \"\" && span.http.method = \"GET\" } | sum_over_time(span.shop.tokens)",
         &["attribute shop.model: filters on = ", "attribute shop.tokens: sums", "span_name shop.call: filters on"]),
        ("a.traceql", "{ name =~ \".*\" && resource.service.name = \"a\" && .shop.modle = \"b\" }",
         &["attribute shop.modle: filters on = b", "resource_attribute service.name: filters on = a", "span_name shop.call: filters on", "span_name shop.tool: filters on"]),
        ("a.traceql", "{ name = \"asks x\" }", &["span_name asks x: filters on"]),
        ("a.sql", "SELECT attributes['shop.model'] AS m, sum(t.shop_tokens), \"server.port\" FROM t WHERE name <> 'x' GROUP BY m",
         &["attribute server.port: reads", "attribute shop.model: groups by", "attribute shop.tokens: sums"]),
        ("a.sql", "select count(*) from spans where k = 'shop.end' and k = 'x.y' and name like 'ask %' and 'shop.tokens' in (x)",
         &["attribute shop.end: filters on", "span_name shop.call: filters on", "span_name shop.tool: filters on"]),
        ("a.json", "{\"panels\": [{\"targets\": [{\"expr\": \"shop_call_duration_seconds_bucket\"}], \"transformations\": [{\"options\": {\"shop.model\": 1, \"Time\": 2}}]}]}",
         &["attribute shop.model: reads", "metric shop.call.duration: reads"]),
        ("a.rules.yaml", "groups:\n  - rules:\n    - {record: 'shop_rule', expr: 'shop_tokens_total'}\n    - {alert: A, expr: shop_rule > 1, annotations: {text: '{{ $labels.shop_end }}'}}",
         &["attribute shop.end: reads", "metric shop_tokens_total: reads"]),
    ];
    for (file, text, wanted) in rows {
        assert_eq!(shown(&names.resolve(&scan(file, text).unwrap())), wanted, "{text}");
    }
}

const DECLARED: &str = "
file_format: consumers/1
owner: finance
consumers:
  - name: finance/token-spend.json
    file: dash/a.sql
    reads:
      - {attribute: shop.model, how: [groups_by]}
      - {attribute: shop.end, how: [filters_on], values: [good]}
";

fn problems(declared: &str, sql: &str) -> Vec<String> {
    let declarations: Declarations = serde_yaml_ng::from_str(declared).unwrap();
    let registry = shop();
    let files = BTreeMap::from([("dash/a.sql", sql)]);
    let read = |file: &str| files.get(file).map(|t| (*t).to_owned()).ok_or_else(|| format!("no {file}"));
    check("finance.yaml", &declarations, &Names::new(&registry), read)
        .iter()
        .map(ToString::to_string)
        .collect()
}

const FINE: &str = "select shop_model from t where shop_end = 'good' group by shop_model";

#[test]
fn a_declaration_is_held_against_the_contract_and_the_file() {
    assert!(problems(DECLARED, FINE).is_empty());
    #[rustfmt::skip]
    let rows = [
        (DECLARED.to_owned(), "select sum(shop_tokens), shop_model from t where shop_end in ('good', 'bad')",
         vec!["finance/token-spend.json (dash/a.sql) filters on `shop.end`, looking for \"bad\", which its declaration does not say",
              "finance/token-spend.json (dash/a.sql) sums `shop.tokens`, which its declaration does not say"]),
        (DECLARED.replace("shop.model", "shop.gone"), "select 1",
         vec!["finance/token-spend.json reads `shop.gone`, which the contract lacks"]),
        (DECLARED.replace("attribute: shop.model", "span_name: shop.gone"), "select 1",
         vec!["finance/token-spend.json reads the names of spans `shop.gone`, which the contract lacks"]),
        (DECLARED.replace("[good]", "[good, worse]"), FINE,
         vec!["finance/token-spend.json looks for \"worse\" in `shop.end`, which never has this value"]),
        (DECLARED.replace("a.sql", "b.sql"), FINE, vec!["finance/token-spend.json: no dash/b.sql"]),
        (DECLARED.replace("consumers/1", "consumers/2"), FINE, vec!["finance.yaml: file_format must be consumers/1, is consumers/2"]),
    ];
    for (declared, sql, wanted) in rows {
        assert_eq!(problems(&declared, sql), wanted);
    }
}

#[test]
fn the_readers_of_something_are_named() {
    let declarations: Declarations = serde_yaml_ng::from_str(DECLARED).unwrap();
    let all = [("finance.yaml".to_owned(), declarations)];
    let subject = Subject::Attribute("shop.model".into());
    let said: Vec<_> = readers(&all, &subject)
        .map(|(o, c, r)| format!("{o}: {} {} {}", c.name, r.verbs(), r.subject))
        .collect();
    assert_eq!(said, ["finance: finance/token-spend.json groups by `shop.model`"]);
    assert_eq!(readers(&all, &Subject::ResourceAttribute("shop.model".into())).count(), 0);
}

#[test]
fn declarations_are_read_as_they_are_written() {
    let declarations: Declarations = serde_yaml_ng::from_str(DECLARED).unwrap();
    let text = declarations.yaml();
    assert_eq!(serde_yaml_ng::from_str::<Declarations>(&text).unwrap(), declarations, "{text}");
    for (from, to, wanted) in [
        (
            "attribute: shop.model, how: [groups_by]",
            "attribute: a, metric: b, how: [reads]",
            "exactly one of",
        ),
        ("attribute: shop.model, ", "", "exactly one of"),
        ("how: [groups_by]", "how: []", "how is empty"),
        ("how: [groups_by]", "how: [eats]", "unknown variant `eats`"),
    ] {
        let error = serde_yaml_ng::from_str::<Declarations>(&DECLARED.replacen(from, to, 1)).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_file_that_is_not_what_it_seems_is_named() {
    for (file, text, wanted) in [
        ("x.json", "{", "x.json: EOF"),
        ("x.yaml", "a: [", "x.yaml: "),
        ("x.txt", "", "what x.txt holds is not known"),
        ("json", "", "what json holds is not known"),
    ] {
        let error = scan(file, text).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
}

/// The cost of a text that is eight times as long is not much more than eight times that of the text; counted, not timed.
#[test]
fn what_is_found_grows_with_the_text() {
    let pieces = [
        "((((",
        "sum by (a) (",
        "select a as b, ",
        "group by 1,2 ",
        "{ span.a = `",
        "[[",
        "${",
        "label_replace(x, \"a\", ",
    ];
    for piece in pieces {
        for ending in ["promql", "sql", "traceql"] {
            let found = |n: usize| scan(&format!("x.{ending}"), &piece.repeat(n)).unwrap().len();
            assert!(found(800) <= 10 * (found(100) + 10), "{piece} {ending}");
        }
    }
}
