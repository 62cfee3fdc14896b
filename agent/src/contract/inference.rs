//! The span of one call; [`super::mcp`] has what those of MCP say instead of model and usage.

use super::{
    attributes::Attributes,
    check::Context,
    content, document, fingerprint,
    key::Text as _,
    mcp, names, naming, place,
    profile::Profile,
    sampling,
    settle::settle,
    span::{Kind, Relations, Span, SpanIds, Status},
};
use crate::{
    account::Account,
    genai::{
        Call, CallError, FinishReason, Generation, Missed, OperationName, OutputType, Party, Provider,
        RateLimits, Role,
    },
    policy::{
        content::{Form, Placement},
        fingerprint::Prints,
        price::{self, Cost},
        sample::Decision,
    },
    text::floor,
    time::Timestamp,
    wire::{ExchangeEnd, Version},
};

/// How spans are to be built.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Form of the content, which the call is in already.
    pub content: Form,
    /// Where it goes.
    pub placement: Placement,
    /// Findings that were taken out of it.
    pub redacted: u64,
    /// What the call cost.
    pub cost: Option<Cost>,
    /// Why the call was kept.
    pub sampled: Decision,
    /// What tells the call from others.
    pub prints: Prints,
    /// The names that spans go by.
    pub profile: &'static Profile,
    /// The recorded exchange that a replayed call came from.
    pub capture_source: Option<String>,
}

/// Longest `tracestate` that is passed on, in bytes; W3C Trace Context, section 3.3.1.5, asks for at least 512.
const MAX_TRACE_STATE: usize = 1024;

/// The span of a call. Never fails: what does not fit the contract is left out, named on the span and counted.
pub fn build(call: &Call, ids: SpanIds, relations: Relations, options: &Options, account: &Account) -> Span {
    let Relations { cause: link, session } = relations;
    let mut set = Attributes::default();
    let with_content = options.content != Form::None;
    let (shape, any_content) = if let Some(message) = &call.mcp {
        (mcp::shape(call), mcp::set(&mut set, call, message, with_content))
    } else {
        request(&mut set, call);
        response(&mut set, call);
        usage(&mut set, call, options.cost.as_ref());
        fingerprint::set(&mut set, &options.prints, options.content);
        (&names::GEN_AI_CLIENT_INFERENCE, with_content && content::set(&mut set, call, options.profile))
    };
    fingerprint::set_identity(&mut set, &options.prints);
    transport(&mut set, call);
    capture(&mut set, call);
    let trace = call.trace.as_ref();
    let trace_id = trace.map_or(ids.trace_id, |t| t.trace_id);
    let end = call.end.max(call.start);
    place::set(&mut set, call, any_content, options, || document::file_name(trace_id, ids.span_id, end));
    set.set_some(names::PLAINSPAN_LINK_REASON, link.map(|link| link.reason));
    set.set_some(names::PLAINSPAN_SESSION_ID, session.map(|id| format!("{:016x}", u64::from_be_bytes(id.0))));
    set.set_some(names::PLAINSPAN_REPLAY_SOURCE, options.capture_source.clone());
    set.set(names::PLAINSPAN_CONTRACT_VERSION, options.profile.version.to_owned());
    sampling::set(&mut set, options.sampled);

    let state = trace.and_then(|t| t.state.as_deref()).unwrap_or_default();
    let (trace_state, state_cut) = trace_state(&sampling::trace_state(state, options.sampled));
    let (status, status_cut) = call
        .error
        .as_ref()
        .map_or((Status::Unset, false), |error| status(error, call, with_content && options.placement.spans));
    // What is no attribute goes by the names of the OTLP protocol.
    let cut = [("status.message", status_cut), ("trace_state", state_cut)];
    let cut = cut.into_iter().filter_map(|(field, cut)| cut.then_some(field));
    // Before names are left out, and of the length that it will have on the span.
    let name = naming::name(&mut set, shape, options.profile);
    let context = Context { failed: call.error.is_some(), content: with_content, profile: options.profile };
    settle(&mut set, shape, context, cut, account);
    Span {
        trace_id,
        span_id: ids.span_id,
        parent_span_id: trace.map(|t| t.parent_id),
        link,
        flags: trace.map_or_else(|| sampling::flags(options.sampled), |t| t.flags),
        trace_state,
        name,
        kind: if call.role == Some(Role::Server) { Kind::Server } else { Kind::Client },
        start: call.start,
        end,
        status,
        attributes: set.finish(),
    }
}

