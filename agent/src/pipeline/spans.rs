//! The end of the way: calls become spans under the resource of their process.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::Finished;
use crate::{
    account::Account,
    capture::Record,
    contract::{self, Delivery, Profile, Relations, Resource, SpanIds},
    metrics::Metrics,
    policy::{
        content::{self, Subject},
        fingerprint::Fingerprinter,
        price,
        sample::{self, Sampler},
    },
    resource::{ProcessInfo, Processes},
    text,
    time::Timestamp,
};

/// Where the ids of new spans come from.
#[derive(Debug)]
pub enum Ids {
    /// Random ones.
    Random(RandomIdGenerator),
    /// The same in every run, for a replay.
    Counted(u64),
}

impl Ids {
    /// Ids for the next span.
    pub fn fresh(&mut self) -> SpanIds {
        match self {
            Self::Random(random) => SpanIds {
                trace_id: random.new_trace_id().to_bytes(),
                span_id: random.new_span_id().to_bytes(),
            },
            Self::Counted(n) => {
                *n += 1;
                // Sampling goes by the last bytes of a trace's id, which have to look random.
                let trace_id = u128::from(*n) << 64 | u128::from(scrambled(*n));
                SpanIds { trace_id: trace_id.to_be_bytes(), span_id: n.to_be_bytes() }
            }
        }
    }
}

