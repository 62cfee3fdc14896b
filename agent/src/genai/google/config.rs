//! Parameters of a generation (`GenerationConfig`).

use serde::Deserialize;

use super::super::{
    budget::Budget,
    call::{OutputType, Request},
    field::{Field, Kind},
    text,
};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(alias = "top_p", borrow)]
    top_p: Field<'a>,
    #[serde(alias = "top_k", borrow)]
    top_k: Field<'a>,
    #[serde(alias = "candidate_count", borrow)]
    candidate_count: Field<'a>,
    #[serde(alias = "max_output_tokens", borrow)]
    max_output_tokens: Field<'a>,
    #[serde(alias = "stop_sequences", borrow)]
    stop_sequences: Field<'a>,
    #[serde(alias = "presence_penalty", borrow)]
    presence_penalty: Field<'a>,
    #[serde(alias = "frequency_penalty", borrow)]
    frequency_penalty: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
    #[serde(alias = "response_mime_type", borrow)]
    response_mime_type: Field<'a>,
    #[serde(alias = "response_modalities", borrow)]
    response_modalities: Field<'a>,
    #[serde(alias = "thinking_config", borrow)]
    thinking_config: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Thinking<'a> {
    #[serde(alias = "thinking_level", borrow)]
    thinking_level: Field<'a>,
}

/// Reads a `generationConfig` into the request.
pub(in crate::genai) fn read(field: Field<'_>, request: &mut Request, budget: &mut Budget) {
    let Some(config) = field.object::<Parameters<'_>>(budget) else { return };
    request.temperature = config.temperature.number(budget);
    request.top_p = config.top_p.number(budget);
    request.top_k = config.top_k.integer(budget);
    request.choice_count = config.candidate_count.integer(budget);
    request.max_tokens = config.max_output_tokens.integer(budget);
    request.stop_sequences = text::stop_sequences(config.stop_sequences, budget);
    request.presence_penalty = config.presence_penalty.number(budget);
    request.frequency_penalty = config.frequency_penalty.number(budget);
    request.seed = config.seed.integer(budget);
    let thinking: Thinking<'_> = config.thinking_config.object(budget).unwrap_or_default();
    // The word of an enumeration, in upper case or lower.
    request.reasoning_level = thinking.thinking_level.label(budget).map(|level| level.to_lowercase());
    request.output_type = of_mime_type(config.response_mime_type, budget)
        .or_else(|| of_modalities(config.response_modalities, budget));
}

fn of_mime_type(field: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    match field.label(budget)?.as_str() {
        "application/json" => Some(OutputType::Json),
        "text/plain" | "text/x.enum" => Some(OutputType::Text),
        _ => {
            budget.unknown += 1;
            None
        }
    }
}

/// An answer may have text beside what was asked for.
fn of_modalities(field: Field<'_>, budget: &mut Budget) -> Option<OutputType> {
    let mut found = None;
    if field.is_some() {
        field.each(budget, |item, budget| {
            if item.kind() != Kind::Text {
                return;
            }
            let asked = item.label(budget).map(|word| word.to_ascii_uppercase());
            found = match asked.as_deref() {
                Some("AUDIO") => Some(OutputType::Speech),
                Some("IMAGE") => Some(OutputType::Image),
                Some("TEXT") => found.or(Some(OutputType::Text)),
                _ => found,
            };
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    fn request_of(json: &str) -> (Request, u64) {
        let (mut request, mut budget) = (Request::default(), budget());
        read(Field::root(json.as_bytes()).unwrap(), &mut request, &mut budget);
        (request, budget.unknown)
    }

    #[test]
    fn parameters_in_both_spellings() {
        for json in [
            r#"{"temperature":0.5,"topP":0.9,"topK":2.0,"candidateCount":2,"maxOutputTokens":9,"stopSequences":["x"],
            "presencePenalty":-1,"frequencyPenalty":1,"seed":7,"thinkingConfig":{"thinkingLevel":"LOW"}}"#,
            r#"{"temperature":0.5,"top_p":0.9,"top_k":2.0,"candidate_count":2,"max_output_tokens":9,"stop_sequences":["x"],
            "presence_penalty":-1,"frequency_penalty":1,"seed":7,"thinking_config":{"thinking_level":"low"}}"#,
        ] {
            let (request, unknown) = request_of(json);
            assert_eq!((request.temperature, request.top_p, unknown), (Some(0.5), Some(0.9), 0), "{json}");
            assert_eq!((request.top_k, request.choice_count), (Some(2), Some(2)), "{json}");
            assert_eq!((request.max_tokens, request.seed), (Some(9), Some(7)), "{json}");
            assert_eq!(
                (request.presence_penalty, request.frequency_penalty),
                (Some(-1.0), Some(1.0)),
                "{json}"
            );
            assert_eq!(request.stop_sequences, ["x"], "{json}");
            assert_eq!(request.reasoning_level.as_deref(), Some("low"), "{json}");
        }
    }

    #[test]
    fn output_types() {
        let cases = [
            ("{}", None, 0),
            (r#"{"responseMimeType":"application/json"}"#, Some(OutputType::Json), 0),
            (
                r#"{"responseMimeType":"application/json","responseModalities":["TEXT"]}"#,
                Some(OutputType::Json),
                0,
            ),
            (r#"{"responseModalities":["TEXT"]}"#, Some(OutputType::Text), 0),
            (r#"{"responseModalities":["TEXT","IMAGE"]}"#, Some(OutputType::Image), 0),
            (r#"{"responseModalities":["Audio","text"]}"#, Some(OutputType::Speech), 0),
            (r#"{"responseModalities":[]}"#, None, 0),
            (r#"{"responseMimeType":"text/new"}"#, None, 1),
        ];
        for (json, expected, unknown) in cases {
            let (request, counted) = request_of(json);
            assert_eq!((request.output_type, counted), (expected, unknown), "{json}");
        }
    }
}
