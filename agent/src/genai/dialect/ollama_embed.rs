//! Ollama's embeddings (<https://github.com/ollama/ollama/blob/main/docs/api.md#generate-embeddings>): `/api/embed`, and
//! the older `/api/embeddings` of one prompt.

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed, ollama};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::{Field, Kind},
        openai::error,
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct OllamaEmbed;

impl Dialect for OllamaEmbed {
    fn name(&self) -> &'static str {
        "ollama.embed"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::Ollama
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        match ollama::maybe(head, "/api/embed") {
            Claim::No => ollama::maybe(head, "/api/embeddings"),
            claim => claim,
        }
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Embed)
    }
}

struct Embed;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    /// The older one's.
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    dimensions: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    embeddings: Field<'a>,
    #[serde(borrow)]
    embedding: Field<'a>,
    #[serde(borrow)]
    prompt_eval_count: Field<'a>,
}

impl Fold for Embed {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.model = body.model.label(budget);
        call.request.dimensions = body.dimensions.count(budget);
        Ok(call.request.model.is_some() && body.input.or(body.prompt).is_some())
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.embeddings.or(answer.embedding).kind() != Kind::Array {
            return Err(Malformed);
        }
        call.response.model = answer.model.label(budget);
        call.usage.input = answer.prompt_eval_count.count(budget);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::tests::harness::{Exchange, head},
        wire::ExchangeEnd,
    };

    fn made(path: &str, body: &str, status: u16, answer: &str) -> Option<Call> {
        let exchange = Exchange::new(head("POST", "localhost:11434", path)).request(body);
        exchange.json(status, answer).run(ExchangeEnd::Complete)
    }

    #[test]
    fn calls() {
        let new = r#"{"model":"all-minilm","embeddings":[[0.1]],"total_duration":1,"prompt_eval_count":8}"#;
        let body = r#"{"model":"all-minilm","input":["a","b"],"dimensions":128}"#;
        let call = made("/api/embed", body, 200, new).unwrap();
        assert_eq!((call.dialect, call.provider), ("ollama.embed", Provider::Ollama));
        assert_eq!((call.operation, call.request.dimensions), (OperationName::Embeddings, Some(128)));
        assert_eq!((call.response.model.as_deref(), call.usage.input), (Some("all-minilm"), Some(8)));
        let body = r#"{"model":"all-minilm","prompt":"a"}"#;
        let call = made("/api/embeddings", body, 200, r#"{"embedding":[0.1]}"#).unwrap();
        assert_eq!((call.request.model.as_deref(), call.usage.input), (Some("all-minilm"), None));
        let call = made("/api/embed", body, 404, r#"{"error":"model \"x\" not found"}"#).unwrap();
        let error = call.error.unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_deref()), ("404", Some("model \"x\" not found")));
    }

    #[test]
    fn what_is_none() {
        assert!(made("/api/embed", r#"{"url":"https://x.example"}"#, 200, "{}").is_none());
        assert!(
            made("/api/embeddings", r#"{"model":"m","text":"a"}"#, 200, r#"{"embedding":[1]}"#).is_none()
        );
        // Others' below the same path have another form, and are told so.
        let call = made("/api/embeddings", r#"{"model":"m","input":"a"}"#, 200, r#"{"data":[]}"#).unwrap();
        assert_eq!(call.dialect, "openai.embeddings");
    }
}
