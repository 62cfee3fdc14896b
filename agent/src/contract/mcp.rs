//! What the span of a call of MCP says that no other does.

use super::{attributes::Attributes, content, key::Shape, names};
use crate::genai::{Call, Mcp, Role};

/// What the span of such a call must carry.
pub(super) fn shape(call: &Call) -> &'static Shape {
    if call.role == Some(Role::Server) { &names::MCP_SERVER } else { &names::MCP_CLIENT }
}

/// Sets the attributes that only this span has, of content only if it is asked for; tells whether there is any of that.
pub(super) fn set(set: &mut Attributes, call: &Call, mcp: &Mcp, with_content: bool) -> bool {
    // Listed methods are written as they are sent.
    set.set(names::MCP_METHOD_NAME, names::McpMethodName::Unlisted(mcp.method.clone()));
    set.set(names::PLAINSPAN_API, call.dialect.to_owned());
    if mcp.is_tool_call() {
        set.set(names::GEN_AI_OPERATION_NAME, names::GenAiOperationName::ExecuteTool);
    }
    set.set_some(names::GEN_AI_TOOL_NAME, mcp.tool.clone());
    set.set_some(names::GEN_AI_PROMPT_NAME, mcp.prompt.clone());
    set.set_some(names::MCP_RESOURCE_URI, mcp.resource_uri.clone());
    set.set_some(names::MCP_SESSION_ID, mcp.session_id.clone());
    set.set_some(names::MCP_PROTOCOL_VERSION, mcp.protocol_version.clone());
    set.set_some(names::JSONRPC_REQUEST_ID, mcp.request_id.clone());
    set.set_some(names::JSONRPC_PROTOCOL_VERSION, mcp.jsonrpc_version.clone());
    set.set_some(names::RPC_RESPONSE_STATUS_CODE, mcp.error_code.clone());
    set.set(names::NETWORK_TRANSPORT, names::NetworkTransport::Tcp);
    set.set(names::NETWORK_PROTOCOL_NAME, names::NetworkProtocolName::Http);
    with_content && content::set_tool(set, mcp.arguments.as_ref(), mcp.result.as_ref())
}

#[cfg(test)]
#[path = "mcp_tests.rs"]
mod tests;
