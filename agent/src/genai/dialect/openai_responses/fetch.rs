//! A stored response that is read back (<https://platform.openai.com/docs/api-reference/responses/get>).

use serde::Deserialize;

use super::{Responses, stream::Stream};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, OperationName, Provider, Usage},
        dialect::{Carried, Claim, Dialect, Fold, Malformed},
        document::Document,
        field::Field,
        finish::Ending,
        openai::path,
        provider,
    },
    wire::{RequestHead, ResponseHead, SseEvent},
};

/// The dialect.
pub(in crate::genai::dialect) struct OpenAiFetchResponse;

impl Dialect for OpenAiFetchResponse {
    fn name(&self) -> &'static str {
        "openai.fetch_response"
    }

    fn operation(&self) -> OperationName {
        OperationName::FetchResponse
    }

    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        let Some((before, id)) = path::trimmed(&head.path).rsplit_once('/') else { return Claim::No };
        let is_stored = &*head.method == "GET" && before.ends_with("/responses") && !id.is_empty();
        // Others have responses too, of other ids.
        if is_stored && (id.starts_with("resp_") || provider::is_named(head)) {
            Claim::Yes
        } else {
            Claim::No
        }
    }

    fn open(&self, head: &RequestHead) -> Box<dyn Fold> {
        let streamed = head.query.split('&').any(|parameter| parameter.eq_ignore_ascii_case("stream=true"));
        let of = Responses { session: false, stream: Stream::default() };
        Box::new(Fetched { streamed, background: None, failed: false, of })
    }
}

struct Fetched {
    /// The rest of it is to come as a stream.
    streamed: bool,
    /// Whoever asked for the response did not wait for it.
    background: Option<bool>,
    /// It could not be fetched.
    failed: bool,
    of: Responses,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored<'a> {
    #[serde(borrow)]
    background: Field<'a>,
    /// In an event.
    #[serde(borrow)]
    response: Field<'a>,
}

impl Fetched {
    fn look(&mut self, body: &Document<'_>, budget: &mut Budget) {
        // It stays what it is: the rest of a stream is read for what it brings.
        if self.background.is_none() {
            let stored: Stored<'_> = body.object(budget).unwrap_or_default();
            let within: Stored<'_> = stored.response.object(budget).unwrap_or_default();
            self.background = stored.background.or(within.background).flag(budget);
        }
    }
}

impl Fold for Fetched {
    fn request(&mut self, _: &Document<'_>, call: &mut Call, _: &mut Budget) -> Result<bool, Malformed> {
        call.request.stream = self.streamed.then_some(true);
        Ok(true)
    }

    fn head(&mut self, head: &ResponseHead, _: &mut Budget) {
        self.failed = head.status >= 400;
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        self.of.error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.look(body, budget);
        self.of.response(body, call, budget)
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        self.look(&Document::read(&event.data), budget);
        self.of.event(event, call, budget)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.of.terminated(call)
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.of.finish(ending, damaged, call, budget);
        // Who asked for it was told its tokens, and that it failed: neither is to be counted twice.
        if self.background != Some(true) && !self.failed {
            (call.usage, call.error) = (Usage::default(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genai::{
        FinishReason,
        tests::harness::{Exchange, head, stream_of},
    };

    fn get(path: &str) -> Exchange {
        let mut head = head("GET", "api.openai.com", path);
        head.query = if path.ends_with('/') { "stream=true".into() } else { "stream=false".into() };
        Exchange::new(head).request("")
    }

    fn stored(background: bool, status: &str) -> String {
        format!(
            r#"{{"object":"response","id":"resp_1","model":"gpt-5","status":"{status}","background":{background},"output":[{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"Hi"}}]}}],"usage":{{"input_tokens":7,"output_tokens":2}}}}"#
        )
    }

    #[test]
    fn answers() {
        for (background, input) in [(false, None), (true, Some(7))] {
            let call = get("/v1/responses/resp_1").json(200, &stored(background, "completed")).call();
            assert_eq!(
                (call.operation, call.dialect),
                (OperationName::FetchResponse, "openai.fetch_response")
            );
            assert_eq!((call.request.model.as_deref(), call.request.stream), (None, None));
            assert_eq!(
                (call.response.id.as_deref(), call.response.model.as_deref()),
                (Some("resp_1"), Some("gpt-5"))
            );
            assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Stop));
            assert_eq!(call.usage.input, input);
            assert!(!call.damage.request_malformed);
        }
        let call = get("/v1/responses/resp_1").json(200, &stored(true, "in_progress")).call();
        assert!(call.response.generations.is_empty());
        let done = format!(r#"{{"type":"response.completed","response":{}}}"#, stored(true, "completed"));
        let call = get("/v1/responses/resp_1/").stream(&stream_of(&[done])).call();
        assert_eq!((call.request.stream, call.usage.input), (Some(true), Some(7)));
        let none = r#"{"error":{"message":"not found","type":"invalid_request_error","code":null}}"#;
        let call = get("/v1/responses/resp_1").json(404, none).call();
        assert_eq!(call.error.unwrap().kind, "invalid_request_error");
    }

    #[test]
    fn claims() {
        for (method, host, path, expected) in [
            ("GET", "api.openai.com", "/v1/responses/resp_1", Claim::Yes),
            ("GET", "api.openai.com", "/v1/responses/other", Claim::Yes),
            ("GET", "gateway.example", "/openai/v1/responses/resp_1", Claim::Yes),
            ("GET", "surveys.example", "/v1/responses/7", Claim::No),
            ("GET", "api.openai.com", "/v1/responses/resp_1/input_items", Claim::No),
            ("GET", "api.openai.com", "/v1/responses/", Claim::No),
            ("DELETE", "api.openai.com", "/v1/responses/resp_1", Claim::No),
            ("POST", "api.openai.com", "/v1/responses/resp_1/cancel", Claim::No),
        ] {
            let found = OpenAiFetchResponse.claim(&head(method, host, path));
            assert_eq!(found, expected, "{method} {host}{path}");
        }
    }
}
