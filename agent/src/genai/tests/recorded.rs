//! Every recorded exchange of the APIs that are read, against an independent, naive reading of the same bytes.

mod naive;
mod naive_bedrock;
mod naive_others;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use self::naive::{Said, filled};
use super::harness::{Exchange, head, headers, sse};
use crate::{
    account::Counter,
    genai::{Call, FinishReason, Part},
    wire::{Body, EventKind, ExchangeEnd, SseEvent},
};

struct Recorded {
    source: String,
    method: String,
    authority: String,
    path: String,
    request_headers: Vec<(String, String)>,
    request: Vec<u8>,
    status: u16,
    response_headers: Vec<(String, String)>,
    response: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Api {
    Chat,
    Messages,
    Responses,
    FetchResponse,
    GenerateContent,
    Completions,
    Embeddings,
    Converse,
    Invoke,
    CohereChat,
    CohereChatV1,
    CohereEmbed,
    Rerank,
    Ollama,
    OllamaEmbed,
    EmbedContent,
}

impl Recorded {
    /// Which of the APIs the exchange is a call of, told by its URL.
    fn api(&self) -> Option<Api> {
        match self.path.as_str() {
            path if self.method == "GET" && path.contains("/responses/resp_") => Some(Api::FetchResponse),
            _ if self.method != "POST" => None,
            path if path.ends_with("/chat/completions") => Some(Api::Chat),
            path if path.ends_with("/v1/messages") => Some(Api::Messages),
            path if path.ends_with("/responses") => Some(Api::Responses),
            path if path.ends_with("enerateContent") => Some(Api::GenerateContent),
            path if path.ends_with("mbedContent") || path.ends_with("mbedContents") => {
                Some(Api::EmbedContent)
            }
            path if path.ends_with("/completions") => Some(Api::Completions),
            // Ollama has an API of its own below /api.
            path if path.ends_with("/embeddings") && !path.starts_with("/api/") => Some(Api::Embeddings),
            path if path.contains("/model/") && path.contains("/converse") => Some(Api::Converse),
            path if path.contains("/model/") && path.contains("/invoke") => Some(Api::Invoke),
            path if path.ends_with("/v2/chat") => Some(Api::CohereChat),
            path if path.ends_with("/v1/chat") && self.authority == "api.cohere.com" => {
                Some(Api::CohereChatV1)
            }
            // Writer's is in OpenAI's form.
            path if path.ends_with("/v1/chat") => Some(Api::Chat),
            path if path.ends_with("/v2/embed") => Some(Api::CohereEmbed),
            path if path.ends_with("/rerank") => Some(Api::Rerank),
            "/api/chat" | "/api/generate" => Some(Api::Ollama),
            "/api/embeddings" => Some(Api::OllamaEmbed),
            _ => None,
        }
    }

    fn is_bedrock(&self) -> bool {
        matches!(self.api(), Some(Api::Converse | Api::Invoke))
    }

    fn is_of_type(&self, start: &str) -> bool {
        self.response_headers.iter().any(|(n, v)| n == "content-type" && v.starts_with(start))
    }

    fn streamed(&self) -> bool {
        let streams = ["text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream"];
        streams.iter().any(|start| self.is_of_type(start))
    }

    /// The events of a stream.
    fn events(&self) -> Vec<SseEvent> {
        if self.is_of_type("text/event-stream") {
            return sse(self.text());
        }
        if self.is_bedrock() {
            return naive_bedrock::messages(&self.response);
        }
        let lines = self.text().lines().filter(|line| !line.is_empty());
        lines.map(|line| SseEvent { event: "".into(), data: line.to_owned().into() }).collect()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.response).expect("UTF-8")
    }

    fn exchange(&self) -> Exchange {
        let mut head = head(&self.method, &self.authority, &self.path);
        head.headers = headers(&pairs(&self.request_headers));
        let exchange = Exchange::new(head)
            .request_bytes(&self.request)
            .status(self.status, &pairs(&self.response_headers));
        if self.streamed() {
            return exchange.more(self.events());
        }
        exchange.then(EventKind::ResponseBody(Body::Bytes(self.response.clone().into())))
    }
}

fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect()
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("PLAINSPAN_EXCHANGES") {
        return folder.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let candidates = [root.join("../shared/exchanges"), root.join("../../shared/exchanges")];
    candidates.into_iter().find(|path| path.is_dir()).expect(
        "the recorded exchanges are not beside the repository (../shared/exchanges): set PLAINSPAN_EXCHANGES",
    )
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut n) = (0u32, 0);
    for byte in text.bytes().filter(|b| *b != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            other => panic!("not base64: {other}"),
        };
        (bits, n) = ((bits << 6 | u32::from(digit)) & 0xffff, n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}

