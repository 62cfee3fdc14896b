//! Tokens (`UsageMetadata`).

use serde::Deserialize;

use super::{
    super::{budget::Budget, call::Usage, field::Field},
    word,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    prompt_token_count: Field<'a>,
    #[serde(borrow)]
    cached_content_token_count: Field<'a>,
    #[serde(borrow)]
    candidates_token_count: Field<'a>,
    /// What Live calls the candidates' tokens.
    #[serde(borrow)]
    response_token_count: Field<'a>,
    #[serde(borrow)]
    thoughts_token_count: Field<'a>,
    #[serde(borrow)]
    tool_use_prompt_token_count: Field<'a>,
    #[serde(borrow)]
    prompt_tokens_details: Field<'a>,
    #[serde(borrow)]
    candidates_tokens_details: Field<'a>,
    #[serde(borrow)]
    response_tokens_details: Field<'a>,
    #[serde(borrow)]
    tool_use_prompt_tokens_details: Field<'a>,
    #[serde(borrow)]
    service_tier: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail<'a> {
    #[serde(borrow)]
    modality: Field<'a>,
    #[serde(borrow)]
    token_count: Field<'a>,
}

/// The counts so far: each answer repeats them, grown.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::genai) struct Counts {
    prompt: Option<i64>,
    cached: Option<i64>,
    candidates: Option<i64>,
    thoughts: Option<i64>,
    tool_use: Option<i64>,
    prompt_audio: Option<i64>,
    tool_use_audio: Option<i64>,
    candidates_audio: Option<i64>,
}

impl Counts {
    /// Takes newer counts; gives the service tier that stands among them.
    pub(in crate::genai) fn update(&mut self, metadata: Field<'_>, budget: &mut Budget) -> Option<String> {
        let new: Metadata<'_> = metadata.object(budget)?;
        let counts = [
            (&mut self.prompt, new.prompt_token_count),
            (&mut self.cached, new.cached_content_token_count),
            (&mut self.candidates, new.candidates_token_count.or(new.response_token_count)),
            (&mut self.thoughts, new.thoughts_token_count),
            (&mut self.tool_use, new.tool_use_prompt_token_count),
        ];
        for (slot, field) in counts {
            *slot = field.count(budget).or(*slot);
        }
        let details = [
            (&mut self.prompt_audio, new.prompt_tokens_details),
            (&mut self.tool_use_audio, new.tool_use_prompt_tokens_details),
            (&mut self.candidates_audio, new.candidates_tokens_details.or(new.response_tokens_details)),
        ];
        for (slot, field) in details {
            *slot = audio(field, budget).or(*slot);
        }
        new.service_tier.label(budget)
    }

    /// Cached tokens are within those of the prompt; thoughts, and what tools brought in, are counted apart.
    pub(in crate::genai) fn usage(self) -> Usage {
        Usage {
            input: sum(self.prompt, self.tool_use),
            output: sum(self.candidates, self.thoughts),
            cache_read: self.cached,
            reasoning: self.thoughts,
            audio_input: sum(self.prompt_audio, self.tool_use_audio),
            audio_output: self.candidates_audio,
            ..Usage::default()
        }
    }
}

fn sum(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    }
}

/// The tokens that were audio.
fn audio(details: Field<'_>, budget: &mut Budget) -> Option<i64> {
    let mut found = None;
    if details.is_some() {
        details.each(budget, |item, budget| {
            let Some(detail) = item.object::<Detail<'_>>(budget) else { return };
            if word::read(detail.modality, &word::MODALITIES, budget).as_deref() == Some("AUDIO") {
                found = sum(found, detail.token_count.count(budget));
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    fn usage_of(list: &[&str]) -> Usage {
        let (mut counts, mut budget) = (Counts::default(), budget());
        for json in list {
            counts.update(Field::root(json.as_bytes()).unwrap(), &mut budget);
        }
        assert_eq!(budget.unknown, 0, "{list:?}");
        counts.usage()
    }

    #[test]
    fn usages() {
        let none = Usage::default();
        let cases = [
            (vec!["{}"], none),
            (
                vec![r#"{"promptTokenCount":9,"candidatesTokenCount":4,"totalTokenCount":13}"#],
                Usage { input: Some(9), output: Some(4), ..none },
            ),
            (
                vec![
                    r#"{"promptTokenCount":9,"cachedContentTokenCount":5,"candidatesTokenCount":4,"thoughtsTokenCount":3,
                    "toolUsePromptTokenCount":2,"promptTokensDetails":[{"modality":"TEXT","tokenCount":2},
                    {"modality":"AUDIO","tokenCount":7}],"toolUsePromptTokensDetails":[{"modality":"AUDIO","tokenCount":1}],
                    "candidatesTokensDetails":[{"modality":4,"tokenCount":6}]}"#,
                ],
                Usage {
                    input: Some(11),
                    output: Some(7),
                    cache_read: Some(5),
                    reasoning: Some(3),
                    audio_input: Some(8),
                    audio_output: Some(6),
                    ..none
                },
            ),
            // All thought, no answer.
            (
                vec![r#"{"promptTokenCount":9,"thoughtsTokenCount":3}"#],
                Usage { input: Some(9), output: Some(3), reasoning: Some(3), ..none },
            ),
            // The last word counts, but what it leaves out stays.
            (
                vec![r#"{"promptTokenCount":9,"candidatesTokenCount":1}"#, r#"{"candidatesTokenCount":4}"#],
                Usage { input: Some(9), output: Some(4), ..none },
            ),
            (
                vec![
                    r#"{"promptTokenCount":9,"responseTokenCount":4,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":4}]}"#,
                ],
                Usage { input: Some(9), output: Some(4), audio_output: Some(4), ..none },
            ),
        ];
        for (list, expected) in cases {
            assert_eq!(usage_of(&list), expected, "{list:?}");
        }
    }
}
