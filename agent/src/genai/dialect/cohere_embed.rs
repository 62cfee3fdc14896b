//! Cohere's embeddings (<https://docs.cohere.com/reference/embed>).

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        cohere,
        document::Document,
        field::{Field, Kind},
        openai::path,
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct CohereEmbed;

impl Dialect for CohereEmbed {
    fn name(&self) -> &'static str {
        "cohere.embed"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::Cohere
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_path = ["/v1/embed", "/v2/embed"].iter().any(|end| path::ends_with(&head.path, end));
        Claim::of_post(head, is_path, cohere::at_home)
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
    texts: Field<'a>,
    #[serde(borrow)]
    images: Field<'a>,
    #[serde(borrow)]
    inputs: Field<'a>,
    #[serde(borrow)]
    output_dimension: Field<'a>,
    #[serde(borrow)]
    embedding_types: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    embeddings: Field<'a>,
    #[serde(borrow)]
    meta: Field<'a>,
}

impl Fold for Embed {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let request = &mut call.request;
        request.model = body.model.label(budget);
        request.dimensions = body.output_dimension.count(budget);
        if body.embedding_types.is_some() {
            body.embedding_types.each(budget, |item, budget| {
                if budget.item() {
                    request.encoding_formats.extend(item.label(budget));
                }
            });
        }
        let embedded = body.texts.or(body.images).or(body.inputs);
        Ok(request.model.is_some() && embedded.kind() == Kind::Array)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        cohere::error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if !answer.embeddings.is_some() {
            return Err(Malformed);
        }
        call.response.id = answer.id.label(budget);
        if let Some(usage) = cohere::usage(answer.meta, budget) {
            call.usage = usage;
        }
        // Nothing is generated.
        call.usage.output = None;
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

    const ANSWER: &str = r#"{"id":"e","embeddings":{"float":[[0.1]]},"texts":["a"],
        "meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":2}},"response_type":"embeddings_by_type"}"#;

    #[test]
    fn calls() {
        let body = r#"{"model":"embed-v4.0","texts":["a"],"input_type":"search_query","output_dimension":256,"embedding_types":["float","int8"]}"#;
        let call = Exchange::new(head("POST", "api.cohere.com", "/v2/embed"));
        let call = call.request(body).json(200, ANSWER).call();
        assert_eq!((call.dialect, call.operation), ("cohere.embed", OperationName::Embeddings));
        assert_eq!((call.request.model.as_deref(), call.request.dimensions), (Some("embed-v4.0"), Some(256)));
        assert_eq!(call.request.encoding_formats, ["float", "int8"]);
        assert_eq!((call.response.id.as_deref(), call.usage.input), (Some("e"), Some(2)));
        assert!(call.usage.output.is_none() && call.error.is_none());
    }

    #[test]
    fn errors_and_what_is_none() {
        let made = |host, path, body: &str, answer| {
            let exchange = Exchange::new(head("POST", host, path)).request(body);
            exchange.json(200, answer).run(ExchangeEnd::Complete)
        };
        let images = r#"{"model":"m","images":["data:,"]}"#;
        assert!(made("gateway.example", "/cohere/v1/embed", images, ANSWER).is_some());
        assert!(made("video.example", "/v1/embed", r#"{"url":"https://x.example"}"#, "{}").is_none());
        let call = made("api.cohere.com", "/v2/embed", images, r#"{"ok":true}"#).unwrap();
        assert!(call.damage.response_malformed);
        let exchange = Exchange::new(head("POST", "api.cohere.com", "/v1/embed")).request(images);
        let call = exchange.json(404, r#"{"id":"i","message":"no such model"}"#).call();
        let error = call.error.unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_deref()), ("404", Some("no such model")));
    }
}
