use std::sync::Arc;

use super::harness::{Exchange, counted, head, headers};
use crate::{
    account::{Account, Counter},
    genai::{Limits, Provider, Recognition, Recognizer},
    wire::{EventKind, ExchangeEnd, RequestHead},
};

/// What is recognized, in short, with the counters that it moved.
fn recognize(head: &RequestHead) -> (String, Vec<(Counter, u64)>) {
    let account = Arc::new(Account::default());
    let recognition = Recognizer::new(Limits::default(), Arc::clone(&account)).recognize(head);
    let name = match recognition {
        Recognition::NotLlm => "not llm".to_owned(),
        Recognition::NotInference(kind) => format!("not inference: {kind}"),
        Recognition::Unread(kind) => format!("unread: {kind}"),
        Recognition::Session => "session".to_owned(),
        Recognition::Call(_) => "call".to_owned(),
    };
    (name, counted(&account))
}

#[test]
fn heads() {
    let cases = [
        ("POST", "api.openai.com", "/v1/chat/completions", "call"),
        ("POST", "api.openai.com", "/v1/chat/completions/", "call"),
        ("POST", "localhost:8000", "/chat/completions", "call"),
        ("POST", "api.groq.com", "/openai/v1/chat/completions", "call"),
        ("POST", "me.openai.azure.com", "/openai/deployments/gpt-4o/chat/completions", "call"),
        ("POST", "api.openai.com", "/v1/responses", "call"),
        ("POST", "me.openai.azure.com", "/openai/v1/responses/", "call"),
        ("POST", "surveys.example", "/v1/responses", "call"),
        ("GET", "api.openai.com", "/v1/responses/resp_1", "call"),
        ("POST", "api.openai.com", "/v1/responses/compact", "unread: responses"),
        ("POST", "api.openai.com", "/v1/responses/resp_1/cancel", "unread: responses"),
        ("POST", "api.openai.com", "/v1/responses/input_tokens", "not inference: count_tokens"),
        ("DELETE", "api.openai.com", "/v1/responses/resp_1", "not inference: responses"),
        ("GET", "api.openai.com", "/v1/chat/completions", "not inference: stored_completions"),
        ("GET", "api.openai.com", "/v1/chat/completions/chatcmpl-1", "not inference: stored_completions"),
        ("POST", "localhost", "/v1/mychat/completions", "not llm"),
        ("POST", "api.anthropic.com", "/v1/messages", "call"),
        ("POST", "gateway.example", "/anthropic/v1/messages", "call"),
        ("GET", "api.anthropic.com", "/v1/messages", "not inference: other"),
        ("POST", "gateway.example", "/v1/messages/count_tokens", "not inference: count_tokens"),
        ("POST", "api.anthropic.com", "/v1/messages/batches", "not inference: batches"),
        ("GET", "api.anthropic.com", "/v1/messages/batches/b_1/results", "not inference: batches"),
        ("POST", "sms.example", "/v1/messages/batches", "not llm"),
        ("GET", "api.anthropic.com", "/v1/models", "not inference: models"),
        ("POST", "api.openai.com", "/v1/files", "not inference: files"),
        ("POST", "api.openai.com", "/v1/embeddings", "call"),
        ("POST", "api.openai.com", "/v1/threads/t_1/messages", "not inference: threads"),
        ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-m:generateContent", "call"),
        ("POST", "gateway.example", "/google/v1beta/models/gemini-m:streamGenerateContent", "call"),
        (
            "POST",
            "us-east1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude:streamRawPredict",
            "call",
        ),
        (
            "POST",
            "us-east1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
            "not inference: count_tokens",
        ),
        (
            "POST",
            "us-east1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/ai21/models/jamba:rawPredict",
            "call",
        ),
        (
            "POST",
            "us-east1-aiplatform.googleapis.com",
            "/v1/projects/p/locations/l/publishers/somebody/models/m:rawPredict",
            "unread: predict",
        ),
        ("POST", "generativelanguage.googleapis.com", "/v1beta/models/m:embedContent", "call"),
        (
            "POST",
            "generativelanguage.googleapis.com",
            "/v1beta/models/m:asyncBatchEmbedContent",
            "unread: embeddings",
        ),
        ("POST", "api.openai.com", "/v1/images/edits", "call"),
        ("POST", "api.openai.com", "/v1/audio/speech", "call"),
        ("POST", "api.openai.com", "/v1/audio/translations", "call"),
        ("POST", "api.openai.com", "/v1/moderations", "call"),
        ("POST", "api.openai.com", "/v1/batches", "not inference: batches"),
        ("GET", "api.openai.com", "/v1/batches/b_1", "not inference: batches"),
        ("GET", "api.openai.com", "/v1/batches", "not inference: batches"),
        ("POST", "api.openai.com", "/v1/batches/b_1/cancel", "not inference: batches"),
        ("POST", "me.openai.azure.com", "/openai/v1/batches", "not inference: batches"),
        ("GET", "api.anthropic.com", "/v1/messages/batches", "not inference: batches"),
        ("POST", "api.anthropic.com", "/v1/messages/batches/b_1/cancel", "not inference: batches"),
        ("DELETE", "api.anthropic.com", "/v1/messages/batches/b_1", "not inference: batches"),
        ("POST", "api.anthropic.com", "/v1/messages/count_tokens", "not inference: count_tokens"),
        (
            "POST",
            "generativelanguage.googleapis.com",
            "/v1beta/models/m:countTokens",
            "not inference: count_tokens",
        ),
        (
            "POST",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/m/count-tokens",
            "not inference: count_tokens",
        ),
        ("POST", "api.mistral.ai", "/v1/ocr", "unread: ocr"),
        ("POST", "us-south.ml.cloud.ibm.com", "/ml/v1/text/chat_stream", "call"),
        ("POST", "api.cohere.com", "/v2/chat", "call"),
        ("POST", "api.cohere.com", "/v1/tokenize", "not inference: other"),
        ("POST", "shop.example", "/v1/rerank", "call"),
        ("POST", "localhost:11434", "/api/chat", "call"),
        ("POST", "localhost:11434", "/api/pull", "not llm"),
        ("GET", "localhost:11434", "/api/tags", "not llm"),
        ("POST", "cloudcode-pa.googleapis.com", "/v1internal:loadCodeAssist", "not inference: other"),
        ("POST", "gateway.example", "/v1beta/models/m:countTokens", "not llm"),
        ("POST", "speech.cognitiveservices.azure.com", "/sts/v1.0/issueToken", "not llm"),
        ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse", "call"),
        ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/converse-stream", "call"),
        ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke", "call"),
        ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke-with-response-stream", "call"),
        ("POST", "gateway.example", "/bedrock/model/m/converse", "call"),
        ("POST", "gateway.example", "/bedrock/model/m/count-tokens", "not inference: count_tokens"),
        (
            "POST",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/model/stability.sd3-5-large-v1%3A0/invoke",
            "unread: invoke_model",
        ),
        (
            "POST",
            "bedrock-agent-runtime.us-east-1.amazonaws.com",
            "/agents/A/agentAliases/B/sessions/S/text",
            "call",
        ),
        (
            "POST",
            "bedrock-runtime.us-east-1.amazonaws.com",
            "/guardrail/g/version/1/apply",
            "not inference: guardrails",
        ),
        ("GET", "bedrock.us-east-1.amazonaws.com", "/foundation-models", "not inference: models"),
        ("GET", "bedrock-runtime.us-east-1.amazonaws.com", "/model/m/invoke", "not inference: other"),
        ("OPTIONS", "api.openai.com", "/v1/chat/completions", "not inference: preflight"),
        ("GET", "example.org", "/", "not llm"),
        ("GET", "", "", "not llm"),
    ];
    for (method, authority, path, expected) in cases {
        let (name, counters) = recognize(&head(method, authority, path));
        assert_eq!(name, expected, "{method} {authority}{path}");
        let counter = match expected.split(':').next() {
            Some("not llm") => vec![(Counter::ExchangesNotLlm, 1)],
            Some("not inference") => vec![(Counter::ExchangesNotInference, 1)],
            Some("unread") => vec![(Counter::CallsUnread, 1)],
            _ => vec![],
        };
        assert_eq!(counters, counter, "{method} {authority}{path}");
    }
}

