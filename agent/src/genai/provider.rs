//! Who serves, by the host that a request names.

use super::{call::Provider, transport::split_authority};
use crate::wire::RequestHead;

/// Hosts of providers; a leading dot or dash means every host that ends so, a trailing dot every top-level domain. A star
/// is one name, a region.
const HOSTS: &[(&str, Provider)] = &[
    ("api.openai.com", Provider::OpenAi),
    (".api.openai.com", Provider::OpenAi),
    ("api.anthropic.com", Provider::Anthropic),
    (".openai.azure.com", Provider::AzureOpenAi),
    (".cognitiveservices.azure.com", Provider::AzureOpenAi),
    (".services.ai.azure.com", Provider::AzureAiInference),
    ("models.inference.ai.azure.com", Provider::AzureAiInference),
    ("generativelanguage.googleapis.com", Provider::GcpGemini),
    ("aiplatform.googleapis.com", Provider::GcpVertexAi),
    ("-aiplatform.googleapis.com", Provider::GcpVertexAi),
    ("aiplatform.us.rep.googleapis.com", Provider::GcpVertexAi),
    ("aiplatform.eu.rep.googleapis.com", Provider::GcpVertexAi),
    // Gemini Code Assist.
    ("cloudcode-pa.googleapis.com", Provider::GcpGenAi),
    // https://docs.aws.amazon.com/general/latest/gr/bedrock.html: models, agents, and what manages them.
    ("bedrock-runtime.*.amazonaws.com", Provider::AwsBedrock),
    ("bedrock-runtime-fips.*.amazonaws.com", Provider::AwsBedrock),
    ("bedrock-runtime.*.amazonaws.com.cn", Provider::AwsBedrock),
    ("bedrock-runtime.*.api.aws", Provider::AwsBedrock),
    (".bedrock-runtime.*.vpce.amazonaws.com", Provider::AwsBedrock),
    ("bedrock-agent-runtime.*.amazonaws.com", Provider::AwsBedrock),
    ("bedrock.*.amazonaws.com", Provider::AwsBedrock),
    ("bedrock-agent.*.amazonaws.com", Provider::AwsBedrock),
    // Bedrock's endpoint for OpenAI's APIs.
    ("bedrock-mantle.*.api.aws", Provider::AwsBedrock),
    ("api.deepseek.com", Provider::DeepSeek),
    ("api.groq.com", Provider::Groq),
    ("api.mistral.ai", Provider::MistralAi),
    ("api.moonshot.", Provider::MoonshotAi),
    ("api.perplexity.ai", Provider::Perplexity),
    ("api.x.ai", Provider::XAi),
    ("api.cohere.com", Provider::Cohere),
    ("api.cohere.ai", Provider::Cohere),
    (".ml.cloud.ibm.com", Provider::IbmWatsonxAi),
    ("api.replicate.com", Provider::Replicate),
];

/// The provider of a host that the conventions name.
pub(super) fn of_authority(authority: Option<&str>) -> Option<Provider> {
    let host = host(authority)?;
    HOSTS.iter().find(|(pattern, _)| matches(pattern, &host)).map(|(_, provider)| *provider)
}

/// Is it the host of a provider that has only one of this name? One of a customer's own could have any.
pub fn is_known_host(host: &str) -> bool {
    HOSTS.iter().any(|(name, _)| *name == host)
}

/// Does the request name the host of a provider?
pub(super) fn is_named(head: &RequestHead) -> bool {
    of_authority(head.authority.as_deref()).is_some()
}

/// Is it this host, or one that a pattern as in [`HOSTS`] fits?
pub(super) fn is_at(authority: Option<&str>, pattern: &str) -> bool {
    host(authority).is_some_and(|host| matches(pattern, &host))
}