fn body(value: &Value) -> Vec<u8> {
    let bytes = base64(value.as_str().unwrap_or_default());
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).expect("gzip");
    out
}

fn header_list(value: &Value) -> Vec<(String, String)> {
    let list = value.as_array().expect("headers");
    list.iter().map(|h| (h[0].as_str().unwrap().to_lowercase(), h[1].as_str().unwrap().to_owned())).collect()
}

fn recorded() -> Vec<Recorded> {
    let mut out = Vec::new();
    let folder = folder();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "jsonl"))
        .collect();
    files.sort();
    for file in files {
        for line in fs::read_to_string(&file).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let (request, response) = (&line["request"], &line["response"]);
            let Some(url) = request["url"].as_str() else { continue };
            let (_, rest) = url.split_once("://").unwrap();
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            out.push(Recorded {
                source: line["source"].as_str().unwrap().to_owned(),
                method: request["method"].as_str().unwrap().to_owned(),
                authority: authority.to_owned(),
                path: path.split('?').next().unwrap().to_owned(),
                request_headers: header_list(&request["headers"]),
                request: body(&request["body_b64"]),
                status: response["status"].as_u64().unwrap() as u16,
                response_headers: header_list(&response["headers"]),
                response: body(&response["body_b64"]),
            });
        }
    }
    assert!(out.len() > 1000, "only {} exchanges in {}", out.len(), folder.display());
    out
}

/// The same out of a call. Arguments are compared as values: `serde_json::Value` does not keep spaces.
fn of_call(call: &Call) -> Said {
    let choices = call.response.generations.iter().map(|generation| {
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in &generation.message.parts {
            match part {
                Part::Text(content) => text += &content.text,
                Part::ToolCall { name, arguments, .. } => calls.push((name.clone(), arguments.text.clone())),
                _ => {}
            }
        }
        (text, generation.provider_finish_reason.clone(), calls)
    });
    Said {
        id: call.response.id.clone(),
        model: call.response.model.clone(),
        input: call.usage.input,
        output: call.usage.output,
        choices: choices.collect(),
    }
}

fn normalise_arguments(said: &mut Said) {
    for (_, arguments) in said.choices.iter_mut().flat_map(|choice| &mut choice.2) {
        if let Ok(value) = serde_json::from_str::<Value>(arguments) {
            *arguments = value.to_string();
        }
    }
}

#[test]
fn recorded_calls_say_what_the_wire_says() {
    let (mut calls, mut streams, mut errors) = (0, 0, 0);
    for recorded in recorded() {
        let source = &recorded.source;
        let Some(api) = recorded.api() else {
            assert!(recorded.exchange().run(ExchangeEnd::Complete).is_none(), "{source}");
            continue;
        };
        let exchange = recorded.exchange();
        let account = Arc::clone(&exchange.account);
        let call = exchange.run(ExchangeEnd::Complete).unwrap_or_else(|| panic!("missed: {source}"));
        calls += 1;
        assert_eq!(account.get(Counter::UnknownValues), 0, "{source}");
        assert_eq!(call.ended, Some(ExchangeEnd::Complete), "{source}");
        // One client's JSON has a comma too many.
        let fetched = api == Api::FetchResponse;
        let none = (recorded.is_bedrock() || fetched) && recorded.request.is_empty();
        let readable = none || serde_json::from_slice::<Value>(&recorded.request).is_ok();
        assert_eq!(call.damage.request_malformed, !readable, "{source}");
        assert!(!call.damage.response_malformed, "{source}");
        assert_eq!(call.omitted, 0, "{source}");
        if readable && !fetched {
            same_request(&recorded, &call);
        }
        if recorded.status >= 400 {
            errors += 1;
            let body: Value = serde_json::from_slice(&recorded.response).unwrap();
            let said = ["code", "type", "status"].into_iter().find_map(|key| body["error"][key].as_str());
            // Cohere has no code but the status.
            let status = recorded.status.to_string();
            let said = said.or(body["error"].is_null().then_some(status.as_str()));
            let told = naive_bedrock::error(&recorded);
            let said = if recorded.is_bedrock() { Some(&*told) } else { said };
            assert_eq!(call.error.unwrap().kind, said.unwrap(), "{source}");
            continue;
        }
        assert_eq!(call.streaming.streamed, recorded.streamed(), "{source}");
        streams += usize::from(recorded.streamed());
        let mut naive = match api {
            Api::Chat => naive::chat(&recorded),
            Api::Messages => naive::messages(&recorded),
            Api::Responses => naive::responses(&recorded),
            Api::FetchResponse => naive::fetched(&recorded),
            Api::GenerateContent => naive::generate_content(&recorded),
            Api::Completions => naive::completions(&recorded),
            Api::Embeddings => naive::embeddings(&recorded),
            Api::Converse => naive_bedrock::converse(&recorded),
            Api::Invoke => naive_bedrock::invoke(&recorded),
            Api::CohereChat => naive_others::cohere_chat(&recorded),
            Api::CohereChatV1 => naive_others::cohere_chat_v1(&recorded),
            Api::CohereEmbed | Api::Rerank => naive_others::judged(&recorded),
            Api::Ollama => naive_others::ollama(&recorded),
            Api::OllamaEmbed => Said::default(),
            Api::EmbedContent => naive_others::embed_content(&recorded),
        };
        let mut found = of_call(&call);
        normalise_arguments(&mut naive);
        normalise_arguments(&mut found);
        assert_eq!(found, naive, "{source}");
        assert!(!call.usage.partial, "{source}");
        // Azure has answered a blocked prompt with 200 and an error.
        let failed = if recorded.is_bedrock() {
            false
        } else if recorded.streamed() {
            recorded.text().contains("event: error")
        } else {
            serde_json::from_str::<Value>(recorded.text()).unwrap()["error"].is_object()
        };
        assert_eq!(call.error.is_some(), failed, "{source}");
        for generation in &call.response.generations {
            let new = matches!(generation.finish_reason, Some(FinishReason::Other(_)));
            assert!(!new, "{source}: {:?}", generation.finish_reason);
        }
    }
    assert!(calls > 500 && streams > 100 && errors > 5, "{calls} calls, {streams} streams, {errors} errors");
}

