//! A line a call, for people; with `--verbose` the whole span below it.

mod line;
mod text;

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{Batching, BoxFuture, ExportError, Exporter, Failure};
use crate::{
    contract::{Delivery, Value},
    text::hex,
    time::Timestamp,
};
use text::Paint;
pub use text::visible;

/// Writes calls for people to read.
pub struct Console {
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
    closed: bool,
    verbose: bool,
    paint: Paint,
    zone: TimeZone,
    headed: bool,
}

impl Console {
    /// Writes to standard output: in colour if that is a terminal and neither `NO_COLOR` nor `TERM=dumb` is set.
    pub fn stdout(verbose: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self::standard(Box::new(stdout), terminal, verbose)
    }

    /// Writes to standard error, for a command's own output has standard output; in colour likewise.
    pub fn stderr(verbose: bool) -> Self {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal();
        Self::standard(Box::new(stderr), terminal, verbose)
    }

    fn standard(sink: Box<dyn Write + Send>, terminal: bool, verbose: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self::new(sink, verbose, !no_colour && terminal, TimeZone::system())
    }

    /// Writes anywhere.
    pub fn new(sink: Box<dyn Write + Send>, verbose: bool, colour: bool, zone: TimeZone) -> Self {
        Self {
            sink: Arc::new(Mutex::new(sink)),
            closed: false,
            verbose,
            paint: Paint { colour },
            zone,
            headed: false,
        }
    }

    /// What the columns of [`Self::line`] are called.
    pub fn heading(&self) -> String {
        line::heading(self.paint)
    }

    /// A call on one line, without its end.
    pub fn line(&self, delivery: &Delivery) -> String {
        line::line(delivery, self.paint, &self.zone)
    }

    fn render(&mut self, delivery: &Delivery) -> String {
        let mut text = String::new();
        if !self.headed {
            self.headed = true;
            text.extend([&*self.heading(), "\n"]);
        }
        text.extend([&*self.line(delivery), "\n"]);
        if self.verbose {
            text.push_str(&self.whole(delivery));
        }
        text
    }

    /// All that a span and its resource say, on lines that stand below [`Self::line`].
    pub fn whole(&self, delivery: &Delivery) -> String {
        let (mut text, span) = (String::new(), &delivery.span);
        let mut section = |title: &str, mut rows: Vec<(String, String)>, sort: bool| {
            if rows.is_empty() {
                return;
            }
            if sort {
                rows.sort_unstable();
            }
            let width = rows.iter().map(|(key, _)| text::width(key)).max().unwrap_or_default().min(48);
            text.extend(["    ", &self.paint.dim(title), "\n"]);
            for (key, value) in rows {
                let padding = " ".repeat(width.saturating_sub(text::width(&key)));
                text.extend(["      ", &key, &padding, "  ", &value, "\n"]);
            }
        };
        let mut rows = vec![
            ("name", visible(&span.name).into_owned()),
            ("kind", format!("{:?}", span.kind).to_lowercase()),
            ("trace id", hex(&span.trace_id)),
            ("span id", hex(&span.span_id)),
            ("start", moment(span.start)),
            ("end", moment(span.end)),
        ];
        if let Some(parent) = span.parent_span_id {
            rows.push(("parent span id", hex(&parent)));
        }
        if let Some(link) = span.link {
            rows.push(("linked span id", hex(&link.span_id)));
            rows.push(("linked trace id", hex(&link.trace_id)));
        }
        if !span.trace_state.is_empty() {
            rows.push(("trace state", visible(&span.trace_state).into_owned()));
        }
        if let crate::contract::Status::Error(description) = &span.status {
            rows.push(("error", visible(description).into_owned()));
        }
        section("span", rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(), false);
        let attributes = span.attributes.iter().map(|a| (a.key.to_owned(), shown(&a.value))).collect();
        section("attributes", attributes, true);
        let resource = &delivery.resource;
        let own = resource.attributes.iter().map(|a| (a.key.to_owned(), shown(&a.value)));
        let extra = resource
            .extra
            .iter()
            .map(|(key, value)| (visible(key).into_owned(), visible(value).into_owned()));
        section("resource", own.chain(extra).collect(), true);
        text.push('\n');
        text
    }
}

/// A time as RFC 3339 has it, to the nanosecond.
fn moment(time: Timestamp) -> String {
    time.utc().to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => visible(text).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Strings(texts) => {
            format!("[{}]", texts.iter().map(|text| visible(text)).collect::<Vec<_>>().join(", "))
        }
    }
}

impl Exporter for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn batching(&self) -> Batching {
        Batching { spans: 64, bytes: 1 << 20, delay: Duration::ZERO }
    }

    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let failure = |error| Err(Failure { retry: Vec::new(), lost: batch.len(), error, after: None });
            if self.closed {
                return failure(ExportError::Closed);
            }
            let text: String = batch.iter().map(|delivery| self.render(delivery)).collect();
            let sink = Arc::clone(&self.sink);
            // A pager that is not scrolled must hold up nobody but us.
            let written = tokio::task::spawn_blocking(move || {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.write_all(text.as_bytes()).and_then(|()| sink.flush())
            });
            match written.await.map_err(io::Error::other).and_then(|result| result) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.closed = true;
                    failure(ExportError::Closed)
                }
                Err(error) => failure(ExportError::Write(error)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
