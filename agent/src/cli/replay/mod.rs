//! The input side of `plainspan replay`: recorded exchanges in, the records that a capture would have made of them out.
//!
//! A recording holds no chunk framing and no timing, so both are made up here, deterministically:
//! [`records`] gives the same records for the same exchange, connection and options, every time.

mod base64;
mod command;
mod exchanges;
mod framing;
mod message;
mod random;
mod session;
mod synthesize;

use std::str::FromStr;

pub(super) use command::{Args, run};
pub use exchanges::{Entry, Exchange, Exchanges, ReadError, Request, Response};
pub use session::{Message, Session};
pub use synthesize::{records, records_of_all, records_of_session};

/// Protocol that the exchanges are replayed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Framing {
    /// HTTP/1.1
    #[default]
    H1,
    /// HTTP/2
    H2,
}

/// Content encoding that responses are sent in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    #[default]
    Identity,
    /// `gzip` (RFC 1952).
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Gzip, Self::Brotli, Self::Zstd];

    /// The name in `content-encoding`, and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|e| e.name() == text)
            .ok_or_else(|| format!("`{text}` is no encoding: use identity, gzip, br or zstd"))
    }
}

/// How the byte streams are cut into records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// As a client's library calls would move them: head and body apart, 16 KiB at most (the largest TLS record,
    /// RFC 8446, section 5.1), each event of a stream by itself.
    #[default]
    Calls,
    /// Into so many bytes each; never zero.
    Every(usize),
    /// At random places, the same for the same seed.
    Random(u64),
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no way to split: use a number of bytes from 1 up, or random:SEED");
        if let Some(seed) = text.strip_prefix("random:") {
            return seed.parse().map(Self::Random).map_err(|_| wrong());
        }
        match text.parse() {
            Ok(n) if n > 0 => Ok(Self::Every(n)),
            _ => Err(wrong()),
        }
    }
}

/// How exchanges are made into records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReplayOptions {
    /// Protocol. A WebSocket session is always opened over HTTP/1.1.
    pub framing: Framing,
    /// Content encoding of the responses. The messages of a WebSocket session are compressed (permessage-deflate) with any
    /// but identity.
    pub encoding: Encoding,
    /// Where the streams are cut.
    pub split: Split,
    /// Probability, from 0 to 1, with which a record is left out. Which ones follows from the seed of
    /// [`Split::Random`] and the connection.
    pub drop: f64,
}

/// Reads the probability of `--drop`.
pub fn parse_drop(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err(format!("`{text}` is no probability: use a number from 0 to 1")),
    }
}

#[cfg(test)]
mod tests;