/// As SplitMix64 does (Steele, Lea and Flood, OOPSLA 2014): no two numbers become the same.
fn scrambled(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// `resource/` and `contract/`: calls become spans under the resource of their process.
pub struct Spans {
    processes: Processes,
    resources: HashMap<u32, (Arc<ProcessInfo>, Arc<Resource>)>,
    nobody: Arc<Resource>,
    /// The last process of which nothing could be learnt, so that it is not looked up with every record.
    absent: Option<u32>,
    /// Which calls are kept.
    sampler: Sampler,
    /// What is kept of content.
    content: content::Policy,
    fingerprinter: Fingerprinter,
    /// The names that spans go by, and what they say of their source.
    options: contract::Options,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    extra: Vec<(String, String)>,
    /// Where calls are counted.
    metrics: Option<Arc<Metrics>>,
    account: Arc<Account>,
}

impl Spans {
    /// Spans with attributes of `extra` on every resource.
    pub fn new(
        processes: Processes,
        content: content::Policy,
        profile: &'static Profile,
        extra: Vec<(String, String)>,
        account: Arc<Account>,
    ) -> Self {
        let options = contract::Options { profile, ..contract::Options::default() };
        let nobody =
            Arc::new(contract::resource(&ProcessInfo::default(), &extra, Vec::new(), &options, &account));
        let sampler = Sampler::new(sample::Settings::default(), Arc::clone(&account));
        Self {
            processes,
            resources: HashMap::new(),
            nobody,
            absent: None,
            sampler,
            content,
            fingerprinter: Fingerprinter::new(None, Vec::new(), Arc::clone(&account)),
            options,
            extra,
            metrics: None,
            account,
        }
    }

    /// The same with fingerprints.
    pub fn with_fingerprints(mut self, fingerprinter: Fingerprinter) -> Self {
        self.fingerprinter = fingerprinter;
        self
    }

    /// From now on calls are counted there.
    pub fn count_in(&mut self, metrics: Arc<Metrics>) {
        self.metrics = Some(metrics);
    }

    /// The same of those calls alone that sampling keeps.
    pub fn with_sampling(mut self, settings: sample::Settings) -> Self {
        self.set_sampling(settings);
        self
    }

    /// From now on these calls are kept.
    pub fn set_sampling(&mut self, settings: sample::Settings) {
        self.sampler.set(settings);
    }

    /// Learns of a process while it lives. Called for every record before the pipeline sees it; cheap for a
    /// process that is known.
    pub fn record(&mut self, record: &Record) {
        match record {
            Record::Data(data) => {
                let pid = data.process.pid;
                if self.absent != Some(pid) && !self.processes.knows(pid) && self.processes.get(pid).is_none()
                {
                    self.absent = Some(pid);
                }
            }
            Record::Exec { pid, program, .. } => {
                self.absent = None;
                self.processes.exec(*pid, program);
            }
            Record::Fork { pid, parent, .. } => {
                self.absent = None;
                self.processes.fork(*pid, *parent);
            }
            Record::Exit { pid, .. } => self.processes.exit(*pid),
            Record::Close(_) => {}
        }
    }

    /// From now on this is kept of content. It goes where it went before: what takes it is open already.
    pub fn set_content(&mut self, content: content::Policy) {
        self.content = content.placed(self.content.placement().clone());
        // Of a process its command line is content, too.
        self.resources.clear();
    }

    /// The prints of the calls to come, which can be made otherwise from now on.
    pub fn fingerprinter(&mut self) -> &mut Fingerprinter {
        &mut self.fingerprinter
    }

    /// Sets what `plainspan.replay.source` says of the spans to come.
    pub fn set_source(&mut self, source: Option<String>) {
        self.options.capture_source = source;
    }

    /// The span of a call, under its resource; `None` if sampling leaves it out.
    pub fn deliver(&mut self, finished: Finished) -> Option<Delivery> {
        let Finished { mut call, ids, cause, session, process } = finished;
        let info = self.processes.get(process.pid);
        let service = info.as_ref().and_then(|info| info.service_name.as_deref());
        let namespace = info.as_ref().and_then(|info| info.service_namespace.as_deref());
        let trace_id = call.trace.as_ref().map_or(ids.trace_id, |trace| trace.trace_id);
        // Of what was said, before anything is taken out of it.
        let prints = self.fingerprinter.prints(&call);
        let kinds = sample::Kinds {
            template: prints.template.as_deref(),
            revision: call.response.model.as_deref(),
            tool_set: prints.tool_set.as_deref(),
            tenant: prints.tenant.as_deref(),
        };
        let sampled = self.sampler.decide(&call, trace_id, &kinds);
        let kept = sampled.kept().then_some((trace_id, ids.span_id));
        let counts = kept.is_some() || self.metrics.is_some();
        let cost = counts.then(|| price::estimate(&call)).flatten();
        if let Some(metrics) = &self.metrics {
            let paid = cost.as_ref().map(|cost| cost.total);
            metrics.add(&call, paid, (service, namespace), kept, Timestamp::now());
        }
        kept?;
        let provider = contract::provider_name(call.provider);
        let subject = Subject {
            service,
            namespace: info.as_ref().and_then(|info| info.namespace()),
            provider: Some(&provider),
            model: call.request.model.as_deref(),
            path: Some(&call.transport.path),
        };
        let form = self.content.form(&subject);
        let redacted = self.content.bring(&mut call, form);
        let placement = self.content.placement().clone();
        let options = contract::Options {
            content: form,
            placement,
            redacted,
            cost,
            sampled,
            prints,
            ..self.options.clone()
        };
        let span = contract::build(&call, ids, Relations { cause, session }, &options, &self.account);
        Some(Delivery { span, resource: self.resource(process.pid, info) })
    }

    fn resource(&mut self, pid: u32, info: Option<Arc<ProcessInfo>>) -> Arc<Resource> {
        let Some(info) = info else {
            return if pid == 0 {
                Arc::clone(&self.nobody)
            } else {
                // It was gone before anything but its id could be learnt.
                let info = ProcessInfo { pid, ..ProcessInfo::default() };
                Arc::new(contract::resource(&info, &self.extra, Vec::new(), &self.options, &self.account))
            };
        };
        if let Some((known, resource)) = self.resources.get(&pid)
            && Arc::ptr_eq(known, &info)
        {
            return Arc::clone(resource);
        }
        if self.resources.len() >= 2 * self.processes.len().max(512) {
            self.resources.clear();
        }
        let form = self.content.common_form(info.service_name.as_deref(), info.namespace());
        let arguments = self.content.arguments(&info.command_args, form);
        let resource =
            Arc::new(contract::resource(&info, &self.extra, arguments, &self.options, &self.account));
        self.resources.insert(pid, (info, Arc::clone(&resource)));
        resource
    }
}

/// `key=value,key=value` with percent-encoded values, as `OTEL_RESOURCE_ATTRIBUTES` has them (OpenTelemetry
/// resource SDK specification, which follows W3C Baggage).
///
/// # Errors
/// The entry that is no `key=value`.
pub fn resource_attributes(list: &str) -> Result<Vec<(String, String)>, String> {
    list.split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            text::attribute(entry).filter(|(key, _)| !key.is_empty()).ok_or_else(|| entry.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_attributes_of_the_environment() {
        let parsed = resource_attributes("service.name=my%20app, deployment.environment = prod ,,k=%zz");
        assert_eq!(
            parsed,
            Ok(vec![
                ("service.name".into(), "my app".into()),
                ("deployment.environment".into(), "prod".into()),
                ("k".into(), "%zz".into()),
            ])
        );
        assert_eq!(resource_attributes("a=1,b"), Err("b".into()));
        assert_eq!(resource_attributes("=1"), Err("=1".into()));
    }

    #[test]
    fn counted_ids_differ_and_are_not_zero() {
        let mut ids = Ids::Counted(0);
        let (a, b) = (ids.fresh(), ids.fresh());
        assert!(a != b && a.span_id != [0; 8] && a.trace_id != [0; 16]);
        let halves = (0..1000).filter(|_| ids.fresh().trace_id[9] < 128).count();
        assert!((450..550).contains(&halves), "they look random where sampling looks: {halves}");
    }
}
