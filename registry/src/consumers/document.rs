//! Files that hold queries among other things: Grafana dashboards and alert rules, Prometheus rules and their Kubernetes form.
//!
//! All are trees of objects. A query is known by the field that it stands in (`expr`, `rawSql`, `query`) and by the data source, which
//! is that of the query or of the nearest object around it; so rows in rows, older and newer dashboards, and rules that Grafana
//! itself evaluates are all read by one walk. Formats: grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model,
//! prometheus.io/docs/prometheus/latest/configuration/recording_rules.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::{
    found::{Found, Usage, Value, What},
    promql, sql, traceql,
};

/// All that the queries of a document read.
pub fn scan(document: &Json) -> Vec<Found> {
    let mut walk = Walk::default();
    walk.value(document, None, Place::Anywhere);
    let Walk { mut found, recorded } = walk;
    // What a rule records is the file's own, and its readers are too.
    found.retain(|f| f.what != What::Metric || !recorded.contains(&f.name));
    found
}

#[derive(Default)]
struct Walk {
    found: Vec<Found>,
    recorded: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Prometheus,
    Tempo,
    Sql,
    /// One whose queries are not read.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// In the options of a transformation, where the names of fields stand as keys and as values.
    Fields,
    /// In `templating.list`.
    Variable,
}

impl Walk {
    fn value(&mut self, value: &Json, source: Option<Source>, place: Place) {
        match value {
            Json::Object(object) => self.object(object, source, place),
            Json::Array(items) => items.iter().for_each(|item| self.value(item, source, place)),
            Json::String(text) if place == Place::Fields => self.field(text),
            _ => {}
        }
    }

    fn object(&mut self, object: &Map<String, Json>, source: Option<Source>, place: Place) {
        let own = source_of(object).or(source);
        if let Some(Json::String(name)) = object.get("record") {
            self.recorded.insert(name.clone());
        }
        if object.get("id").is_some_and(|id| id == "byName")
            && let Some(Json::String(name)) = object.get("options")
        {
            self.field(name);
        }
        for (key, value) in object {
            if place == Place::Fields {
                self.field(key);
            }
            match (key.as_str(), value) {
                (_, Json::String(text)) => self.text(key, text, object, own, place),
                ("filters", Json::Array(filters)) if own == Some(Source::Tempo) => {
                    self.tags(filters, Usage::FiltersOn);
                }
                ("groupBy", Json::Array(tags)) if own == Some(Source::Tempo) => {
                    self.tags(tags, Usage::GroupsBy);
                }
                ("transformations", _) => self.value(value, own, Place::Fields),
                ("templating" | "variables", _) => self.value(value, own, Place::Variable),
                _ => self.value(value, own, place),
            }
        }
    }

    fn text(
        &mut self,
        key: &str,
        text: &str,
        object: &Map<String, Json>,
        source: Option<Source>,
        place: Place,
    ) {
        let found = match (key, source) {
            ("expr", None | Some(Source::Prometheus)) => promql::scan(text),
            ("rawSql" | "rawQueryText", _)
            | ("query" | "definition" | "queryText" | "rawSQL", Some(Source::Sql)) => sql::scan(text),
            ("query" | "definition", Some(Source::Prometheus)) if place == Place::Variable => {
                promql::scan_variable(text)
            }
            ("query", source)
                if source == Some(Source::Tempo)
                    || source.is_none() && object.get("queryType").is_some_and(|kind| kind == "traceql") =>
            {
                traceql::scan(text)
            }
            ("legendFormat" | "legend", _) => promql::scan_legend(text),
            // Tempo's form of a variable: the values of an attribute, without its scope.
            ("label", Some(Source::Tempo)) if place == Place::Variable && object.contains_key("refId") => {
                vec![Found {
                    what: What::Either,
                    name: text.to_owned(),
                    usage: Usage::Reads,
                    values: Vec::new(),
                }]
            }
            // The templates of an alert's annotations.
            _ if text.contains("$labels.") || text.contains(".Labels.") => labels(text),
            _ => {
                if place == Place::Fields {
                    self.field(text);
                }
                return;
            }
        };
        self.found.extend(found);
    }

    /// Tempo's search, as its form in Grafana writes it down.
    fn tags(&mut self, tags: &[Json], usage: Usage) {
        for tag in tags {
            let Some(name) = tag["tag"].as_str().filter(|name| !name.is_empty()) else { continue };
            let what = match tag["scope"].as_str() {
                Some("resource") => What::Resource,
                Some("span") => What::Attribute,
                Some("intrinsic") if name == "name" => What::SpanName,
                Some("intrinsic") => continue,
                _ => What::Either,
            };
            let pattern = tag["operator"].as_str().is_some_and(|operator| operator.ends_with('~'));
            let texts = match &tag["value"] {
                Json::String(text) => vec![text.as_str()],
                Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
                _ => Vec::new(),
            };
            let values = texts.into_iter().filter_map(|text| Value::known(text, pattern)).collect();
            let name = if what == What::SpanName { String::new() } else { name.to_owned() };
            self.found.push(Found { what, name, usage, values });
        }
    }

    /// What may be the name of a field of a result.
    fn field(&mut self, name: &str) {
        self.found.push(Found {
            what: What::Column,
            name: name.to_owned(),
            usage: Usage::Reads,
            values: Vec::new(),
        });
    }
}