fn host(authority: Option<&str>) -> Option<String> {
    let (host, _) = split_authority(authority?)?;
    // A final dot is the same name written in full (RFC 1034 section 3.1).
    Some(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

fn matches(pattern: &str, host: &str) -> bool {
    if let Some((before, after)) = pattern.split_once('*') {
        let Some(rest) = host.strip_suffix(after) else { return false };
        let Some((head, region)) = rest.rsplit_once('.') else { return false };
        return !region.is_empty() && matches(before.strip_suffix('.').unwrap_or(before), head);
    }
    if pattern.starts_with(['.', '-']) {
        host.len() > pattern.len() && host.ends_with(pattern)
    } else if pattern.ends_with('.') {
        host.strip_prefix(pattern).is_some_and(|tld| !tld.is_empty() && !tld.contains('.'))
    } else {
        host == pattern
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let cases = [
            (Some("api.openai.com"), Some(Provider::OpenAi)),
            (Some("API.OpenAI.com:443"), Some(Provider::OpenAi)),
            (Some("eu.api.openai.com"), Some(Provider::OpenAi)),
            (Some("api.anthropic.com."), Some(Provider::Anthropic)),
            (Some("me.openai.azure.com"), Some(Provider::AzureOpenAi)),
            (Some("me.cognitiveservices.azure.com"), Some(Provider::AzureOpenAi)),
            (Some("me.services.ai.azure.com"), Some(Provider::AzureAiInference)),
            (Some("models.inference.ai.azure.com"), Some(Provider::AzureAiInference)),
            (Some("generativelanguage.googleapis.com"), Some(Provider::GcpGemini)),
            (Some("aiplatform.googleapis.com"), Some(Provider::GcpVertexAi)),
            (Some("europe-west4-aiplatform.googleapis.com"), Some(Provider::GcpVertexAi)),
            (Some("aiplatform.eu.rep.googleapis.com"), Some(Provider::GcpVertexAi)),
            (Some("cloudcode-pa.googleapis.com"), Some(Provider::GcpGenAi)),
            (Some("-aiplatform.googleapis.com"), None),
            (Some("storage.googleapis.com"), None),
            (Some("api.deepseek.com"), Some(Provider::DeepSeek)),
            (Some("api.groq.com"), Some(Provider::Groq)),
            (Some("api.mistral.ai"), Some(Provider::MistralAi)),
            (Some("api.moonshot.cn"), Some(Provider::MoonshotAi)),
            (Some("api.moonshot.ai"), Some(Provider::MoonshotAi)),
            (Some("api.moonshot.evil.example"), None),
            (Some("api.perplexity.ai"), Some(Provider::Perplexity)),
            (Some("api.x.ai"), Some(Provider::XAi)),
            (Some("bedrock-runtime.us-east-1.amazonaws.com:443"), Some(Provider::AwsBedrock)),
            (Some("bedrock-runtime-fips.us-gov-west-1.amazonaws.com"), Some(Provider::AwsBedrock)),
            (Some("bedrock-runtime.cn-north-1.amazonaws.com.cn"), Some(Provider::AwsBedrock)),
            (Some("vpce-1-2.bedrock-runtime.eu-west-1.vpce.amazonaws.com"), Some(Provider::AwsBedrock)),
            (Some("bedrock-mantle.us-east-1.api.aws"), Some(Provider::AwsBedrock)),
            (Some("bedrock-agent-runtime.eu-central-1.amazonaws.com"), Some(Provider::AwsBedrock)),
            (Some("bedrock-runtime..amazonaws.com"), None),
            (Some("bedrock-runtime.amazonaws.com"), None),
            (Some("bedrock-runtime.a.b.amazonaws.com"), None),
            (Some("evil-bedrock-runtime.us-east-1.amazonaws.com"), None),
            (Some("s3.us-east-1.amazonaws.com"), None),
            (Some("api.cohere.com"), Some(Provider::Cohere)),
            (Some("us-south.ml.cloud.ibm.com"), Some(Provider::IbmWatsonxAi)),
            (Some("api.replicate.com"), Some(Provider::Replicate)),
            (Some(".openai.azure.com"), None),
            (Some("notapi.openai.com"), None),
            (Some("api.openai.com.evil.example"), None),
            (Some("localhost:8000"), None),
            (None, None),
        ];
        for (authority, expected) in cases {
            assert_eq!(of_authority(authority), expected, "{authority:?}");
        }
    }
}
