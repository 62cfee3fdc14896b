//! The one canonical model of an LLM call, whatever API it was made through.
//!
//! Everything here was on the wire. What was not is `None`: absent, never guessed.

use std::time::Duration;

use serde_json::value::RawValue;

use crate::{
    time::Timestamp,
    wire::{ExchangeEnd, Version},
};

pub use super::blob::Digest;
use super::{mcp::Mcp, stated::Stated};
pub use crate::wire::Role;

/// `gen_ai.operation.name`: what kind of call it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OperationName {
    /// A chat completion.
    #[default]
    Chat,
    /// A legacy text completion.
    TextCompletion,
    /// Gemini's multimodal generation.
    GenerateContent,
    /// Embeddings.
    Embeddings,
    /// Documents are put in the order in which they answer a query.
    Rerank,
    /// Images are made or changed.
    ImageGeneration,
    /// Text is spoken.
    Speech,
    /// Speech is written down, in its own language or in another.
    Transcription,
    /// Content is judged.
    Moderation,
    /// A tool is run.
    ExecuteTool,
    /// An agent that the provider runs is asked.
    InvokeAgent,
    /// A knowledge base is searched.
    Retrieval,
    /// A stored answer is read back.
    FetchResponse,
}

/// `gen_ai.provider.name`: who serves, or whose flavour of API is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// OpenAI, and OpenAI-compatible APIs on hosts that the conventions do not name.
    #[default]
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Azure OpenAI.
    AzureOpenAi,
    /// Azure AI inference.
    AzureAiInference,
    /// Amazon Bedrock.
    AwsBedrock,
    /// Google's Gemini API.
    GcpGemini,
    /// Google's Vertex AI.
    GcpVertexAi,
    /// Google's models at another host.
    GcpGenAi,
    /// DeepSeek.
    DeepSeek,
    /// Groq.
    Groq,
    /// Mistral AI.
    MistralAi,
    /// Moonshot AI.
    MoonshotAi,
    /// Perplexity.
    Perplexity,
    /// xAI.
    XAi,
    /// Cohere.
    Cohere,
    /// IBM watsonx.ai.
    IbmWatsonxAi,
    /// Ollama, wherever it runs.
    Ollama,
    /// Hugging Face's Text Generation Inference, wherever it runs.
    HuggingFace,
    /// Replicate.
    Replicate,
    /// The host was named in bytes that were missed.
    Unknown,
}

/// `gen_ai.output.type`: what the request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutputType {
    /// Plain text.
    Text,
    /// A JSON object or a given schema.
    Json,
    /// An image.
    Image,
    /// Speech.
    Speech,
}

/// Why the model stopped, in the contract's words; the provider's own stand beside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// A natural end or a stop sequence.
    Stop,
    /// A token limit.
    Length,
    /// The model calls a tool.
    ToolCall,
    /// Filtered or refused.
    ContentFilter,
    /// A long turn was paused.
    Pause,
    /// The context was compacted.
    Compaction,
    /// The generation failed or broke off.
    Error,
    /// A word that is new to us, in lower case.
    Other(Box<str>),
}

/// A captured call, from the first byte of its request to the last byte of its response.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Kind of operation.
    pub operation: OperationName,
    /// Who serves.
    pub provider: Provider,
    /// API dialect that was understood, as `genai/dialect/` registers it: `openai.chat_completions`, ...
    pub dialect: &'static str,
    /// Which side the captured process is; `None` only before the head was seen.
    pub role: Option<Role>,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub response: Response,
    /// Tokens, as the provider counted them.
    pub usage: Usage,
    /// What went wrong, if the provider or the HTTP status says so.
    pub error: Option<CallError>,
    /// Timing of the answer's parts.
    pub streaming: Streaming,
    /// First byte of the request.
    pub start: Timestamp,
    /// Last byte of the response, or the moment at which it broke off.
    pub end: Timestamp,
    /// How the exchange ended; `None` while it runs.
    pub ended: Option<ExchangeEnd>,
    /// The HTTP around it.
    pub transport: Transport,
    /// What of it was not captured.
    pub damage: Damage,
    /// Messages, parts, tools and choices that were left out by a limit on how many are kept, or because they
    /// were too long to be kept whole.
    pub omitted: u64,
    /// What the request says of whom and what it is for, as far as that is asked for.
    pub stated: Stated,
    /// W3C trace context that the request carried.
    pub trace: Option<TraceContext>,
    /// What it says, if it is a call of MCP: of one such there is neither provider nor model.
    pub mcp: Option<Box<Mcp>>,
}

