use super::*;
use crate::{
    genai::{
        call::OutputType,
        tests::harness::{Exchange, head},
    },
    wire::ExchangeEnd,
};

const CHAT: &str = r#"{"model":"llama3","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi","images":["AAAA"]},
    {"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},
    {"role":"tool","content":"20","tool_name":"f"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"format":{"type":"object"},
    "options":{"temperature":0.5,"top_p":0.9,"top_k":4,"num_predict":7,"seed":1,"stop":["x"]},"think":"high"}"#;

fn exchange(path: &str, body: &str) -> Exchange {
    Exchange::new(head("POST", "localhost:11434", path)).request(body)
}

fn lines(exchange: Exchange, list: &[&str]) -> Exchange {
    let events =
        list.iter().map(|line| SseEvent { event: "".into(), data: (*line).to_owned().into() }).collect();
    exchange.status(200, &[("content-type", "application/x-ndjson")]).more(events)
}

fn said(call: &Call) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Text(content) => format!("text {}", content.text),
        Part::Reasoning(content) => format!("reasoning {}", content.text),
        Part::ToolCall { name, arguments, .. } => format!("call {name} {}", arguments.text),
        other => format!("{other:?}"),
    };
    call.response
        .generations
        .iter()
        .flat_map(|generation| generation.message.parts.iter().map(part))
        .collect()
}

#[test]
fn whole_chats() {
    let answer = r#"{"model":"llama3:8b","created_at":"2024-05-24T21:01:59Z","message":{"role":"assistant","content":"yo","thinking":"hm",
        "tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done_reason":"stop","done":true,"prompt_eval_count":17,"eval_count":79}"#;
    let call = exchange("/api/chat", CHAT).json(200, answer).call();
    assert_eq!((call.dialect, call.provider), ("ollama.chat", Provider::Ollama));
    assert_eq!(call.operation, OperationName::Chat);
    let request = &call.request;
    assert_eq!((request.temperature, request.top_p, request.top_k), (Some(0.5), Some(0.9), Some(4)));
    assert_eq!((request.max_tokens, request.seed, request.stream), (Some(7), Some(1), Some(true)));
    assert_eq!((request.messages.len(), request.tools.len(), request.stop_sequences.len()), (4, 1, 1));
    let parts: Vec<_> = request.messages.iter().map(|message| message.parts.len()).collect();
    assert_eq!(parts, [1, 2, 2, 1]);
    assert_eq!(
        (request.output_type, request.reasoning_level.as_deref()),
        (Some(OutputType::Json), Some("high"))
    );
    assert_eq!(call.response.model.as_deref(), Some("llama3:8b"));
    assert_eq!((call.usage.input, call.usage.output), (Some(17), Some(79)));
    assert_eq!(said(&call), ["reasoning hm", "text yo", r#"call f {"a":1}"#]);
    let generation = &call.response.generations[0];
    assert_eq!(generation.finish_reason, Some(FinishReason::ToolCall));
    assert_eq!(generation.provider_finish_reason.as_deref(), Some("stop"));
}

#[test]
fn generations() {
    let body = r#"{"model":"llama3","prompt":"tell me","system":"s","images":["AA"],"stream":false,"format":"json"}"#;
    let answer = r#"{"model":"llama3","response":"a joke","thinking":"hm","done":true,"done_reason":"length","context":[1],"eval_count":38}"#;
    let call = exchange("/api/generate", body).json(200, answer).call();
    assert_eq!((call.dialect, call.operation), ("ollama.generate", OperationName::TextCompletion));
    assert_eq!((call.request.system.len(), call.request.messages[0].parts.len()), (1, 2));
    assert_eq!((call.request.stream, call.request.output_type), (Some(false), Some(OutputType::Json)));
    assert_eq!((call.usage.input, call.usage.output), (None, Some(38)));
    assert_eq!(said(&call), ["reasoning hm", "text a joke"]);
    assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Length));
}

#[test]
fn streams() {
    let chat = [
        r#"{"model":"llama3","message":{"role":"assistant","content":"he"},"done":false}"#,
        r#"{"model":"llama3","message":{"role":"assistant","content":"llo"},"done":false}"#,
        r#"{"model":"llama3","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":1,"eval_count":2}"#,
    ];
    let call = lines(exchange("/api/chat", CHAT), &chat).call();
    assert_eq!((said(&call), call.streaming.chunks), (vec!["text hello".to_owned()], 3));
    assert_eq!((call.usage.input, call.usage.output, call.usage.partial), (Some(1), Some(2), false));
    assert_eq!((call.error, call.ended), (None, Some(ExchangeEnd::Complete)));
    let body = r#"{"model":"llama3","prompt":"p"}"#;
    let generate = [
        r#"{"model":"llama3","response":"he","done":false}"#,
        r#"{"model":"llama3","response":"llo","done":false}"#,
        r#"{"model":"llama3","response":"","done":true,"done_reason":"stop","eval_count":2}"#,
    ];
    let call = lines(exchange("/api/generate", body), &generate).call();
    assert_eq!((said(&call), call.usage.output), (vec!["text hello".to_owned()], Some(2)));
    // They break off.
    for (path, body, list) in [("/api/chat", CHAT, chat), ("/api/generate", body, generate)] {
        let call = lines(exchange(path, body), &list[..2]).run(ExchangeEnd::ClosedLocally).unwrap();
        assert_eq!(said(&call), ["text hello"]);
        assert_eq!(call.error.as_ref().map(|error| &*error.kind), Some("client_closed"));
        assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
        // They fail.
        let call = lines(exchange(path, body), &[list[0], r#"{"error":"out of memory"}"#]).call();
        assert_eq!(call.error.unwrap().message.as_deref(), Some("out of memory"));
        assert_eq!(call.response.generations[0].finish_reason, Some(FinishReason::Error));
    }
}

#[test]
fn errors_and_what_is_none() {
    let call = exchange("/api/chat", CHAT).json(404, r#"{"error":"model 'llama3' not found"}"#).call();
    let error = call.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_deref()), ("404", Some("model 'llama3' not found")));
    for (path, body) in [
        // Loads a model, or lets go of it.
        ("/api/generate", r#"{"model":"llama3"}"#),
        ("/api/generate", r#"{"model":"llama3","prompt":"","keep_alive":0}"#),
        ("/api/chat", r#"{"model":"llama3","messages":[]}"#),
        // What a web page says to its own backend.
        ("/api/chat", r#"{"id":"chat1","model":"gpt","messages":[{"role":"user","parts":[]}]}"#),
        ("/api/chat", r#"{"messages":[{"role":"user","content":"hi"}]}"#),
        ("/api/generate", r#"{"report":7}"#),
    ] {
        let answer = r#"{"model":"m","message":{"content":""},"response":"","done":true}"#;
        let exchange = exchange(path, body).json(200, answer);
        assert!(exchange.run(ExchangeEnd::Complete).is_none(), "{path} {body}");
    }
    // With the request lost, the answer tells.
    let gap = crate::wire::Body::Missing(crate::wire::Missing { len: Some(9), cut: false });
    let lost = || exchange_without("/api/chat").then(crate::wire::EventKind::RequestBody(gap.clone()));
    assert!(lost().json(200, r#"{"ok":true}"#).run(ExchangeEnd::Complete).is_none());
    let answer = r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":true}"#;
    assert_eq!(said(&lost().json(200, answer).call()), ["text a"]);
}

fn exchange_without(path: &str) -> Exchange {
    Exchange::new(head("POST", "localhost:11434", path))
}
