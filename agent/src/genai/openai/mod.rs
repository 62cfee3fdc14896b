//! What the many APIs that follow OpenAI's Chat Completions have in common.

pub(super) mod answer;
pub(super) mod error;
pub(super) mod form;
pub(super) mod message;
pub(super) mod path;
pub(super) mod tool;
pub(super) mod usage;
