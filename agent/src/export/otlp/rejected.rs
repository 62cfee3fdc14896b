//! Spans that a collector rejected out of a request that it otherwise took.
//!
//! OTLP's partial success is no error to `opentelemetry-otlp`, which only logs it. To count those spans all the
//! same, each export runs under a subscriber of its own that reads that one event. (So nothing else that the
//! exporter logs reaches the user either: failures are told in our words, and not once per try.)

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Longest message of a collector that is shown, in characters.
const MESSAGE_LIMIT: usize = 200;

/// What the last export had rejected.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    seen: Arc<Mutex<Seen>>,
    subscriber: Dispatch,
}

#[derive(Debug, Default)]
struct Seen {
    spans: u64,
    message: String,
}

impl Default for Rejected {
    fn default() -> Self {
        let seen = Arc::default();
        let subscriber = Dispatch::new(PartialSuccess { seen: Arc::clone(&seen) });
        Self { seen, subscriber }
    }
}

impl Rejected {
    pub fn subscriber(&self) -> Dispatch {
        self.subscriber.clone()
    }

    pub fn reset(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Seen::default();
    }

    pub fn spans(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).spans as usize
    }

    pub fn reason(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let message: String =
            seen.message.chars().take(MESSAGE_LIMIT).flat_map(char::escape_default).collect();
        if message.is_empty() { "it rejected part of a request".to_owned() } else { message }
    }
}

struct PartialSuccess {
    seen: Arc<Mutex<Seen>>,
}

impl Subscriber for PartialSuccess {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::WARN && metadata.target() == "opentelemetry-otlp"
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        if event.metadata().name().ends_with(".PartialSuccess") {
            event.record(&mut Visitor(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner)));
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Visitor<'a>(&'a mut Seen);

impl Visit for Visitor<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.0.spans += u64::try_from(value).unwrap_or_default();
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "error_message" {
            value.clone_into(&mut self.0.message);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
