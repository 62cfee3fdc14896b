//! What the end-to-end tests share: a provider, and a harness around the agent and its clients.

pub mod harness;
pub mod provider;
