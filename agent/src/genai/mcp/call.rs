//! A request or notification, and its answer.

use crate::{
    genai::{
        call::{Call, CallError, Content, Party, Role},
        transport,
    },
    wire::ExchangeEnd,
};

/// What a call of MCP has that no other call has.
#[derive(Clone, Debug)]
pub struct Mcp {
    /// Who sent it: of what the server asks, the client of the HTTP exchange is the one who answers.
    pub sender: Party,
    /// Its method: `tools/call`, ...
    pub method: String,
    /// Id of a request; a notification has none.
    pub request_id: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// Version of MCP that the session speaks, as this message or its exchange tells it.
    pub protocol_version: Option<String>,
    /// Version of JSON-RPC, if it is not 2.0.
    pub jsonrpc_version: Option<String>,
    /// The tool that is called.
    pub tool: Option<String>,
    /// The prompt that it is about.
    pub prompt: Option<String>,
    /// The resource that it is about.
    pub resource_uri: Option<String>,
    /// JSON text of what a tool is called with.
    pub arguments: Option<Content>,
    /// JSON text of what it answered.
    pub result: Option<Content>,
    /// Code of the JSON-RPC error that it was answered with.
    pub error_code: Option<String>,
}

impl Mcp {
    /// Is it a call of a tool?
    pub fn is_tool_call(&self) -> bool {
        self.method == "tools/call"
    }

    /// Takes its answer; what went wrong, if the answer says so.
    pub(super) fn answer(&mut self, answer: McpAnswer) -> Option<CallError> {
        if answer.error.is_some() {
            self.error_code = answer.code;
            return answer.error;
        }
        if self.method == "initialize" {
            // The server decides.
            self.protocol_version = answer.protocol_version.or(self.protocol_version.take());
        }
        if !self.is_tool_call() {
            return None;
        }
        self.result = answer.result;
        answer.is_error.then(|| CallError { kind: "tool_error".to_owned(), ..CallError::default() })
    }
}

/// Names a request whose answer comes in another exchange.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct McpRequest {
    /// The session.
    pub session: String,
    /// Who asked.
    pub sender: Party,
    /// Its id.
    pub id: String,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct McpAnswer {
    /// JSON text of the result.
    pub(super) result: Option<Content>,
    /// A tool says in it that it failed.
    pub(super) is_error: bool,
    /// Version of MCP that the server chose.
    pub(super) protocol_version: Option<String>,
    /// The error instead of a result.
    pub(in crate::genai) error: Option<CallError>,
    /// Its code.
    pub(super) code: Option<String>,
}

impl McpAnswer {
    /// None came, or this error did.
    pub(in crate::genai) fn failed(error: CallError) -> Self {
        Self { code: error.code.clone(), error: Some(error), ..Self::default() }
    }
}

impl Call {
    /// Takes the answer of a call of MCP that another exchange brought.
    pub fn answer(&mut self, answer: McpAnswer) {
        if let Some(mcp) = &mut self.mcp {
            self.error = mcp.answer(answer);
        }
        self.ended = Some(ExchangeEnd::Complete);
    }

    /// Takes that none comes: what it would have come in has ended like this.
    pub fn unanswered(&mut self, end: ExchangeEnd) {
        self.ended = Some(end);
        if end != ExchangeEnd::CaptureEnd {
            let kind = transport::failure(end, self.role.unwrap_or(Role::Client), true);
            self.error = Some(CallError { kind: kind.to_owned(), ..CallError::default() });
        }
    }
}
