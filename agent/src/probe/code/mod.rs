//! Finding functions in code that has no symbols, by what does not go away when a program is stripped: strings that
//! error reporting leaves behind, references to them, and the constants beside each reference.
//!
//! Everything goes through the file in bounded windows, and is linear in its size.

mod functions;
mod pointers;
mod references;
mod report;
mod strings;

pub use functions::{Function, Functions, Origin};
pub use pointers::{pointers, relocated};
pub use references::{Reference, references};
pub use report::{Report, report};
pub use strings::{Text, beginning_with, ending_in, exactly};
