//! What is counted of calls, as metrics under the contract.

use std::sync::Arc;

use super::{
    attributes::Attributes,
    check::Context,
    inference::{operation, provider},
    key::Key,
    metric::{Measured, Metric, MetricDef, Point, ResourceMetrics},
    names,
    profile::Profile,
    resource::service_resource,
    settle::settle_point,
};
use crate::{
    account::Account,
    metrics::{Folded, Histogram, Labels, OTHER, OfService, Operation, Outcome, Series, Snapshot},
    time::Timestamp,
};

/// What metrics say of where they come from, and which names they go by.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The names.
    pub profile: &'static Profile,
    /// Name of the machine, if it is known.
    pub host_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub extra: Vec<(String, String)>,
}

/// All numbers under their names: those of each service under a resource of its own, and what the agent says of itself under its own.
pub fn measure(snapshot: &Snapshot, origin: &Origin, account: &Account) -> Vec<ResourceMetrics> {
    let mut all: Vec<_> = snapshot
        .services
        .iter()
        .map(|of| {
            let mut metrics = Metrics::new(origin.profile, account);
            metrics.service(of);
            let (name, namespace) = (of.service.name.as_deref(), of.service.namespace.as_deref());
            ResourceMetrics { resource: service_resource(name, namespace, origin), metrics: metrics.all }
        })
        .collect();
    let mut own = Metrics::new(origin.profile, account);
    for (what, count) in Folded::ALL.into_iter().zip(snapshot.folded) {
        if count > 0 {
            let mut set = Attributes::default();
            set.set(names::PLAINSPAN_METRICS_FOLDED, folded(what));
            own.add(
                names::METRIC_PLAINSPAN_METRICS_FOLDED_CALLS,
                set,
                snapshot.start,
                Measured::Count(count),
            );
        }
    }
    if !own.all.is_empty() {
        let resource = service_resource(Some(env!("CARGO_PKG_NAME")), None, origin);
        all.push(ResourceMetrics { resource, metrics: own.all });
    }
    all
}

/// Metrics in the making, of one resource.
struct Metrics<'a> {
    profile: &'static Profile,
    account: &'a Account,
    all: Vec<Metric>,
}

impl<'a> Metrics<'a> {
    fn new(profile: &'static Profile, account: &'a Account) -> Self {
        Self { profile, account, all: Vec::new() }
    }

    /// Adds a point to a metric, and to the one that is its older name.
    fn add(&mut self, def: &'static MetricDef, mut set: Attributes, start: Timestamp, measured: Measured) {
        let context = Context { failed: false, content: false, profile: self.profile };
        settle_point(&mut set, &def.shape, context, self.account);
        let point = Point { attributes: set.finish(), start, measured };
        let older = names::METRICS.iter().filter(|metric| metric.current == Some(def.name));
        for name in older.chain([def]).filter(|name| !self.profile.left_out_metrics.has(name)) {
            match self.all.iter_mut().find(|metric| std::ptr::eq(metric.def, name)) {
                Some(metric) => metric.points.push(point.clone()),
                None => self.all.push(Metric { def: name, points: vec![point.clone()] }),
            }
        }
    }

    fn service(&mut self, of: &OfService) {
        for (def, count) in [
            (names::METRIC_PLAINSPAN_CALLS_KEPT, of.kept),
            (names::METRIC_PLAINSPAN_CALLS_DROPPED, of.dropped),
        ] {
            self.add(def, Attributes::default(), of.start, Measured::Count(count));
        }
        for (labels, series) in &of.series {
            match &labels.operation {
                Operation::Inference { .. } => self.inference(labels, series),
                Operation::Mcp { method } => self.mcp(labels, method, series),
            }
        }
        self.all.sort_by_key(|metric| metric.def.index);
    }

    fn mcp(&mut self, labels: &Labels, method: &Arc<str>, series: &Series) {
        let def = if labels.served {
            names::METRIC_MCP_SERVER_OPERATION_DURATION
        } else {
            names::METRIC_MCP_CLIENT_OPERATION_DURATION
        };
        for outcome in &series.outcomes {
            let mut set = Attributes::default();
            set.set(names::MCP_METHOD_NAME, names::McpMethodName::Unlisted(method.to_string()));
            if !labels.served {
                server(&mut set, labels);
            }
            failed(&mut set, outcome);
            self.add(def, set, series.start, distribution(&outcome.duration));
        }
    }

