//! The line of a call.
//!
//! ```text
//! 14:03:07.412  app[4242]     openai gpt-4o-mini        1204→88       1.82s  stop
//! 14:03:09.870  claude[6077]  anthropic claude-sonnet-4  stream    2310→512    (2048 cached)   8.04s  first 640ms  tool_call
//! 14:03:11.015  curl[4310]    openai gpt-4o                            -                        92ms               ERROR rate_limit_exceeded (HTTP 429)
//! ```

use std::time::Duration;

use jiff::tz::TimeZone;

use super::{
    super::keys,
    text::{Paint, visible, width},
};
use crate::{
    contract::{Delivery, Resource, Span, Status, Value},
    time::Timestamp,
};

/// Space between columns.
const GAP: &str = "  ";
/// Width of the tokens on each side of the arrow.
const TOKENS: usize = 6;
/// Longest text of one cell, in characters: a name from the wire must not push away the rest of the line.
const CELL_LIMIT: usize = 80;

/// How wide columns are: as wide as the widest cell so far, so that lines stay below each other; a column that
/// no call needs takes no room.
#[derive(Debug)]
pub(super) struct Columns {
    process: usize,
    model: usize,
    stream: usize,
    cached: usize,
    first: usize,
}

impl Default for Columns {
    fn default() -> Self {
        Self { process: 12, model: 22, stream: 0, cached: 0, first: 0 }
    }
}

impl Columns {
    /// No single long name makes all later lines too long for a screen.
    const PROCESS_LIMIT: usize = 28;
    const MODEL_LIMIT: usize = 48;

    /// The line, without its end.
    pub fn line(&mut self, delivery: &Delivery, paint: Paint, zone: &TimeZone) -> String {
        let (span, resource) = (&delivery.span, &*delivery.resource);
        let process = process(resource);
        let (provider, model) = (cell(text(span, keys::PROVIDER).unwrap_or("?")), model(span));
        let stream = if span.get(keys::STREAM) == Some(&Value::Bool(true)) { "stream" } else { "" };
        let cached = match int(span, keys::CACHE_READ_TOKENS) {
            Some(tokens) if tokens > 0 => format!("({tokens} cached)"),
            _ => String::new(),
        };
        let first = match span.get(keys::TIME_TO_FIRST_CHUNK) {
            Some(Value::Double(seconds)) => Duration::try_from_secs_f64(*seconds)
                .map(|first| format!("first {}", duration(first)))
                .unwrap_or_default(),
            _ => String::new(),
        };
        let duration = duration(span.end.since(span.start));
        let called = format!("{provider} {model}");

        let process_pad = pad(&mut self.process, &process, Self::PROCESS_LIMIT);
        let model_pad = pad(&mut self.model, &called, Self::MODEL_LIMIT);
        let stream_pad = pad(&mut self.stream, stream, usize::MAX);
        let cached_pad = pad(&mut self.cached, &cached, usize::MAX);
        let first_pad = pad(&mut self.first, &first, usize::MAX);

        let mut cells = vec![
            paint.dim(&clock(span.start, zone)),
            format!("{}{process_pad}", paint.cyan(&process)),
            format!("{provider} {}{model_pad}", paint.bold(&model)),
        ];
        if self.stream > 0 {
            cells.push(format!("{}{stream_pad}", paint.dim(stream)));
        }
        cells.push(tokens(span));
        if self.cached > 0 {
            cells.push(format!("{}{cached_pad}", paint.dim(&cached)));
        }
        cells.push(format!("{duration:>6}"));
        if self.first > 0 {
            cells.push(format!("{}{first_pad}", paint.dim(&first)));
        }
        cells.push(outcome(span, paint));
        cells.join(GAP).trim_end().to_owned()
    }
}

/// Widens a column for a cell, within a limit; returns what fills the cell up to the column.
fn pad(column: &mut usize, cell: &str, limit: usize) -> String {
    let cell = width(cell);
    *column = (*column).max(cell.min(limit));
    " ".repeat(column.saturating_sub(cell))
}

