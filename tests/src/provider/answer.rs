//! An answer before it is sent, and what both APIs share in making one.

use bytes::Bytes;
use serde_json::Value;

use super::{
    record::{Facts, Usage},
    script::Script,
};

/// A body, before any compression.
#[derive(Clone, Debug)]
pub enum Content {
    /// All at once, with a length.
    Plain(Bytes),
    /// A stream of events, one piece each.
    Events(Vec<Bytes>),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers apart from those of the framing.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub content: Content,
    /// What the body says when it is complete.
    pub facts: Facts,
    /// Value of the header with the request's id.
    pub request_id: Option<String>,
    /// How it is sent.
    pub script: Script,
}

impl Answer {
    /// A plain JSON answer.
    pub fn json(status: u16, body: &Value, facts: Facts) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            content: Content::Plain(body.to_string().into()),
            facts,
            request_id: None,
            script: Script::default(),
        }
    }

    /// A stream of events.
    pub fn events(events: Vec<Bytes>, facts: Facts) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("content-type", "text/event-stream; charset=utf-8".to_owned()),
                ("cache-control", "no-cache".to_owned()),
            ],
            content: Content::Events(events),
            facts,
            request_id: None,
            script: Script::default(),
        }
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds the header with the request's id.
    pub fn with_request_id(mut self, name: &'static str, id: String) -> Self {
        self.request_id = Some(id.clone());
        self.with(name, id)
    }
}

/// The tool that every scripted tool call names.
pub const TOOL_NAME: &str = "get_weather";

/// The arguments of such a call.
pub const TOOL_ARGUMENTS: &str = r#"{"location":"Kraków","unit":"celsius"}"#;

/// Usage that differs from exchange to exchange, so that none can pass for another's.
pub fn usage(number: u64, script: &Script, output: usize) -> Usage {
    let (cache_read, cache_write) = if script.cached { (64 + number, 32) } else { (0, 0) };
    let reasoning = if script.reason { 16 + number } else { 0 };
    Usage {
        input: 100 + number + cache_read + cache_write,
        output: output as u64 + 1 + reasoning,
        cache_read,
        cache_write,
        reasoning: Some(reasoning),
    }
}

/// The name of a served model: providers answer with a dated one.
pub fn served(model: &str) -> String {
    format!("{model}-2026-01-15")
}

/// Cuts a text into pieces of about `n` characters, at character boundaries.
pub fn pieces(text: &str, n: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(n.max(1)).map(|c| c.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_again() {
        assert_eq!(pieces(TOOL_ARGUMENTS, 7).concat(), TOOL_ARGUMENTS);
    }
}
