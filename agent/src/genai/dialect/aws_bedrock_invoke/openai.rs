//! Models whose bodies are those of OpenAI's APIs: OpenAI's own open ones, those of many others, and endpoints of SageMaker.

use super::{
    super::{openai_chat, openai_completions},
    family::Family,
};
use crate::genai::call::OperationName;

pub(super) static CHAT: Family = Family {
    models: &[
        "openai.",
        "qwen.",
        "minimax.",
        "moonshot.",
        "moonshotai.",
        "zai.",
        "google.",
        "nvidia.",
        "writer.",
        "ai21.",
        "mistral.",
        "deepseek.",
    ],
    members: &["messages", "choices"],
    operation: OperationName::Chat,
    open: || Box::new(openai_chat::Chat::of(None)),
};

pub(super) static COMPLETIONS: Family = Family {
    models: &["deepseek."],
    members: &["prompt"],
    operation: OperationName::TextCompletion,
    open: openai_completions::fold,
};
