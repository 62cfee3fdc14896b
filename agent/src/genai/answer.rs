//! Answers that say of which API they are. On an HTTP/2 connection that was joined late the path of a request may be
//! unknown for good: it was told once, before, and is referred to from then on.

use serde::Deserialize;

use super::{bedrock::path, budget::Budget, document::Document, field::Field};
use crate::wire::RequestHead;

const CHAT: &str = "openai.chat_completions";
const RESPONSES: &str = "openai.responses";
const MESSAGES: &str = "anthropic.messages";

/// The dialects whose answers say so.
pub(super) const TELLING: [&str; 3] = [CHAT, RESPONSES, MESSAGES];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer<'a> {
    #[serde(borrow)]
    object: Field<'a>,
    #[serde(rename = "type", borrow)]
    kind: Field<'a>,
    #[serde(borrow)]
    model: Field<'a>,
    #[serde(borrow)]
    usage: Field<'a>,
    #[serde(borrow)]
    message: Field<'a>,
    #[serde(borrow)]
    response: Field<'a>,
}

impl Answer<'_> {
    /// Each has a word for the object that it is.
    fn dialect(&self, budget: &mut Budget) -> Option<&'static str> {
        let mut word = |field: Field<'_>| field.text(budget).map(std::borrow::Cow::into_owned);
        let (object, kind) = (word(self.object), word(self.kind));
        match (object.as_deref(), kind.as_deref()) {
            (Some("chat.completion" | "chat.completion.chunk"), _) => Some(CHAT),
            (Some("response"), _) => Some(RESPONSES),
            // Other services have messages too.
            (_, Some("message")) if self.model.is_some() && self.usage.is_some() => Some(MESSAGES),
            _ => None,
        }
    }
}

/// May an answer tell what this request is? Only a request with a body is a call, and what is known of it must fit.
pub(super) fn may_tell(head: &RequestHead) -> bool {
    let json = |value: &str| {
        value.trim_start().get(..16).is_some_and(|t| t.eq_ignore_ascii_case("application/json"))
    };
    head.partial
        && head.path.is_empty()
        && matches!(&*head.method, "POST" | "")
        // Bedrock's answers can be in the form of these APIs.
        && !path::is_to_aws(head)
        && head.headers.get("content-type").is_none_or(json)
}

/// The dialect of an answer: a whole one, or the data of an event that begins a stream.
pub(super) fn dialect(answer: &[u8], budget: &mut Budget) -> Option<&'static str> {
    let document = Document::read(answer);
    let answer: Answer<'_> = document.object(budget)?;
    answer.dialect(budget).or_else(|| {
        let kind = answer.kind.text(budget)?;
        let (within, wanted) = match &*kind {
            "message_start" => (answer.message, MESSAGES),
            kind if kind.starts_with("response.") => (answer.response, RESPONSES),
            _ => return None,
        };
        let within: Answer<'_> = within.object(budget)?;
        within.dialect(budget).filter(|found| *found == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genai::{
        Limits, Provider,
        tests::harness::{Exchange, head, headers},
    };
    use crate::{account::Counter, wire::ExchangeEnd};

    #[test]
    fn answers() {
        let mut budget = Budget::new(Limits::default(), std::sync::Arc::default());
        for (answer, expected) in [
            (r#"{"id":"a","object":"chat.completion"}"#, Some(CHAT)),
            (r#"{"id":"a","object":"chat.completion.chunk","choices":[]}"#, Some(CHAT)),
            (r#"{"id":"r","object":"response"}"#, Some(RESPONSES)),
            (r#"{"type":"response.created","response":{"object":"response"}}"#, Some(RESPONSES)),
            (r#"{"type":"response.created","response":{"object":"chat.completion"}}"#, None),
            (r#"{"type":"message","model":"m","usage":{}}"#, Some(MESSAGES)),
            (
                r#"{"type":"message_start","message":{"type":"message","model":"m","usage":{}}}"#,
                Some(MESSAGES),
            ),
            (r#"{"type":"message","text":"hello"}"#, None),
            (r#"{"object":"list","data":[]}"#, None),
            (r#"{"object":7,"type":null}"#, None),
            ("[DONE]", None),
            ("", None),
        ] {
            assert_eq!(dialect(answer.as_bytes(), &mut budget), expected, "{answer}");
        }
    }

    fn late() -> Exchange {
        let mut head = head("POST", "", "");
        (head.partial, head.authority) = (true, None);
        Exchange::new(head)
    }

    const ASKED: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"input":"hello"}"#;

    #[test]
    fn calls_whose_path_is_unknown() {
        for (answer, dialect) in [
            (r#"{"object":"chat.completion","id":"1","model":"n","usage":{"prompt_tokens":7}}"#, CHAT),
            (r#"{"object":"response","id":"1","model":"n","usage":{"input_tokens":7}}"#, RESPONSES),
            (r#"{"type":"message","id":"1","model":"n","usage":{"input_tokens":7}}"#, MESSAGES),
        ] {
            let call = late().request(ASKED).json(200, answer).call();
            assert_eq!((call.dialect, call.provider), (dialect, Provider::Unknown));
            assert_eq!(
                (call.request.model.as_deref(), call.response.model.as_deref()),
                (Some("m"), Some("n"))
            );
            assert_eq!((call.usage.input, call.damage.request.unknown), (Some(7), true), "{dialect}");
            assert!(!call.damage.request_malformed && !call.damage.response_malformed);
        }
        let chunk = |delta: &str| {
            format!(r#"{{"object":"chat.completion.chunk","id":"1","model":"n","choices":[{delta}]}}"#)
        };
        let chunks = [
            r#"{"object":"","choices":[],"prompt_filter_results":[]}"#.to_owned(),
            chunk(r#"{"index":0,"delta":{"content":"a"}}"#),
            chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#),
            "[DONE]".to_owned(),
        ];
        let call = late().request(ASKED).stream(&crate::genai::tests::harness::stream_of(&chunks)).call();
        assert_eq!((call.dialect, call.streaming.chunks), (CHAT, 3));
        assert_eq!(call.request.model.as_deref(), Some("m"));
        assert!(!call.damage.response_malformed);
    }

    #[test]
    fn exchanges_whose_path_is_unknown_and_that_are_no_calls() {
        let stored = r#"{"object":"chat.completion","id":"1","model":"n"}"#;
        for (request, answer) in [
            (ASKED, r#"{"ok":true}"#),
            (ASKED, "no JSON"),
            // Changes what is stored, and is answered with it.
            (r#"{"metadata":{}}"#, stored),
            ("no JSON", stored),
        ] {
            let exchange = late().request(request).json(200, answer);
            let account = exchange.account.clone();
            assert!(exchange.run(ExchangeEnd::Complete).is_none(), "{request} {answer}");
            assert_eq!(account.get(Counter::ExchangesNotLlm), 1);
            assert_eq!(account.get(Counter::BodiesMalformed), 0);
        }
        assert!(late().request(ASKED).run(ExchangeEnd::ClosedLocally).is_none());
        for (method, content_type) in [("GET", "application/json"), ("POST", "application/grpc")] {
            let mut exchange = late();
            exchange.head.method = method.into();
            exchange.head.headers = headers(&[("content-type", content_type)]);
            assert!(!may_tell(&exchange.head), "{method} {content_type}");
        }
    }
}
