//! What calls add up to, as Prometheus finds it, held against the spans of the same calls.

#![allow(clippy::panic, clippy::expect_used, reason = "tests fail by panicking")]
#![allow(clippy::float_cmp, reason = "what is counted is whole")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    process::{Command as Program, Stdio},
};

use plainspan_tests::harness::{AgentCommand, Command, Local, free_port, venv};
use serde_json::Value;

/// What a scraper gets.
fn scrape(url: &str, accept: &str) -> String {
    let (address, path) = url.trim_start_matches("http://").split_once('/').expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")
        .expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer of HTTP");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// A sample, as Prometheus's own library reads it: name, labels, value, and the labels of its exemplar.
type Sample = (String, BTreeMap<String, String>, f64, BTreeMap<String, String>);

/// Reads a page with the strict parser of the Prometheus project.
fn read(page: &str, format: &str) -> Vec<Sample> {
    let script = "
import json, sys
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus
parse = {'openmetrics': openmetrics, 'prometheus': prometheus}[sys.argv[1]].text_string_to_metric_families
for family in parse(sys.stdin.read()):
    for s in family.samples:
        print(json.dumps([s.name, s.labels, s.value, s.exemplar.labels if s.exemplar else {}]))
";
    let mut python = Program::new(venv("python"));
    python.args(["-c", script, format]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().expect("python starts");
    python.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("python reads");
    let ended = python.wait_with_output().expect("python ends");
    assert!(ended.status.success(), "{page}");
    let lines = String::from_utf8(ended.stdout).expect("JSON is text");
    let text = |labels: &Value| {
        let labels = labels.as_object().expect("labels").iter();
        labels.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
    };
    lines
        .lines()
        .map(|line| {
            let sample: Value = serde_json::from_str(line).expect("JSON");
            let name = sample[0].as_str().expect("a name").to_owned();
            (name, text(&sample[1]), sample[2].as_f64().unwrap_or(f64::NAN), text(&sample[3]))
        })
        .collect()
}

fn sum(samples: &[Sample], name: &str) -> f64 {
    let of = samples.iter().filter(|(found, ..)| found == name);
    of.map(|(_, _, value, _)| value).sum()
}

#[test]
fn prometheus_finds_what_the_spans_add_up_to() {
    let provider = Local::new();
    let mut client =
        Command::openai(&provider, "m").args(["--step", "--count", "3", "--stream", "--usage"]).start();
    client.expect("ready");
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}/metrics");
    let mut agent =
        AgentCommand::new().args(["--prometheus", &address, "--pid", &client.pid().to_string()]).start();
    for _ in 0..3 {
        client.step();
    }
    let spans = agent.wait_for_spans(3);
    let open = read(&scrape(&url, "application/openmetrics-text; version=1.0.0"), "openmetrics");
    let plain = read(&scrape(&url, "text/plain"), "prometheus");
    client.wait().exited(0);
    agent.stop().exited(0);

    let count = |key: &str| -> f64 { spans.iter().filter_map(|span| span.get(key).as_f64()).sum() };
    for samples in [&open, &plain] {
        let total = |name: &str| sum(samples, name);
        assert_eq!(total("plainspan_calls_kept_total"), 3.0);
        assert_eq!(total("plainspan_calls_dropped_total"), 0.0);
        for name in ["gen_ai_client_inference", "gen_ai_client_operation"] {
            assert_eq!(total(&format!("{name}_duration_seconds_count")), 3.0, "{name}");
            assert_eq!(total(&format!("{name}_time_to_first_chunk_seconds_count")), 3.0, "{name}");
        }
        assert_eq!(
            total("gen_ai_client_inference_usage_input_tokens_total"),
            count("gen_ai.usage.input_tokens")
        );
        assert_eq!(
            total("gen_ai_client_inference_usage_output_tokens_total"),
            count("gen_ai.usage.output_tokens")
        );
        let waited = total("gen_ai_client_inference_time_to_first_chunk_seconds_sum");
        assert!((waited - count("gen_ai.response.time_to_first_chunk")).abs() < 1e-6, "{waited}");
        let gaps = spans.iter().filter_map(|span| span.get("plainspan.stream.chunks").as_f64());
        let between = total("gen_ai_client_inference_time_per_output_chunk_seconds_count");
        assert!(between > 0.0 && between < gaps.sum(), "{between}");
    }
    let (_, labels, ..) = open
        .iter()
        .find(|(name, ..)| name == "gen_ai_client_inference_duration_seconds_count")
        .expect("it is there");
    let expected =
        [("service_name", "openai_client"), ("gen_ai_operation_name", "chat"), ("gen_ai_request_model", "m")];
    for (name, value) in expected {
        assert_eq!(labels[name], value);
    }
    // Whoever looks at a bucket finds the span.
    let shown: BTreeSet<&str> =
        open.iter().filter_map(|(_, _, _, exemplar)| Some(exemplar.get("span_id")?.as_str())).collect();
    let known: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert!(!shown.is_empty() && shown.is_subset(&known), "{shown:?} {known:?}");
    assert!(plain.iter().all(|(.., exemplar)| exemplar.is_empty()), "the older format has none");
}