    fn inference(&mut self, labels: &Labels, series: &Series) {
        let start = series.start;
        for outcome in &series.outcomes {
            let set = || {
                let mut set = attributes(labels);
                failed(&mut set, outcome);
                set
            };
            if labels.served {
                let def = names::METRIC_GEN_AI_SERVER_REQUEST_DURATION;
                self.add(def, set(), start, distribution(&outcome.duration));
                continue;
            }
            for (def, histogram) in [
                (names::METRIC_GEN_AI_CLIENT_INFERENCE_DURATION, &outcome.duration),
                (names::METRIC_GEN_AI_CLIENT_INFERENCE_OPERATION_INPUT_TOKENS, &outcome.input),
                (names::METRIC_GEN_AI_CLIENT_INFERENCE_OPERATION_OUTPUT_TOKENS, &outcome.output),
            ] {
                self.histogram(def, histogram, start, set);
            }
        }
        if labels.served {
            let def = names::METRIC_GEN_AI_SERVER_TIME_TO_FIRST_TOKEN;
            self.histogram(def, &series.first_content, start, || attributes(labels));
            return;
        }
        for (def, histogram) in [
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_TIME_TO_FIRST_CHUNK, &series.first_chunk),
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_TIME_PER_OUTPUT_CHUNK, &series.gaps),
        ] {
            self.histogram(def, histogram, start, || attributes(labels));
        }
        self.older_tokens(labels, series);
        self.sums(labels, series);
    }

    fn histogram(
        &mut self,
        def: &'static MetricDef,
        histogram: &Histogram,
        start: Timestamp,
        set: impl Fn() -> Attributes,
    ) {
        if histogram.range.is_some() {
            self.add(def, set(), start, distribution(histogram));
        }
    }

    /// The older form of both token histograms, which has a type and does not tell failures apart.
    fn older_tokens(&mut self, labels: &Labels, series: &Series) {
        use names::GenAiTokenType as Type;
        for kind in [Type::Input, Type::Output] {
            let mut outcomes = series.outcomes.iter().map(|outcome| match kind {
                Type::Input => &outcome.input,
                Type::Output => &outcome.output,
            });
            let Some(mut all) = outcomes.next().cloned() else { continue };
            outcomes.for_each(|more| all.merge(more));
            let mut set = attributes(labels);
            set.set(names::GEN_AI_TOKEN_TYPE, kind);
            if all.range.is_some() {
                self.add(names::METRIC_GEN_AI_CLIENT_TOKEN_USAGE, set, series.start, distribution(&all));
            }
        }
    }

    fn sums(&mut self, labels: &Labels, series: &Series) {
        let (sums, start) = (&series.sums, series.start);
        for (def, all, audio) in [
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_USAGE_INPUT_TOKENS, sums.input, sums.audio_input),
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_USAGE_OUTPUT_TOKENS, sums.output, sums.audio_output),
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_READ_INPUT_TOKENS, sums.cache_read, None),
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_USAGE_CACHE_WRITE_INPUT_TOKENS, sums.cache_write, None),
            (names::METRIC_GEN_AI_CLIENT_INFERENCE_USAGE_REASONING_OUTPUT_TOKENS, sums.reasoning, None),
        ] {
            let Some(all) = all else { continue };
            // What is told apart is not in the rest, so that the points of a metric add up to all tokens.
            let audio = audio.unwrap_or(0).min(all);
            self.add(def, attributes(labels), start, Measured::Count(all - audio));
            if audio > 0 {
                let mut set = attributes(labels);
                set.set(names::GEN_AI_TOKEN_MODALITY, names::GenAiTokenModality::Audio);
                self.add(def, set, start, Measured::Count(audio));
            }
        }
        if let Some(cost) = sums.cost {
            self.add(names::METRIC_PLAINSPAN_COST_USAGE, attributes(labels), start, Measured::Sum(cost));
        }
    }
}

fn attributes(labels: &Labels) -> Attributes {
    let mut set = Attributes::default();
    if let Operation::Inference { operation: name, provider: of } = labels.operation {
        set.set(names::GEN_AI_OPERATION_NAME, operation(name));
        set.set(names::GEN_AI_PROVIDER_NAME, provider(of));
    }
    let text = |set: &mut Attributes, key: Key<String>, value: &Option<Arc<str>>| {
        set.set_some(key, value.as_ref().map(ToString::to_string));
    };
    text(&mut set, names::GEN_AI_REQUEST_MODEL, &labels.request_model);
    text(&mut set, names::GEN_AI_RESPONSE_MODEL, &labels.response_model);
    server(&mut set, labels);
    set
}

fn server(set: &mut Attributes, labels: &Labels) {
    if let Some(address) = &labels.server_address {
        set.set(names::SERVER_ADDRESS, address.to_string());
        set.set_some(names::SERVER_PORT, labels.server_port.map(i64::from));
    }
}

fn failed(set: &mut Attributes, outcome: &Outcome) {
    let error = outcome.error.as_deref().map(|kind| match kind {
        OTHER => names::ErrorType::Other,
        kind => names::ErrorType::Unlisted(kind.to_owned()),
    });
    set.set_some(names::ERROR_TYPE, error);
}

fn distribution(histogram: &Histogram) -> Measured {
    let exemplars = histogram.exemplars.iter().enumerate();
    Measured::Distribution {
        buckets: histogram.buckets.to_vec(),
        sum: histogram.sum,
        range: histogram.range,
        exemplars: exemplars.filter_map(|(at, exemplar)| Some((at, (*exemplar)?))).collect(),
    }
}

fn folded(what: Folded) -> names::PlainspanMetricsFolded {
    use names::PlainspanMetricsFolded as Name;
    match what {
        Folded::RequestModel => Name::RequestModel,
        Folded::ResponseModel => Name::ResponseModel,
        Folded::ServerAddress => Name::ServerAddress,
        Folded::ErrorType => Name::ErrorType,
        Folded::Service => Name::ServiceName,
        Folded::All => Name::All,
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