fn clock(time: Timestamp, zone: &TimeZone) -> String {
    // Every 64-bit number of nanoseconds is a time that `jiff` knows; should it not be, the epoch shows it.
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default();
    time.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f").to_string()
}

/// The service's name, where there is a real one, since many services are called `python3`.
fn process(resource: &Resource) -> String {
    let find = |key| resource.attributes.iter().find(|a| a.key == key).map(|a| &a.value);
    let named = |key| match find(key) {
        Some(Value::String(name)) if !name.is_empty() && !name.starts_with("unknown_service") => {
            Some(&**name)
        }
        _ => None,
    };
    let name = named(keys::SERVICE_NAME).or_else(|| named(keys::PROCESS_EXECUTABLE_NAME)).unwrap_or("?");
    match find(keys::PROCESS_PID) {
        Some(Value::Int(pid)) => format!("{}[{pid}]", cell(name)),
        _ => cell(name),
    }
}

/// The model, and before it the operation unless it is the usual one.
fn model(span: &Span) -> String {
    let model = text(span, keys::REQUEST_MODEL).or_else(|| text(span, keys::RESPONSE_MODEL));
    match text(span, keys::OPERATION) {
        Some("chat") | None => cell(model.unwrap_or("?")),
        Some(operation) => cell(&[operation, model.unwrap_or_default()].join(" ")).trim_end().to_owned(),
    }
}

/// Tokens in and out, below each other at the arrow.
fn tokens(span: &Span) -> String {
    let known = |key| int(span, key).map_or_else(|| "?".to_owned(), |tokens| tokens.to_string());
    if int(span, keys::INPUT_TOKENS).is_none() && int(span, keys::OUTPUT_TOKENS).is_none() {
        return format!("{:>TOKENS$}-{:TOKENS$}", "", "");
    }
    format!("{:>TOKENS$}→{:<TOKENS$}", known(keys::INPUT_TOKENS), known(keys::OUTPUT_TOKENS))
}

/// How it went: finish reasons or the error, then everything that is wrong with what was seen.
fn outcome(span: &Span, paint: Paint) -> String {
    let mut parts = Vec::new();
    let status =
        int(span, keys::HTTP_STATUS).filter(|status| *status >= 400).map(|status| status.to_string());
    let kind = text(span, keys::ERROR_TYPE).unwrap_or_default();
    let failed = matches!(span.status, Status::Error(_)) || !kind.is_empty();
    if failed {
        let error = match status {
            Some(status) if kind.is_empty() || kind == status => format!("ERROR HTTP {status}"),
            Some(status) => format!("ERROR {} (HTTP {status})", cell(kind)),
            None => format!("ERROR {}", cell(kind)),
        };
        parts.push(paint.red(error.trim_end()));
    }
    if let Some(Value::Strings(reasons)) = span.get(keys::FINISH_REASONS)
        // Of a call that failed, `error` says nothing new.
        && !(failed && reasons.iter().all(|reason| reason == "error"))
    {
        parts.push(reasons.iter().take(8).map(|reason| cell(reason)).collect::<Vec<_>>().join(","));
    }
    if let Some(ended) = text(span, keys::CALL_ENDED).filter(|ended| *ended != "complete" && *ended != kind) {
        parts.push(paint.yellow(&words(ended)));
    }
    if let Some(Value::Strings(marks)) = span.get(keys::DEGRADED) {
        let marks: Vec<_> = marks.iter().map(|mark| words(mark)).collect();
        parts.push(paint.yellow(&format!("! {}", marks.join(", "))));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(GAP)
}

fn words(identifier: &str) -> String {
    cell(identifier).replace('_', " ")
}

/// Text of the wire, fit for a cell.
fn cell(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(CELL_LIMIT).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{}{more}", visible(&start))
}

fn duration(duration: Duration) -> String {
    let (seconds, milliseconds) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..100 => format!("{}.{:02}s", seconds, duration.subsec_millis() / 10),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    match span.get(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn int(span: &Span, key: &str) -> Option<i64> {
    match span.get(key) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}
