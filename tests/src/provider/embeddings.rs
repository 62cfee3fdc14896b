//! Embeddings of OpenAI (platform.openai.com/docs/api-reference/embeddings) and of Gemini (ai.google.dev/api/embeddings).

use serde_json::{Value, json};

use super::{
    answer::{Answer, usage},
    openai,
    record::Facts,
    script::Script,
};

/// Answers `POST /v1/embeddings`.
pub fn openai(number: u64, authorized: bool, body: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    match request["model"].as_str() {
        None => openai::error(400, "you must provide a model parameter"),
        Some(_) if !authorized => openai::error(401, "You didn't provide an API key."),
        Some(model) => {
            let input = usage(number, &Script::default(), 0).input;
            // Base64 of the bytes of 0.25 and -0.5, as the SDK asks for it.
            let embedding = if request["encoding_format"] == "base64" {
                json!("AACAPgAAAL8=")
            } else {
                json!([0.25, -0.5])
            };
            let body = json!({
                "object": "list", "data": [{"object": "embedding", "index": 0, "embedding": embedding}],
                "model": model, "usage": {"prompt_tokens": input, "total_tokens": input},
            });
            Answer::json(200, &body, Facts { model: Some(model.to_owned()), ..Facts::default() })
        }
    }
}

/// Answers `POST /v1beta/models/MODEL:batchEmbedContents`.
pub fn google(number: u64) -> Answer {
    let input = usage(number, &Script::default(), 0).input;
    let body =
        json!({"embeddings": [{"values": [0.25, -0.5]}], "usageMetadata": {"promptTokenCount": input}});
    Answer::json(200, &body, Facts::default())
}
