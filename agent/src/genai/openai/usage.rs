//! Token usage in the form of Chat Completions.

use serde::Deserialize;

use super::super::{budget::Budget, call::Usage, field::Field};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    #[serde(borrow)]
    prompt_tokens: Field<'a>,
    #[serde(borrow)]
    completion_tokens: Field<'a>,
    #[serde(borrow)]
    total_tokens: Field<'a>,
    #[serde(borrow)]
    prompt_tokens_details: Field<'a>,
    #[serde(borrow)]
    completion_tokens_details: Field<'a>,
    /// DeepSeek.
    #[serde(borrow)]
    prompt_cache_hit_tokens: Field<'a>,
    /// Moonshot, Together.
    #[serde(borrow)]
    cached_tokens: Field<'a>,
    /// Mistral.
    #[serde(borrow)]
    num_cached_tokens: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details<'a> {
    #[serde(rename = "cached_tokens", borrow)]
    cached: Field<'a>,
    /// OpenRouter.
    #[serde(rename = "cache_write_tokens", borrow)]
    cache_write: Field<'a>,
    #[serde(rename = "reasoning_tokens", borrow)]
    reasoning: Field<'a>,
    #[serde(rename = "audio_tokens", borrow)]
    audio: Field<'a>,
}

/// A `usage` object. Cached tokens are within `prompt_tokens`.
pub(in crate::genai) fn read(field: Field<'_>, budget: &mut Budget) -> Option<Usage> {
    let counts: Counts<'_> = field.object(budget)?;
    let input: Details<'_> = counts.prompt_tokens_details.object(budget).unwrap_or_default();
    let output: Details<'_> = counts.completion_tokens_details.object(budget).unwrap_or_default();
    let cached =
        input.cached.or(counts.prompt_cache_hit_tokens).or(counts.cached_tokens).or(counts.num_cached_tokens);
    let mut usage = Usage {
        input: counts.prompt_tokens.count(budget),
        output: counts.completion_tokens.count(budget),
        cache_read: cached.count(budget),
        cache_write: input.cache_write.count(budget),
        reasoning: output.reasoning.count(budget),
        audio_input: input.audio.count(budget),
        audio_output: output.audio.count(budget),
        partial: false,
    };
    // xAI counts reasoning beside `completion_tokens`, OpenAI within. The total says which it is.
    if let (Some(input), Some(output), Some(reasoning)) = (usage.input, usage.output, usage.reasoning)
        && let Some(with_reasoning) = output.checked_add(reasoning)
        && reasoning > 0
        && counts.total_tokens.count(budget) == input.checked_add(with_reasoning)
    {
        usage.output = Some(with_reasoning);
    }
    Some(usage)
}

/// The input of what has no output, which some tell as the total alone (Voyage AI).
pub(in crate::genai) fn of_input(field: Field<'_>, budget: &mut Budget) -> Option<Usage> {
    let total = field.object::<Counts<'_>>(budget)?.total_tokens.count(budget);
    // Nothing is generated, though some say so: `completion_tokens` is 0 at best.
    read(field, budget).map(|usage| Usage { input: usage.input.or(total), output: None, ..usage })
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    #[test]
    fn usages_of_input() {
        let cases = [
            (r#"{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}"#, Some(8)),
            (r#"{"prompt_tokens":7,"total_tokens":8}"#, Some(7)),
            (r#"{"total_tokens":8}"#, Some(8)),
            ("{}", None),
        ];
        for (json, input) in cases {
            let found = of_input(Field::root(json.as_bytes()).unwrap(), &mut budget());
            assert_eq!(found, Some(Usage { input, ..Usage::default() }), "{json}");
        }
    }

    #[test]
    fn usages() {
        let base = Usage { input: Some(10), output: Some(5), ..Usage::default() };
        let cases = [
            (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#, Some(base)),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,
                    "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1,"cache_write_tokens":2},
                    "completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":2}}"#,
                Some(Usage {
                    cache_read: Some(4),
                    cache_write: Some(2),
                    reasoning: Some(3),
                    audio_input: Some(1),
                    audio_output: Some(2),
                    ..base
                }),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":18,"completion_tokens_details":{"reasoning_tokens":3}}"#,
                Some(Usage { output: Some(8), reasoning: Some(3), ..base }),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":7}"#,
                Some(Usage { cache_read: Some(7), ..base }),
            ),
            (r#"{"prompt_tokens":"10","completion_tokens":5}"#, Some(Usage { input: None, ..base })),
            (r#"{"prompt_tokens":10,"completion_tokens":-5}"#, Some(Usage { output: None, ..base })),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null}"#, Some(base)),
            (
                r#"{"prompt_tokens":9223372036854775807,"completion_tokens":9223372036854775807,"completion_tokens_details":{"reasoning_tokens":9}}"#,
                Some(Usage { input: Some(i64::MAX), output: Some(i64::MAX), reasoning: Some(9), ..base }),
            ),
            ("null", None),
            ("[1,2]", None),
        ];
        for (json, expected) in cases {
            assert_eq!(read(Field::root(json.as_bytes()).unwrap(), &mut budget()), expected, "{json}");
        }
    }
}
