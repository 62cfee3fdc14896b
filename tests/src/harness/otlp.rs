//! Spans out of the OTLP file format: one JSON-encoded `TracesData` a line
//! (opentelemetry.io/docs/specs/otel/protocol/file-exporter).

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A span with what stands around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id in hexadecimal.
    pub trace_id: String,
    /// Span id in hexadecimal.
    pub span_id: String,
    /// The parent's; empty if there is none.
    pub parent_span_id: String,
    /// W3C trace flags in the low byte.
    pub flags: u64,
    /// W3C trace state.
    pub trace_state: String,
    /// Name.
    pub name: String,
    /// OTLP's number: 2 is server, 3 is client.
    pub kind: u64,
    /// Start, in nanoseconds since 1970.
    pub start: u64,
    /// End, likewise.
    pub end: u64,
    /// What it links to: trace ids and span ids in hexadecimal.
    pub links: Vec<(String, String)>,
    /// Attributes; integers, doubles, booleans, strings and arrays as in JSON.
    pub attributes: BTreeMap<String, Value>,
    /// OTLP's number: 0 unset, 2 error.
    pub status: u64,
    /// Status description.
    pub status_message: String,
    /// Attributes of the resource.
    pub resource: BTreeMap<String, Value>,
    /// Name of the instrumentation scope.
    pub scope: String,
    /// Schema URL of the scope, else of the resource.
    pub schema_url: String,
}

impl Span {
    /// An attribute; null if it is absent.
    pub fn get(&self, key: &str) -> &Value {
        self.attributes.get(key).unwrap_or(&Value::Null)
    }

    /// Did the process make the call? Else it served it.
    pub fn is_client(&self) -> bool {
        self.kind == 3
    }

    /// The response's id, by which a span is found.
    pub fn response_id(&self) -> Option<&str> {
        self.get("gen_ai.response.id").as_str()
    }
}

/// All spans of a file, in its order; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Span>, String> {
    let mut spans = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let data: Value = serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
        let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        for resource_spans in list(&data, "resourceSpans") {
            for scope_spans in list(&resource_spans, "scopeSpans") {
                for span in list(&scope_spans, "spans") {
                    let span = read(&span, &scope_spans, &resource_spans);
                    spans.push(span.map_err(|e| format!("line {}: {e}", i + 1))?);
                }
            }
        }
    }
    Ok(spans)
}

fn read(span: &Value, scope: &Value, resource: &Value) -> Result<Span, String> {
    let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| number(&span[key]).ok_or_else(|| format!("{key} is {}", span[key]));
    let schema = |value: &Value| value["schemaUrl"].as_str().filter(|s| !s.is_empty()).map(str::to_owned);
    Ok(Span {
        trace_id: text("traceId"),
        span_id: text("spanId"),
        parent_span_id: text("parentSpanId"),
        flags: number(&span["flags"]).unwrap_or(0),
        trace_state: text("traceState"),
        name: text("name"),
        kind: number(&span["kind"]).unwrap_or(0),
        start: time("startTimeUnixNano")?,
        end: time("endTimeUnixNano")?,
        links: span["links"].as_array().into_iter().flatten().map(link).collect(),
        attributes: attributes(&span["attributes"])?,
        status: number(&span["status"]["code"]).unwrap_or(0),
        status_message: span["status"]["message"].as_str().unwrap_or_default().to_owned(),
        resource: attributes(&resource["resource"]["attributes"])?,
        scope: scope["scope"]["name"].as_str().unwrap_or_default().to_owned(),
        schema_url: schema(scope).or_else(|| schema(resource)).unwrap_or_default(),
    })
}

fn link(link: &Value) -> (String, String) {
    let text = |key: &str| link[key].as_str().unwrap_or_default().to_owned();
    (text("traceId"), text("spanId"))
}

/// OTLP's JSON writes 64-bit numbers as strings.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn attributes(list: &Value) -> Result<BTreeMap<String, Value>, String> {
    let mut out = BTreeMap::new();
    for attribute in list.as_array().into_iter().flatten() {
        let key = attribute["key"].as_str().unwrap_or_default().to_owned();
        let value =
            any_value(&attribute["value"]).ok_or_else(|| format!("{key} is {}", attribute["value"]))?;
        if out.insert(key.clone(), value).is_some() {
            return Err(format!("{key} stands there twice"));
        }
    }
    Ok(out)
}

fn any_value(value: &Value) -> Option<Value> {
    let (kind, value) = value.as_object()?.iter().next()?;
    match kind.as_str() {
        "stringValue" | "boolValue" | "doubleValue" => Some(value.clone()),
        "intValue" => {
            let n: i64 = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
            Some(json!(n))
        }
        "arrayValue" => value["values"].as_array().into_iter().flatten().map(any_value).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line() {
        let line = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "process.pid", "value": {"intValue": "7"}}]},
            "scopeSpans": [{"scope": {"name": "plainspan"}, "schemaUrl": "u", "spans": [{
                "traceId": "0a", "spanId": "0b", "name": "chat m", "kind": 3, "flags": 1,
                "startTimeUnixNano": "18446744073709551615", "endTimeUnixNano": "5",
                "attributes": [
                    {"key": "a", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
                    {"key": "d", "value": {"doubleValue": 0.5}},
                ],
                "status": {"code": 2, "message": "m"},
            }]}],
        }]});
        let spans = parse(&format!("{line}\n")).unwrap();
        assert_eq!(spans.len(), 1);
        assert_eq!((spans[0].start, spans[0].kind, spans[0].status), (u64::MAX, 3, 2));
        assert_eq!(spans[0].get("a"), &json!(["x"]));
        assert_eq!(spans[0].resource["process.pid"], json!(7));
        assert!(parse("{\"resourceSpans\":").unwrap_err().starts_with("line 1"));
    }
}