/// Request parameters and content.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Model asked for.
    pub model: Option<String>,
    /// `Some(true)` when the answer is asked for as a stream.
    pub stream: Option<bool>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Top-k sampling.
    pub top_k: Option<i64>,
    /// Frequency penalty.
    pub frequency_penalty: Option<f64>,
    /// Presence penalty.
    pub presence_penalty: Option<f64>,
    /// Limit of output tokens.
    pub max_tokens: Option<i64>,
    /// Choices asked for (`n`).
    pub choice_count: Option<i64>,
    /// Seed.
    pub seed: Option<i64>,
    /// Stop sequences.
    pub stop_sequences: Vec<String>,
    /// Dimensions that embeddings are to have.
    pub dimensions: Option<i64>,
    /// Formats that embeddings are to come in.
    pub encoding_formats: Vec<String>,
    /// Kind of output asked for.
    pub output_type: Option<OutputType>,
    /// Reasoning effort or budget level, in the provider's words.
    pub reasoning_level: Option<String>,
    /// Service tier asked for.
    pub service_tier: Option<String>,
    /// Conversation id that the protocol itself carries.
    pub conversation_id: Option<String>,
    /// The agent that is asked, by its id.
    pub agent_id: Option<String>,
    /// The same by its name.
    pub agent_name: Option<String>,
    /// The knowledge base that is searched.
    pub knowledge_base_id: Option<String>,
    /// Id of the answer that this one is to follow, which the provider holds.
    pub previous_response_id: Option<String>,
    /// System instructions that stand apart from the messages.
    pub system: Vec<Part>,
    /// The messages.
    pub messages: Vec<Message>,
    /// Tool definitions.
    pub tools: Vec<ToolDefinition>,
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// Model that answered.
    pub model: Option<String>,
    /// One output message per choice, in choice order.
    pub generations: Vec<Generation>,
    /// Service tier that served it.
    pub service_tier: Option<String>,
    /// OpenAI's `system_fingerprint`.
    pub system_fingerprint: Option<String>,
    /// The longest loop in what the model wrote, if nothing of the answer is missing.
    pub repetition: Option<Repetition>,
}

/// The same fragment over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// Length of the fragment in bytes.
    pub period: u64,
    /// How often it stands in a row, at least.
    pub count: u64,
}

/// One choice of an answer.
#[derive(Clone, Debug, Default)]
pub struct Generation {
    /// Normalised; `None` when the wire has none.
    pub finish_reason: Option<FinishReason>,
    /// The provider's own word.
    pub provider_finish_reason: Option<String>,
    /// The message.
    pub message: Message,
}

/// A message in the conventions' form.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what the wire says.
    pub role: String,
    /// Author's name, where the API has one.
    pub name: Option<String>,
    /// The parts.
    pub parts: Vec<Part>,
}

/// A text that may have been cut at a limit; usage and ids are never affected by such a cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What is kept of it.
    pub text: String,
    /// Bytes that were left out at the end.
    pub cut: u64,
}

impl Content {
    /// What follows, each within its limits: text after a cut would read as if nothing were missing before it.
    pub(super) fn join(&mut self, more: &Self) {
        if self.cut == 0 {
            self.text.push_str(&more.text);
            self.cut = more.cut;
        } else {
            self.cut += more.text.len() as u64 + more.cut;
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self { text, cut: 0 }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), cut: 0 }
    }
}

/// A part of a message, with the conventions' part types.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text.
    Text(Content),
    /// Reasoning, as far as the provider shows it.
    Reasoning(Content),
    /// The model calls a tool.
    ToolCall {
        /// Id of the call.
        id: Option<String>,
        /// Name of the tool.
        name: String,
        /// Arguments: JSON text as the wire has it (in streams, the joined fragments).
        arguments: Content,
    },
    /// The answer of a tool.
    ToolCallResponse {
        /// Id of the call that it answers.
        id: Option<String>,
        /// JSON text.
        response: Content,
    },
    /// The provider ran a tool of its own.
    ServerToolCall {
        /// Id of the call.
        id: Option<String>,
        /// Name of the tool.
        name: String,
        /// JSON text of what was asked.
        arguments: Content,
    },
    /// The answer of such a tool.
    ServerToolCallResponse {
        /// Id of the call that it answers.
        id: Option<String>,
        /// JSON text.
        response: Content,
    },
    /// Binary content that stood in the message; its bytes are not kept.
    Blob {
        /// `image`, `audio`, `video` or `document`.
        modality: &'static str,
        /// MIME type, if told.
        mime_type: Option<String>,
        /// Length of its (base64) text in bytes.
        encoded_len: u64,
        /// What the bytes were, if that was asked for and all of them are known.
        digest: Option<Digest>,
    },
    /// Content by reference.
    Uri {
        /// `image`, `audio`, `video` or `document`.
        modality: &'static str,
        /// MIME type, if told.
        mime_type: Option<String>,
        /// The URI.
        uri: String,
    },
    /// A file that the provider holds.
    File {
        /// `image`, `audio`, `video` or `document`.
        modality: &'static str,
        /// Its id.
        file_id: String,
    },
    /// A refusal to answer, in the model's words.
    Refusal(Content),
    /// A part of a type that the conventions do not have: its type and JSON text.
    Generic {
        /// The wire's `type`.
        kind: String,
        /// JSON text of the whole part.
        json: Content,
    },
}