/// A session is none itself; its messages are, if it is one of an API that is read so.
#[test]
fn sessions() {
    for (path, expected, message) in [
        ("/v1/responses", "session", "call"),
        ("/v1/realtime", "session", "call"),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", "session", "call"),
        ("/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", "session", "call"),
        ("/v1/realtime/sessions", "unread: realtime", "unread: realtime"),
        ("/v1/chat/completions", "not inference: stored_completions", "not inference: stored_completions"),
    ] {
        let mut head = head("GET", "api.openai.com", path);
        head.headers = headers(&[("upgrade", "WebSocket")]);
        assert_eq!(recognize(&head).0, expected, "{path}");
        head.session = Some(crate::wire::ExchangeId(0));
        assert_eq!(recognize(&head).0, message, "{path}");
    }
}

#[test]
fn providers() {
    let cases = [
        ("api.openai.com", "/v1/chat/completions", Provider::OpenAi),
        ("me.openai.azure.com", "/openai/deployments/x/chat/completions", Provider::AzureOpenAi),
        ("openrouter.ai", "/api/v1/chat/completions", Provider::OpenAi),
        ("me.services.ai.azure.com", "/models/chat/completions", Provider::AzureAiInference),
        ("models.inference.ai.azure.com", "/chat/completions", Provider::AzureAiInference),
        ("api.x.ai", "/v1/chat/completions", Provider::XAi),
        ("api.deepseek.com", "/anthropic/v1/messages", Provider::DeepSeek),
        ("api.anthropic.com", "/v1/chat/completions", Provider::Anthropic),
        ("localhost:8787", "/anthropic/v1/messages", Provider::Anthropic),
    ];
    for (authority, path, provider) in cases {
        let body = r#"{"model":"m","max_tokens":1,"messages":[]}"#;
        let call = Exchange::new(head("POST", authority, path)).request(body).call();
        assert_eq!(call.provider, provider, "{authority}{path}");
    }
}

