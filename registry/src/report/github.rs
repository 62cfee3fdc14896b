//! Annotations on a pull request: GitHub's workflow commands.
//!
//! Source: docs.github.com, "Workflow commands for GitHub Actions", "Setting an error message".

use std::fmt::Write as _;

use super::Report;
use crate::diff::Class;

impl Report<'_> {
    /// A line for each change that breaks (`error`) or adds (`notice`).
    pub fn github(&self) -> String {
        let mut out = String::new();
        for change in &self.diff.changes {
            let command = match self.class_of(change) {
                Class::Breaking => "error",
                Class::Additive => "notice",
                Class::Compatible => continue,
            };
            let (file, line) = self.places.find(&change.element);
            let title = format!("contract: {}", change.kind.name());
            let (file, title, message) = (property(file), property(&title), data(&self.message(change)));
            let _ = writeln!(out, "::{command} file={file},line={line},title={title}::{message}");
        }
        out
    }
}

/// What would end the message.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What would also end a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