fn request(set: &mut Attributes, call: &Call) {
    let request = &call.request;
    set.set(names::GEN_AI_OPERATION_NAME, operation(call.operation));
    set.set(names::GEN_AI_PROVIDER_NAME, provider(call.provider));
    set.set(names::PLAINSPAN_API, call.dialect.to_owned());
    set.set_some(names::GEN_AI_REQUEST_MODEL, request.model.clone());
    set.set_some(names::GEN_AI_CONVERSATION_ID, request.conversation_id.clone());
    set.set_some(names::GEN_AI_AGENT_ID, request.agent_id.clone());
    set.set_some(names::GEN_AI_AGENT_NAME, request.agent_name.clone());
    let base = &request.knowledge_base_id;
    set.set_some(names::AWS_BEDROCK_KNOWLEDGE_BASE_ID, base.clone());
    set.set_some(names::GEN_AI_DATA_SOURCE_ID, base.clone());
    set.set_some(names::GEN_AI_REQUEST_PREVIOUS_RESPONSE_ID, request.previous_response_id.clone());
    set.set_some(names::GEN_AI_OUTPUT_TYPE, request.output_type.map(output_type));
    set.set_some(names::GEN_AI_REQUEST_STREAM, request.stream.filter(|stream| *stream));
    set.set_some(names::GEN_AI_REQUEST_TEMPERATURE, request.temperature);
    set.set_some(names::GEN_AI_REQUEST_TOP_P, request.top_p);
    set.set_some(names::GEN_AI_REQUEST_TOP_K, request.top_k);
    set.set_some(names::GEN_AI_REQUEST_FREQUENCY_PENALTY, request.frequency_penalty);
    set.set_some(names::GEN_AI_REQUEST_PRESENCE_PENALTY, request.presence_penalty);
    set.set_some(names::GEN_AI_REQUEST_MAX_TOKENS, request.max_tokens);
    set.set_some(names::GEN_AI_REQUEST_CHOICE_COUNT, request.choice_count.filter(|n| *n != 1));
    set.set_some(names::GEN_AI_REQUEST_SEED, request.seed);
    let stop = Some(request.stop_sequences.clone()).filter(|stop| !stop.is_empty());
    set.set_some(names::GEN_AI_REQUEST_STOP_SEQUENCES, stop);
    set.set_some(names::GEN_AI_EMBEDDINGS_DIMENSION_COUNT, request.dimensions);
    let formats = Some(request.encoding_formats.clone()).filter(|formats| !formats.is_empty());
    set.set_some(names::GEN_AI_REQUEST_ENCODING_FORMATS, formats);
    set.set_some(names::GEN_AI_REQUEST_REASONING_LEVEL, request.reasoning_level.clone());

    if is_openai_api(call) {
        set.set_some(names::OPENAI_API_TYPE, openai_api_type(call.dialect));
        let tier = request.service_tier.clone().filter(|tier| tier != "auto");
        set.set_some(names::OPENAI_REQUEST_SERVICE_TIER, tier);
    } else {
        set.set_some(names::PLAINSPAN_REQUEST_SERVICE_TIER, request.service_tier.clone());
    }
}

