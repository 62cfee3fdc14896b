//! The line of a call, and the heading over all of them.
//!
//! ```text
//! TIME      PROCESS             MODEL                                  TOOK  FIRST  OUTCOME       IN→OUT TOKENS
//! 14:03:07  app[4242]           openai gpt-4o-mini                    1.82s         stop        1204→88
//! 14:03:09  claude[6077]        anthropic claude-sonnet-4-5-20250929  8.04s  640ms  tool_call   2310→512    2048 cached
//! 14:03:11  curl[4310]          openai gpt-4o                          92ms         ERROR rate_limit_exceeded (HTTP 429)
//! ```

use std::{iter, time::Duration};

use jiff::tz::TimeZone;

use super::text::{Paint, visible, width};
use crate::{
    contract::{Delivery, Key, Kind, Resource, Span, Status, Text, Value, names},
    time::Timestamp,
};

/// Where columns begin, or end if they hold numbers; an ordinary line ends before column 120. They never move,
/// so that what was printed long ago and what comes next stand below each other; a cell that is too long takes
/// its room from the space behind it.
mod stop {
    pub(super) const PROCESS: usize = 10;
    pub(super) const MODEL: usize = 30;
    pub(super) const TOOK_END: usize = 73;
    pub(super) const FIRST_END: usize = 80;
    pub(super) const OUTCOME: usize = 82;
    /// The arrow between input and output tokens.
    pub(super) const ARROW: usize = 98;
    pub(super) const CACHED: usize = 106;
}

/// Least space between cells.
const GAP: usize = 2;
/// Longest text of one cell, in characters: a name from the wire must not push away the rest of the line.
const CELL_LIMIT: usize = 64;
/// Stands where a value was to be expected and is not known.
const NONE: &str = "-";

/// A line as it grows, from tab stop to tab stop.
#[derive(Default)]
struct Row {
    text: String,
    width: usize,
}

impl Row {
    /// A cell that begins at `stop`. `paint` changes nothing but colour.
    fn left(&mut self, stop: usize, cell: &str, paint: impl FnOnce(&str) -> String) {
        if cell.is_empty() {
            return;
        }
        let gap = if self.width == 0 { 0 } else { GAP };
        let padding = stop.saturating_sub(self.width).max(gap);
        self.text.extend(iter::repeat_n(' ', padding));
        self.text.push_str(&paint(cell));
        self.width += padding + width(cell);
    }

    /// A cell that ends before `stop`.
    fn right(&mut self, stop: usize, cell: &str, paint: impl FnOnce(&str) -> String) {
        self.left(stop.saturating_sub(width(cell)), cell, paint);
    }

    /// A cell after all others.
    fn last(&mut self, cell: &str, paint: impl FnOnce(&str) -> String) {
        self.left(0, cell, paint);
    }
}

/// What the columns are called.
pub(super) fn heading(paint: Paint) -> String {
    let mut row = Row::default();
    let plain = str::to_owned;
    row.left(0, "TIME", plain);
    row.left(stop::PROCESS, "PROCESS", plain);
    row.left(stop::MODEL, "MODEL", plain);
    row.right(stop::TOOK_END, "TOOK", plain);
    row.right(stop::FIRST_END, "FIRST", plain);
    row.left(stop::OUTCOME, "OUTCOME", plain);
    row.left(stop::ARROW - width("IN"), "IN→OUT TOKENS", plain);
    paint.dim(&row.text)
}

/// The line, without its end.
pub(super) fn line(delivery: &Delivery, paint: Paint, zone: &TimeZone) -> String {
    let (span, resource) = (&delivery.span, &*delivery.resource);
    let plain = str::to_owned;
    let dim = |text: &str| paint.dim(text);
    let mut row = Row::default();

    // A recording holds no times and no process: those of a replay are made up.
    let source = text(span, names::PLAINSPAN_REPLAY_SOURCE);
    if source.is_some() {
        row.left(0, "replayed", dim);
    } else {
        row.left(0, &clock(span.start, zone), dim);
        row.left(stop::PROCESS, &process(resource), |text| paint.cyan(text));
    }

    let (before, model) = model(span);
    let called = [&*before, &*model].join(" ");
    row.left(stop::MODEL, &called, |_| format!("{before} {}", paint.bold(&model)));

    if source.is_none() {
        row.right(stop::TOOK_END, &duration(span.end.since(span.start)), plain);
        row.right(stop::FIRST_END, &first(span), plain);
    }
    let outcome = Outcome::of(span);
    row.left(stop::OUTCOME, &outcome.text, |text| match outcome.verdict {
        Verdict::Well => text.to_owned(),
        Verdict::Failed => paint.red(text),
        Verdict::Unsure => paint.yellow(text),
    });
    tokens(span, outcome.verdict, &mut row);
    if let Some(cached @ 1..) = int(span, names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS) {
        row.left(stop::CACHED, &format!("{cached} cached"), dim);
    }
    for note in outcome.notes {
        row.last(&note, |text| paint.yellow(text));
    }
    if let Some(source) = source {
        row.last(&cell(base(source)), dim);
    }
    row.text
}

