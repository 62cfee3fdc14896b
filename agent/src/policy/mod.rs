//! CARE: what is said of calls beyond what was on the wire. Pure: no I/O, no clock.

mod price;

pub use price::{Cost, PRICE_TABLE, estimate, load_prices};