fn response(set: &mut Attributes, call: &Call) {
    let response = &call.response;
    set.set_some(names::GEN_AI_RESPONSE_ID, response.id.clone());
    set.set_some(names::GEN_AI_RESPONSE_MODEL, response.model.clone());
    if is_openai_api(call) {
        set.set_some(names::OPENAI_RESPONSE_SERVICE_TIER, response.service_tier.clone());
        set.set_some(names::OPENAI_RESPONSE_SYSTEM_FINGERPRINT, response.system_fingerprint.clone());
    } else {
        set.set_some(names::PLAINSPAN_RESPONSE_SERVICE_TIER, response.service_tier.clone());
    }
    let reasons: Vec<_> = response.generations.iter().map(|g| finish_reason(g, call)).collect();
    if reasons.iter().any(|reason| *reason != names::GenAiResponseFinishReasons::Unknown) {
        set.set(names::GEN_AI_RESPONSE_FINISH_REASONS, reasons);
    }
    if response.generations.iter().any(|g| g.provider_finish_reason.is_some()) {
        let own = response.generations.iter().map(|g| g.provider_finish_reason.clone().unwrap_or_default());
        set.set(names::PLAINSPAN_RESPONSE_FINISH_REASONS, own.collect());
    }
    set.set_some(names::PLAINSPAN_RESPONSE_REQUEST_ID, call.transport.request_id.clone());
    if let Some(found) = response.repetition {
        set.set(names::PLAINSPAN_RESPONSE_REPETITION_PERIOD, count(found.period));
        set.set(names::PLAINSPAN_RESPONSE_REPETITION_COUNT, count(found.count));
    }
    if call.streaming.streamed {
        stream(set, call);
    }
}

fn stream(set: &mut Attributes, call: &Call) {
    let streaming = &call.streaming;
    let seconds = |at: Option<Timestamp>| at.map(|at| at.since(call.start).as_secs_f64());
    set.set_some(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK, seconds(streaming.first_chunk));
    set.set_some(names::PLAINSPAN_RESPONSE_TIME_TO_FIRST_CONTENT, seconds(streaming.first_content));
    // Those that were lost would have counted.
    let chunks = Some(count(streaming.chunks)).filter(|_| !call.damage.response.any());
    set.set_some(names::PLAINSPAN_STREAM_CHUNKS, chunks);
    set.set_some(names::PLAINSPAN_STREAM_GAP_MEAN, streaming.mean_gap.map(|gap| gap.as_secs_f64()));
    set.set_some(names::PLAINSPAN_STREAM_GAP_MAX, streaming.largest_gap.map(|gap| gap.as_secs_f64()));
    set.set_some(names::PLAINSPAN_STREAM_STALLED, streaming.stalled);
    let party = |party| match party {
        Party::Client => names::PlainspanStreamStoppedBy::Client,
        Party::Server => names::PlainspanStreamStoppedBy::Server,
    };
    set.set_some(names::PLAINSPAN_STREAM_STOPPED_BY, streaming.stopped_by.map(party));
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn usage(set: &mut Attributes, call: &Call, cost: Option<&Cost>) {
    let usage = &call.usage;
    set.set_some(names::GEN_AI_USAGE_INPUT_TOKENS, usage.input);
    set.set_some(names::GEN_AI_USAGE_OUTPUT_TOKENS, usage.output);
    set.set_some(names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS, usage.cache_read);
    set.set_some(names::GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, usage.cache_write);
    set.set_some(names::GEN_AI_USAGE_REASONING_OUTPUT_TOKENS, usage.reasoning);
    set.set_some(names::GEN_AI_USAGE_AUDIO_INPUT_TOKENS, usage.audio_input);
    set.set_some(names::GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS, usage.audio_output);
    if let Some(cost) = cost {
        set.set(names::PLAINSPAN_COST_USD, cost.total);
        set.set(names::PLAINSPAN_COST_INPUT_USD, cost.input);
        set.set(names::PLAINSPAN_COST_OUTPUT_USD, cost.output);
        set.set(names::PLAINSPAN_COST_ESTIMATED, true);
        set.set(names::PLAINSPAN_COST_MODEL, cost.model.clone());
        set.set(names::PLAINSPAN_COST_TABLE_VERSION, price::TABLE.to_owned());
    }
}

fn transport(set: &mut Attributes, call: &Call) {
    let transport = &call.transport;
    if let Some(address) = &transport.server_address {
        set.set(names::SERVER_ADDRESS, address.clone());
        set.set_some(names::SERVER_PORT, transport.server_port.map(i64::from));
    }
    set.set_some(names::ERROR_TYPE, call.error.as_ref().map(error_type));
    if let Some(error) = &call.error {
        set.set_some(names::PLAINSPAN_ERROR_CODE, error.code.clone());
        set.set_some(names::PLAINSPAN_ERROR_TYPE, error.provider_type.clone());
    }
    let wait = transport.retry_after.map(|wait| wait.as_secs_f64());
    set.set_some(names::PLAINSPAN_RESPONSE_RETRY_AFTER, wait);
    rate_limits(set, &transport.rate_limits);
    set.set_some(names::HTTP_REQUEST_METHOD, method(&transport.method));
    set.set_some(names::HTTP_RESPONSE_STATUS_CODE, transport.status.map(i64::from));
    let version = transport.version.map(|version| match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    });
    set.set_some(names::NETWORK_PROTOCOL_VERSION, version.map(str::to_owned));
    set.set_some(names::URL_PATH, Some(transport.path.clone()).filter(|path| !path.is_empty()));
    set.set_some(names::USER_AGENT_ORIGINAL, transport.user_agent.clone());
}

