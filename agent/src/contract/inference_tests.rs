use std::time::Duration;

use serde_json::{Value as Parsed, json};

use super::*;
use crate::account::Counter;
use crate::contract::{
    Value,
    check::tests::{SCHEMA, json_of},
    definition,
};
use crate::genai::{
    Content, Damage, Message, Part, Quota, RateLimits, Repetition, Request, Response, Streaming,
    ToolDefinition, TraceContext, Transport, Usage,
};

const IDS: SpanIds = SpanIds { trace_id: [1; 16], span_id: [2; 8] };

/// With all of the content.
fn with_content() -> Options {
    Options { content: Form::Full, ..Options::default() }
}

fn spanned(call: &Call) -> Span {
    build(call, IDS, Relations::default(), &Options::default(), &Account::default())
}

#[expect(clippy::unnecessary_wraps, reason = "rows say what a span has, which may be nothing")]
fn text(value: &str) -> Option<Value> {
    Some(Value::String(value.into()))
}

#[expect(clippy::unnecessary_wraps, reason = "rows say what a span has, which may be nothing")]
fn texts(values: &[&str]) -> Option<Value> {
    Some(Value::Strings(values.iter().map(|v| (*v).to_owned()).collect()))
}

/// The smallest call that there can be.
fn plain() -> Call {
    Call {
        dialect: "openai.chat_completions",
        role: Some(Role::Client),
        ended: Some(ExchangeEnd::Complete),
        start: Timestamp(1_000_000_000),
        end: Timestamp(3_000_000_000),
        ..Call::default()
    }
}

fn generation(reason: Option<FinishReason>, own: Option<&str>) -> Generation {
    Generation {
        finish_reason: reason,
        provider_finish_reason: own.map(Into::into),
        message: Message { role: "assistant".into(), name: None, parts: vec![Part::Text("Hi".into())] },
    }
}

fn quota(n: u32) -> Quota {
    Quota {
        limit: Some((100 * n).into()),
        remaining: Some(n.into()),
        reset: Some(Duration::from_secs(1) * n),
    }
}

/// A call in which everything is there.
fn full() -> Call {
    Call {
        operation: OperationName::Chat,
        provider: Provider::OpenAi,
        request: Request {
            model: Some("gpt-4.1-mini".into()),
            stream: Some(true),
            temperature: Some(0.5),
            top_p: Some(1.0),
            top_k: Some(40),
            frequency_penalty: Some(-0.5),
            presence_penalty: Some(0.25),
            max_tokens: Some(1000),
            choice_count: Some(2),
            seed: Some(7),
            dimensions: Some(256),
            encoding_formats: vec!["float".into()],
            stop_sequences: vec!["END".into()],
            output_type: Some(OutputType::Json),
            reasoning_level: Some("high".into()),
            service_tier: Some("flex".into()),
            conversation_id: Some("conv_1".into()),
            agent_id: Some("AGENT1".into()),
            agent_name: Some("helper".into()),
            knowledge_base_id: Some("KB1".into()),
            previous_response_id: Some("resp_0".into()),
            system: vec![Part::Text("Be kind".into())],
            messages: vec![Message {
                role: "user".into(),
                name: None,
                parts: vec![Part::Text("Hello".into())],
            }],
            tools: vec![ToolDefinition {
                kind: "function".into(),
                name: Some("f".into()),
                description: None,
                parameters: None,
            }],
        },
        response: Response {
            id: Some("chatcmpl-1".into()),
            model: Some("gpt-4.1-mini-2025-04-14".into()),
            generations: vec![
                generation(Some(FinishReason::Stop), Some("stop")),
                generation(Some(FinishReason::Other("nap".into())), Some("NAP")),
            ],
            service_tier: Some("default".into()),
            system_fingerprint: Some("fp_1".into()),
            repetition: Some(Repetition { period: 29, count: 120 }),
        },
        usage: Usage {
            input: Some(100),
            output: Some(20),
            cache_read: Some(80),
            cache_write: Some(5),
            reasoning: Some(12),
            audio_input: Some(1),
            audio_output: Some(2),
            partial: true,
        },
        error: Some(CallError {
            kind: "server_error".into(),
            code: Some("server_error".into()),
            provider_type: Some("api_error".into()),
            message: Some("it broke".into()),
        }),
        streaming: Streaming {
            streamed: true,
            first_chunk: Some(Timestamp(1_250_000_000)),
            first_content: Some(Timestamp(1_500_000_000)),
            chunks: 9,
            mean_gap: Some(Duration::from_millis(125)),
            largest_gap: Some(Duration::from_millis(2500)),
            gaps: None,
            stalled: Some(true),
            stopped_by: Some(Party::Server),
        },
        ended: Some(ExchangeEnd::ClosedRemotely),
        transport: Transport {
            server_address: Some("api.openai.com".into()),
            server_port: Some(443),
            method: "POST".into(),
            path: "/v1/chat/completions".into(),
            version: Some(Version::Http11),
            status: Some(200),
            request_id: Some("req_1".into()),
            user_agent: Some("OpenAI/Python 1.99.1".into()),
            retry_after: Some(Duration::from_millis(1500)),
            rate_limits: RateLimits {
                requests: quota(1),
                tokens: quota(2),
                input_tokens: quota(3),
                output_tokens: quota(4),
            },
        },
        damage: Damage {
            request: Missed { lost: 10, cut: 20, unknown: true },
            response: Missed { lost: 30, cut: 40, unknown: true },
            request_malformed: true,
            response_malformed: true,
        },
        trace: Some(TraceContext {
            trace_id: [3; 16],
            parent_id: [4; 8],
            flags: 0,
            state: Some("vendor=1".into()),
        }),
        ..plain()
    }
}

