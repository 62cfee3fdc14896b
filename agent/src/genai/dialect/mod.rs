//! The API dialects that are understood: one file each, registered in [`DIALECTS`].

mod anthropic_messages;
mod aws_bedrock_agents;
mod aws_bedrock_converse;
mod aws_bedrock_invoke;
mod cohere_chat;
mod cohere_chat_v1;
mod cohere_embed;
mod cohere_rerank;
mod google_embed_content;
mod google_generate_content;
mod google_live;
mod mcp;
mod mistral_fim;
mod ollama;
mod ollama_embed;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_images;
mod openai_moderations;
mod openai_realtime;
mod openai_responses;
mod openai_speech;
mod openai_transcriptions;
mod replicate;
mod tgi_generate;
mod vertex_predict;
mod watsonx;
mod writer_chat;

use super::{
    budget::Budget,
    call::{Call, CallError, OperationName, Provider},
    document::Document,
    field::Field,
    finish::Ending,
    mcp::Settled,
};
use crate::wire::{self, RequestHead, ResponseHead, SseEvent};

/// Every dialect, in the order in which they are asked. The first that is sure of a request gets it.
pub(super) static DIALECTS: &[&dyn Dialect] = &[
    &openai_chat::OpenAiChat,
    &openai_responses::OpenAiResponses,
    &openai_responses::OpenAiFetchResponse,
    &anthropic_messages::AnthropicMessages,
    &google_generate_content::GoogleGenerateContent,
    // Before the older Completions, whose requests look alike.
    &mistral_fim::MistralFim,
    &mistral_fim::MistralAgents,
    &openai_completions::OpenAiCompletions,
    &openai_embeddings::OpenAiEmbeddings,
    &openai_realtime::OpenAiRealtime,
    &openai_images::OpenAiImages,
    &openai_speech::OpenAiSpeech,
    &openai_transcriptions::OpenAiTranscriptions,
    &openai_moderations::OpenAiModerations,
    &google_live::GoogleLive,
    &aws_bedrock_converse::AwsBedrockConverse,
    &aws_bedrock_invoke::AwsBedrockInvoke,
    &aws_bedrock_agents::AGENTS,
    &aws_bedrock_agents::GENERATE,
    &aws_bedrock_agents::RETRIEVE,
    &aws_bedrock_agents::RERANK,
    &google_embed_content::GoogleEmbedContent,
    &vertex_predict::VertexPredict,
    &cohere_chat::CohereChat,
    &cohere_chat_v1::CohereChatV1,
    &cohere_embed::CohereEmbed,
    &cohere_rerank::CohereRerank,
    &writer_chat::WriterChat,
    &tgi_generate::TgiGenerate,
    &watsonx::WatsonxChat,
    &watsonx::WatsonxGeneration,
    &watsonx::WatsonxEmbeddings,
    &watsonx::WatsonxRerank,
    &replicate::Replicate,
    &ollama::OllamaChat,
    &ollama::OllamaGenerate,
    &ollama_embed::OllamaEmbed,
    &mcp::ModelContextProtocol,
];

/// What a dialect says of a request, by its head alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Not mine.
    No,
    /// A call in this dialect.
    Yes,
    /// Perhaps: the bodies decide. Several dialects may say so of one request.
    Maybe,
    /// Opens a session in which each message that is a call is told as an exchange of its own.
    Session,
    /// A request to this API that is no inference, and of what kind.
    NotInference(&'static str),
}

impl Claim {
    /// Of a POST to a path of this dialect that others may have too: the body decides, unless the head is enough.
    pub(super) fn of_post(
        head: &RequestHead,
        is_path: bool,
        is_enough: impl FnOnce(&RequestHead) -> bool,
    ) -> Self {
        match is_path && &*head.method == "POST" {
            true if is_enough(head) => Self::Yes,
            true => Self::Maybe,
            false => Self::No,
        }
    }

    /// Of a dialect that is spoken in WebSocket sessions only, at whose path this request is.
    fn in_sessions(head: &RequestHead) -> Self {
        if head.session.is_some() {
            Self::Yes
        } else if opens_session(head) {
            Self::Session
        } else {
            Self::No
        }
    }
}

/// Does it open a WebSocket session?
pub(super) fn opens_session(head: &RequestHead) -> bool {
    &*head.method == "GET" && head.headers.upgrade_to_websocket()
}

/// An API dialect.
pub(super) trait Dialect: Sync {
    /// Id of the dialect, as `plainspan.api` has it.
    fn name(&self) -> &'static str;

    /// What kind of call is made through it.
    fn operation(&self) -> OperationName {
        OperationName::Chat
    }

    /// Is this request one of this dialect? Must be cheap: it is asked of every request.
    fn claim(&self, head: &RequestHead) -> Claim;

    /// Who serves, where the host does not say.
    fn provider(&self) -> Provider;

    /// A fold for one call.
    fn open(&self, head: &RequestHead) -> Box<dyn Fold>;
}

/// A body, or an event, that is not what the API promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What an event of a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// Keeps the connection alive, or marks the end.
    Nothing,
    /// Something else than content.
    Data,
    /// Content: text, reasoning, arguments of a tool.
    Content,
}

/// Folds the bodies of one exchange into a [`Call`].
pub(super) trait Fold: Send {
    /// The whole request body. `Ok(false)`: it is no call of this dialect after all.
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed>;

    /// The next message that it is asked with, in a session in which that is more than one. `Ok(false)`: as above.
    fn asked(&mut self, _: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<bool, Malformed> {
        Err(Malformed)
    }

    /// The next part of a request that is a form; its body is empty then.
    fn part(&mut self, _: &wire::Part, _: &mut Budget) -> Result<(), Malformed> {
        Err(Malformed)
    }

    /// The head of the answer, which in some APIs says what its body does not.
    fn head(&mut self, _: &ResponseHead, _: &mut Budget) {}

    /// May its answer be a JSON array whose elements are the events of a stream?
    fn streams_array(&self) -> bool {
        false
    }

    /// The error that the body of a response with a status of 400 or more tells.
    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError>;

    /// The whole body of another response, where it is no event stream.
    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed>;

    /// The next event of a streamed response, in an API that has such.
    fn event(&mut self, _: &SseEvent, _: &mut Call, _: &mut Budget) -> Result<Carried, Malformed> {
        Err(Malformed)
    }

    /// Did the stream say that it is over?
    fn terminated(&self, _: &Call) -> bool {
        false
    }

    /// Does the stream never say that it is over, so that it is with the end of its body?
    fn ends_with_its_body(&self) -> bool {
        false
    }

    /// Nothing more comes. A stream puts its generations and its usage into the call now; the flag says that
    /// some of its events may be missing.
    fn finish(&mut self, _: Ending, _: bool, _: &mut Call, _: &mut Budget) {}

    /// What the messages that were seen have settled since it was asked last, in a protocol whose exchanges carry several
    /// calls. `None` in all others: there the exchange is the call.
    fn settled(&mut self) -> Option<Vec<Settled>> {
        None
    }
}
