//! JSON-RPC messages (<https://www.jsonrpc.org/specification>), and what MCP's say
//! (<https://modelcontextprotocol.io/specification/2025-06-18/schema>).

use serde::Deserialize;

use super::call::{Mcp, McpAnswer};
use crate::genai::{
    budget::Budget,
    call::{CallError, Party, TraceContext},
    dialect::Malformed,
    document::Document,
    field::{Field, Kind},
    trace,
};

/// Methods by which MCP is told from other protocols over JSON-RPC. Later versions have others, but name themselves in a header.
const METHODS: &[&str] = &[
    "initialize",
    "ping",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "completion/complete",
    "logging/setLevel",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/message",
    "notifications/tools/list_changed",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
];

/// Is it a method of MCP?
pub(in crate::genai) fn is_method(method: &str) -> bool {
    METHODS.contains(&method)
}

/// A message that is not read any further yet.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(in crate::genai) struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Field<'a>,
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    method: Field<'a>,
    #[serde(borrow)]
    params: Field<'a>,
    #[serde(borrow)]
    result: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::genai) enum MessageKind {
    /// It asks for an answer, or is a notification.
    Call,
    /// It is an answer.
    Answer,
    /// It is no message of JSON-RPC.
    None,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params<'a> {
    #[serde(borrow)]
    name: Field<'a>,
    #[serde(borrow)]
    arguments: Field<'a>,
    #[serde(borrow)]
    uri: Field<'a>,
    #[serde(rename = "ref", borrow)]
    reference: Field<'a>,
    #[serde(rename = "protocolVersion", borrow)]
    protocol_version: Field<'a>,
    #[serde(rename = "_meta", borrow)]
    meta: Field<'a>,
}

/// The conventions for MCP have the trace of a message in its `_meta`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(borrow)]
    traceparent: Field<'a>,
    #[serde(borrow)]
    tracestate: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(rename = "isError", borrow)]
    is_error: Field<'a>,
    #[serde(rename = "protocolVersion", borrow)]
    protocol_version: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failure<'a> {
    #[serde(borrow)]
    code: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
}

impl<'a> Message<'a> {
    /// Calls `f` with each message of a body or event: one, or a batch of them (protocol version 2025-03-26).
    pub(in crate::genai) fn each(
        body: &'a Document<'_>,
        budget: &mut Budget,
        mut f: impl FnMut(Self, &mut Budget),
    ) -> Result<(), Malformed> {
        let root = body.root().ok_or(Malformed)?;
        match root.kind() {
            Kind::Object => f(root.object(budget).ok_or(Malformed)?, budget),
            Kind::Array => root.each(budget, |item, budget| {
                if let Some(message) = item.object(budget) {
                    f(message, budget);
                }
            }),
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// What it is.
    pub(in crate::genai) fn kind(&self) -> MessageKind {
        if self.jsonrpc.kind() != Kind::Text {
            MessageKind::None
        } else if self.method.kind() == Kind::Text {
            MessageKind::Call
        } else if self.result.is_some() || self.error.is_some() {
            MessageKind::Answer
        } else {
            MessageKind::None
        }
    }

    /// A request or notification without what its exchange knows, and the trace that it names.
    pub(in crate::genai) fn call(
        &self,
        sender: Party,
        budget: &mut Budget,
    ) -> Option<(Mcp, Option<TraceContext>)> {
        let method = self.method.label(budget)?;
        let params: Params<'_> = self.params.object(budget).unwrap_or_default();
        let mut mcp = Mcp {
            sender,
            request_id: self.id(budget),
            jsonrpc_version: self.jsonrpc.label(budget).filter(|version| version != "2.0"),
            method,
            ..Mcp::default()
        };
        match mcp.method.as_str() {
            "initialize" => mcp.protocol_version = params.protocol_version.label(budget),
            "tools/call" => {
                mcp.tool = params.name.label(budget);
                mcp.arguments = params.arguments.is_some().then(|| params.arguments.json_content(budget));
            }
            "prompts/get" => mcp.prompt = params.name.label(budget),
            "completion/complete" => {
                let reference: Params<'_> = params.reference.object(budget).unwrap_or_default();
                mcp.prompt = reference.name.label(budget);
            }
            "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "notifications/resources/updated" => mcp.resource_uri = params.uri.label(budget),
            _ => {}
        }
        let meta: Meta<'_> = params.meta.object(budget).unwrap_or_default();
        let parent = meta.traceparent.label(budget);
        let state = meta.tracestate.label(budget);
        let trace = parent.and_then(|parent| trace::of_values(&parent, state.as_deref()));
        Some((mcp, trace))
    }

    /// Does it ask to begin a session as MCP does? Other protocols have that method, too.
    pub(in crate::genai) fn has_protocol_version(&self, budget: &mut Budget) -> bool {
        let params: Params<'_> = self.params.object(budget).unwrap_or_default();
        params.protocol_version.kind() == Kind::Text
    }

    /// The id, a number as its text.
    pub(in crate::genai) fn id(&self, budget: &mut Budget) -> Option<String> {
        match self.id.kind() {
            Kind::Text => self.id.label(budget),
            Kind::Number => budget.label(self.id.json()),
            _ => None,
        }
    }

    /// The method.
    pub(in crate::genai) fn method(&self, budget: &mut Budget) -> Option<String> {
        self.method.label(budget)
    }

    /// What an answer says.
    pub(in crate::genai) fn answer(&self, budget: &mut Budget) -> McpAnswer {
        if let Some(error) = self.error(budget) {
            return McpAnswer::failed(error);
        }
        let outcome: Outcome<'_> = self.result.object(budget).unwrap_or_default();
        McpAnswer {
            result: Some(self.result.json_content(budget)),
            is_error: outcome.is_error.flag(budget).unwrap_or(false),
            protocol_version: outcome.protocol_version.label(budget),
            ..McpAnswer::default()
        }
    }

    /// The error that it is; also what a server that asks for authorization says (RFC 6750, section 3).
    pub(in crate::genai) fn error(&self, budget: &mut Budget) -> Option<CallError> {
        match self.error.kind() {
            Kind::Object => {
                let failure: Failure<'_> = self.error.object(budget)?;
                let code = failure.code.integer(budget).map(|code| code.to_string());
                let message = failure.message.text(budget).map(std::borrow::Cow::into_owned);
                Some(CallError {
                    kind: code.clone().unwrap_or_else(|| "_OTHER".to_owned()),
                    code,
                    provider_type: None,
                    message,
                })
            }
            Kind::Text => Some(CallError::of_type(self.error.label(budget)?, None)),
            _ => None,
        }
    }
}
