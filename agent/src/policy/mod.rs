//! CARE: whose calls are not looked at, what of a call may be kept, and in which form.
//!
//! Stands between the meaning of a call and its names: it changes what a [`crate::genai::Call`] says and knows nothing of spans.

pub mod content;
pub mod fingerprint;
pub mod ignore;
pub mod price;
pub mod redact;
pub mod sample;
