//! Embeddings in OpenAI's form, which many providers and gateways speak
//! (<https://platform.openai.com/docs/api-reference/embeddings>).

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::Field,
        openai::{error, path, usage},
    },
    wire::RequestHead,
};

const PATH: &str = "/embeddings";

/// The dialect.
pub(super) struct OpenAiEmbeddings;

impl Dialect for OpenAiEmbeddings {
    fn name(&self) -> &'static str {
        "openai.embeddings"
    }

    fn operation(&self) -> OperationName {
        OperationName::Embeddings
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // Others have such a path too: the body tells.
        if &*head.method == "POST" && path::ends_with(&head.path, PATH) { Claim::Maybe } else { Claim::No }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Embeddings { deployment: path::deployment(&head.path, PATH) })
    }
}

struct Embeddings {
    /// Azure's deployment, which names the model where the body does not.
    deployment: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
    #[serde(borrow)]
    dimensions: Field<'a>,
    #[serde(borrow)]
    encoding_format: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
}

impl Fold for Embeddings {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let request = &mut call.request;
        request.model = body.model.label(budget).or_else(|| self.deployment.take());
        request.dimensions = body.dimensions.count(budget);
        request.encoding_formats.extend(body.encoding_format.label(budget));
        Ok(request.model.is_some() && body.input.is_some())
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
        if answer.error.is_some() {
            call.error = body.root().and_then(|root| error::read(root, budget));
        } else if !answer.data.is_some() {
            return Err(Malformed);
        }
        call.response.id = answer.id.label(budget);
        call.response.model = answer.model.label(budget);
        if let Some(usage) = usage::of_input(answer.usage, budget) {
            call.usage = usage;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::Counter,
        genai::tests::harness::{Exchange, counted, head},
        wire::ExchangeEnd,
    };

    const ANSWER: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-0.2]}],
        "model":"text-embedding-3-small-2","usage":{"prompt_tokens":8,"total_tokens":8}}"#;

    fn exchange(host: &str, path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, path)).request(body)
    }

    #[test]
    fn a_whole_call() {
        let body = r#"{"model":"text-embedding-3-small","input":["a","b"],"dimensions":256,"encoding_format":"float"}"#;
        let call = exchange("api.openai.com", "/v1/embeddings", body).json(200, ANSWER).call();
        assert_eq!((call.operation, call.provider), (OperationName::Embeddings, Provider::OpenAi));
        assert_eq!(call.dialect, "openai.embeddings");
        assert_eq!(call.request.model.as_deref(), Some("text-embedding-3-small"));
        assert_eq!(
            (call.request.dimensions, &*call.request.encoding_formats),
            (Some(256), &["float".to_owned()][..])
        );
        assert_eq!(call.response.model.as_deref(), Some("text-embedding-3-small-2"));
        assert_eq!((call.usage.input, call.usage.output), (Some(8), None));
        assert!(call.error.is_none() && call.response.generations.is_empty());
    }

    #[test]
    fn who_speaks_it() {
        let body = r#"{"model":"m","input":"a"}"#;
        let model = |host, path, body| {
            exchange(host, path, body)
                .json(200, ANSWER)
                .run(ExchangeEnd::Complete)
                .map(|call| call.request.model)
        };
        let named = |name: &str| Some(Some(name.to_owned()));
        assert_eq!(model("localhost:8000", "/v1/embeddings", body), named("m"));
        assert_eq!(model("api.voyageai.com", "/v1/embeddings/", body), named("m"));
        let path = "/openai/deployments/my%20small/embeddings";
        assert_eq!(model("me.openai.azure.com", path, r#"{"input":[[1,2]]}"#), named("my small"));
        assert_eq!(model("127.0.0.1:11434", "/api/embeddings", r#"{"model":"m","text":"a"}"#), None);
        assert_eq!(model("example.com", "/embeddings", r#"{"input":"a"}"#), None);
        assert_eq!(model("example.com", "/v1/myembeddings", body), None);
    }

    #[test]
    fn errors_and_what_is_none() {
        let body = r#"{"model":"m","input":"a"}"#;
        let error = r#"{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}"#;
        let call = exchange("api.openai.com", "/v1/embeddings", body).json(404, error).call();
        assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("model_not_found"));
        let exchange = exchange("api.openai.com", "/v1/embeddings", body).json(200, r#"{"status":"ok"}"#);
        let account = exchange.account.clone();
        assert!(exchange.call().damage.response_malformed);
        assert!(counted(&account).contains(&(Counter::BodiesMalformed, 1)));
    }
}