#[test]
fn everything_that_a_call_says_is_on_its_span() {
    let account = Account::default();
    let options = Options { capture_source: Some("x.jsonl:3".into()), ..with_content() };
    let span = build(&full(), IDS, Relations::default(), &options, &account);
    #[rustfmt::skip]
    let rows = [
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("openai")),
        ("gen_ai.system", text("openai")),
        ("gen_ai.request.model", text("gpt-4.1-mini")),
        ("gen_ai.conversation.id", text("conv_1")),
        ("gen_ai.agent.id", text("AGENT1")),
        ("gen_ai.agent.name", text("helper")),
        ("gen_ai.data_source.id", text("KB1")),
        ("aws.bedrock.knowledge_base.id", text("KB1")),
        ("gen_ai.output.type", text("json")),
        ("gen_ai.request.stream", Some(Value::Bool(true))),
        ("gen_ai.request.temperature", Some(Value::Double(0.5))),
        ("gen_ai.request.top_p", Some(Value::Double(1.0))),
        ("gen_ai.request.top_k", Some(Value::Int(40))),
        ("gen_ai.request.frequency_penalty", Some(Value::Double(-0.5))),
        ("gen_ai.request.presence_penalty", Some(Value::Double(0.25))),
        ("gen_ai.request.max_tokens", Some(Value::Int(1000))),
        ("gen_ai.request.choice.count", Some(Value::Int(2))),
        ("gen_ai.request.seed", Some(Value::Int(7))),
        ("gen_ai.embeddings.dimension.count", Some(Value::Int(256))),
        ("gen_ai.request.encoding_formats", texts(&["float"])),
        ("gen_ai.request.stop_sequences", texts(&["END"])),
        ("gen_ai.request.reasoning.level", text("high")),
        ("gen_ai.request.previous_response.id", text("resp_0")),
        ("gen_ai.response.id", text("chatcmpl-1")),
        ("gen_ai.response.model", text("gpt-4.1-mini-2025-04-14")),
        ("gen_ai.response.finish_reasons", texts(&["stop", "nap"])),
        ("gen_ai.response.time_to_first_chunk", Some(Value::Double(0.25))),
        ("gen_ai.usage.input_tokens", Some(Value::Int(100))),
        ("gen_ai.usage.output_tokens", Some(Value::Int(20))),
        ("gen_ai.usage.cache_read.input_tokens", Some(Value::Int(80))),
        ("gen_ai.usage.cache_write.input_tokens", Some(Value::Int(5))),
        ("gen_ai.usage.cache_creation.input_tokens", Some(Value::Int(5))),
        ("gen_ai.usage.reasoning.output_tokens", Some(Value::Int(12))),
        ("gen_ai.usage.audio.input_tokens", Some(Value::Int(1))),
        ("gen_ai.usage.audio.output_tokens", Some(Value::Int(2))),
        ("gen_ai.system_instructions", text(r#"[{"type":"text","content":"Be kind"}]"#)),
        ("gen_ai.input.messages", text(r#"[{"role":"user","parts":[{"type":"text","content":"Hello"}]}]"#)),
        ("gen_ai.output.messages", text(concat!(
            r#"[{"role":"assistant","parts":[{"type":"text","content":"Hi"}],"finish_reason":"stop"},"#,
            r#"{"role":"assistant","parts":[{"type":"text","content":"Hi"}],"finish_reason":"nap"}]"#))),
        ("gen_ai.tool.definitions", text(r#"[{"type":"function","name":"f"}]"#)),
        ("plainspan.content.form", text("full")),
        ("openai.api.type", text("chat_completions")),
        ("openai.request.service_tier", text("flex")),
        ("openai.response.service_tier", text("default")),
        ("openai.response.system_fingerprint", text("fp_1")),
        ("server.address", text("api.openai.com")),
        ("server.port", Some(Value::Int(443))),
        ("error.type", text("server_error")),
        ("http.request.method", text("POST")),
        ("http.response.status_code", Some(Value::Int(200))),
        ("network.protocol.version", text("1.1")),
        ("url.path", text("/v1/chat/completions")),
        ("user_agent.original", text("OpenAI/Python 1.99.1")),
        ("plainspan.api", text("openai.chat_completions")),
        ("plainspan.response.finish_reasons", texts(&["stop", "NAP"])),
        ("plainspan.response.request_id", text("req_1")),
        ("plainspan.response.time_to_first_content", Some(Value::Double(0.5))),
        ("plainspan.error.code", text("server_error")),
        ("plainspan.error.type", text("api_error")),
        ("plainspan.response.retry_after", Some(Value::Double(1.5))),
        ("plainspan.rate_limit.requests.limit", Some(Value::Int(100))),
        ("plainspan.rate_limit.requests.remaining", Some(Value::Int(1))),
        ("plainspan.rate_limit.requests.reset", Some(Value::Double(1.0))),
        ("plainspan.rate_limit.tokens.limit", Some(Value::Int(200))),
        ("plainspan.rate_limit.tokens.remaining", Some(Value::Int(2))),
        ("plainspan.rate_limit.tokens.reset", Some(Value::Double(2.0))),
        ("plainspan.rate_limit.input_tokens.limit", Some(Value::Int(300))),
        ("plainspan.rate_limit.input_tokens.remaining", Some(Value::Int(3))),
        ("plainspan.rate_limit.input_tokens.reset", Some(Value::Double(3.0))),
        ("plainspan.rate_limit.output_tokens.limit", Some(Value::Int(400))),
        ("plainspan.rate_limit.output_tokens.remaining", Some(Value::Int(4))),
        ("plainspan.rate_limit.output_tokens.reset", Some(Value::Double(4.0))),
        ("plainspan.response.repetition.period", Some(Value::Int(29))),
        ("plainspan.response.repetition.count", Some(Value::Int(120))),
        ("plainspan.stream.gap.mean", Some(Value::Double(0.125))),
        ("plainspan.stream.gap.max", Some(Value::Double(2.5))),
        ("plainspan.stream.stalled", Some(Value::Bool(true))),
        ("plainspan.stream.stopped_by", text("server")),
        ("plainspan.call.ended", text("server_closed")),
        ("plainspan.capture.degraded", texts(&[
            "request_bytes_lost", "request_bytes_cut", "request_bytes_unknown", "request_malformed",
            "response_bytes_lost", "response_bytes_cut", "response_bytes_unknown", "response_malformed", "usage_partial"])),
        ("plainspan.capture.request.bytes_lost", Some(Value::Int(10))),
        ("plainspan.capture.request.bytes_cut", Some(Value::Int(20))),
        ("plainspan.capture.response.bytes_lost", Some(Value::Int(30))),
        ("plainspan.capture.response.bytes_cut", Some(Value::Int(40))),
        ("plainspan.replay.source", text("x.jsonl:3")),
        ("plainspan.contract.version", text(names::VERSION)),
    ];
    for (key, wanted) in &rows {
        assert_eq!(span.get(key), wanted.as_ref(), "{key}");
    }
    assert_eq!(span.attributes.len(), rows.len(), "nothing more");
    assert_eq!(account.get(Counter::ContractViolations), 0);
    assert_eq!(account.get(Counter::ValuesCut), 0);
    assert_eq!((span.trace_id, span.parent_span_id, span.span_id), ([3; 16], Some([4; 8]), [2; 8]));
    assert_eq!((span.flags, span.trace_state.as_str()), (0, "vendor=1"));
    assert_eq!((span.name.as_str(), span.kind), ("chat gpt-4.1-mini", Kind::Client));
    assert_eq!((span.start, span.end), (Timestamp(1_000_000_000), Timestamp(3_000_000_000)));
    assert_eq!(span.status, Status::Error("it broke".into()));
}

#[test]
fn what_is_not_on_the_wire_is_absent() {
    let account = Account::default();
    let span = build(&plain(), IDS, Relations::default(), &with_content(), &account);
    let mut keys: Vec<_> = span.attributes.iter().map(|a| a.key).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "gen_ai.operation.name",
            "gen_ai.provider.name",
            "gen_ai.system",
            "openai.api.type",
            "plainspan.api",
            "plainspan.call.ended",
            "plainspan.contract.version",
        ]
    );
    assert_eq!(account.get(Counter::ContractViolations), 0);
    assert_eq!((span.trace_id, span.parent_span_id, span.flags), ([1; 16], None, 1));
    assert_eq!((span.name.as_str(), span.status, span.trace_state.as_str()), ("chat", Status::Unset, ""));
}

#[test]
fn a_price_says_that_it_is_an_estimate_and_by_which_table() {
    let mut call = plain();
    call.transport.server_address = Some("api.openai.com".into());
    call.transport.server_port = Some(443);
    call.request.model = Some("gpt-4.1-mini".into());
    call.usage = Usage { input: Some(1_000_000), output: Some(500_000), ..Usage::default() };
    let account = Account::default();
    let options = Options { cost: price::estimate(&call), ..Options::default() };
    let span = build(&call, IDS, Relations::default(), &options, &account);
    for (key, wanted) in [
        ("plainspan.cost.usd", Some(Value::Double(1.2))),
        ("plainspan.cost.input.usd", Some(Value::Double(0.4))),
        ("plainspan.cost.output.usd", Some(Value::Double(0.8))),
        ("plainspan.cost.estimated", Some(Value::Bool(true))),
        ("plainspan.cost.model", text("openai/gpt-4.1-mini")),
        ("plainspan.cost.table_version", text("genai-prices 0.2.1")),
    ] {
        match (span.get(key), &wanted) {
            (Some(Value::Double(found)), Some(Value::Double(wanted))) => {
                assert!((found - wanted).abs() < 1e-9, "{key} {found}");
            }
            (found, wanted) => assert_eq!(found, wanted.as_ref(), "{key}"),
        }
    }
    assert_eq!(account.get(Counter::ContractViolations), 0);
    call.request.model = Some("a-model-of-our-own".into());
    assert_eq!(price::estimate(&call), None);
    assert!(spanned(&call).attributes.iter().all(|attribute| !attribute.key.starts_with("plainspan.cost.")));
}

#[test]
fn chunks_are_counted_where_none_is_missing() {
    let damage = Damage { response: Missed { lost: 1, ..Default::default() }, ..Damage::default() };
    for (damage, wanted) in [(Damage::default(), Some(Value::Int(9))), (damage, None)] {
        let span = spanned(&Call { damage, ..full() });
        assert_eq!(span.get("plainspan.stream.chunks"), wanted.as_ref());
    }
}

#[test]
fn values_that_say_nothing_are_left_out() {
    let call = Call {
        request: Request {
            stream: Some(false),
            choice_count: Some(1),
            service_tier: Some("auto".into()),
            ..Request::default()
        },
        // Times of an answer that was no stream.
        streaming: Streaming { first_chunk: Some(Timestamp(1)), chunks: 3, ..Streaming::default() },
        // A port without its address.
        transport: Transport { server_port: Some(443), ..Transport::default() },
        ..plain()
    };
    assert_eq!(spanned(&call).attributes.len(), spanned(&plain()).attributes.len());
}

#[test]
fn service_tiers_of_other_apis_have_names_of_their_own() {
    let call = Call { dialect: "anthropic.messages", provider: Provider::Anthropic, ..full() };
    let span = spanned(&call);
    assert_eq!(span.get("plainspan.request.service_tier"), text("flex").as_ref());
    assert_eq!(span.get("plainspan.response.service_tier"), text("default").as_ref());
    assert!(span.attributes.iter().all(|a| !a.key.starts_with("openai.")));
}

#[test]
fn finish_reasons_keep_their_places() {
    use ExchangeEnd as End;
    use FinishReason::{Error, Stop};
    let stop = || generation(Some(Stop), Some("end_turn"));
    let none = || generation(None, None);
    #[rustfmt::skip]
    let rows = [
        (vec![], End::Complete, None, None),
        (vec![none()], End::Complete, None, None),
        (vec![none(), stop()], End::Complete, texts(&["unknown", "stop"]), texts(&["", "end_turn"])),
        (vec![none()], End::ClosedRemotely, texts(&["error"]), None),
        (vec![none()], End::ClosedLocally, texts(&["error"]), None),
        (vec![none()], End::ProcessExit, texts(&["error"]), None),
        // The capture ended, not the answer.
        (vec![none()], End::CaptureEnd, None, None),
        (vec![none()], End::Unreadable, None, None),
        (vec![generation(Some(Error), None)], End::Complete, texts(&["error"]), None),
    ];
    for (generations, end, wanted, own) in rows {
        let response = Response { generations, ..Response::default() };
        let span = spanned(&Call { response, ended: Some(end), ..plain() });
        assert_eq!(span.get("gen_ai.response.finish_reasons"), wanted.as_ref(), "{end:?}");
        assert_eq!(span.get("plainspan.response.finish_reasons"), own.as_ref(), "{end:?}");
    }
}

#[test]
fn client_and_server_are_told_from_either_side() {
    use ExchangeEnd as End;
    for (role, end, kind, wanted) in [
        (Some(Role::Client), End::ClosedLocally, Kind::Client, "client_closed"),
        (Some(Role::Client), End::ClosedRemotely, Kind::Client, "server_closed"),
        (Some(Role::Server), End::ClosedLocally, Kind::Server, "server_closed"),
        (Some(Role::Server), End::ClosedRemotely, Kind::Server, "client_closed"),
        (Some(Role::Server), End::ProcessExit, Kind::Server, "process_exit"),
        (None, End::Unreadable, Kind::Client, "unreadable"),
    ] {
        let span = spanned(&Call { role, ended: Some(end), ..plain() });
        assert_eq!(span.kind, kind);
        assert_eq!(span.get("plainspan.call.ended"), text(wanted).as_ref());
    }
}

#[test]
fn errors_are_described_without_quoting() {
    #[rustfmt::skip]
    let rows = [
        ("rate_limit_exceeded", Some(429), "rate_limit_exceeded (HTTP 429)", "rate_limit_exceeded"),
        ("503", Some(503), "HTTP 503", "503"),
        ("overloaded_error", Some(200), "overloaded_error", "overloaded_error"),
        ("server_closed", None, "server_closed", "server_closed"),
        ("", Some(500), "HTTP 500", "_OTHER"),
        ("", None, "", "_OTHER"),
    ];
    for (kind, status, wanted, error_type) in rows {
        let call = Call {
            error: Some(CallError {
                kind: kind.into(),
                message: Some("you said: hello".into()),
                ..CallError::default()
            }),
            transport: Transport { status, ..Transport::default() },
            ..plain()
        };
        let span = spanned(&call);
        assert_eq!(span.status, Status::Error(wanted.into()));
        assert_eq!(span.get("error.type"), text(error_type).as_ref());
        let with_content = build(&call, IDS, Relations::default(), &with_content(), &Account::default());
        assert_eq!(with_content.status, Status::Error("you said: hello".into()));
    }
}

/// A marker stands everywhere where prompts, completions, tools and messages of errors can be.
#[test]
fn without_content_no_content_leaves() {
    const MARK: &str = "m4rk3r";
    let mark = || Some(MARK.to_owned());
    let content = || Content { text: format!("{{\"a\": \"{MARK}\"}}"), cut: 3 };
    let parts = || {
        vec![
            Part::Text(content()),
            Part::Reasoning(content()),
            Part::Refusal(content()),
            Part::ToolCall { id: mark(), name: MARK.into(), arguments: content() },
            Part::ToolCallResponse { id: mark(), response: content() },
            Part::ServerToolCall { id: mark(), name: MARK.into(), arguments: content() },
            Part::ServerToolCallResponse { id: mark(), response: content() },
            Part::Blob { modality: MARK, mime_type: mark(), encoded_len: 1, digest: None },
            Part::Uri { modality: MARK, mime_type: mark(), uri: MARK.into() },
            Part::File { modality: MARK, file_id: MARK.into() },
            Part::Generic { kind: MARK.into(), json: content() },
        ]
    };
    let message = || Message { role: MARK.into(), name: mark(), parts: parts() };
    let mut call = full();
    call.request.system = parts();
    call.request.messages = vec![message()];
    call.request.tools = vec![ToolDefinition {
        kind: MARK.into(),
        name: mark(),
        description: mark(),
        parameters: serde_json::value::RawValue::from_string(format!("{{\"x\": \"{MARK}\"}}")).ok(),
    }];
    for generation in &mut call.response.generations {
        generation.message = message();
    }
    call.error = Some(CallError { kind: "server_error".into(), message: mark(), ..CallError::default() });

    let span = spanned(&call);
    assert!(!format!("{span:?}").contains(MARK), "{span:?}");
    for attribute in &span.attributes {
        let def = definition(attribute.key).unwrap();
        assert_ne!(def.privacy, crate::contract::Privacy::Content, "{}", attribute.key);
    }
    assert_eq!(span.get("plainspan.content.cut"), None);

    let with_content = build(&call, IDS, Relations::default(), &with_content(), &Account::default());
    let shown = format!("{with_content:?}").matches(MARK).count();
    assert_eq!(
        shown,
        4 * (1 + 1 + 1 + 3 + 2 + 4 + 2 + 3 + 3 + 2 + 2) + 3 * 2 + 4 + 1,
        "the test looks in the right places"
    );
}

#[test]
fn a_span_that_does_not_fit_says_so_and_is_counted() {
    let account = Account::default();
    let mut call = plain();
    call.ended = None;
    call.request.temperature = Some(f64::INFINITY);
    call.transport.server_address = Some("h".into());
    let span = build(&call, IDS, Relations::default(), &Options::default(), &account);
    assert_eq!(
        span.get("plainspan.contract.violations"),
        texts(&["type: gen_ai.request.temperature", "missing: server.port", "missing: plainspan.call.ended"])
            .as_ref()
    );
    assert_eq!(span.get("gen_ai.request.temperature"), None);
    assert_eq!(span.get("server.address"), text("h").as_ref());
    assert_eq!(account.get(Counter::ContractViolations), 3);
    let by_rule: Vec<_> =
        account.rules(Counter::ContractViolations).iter().map(|(rule, n)| format!("{n} {rule}")).collect();
    assert_eq!(
        by_rule,
        ["1 missing: plainspan.call.ended", "1 missing: server.port", "1 type: gen_ai.request.temperature"]
    );
}

/// Each profile has the names of its time, and nothing of the others.
#[test]
fn profiles_have_their_names_and_say_which_they_are() {
    let both = ["gen_ai.system", "gen_ai.provider.name"];
    let counts = ["gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"];
    #[rustfmt::skip]
    let rows = [
        ("overlap", [true, true], names::VERSION, names::SCHEMA_URL),
        ("current", [false, true], names::VERSION, names::SCHEMA_URL),
        (names::VERSION, [true, true], names::VERSION, names::SCHEMA_URL),
        ("0.1.0", [true, true], "0.1.0", "https://plainspan.dev/schemas/0.1.0"),
        ("otel-1.41", [true, false], names::VERSION, "https://opentelemetry.io/schemas/1.41.0"),
    ];
    let overlap = spanned(&full());
    for (name, has, version, schema_url) in rows {
        let profile = Profile::parse(name).unwrap();
        let account = Account::default();
        let span =
            build(&full(), IDS, Relations::default(), &Options { profile, ..Options::default() }, &account);
        for names in [both, counts] {
            assert_eq!(names.map(|key| span.get(key).is_some()), has, "{name}");
        }
        assert_eq!(span.read(names::GEN_AI_PROVIDER_NAME), text("openai").as_ref(), "{name}");
        assert_eq!(span.get("plainspan.contract.version"), text(version).as_ref());
        assert_eq!((profile.version, profile.schema_url), (version, schema_url));
        assert_eq!(account.to_string(), "", "{name}: nothing is missed that the profile does not have");
        // All else is the same.
        let apart = [both, counts].concat();
        let others = |span: &Span| -> Vec<_> {
            let all = span.attributes.iter().filter(|a| {
                let own = definition(a.key).unwrap();
                !apart.contains(&a.key)
                    && !profile.left_out.has(own)
                    && !profile.doubles.has(own)
                    && a.key != "plainspan.contract.version"
            });
            all.cloned().collect()
        };
        assert_eq!(others(&span), others(&overlap), "{name}");
        assert_eq!((span.name.as_str(), span.kind), (overlap.name.as_str(), overlap.kind));
    }
    let unknown = Profile::parse("0.0.9").unwrap_err();
    assert!(unknown.contains("`0.0.9`") && unknown.contains("overlap, current"), "{unknown}");
}

#[test]
fn a_pinned_version_has_nothing_that_came_later() {
    let parts =
        |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    for profile in names::PROFILES {
        for def in &names::ATTRIBUTES {
            let later = parts(def.since) > parts(profile.version);
            assert!(
                !later || profile.left_out.has(def),
                "{}: {} is of {}",
                profile.name,
                def.name,
                def.since
            );
        }
    }
}

#[test]
fn long_values_are_cut_and_counted() {
    let account = Account::default();
    let mut call = full();
    call.request.model = Some("é".repeat(1000));
    call.response.generations =
        vec![generation(Some(FinishReason::Other("x".repeat(100).into())), None); 200];
    call.error =
        Some(CallError { kind: "k".repeat(500), message: Some("é".repeat(1000)), ..CallError::default() });
    call.trace.as_mut().unwrap().state = Some(format!("a=1,b={},c=3", "2".repeat(1020)));
    let span = build(&call, IDS, Relations::default(), &with_content(), &account);
    assert_eq!(span.name, format!("chat {}", "é".repeat(128)));
    assert_eq!(span.get("gen_ai.response.finish_reasons"), Some(&Value::Strings(vec!["x".repeat(64); 128])));
    assert_eq!(span.get("error.type"), text(&"k".repeat(128)).as_ref());
    assert_eq!(span.status, Status::Error("é".repeat(512)));
    assert_eq!(span.trace_state, "a=1");
    assert_eq!(
        span.get("plainspan.contract.cut"),
        texts(&[
            "gen_ai.request.model",
            "gen_ai.response.finish_reasons",
            "error.type",
            "status.message",
            "trace_state"
        ])
        .as_ref()
    );
    assert_eq!(account.get(Counter::ContractViolations), 0);
    assert_eq!(account.get(Counter::ValuesCut), 5);
    let pinned = Options { profile: Profile::parse("0.1.0").unwrap(), ..with_content() };
    let older = build(&call, IDS, Relations::default(), &pinned, &account);
    assert_eq!(older.get("plainspan.contract.cut"), None, "that version did not have it");
    assert_eq!((older.name, account.get(Counter::ValuesCut)), (span.name, 10));
}

#[test]
fn trace_state_is_cut_between_members() {
    let member = |len: usize| format!("k={}", "v".repeat(len - 2));
    for (state, wanted, cut) in [
        (String::new(), String::new(), false),
        (member(MAX_TRACE_STATE), member(MAX_TRACE_STATE), false),
        (format!("{},a=1", member(MAX_TRACE_STATE)), member(MAX_TRACE_STATE), true),
        (member(MAX_TRACE_STATE + 1), String::new(), true),
        (format!("a=1,{}", member(MAX_TRACE_STATE)), "a=1".to_owned(), true),
    ] {
        assert_eq!(trace_state(&state), (wanted, cut), "{} bytes", state.len());
    }
}

#[test]
fn time_never_runs_backwards() {
    let span = spanned(&Call { end: Timestamp(5), ..plain() });
    assert_eq!(span.end, span.start);
}

#[test]
fn unknown_methods_are_folded() {
    for (given, wanted) in
        [("POST", text("POST")), ("BREW", text("_OTHER")), ("post", text("_OTHER")), ("", None)]
    {
        let transport = Transport { method: given.into(), ..Transport::default() };
        let span = spanned(&Call { transport, ..plain() });
        assert_eq!(span.get("http.request.method"), wanted.as_ref(), "{given}");
    }
}

/// The generated schema describes what is really built.
#[test]
fn spans_fit_the_generated_schema() {
    let object = |span: &Span| Parsed::Object(span.attributes.iter().map(json_of).collect());
    for call in [plain(), full()] {
        for options in [Options::default(), with_content()] {
            let span = build(&call, IDS, Relations::default(), &options, &Account::default());
            let errors: Vec<_> = SCHEMA.iter_errors(&object(&span)).map(|e| e.to_string()).collect();
            assert_eq!(errors, [""; 0]);
        }
    }
    for (key, value) in [
        ("gen_ai.provider.name", None),
        ("server.port", None),
        ("gen_ai.request.top_k", Some(json!(1.5))),
        ("plainspan.call.ended", Some(json!("somehow"))),
        ("nobody.knows", Some(json!(1))),
    ] {
        let mut wrong = object(&spanned(&full()));
        match value {
            Some(value) => wrong[key] = value,
            None => drop(wrong.as_object_mut().unwrap().remove(key).unwrap()),
        }
        assert!(!SCHEMA.is_valid(&wrong), "{key}");
    }
}

#[test]
fn agents_and_searches_are_named_by_whom_they_ask() {
    let asked = || Request {
        model: Some("m".into()),
        agent_name: Some("helper".into()),
        knowledge_base_id: Some("KB1".into()),
        ..Request::default()
    };
    for (operation, name) in [
        (OperationName::InvokeAgent, "invoke_agent helper"),
        (OperationName::Retrieval, "retrieval KB1"),
        (OperationName::Rerank, "rerank m"),
        (OperationName::FetchResponse, "fetch_response m"),
    ] {
        assert_eq!(spanned(&Call { operation, request: asked(), ..plain() }).name, name);
    }
    let nameless = Request { agent_name: None, ..asked() };
    let call = Call { operation: OperationName::InvokeAgent, request: nameless, ..plain() };
    assert_eq!(spanned(&call).name, "invoke_agent");
}
