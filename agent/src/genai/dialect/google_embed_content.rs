//! Google's embeddings (<https://ai.google.dev/api/embeddings>): the Gemini API and Vertex AI, one content or a batch of them.

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        google::{error, path, usage::Counts},
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct GoogleEmbedContent;

const METHODS: [&str; 2] = ["embedContent", "batchEmbedContents"];

impl Dialect for GoogleEmbedContent {
    fn name(&self) -> &'static str {
        "google.embed_content"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::GcpGenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_mine = path::method(&head.path).is_some_and(|(_, method)| METHODS.contains(&method));
        if &*head.method == "POST" && is_mine { Claim::Yes } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Embed { model: path::model(&head.path) })
    }
}

struct Embed {
    /// The model of the path.
    model: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    /// A batch's.
    #[serde(borrow)]
    requests: Field<'a>,
    #[serde(borrow)]
    output_dimensionality: Field<'a>,
    /// Vertex AI's place of it.
    #[serde(borrow)]
    embed_content_config: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    embedding: Field<'a>,
    #[serde(borrow)]
    embeddings: Field<'a>,
    #[serde(borrow)]
    usage_metadata: Field<'a>,
}

/// All of a batch ask for the same, as far as its clients can tell.
fn dimensions(body: &Body<'_>, budget: &mut Budget) -> Option<i64> {
    let config: Body<'_> = body.embed_content_config.object(budget).unwrap_or_default();
    let mut found = body.output_dimensionality.or(config.output_dimensionality).count(budget);
    if body.requests.is_some() {
        body.requests.each(budget, |item, budget| {
            if found.is_none()
                && let Some(request) = item.object::<Body<'_>>(budget)
            {
                found = request.output_dimensionality.count(budget);
            }
        });
    }
    found
}

impl Fold for Embed {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.dimensions = dimensions(&body, budget);
        Ok(true)
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
        if answer.embedding.kind() != Kind::Object && answer.embeddings.kind() != Kind::Array {
            return Err(Malformed);
        }
        if answer.usage_metadata.is_some() {
            let mut counts = Counts::default();
            counts.update(answer.usage_metadata, budget);
            call.usage = counts.usage();
        }
        Ok(())
    }

    /// What the path says stands also where the body was missed.
    fn finish(&mut self, _: Ending, _: bool, call: &mut Call, _: &mut Budget) {
        call.request.model = self.model.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genai::tests::harness::{Exchange, head};

    fn exchange(host: &str, path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, path)).request(body)
    }

    #[test]
    fn calls() {
        let gemini = "generativelanguage.googleapis.com";
        let vertex = "us-central1-aiplatform.googleapis.com";
        let batch = r#"{"requests":[{"content":{"parts":[{"text":"a"}]},"model":"models/e","outputDimensionality":128},{}]}"#;
        let one = r#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":64}"#;
        let nested = r#"{"content":{},"embedContentConfig":{"outputDimensionality":32}}"#;
        let counted = r#""usageMetadata":{"promptTokenCount":7,"promptTokenDetails":[{"modality":"TEXT","tokenCount":7}]}}"#;
        let many = format!(r#"{{"embeddings":[{{"values":[0.1]}}],{counted}"#);
        let single = format!(r#"{{"embedding":{{"values":[0.1]}},{counted}"#);
        for (host, path, body, answer, provider, dimensions, input) in [
            (
                gemini,
                "/v1beta/models/e%2D2:batchEmbedContents",
                batch,
                &*many,
                Provider::GcpGemini,
                128,
                Some(7),
            ),
            (gemini, "/v1beta/models/e-2:embedContent", one, &*single, Provider::GcpGemini, 64, Some(7)),
            (
                vertex,
                "/v1/projects/p/locations/l/publishers/google/models/e-2:embedContent",
                nested,
                r#"{"embedding":{"values":[]}}"#,
                Provider::GcpVertexAi,
                32,
                None,
            ),
        ] {
            let call = exchange(host, path, body).json(200, answer).call();
            assert_eq!((call.dialect, call.operation), ("google.embed_content", OperationName::Embeddings));
            assert_eq!((call.provider, call.request.model.as_deref()), (provider, Some("e-2")), "{path}");
            assert_eq!((call.request.dimensions, call.usage.input), (Some(dimensions), input), "{path}");
            assert!(call.error.is_none() && !call.damage.response_malformed, "{path}");
        }
    }

    #[test]
    fn errors() {
        let error = r#"{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}"#;
        let call = exchange("gateway.example", "/v1/models/x:embedContent", "{}").json(404, error).call();
        assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("NOT_FOUND"));
        assert_eq!((call.provider, call.request.model.as_deref()), (Provider::GcpGenAi, Some("x")));
        let call = exchange("gateway.example", "/v1/models/x:embedContent", "{}").json(200, "{}").call();
        assert!(call.damage.response_malformed);
    }
}
