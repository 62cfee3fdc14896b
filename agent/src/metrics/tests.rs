use std::collections::BTreeMap;

use super::*;
use crate::genai::{CallError, Usage};

const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn call(model: &str, host: &str, error: Option<&str>) -> Call {
    let mut call = Call { start: Timestamp(0), end: Timestamp(1_500_000_000), ..Call::default() };
    call.request.model = Some(model.to_owned());
    call.transport.server_address = Some(host.to_owned());
    call.transport.server_port = Some(443);
    call.usage = Usage { input: Some(10), output: Some(3), ..Usage::default() };
    call.error = error.map(|kind| CallError { kind: kind.to_owned(), ..CallError::default() });
    call
}

fn add(metrics: &Metrics, call: &Call, service: &str) {
    metrics.add(call, None, (Some(service), None), None, NOW);
}

/// Calls, and input tokens.
fn totals(snapshot: &Snapshot) -> (u64, u64) {
    let all = snapshot.services.iter().flat_map(|of| &of.series);
    all.fold((0, 0), |(calls, tokens), (_, series)| {
        let ended: u64 = series.outcomes.iter().map(|outcome| outcome.duration.count()).sum();
        (calls + ended, tokens + series.sums.input.unwrap_or(0))
    })
}

#[test]
fn invented_names_neither_grow_the_metrics_nor_change_the_totals() {
    let limits = Limits::default();
    let metrics = Metrics::new(limits, NOW);
    for n in 0..100_000 {
        add(&metrics, &call(&format!("model-{n}"), &format!("host-{n}.example"), None), "app");
    }
    let snapshot = metrics.snapshot(NOW);
    assert!(metrics.series() < limits.series, "{}", metrics.series());
    assert_eq!(totals(&snapshot), (100_000, 1_000_000));
    // The first 100 passed; all others were told of.
    let folded: BTreeMap<_, _> = snapshot.folded.iter().enumerate().collect();
    assert_eq!(folded[&(Folded::RequestModel as usize)], &99_900);
    assert_eq!(folded[&(Folded::ServerAddress as usize)], &99_900);
}

#[test]
fn combinations_have_a_budget_too() {
    // Few names each, and many combinations of them, with services and failures that are made up as well.
    let limits = Limits { series: 200, ..Limits::default() };
    let metrics = Metrics::new(limits, NOW);
    let mut calls = 0;
    for model in 0..40 {
        for host in 0..40 {
            for error in [None, Some("429"), Some(["a", "b", "c"][host % 3])] {
                let call = call(&format!("m{model}"), &format!("h{host}"), error);
                add(&metrics, &call, &format!("service-{}", (model + host) % 150));
                calls += 1;
            }
        }
    }
    let snapshot = metrics.snapshot(NOW);
    assert!(metrics.series() <= limits.series + 3, "{}: one a kind of call beyond it", metrics.series());
    assert_eq!(totals(&snapshot).0, calls);
    assert!(snapshot.folded[Folded::All as usize] > 0);
}

#[test]
fn what_many_ask_for_has_its_own_series_whoever_comes_before() {
    let metrics = Metrics::new(Limits { names: 8, ..Limits::default() }, NOW);
    for n in 0..1000 {
        add(&metrics, &call(&format!("noise-{n}"), "api.openai.com", None), "app");
        add(&metrics, &call("busy", "api.openai.com", None), "app");
        add(&metrics, &call("gpt-4o", "api.openai.com", None), "app");
    }
    let snapshot = metrics.snapshot(NOW);
    let count = |model: &str| {
        let found =
            snapshot.services[0].series.iter().find(|(l, _)| l.request_model.as_deref() == Some(model));
        found.map_or(0, |(_, series)| series.outcomes[0].duration.count())
    };
    assert_eq!(count("gpt-4o"), 1000, "a price list knows it");
    assert!(count("busy") >= 990, "{}", count("busy"));
    assert_eq!(
        count("busy") + count(OTHER) + (0..1000).map(|n| count(&format!("noise-{n}"))).sum::<u64>(),
        2000
    );
}

#[test]
fn how_calls_end_is_told_apart_where_it_is_asked_for() {
    let metrics = Metrics::new(Limits::default(), NOW);
    let mut served = call("m", "h", None);
    served.role = Some(Role::Server);
    for call in [&call("m", "h", None), &call("m", "h", Some("429")), &call("m", "h", Some("429")), &served] {
        add(&metrics, call, "app");
    }
    add(&metrics, &call("m", "h", None), "other");
    let snapshot = metrics.snapshot(NOW);
    let of = snapshot.services.iter().find(|of| of.service.name.as_deref() == Some("app")).unwrap();
    assert_eq!((of.series.len(), of.kept, of.dropped), (2, 0, 4));
    let (_, series) = of.series.iter().find(|(labels, _)| !labels.served).unwrap();
    let ended: Vec<_> = series.outcomes.iter().map(|o| (o.error.as_deref(), o.duration.count())).collect();
    assert_eq!(ended, [(None, 1), (Some("429"), 2)]);
    assert_eq!(series.sums.input, Some(30));
    assert_eq!(series.sums.cache_read, None, "nobody told of it");
}

#[test]
fn idle_series_make_room() {
    let metrics = Metrics::new(Limits { series: 8, ..Limits::default() }, NOW);
    for n in 0..8 {
        add(&metrics, &call(&format!("m{n}"), "h", None), "app");
    }
    let later = Timestamp(NOW.0 + IDLE);
    metrics.add(&call("m0", "h", None), None, (Some("app"), None), None, later);
    assert_eq!(totals(&metrics.snapshot(later)).0, 9, "told once more");
    assert_eq!(metrics.series(), 1);
    assert_eq!(totals(&metrics.snapshot(later)).0, 2, "what is still there goes on");
}

#[test]
fn buckets_of_gaps_are_those_of_seconds() {
    for (bucket, bound) in SECONDS.iter().enumerate() {
        assert!((bound - 0.01 * f64::from(1 << bucket)).abs() < 1e-9);
    }
}