fn clock(time: Timestamp, zone: &TimeZone) -> String {
    time.utc().to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// The service's name, where there is a real one, since many services are called `python3`.
fn process(resource: &Resource) -> String {
    let named = |key| match resource.get(key) {
        Some(Value::String(name)) if !name.is_empty() && !name.starts_with("unknown_service") => {
            Some(&**name)
        }
        _ => None,
    };
    let name = named(names::SERVICE_NAME.name())
        .or_else(|| named(names::PROCESS_EXECUTABLE_NAME.name()))
        .unwrap_or("?");
    match resource.get(names::PROCESS_PID.name()) {
        Some(Value::Int(pid)) => format!("{}[{pid}]", cell(name)),
        _ => cell(name),
    }
}

/// What was called, and how: in bold the model, before it all else that tells it from an ordinary call.
fn model(span: &Span) -> (String, String) {
    let model = text(span, names::GEN_AI_REQUEST_MODEL).or_else(|| text(span, names::GEN_AI_RESPONSE_MODEL));
    let mut before = Vec::new();
    if span.kind == Kind::Server {
        // Of the side that answers, as a gateway does: the client may be on the list as well.
        before.push("served".to_owned());
    }
    if let Some(method) = text(span, names::MCP_METHOD_NAME) {
        let which = text(span, names::GEN_AI_TOOL_NAME).or_else(|| text(span, names::GEN_AI_PROMPT_NAME));
        before.push("mcp".to_owned());
        return match which {
            Some(which) => {
                before.push(cell(method));
                (before.join(" "), cell(which))
            }
            None => (before.join(" "), cell(method)),
        };
    }
    before.push(cell(text(span, names::GEN_AI_PROVIDER_NAME).unwrap_or("?")));
    let operation = text(span, names::GEN_AI_OPERATION_NAME).unwrap_or_default();
    if operation != names::GenAiOperationName::Chat.into_text() && !operation.is_empty() {
        before.push(cell(operation));
    }
    (before.join(" "), cell(model.unwrap_or("?")))
}

/// The time to the first chunk of a stream.
fn first(span: &Span) -> String {
    let key = names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK.name();
    if let Some(Value::Double(seconds)) = span.get(key)
        && let Ok(first) = Duration::try_from_secs_f64(*seconds)
    {
        return duration(first);
    }
    let asked = span.get(names::GEN_AI_REQUEST_STREAM.name()) == Some(&Value::Bool(true));
    if asked { NONE } else { "" }.to_owned()
}

/// Tokens in and out, below each other at the arrow.
fn tokens(span: &Span, verdict: Verdict, row: &mut Row) {
    let (input, output) =
        (int(span, names::GEN_AI_USAGE_INPUT_TOKENS), int(span, names::GEN_AI_USAGE_OUTPUT_TOKENS));
    let plain = str::to_owned;
    if input.is_none() && output.is_none() {
        // Of a call that failed nobody expects any, nor of one that asks no model.
        if verdict != Verdict::Failed && text(span, names::MCP_METHOD_NAME).is_none() {
            row.left(stop::ARROW, NONE, plain);
        }
        return;
    }
    let known = |count: Option<i64>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let input = known(input);
    row.left(stop::ARROW.saturating_sub(width(&input)), &format!("{input}→{}", known(output)), plain);
}

/// How a call went, as colours tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    Failed,
    /// Not enough was seen to tell.
    Unsure,
}

/// How a call went: finish reasons or the error, and everything that is wrong with what was seen.
struct Outcome {
    verdict: Verdict,
    text: String,
    notes: Vec<String>,
}

