//! What the end-to-end tests share: a provider, a harness around the agent and its clients,
//! and the clients of the capture matrix.

pub mod harness;
pub mod matrix;
pub mod provider;
