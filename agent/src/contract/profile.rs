//! Under which names spans go out, so that senders can move before or after those who read them.

use super::{
    key::AttributeSet,
    metric::MetricSet,
    names::{self, PROFILES},
};

/// A choice of names: the contract as it is, or as consumers knew it.
#[derive(Debug)]
pub struct Profile {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub brief: &'static str,
    /// Version of the contract whose names these are.
    pub version: &'static str,
    /// What is exported as the schema URL.
    pub schema_url: &'static str,
    /// Attributes that it does not have.
    pub left_out: AttributeSet,
    /// Integers that were doubles then.
    pub doubles: AttributeSet,
    /// Metrics that it does not have.
    pub left_out_metrics: MetricSet,
    /// Events that it does not have.
    pub left_out_events: &'static [&'static str],
    /// Kinds of spans that go by the names that they had before.
    pub older_span_names: &'static [&'static str],
    /// Are older names inside the JSON of content written too?
    pub older_fields: bool,
}

impl Profile {
    /// The one without a choice: both names of all that was renamed.
    pub const DEFAULT: &'static Self = &PROFILES[0];

    /// Finds one by its name.
    ///
    /// # Errors
    /// A sentence that lists all of them.
    pub fn parse(name: &str) -> Result<&'static Self, String> {
        PROFILES.iter().find(|profile| profile.name == name).ok_or_else(|| {
            let all: Vec<_> = PROFILES.iter().map(|profile| profile.name).collect();
            format!("`{name}` is no profile of the contract {}: use {}", names::VERSION, all.join(", "))
        })
    }
}

impl Default for &'static Profile {
    fn default() -> Self {
        Profile::DEFAULT
    }
}
