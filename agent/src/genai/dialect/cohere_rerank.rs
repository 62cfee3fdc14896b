//! Reranking in Cohere's form (<https://docs.cohere.com/reference/rerank>), which Voyage AI
//! (<https://docs.voyageai.com/reference/reranker-api>), Jina, vLLM and others speak with words of their own.

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        cohere,
        document::Document,
        field::{Field, Kind},
        openai::{error, path},
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct CohereRerank;

impl Dialect for CohereRerank {
    fn name(&self) -> &'static str {
        "cohere.rerank"
    }

    fn operation(&self) -> OperationName {
        OperationName::Rerank
    }

    fn provider(&self) -> Provider {
        Provider::Cohere
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let is_path = path::ends_with(&head.path, "/rerank");
        Claim::of_post(head, is_path, cohere::at_home)
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Rerank)
    }
}

struct Rerank;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    query: Field<'a>,
    #[serde(borrow)]
    documents: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    results: Field<'a>,
    /// Voyage AI's name of the results.
    #[serde(borrow)]
    data: Field<'a>,
    #[serde(borrow)]
    meta: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    #[serde(borrow)]
    total_tokens: Field<'a>,
}

impl Fold for Rerank {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.model = body.model.label(budget);
        let asked = body.query.is_some() && body.documents.kind() == Kind::Array;
        Ok(call.request.model.is_some() && asked)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        error::read(body, budget).or_else(|| cohere::error(body, budget))
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        if answer.results.or(answer.data).kind() != Kind::Array {
            return Err(Malformed);
        }
        call.response.id = answer.id.label(budget);
        call.response.model = answer.model.label(budget);
        // Cohere bills searches; others count tokens, all of which are input.
        if let Some(usage) = cohere::usage(answer.meta, budget) {
            call.usage = usage;
        }
        if let Some(counts) = answer.usage.object::<Counts<'_>>(budget) {
            call.usage.input = counts.total_tokens.count(budget);
        }
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

    const REQUEST: &str = r#"{"model":"rerank-v3","query":"q","documents":["a",{"text":"b"}],"top_n":1}"#;

    fn exchange(host: &str, path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, path)).request(body)
    }

    #[test]
    fn calls() {
        let cohere = r#"{"id":"r","results":[{"index":1,"relevance_score":0.9}],"meta":{"billed_units":{"search_units":1}}}"#;
        let voyage = r#"{"object":"list","data":[{"relevance_score":0.7,"index":1}],"model":"rerank-2","usage":{"total_tokens":57}}"#;
        let jina = r#"{"model":"rerank-2","usage":{"total_tokens":57},"results":[]}"#;
        for (host, path, answer, id, model, input) in [
            ("api.cohere.com", "/v2/rerank", cohere, Some("r"), None, None),
            ("api.voyageai.com", "/v1/rerank", voyage, None, Some("rerank-2"), Some(57)),
            ("localhost:8000", "/rerank", jina, None, Some("rerank-2"), Some(57)),
        ] {
            let call = exchange(host, path, REQUEST).json(200, answer).call();
            assert_eq!((call.dialect, call.operation), ("cohere.rerank", OperationName::Rerank));
            assert_eq!(call.request.model.as_deref(), Some("rerank-v3"));
            assert_eq!((call.response.id.as_deref(), call.response.model.as_deref()), (id, model), "{host}");
            assert_eq!((call.usage.input, call.usage.output), (input, None), "{host}");
            assert!(call.error.is_none() && !call.damage.response_malformed, "{host}");
        }
    }

    #[test]
    fn errors_and_what_is_none() {
        let call = exchange("api.cohere.com", "/v1/rerank", REQUEST).json(400, r#"{"message":"too many"}"#);
        assert_eq!(call.call().error.unwrap().message.as_deref(), Some("too many"));
        let vllm = r#"{"error":{"type":"BadRequestError","message":"m","code":400}}"#;
        let call = exchange("localhost:8000", "/v1/rerank", REQUEST).json(400, vllm).call();
        assert_eq!(call.error.unwrap().kind, "BadRequestError");
        let none = exchange("shop.example", "/rerank", r#"{"query":"shoes"}"#).json(200, r#"{"results":[]}"#);
        assert!(none.run(ExchangeEnd::Complete).is_none());
    }
}