/// `/v1/messages` is a path that services without a model have too.
#[test]
fn messages_of_other_services_are_told_by_their_bodies() {
    let llm = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
    let sms = r#"{"from":"a","to":"b","text":"hi"}"#;
    let answer = r#"{"type":"message","id":"msg_1","role":"assistant","content":[],"model":"m"}"#;
    let made = |request: Option<&str>, response: &str| {
        let mut exchange = Exchange::new(head("POST", "sms.example", "/v1/messages"));
        exchange = match request {
            Some(body) => exchange.request(body),
            None => exchange.then(EventKind::RequestBody(crate::wire::Body::Missing(crate::wire::Missing {
                len: Some(9),
                cut: false,
            }))),
        };
        let account = Arc::clone(&exchange.account);
        let call = exchange.json(200, response).run(ExchangeEnd::Complete);
        (call.is_some(), account.get(Counter::Calls), account.get(Counter::ExchangesNotLlm))
    };
    assert_eq!(made(Some(llm), answer), (true, 1, 0));
    assert_eq!(made(Some(sms), r#"{"status":0}"#), (false, 0, 1));
    // Its request says that it is none, whatever its answer looks like.
    assert_eq!(made(Some(sms), answer), (false, 0, 1));
    // With the request lost, the answer decides.
    assert_eq!(made(None, answer), (true, 1, 0));
    assert_eq!(made(None, r#"{"status":0}"#), (false, 0, 1));
    assert_eq!(made(Some("not json"), r#"{"status":0}"#), (false, 0, 1));

    let mut head = head("POST", "gateway.example", "/v1/messages");
    head.headers = headers(&[("anthropic-version", "2023-06-01")]);
    assert!(Exchange::new(head).request("not json").run(ExchangeEnd::Complete).is_some());
}

/// `/v1/responses` is where services without a model keep answers to surveys.
#[test]
fn responses_of_other_services_are_told_by_their_bodies() {
    let llm = r#"{"model":"m","input":"hi"}"#;
    let survey = r#"{"survey":"s","answers":[1]}"#;
    let answer = r#"{"object":"response","id":"resp_1","status":"completed","output":[]}"#;
    for (request, response, is_call) in [
        (llm, answer, true),
        (survey, "{}", false),
        (survey, answer, false),
        ("not json", answer, true),
        ("not json", "{}", false),
    ] {
        let exchange = Exchange::new(head("POST", "surveys.example", "/v1/responses")).request(request);
        let call = exchange.json(200, response).run(ExchangeEnd::Complete);
        assert_eq!(call.is_some(), is_call, "{request} {response}");
    }
}

/// Two dialects on one path, told apart by their bodies alone.
mod by_body {
    use super::*;
    use crate::genai::Told;
    use crate::{
        genai::{
            Call, CallError,
            budget::Budget,
            dialect::{Carried, Claim, Dialect, Fold, Malformed},
            document::Document,
            field::Field,
            finish::Ending,
        },
        time::Timestamp,
        wire::{Event, ExchangeId, SseEvent},
    };

    struct Marked(&'static str);

    impl Dialect for Marked {
        fn name(&self) -> &'static str {
            self.0
        }

        fn claim(&self, _: &RequestHead) -> Claim {
            Claim::Maybe
        }

        fn provider(&self) -> Provider {
            Provider::OpenAi
        }

        fn open(&self, _: &RequestHead) -> Box<dyn Fold> {
            Box::new(MarkedFold(self.0))
        }
    }

    struct MarkedFold(&'static str);

    impl Fold for MarkedFold {
        fn request(&mut self, body: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<bool, Malformed> {
            if body.bytes() == b"broken" { Err(Malformed) } else { Ok(body.bytes() == self.0.as_bytes()) }
        }

        fn error(&self, _: Field<'_>, _: &mut Budget) -> Option<CallError> {
            None
        }

        fn response(&mut self, body: &Document<'_>, _: &mut Call, _: &mut Budget) -> Result<(), Malformed> {
            if body.bytes() == self.0.as_bytes() { Ok(()) } else { Err(Malformed) }
        }

        fn event(&mut self, _: &SseEvent, _: &mut Call, _: &mut Budget) -> Result<Carried, Malformed> {
            Ok(Carried::Content)
        }

        fn terminated(&self, _: &Call) -> bool {
            true
        }

        fn finish(&mut self, _: Ending, _: bool, _: &mut Call, _: &mut Budget) {}
    }

    static MARKED: &[&dyn Dialect] = &[&Marked("first"), &Marked("second")];

    #[test]
    fn decides() {
        let cases = [
            ("first", "first", Some("first")),
            ("second", "second", Some("second")),
            // The request has the first word.
            ("second", "first", Some("second")),
            ("broken", "second", Some("second")),
            ("other", "first", None),
            ("broken", "other", None),
        ];
        for (request, response, expected) in cases {
            let account = Arc::new(Account::default());
            let recognizer = Recognizer::with_dialects(Limits::default(), Arc::clone(&account), MARKED);
            let exchange = Exchange::openai().request(request).json(200, response);
            let Recognition::Call(mut builder) = recognizer.recognize(&exchange.head) else {
                panic!("{request}")
            };
            let head = EventKind::RequestHead(Box::new(exchange.head));
            let end = EventKind::End(ExchangeEnd::Complete);
            let mut events = std::iter::once(head).chain(exchange.events).chain([end]);
            let call = events.find_map(|kind| {
                let told = builder.event(Event { exchange: ExchangeId(1), time: Timestamp(1), kind });
                told.into_iter().find_map(|told| if let Told::Call(call) = told { Some(call) } else { None })
            });
            assert_eq!(call.map(|call| call.dialect), expected, "{request} {response}");
            assert_eq!(
                account.get(Counter::ExchangesNotLlm),
                u64::from(expected.is_none()),
                "{request} {response}"
            );
        }
    }
}
