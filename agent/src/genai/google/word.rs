//! Words of enumerations, which some clients ask to have as numbers (`$alt=json;enum-encoding=int`).

use super::super::{
    budget::Budget,
    field::{Field, Kind},
};

/// `Candidate.FinishReason` of Vertex AI, by number
/// (<https://github.com/googleapis/googleapis/blob/master/google/cloud/aiplatform/v1/content.proto>).
pub(in crate::genai) const VERTEX_FINISH_REASONS: [&str; 10] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
];

/// The same of the Gemini API
/// (<https://github.com/googleapis/googleapis/blob/master/google/ai/generativelanguage/v1beta/generative_service.proto>).
pub(in crate::genai) const GEMINI_FINISH_REASONS: [&str; 11] = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
];

/// `PromptFeedback.BlockReason` of both.
pub(in crate::genai) const BLOCK_REASONS: [&str; 5] =
    ["BLOCK_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT"];

/// `Modality` of counted tokens, of both.
pub(in crate::genai) const MODALITIES: [&str; 6] =
    ["MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"];

/// The word of a field; a number that is new to us stays one.
pub(in crate::genai) fn read(field: Field<'_>, words: &[&str], budget: &mut Budget) -> Option<String> {
    if field.kind() != Kind::Number {
        return field.label(budget);
    }
    let number = field.integer(budget)?;
    let word = usize::try_from(number).ok().and_then(|at| words.get(at));
    Some(word.map_or_else(|| number.to_string(), |word| (*word).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{super::super::budget::tests::budget, *};

    #[test]
    fn words() {
        let cases = [
            (r#""STOP""#, Some("STOP")),
            ("1", Some("STOP")),
            ("6", Some("BLOCKLIST")),
            ("99", Some("99")),
            ("-1", Some("-1")),
            ("null", None),
            ("true", None),
        ];
        for (json, expected) in cases {
            let field = Field::root(json.as_bytes()).unwrap();
            assert_eq!(read(field, &VERTEX_FINISH_REASONS, &mut budget()).as_deref(), expected, "{json}");
        }
    }
}