/// A tool that the model may call.
#[derive(Clone, Debug)]
pub struct ToolDefinition {
    /// `function`, or the provider's name of a built-in tool.
    pub kind: String,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// JSON schema of its parameters, as on the wire.
    pub parameters: Option<Box<RawValue>>,
}

/// Tokens, as the provider counted them; input includes cached tokens and output includes reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: Option<i64>,
    /// Output tokens, reasoning included.
    pub output: Option<i64>,
    /// Input tokens read from a cache.
    pub cache_read: Option<i64>,
    /// Input tokens written to a cache.
    pub cache_write: Option<i64>,
    /// Output tokens spent on reasoning.
    pub reasoning: Option<i64>,
    /// Input tokens that were audio.
    pub audio_input: Option<i64>,
    /// Output tokens that were audio.
    pub audio_output: Option<i64>,
    /// Usage was reported by an answer that is not complete: later reports may be missing.
    pub partial: bool,
}

/// An error as the provider tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallError {
    /// `error.type`: the provider's code from the body, else the HTTP status as text.
    pub kind: String,
    /// The provider's code, as the body tells it.
    pub code: Option<String>,
    /// The provider's type of error, as the body tells it.
    pub provider_type: Option<String>,
    /// The provider's message, which may quote content.
    pub message: Option<String>,
}

impl CallError {
    /// One that the provider tells by its type alone; an empty type is none.
    pub(super) fn of_type(kind: String, message: Option<String>) -> Self {
        let provider_type = Some(kind.clone()).filter(|kind| !kind.is_empty());
        Self { kind, code: None, provider_type, message }
    }
}

/// How the answer arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streaming {
    /// The answer came as a stream of events.
    pub streamed: bool,
    /// First event or first body byte of the answer.
    pub first_chunk: Option<Timestamp>,
    /// First event that carried content (text, reasoning, tool arguments).
    pub first_content: Option<Timestamp>,
    /// Events of the stream that carried data.
    pub chunks: u64,
    /// Mean time between two of them, from the first with content on. This and what follows is only known of a stream of which nothing is missing.
    pub mean_gap: Option<Duration>,
    /// All times between two of them.
    pub gaps: Option<Gaps>,
    /// Largest time between two of them, or from the last to the moment at which the stream broke off.
    pub largest_gap: Option<Duration>,
    /// That was out of proportion to the others.
    pub stalled: Option<bool>,
    /// Who stopped the stream before it said that it was over.
    pub stopped_by: Option<Party>,
}

/// Times between the chunks of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// How many there are up to 10 ms, up to 20 ms, and so on to 81.92 s in buckets that double; the last is for longer ones.
    pub buckets: [u32; 15],
    /// Their sum.
    pub sum: Duration,
    /// The least.
    pub least: Duration,
    /// The largest.
    pub largest: Duration,
}

/// A side of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who asks.
    #[default]
    Client,
    /// Who answers.
    Server,
}

/// The HTTP around a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// Host that the request names, without its port.
    pub server_address: Option<String>,
    /// Port: of `Host`, else 443, since the connection is TLS.
    pub server_port: Option<u16>,
    /// Method.
    pub method: String,
    /// Path, without query.
    pub path: String,
    /// HTTP version.
    pub version: Option<Version>,
    /// Response status.
    pub status: Option<u16>,
    /// The provider's request id header.
    pub request_id: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// How long the server asks to wait before the next request.
    pub retry_after: Option<Duration>,
    /// What is left of the caller's quotas.
    pub rate_limits: RateLimits,
}

/// Quotas, as headers of the answer tell them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Of requests.
    pub requests: Quota,
    /// Of tokens, whatever they are.
    pub tokens: Quota,
    /// Of input tokens.
    pub input_tokens: Quota,
    /// Of output tokens.
    pub output_tokens: Quota,
}

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// When it is full.
    pub limit: Option<i64>,
    /// What is left of it.
    pub remaining: Option<i64>,
    /// Time until it is full again.
    pub reset: Option<Duration>,
}

/// Bytes of one direction that were not captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Bytes that are known to be lost.
    pub lost: u64,
    /// Bytes left out by a limit.
    pub cut: u64,
    /// Something is missing and its size is not known.
    pub unknown: bool,
}

impl Missed {
    /// Is anything missing?
    pub fn any(self) -> bool {
        self.lost > 0 || self.cut > 0 || self.unknown
    }
}

/// What of a call was not captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Of the request.
    pub request: Missed,
    /// Of the response.
    pub response: Missed,
    /// The request's body is not the JSON that the API promises.
    pub request_malformed: bool,
    /// The response's body is not what the API promises.
    pub response_malformed: bool,
}

/// W3C trace context, validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace id; not all zero.
    pub trace_id: [u8; 16],
    /// Id of the parent span; not all zero.
    pub parent_id: [u8; 8],
    /// Trace flags.
    pub flags: u8,
    /// `tracestate`, as sent.
    pub state: Option<String>,
}
