//! Replicate's predictions (<https://replicate.com/docs/reference/http#predictions.create>), of models of every kind. One
//! is answered with what is known of it so far: all of it where the request says that it waits.

use serde::Deserialize;

use super::{Claim, Dialect, Fold, Malformed};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Content, Generation, Message, OperationName, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::{error::message, path},
        provider, text,
    },
    wire::RequestHead,
};

/// The dialect.
pub(super) struct Replicate;

impl Dialect for Replicate {
    fn name(&self) -> &'static str {
        "replicate.predictions"
    }

    /// Nothing says whether text, images or something else is made.
    fn operation(&self) -> OperationName {
        OperationName::GenerateContent
    }

    fn provider(&self) -> Provider {
        Provider::Replicate
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let at_home = provider::of_authority(head.authority.as_deref()) == Some(Provider::Replicate);
        if !at_home || !path::trimmed(&head.path).starts_with("/v1/") {
            return Claim::No;
        }
        match &*head.method {
            "POST" if path::ends_with(&head.path, "/predictions") => Claim::Yes,
            // Asked how far they are, stopped, listed.
            _ if head.path.contains("/predictions") => Claim::NotInference("predictions"),
            _ => Claim::No,
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        Box::new(Predicted { model: model(&head.path) })
    }
}

/// The model of `/v1/models/OWNER/NAME/predictions`.
fn model(path: &str) -> Option<String> {
    let named = path::trimmed(path).strip_suffix("/predictions")?;
    let (_, name) = named.split_once("/v1/models/")?;
    text::percent_decode(name)
}

struct Predicted {
    /// The model of the path.
    model: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    /// Of a model, whose name need not be there.
    #[serde(borrow)]
    version: Field<'a>,
    #[serde(borrow)]
    input: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Input<'a> {
    #[serde(borrow)]
    prompt: Field<'a>,
    #[serde(borrow)]
    system_prompt: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    top_k: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    max_new_tokens: Field<'a>,
    #[serde(borrow)]
    seed: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    output: Field<'a>,
    #[serde(borrow)]
    status: Field<'a>,
    #[serde(borrow)]
    error: Field<'a>,
    #[serde(borrow)]
    metrics: Field<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metrics<'a> {
    #[serde(rename = "input_token_count", borrow)]
    input: Field<'a>,
    #[serde(rename = "output_token_count", borrow)]
    output: Field<'a>,
}

/// A problem (RFC 9457).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem<'a> {
    #[serde(borrow)]
    detail: Field<'a>,
}

/// A text, or the pieces of one; files that were made are named by their addresses.
fn output(field: Field<'_>, budget: &mut Budget) -> Vec<Part> {
    let mut said = Content::default();
    let mut parts = Vec::new();
    let mut take = |field: Field<'_>, budget: &mut Budget| {
        if field.kind() != Kind::Text {
            return;
        }
        let text = field.text(budget).unwrap_or_default();
        if text.starts_with("https://replicate.delivery/") {
            if budget.item()
                && let Some(uri) = budget.whole(&text)
            {
                parts.push(Part::Uri { modality: "document", mime_type: None, uri });
            }
        } else {
            budget.append(&mut said, &text);
        }
    };
    match field.kind() {
        Kind::Array => field.each(budget, take),
        _ => take(field, budget),
    }
    if !said.text.is_empty() || said.cut > 0 {
        parts.insert(0, Part::Text(said));
    }
    parts
}

