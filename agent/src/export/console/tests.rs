use super::{super::convert::tests::delivery, *};
use crate::{
    contract::{Attribute, Kind, Status},
    time::Timestamp,
};

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn list(values: &[&str]) -> Value {
    Value::Strings(values.iter().map(|value| (*value).to_owned()).collect())
}

fn plain() -> Console {
    Console::new(Box::new(io::sink()), false, false, TimeZone::UTC)
}

fn chat(extra: &[(&'static str, Value)]) -> Delivery {
    let mut attributes = vec![
        ("gen_ai.operation.name", text("chat")),
        ("gen_ai.provider.name", text("openai")),
        ("gen_ai.request.model", text("gpt-4o-mini")),
    ];
    attributes.extend_from_slice(extra);
    delivery(4242, &attributes)
}

const USAGE: [(&str, Value); 2] =
    [("gen_ai.usage.input_tokens", Value::Int(1204)), ("gen_ai.usage.output_tokens", Value::Int(88))];

fn failed(mut delivery: Delivery) -> Delivery {
    delivery.span.status = Status::Error(String::new());
    delivery
}

/// The line of a call, without the heading.
fn line(delivery: &Delivery) -> String {
    let text = plain().render(delivery);
    text.split_once('\n').unwrap().1.trim_end_matches('\n').to_owned()
}

#[test]
fn a_mixed_list() {
    let stop = ("gen_ai.response.finish_reasons", list(&["stop"]));
    let stream = ("gen_ai.request.stream", Value::Bool(true));
    let usage = USAGE;
    let calls = [
        chat(&[usage[0].clone(), usage[1].clone(), stop.clone()]),
        chat(&[
            usage[0].clone(),
            usage[1].clone(),
            ("gen_ai.usage.cache_read.input_tokens", Value::Int(1024)),
            stream.clone(),
            ("gen_ai.response.time_to_first_chunk", Value::Double(0.31)),
            ("gen_ai.response.finish_reasons", list(&["stop", "length", "stop"])),
        ]),
        // No usage was asked for, none is there.
        chat(&[stream.clone(), ("gen_ai.response.time_to_first_chunk", Value::Double(0.0)), stop.clone()]),
        failed(chat(&[
            ("error.type", text("rate_limit_exceeded")),
            ("http.response.status_code", Value::Int(429)),
        ])),
        failed(chat(&[("error.type", text("503")), stream, ("http.response.status_code", Value::Int(503))])),
        failed(chat(&[
            USAGE[0].clone(),
            ("error.type", text("client_closed")),
            ("gen_ai.response.finish_reasons", list(&["error"])),
            ("plainspan.call.ended", text("client_closed")),
            ("plainspan.capture.degraded", list(&["response_bytes_lost", "usage_partial"])),
        ])),
        failed(chat(&[
            ("error.type", text("overloaded_error")),
            ("gen_ai.response.finish_reasons", list(&["stop", "error"])),
            ("plainspan.call.ended", text("server_closed")),
        ])),
        chat(&[
            ("plainspan.call.ended", text("unreadable")),
            ("plainspan.capture.degraded", list(&["response_bytes_lost", "unreadable"])),
        ]),
        chat(&[
            ("gen_ai.response.finish_reasons", list(&["unknown"])),
            ("plainspan.call.ended", text("capture_end")),
            ("plainspan.contract.violations", list(&["type: x", "type: y"])),
        ]),
        chat(&[("plainspan.call.ended", text("complete")), USAGE[1].clone()]),
    ];
    let mut console = plain();
    let shown: String = calls.iter().map(|call| console.render(call)).collect();
    assert_eq!(
        shown,
        "\
TIME      PROCESS             MODEL                                  TOOK  FIRST  OUTCOME       IN→OUT TOKENS
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         stop        1204→88
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s  310ms  stop×2,length  1204→88  1024 cached
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s   <1ms  stop            -
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         ERROR rate_limit_exceeded (HTTP 429)
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s      -  ERROR HTTP 503
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         ERROR client_closed  1204→?  \
         ! response bytes lost, usage partial
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         ERROR overloaded_error  stop,error  \
         cut short: server closed
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         unreadable      -  \
         ! response bytes lost
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         unknown         -  \
         cut short: capture end  ! some values did not fit
22:13:20  app[4242]           openai gpt-4o-mini                    1.82s         -              ?→88
"
    );
}

#[test]
fn a_line_without_anything() {
    let mut delivery = delivery(1, &[]);
    Arc::make_mut(&mut delivery.resource).attributes.clear();
    delivery.span.end = Timestamp(0);
    assert_eq!(
        line(&delivery),
        "22:13:20  ?                   ? ?                                    <1ms         -               -"
    );
}

#[test]
fn a_replay_shows_no_times_that_were_made_up() {
    let source = ("plainspan.replay.source", text("traces/of/calls.jsonl#3"));
    assert_eq!(
        line(&chat(&[USAGE[0].clone(), USAGE[1].clone(), source])),
        "replayed                      openai gpt-4o-mini                                  \
         -           1204→88  calls.jsonl#3"
    );
}

#[test]
fn calls_of_mcp() {
    let method = |method: &str| ("mcp.method.name", text(method));
    let call = |extra: &[(&'static str, Value)]| line(&delivery(4242, extra));
    assert_eq!(
        call(&[method("tools/call"), ("gen_ai.tool.name", text("add"))]),
        "22:13:20  app[4242]           mcp tools/call add                    1.82s         ok"
    );
    assert_eq!(
        call(&[method("prompts/get"), ("gen_ai.prompt.name", text("code")), ("error.type", text("-32602"))]),
        "22:13:20  app[4242]           mcp prompts/get code                  1.82s         ERROR -32602"
    );
    assert_eq!(
        call(&[method("ping")]),
        "22:13:20  app[4242]           mcp ping                              1.82s         ok"
    );
}

#[test]
fn what_was_served_is_told_from_what_was_called() {
    let mut served = chat(&[]);
    served.span.kind = Kind::Server;
    assert!(line(&served).contains("  served openai gpt-4o-mini  "));
}

#[test]
fn durations_are_short() {
    const MS: u64 = 1_000_000;
    let took = |nanoseconds: u64| {
        let mut delivery = chat(&[]);
        delivery.span.end = Timestamp(delivery.span.start.0 + nanoseconds);
        line(&delivery).split_whitespace().nth(4).unwrap().to_owned()
    };
    let cases = [
        (0, "<1ms"),
        (MS - 1, "<1ms"),
        (999 * MS, "999ms"),
        (9_999 * MS, "9.99s"),
        (12_345 * MS, "12.3s"),
        (99_999 * MS, "99.9s"),
        (100_000 * MS, "1m40s"),
        (601_000 * MS, "10m01s"),
    ];
    for (nanoseconds, expected) in cases {
        assert_eq!(took(nanoseconds), expected);
    }
}

#[test]
fn other_operations_are_named() {
    let mut embeddings = chat(&[]);
    embeddings.span.attributes[0].value = text("embeddings");
    assert!(line(&embeddings).contains(" openai embeddings gpt-4o-mini "));
}

#[test]
fn columns_stay_below_each_other() {
    let arrow = |line: String| text::width(line.split('→').next().unwrap());
    let usual = arrow(line(&chat(&USAGE)));
    let with = |service: &str, model: &str| {
        let mut delivery = chat(&USAGE);
        Arc::make_mut(&mut delivery.resource).attributes[0].value = text(service);
        delivery.span.attributes[2].value = text(model);
        line(&delivery)
    };
    // A name that is too long for its column lives on the space behind it, however wide its characters are.
    assert_eq!(arrow(with("a-service-with-a-long-name", "gpt-4o")), usual);
    assert_eq!(arrow(with("app", "模型-with-a-long-name-2026")), usual);
    // One that is far too long pushes on its own line and no other, keeping both ends of the name.
    let long = with("app", &format!("meta/{}-instruct", "x".repeat(1000)));
    assert!(
        long.contains("openai meta/xxx") && long.contains("xxx-instruct") && long.contains('…'),
        "{long}"
    );
    assert!(text::width(&long) < 160, "{long}");
    let mut console = plain();
    console.render(&chat(&[("gen_ai.request.model", text(&"x".repeat(1000)))]));
    assert_eq!(arrow(console.render(&chat(&USAGE))), usual);
}

#[test]
fn ordinary_lines_fit_120_columns() {
    let mut delivery = chat(&[
        ("gen_ai.usage.input_tokens", Value::Int(999_999)),
        ("gen_ai.usage.output_tokens", Value::Int(99_999)),
        ("gen_ai.usage.cache_read.input_tokens", Value::Int(999_999)),
        ("gen_ai.response.time_to_first_chunk", Value::Double(9.99)),
        ("gen_ai.response.finish_reasons", list(&["tool_call"])),
    ]);
    delivery.span.attributes[1].value = text("anthropic");
    delivery.span.attributes[2].value = text("claude-sonnet-4-5-20250929");
    delivery.span.end = Timestamp(delivery.span.start.0 + 59_000_000_000);
    assert!(text::width(&line(&delivery)) <= 120);
}

#[test]
fn a_real_name_is_preferred() {
    let named = |service: &str, executable: &str| {
        let mut delivery = chat(&[]);
        Arc::make_mut(&mut delivery.resource).attributes = vec![
            Attribute { key: "service.name", value: text(service) },
            Attribute { key: "process.executable.name", value: text(executable) },
        ];
        line(&delivery).split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(named("checkout", "python3"), "checkout");
    assert_eq!(named("unknown_service:python3", "python3"), "python3");
}

#[test]
fn nothing_from_the_wire_reaches_the_terminal_as_a_command() {
    let evil = "\x1b]0;owned\x07\n\u{202e}";
    let mut delivery = failed(chat(&[
        ("error.type", text(evil)),
        ("gen_ai.response.finish_reasons", list(&[evil])),
        ("plainspan.capture.degraded", list(&[evil])),
        ("plainspan.call.ended", text(evil)),
    ]));
    delivery.span.attributes[1].value = text(evil);
    delivery.span.attributes[2].value = text(evil);
    delivery.span.name = evil.into();
    delivery.span.trace_state = evil.into();
    delivery.span.status = Status::Error(evil.into());
    let resource = Arc::make_mut(&mut delivery.resource);
    resource.attributes[0].value = text(evil);
    resource.extra.push((evil.into(), evil.into()));
    for verbose in [false, true] {
        let mut console = Console::new(Box::new(io::sink()), verbose, false, TimeZone::UTC);
        let shown = console.render(&delivery);
        assert!(!shown.contains(['\x1b', '\x07', '\u{202e}']), "{shown:?}");
        assert_eq!(shown.lines().count(), if verbose { 24 } else { 2 }, "{shown}");
    }
}

#[test]
fn the_whole_span() {
    let mut delivery =
        chat(&[("gen_ai.response.finish_reasons", list(&["stop"])), ("server.port", Value::Int(443))]);
    delivery.span.parent_span_id = Some([1; 8]);
    let mut console = Console::new(Box::new(io::sink()), true, false, TimeZone::UTC);
    let shown = console.render(&delivery);
    let block = shown.splitn(3, '\n').nth(2).unwrap();
    assert_eq!(
        block,
        "    span
      name            chat gpt-4o
      kind            client
      trace id        abababababababababababababababab
      span id         cdcdcdcdcdcdcdcd
      start           2023-11-14T22:13:20.123456789Z
      end             2023-11-14T22:13:21.943456789Z
      parent span id  0101010101010101
    attributes
      gen_ai.operation.name           chat
      gen_ai.provider.name            openai
      gen_ai.request.model            gpt-4o-mini
      gen_ai.response.finish_reasons  [stop]
      server.port                     443
    resource
      process.pid   4242
      service.name  app

"
    );
}

#[test]
fn colour_changes_nothing_but_colour() {
    let delivery = failed(chat(&[("error.type", text("x")), ("gen_ai.request.stream", Value::Bool(true))]));
    let coloured = Console::new(Box::new(io::sink()), true, true, TimeZone::UTC).render(&delivery);
    assert!(coloured.contains("\x1b[1;31mERROR x\x1b[0m"));
    let mut stripped = String::new();
    for (at, part) in coloured.split('\x1b').enumerate() {
        stripped.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, Console::new(Box::new(io::sink()), true, false, TimeZone::UTC).render(&delivery));
}

#[test]
fn times_are_local() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let mut console = Console::new(Box::new(io::sink()), false, false, zone);
    assert!(console.render(&chat(&[])).contains("\n00:13:20  "));
}

#[tokio::test]
async fn a_closed_output_is_a_failure() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut console = Console::new(Box::new(writer), false, false, TimeZone::UTC);
    let batch = [Arc::new(chat(&[])), Arc::new(chat(&[]))];
    for _ in 0..2 {
        let failure = console.export(&batch).await.unwrap_err();
        assert_eq!((failure.lost, failure.retry.len()), (2, 0));
        assert!(matches!(failure.error, ExportError::Closed));
    }
}
