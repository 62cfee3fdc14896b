//! What the provider was sent and what it sent: the truth that spans are held against.

use std::time::SystemTime;

use super::script::Death;

/// How an exchange ended, as the provider saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It still runs.
    Running,
    /// The whole answer was handed to the connection.
    Complete,
    /// The provider broke off, as the script wanted.
    Died(Death),
    /// The client went away first.
    ClientGone,
}

/// What an exchange was framed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
    /// Messages of a WebSocket that was opened over HTTP/1.1.
    WebSocket,
}

/// Tokens as the answer tells them; input includes cached tokens whatever the API's own way of counting is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Input tokens read from a cache.
    pub cache_read: u64,
    /// Input tokens written to a cache.
    pub cache_write: u64,
    /// Output tokens spent on reasoning; Anthropic tells only where there were any.
    pub reasoning: Option<u64>,
}

/// Facts of an answer that stand in its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The response's id.
    pub id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Why each choice ended, in the provider's words, in choice order.
    pub finish_reasons: Vec<String>,
    /// Usage, if the answer tells it.
    pub usage: Option<Usage>,
    /// The text of each choice; empty for a tool call.
    pub texts: Vec<String>,
    /// The error's code: OpenAI's `error.code`, Anthropic's `error.type`.
    pub error: Option<String>,
    /// The error's type and code, each as the answer tells it.
    pub error_told: (Option<String>, Option<String>),
    /// Service tier in the answer.
    pub service_tier: Option<String>,
    /// OpenAI's `system_fingerprint`.
    pub system_fingerprint: Option<String>,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Counted from 1 in the order of arrival.
    pub number: u64,
    /// The connection, counted from 1.
    pub connection: u64,
    /// Port of the client's side of the connection.
    pub peer_port: u16,
    /// What it was framed in.
    pub protocol: Protocol,
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Headers; names in lower case.
    pub request_headers: Vec<(String, String)>,
    /// Body.
    pub request_body: Vec<u8>,
    /// Status.
    pub status: u16,
    /// Value of the header with the request's id.
    pub request_id: Option<String>,
    /// Body as far as it was handed to the connection, before any compression.
    pub response_body: Vec<u8>,
    /// Length of the same as it stood on the wire, without the framing of chunks.
    pub response_wire_len: u64,
    /// The answer was sent as a stream of events.
    pub streamed: bool,
    /// Events handed to the connection that carry data (all but `[DONE]` and `ping`).
    pub events: u64,
    /// What the complete answer says.
    pub facts: Facts,
    /// When the request's head had arrived.
    pub received: SystemTime,
    /// When the first byte of the response's body was handed to the connection.
    pub first_chunk: Option<SystemTime>,
    /// When the last was.
    pub last_chunk: Option<SystemTime>,
    /// How it ended.
    pub ending: Ending,
}

impl Exchange {
    /// The value of a request header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request_headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The request's body as JSON; null if it is not.
    pub fn request(&self) -> serde_json::Value {
        serde_json::from_slice(&self.request_body).unwrap_or_default()
    }

    /// Is it an LLM call? Those on a WebSocket have the method and path of its opening handshake.
    pub fn is_call(&self) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        match self.protocol {
            Protocol::WebSocket => true,
            Protocol::Http1 | Protocol::Http2 => {
                self.method == "POST"
                    && (matches!(
                        path,
                        "/v1/chat/completions" | "/v1/messages" | "/v1/responses" | "/v1/embeddings"
                    ) || path.ends_with(":batchEmbedContents")
                        || super::google::model(path).is_some()
                        || super::bedrock::model(path).is_some())
            }
        }
    }
}

/// Plaintext bytes that went through the provider's side of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// The same of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Port of the client's side.
    pub peer_port: u16,
    /// What the two sides agreed on; a WebSocket begins as HTTP/1.1.
    pub protocol: Protocol,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}