impl Fold for Predicted {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let body: Body<'_> = body.object(budget).ok_or(Malformed)?;
        let input: Input<'_> = body.input.object(budget).unwrap_or_default();
        let request = &mut call.request;
        request.model = body.version.label(budget);
        request.temperature = input.temperature.number(budget);
        request.top_p = input.top_p.number(budget);
        request.top_k = input.top_k.integer(budget);
        request.max_tokens = input.max_tokens.or(input.max_new_tokens).integer(budget);
        request.seed = input.seed.integer(budget);
        request.system.extend(input.system_prompt.content(budget).map(Part::Text));
        if let Some(text) = input.prompt.content(budget) {
            let parts = vec![Part::Text(text)];
            request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        }
        Ok(true)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        let problem: Problem<'_> = body.object(budget)?;
        Some(CallError { message: message(problem.detail, budget), ..CallError::default() })
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        let answer: Answer<'_> = body.object(budget).ok_or(Malformed)?;
        let status = answer.status.label(budget).ok_or(Malformed)?;
        call.response.id = answer.id.label(budget);
        call.response.model = answer.model.label(budget);
        let metrics: Metrics<'_> = answer.metrics.object(budget).unwrap_or_default();
        call.usage.input = metrics.input.count(budget);
        call.usage.output = metrics.output.count(budget);
        if matches!(&*status, "failed" | "canceled" | "aborted") {
            call.error = Some(CallError::of_type(status, message(answer.error, budget)));
        } else if answer.output.is_some() {
            let parts = output(answer.output, budget);
            let message = Message { role: "assistant".to_owned(), name: None, parts };
            call.response.generations.push(Generation { message, ..Generation::default() });
        }
        Ok(())
    }

    fn finish(&mut self, _: Ending, _: bool, call: &mut Call, _: &mut Budget) {
        if let Some(model) = self.model.take() {
            call.request.model = Some(model);
        }
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

    fn exchange(path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", "api.replicate.com", path)).request(body)
    }

    const BY_NAME: &str = "/v1/models/meta/llama-3/predictions";
    const REQUEST: &str =
        r#"{"input":{"prompt":"hi","system_prompt":"s","max_tokens":9,"temperature":0.5},"stream":true}"#;

    #[test]
    fn predictions() {
        let answer = r#"{"id":"p","model":"meta/llama-3","version":"hidden","input":{},"output":["he","llo"],"error":null,"status":"succeeded",
            "metrics":{"input_token_count":5,"output_token_count":2}}"#;
        let call = exchange(BY_NAME, REQUEST).json(201, answer).call();
        assert_eq!((call.dialect, call.provider), ("replicate.predictions", Provider::Replicate));
        assert_eq!((call.request.model.as_deref(), call.request.max_tokens), (Some("meta/llama-3"), Some(9)));
        assert_eq!((call.request.system.len(), call.request.messages.len()), (1, 1));
        assert_eq!((call.response.id.as_deref(), call.usage.input), (Some("p"), Some(5)));
        let parts = format!("{:?}", call.response.generations[0].message.parts);
        assert_eq!(parts, r#"[Text(Content { text: "hello", cut: 0 })]"#);
        // It has not begun.
        let answer = r#"{"id":"p","model":"m","output":null,"status":"starting"}"#;
        let call = exchange("/v1/predictions", r#"{"version":"5c7d","input":{}}"#).json(201, answer).call();
        assert_eq!((call.request.model.as_deref(), call.response.generations.len()), (Some("5c7d"), 0));
        assert!(call.error.is_none());
        // It made a file.
        let answer = r#"{"id":"p","output":"https://replicate.delivery/a.png","status":"succeeded"}"#;
        let call = exchange(BY_NAME, REQUEST).json(201, answer).call();
        let parts = format!("{:?}", call.response.generations[0].message.parts);
        assert!(parts.starts_with("[Uri"), "{parts}");
    }

    #[test]
    fn errors_and_what_is_none() {
        let problem = r#"{"title":"Unauthenticated","detail":"no token","status":401}"#;
        let call = exchange(BY_NAME, REQUEST).json(401, problem).call();
        let error = call.error.unwrap();
        assert_eq!((error.kind.as_str(), error.message.as_deref()), ("401", Some("no token")));
        let failed = r#"{"id":"p","status":"failed","error":"out of memory"}"#;
        let call = exchange(BY_NAME, REQUEST).json(201, failed).call();
        assert_eq!(call.error.unwrap().kind, "failed");
        for (method, host, path, counter) in [
            ("GET", "api.replicate.com", "/v1/predictions/p", Counter::ExchangesNotInference),
            ("POST", "api.replicate.com", "/v1/predictions/p/cancel", Counter::ExchangesNotInference),
            ("POST", "weather.example", "/v1/predictions", Counter::ExchangesNotLlm),
        ] {
            let none = Exchange::new(head(method, host, path)).request(REQUEST);
            let account = none.account.clone();
            assert!(none.run(ExchangeEnd::Complete).is_none(), "{path}");
            assert_eq!(counted(&account), [(counter, 1)], "{path}");
        }
    }
}
