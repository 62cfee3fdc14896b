//! For Prometheus: its text format, or OpenMetrics with exemplars, as the scraper asks.
//!
//! Names and labels follow OpenTelemetry's "Prometheus and OpenMetrics compatibility": dots become underscores, the unit and `_total`
//! are appended, and what a resource says goes to the labels of each series, since one agent has the metrics of many services.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::View;
use crate::{
    contract::{Attribute, Instrument, Measured, MetricDef, Point, Resource, ResourceMetrics, Value},
    metrics::Exemplar,
    text::hex,
};

/// Scrapes at the same time; more wait in the kernel.
const CONNECTIONS: usize = 16;
/// How long a scraper may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);
/// What OpenMetrics is called (OpenMetrics 1.0, "Protocol Negotiation").
const OPENMETRICS: &str = "application/openmetrics-text";

/// Answers scrapes, for ever.
pub(super) async fn serve(listener: TcpListener, view: View) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, say: what is open goes on, and closes.
            Err(error) => {
                tracing::warn!("a scraper's connection can't be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let view = view.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &view);
                async move { Ok::<_, Infallible>(answer) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!("a scraper's connection broke off: {error}");
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, view: &View) -> Response<Full<Bytes>> {
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains(OPENMETRICS));
            let openmetrics = request.headers().get_all(ACCEPT).iter().any(accepts);
            let (kind, body) = page(&view.now().1, openmetrics);
            (StatusCode::OK, kind, body)
        }
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "use GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "see /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What a scraper gets, and what it is called.
pub(super) fn page(all: &[ResourceMetrics], openmetrics: bool) -> (&'static str, String) {
    let mut families = BTreeMap::new();
    for ResourceMetrics { resource, metrics } in all {
        let labels = labels_of(resource);
        for metric in metrics {
            let (_, series) = families.entry(metric.def.index).or_insert_with(|| (metric.def, Vec::new()));
            series.extend(metric.points.iter().map(|point| (labels.clone(), point)));
        }
    }
    let mut page = Page { text: String::new(), openmetrics };
    for (def, series) in families.into_values() {
        page.family(def, &series);
    }
    if openmetrics {
        page.text.push_str("# EOF\n");
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", page.text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", page.text)
    }
}

/// In the making. The crates that write these formats take no exemplars but those of their own metrics.
struct Page {
    text: String,
    openmetrics: bool,
}

impl Page {
    /// A metric of all resources.
    fn family(&mut self, def: &MetricDef, series: &[(String, &Point)]) {
        let unit = if def.unit == "s" { "_seconds" } else { "" };
        let name = format!("{}{unit}", name(def.name));
        let (kind, total) = match def.instrument {
            Instrument::Counter => ("counter", "_total"),
            Instrument::Histogram => ("histogram", ""),
        };
        // In OpenMetrics a counter is called without the suffix of its sample.
        let family = if self.openmetrics { name.clone() } else { format!("{name}{total}") };
        let help = escaped(def.brief);
        self.line(format_args!("# HELP {family} {help}"));
        self.line(format_args!("# TYPE {family} {kind}"));
        if self.openmetrics && !unit.is_empty() {
            self.line(format_args!("# UNIT {family} {}", unit.trim_start_matches('_')));
        }
        for (labels, point) in series {
            let mut all = labels.clone();
            for attribute in &point.attributes {
                push_label(&mut all, attribute);
            }
            let braced = if all.is_empty() { String::new() } else { format!("{{{all}}}") };
            match &point.measured {
                Measured::Count(count) => self.line(format_args!("{name}_total{braced} {count}")),
                Measured::Sum(sum) => self.line(format_args!("{name}_total{braced} {sum}")),
                Measured::Distribution { buckets, sum, exemplars, .. } => {
                    self.buckets(&name, &all, def.boundaries, buckets, exemplars);
                    self.line(format_args!("{name}_sum{braced} {sum}"));
                    self.line(format_args!("{name}_count{braced} {}", buckets.iter().sum::<u64>()));
                }
            }
        }
    }

    fn buckets(
        &mut self,
        name: &str,
        labels: &str,
        bounds: &[f64],
        buckets: &[u64],
        exemplars: &[(usize, Exemplar)],
    ) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (at, count) in buckets.iter().enumerate() {
            total += count;
            // OpenMetrics wants floats ("Numbers" in its section on canonical numbers).
            let bound = bounds.get(at).map_or("+Inf".to_owned(), |bound| format!("{bound:?}"));
            let shown = exemplars.iter().find(|(of, _)| *of == at && self.openmetrics);
            let exemplar = shown.map(|(_, of)| exemplar(of)).unwrap_or_default();
            self.line(format_args!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}{exemplar}"));
        }
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// The names are those that OpenMetrics and OpenTelemetry agree on.
fn exemplar(of: &Exemplar) -> String {
    let (trace, span, seconds) = (hex(&of.trace_id), hex(&of.span_id), of.time.0 / 1_000_000_000);
    let millis = of.time.0 / 1_000_000 % 1000;
    format!(" # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {seconds}.{millis:03}", of.value)
}

/// What tells one service's series from another's; the rest of the resource says nothing that a scrape does not.
fn labels_of(resource: &Resource) -> String {
    let mut labels = String::new();
    for attribute in resource.attributes.iter().filter(|attribute| attribute.key.starts_with("service.")) {
        push_label(&mut labels, attribute);
    }
    labels
}

fn push_label(labels: &mut String, attribute: &Attribute) {
    let value = match &attribute.value {
        Value::String(text) => escaped(text),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Strings(texts) => escaped(&texts.join(",")),
    };
    let comma = if labels.is_empty() { "" } else { "," };
    let _ = write!(labels, "{comma}{}=\"{value}\"", name(attribute.key));
}

/// A text as it stands between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A name as Prometheus has it. Those of the contract are words joined by dots and underscores.
fn name(name: &str) -> String {
    name.replace('.', "_")
}