fn same_request(recorded: &Recorded, call: &Call) {
    if recorded.is_bedrock() {
        return naive_bedrock::same_request(recorded, call);
    }
    let body: Value = serde_json::from_slice(&recorded.request).unwrap();
    if recorded.api() == Some(Api::GenerateContent) {
        return same_contents(recorded, &body, call);
    }
    let (source, request) = (&recorded.source, &call.request);
    let deployment = recorded.path.split("/deployments/").nth(1).and_then(|rest| rest.split('/').next());
    if recorded.api() == Some(Api::EmbedContent) {
        let model = recorded.path.rsplit(['/', ':']).nth(1);
        return assert_eq!(request.model.as_deref(), model, "{source}");
    }
    assert_eq!(request.model.as_deref(), body["model"].as_str().or(deployment), "{source}");
    assert_eq!(request.stream, body["stream"].as_bool(), "{source}");
    assert_eq!(request.temperature, body["temperature"].as_f64(), "{source}");
    if recorded.api() == Some(Api::Responses) {
        let max = body["max_output_tokens"].as_i64();
        assert_eq!(request.max_tokens, max, "{source}");
        assert_eq!(
            request.previous_response_id.as_deref(),
            body["previous_response_id"].as_str(),
            "{source}"
        );
        let conversation = body["conversation"].as_str().or(body["conversation"]["id"].as_str());
        assert!(conversation.is_none() || request.conversation_id.as_deref() == conversation, "{source}");
        assert_eq!(request.system.is_empty(), filled(&body["instructions"]).is_none(), "{source}");
        assert_eq!(request.tools.len(), body["tools"].as_array().map_or(0, Vec::len), "{source}");
        // What is only there encrypted can't be shown.
        let shown = |item: &&Value| {
            item["type"] != "reasoning" || item["summary"][0].is_object() || item["content"][0].is_object()
        };
        let count = body["input"].as_array().map_or(1, |items| items.iter().filter(shown).count());
        assert_eq!(request.messages.len(), count, "{source}");
        return;
    }
    if matches!(recorded.api(), Some(Api::Ollama | Api::OllamaEmbed)) {
        return naive_others::same_ollama(&body, call, source);
    }
    if recorded.api() == Some(Api::CohereChatV1) {
        return naive_others::same_history(&body, call, source);
    }
    if matches!(recorded.api(), Some(Api::CohereEmbed | Api::Rerank)) {
        let types = body["embedding_types"].as_array().map_or(0, Vec::len);
        return assert_eq!(request.encoding_formats.len(), types, "{source}");
    }
    if recorded.api() == Some(Api::Embeddings) {
        assert_eq!(request.dimensions, body["dimensions"].as_i64(), "{source}");
        let format = body["encoding_format"].as_str();
        assert_eq!(request.encoding_formats.first().map(String::as_str), format, "{source}");
        return;
    }
    if recorded.api() == Some(Api::Completions) {
        assert_eq!(request.max_tokens, body["max_tokens"].as_i64(), "{source}");
        let prompts = body["prompt"].as_array().map_or(1, Vec::len);
        assert_eq!(request.messages.len(), prompts, "{source}");
        return;
    }
    let max = body["max_completion_tokens"].as_i64().or(body["max_tokens"].as_i64());
    assert_eq!(request.max_tokens, max, "{source}");
    let roles = |m: &Value| m["role"].as_str().unwrap().to_owned();
    let roles: Vec<_> = body["messages"].as_array().unwrap().iter().map(roles).collect();
    assert_eq!(request.messages.iter().map(|m| m.role.clone()).collect::<Vec<_>>(), roles, "{source}");
    let count = |key: &str| body[key].as_array().map_or(0, Vec::len);
    assert_eq!(request.tools.len(), count("tools") + count("functions"), "{source}");
    assert_eq!(request.system.is_empty(), body["system"].is_null(), "{source}");
    let json = serde_json::to_string(&body["tools"]).unwrap();
    for name in request.tools.iter().filter_map(|tool| tool.name.as_ref()) {
        assert!(json.contains(name) || count("functions") > 0, "{source}: {name}");
    }
}

