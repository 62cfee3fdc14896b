//! What the dialects of Google's models share. Names of fields may come in camel case or in snake case, as protocol buffers
//! read them (<https://protobuf.dev/programming-guides/json/>).

pub(super) mod config;
pub(super) mod error;
pub(super) mod part;
pub(super) mod path;
pub(super) mod tool;
pub(super) mod usage;
pub(super) mod word;
