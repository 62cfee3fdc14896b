//! Finish reasons: the contract's words for the providers' own.

use super::{
    budget::Budget,
    call::{FinishReason, Generation},
};

/// Provider words in lower case, by what they mean. Case is no distinction: `STOP` is Gemini's `stop`.
const WORDS: &[(FinishReason, &[&str])] = &[
    (
        FinishReason::Stop,
        &[
            "stop",
            "end_turn",
            "stop_sequence",
            "stop_criteria_met",
            "complete",
            "eos",
            "eos_token",
            "finish",
            "endoftext",
        ],
    ),
    (
        FinishReason::Length,
        &[
            "length",
            "max_tokens",
            "model_length",
            "model_context_window_exceeded",
            "max_output_tokens",
            "error_limit",
            "token_limit",
        ],
    ),
    (FinishReason::ToolCall, &["tool_calls", "function_call", "tool_use", "tool_call"]),
    (
        FinishReason::ContentFilter,
        &[
            "content_filter",
            "content_filtered",
            "guardrail_intervened",
            "refusal",
            "safety",
            "recitation",
            "language",
            "blocklist",
            "prohibited_content",
            "spii",
            "image_safety",
            "image_prohibited_content",
            "image_recitation",
            "model_armor",
            "error_toxic",
        ],
    ),
    (FinishReason::Pause, &["pause_turn"]),
    (FinishReason::Compaction, &["compaction"]),
    (
        FinishReason::Error,
        &[
            "error",
            "malformed_function_call",
            "malformed_response",
            "malformed_model_output",
            "malformed_tool_use",
            "missing_thought_signature",
            "unexpected_tool_call",
            "too_many_tool_calls",
            "no_image",
            "image_other",
            "other",
            "unspecified",
            "finish_reason_unspecified",
            // Cohere's and watsonx's.
            "timeout",
            "time_limit",
            "user_cancel",
            "cancelled",
        ],
    ),
];

/// The contract's word; one that is new to us passes in lower case and is counted.
pub(super) fn normalise(word: &str, budget: &mut Budget) -> FinishReason {
    let lower = word.to_lowercase();
    let known = WORDS.iter().find(|(_, words)| words.contains(&lower.as_str()));
    known.map_or_else(
        || {
            budget.unknown += 1;
            FinishReason::Other(lower.into())
        },
        |(reason, _)| reason.clone(),
    )
}

/// How far the end of an answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The answer arrived to its end.
    Whole,
    /// It broke off before its end.
    Broken,
    /// Bytes are missing, or the capture ended first: what the wire said last is not known.
    Unknown,
}

impl Generation {
    /// Sets the finish reason from the provider's word; a choice without one in an answer that broke off is
    /// an error, as the conventions ask for.
    pub(super) fn finish(&mut self, word: Option<String>, ending: Ending, budget: &mut Budget) {
        self.finish_reason = match &word {
            Some(word) => Some(normalise(word, budget)),
            None => (ending == Ending::Broken).then_some(FinishReason::Error),
        };
        self.provider_finish_reason = word;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::budget::tests::budget, *};

    #[test]
    fn words() {
        let cases = [
            ("stop", FinishReason::Stop),
            ("COMPLETE", FinishReason::Stop),
            ("max_tokens", FinishReason::Length),
            ("tool_calls", FinishReason::ToolCall),
            ("refusal", FinishReason::ContentFilter),
            ("guardrail_intervened", FinishReason::ContentFilter),
            ("malformed_tool_use", FinishReason::Error),
            ("pause_turn", FinishReason::Pause),
            ("compaction", FinishReason::Compaction),
            ("MALFORMED_FUNCTION_CALL", FinishReason::Error),
        ];
        for (word, expected) in cases {
            let mut budget = budget();
            assert_eq!(normalise(word, &mut budget), expected, "{word}");
            assert_eq!(budget.unknown, 0, "{word}");
        }
        let mut budget = budget();
        assert_eq!(normalise("Brand_New", &mut budget), FinishReason::Other("brand_new".into()));
        assert_eq!(budget.unknown, 1);
    }

    #[test]
    fn every_word_is_listed_once_in_lower_case() {
        let mut words: Vec<_> = WORDS.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        assert!(words.iter().all(|word| word.to_lowercase() == *word));
        let total = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), total);
    }
}
