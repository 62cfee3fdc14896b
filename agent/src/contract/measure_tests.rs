use std::collections::BTreeSet;

use super::*;
use crate::{
    contract::{Instrument, Value},
    genai::{Call, CallError, Provider, Role, Usage},
    metrics::{self, Limits, SECONDS, TOKENS},
};

const NOW: Timestamp = Timestamp(7_000_000_000);

fn origin(profile: &str) -> Origin {
    let extra = vec![("deployment.environment.name".to_owned(), "test".to_owned())];
    Origin { profile: Profile::parse(profile).unwrap(), host_name: Some("node-7".into()), extra }
}

fn streamed() -> Call {
    let mut call = Call { start: Timestamp(0), end: Timestamp(2_000_000_000), ..Call::default() };
    call.provider = Provider::Anthropic;
    call.request.model = Some("claude-sonnet-4-5".into());
    call.response.model = Some("claude-sonnet-4-5-20250929".into());
    call.transport.server_address = Some("api.anthropic.com".into());
    call.transport.server_port = Some(443);
    call.usage = Usage {
        input: Some(100),
        output: Some(20),
        cache_read: Some(60),
        cache_write: Some(5),
        reasoning: Some(7),
        audio_input: Some(30),
        ..Usage::default()
    };
    call.streaming.streamed = true;
    call.streaming.first_chunk = Some(Timestamp(300_000_000));
    call.streaming.first_content = Some(Timestamp(400_000_000));
    call.streaming.gaps = Some(crate::genai::Gaps {
        buckets: [3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        sum: std::time::Duration::from_millis(50),
        least: std::time::Duration::from_millis(5),
        largest: std::time::Duration::from_millis(35),
    });
    call
}

fn failed() -> Call {
    let mut call = streamed();
    call.error = Some(CallError { kind: "overloaded_error".into(), ..CallError::default() });
    call.streaming = crate::genai::Streaming::default();
    call.usage = Usage::default();
    call
}

fn measured(calls: &[Call], profile: &str) -> Vec<ResourceMetrics> {
    let counted = metrics::Metrics::new(Limits::default(), NOW);
    for call in calls {
        counted.add(call, Some(0.25), (Some("app"), Some("shop")), Some(([1; 16], [2; 8])), NOW);
    }
    let account = Account::default();
    let all = measure(&counted.snapshot(NOW), &origin(profile), &account);
    assert_eq!(account.to_string(), "", "every point fits the contract");
    all
}

fn points<'a>(all: &'a [ResourceMetrics], name: &str) -> &'a [Point] {
    let mut metrics = all.iter().flat_map(|of| &of.metrics);
    metrics.find(|metric| metric.def.name == name).map_or(&[], |metric| &metric.points)
}

fn text(point: &Point, key: &str) -> Option<String> {
    point.attributes.iter().find(|a| a.key == key).map(|a| match &a.value {
        Value::String(text) => text.clone(),
        value => format!("{value:?}"),
    })
}

#[test]
fn each_metric_is_there_under_both_names_with_the_same_points() {
    let all = measured(&[streamed(), streamed(), failed()], "overlap");
    for metric in names::METRICS.iter().filter(|metric| metric.current.is_some()) {
        let (older, current) = (points(&all, metric.name), points(&all, metric.current.unwrap()));
        assert!(!older.is_empty() && older == current, "{}", metric.name);
    }
    let durations = points(&all, "gen_ai.client.inference.duration");
    let by_error: BTreeSet<_> = durations.iter().map(|point| text(point, "error.type")).collect();
    assert_eq!(by_error, BTreeSet::from([None, Some("overloaded_error".to_owned())]));
    for point in durations {
        for key in ["gen_ai.provider.name", "gen_ai.system"] {
            assert_eq!(text(point, key).as_deref(), Some("anthropic"), "{key}");
        }
        let Measured::Distribution { exemplars, .. } = &point.measured else { panic!("{point:?}") };
        assert_eq!((exemplars.len(), exemplars[0].1.span_id), (1, [2; 8]));
    }
    // Both directions of tokens, which were one metric with a type, have the same sums.
    let sum = |point: &Point| match &point.measured {
        Measured::Count(count) => *count as f64,
        Measured::Distribution { sum, .. } | Measured::Sum(sum) => *sum,
    };
    let older = points(&all, "gen_ai.client.token.usage");
    for (kind, name) in [("input", "input_tokens"), ("output", "output_tokens")] {
        let of_kind = older.iter().find(|point| text(point, "gen_ai.token.type").as_deref() == Some(kind));
        let current: f64 =
            points(&all, &format!("gen_ai.client.inference.operation.{name}")).iter().map(sum).sum();
        let counted: f64 =
            points(&all, &format!("gen_ai.client.inference.usage.{name}")).iter().map(sum).sum();
        assert_eq!((sum(of_kind.unwrap()), counted), (current, current), "{kind}");
    }
    let cost = points(&all, "plainspan.cost.usage");
    assert!((cost.iter().map(sum).sum::<f64>() - 0.75).abs() < 1e-9);
    let audio: Vec<_> = points(&all, "gen_ai.client.inference.usage.input_tokens")
        .iter()
        .map(|point| (text(point, "gen_ai.token.modality"), sum(point)))
        .collect();
    assert_eq!(audio, [(None, 140.0), (Some("audio".to_owned()), 60.0)]);
    let kept = points(&all, "plainspan.calls.kept");
    assert_eq!((kept.len(), sum(&kept[0])), (1, 3.0));
}