fn rate_limits(set: &mut Attributes, limits: &RateLimits) {
    for (quota, limit, remaining, reset) in [
        (
            &limits.requests,
            names::PLAINSPAN_RATE_LIMIT_REQUESTS_LIMIT,
            names::PLAINSPAN_RATE_LIMIT_REQUESTS_REMAINING,
            names::PLAINSPAN_RATE_LIMIT_REQUESTS_RESET,
        ),
        (
            &limits.tokens,
            names::PLAINSPAN_RATE_LIMIT_TOKENS_LIMIT,
            names::PLAINSPAN_RATE_LIMIT_TOKENS_REMAINING,
            names::PLAINSPAN_RATE_LIMIT_TOKENS_RESET,
        ),
        (
            &limits.input_tokens,
            names::PLAINSPAN_RATE_LIMIT_INPUT_TOKENS_LIMIT,
            names::PLAINSPAN_RATE_LIMIT_INPUT_TOKENS_REMAINING,
            names::PLAINSPAN_RATE_LIMIT_INPUT_TOKENS_RESET,
        ),
        (
            &limits.output_tokens,
            names::PLAINSPAN_RATE_LIMIT_OUTPUT_TOKENS_LIMIT,
            names::PLAINSPAN_RATE_LIMIT_OUTPUT_TOKENS_REMAINING,
            names::PLAINSPAN_RATE_LIMIT_OUTPUT_TOKENS_RESET,
        ),
    ] {
        set.set_some(limit, quota.limit);
        set.set_some(remaining, quota.remaining);
        set.set_some(reset, quota.reset.map(|reset| reset.as_secs_f64()));
    }
}

fn capture(set: &mut Attributes, call: &Call) {
    use names::PlainspanCaptureDegraded as Degraded;
    set.set_some(names::PLAINSPAN_CALL_ENDED, call.ended.map(|end| ended(end, call.role)));
    let damage = &call.damage;
    set.set_count(names::PLAINSPAN_CAPTURE_REQUEST_BYTES_LOST, damage.request.lost);
    set.set_count(names::PLAINSPAN_CAPTURE_REQUEST_BYTES_CUT, damage.request.cut);
    set.set_count(names::PLAINSPAN_CAPTURE_RESPONSE_BYTES_LOST, damage.response.lost);
    set.set_count(names::PLAINSPAN_CAPTURE_RESPONSE_BYTES_CUT, damage.response.cut);

    let missed = |missed: Missed| [missed.lost > 0, missed.cut > 0, missed.unknown];
    let [request_lost, request_cut, request_unknown] = missed(damage.request);
    let [response_lost, response_cut, response_unknown] = missed(damage.response);
    let reasons: Vec<Degraded> = [
        (request_lost, Degraded::RequestBytesLost),
        (request_cut, Degraded::RequestBytesCut),
        (request_unknown, Degraded::RequestBytesUnknown),
        (damage.request_malformed, Degraded::RequestMalformed),
        (response_lost, Degraded::ResponseBytesLost),
        (response_cut, Degraded::ResponseBytesCut),
        (response_unknown, Degraded::ResponseBytesUnknown),
        (damage.response_malformed, Degraded::ResponseMalformed),
        (call.usage.partial, Degraded::UsagePartial),
        (call.ended == Some(ExchangeEnd::Unreadable), Degraded::Unreadable),
    ]
    .into_iter()
    .filter_map(|(applies, reason)| applies.then_some(reason))
    .collect();
    set.set_some(names::PLAINSPAN_CAPTURE_DEGRADED, Some(reasons).filter(|reasons| !reasons.is_empty()));
}