fn same_contents(recorded: &Recorded, body: &Value, call: &Call) {
    let (source, request) = (&recorded.source, &call.request);
    let model = recorded.path.rsplit('/').next().unwrap().split(':').next();
    assert_eq!(request.model.as_deref(), model, "{source}");
    assert_eq!(request.stream, recorded.streamed().then_some(true), "{source}");
    let config = &body["generationConfig"];
    assert_eq!(request.temperature, config["temperature"].as_f64(), "{source}");
    assert_eq!(request.max_tokens, config["maxOutputTokens"].as_i64(), "{source}");
    assert_eq!(request.messages.len(), body["contents"].as_array().map_or(0, Vec::len), "{source}");
    assert_eq!(request.system.is_empty(), body["systemInstruction"].is_null(), "{source}");
    let functions = |tool: &Value| tool["functionDeclarations"].as_array().map_or(0, Vec::len);
    let tools = body["tools"].as_array().into_iter().flatten().map(functions).sum::<usize>();
    let found = request.tools.iter().filter(|tool| tool.kind == "function");
    assert_eq!(found.count(), tools, "{source}");
}

/// A call of the first events of a stream, its client gone.
fn cut(recorded: &Recorded, events: &[SseEvent]) -> Call {
    Exchange::new(head(&recorded.method, &recorded.authority, &recorded.path))
        .request(r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"a"}],"prompt":"a"}"#)
        .status(recorded.status, &pairs(&recorded.response_headers))
        .more(events.to_vec())
        .run(ExchangeEnd::ClosedLocally)
        .unwrap()
}

#[test]
fn a_cut_stream_never_contradicts_the_whole_one() {
    let mut cuts = 0;
    for recorded in recorded().iter().filter(|r| r.api().is_some() && r.streamed()) {
        let events = recorded.events();
        let whole = cut(recorded, &events);
        let expected = of_call(&whole);
        for n in 0..events.len() {
            let source = format!("{} cut after {n} of {} events", recorded.source, events.len());
            let call = cut(recorded, &events[..n]);
            let found = of_call(&call);
            cuts += 1;
            assert!(found.id.is_none() || found.id == expected.id, "{source}");
            assert!(found.model.is_none() || found.model == expected.model, "{source}");
            assert!(found.choices.len() <= expected.choices.len(), "{source}");
            for (choice, whole) in found.choices.iter().zip(&expected.choices) {
                assert!(whole.0.starts_with(&choice.0), "{source}");
                assert!(choice.1.is_none() || choice.1 == whole.1, "{source}");
                for (part, whole) in choice.2.iter().zip(&whole.2) {
                    assert_eq!(part.0, whole.0, "{source}");
                    assert!(whole.1.starts_with(&part.1) || part.1 == "{}", "{source}");
                }
            }
            if !call.usage.partial {
                assert!(found.input.is_none() || found.input == expected.input, "{source}");
                assert!(found.output.is_none() || found.output == expected.output, "{source}");
            }
            let complete = call.ended == Some(ExchangeEnd::Complete);
            assert_eq!(call.error.is_none(), complete, "{source}");
            for generation in &call.response.generations {
                let broken = generation.finish_reason == Some(FinishReason::Error);
                assert_eq!(broken, generation.provider_finish_reason.is_none() && !complete, "{source}");
            }
        }
    }
    assert!(cuts > 3000, "only {cuts} cuts");
}
