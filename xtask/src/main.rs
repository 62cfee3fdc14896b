//! plainspan's habits of development, each a verb: `cargo xtask help`.
fn main() {}
