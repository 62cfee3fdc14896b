//! Writer's chat (<https://dev.writer.com/api-reference/completion-api/chat-completion>): Chat Completions at a path of its
//! own, whose streams nothing ends.

use super::{Claim, Dialect, Fold, openai_chat::Chat};
use crate::{
    genai::{call::Provider, openai::path, provider},
    wire::RequestHead,
};

/// The dialect.
pub(super) struct WriterChat;

impl Dialect for WriterChat {
    fn name(&self) -> &'static str {
        "writer.chat"
    }

    /// The conventions do not name Writer, whose API is in OpenAI's form.
    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn claim(&self, head: &RequestHead) -> Claim {
        // Cohere has such a path too, and any chat may.
        let is_path = path::ends_with(&head.path, "/v1/chat");
        Claim::of_post(head, is_path, |head| provider::is_at(head.authority.as_deref(), "api.writer.com"))
    }

    fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
        Box::new(Chat::of(None).unsure().unmarked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::{
            Call, FinishReason,
            tests::harness::{Exchange, head, stream_of},
        },
        wire::ExchangeEnd,
    };

    const REQUEST: &str =
        r#"{"model":"palmyra-x4","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"n":1}"#;

    fn exchange(host: &str, body: &str) -> Exchange {
        Exchange::new(head("POST", host, "/v1/chat")).request(body)
    }

    fn reasons(call: &Call) -> Vec<Option<FinishReason>> {
        call.response.generations.iter().map(|generation| generation.finish_reason.clone()).collect()
    }

    #[test]
    fn whole_answers() {
        let answer = r#"{"id":"w","object":"chat.completion","model":"palmyra-x4","choices":[{"index":0,"finish_reason":"stop",
            "message":{"role":"assistant","content":"yo","tool_calls":null}}],"usage":{"prompt_tokens":40,"completion_tokens":3,"total_tokens":43}}"#;
        let call = exchange("api.writer.com", REQUEST).json(200, answer).call();
        assert_eq!((call.dialect, call.provider), ("writer.chat", Provider::OpenAi));
        assert_eq!((call.request.model.as_deref(), call.request.max_tokens), (Some("palmyra-x4"), Some(5)));
        assert_eq!((call.response.id.as_deref(), call.usage.input), (Some("w"), Some(40)));
        assert_eq!(reasons(&call), [Some(FinishReason::Stop)]);
    }

    #[test]
    fn streams_end_with_their_body() {
        let chunks = [
            r#"{"id":"w","choices":[{"index":0,"finish_reason":null,"message":{"content":null},"delta":{"content":"yo"}}]}"#,
            r#"{"id":"w","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2}}"#,
        ];
        let streamed = || exchange("api.writer.com", REQUEST).stream(&stream_of(&chunks));
        let call = streamed().call();
        assert_eq!((reasons(&call), call.error.is_none(), call.usage.output), (vec![None], true, Some(2)));
        let call = streamed().run(ExchangeEnd::ClosedRemotely).unwrap();
        assert_eq!(call.error.as_ref().map(|error| &*error.kind), Some("server_closed"));
        assert_eq!(reasons(&call), [Some(FinishReason::Error)]);
    }

    #[test]
    fn errors_and_what_is_none() {
        let error = r#"{"error":{"code":"bad_model","message":"m"}}"#;
        let call = exchange("api.writer.com", REQUEST).json(404, error).call();
        assert_eq!(call.error.map(|error| error.kind).as_deref(), Some("bad_model"));
        let broken = exchange("api.writer.com:443", "{,}").json(400, error).call();
        assert!(broken.damage.request_malformed);
        for body in [r#"{"room":1,"messages":["hi"]}"#, r#"{"model":"m","messages":[]}"#] {
            let none = exchange("chat.example", body).json(200, r#"{"choices":[]}"#);
            assert!(none.run(ExchangeEnd::Complete).is_none(), "{body}");
        }
        // With the request unreadable, the answer tells.
        for (answer, is_call) in [(r#"{"ok":true}"#, false), (r#"{"choices":[]}"#, true)] {
            let lost = exchange("chat.example", "no JSON").json(200, answer);
            assert_eq!(lost.run(ExchangeEnd::Complete).is_some(), is_call, "{answer}");
        }
    }
}
