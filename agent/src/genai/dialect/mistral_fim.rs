//! Mistral's own paths of Chat Completions' answers: fill in the middle (<https://docs.mistral.ai/api/endpoint/fim>) and agents
//! (<https://docs.mistral.ai/api/endpoint/deprecated/agents>).

use serde::Deserialize;

use super::{Carried, Claim, Dialect, Fold, Malformed, openai_chat::Chat};
use crate::{
    genai::{
        budget::Budget,
        call::{Call, CallError, Message, OperationName, Part, Provider},
        document::Document,
        field::{Field, Kind},
        finish::Ending,
        openai::path,
        text,
    },
    wire::{RequestHead, SseEvent},
};

/// Fill in the middle.
pub(super) struct MistralFim;

/// Agents.
pub(super) struct MistralAgents;

impl Dialect for MistralFim {
    fn name(&self) -> &'static str {
        "mistral.fim"
    }

    fn operation(&self) -> OperationName {
        OperationName::TextCompletion
    }

    fn provider(&self) -> Provider {
        Provider::MistralAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        maybe(head, "/fim/completions")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Asked { agent: false, chat: Chat::of(None).unsure() })
    }
}

impl Dialect for MistralAgents {
    fn name(&self) -> &'static str {
        "mistral.agents"
    }

    fn provider(&self) -> Provider {
        Provider::MistralAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        maybe(head, "/agents/completions")
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Asked { agent: true, chat: Chat::of(None).unsure() })
    }
}

fn maybe(head: &RequestHead, end: &str) -> Claim {
    if &*head.method == "POST" && path::ends_with(&head.path, end) { Claim::Maybe } else { Claim::No }
}

/// Asks in a way of its own, and is answered as Chat Completions are.
struct Asked {
    agent: bool,
    chat: Chat,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body<'a> {
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    prompt: Field<'a>,
    /// What is to follow what is filled in.
    #[serde(borrow)]
    suffix: Field<'a>,
    #[serde(borrow)]
    agent_id: Field<'a>,
    #[serde(borrow)]
    stream: Field<'a>,
    #[serde(borrow)]
    temperature: Field<'a>,
    #[serde(borrow)]
    top_p: Field<'a>,
    #[serde(borrow)]
    max_tokens: Field<'a>,
    #[serde(borrow)]
    random_seed: Field<'a>,
    #[serde(borrow)]
    stop: Field<'a>,
}

impl Fold for Asked {
    fn request(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<bool, Malformed> {
        let wire: Body<'_> = body.object(budget).ok_or(Malformed)?;
        if self.agent {
            // The agent holds the model.
            self.chat.request(body, call, budget)?;
            return Ok(wire.agent_id.kind() == Kind::Text && !call.request.messages.is_empty());
        }
        let request = &mut call.request;
        request.model = wire.model.label(budget);
        request.stream = wire.stream.flag(budget);
        request.temperature = wire.temperature.number(budget);
        request.top_p = wire.top_p.number(budget);
        request.max_tokens = wire.max_tokens.integer(budget);
        request.seed = wire.random_seed.integer(budget);
        request.stop_sequences = text::stop_sequences(wire.stop, budget);
        let said = [wire.prompt, wire.suffix].map(|field| field.content(budget).map(Part::Text));
        let parts = said.into_iter().flatten().collect();
        request.messages.push(Message { role: "user".to_owned(), name: None, parts });
        Ok(request.model.is_some() && wire.prompt.kind() == Kind::Text)
    }

    fn error(&self, body: Field<'_>, budget: &mut Budget) -> Option<CallError> {
        self.chat.error(body, budget)
    }

    fn response(
        &mut self,
        body: &Document<'_>,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<(), Malformed> {
        self.chat.response(body, call, budget)
    }

    fn event(
        &mut self,
        event: &SseEvent,
        call: &mut Call,
        budget: &mut Budget,
    ) -> Result<Carried, Malformed> {
        self.chat.event(event, call, budget)
    }

    fn terminated(&self, call: &Call) -> bool {
        self.chat.terminated(call)
    }

    fn finish(&mut self, ending: Ending, damaged: bool, call: &mut Call, budget: &mut Budget) {
        self.chat.finish(ending, damaged, call, budget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::{
            FinishReason,
            tests::harness::{Exchange, head, stream_of},
        },
        wire::ExchangeEnd,
    };

    fn exchange(path: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", "api.mistral.ai", path)).request(body)
    }

    const FIM: &str = r#"{"model":"codestral","prompt":"def f(","suffix":"return a","max_tokens":9,"random_seed":1,"stop":["x"]}"#;
    const AGENT: &str = r#"{"agent_id":"ag_1","messages":[{"role":"user","content":"hi"}]}"#;
    const ANSWER: &str = r#"{"id":"c","object":"chat.completion","model":"codestral-1","choices":[{"index":0,"message":{"role":"assistant","content":"a):"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":9,"total_tokens":17}}"#;

    #[test]
    fn whole_answers() {
        let call = exchange("/v1/fim/completions", FIM).json(200, ANSWER).call();
        assert_eq!((call.dialect, call.operation), ("mistral.fim", OperationName::TextCompletion));
        assert_eq!((call.provider, call.request.model.as_deref()), (Provider::MistralAi, Some("codestral")));
        assert_eq!((call.request.max_tokens, call.request.seed), (Some(9), Some(1)));
        assert_eq!(call.request.messages[0].parts.len(), 2);
        assert_eq!((call.usage.input, call.usage.output), (Some(8), Some(9)));
        assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Stop));
        let call = exchange("/v1/agents/completions", AGENT).json(200, ANSWER).call();
        assert_eq!((call.dialect, call.operation), ("mistral.agents", OperationName::Chat));
        assert_eq!((call.request.model, call.response.model.as_deref()), (None, Some("codestral-1")));
        assert_eq!(call.request.messages.len(), 1);
    }

    #[test]
    fn streams() {
        let chunks = [
            r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}"#,
            r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":""},"finish_reason":"length"}],"usage":{"prompt_tokens":8,"completion_tokens":9}}"#,
            "[DONE]",
        ];
        for (path, body) in [("/v1/fim/completions", FIM), ("/v1/agents/completions", AGENT)] {
            let call = exchange(path, body).stream(&stream_of(&chunks)).call();
            assert_eq!((call.usage.output, call.usage.partial), (Some(9), false), "{path}");
            assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Length), "{path}");
            let call = exchange(path, body).stream(&stream_of(&chunks[..1])).run(ExchangeEnd::ClosedLocally);
            assert_eq!(call.unwrap().error.unwrap().kind, "client_closed", "{path}");
        }
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"object":"error","message":"m","type":"invalid_model","code":"1500"}"#;
        let call = exchange("/v1/fim/completions", FIM).json(400, error).call();
        assert_eq!(call.error.unwrap().kind, "1500");
        for (path, body) in [
            ("/v1/fim/completions", r#"{"model":"m"}"#),
            ("/v1/agents/completions", r#"{"agent_id":7,"messages":[]}"#),
            ("/tasks/agents/completions", r#"{"agent":"Ann","done":true}"#),
        ] {
            assert!(exchange(path, body).json(200, "{}").run(ExchangeEnd::Complete).is_none(), "{body}");
        }
    }
}