/// The word for a choice. A stream that broke off says `error`; a reason that we merely did not see is unknown.
pub(super) fn finish_reason(generation: &Generation, call: &Call) -> names::GenAiResponseFinishReasons {
    use names::GenAiResponseFinishReasons as Word;
    let broke_off = matches!(
        call.ended,
        Some(
            ExchangeEnd::ClosedLocally
                | ExchangeEnd::ClosedRemotely
                | ExchangeEnd::Closed
                | ExchangeEnd::ProcessExit
        )
    );
    match &generation.finish_reason {
        Some(FinishReason::Stop) => Word::Stop,
        Some(FinishReason::Length) => Word::Length,
        Some(FinishReason::ToolCall) => Word::ToolCall,
        Some(FinishReason::ContentFilter) => Word::ContentFilter,
        Some(FinishReason::Pause) => Word::Pause,
        Some(FinishReason::Compaction) => Word::Compaction,
        Some(FinishReason::Error) => Word::Error,
        Some(FinishReason::Other(word)) => Word::Unlisted(word.to_string()),
        None if broke_off => Word::Error,
        None => Word::Unknown,
    }
}

pub(super) fn operation(operation: OperationName) -> names::GenAiOperationName {
    use names::GenAiOperationName as Name;
    match operation {
        OperationName::Chat => Name::Chat,
        OperationName::TextCompletion => Name::TextCompletion,
        OperationName::GenerateContent => Name::GenerateContent,
        OperationName::Embeddings => Name::Embeddings,
        OperationName::Rerank => Name::Rerank,
        OperationName::ImageGeneration => Name::ImageGeneration,
        OperationName::Speech => Name::Speech,
        OperationName::Transcription => Name::Transcription,
        OperationName::Moderation => Name::Moderation,
        OperationName::ExecuteTool => Name::ExecuteTool,
        OperationName::InvokeAgent => Name::InvokeAgent,
        OperationName::Retrieval => Name::Retrieval,
        OperationName::FetchResponse => Name::FetchResponse,
    }
}

pub(super) fn provider(provider: Provider) -> names::GenAiProviderName {
    use names::GenAiProviderName as Name;
    match provider {
        Provider::OpenAi => Name::Openai,
        Provider::Anthropic => Name::Anthropic,
        Provider::AzureOpenAi => Name::AzureAiOpenai,
        Provider::AzureAiInference => Name::AzureAiInference,
        Provider::AwsBedrock => Name::AwsBedrock,
        Provider::GcpGemini => Name::GcpGemini,
        Provider::GcpVertexAi => Name::GcpVertexAi,
        Provider::GcpGenAi => Name::GcpGenAi,
        Provider::DeepSeek => Name::Deepseek,
        Provider::Groq => Name::Groq,
        Provider::MistralAi => Name::MistralAi,
        Provider::MoonshotAi => Name::MoonshotAi,
        Provider::Perplexity => Name::Perplexity,
        Provider::XAi => Name::XAi,
        Provider::Cohere => Name::Cohere,
        Provider::IbmWatsonxAi => Name::IbmWatsonxAi,
        Provider::Ollama => Name::Ollama,
        Provider::HuggingFace => Name::HuggingFace,
        Provider::Replicate => Name::Replicate,
        Provider::Unknown => Name::Unknown,
    }
}