impl Outcome {
    fn of(span: &Span) -> Self {
        let ended = text(span, names::PLAINSPAN_CALL_ENDED).unwrap_or_default();
        let kind = text(span, names::ERROR_TYPE).unwrap_or_default();
        let failed = matches!(span.status, Status::Error(_)) || !kind.is_empty();
        let unreadable = names::PlainspanCallEnded::Unreadable.into_text();
        let reasons = strings(span, names::GEN_AI_RESPONSE_FINISH_REASONS);
        let mut notes = Vec::new();

        // What the agent could not read need not have failed.
        let (verdict, text) = if ended == unreadable && (kind == unreadable || !failed) {
            (Verdict::Unsure, unreadable.clone())
        } else if failed {
            // Of a call that failed, `error` says nothing new.
            let error = names::GenAiResponseFinishReasons::Error.into_text();
            if reasons.iter().any(|reason| *reason != error) {
                notes.push(finish(reasons));
            }
            (Verdict::Failed, failure(span, kind))
        } else if text(span, names::MCP_METHOD_NAME).is_some() {
            (Verdict::Well, "ok".to_owned())
        } else if reasons.is_empty() {
            (Verdict::Unsure, NONE.to_owned())
        } else {
            (Verdict::Well, finish(reasons))
        };
        let whole = names::PlainspanCallEnded::Complete.into_text();
        if ![&*whole, kind, &*unreadable, ""].contains(&ended) {
            notes.push(format!("cut short: {}", words(ended)));
        }
        let marks = strings(span, names::PLAINSPAN_CAPTURE_DEGRADED)
            .iter()
            .filter(|mark| **mark != text)
            .map(|mark| words(mark));
        let misfit = strings(span, names::PLAINSPAN_CONTRACT_VIOLATIONS)
            .first()
            .map(|_| "some values did not fit".to_owned());
        let marks: Vec<_> = marks.chain(misfit).collect();
        if !marks.is_empty() {
            notes.push(format!("! {}", marks.join(", ")));
        }
        Self { verdict, text, notes }
    }
}

fn failure(span: &Span, kind: &str) -> String {
    let status =
        int(span, names::HTTP_RESPONSE_STATUS_CODE).filter(|status| *status >= 400).map(|s| s.to_string());
    let error = match status {
        Some(status) if kind.is_empty() || kind == status => format!("ERROR HTTP {status}"),
        Some(status) => format!("ERROR {} (HTTP {status})", cell(kind)),
        None => format!("ERROR {}", cell(kind)),
    };
    error.trim_end().to_owned()
}

/// Finish reasons, one for every choice: the same ones together.
fn finish(reasons: &[String]) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for reason in reasons {
        match counted.iter().position(|(known, _)| known == reason) {
            Some(at) => counted[at].1 += 1,
            None if counted.len() < 8 => counted.push((reason, 1)),
            None => {}
        }
    }
    let shown = counted.into_iter().map(|(reason, count)| match count {
        1 => cell(reason),
        count => format!("{}×{count}", cell(reason)),
    });
    shown.collect::<Vec<_>>().join(",")
}

fn words(identifier: &str) -> String {
    cell(identifier).replace('_', " ")
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Text of the wire, fit for a cell. What is too long loses its middle: names differ at their ends.
fn cell(text: &str) -> String {
    const TAIL: usize = CELL_LIMIT / 3;
    if text.chars().nth(CELL_LIMIT).is_none() {
        return visible(text).into_owned();
    }
    let head = text.chars().take(CELL_LIMIT - TAIL - 1).collect::<String>();
    let tail_at = text.char_indices().rev().nth(TAIL - 1).map_or(0, |(at, _)| at);
    format!("{}…{}", visible(&head), visible(&text[tail_at..]))
}

fn duration(duration: Duration) -> String {
    let (seconds, milliseconds) = (duration.as_secs(), duration.as_millis());
    match seconds {
        0 if milliseconds == 0 => "<1ms".to_owned(),
        0 => format!("{milliseconds}ms"),
        1..10 => format!("{}.{:02}s", seconds, duration.subsec_millis() / 10),
        10..100 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

fn text<T>(span: &Span, key: Key<T>) -> Option<&str> {
    match span.read(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn strings<T>(span: &Span, key: Key<Vec<T>>) -> &[String] {
    match span.read(key) {
        Some(Value::Strings(texts)) => texts,
        _ => &[],
    }
}

fn int(span: &Span, key: Key<i64>) -> Option<i64> {
    match span.read(key) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    }
}
