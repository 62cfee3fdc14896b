//! Vertex AI's `predict` on Google's own models: embeddings
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>) and images
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api>). What is asked for tells which.

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Message, OperationName, OutputType, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        google::{error, path},
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct VertexPredict;

impl Dialect for VertexPredict {
    fn name(&self) -> &'static str {
        "vertex.predict"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::GcpVertexAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        match path::published(&head.path, "google") {
            // Models of other kinds are called so as well: the body tells.
            Some((_, "predict")) if &*head.method == "POST" => Claim::Maybe,
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Predict { model: path::model(&head.path) })
    }
}

struct Predict {
    /// The model of the path.
    model: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    instances: Field<'a>,
    #[serde(borrow)]
    parameters: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Instance<'a> {
    /// A text that is embedded.
    #[serde(borrow)]
    content: Field<'a>,
    /// What a multimodal model embeds.
    #[serde(borrow)]
    text: Field<'a>,
    #[serde(borrow)]
    image: Field<'a>,
    #[serde(borrow)]
    video: Field<'a>,
    /// Of an image that is made.
    #[serde(borrow)]
    prompt: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow)]
    output_dimensionality: Field<'a>,
    /// The older models' name of it.
    #[serde(borrow)]
    dimension: Field<'a>,
    #[serde(borrow)]
    sample_count: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    predictions: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Prediction<'a> {
    #[serde(borrow)]
    embeddings: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Embedding<'a> {
    #[serde(borrow)]
    statistics: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Statistics<'a> {
    #[serde(borrow)]
    token_count: Field<'a>,
}

impl Fold for Predict {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        if body.instances.kind() != Kind::Array {
            return Ok(false);
        }
        let (mut embeds, mut paints) = (false, false);
        body.instances.each(budget, |item, budget| {
            if item.kind() != Kind::Object {
                return;
            }
            let instance: Instance<'_> = item.object(budget).unwrap_or_default();
            if instance.prompt.kind() == Kind::Text {
                paints = true;
                if budget.item()
                    && let Some(text) = instance.prompt.content(budget)
                {
                    let parts = vec![Part::Text(text)];
                    call.request.messages.push(Message { role: "user".to_owned(), name: None, parts });
                }
            } else {
                let embedded = [instance.content, instance.text, instance.image, instance.video];
                embeds |= embedded.iter().any(|field| field.is_some());
            }
        });
        let parameters: Parameters<'_> = body.parameters.object(budget).unwrap_or_default();
        call.request.dimensions = parameters.output_dimensionality.or(parameters.dimension).count(budget);
        if paints {
            call.operation = OperationName::ImageGeneration;
            call.request.output_type = Some(OutputType::Image);
            call.request.choice_count = parameters.sample_count.integer(budget);
            call.request.seed = parameters.seed.integer(budget);
        }
        Ok(embeds || paints)
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
        // Without its request, a prediction may be one of anything.
        let mut embedded = call.operation == OperationName::ImageGeneration;
        let mut tokens = None;
        answer.predictions.each(budget, |item, budget| {
            if item.kind() != Kind::Object {
                return;
            }
            let prediction: Prediction<'_> = item.object(budget).unwrap_or_default();
            embedded |= prediction.embeddings.is_some() || item.json().contains("Embedding\"");
            let Some(embedding) = prediction.embeddings.object::<Embedding<'_>>(budget) else { return };
            let statistics: Statistics<'_> = embedding.statistics.object(budget).unwrap_or_default();
            if let Some(count) = statistics.token_count.count(budget) {
                tokens = Some(tokens.unwrap_or(0i64).saturating_add(count));
            }
        });
        call.usage.input = tokens;
        if embedded { Ok(()) } else { Err(Malformed) }
    }

    /// What the path says stands also where the body was missed.
    fn finish(&mut self, _: Ending, _: bool, call: &mut Call, _: &mut Budget) {
        call.request.model = self.model.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::tests::harness::{Exchange, head},
        wire::ExchangeEnd,
    };

    fn made(body: &str, status: u16, answer: &str) -> Option<Call> {
        let path = "/v1/projects/p/locations/l/publishers/google/models/m-1:predict";
        let exchange =
            Exchange::new(head("POST", "us-central1-aiplatform.googleapis.com", path)).request(body);
        exchange.json(status, answer).run(ExchangeEnd::Complete)
    }

    #[test]
    fn embeddings() {
        let body = r#"{"instances":[{"content":"a","task_type":"RETRIEVAL_QUERY"},{"content":"b"}],"parameters":{"outputDimensionality":256}}"#;
        let answer = r#"{"predictions":[{"embeddings":{"values":[0.1],"statistics":{"token_count":3,"truncated":false}}},
            {"embeddings":{"values":[0.1],"statistics":{"token_count":4.0}}}],"metadata":{"billableCharacterCount":9}}"#;
        let call = made(body, 200, answer).unwrap();
        assert_eq!((call.dialect, call.provider), ("vertex.predict", Provider::GcpVertexAi));
        assert_eq!((call.operation, call.request.model.as_deref()), (OperationName::Embeddings, Some("m-1")));
        assert_eq!((call.request.dimensions, call.usage.input), (Some(256), Some(7)));
        let body = r#"{"instances":[{"image":{"bytesBase64Encoded":"AA"}}],"parameters":{"dimension":128}}"#;
        let call = made(body, 200, r#"{"predictions":[{"imageEmbedding":[0.1]}]}"#).unwrap();
        assert_eq!((call.request.dimensions, call.damage.response_malformed), (Some(128), false));
    }

    #[test]
    fn images() {
        let body = r#"{"instances":[{"prompt":"a cat"}],"parameters":{"sampleCount":2,"seed":5}}"#;
        let call = made(body, 200, r#"{"predictions":[{"bytesBase64Encoded":"AA","mimeType":"image/png"}]}"#);
        let call = call.unwrap();
        assert_eq!(call.operation, OperationName::ImageGeneration);
        assert_eq!(call.request.output_type, Some(OutputType::Image));
        assert_eq!((call.request.choice_count, call.request.seed), (Some(2), Some(5)));
        assert_eq!((call.request.messages.len(), call.damage.response_malformed), (1, false));
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}"#;
        let call = made(r#"{"instances":[{"content":"a"}]}"#, 400, error).unwrap();
        assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("INVALID_ARGUMENT"));
        for body in [r#"{"instances":[[1,2],[3,4]]}"#, r#"{"instances":[{"age":7}]}"#, "{}", "no JSON"] {
            assert!(made(body, 200, r#"{"predictions":[0.5]}"#).is_none(), "{body}");
        }
    }
}
