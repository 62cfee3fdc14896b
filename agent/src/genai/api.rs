//! Requests to the hosts of LLM providers that no dialect claims: what they are for.

/// What a request to an LLM provider is for, if it is no call that a dialect reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Housekeeping: no inference.
    Housekeeping(&'static str),
    /// Inference, in an API that is not read yet.
    Unread(&'static str),
}

/// Segments of paths that name inference, with the kind that they are counted under.
const INFERENCE: &[(&str, &str)] = &[
    ("responses", "responses"),
    ("completions", "completions"),
    ("complete", "completions"),
    ("embeddings", "embeddings"),
    ("moderations", "moderations"),
    ("images", "images"),
    ("speech", "speech"),
    ("transcriptions", "transcriptions"),
    ("translations", "transcriptions"),
    ("ocr", "ocr"),
    ("realtime", "realtime"),
];

/// What paths of Amazon Bedrock end in that models make other things at, agents are asked, and knowledge bases.
const POSTED: &[(&str, &str)] = &[
    ("invoke", "invoke_model"),
    ("async-invoke", "invoke_model"),
    ("invoke-with-bidirectional-stream", "realtime"),
    ("text", "agents"),
    ("retrieve", "retrieval"),
    ("retrieveAndGenerate", "retrieve_and_generate"),
    ("retrieveAndGenerateStream", "retrieve_and_generate"),
];

/// What Google's paths end in, behind a colon; other such methods are housekeeping.
const METHODS: &[(&str, &str)] = &[
    ("embedContent", "embeddings"),
    ("batchEmbedContents", "embeddings"),
    ("asyncBatchEmbedContent", "embeddings"),
    ("predict", "predict"),
    ("predictLongRunning", "predict"),
    ("rawPredict", "predict"),
    ("streamRawPredict", "predict"),
    ("generateAnswer", "generate_answer"),
];

/// Segments of paths that name housekeeping; they win over those of inference.
const HOUSEKEEPING: &[(&str, &str)] = &[
    ("models", "models"),
    ("files", "files"),
    ("uploads", "files"),
    ("batch", "batches"),
    ("batches", "batches"),
    ("count_tokens", "count_tokens"),
    ("input_tokens", "count_tokens"),
    ("input_items", "responses"),
    ("threads", "threads"),
    ("assistants", "assistants"),
    ("vector_stores", "vector_stores"),
    ("fine_tuning", "fine_tuning"),
    ("conversations", "conversations"),
    ("organization", "organization"),
    ("organizations", "organization"),
    ("foundation-models", "models"),
    ("inference-profiles", "models"),
    ("guardrail", "guardrails"),
    ("guardrails", "guardrails"),
];

/// What a request to a provider's host is for.
pub(super) fn purpose(method: &str, path: &str) -> Purpose {
    if method == "OPTIONS" {
        return Purpose::Housekeeping("preflight");
    }
    let find = |table: &[(&str, &'static str)]| {
        path.split('/')
            .find_map(|segment| table.iter().find(|(name, _)| *name == segment))
            .map(|(_, kind)| *kind)
    };
    // Azure's deployments are chosen by a path like `/openai/deployments/NAME/embeddings`, and some providers
    // serve below `/models/`: there the last segment decides.
    let last = path.rsplit('/').next().unwrap_or_default();
    if let ("POST", Some((_, verb))) = (method, last.rsplit_once(':')) {
        return match METHODS.iter().find(|(name, _)| *name == verb) {
            Some((_, kind)) => Purpose::Unread(kind),
            None if verb.ends_with("Tokens") => Purpose::Housekeeping("count_tokens"),
            None => Purpose::Housekeeping(find(HOUSEKEEPING).unwrap_or("other")),
        };
    }
    let inference = INFERENCE.iter().chain(POSTED).find(|(name, _)| *name == last).map(|(_, kind)| *kind);
    if let ("POST", Some(kind)) = (method, inference) {
        return Purpose::Unread(kind);
    }
    match (method, find(HOUSEKEEPING), find(INFERENCE)) {
        ("GET", None, Some("responses")) => Purpose::Unread("fetch_response"),
        ("POST" | "GET", None, Some(kind)) => Purpose::Unread(kind),
        (_, Some(kind), _) | (_, None, Some(kind)) => Purpose::Housekeeping(kind),
        _ => Purpose::Housekeeping("other"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Purpose::{Housekeeping, Unread},
        *,
    };

    #[test]
    fn purposes() {
        let cases = [
            ("GET", "/v1/models", Housekeeping("models")),
            ("GET", "/v1/models/gpt-4o", Housekeeping("models")),
            ("POST", "/v1/files", Housekeeping("files")),
            ("POST", "/v1/messages/batches", Housekeeping("batches")),
            ("POST", "/v1/threads/t_1/messages", Housekeeping("threads")),
            ("POST", "/v1/responses", Unread("responses")),
            ("GET", "/v1/responses/resp_1", Unread("fetch_response")),
            ("DELETE", "/v1/responses/resp_1", Housekeeping("responses")),
            ("POST", "/v1/responses/input_tokens", Housekeeping("count_tokens")),
            ("POST", "/v1/completions", Unread("completions")),
            ("POST", "/v1/complete", Unread("completions")),
            ("POST", "/openai/deployments/models/embeddings", Unread("embeddings")),
            ("POST", "/v1/images/generations", Unread("images")),
            ("POST", "/v1beta/models/gemini-embedding-2:batchEmbedContents", Unread("embeddings")),
            (
                "POST",
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
                Unread("predict"),
            ),
            ("POST", "/v1beta/models/gemini-3-pro:countTokens", Housekeeping("count_tokens")),
            (
                "POST",
                "/v1/projects/p/locations/l/publishers/google/models/g:computeTokens",
                Housekeeping("count_tokens"),
            ),
            ("POST", "/v1beta/models/gemini-3-pro:batchGenerateContent", Housekeeping("models")),
            ("POST", "/v1internal:loadCodeAssist", Housekeeping("other")),
            ("GET", "/v1beta/cachedContents", Housekeeping("other")),
            ("OPTIONS", "/v1/responses", Housekeeping("preflight")),
            ("GET", "/", Housekeeping("other")),
            ("GET", "", Housekeeping("other")),
            ("POST", "/model/stability.sd3-5-large-v1%3A0/invoke", Unread("invoke_model")),
            ("POST", "/async-invoke", Unread("invoke_model")),
            ("POST", "/model/amazon.nova-sonic-v1%3A0/invoke-with-bidirectional-stream", Unread("realtime")),
            ("POST", "/agents/A/agentAliases/B/sessions/S/text", Unread("agents")),
            ("POST", "/knowledgebases/K/retrieve", Unread("retrieval")),
            ("POST", "/retrieveAndGenerate", Unread("retrieve_and_generate")),
            ("POST", "/retrieveAndGenerateStream", Unread("retrieve_and_generate")),
            ("POST", "/guardrail/g/version/1/apply", Housekeeping("guardrails")),
            ("GET", "/foundation-models", Housekeeping("models")),
            ("GET", "/inference-profiles", Housekeeping("models")),
            ("GET", "/async-invoke/arn", Housekeeping("other")),
        ];
        for (method, path, expected) in cases {
            assert_eq!(purpose(method, path), expected, "{method} {path}");
        }
    }
}