#[test]
fn profiles_choose_names() {
    let rows = [
        ("current", "gen_ai.client.inference.duration", "gen_ai.client.operation.duration", "gen_ai.system"),
        (
            "otel-1.41",
            "gen_ai.client.operation.duration",
            "gen_ai.client.inference.duration",
            "gen_ai.provider.name",
        ),
    ];
    for (profile, present, absent, no_key) in rows {
        let all = measured(&[streamed()], profile);
        let points = |name| points(&all, name);
        assert!(!points(present).is_empty() && points(absent).is_empty(), "{profile}");
        assert!(points(present).iter().all(|point| text(point, no_key).is_none()), "{profile}");
    }
    // The first version had no metrics.
    assert!(measured(&[streamed()], "0.1.0").iter().all(|of| of.metrics.is_empty()));
}

#[test]
fn who_serves_and_who_speaks_mcp_have_metrics_of_their_own() {
    let mut served = streamed();
    served.role = Some(Role::Server);
    let mut mcp = Call { role: Some(Role::Client), ..Call::default() };
    mcp.mcp = Some(Box::new(crate::genai::Mcp { method: "tools/call".into(), ..Default::default() }));
    let all = measured(&[served, mcp], "overlap");
    let names: Vec<_> = all.iter().flat_map(|of| &of.metrics).map(|metric| metric.def.name).collect();
    let expected = [
        "gen_ai.server.request.duration",
        "gen_ai.server.time_to_first_token",
        "mcp.client.operation.duration",
        "plainspan.calls.kept",
        "plainspan.calls.dropped",
    ];
    assert_eq!(names, expected, "what is served is not counted as if it had been asked for");
    let mcp = points(&all, "mcp.client.operation.duration");
    assert_eq!(text(&mcp[0], "mcp.method.name").as_deref(), Some("tools/call"));
}

#[test]
fn a_resource_is_that_of_a_service() {
    let all = measured(&[streamed()], "overlap");
    let resource = &all[0].resource;
    let get = |key: &str| resource.get(key).cloned();
    assert_eq!(get("service.name"), Some(Value::String("app".into())));
    assert_eq!(get("service.namespace"), Some(Value::String("shop".into())));
    assert_eq!(get("host.name"), Some(Value::String("node-7".into())));
    assert_eq!(resource.extra.len(), 1);
    assert_eq!(get("process.pid"), None);
}

#[test]
fn what_is_folded_is_told() {
    let counted = metrics::Metrics::new(Limits { names: 2, ..Limits::default() }, NOW);
    for n in 0..20 {
        let mut call = streamed();
        call.request.model = Some(format!("made-up-{n}"));
        counted.add(&call, None, (None, None), None, NOW);
    }
    let all = measure(&counted.snapshot(NOW), &origin("overlap"), &Account::default());
    let folded = points(&all, "plainspan.metrics.folded_calls");
    assert_eq!(text(&folded[0], "plainspan.metrics.folded").as_deref(), Some("gen_ai.request.model"));
    assert_eq!(folded[0].measured, Measured::Count(19));
    let models: BTreeSet<_> = points(&all, "gen_ai.client.inference.duration")
        .iter()
        .filter_map(|point| text(point, "gen_ai.request.model"))
        .collect();
    assert_eq!(models, BTreeSet::from([OTHER.to_owned(), "made-up-0".to_owned()]));
}

#[test]
fn buckets_are_those_of_the_contract() {
    for metric in &names::METRICS {
        let expected: &[f64] = match (metric.instrument, metric.unit) {
            (Instrument::Counter, _) => &[],
            (Instrument::Histogram, "s") => &SECONDS,
            (Instrument::Histogram, _) => &TOKENS,
        };
        assert_eq!(metric.boundaries, expected, "{}", metric.name);
        assert!(metric.current.is_none_or(|name| names::METRICS.iter().any(|m| m.name == name)));
    }
}
