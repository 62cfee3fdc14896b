//! What is told of an exchange.

use super::{
    call::{Call, Role},
    mcp::{McpAnswer, McpRequest},
};
use crate::{time::Timestamp, wire::ExchangeEnd};

/// Something that an exchange has told. Most exchanges tell one call, at their end.
#[derive(Debug)]
pub enum Told {
    /// A call that is over.
    Call(Box<Call>),
    /// A call whose answer comes in another exchange of its process.
    Asked {
        /// Which side of this exchange the process is.
        role: Role,
        /// Names the call.
        request: McpRequest,
        /// The call, as far as it is known.
        call: Box<Call>,
    },
    /// The answer to such a call.
    Answered {
        /// Which side of this exchange the process is.
        role: Role,
        /// Names the call.
        request: McpRequest,
        /// The answer.
        answer: McpAnswer,
        /// When it had come.
        time: Timestamp,
    },
    /// What the client of a session asked will have no answers any more.
    Closed {
        /// Which side of this exchange the process is.
        role: Role,
        /// The session.
        session: String,
        /// How the exchange ended that they would have come in.
        end: ExchangeEnd,
        /// When.
        time: Timestamp,
    },
}
