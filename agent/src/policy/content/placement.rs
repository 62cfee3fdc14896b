//! Where content goes.

use std::sync::Arc;

/// Where the content of calls is told. A call of which no content is kept has none anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// As attributes of its span and of that's resource.
    pub spans: bool,
    /// As an event beside its span.
    pub events: bool,
    /// In a file, to which its span refers: the URL of the directory, without a slash at its end.
    pub files: Option<Arc<str>>,
}

impl Placement {
    /// On spans and nowhere else.
    pub const SPANS: Self = Self { spans: true, events: false, files: None };

    /// Is it told on spans, and nowhere else?
    pub const fn is_spans_alone(&self) -> bool {
        self.spans && !self.events && self.files.is_none()
    }
}

impl Default for Placement {
    fn default() -> Self {
        Self::SPANS
    }
}