/// The data source that an object names, by its type or, for the two forms that say no type, by their names.
fn source_of(object: &Map<String, Json>) -> Option<Source> {
    let name = match object.get("datasource") {
        Some(Json::Object(source)) => source.get("type").and_then(Json::as_str)?,
        Some(Json::String(name)) => name,
        // Dashboards of the second schema: `query: {kind: DataQuery, group: tempo, spec: ...}`.
        _ => object.get("group").and_then(Json::as_str).filter(|_| object.contains_key("spec"))?,
    };
    let name = name.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if any(&["prometheus", "mimir", "victoriametrics"]) {
        Some(Source::Prometheus)
    } else if any(&["tempo"]) {
        Some(Source::Tempo)
    } else if any(&[
        "postgres",
        "mysql",
        "mssql",
        "clickhouse",
        "bigquery",
        "sqlite",
        "athena",
        "redshift",
        "snowflake",
        "duckdb",
        "sql",
    ]) {
        Some(Source::Sql)
    } else if any(&[
        "loki",
        "elasticsearch",
        "influx",
        "graphite",
        "-- grafana --",
        "__expr__",
        "opensearch",
        "cloudwatch",
    ]) {
        Some(Source::Other)
    } else {
        None
    }
}

/// `{{ $labels.gen_ai_request_model }}` of Prometheus' and Grafana's templates.
fn labels(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for marker in ["$labels.", ".Labels."] {
        for part in text.split(marker).skip(1) {
            let end = part.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(part.len());
            found.extend(promql::scan_legend(&format!("{{{{{}}}}}", &part[..end])));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shown(document: &Json) -> Vec<String> {
        scan(document).into_iter().map(|f| format!("{:?} {} {}", f.what, f.usage.verb(), f.name)).collect()
    }

    #[test]
    fn queries_of_a_dashboard_are_found_wherever_they_stand() {
        let dashboard = json!({
            "templating": {"list": [
                {"name": "model", "type": "query", "datasource": {"type": "prometheus"}, "query": {"query": "label_values(m_total, model_label)", "refId": "A"}},
                {"name": "which", "type": "custom", "query": "a,b"},
                {"name": "tempo", "type": "datasource", "query": "tempo"},
                {"name": "service", "datasource": {"type": "tempo"}, "query": {"refId": "A", "type": 1, "label": "in.variable"}},
            ]},
            "panels": [
                {"type": "row", "panels": [{
                    "datasource": {"type": "tempo", "uid": "$tempo"},
                    "targets": [{"query": "{ span.in_a_row = `x` } | rate() by(resource.r)", "queryType": "traceql"}],
                }]},
                {"datasource": {"type": "tempo"}, "targets": [{"queryType": "traceqlSearch", "filters": [
                    {"tag": "searched", "scope": "span", "operator": "=", "value": ["v"]},
                    {"tag": "name", "scope": "intrinsic", "operator": "=~", "value": "chat.*"},
                    {"tag": "status", "scope": "intrinsic", "operator": "=", "value": "error"},
                ], "groupBy": [{"scope": "resource", "tag": "grouped"}]}]},
                {"datasource": "-- Mixed --", "targets": [
                    {"datasource": {"type": "grafana-postgresql-datasource"}, "rawSql": "select \"in.sql\" from t"},
                    {"datasource": {"type": "prometheus"}, "expr": "sum by (by_label) (p_total)", "legendFormat": "{{in_legend}}"},
                    {"datasource": {"type": "loki"}, "expr": "{not_read=`x`} |= `y`"},
                ], "transformations": [
                    {"id": "organize", "options": {"excludeByName": {"hidden_field": true}, "renameByName": {"renamed_field": "Shown"}}},
                ], "fieldConfig": {"overrides": [{"matcher": {"id": "byName", "options": "overridden"}}]}},
            ],
            "elements": {"panel-1": {"spec": {"data": {"spec": {"queries": [{"spec": {"query":
                {"kind": "DataQuery", "group": "tempo", "spec": {"query": "{ span.second_schema = 1 }"}}}}]}}}}},
        });
        let shown = shown(&dashboard);
        for wanted in [
            "Metric reads m_total",
            "Either reads model_label",
            "Either reads in.variable",
            "Attribute filters on in_a_row",
            "Resource groups by r",
            "Attribute filters on searched",
            "SpanName filters on ",
            "Resource groups by grouped",
            "Column reads in.sql",
            "Either groups by by_label",
            "Metric sums p_total",
            "Either reads in_legend",
            "Column reads hidden_field",
            "Column reads renamed_field",
            "Column reads overridden",
            "Attribute filters on second_schema",
        ] {
            assert!(shown.iter().any(|s| s == wanted), "{wanted}: {shown:#?}");
        }
        assert!(!shown.iter().any(|s| s.contains("not_read") || s.contains("status")), "{shown:#?}");
    }

    #[test]
    fn rules_of_prometheus_and_what_they_record() {
        let rules = json!({"groups": [{"name": "g", "rules": [
            {"record": "r:tokens", "expr": "sum by (m) (rate(t_total[5m]))"},
            {"alert": "A", "expr": "r:tokens > 5", "annotations": {"summary": "{{ $labels.in_text }}: {{ $value }}"}},
        ]}]});
        assert_eq!(shown(&rules), ["Either groups by m", "Metric sums t_total", "Either reads in_text"]);
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let keys =
            "(expr|query|rawSql|datasource|filters|transformations|templating|tag|id|options|legendFormat)";
        let leaf = prop_oneof![
            "(tempo|prometheus|mysql|\\{ span.a = 1 \\}|sum\\(x\\)|select a|.{0,8})".prop_map(Json::from),
            any::<bool>().prop_map(Json::from),
        ];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                proptest::collection::btree_map(keys, inner, 0..5)
                    .prop_map(|m| Json::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_is_scanned(document in any_json()) {
            scan(&document);
        }
    }
}
