use super::{super::convert::tests::delivery, *};
use crate::{
    contract::{Attribute, Status},
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

#[test]
fn lines_of_single_calls() {
    const HEAD: &str = "22:13:20.123  app[4242]     openai gpt-4o-mini    ";
    let stop = ("gen_ai.response.finish_reasons", list(&["stop"]));
    let cases = [
        (chat(&[USAGE[0].clone(), USAGE[1].clone(), stop.clone()]), "    1204→88       1.82s  stop"),
        (
            chat(&[
                USAGE[0].clone(),
                USAGE[1].clone(),
                ("gen_ai.usage.cache_read.input_tokens", Value::Int(1024)),
                ("gen_ai.request.stream", Value::Bool(true)),
                ("gen_ai.response.time_to_first_chunk", Value::Double(0.31)),
                ("gen_ai.response.finish_reasons", list(&["stop", "length"])),
            ]),
            "  stream    1204→88      (1024 cached)   1.82s  first 310ms  stop,length",
        ),
        (
            failed(chat(&[
                ("error.type", text("rate_limit_exceeded")),
                ("http.response.status_code", Value::Int(429)),
            ])),
            "        -         1.82s  ERROR rate_limit_exceeded (HTTP 429)",
        ),
        (
            failed(chat(&[("error.type", text("503")), ("http.response.status_code", Value::Int(503))])),
            "        -         1.82s  ERROR HTTP 503",
        ),
        (
            failed(chat(&[
                USAGE[0].clone(),
                ("error.type", text("client_closed")),
                ("gen_ai.response.finish_reasons", list(&["error"])),
                ("plainspan.call.ended", text("client_closed")),
                ("plainspan.capture.degraded", list(&["response_bytes_lost", "usage_partial"])),
            ])),
            "    1204→?        1.82s  ERROR client_closed  ! response bytes lost, usage partial",
        ),
        (
            failed(chat(&[
                ("error.type", text("overloaded_error")),
                ("gen_ai.response.finish_reasons", list(&["stop", "error"])),
                ("plainspan.call.ended", text("server_closed")),
            ])),
            "        -         1.82s  ERROR overloaded_error  stop,error  server closed",
        ),
        (chat(&[("plainspan.call.ended", text("complete"))]), "        -         1.82s"),
    ];
    for (delivery, expected) in cases {
        let tail = if expected.starts_with("  stream") {
            expected.to_owned()
        } else {
            format!("  {}", &expected[2..])
        };
        assert_eq!(plain().render(&delivery), format!("{HEAD}{tail}\n"));
    }
}

#[test]
fn a_line_without_anything() {
    let mut delivery = delivery(1, &[]);
    Arc::make_mut(&mut delivery.resource).attributes.clear();
    delivery.span.end = Timestamp(0);
    assert_eq!(
        plain().render(&delivery),
        "22:13:20.123  ?             ? ?                           -           0ms\n"
    );
}

#[test]
fn other_operations_are_named() {
    let mut embeddings = chat(&[]);
    embeddings.span.attributes[0].value = text("embeddings");
    assert!(plain().render(&embeddings).contains(" openai embeddings gpt-4o-mini "));
}

#[test]
fn columns_stay_below_each_other() {
    let mut console = plain();
    let stream = [USAGE[0].clone(), USAGE[1].clone(), ("gen_ai.request.stream", Value::Bool(true))];
    let mut long = chat(&stream);
    long.span.attributes[2].value = text("模型-with-a-rather-long-name-2026");
    console.render(&long);
    let arrow = |line: String| text::width(line.split('→').next().unwrap());
    let with_stream = arrow(console.render(&long));
    assert_eq!(arrow(console.render(&chat(&USAGE))), with_stream);
    long.span.attributes[2].value = text(&"x".repeat(1000));
    assert!(text::width(&console.render(&long)) < 200);
    assert!(arrow(console.render(&chat(&USAGE))) < 100);
}

#[test]
fn a_real_name_is_preferred() {
    let named = |service: &str, executable: &str| {
        let mut delivery = chat(&[]);
        Arc::make_mut(&mut delivery.resource).attributes = vec![
            Attribute { key: "service.name", value: text(service) },
            Attribute { key: "process.executable.name", value: text(executable) },
        ];
        plain().render(&delivery).split_whitespace().nth(1).unwrap().to_owned()
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
        assert_eq!(shown.lines().count(), if verbose { 21 } else { 1 }, "{shown}");
    }
}

#[test]
fn the_whole_span() {
    let mut delivery =
        chat(&[("gen_ai.response.finish_reasons", list(&["stop"])), ("server.port", Value::Int(443))]);
    delivery.span.parent_span_id = Some([1; 8]);
    let mut console = Console::new(Box::new(io::sink()), true, false, TimeZone::UTC);
    let shown = console.render(&delivery);
    let (_, block) = shown.split_once('\n').unwrap();
    assert_eq!(
        block,
        "    span
      name            chat gpt-4o
      kind            client
      trace id        abababababababababababababababab
      span id         cdcdcdcdcdcdcdcd
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
    assert!(console.render(&chat(&[])).starts_with("00:13:20.123  "));
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
