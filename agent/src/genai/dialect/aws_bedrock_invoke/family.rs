//! Whose body it is.

use super::{ai21, anthropic, cohere, llama, mistral, nova, openai, titan};
use crate::genai::{call::OperationName, dialect::Fold, field::Field};

/// Models whose bodies are alike.
pub(super) struct Family {
    /// What the ids of its models begin with, behind the region that an inference profile names.
    pub(super) models: &'static [&'static str],
    /// Names of members that tell its bodies from those of others.
    pub(super) members: &'static [&'static str],
    /// What it is called for.
    pub(super) operation: OperationName,
    /// A reader of its bodies.
    pub(super) open: fn() -> Box<dyn Fold>,
}

/// Every family. The first that fits is taken, so those with more telling members stand before others.
pub(super) static FAMILIES: &[&Family] = &[
    &anthropic::MESSAGES,
    &anthropic::TEXT,
    &nova::EMBEDDINGS,
    &nova::CHAT,
    &titan::EMBEDDINGS,
    &titan::TEXT,
    &llama::TEXT,
    &cohere::EMBEDDINGS,
    &cohere::CHAT,
    &cohere::TEXT,
    &mistral::TEXT,
    &ai21::TEXT,
    &openai::COMPLETIONS,
    &openai::CHAT,
];

/// Models that are asked for pictures, for films, or for an order of documents.
const OTHER_THINGS: &[&str] = &[
    "stability.",
    "amazon.titan-image",
    "amazon.nova-canvas",
    "amazon.nova-reel",
    "amazon.rerank",
    "cohere.rerank",
    "luma.",
];

/// Is a model asked for something that is neither texts nor embeddings?
pub(super) fn makes_other_things(model: &str) -> bool {
    begins(model, OTHER_THINGS)
}

/// The family of a body: the one of the model, and where that is only the name of an endpoint or a profile, or has several,
/// the one whose members the body has.
pub(super) fn of(model: &str, body: Field<'_>) -> Option<&'static Family> {
    let has = |family: &&&Family| body.key(|name| family.members.contains(&name)).is_some();
    let of_model = || FAMILIES.iter().filter(|family| begins(model, family.models));
    of_model().find(has).or_else(|| of_model().next()).or_else(|| FAMILIES.iter().find(has)).copied()
}

/// What a model is called for, where its bodies were missed: the word of the family that names it most closely.
pub(super) fn operation(model: &str) -> Option<OperationName> {
    let closeness = |family: &&&Family| {
        let names = family.models.iter().filter(|name| begins(model, &[name]));
        names.map(|name| name.len()).max().unwrap_or_default()
    };
    // Of those that are as close the first, as where the body says nothing.
    let closest = FAMILIES.iter().rev().max_by_key(closeness)?;
    (closeness(&closest) > 0).then_some(closest.operation)
}

/// Does the id of a model, perhaps behind a region, or at the end of an ARN, begin with one of these?
fn begins(model: &str, prefixes: &[&str]) -> bool {
    let id = model.rsplit('/').next().unwrap_or_default();
    let behind_region = id.split_once('.').map_or("", |(_, rest)| rest);
    prefixes.iter().any(|prefix| id.starts_with(prefix) || behind_region.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        use OperationName::{Chat, Embeddings, TextCompletion};
        for (model, expected) in [
            ("amazon.titan-text-lite-v1", Some(TextCompletion)),
            ("amazon.titan-embed-text-v2:0", Some(Embeddings)),
            ("us.amazon.nova-lite-v1:0", Some(Chat)),
            ("amazon.nova-2-multimodal-embeddings-v1:0", Some(Embeddings)),
            ("cohere.embed-v4:0", Some(Embeddings)),
            ("eu.anthropic.claude-sonnet-4-6", Some(Chat)),
            ("does-not-exist", None),
        ] {
            assert_eq!(operation(model), expected, "{model}");
        }
    }

    #[test]
    fn families() {
        let profile =
            "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-3-7-sonnet-20250219-v1:0";
        let endpoint = "arn:aws:sagemaker:us-east-1:1:endpoint/endpoint-quick-start-idr7y";
        let cases: &[(&str, &str, Option<&Family>)] = &[
            ("anthropic.claude-v2", r#"{"anthropic_version":"x"}"#, Some(&anthropic::MESSAGES)),
            ("anthropic.claude-v2", r#"{"max_tokens_to_sample":1}"#, Some(&anthropic::TEXT)),
            (profile, "{}", Some(&anthropic::MESSAGES)),
            ("global.anthropic.claude-opus-4-5", "{}", Some(&anthropic::MESSAGES)),
            ("us.amazon.nova-lite-v1:0", "{}", Some(&nova::CHAT)),
            (
                "amazon.nova-2-multimodal-embeddings-v1:0",
                r#"{"singleEmbeddingParams":{}}"#,
                Some(&nova::EMBEDDINGS),
            ),
            ("amazon.titan-embed-text-v2:0", r#"{"inputText":""}"#, Some(&titan::EMBEDDINGS)),
            ("amazon.titan-text-lite-v1", r#"{"inputText":""}"#, Some(&titan::TEXT)),
            ("us.meta.llama4-maverick-17b-instruct-v1:0", r#"{"prompt":""}"#, Some(&llama::TEXT)),
            ("cohere.command-r-v1:0", r#"{"message":""}"#, Some(&cohere::CHAT)),
            ("cohere.command-text-v14", r#"{"prompt":""}"#, Some(&cohere::TEXT)),
            ("cohere.embed-v4:0", r#"{"texts":[]}"#, Some(&cohere::EMBEDDINGS)),
            ("mistral.mistral-7b-instruct-v0:2", r#"{"prompt":""}"#, Some(&mistral::TEXT)),
            ("mistral.mistral-large-2407-v1:0", r#"{"messages":[]}"#, Some(&openai::CHAT)),
            ("ai21.j2-mid-v1", r#"{"prompt":""}"#, Some(&ai21::TEXT)),
            ("ai21.jamba-1-5-large-v1:0", r#"{"messages":[]}"#, Some(&openai::CHAT)),
            ("us.deepseek.r1-v1:0", r#"{"prompt":""}"#, Some(&openai::COMPLETIONS)),
            ("deepseek.v3-v1:0", r#"{"messages":[]}"#, Some(&openai::CHAT)),
            ("minimax.minimax-m2", "{}", Some(&openai::CHAT)),
            (endpoint, r#"{"prompt":"","topP":1}"#, Some(&openai::COMPLETIONS)),
            (endpoint, r#"{"prompt":"","max_gen_len":1}"#, Some(&llama::TEXT)),
            (endpoint, r#"{"inputs":""}"#, None),
            (
                "arn:aws:bedrock:r:1:application-inference-profile/x",
                r#"{"type":"message_start"}"#,
                Some(&anthropic::MESSAGES),
            ),
            ("does-not-exist", "[]", None),
        ];
        for (model, body, expected) in cases {
            let found = of(model, Field::root(body.as_bytes()).unwrap());
            let same = match (found, expected) {
                (Some(found), Some(expected)) => std::ptr::eq(found, *expected),
                (found, expected) => found.is_none() && expected.is_none(),
            };
            assert!(same, "{model} {body}");
        }
    }

    #[test]
    fn other_things() {
        let cases = [
            ("stability.sd3-5-large-v1:0", true),
            ("us.amazon.nova-canvas-v1:0", true),
            ("cohere.rerank-v3-5:0", true),
            ("cohere.command-r-v1:0", false),
        ];
        for (model, expected) in cases {
            assert_eq!(makes_other_things(model), expected, "{model}");
        }
    }
}
