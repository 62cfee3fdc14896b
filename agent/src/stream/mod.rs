//! ORDER: records in, and per connection and direction an ordered byte stream with explicit gaps out.

mod streams;
mod table;

pub use streams::{Limits, Streams};

use bytes::Bytes;

use crate::{
    capture::{CloseReason, ConnectionId, Direction, Process},
    time::Timestamp,
};

/// Why bytes are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The kernel could not deliver them (ring buffer full, page not readable), or a replay dropped them.
    Lost,
    /// One library call was longer than the cap.
    Cap,
    /// The agent itself had told the kernel to leave them out.
    Unwanted,
}

/// A run of bytes, or of missing bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes as they were moved, never empty.
    Bytes(Bytes),
    /// Exactly so many bytes are missing here.
    Gap {
        /// How many; never zero.
        len: u64,
        /// Why.
        reason: GapReason,
    },
}

/// The next piece of one direction of one connection.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The connection.
    pub connection: ConnectionId,
    /// Who moved the bytes.
    pub process: Process,
    /// Which way.
    pub direction: Direction,
    /// When; for a gap, when it was noticed.
    pub time: Timestamp,
    /// What.
    pub piece: Piece,
}

/// What the stream layer hands on.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// More of a stream.
    Segment(Segment),
    /// Nothing more will come from this connection in this way.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// When.
        time: Timestamp,
        /// Why. After [`CloseReason::Shutdown`] the process may still read.
        reason: CloseReason,
    },
}
