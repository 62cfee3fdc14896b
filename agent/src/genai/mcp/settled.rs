//! From what an exchange has settled to what is told of it.

use super::call::{Mcp, McpAnswer, McpRequest};
use crate::{
    genai::{
        call::{Call, Party, Role, TraceContext},
        told::Told,
    },
    time::Timestamp,
    wire::ExchangeEnd,
};

/// What a fold has come to know of one message.
pub(in crate::genai) enum Settled {
    /// A request with its answer, or a notification.
    Over { mcp: Box<Mcp>, trace: Option<TraceContext>, answer: McpAnswer },
    /// A notification, or a request that this exchange has no answer to; `elsewhere` if another one may have it.
    Open { mcp: Box<Mcp>, trace: Option<TraceContext>, elsewhere: bool },
    /// The answer to a request of another exchange.
    Answer { request: McpRequest, answer: McpAnswer },
    /// No answers come any more to what the client of this session asked.
    Closed { session: String },
}

/// What is told of it: `whole` is what is known of the exchange by now.
pub(in crate::genai) fn told(settled: Settled, whole: &Call, time: Timestamp) -> Told {
    let role = whole.role.unwrap_or(Role::Client);
    let (mcp, trace, answer, may_come_elsewhere) = match settled {
        Settled::Answer { request, answer } => return Told::Answered { role, request, answer, time },
        Settled::Closed { session } => {
            // However well it ended: it did before they came.
            let end = whole.ended.filter(|end| *end != ExchangeEnd::Complete).unwrap_or(ExchangeEnd::Closed);
            return Told::Closed { role, session, end, time };
        }
        Settled::Over { mcp, trace, answer } => (mcp, trace, Some(answer), false),
        Settled::Open { mcp, trace, elsewhere } => (mcp, trace, None, elsewhere),
    };
    let asked_by_client = mcp.sender == Party::Client;
    let sender = mcp.sender;
    let mut call = Call {
        // Who asks within the exchange is not who began it.
        role: Some(if asked_by_client { role } else { role.other() }),
        start: if asked_by_client { whole.start } else { time },
        end: time,
        trace: trace.or_else(|| whole.trace.clone().filter(|_| asked_by_client)),
        ..whole.clone()
    };
    let request = mcp.request_id.clone().zip(mcp.session_id.clone());
    let mcp = call.mcp.insert(mcp);
    let is_answered = answer.is_some();
    if let Some(answer) = answer {
        call.error = mcp.answer(answer);
    } else {
        mcp.error_code = call.error.as_ref().and_then(|error| error.code.clone());
    }
    let may_be_answered = !is_answered && call.error.is_none() && may_come_elsewhere;
    if is_answered || request.is_none() && call.error.is_none() {
        call.ended = Some(ExchangeEnd::Complete);
    }
    match request.filter(|_| may_be_answered) {
        Some((id, session)) => {
            Told::Asked { role, request: McpRequest { session, sender, id }, call: Box::new(call) }
        }
        None => Told::Call(Box::new(call)),
    }
}
