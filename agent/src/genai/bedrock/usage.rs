//! Tokens, as Bedrock counts them: cached ones beside the input.

use serde::Deserialize;

use super::super::{budget::Budget, call::Usage, field::Field};
use crate::wire::Headers;

/// Counts that are still apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::genai) struct Counts {
    input: Option<i64>,
    output: Option<i64>,
    cache_read: Option<i64>,
    cache_write: Option<i64>,
}

/// `usage` of Converse and of Nova, whose names for what was cached differ.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    input_tokens: Field<'a>,
    #[serde(borrow)]
    output_tokens: Field<'a>,
    #[serde(borrow)]
    cache_read_input_tokens: Field<'a>,
    #[serde(borrow)]
    cache_write_input_tokens: Field<'a>,
    #[serde(borrow)]
    cache_read_input_token_count: Field<'a>,
    #[serde(borrow)]
    cache_write_input_token_count: Field<'a>,
}

/// `amazon-bedrock-invocationMetrics`, in the last chunk of a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics<'a> {
    #[serde(rename = "inputTokenCount", borrow)]
    input: Field<'a>,
    #[serde(rename = "outputTokenCount", borrow)]
    output: Field<'a>,
    #[serde(rename = "cacheReadInputTokenCount", borrow)]
    cache_read: Field<'a>,
    #[serde(rename = "cacheWriteInputTokenCount", borrow)]
    cache_write: Field<'a>,
}

impl Counts {
    /// `usage` of a body.
    pub(in crate::genai) fn of_body(usage: Field<'_>, budget: &mut Budget) -> Option<Self> {
        let wire: Wire<'_> = usage.object(budget)?;
        Some(Self {
            input: wire.input_tokens.count(budget),
            output: wire.output_tokens.count(budget),
            cache_read: wire.cache_read_input_tokens.or(wire.cache_read_input_token_count).count(budget),
            cache_write: wire.cache_write_input_tokens.or(wire.cache_write_input_token_count).count(budget),
        })
    }

    /// What InvokeModel adds to the last chunk of a stream.
    pub(in crate::genai) fn of_metrics(metrics: Field<'_>, budget: &mut Budget) -> Option<Self> {
        let wire: Metrics<'_> = metrics.object(budget)?;
        Some(Self {
            input: wire.input.count(budget),
            output: wire.output.count(budget),
            cache_read: wire.cache_read.count(budget),
            cache_write: wire.cache_write.count(budget),
        })
    }

    /// What InvokeModel says in the head of a whole answer.
    pub(in crate::genai) fn of_head(headers: &Headers) -> Self {
        let count = |name: &str| {
            let count = headers.get(&format!("x-amzn-bedrock-{name}-token-count"))?.trim().parse().ok()?;
            (count >= 0).then_some(count)
        };
        Self {
            input: count("input"),
            output: count("output"),
            cache_read: count("cache-read-input"),
            cache_write: count("cache-write-input"),
        }
    }

    /// The same with cached tokens in the input.
    pub(in crate::genai) fn usage(self) -> Usage {
        let cached = self.cache_read.unwrap_or(0).checked_add(self.cache_write.unwrap_or(0));
        Usage {
            input: self.input.and_then(|input| input.checked_add(cached?)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            ..Usage::default()
        }
    }

    /// Adds to a usage what its body did not say.
    pub(in crate::genai) fn complete(self, usage: &mut Usage) {
        let counted = self.usage();
        // A body that has the same count of the input and says nothing of cached tokens leaves them out.
        let apart = usage.input == self.input && usage.cache_read.or(usage.cache_write).is_none();
        if usage.input.is_none() || apart {
            usage.input = counted.input;
            usage.cache_read = usage.cache_read.or(counted.cache_read);
            usage.cache_write = usage.cache_write.or(counted.cache_write);
        }
        usage.output = usage.output.or(counted.output);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{budget::tests::budget, tests::harness::headers},
        *,
    };

    fn usage(input: Option<i64>, output: Option<i64>, read: Option<i64>, write: Option<i64>) -> Usage {
        Usage { input, output, cache_read: read, cache_write: write, ..Usage::default() }
    }

    #[test]
    fn bodies() {
        let cases = [
            (r#"{"inputTokens":3,"outputTokens":2,"totalTokens":5}"#, usage(Some(3), Some(2), None, None)),
            (
                r#"{"inputTokens":3,"cacheReadInputTokens":10,"cacheWriteInputTokens":20,"cacheReadInputTokenCount":10}"#,
                usage(Some(33), None, Some(10), Some(20)),
            ),
            (r#"{"inputTokens":3,"cacheReadInputTokenCount":1}"#, usage(Some(4), None, Some(1), None)),
            (r#"{"outputTokens":2.0,"cacheWriteInputTokenCount":1}"#, usage(None, Some(2), None, Some(1))),
            (
                r#"{"inputTokens":9223372036854775807,"cacheReadInputTokens":1}"#,
                usage(None, None, Some(1), None),
            ),
            (r#"{"inputTokens":-1}"#, Usage::default()),
        ];
        for (json, expected) in cases {
            let field = Field::root(json.as_bytes()).unwrap();
            assert_eq!(Counts::of_body(field, &mut budget()).unwrap().usage(), expected, "{json}");
        }
    }

    #[test]
    fn heads_and_metrics() {
        let head = headers(&[
            ("x-amzn-bedrock-input-token-count", "4"),
            ("x-amzn-bedrock-output-token-count", " 50 "),
            ("x-amzn-bedrock-cache-read-input-token-count", "18131"),
            ("x-amzn-bedrock-cache-write-input-token-count", "-1"),
        ]);
        let counts = Counts::of_head(&head);
        assert_eq!(counts.usage(), usage(Some(18135), Some(50), Some(18131), None));
        let odd = headers(&[("x-amzn-bedrock-input-token-count", "many")]);
        assert_eq!(Counts::of_head(&odd), Counts::default());
        let metrics = r#"{"inputTokenCount":4,"outputTokenCount":50,"cacheReadInputTokenCount":18131,"firstByteLatency":1}"#;
        let field = Field::root(metrics.as_bytes()).unwrap();
        assert_eq!(Counts::of_metrics(field, &mut budget()), Some(counts));
    }

    #[test]
    fn only_what_the_body_does_not_say_is_completed() {
        let told = Counts { input: Some(4), output: Some(5), cache_read: Some(6), cache_write: None };
        let cases = [
            (Usage::default(), usage(Some(10), Some(5), Some(6), None)),
            (usage(Some(30), None, None, None), usage(Some(30), Some(5), None, None)),
            (usage(Some(4), None, None, None), usage(Some(10), Some(5), Some(6), None)),
            (usage(Some(4), None, None, Some(0)), usage(Some(4), Some(5), None, Some(0))),
            (usage(Some(1), Some(2), Some(3), None), usage(Some(1), Some(2), Some(3), None)),
        ];
        for (mut found, expected) in cases {
            told.complete(&mut found);
            assert_eq!(found, expected);
        }
    }
}