/// `gen_ai.provider.name` of a provider.
pub fn provider_name(of: Provider) -> String {
    provider(of).into_text()
}

fn output_type(kind: OutputType) -> names::GenAiOutputType {
    match kind {
        OutputType::Text => names::GenAiOutputType::Text,
        OutputType::Json => names::GenAiOutputType::Json,
        OutputType::Image => names::GenAiOutputType::Image,
        OutputType::Speech => names::GenAiOutputType::Speech,
    }
}

fn is_openai_api(call: &Call) -> bool {
    call.dialect.starts_with("openai.")
}

fn openai_api_type(dialect: &str) -> Option<names::OpenaiApiType> {
    match dialect {
        "openai.chat_completions" => Some(names::OpenaiApiType::ChatCompletions),
        "openai.responses" | "openai.fetch_response" => Some(names::OpenaiApiType::Responses),
        _ => None,
    }
}

fn error_type(error: &CallError) -> names::ErrorType {
    if error.kind.is_empty() {
        names::ErrorType::Other
    } else {
        names::ErrorType::Unlisted(error.kind.clone())
    }
}

/// The methods of RFC 9110 and RFC 5789; the conventions call any other `_OTHER`.
fn method(method: &str) -> Option<names::HttpRequestMethod> {
    use names::HttpRequestMethod as Method;
    Some(match method {
        "" => return None,
        "CONNECT" => Method::Connect,
        "DELETE" => Method::Delete,
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "TRACE" => Method::Trace,
        _ => Method::Other,
    })
}

/// Capture knows its own side and the other; consumers ask for client and server.
fn ended(end: ExchangeEnd, role: Option<Role>) -> names::PlainspanCallEnded {
    use names::PlainspanCallEnded as Ended;
    let server = role == Some(Role::Server);
    match end {
        ExchangeEnd::Complete => Ended::Complete,
        ExchangeEnd::ClosedLocally if server => Ended::ServerClosed,
        ExchangeEnd::ClosedLocally => Ended::ClientClosed,
        ExchangeEnd::Closed => Ended::ConnectionClosed,
        ExchangeEnd::ClosedRemotely if server => Ended::ClientClosed,
        ExchangeEnd::ClosedRemotely => Ended::ServerClosed,
        ExchangeEnd::ProcessExit => Ended::ProcessExit,
        ExchangeEnd::CaptureEnd => Ended::CaptureEnd,
        ExchangeEnd::Unreadable => Ended::Unreadable,
    }
}

/// Longest description of a failed span, in bytes.
const MAX_DESCRIPTION: usize = 1024;

/// The status of a failed call, and whether its description was cut. The provider's message may quote the prompt, so it is content.
fn status(error: &CallError, call: &Call, with_content: bool) -> (Status, bool) {
    if let Some(message) = error.message.as_ref().filter(|message| with_content && !message.is_empty()) {
        let end = floor(message, MAX_DESCRIPTION);
        return (Status::Error(message[..end].to_owned()), end < message.len());
    }
    let limit = names::ERROR_TYPE.def().max_bytes.unwrap_or_default();
    let kind = &error.kind[..floor(&error.kind, limit)];
    let description = match call.transport.status {
        Some(code) if kind.is_empty() || kind == code.to_string() => format!("HTTP {code}"),
        Some(code) if code >= 400 => format!("{kind} (HTTP {code})"),
        _ => kind.to_owned(),
    };
    (Status::Error(description), false)
}

/// Leaves out members at the end that are over the limit, as W3C Trace Context, section 3.3.1.5, has it; a member is never cut in two.
fn trace_state(state: &str) -> (String, bool) {
    if state.len() <= MAX_TRACE_STATE {
        return (state.to_owned(), false);
    }
    let head = &state[..floor(state, MAX_TRACE_STATE + 1)];
    (head.rsplit_once(',').map_or("", |(kept, _)| kept).to_owned(), true)
}

#[cfg(test)]
#[path = "inference_tests.rs"]
mod tests;
