//! OpenAI's moderations (<https://platform.openai.com/docs/api-reference/moderations>), which Mistral has too
//! (<https://docs.mistral.ai/api/endpoint/classifiers>).

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider},
        document::Document,
        field::{Field, Kind},
        openai::{error, path, usage},
        provider,
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct OpenAiModerations;

impl Dialect for OpenAiModerations {
    fn name(&self) -> &'static str {
        "openai.moderations"
    }

    fn operation(&self) -> OperationName {
        OperationName::Moderation
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // A forum may have such a path.
        let is_path = path::ends_with(&head.path, "/moderations");
        Claim::of_post(head, is_path, provider::is_named)
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Moderation)
    }
}

struct Moderation;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
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
    #[serde(borrow)]
    usage: Field<'a>,
}

impl Fold for Moderation {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        call.request.model = body.model.label(budget);
        Ok(call.request.model.is_some() && body.input.is_some())
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
        if answer.results.kind() != Kind::Array {
            return Err(Malformed);
        }
        call.response.id = answer.id.label(budget);
        call.response.model = answer.model.label(budget);
        if let Some(usage) = usage::read(answer.usage, budget) {
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

    fn exchange(host: &str, path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, path)).request(body)
    }

    #[test]
    fn calls() {
        let answer =
            r#"{"id":"modr-1","model":"omni-moderation-1","results":[{"flagged":false,"categories":{}}]}"#;
        let call = exchange("api.openai.com", "/v1/moderations", r#"{"input":"a"}"#).json(200, answer).call();
        assert_eq!((call.dialect, call.operation), ("openai.moderations", OperationName::Moderation));
        assert_eq!((call.request.model, call.response.model.as_deref()), (None, Some("omni-moderation-1")));
        assert_eq!(call.response.id.as_deref(), Some("modr-1"));
        let body = r#"{"model":"mistral-moderation","input":[{"role":"user","content":"a"}]}"#;
        let answer = r#"{"id":"m","model":"mistral-moderation","results":[],"usage":{"prompt_tokens":5,"completion_tokens":0}}"#;
        let call = exchange("api.mistral.ai", "/v1/chat/moderations", body).json(200, answer).call();
        assert_eq!(
            (call.provider, call.usage.input, call.usage.output),
            (Provider::MistralAi, Some(5), None)
        );
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":{"type":"invalid_request_error","message":"m"}}"#;
        let call = exchange("api.openai.com", "/v1/moderations", "{}").json(400, error).call();
        assert_eq!(call.error.unwrap().kind, "invalid_request_error");
        let made = |body| {
            let exchange = exchange("forum.example", "/moderations", body).json(200, r#"{"results":[]}"#);
            exchange.run(ExchangeEnd::Complete).is_some()
        };
        assert!(made(r#"{"model":"m","input":["a"]}"#));
        assert!(!made(r#"{"post":7,"by":"Ann"}"#));
    }
}
