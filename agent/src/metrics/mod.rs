//! COUNT: what calls add up to, before sampling leaves any of them out.
//!
//! Each call is added to the series of its labels ([`Labels`]), of which there are never more than a budget: values that anybody
//! can invent (models, hosts, kinds of failure) pass while there are few or when they come often ([`Fold`]), else they
//! become `_OTHER`, and that is counted. Which names the numbers go by is not known here.

mod fold;
mod histogram;
mod series;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

pub use fold::{Fold, OTHER};
pub use histogram::{Exemplar, Histogram, SECONDS, TOKENS};
pub use series::{Labels, Operation, Outcome, Series, Sums};

use crate::{
    genai::{self, Call, Role},
    policy::price,
    time::Timestamp,
};

/// How much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most series: combinations of labels, of all services together.
    pub series: usize,
    /// Most models that no table knows, and as many hosts.
    pub names: usize,
    /// Most kinds of failure.
    pub errors: usize,
    /// Most services.
    pub services: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // The conventions' SDKs hold 2000 attribute sets a metric.
        Self { series: 2000, names: 200, errors: 50, services: 100 }
    }
}

/// A series that nobody has added to for so long makes room for others.
const IDLE: u64 = 3_600_000_000_000;

/// Whose calls they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its name; none where nothing of the process is known.
    pub name: Option<Arc<str>>,
    /// The namespace of its name.
    pub namespace: Option<Arc<str>>,
}

/// Something that was folded into `_OTHER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folded {
    /// A model that was asked for.
    RequestModel,
    /// A model that answered.
    ResponseModel,
    /// A host.
    ServerAddress,
    /// A kind of failure.
    ErrorType,
    /// A service.
    Service,
    /// All of them, since there were too many combinations.
    All,
}

impl Folded {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 6] = [
        Self::RequestModel,
        Self::ResponseModel,
        Self::ServerAddress,
        Self::ErrorType,
        Self::Service,
        Self::All,
    ];
}

/// What one service's calls add up to.
#[derive(Clone, Debug)]
pub struct OfService {
    /// Whose.
    pub service: Service,
    /// Calls that became spans.
    pub kept: u64,
    /// Calls that sampling left out.
    pub dropped: u64,
    /// When the first of them was counted.
    pub start: Timestamp,
    /// The rest, by labels.
    pub series: Vec<(Labels, Series)>,
}

/// All numbers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Of each service.
    pub services: Vec<OfService>,
    /// How often a value became `_OTHER`, in the order of [`Folded::ALL`].
    pub folded: [u64; Folded::ALL.len()],
    /// When counting began.
    pub start: Timestamp,
}

/// The numbers. Shared by who counts and those who export.
#[derive(Debug)]
pub struct Metrics(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    limits: Limits,
    models: Fold,
    hosts: Fold,
    errors: Fold,
    services: Fold,
    all: HashMap<Service, Numbers>,
    /// Outcomes of all series.
    held: usize,
    folded: [u64; Folded::ALL.len()],
    start: Timestamp,
}

#[derive(Debug)]
struct Numbers {
    kept: u64,
    dropped: u64,
    start: Timestamp,
    series: HashMap<Labels, Series>,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new(limits: Limits, now: Timestamp) -> Self {
        Self(Mutex::new(Counted {
            limits,
            models: Fold::new(limits.names),
            hosts: Fold::new(limits.names),
            errors: Fold::new(limits.errors),
            services: Fold::new(limits.services),
            all: HashMap::new(),
            held: 0,
            folded: [0; Folded::ALL.len()],
            start: now,
        }))
    }

    /// Adds a call of a service, given by its name and namespace. `cost` is in US dollars. `kept` are the trace and span of one that becomes a span; one that does not is counted all the same.
    pub fn add(
        &self,
        call: &Call,
        cost: Option<f64>,
        service: (Option<&str>, Option<&str>),
        kept: Option<([u8; 16], [u8; 8])>,
        now: Timestamp,
    ) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(call, cost, service, kept, now);
    }

    /// The numbers as they are now. Series that are idle while there is little room left go, after this one last time.
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = counted.snapshot();
        counted.tidy(now);
        snapshot
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held
    }
}

impl Counted {
    fn add(
        &mut self,
        call: &Call,
        cost: Option<f64>,
        (name, namespace): (Option<&str>, Option<&str>),
        kept: Option<([u8; 16], [u8; 8])>,
        now: Timestamp,
    ) {
        let mut service = Service::default();
        for (value, slot) in [(name, &mut service.name), (namespace, &mut service.namespace)] {
            *slot = value.map(|value| self.services.pass(value, false).unwrap_or_else(|| OTHER.into()));
        }
        let is_other = |value: &Option<Arc<str>>| value.as_deref() == Some(OTHER);
        if is_other(&service.name) || is_other(&service.namespace) {
            service = Service { name: Some(OTHER.into()), namespace: None };
            self.fold(Folded::Service);
        }
        let (mut labels, mut error) = self.labels(call);
        // The last quarter is for combinations of `_OTHER`; beyond the budget, only kinds of calls are told apart.
        if self.held >= self.limits.series * 3 / 4 && !self.has(&service, &labels, error.as_ref()) {
            (labels, error) = (labels.folded(), error.map(|_| OTHER.into()));
            self.fold(Folded::All);
            if self.held >= self.limits.series && !self.has(&service, &labels, error.as_ref()) {
                service = Service { name: Some(OTHER.into()), namespace: None };
                labels = labels.last_resort();
            }
        }
        let numbers = self.all.entry(service).or_insert_with(|| Numbers {
            kept: 0,
            dropped: 0,
            start: now,
            series: HashMap::new(),
        });
        if kept.is_some() {
            numbers.kept += 1;
        } else {
            numbers.dropped += 1;
        }
        let series = numbers.series.entry(labels).or_insert_with(|| Series::new(now));
        let outcomes = series.outcomes.len();
        series.add(call, cost, error, kept, now);
        self.held += series.outcomes.len() - outcomes;
    }

    fn has(&self, service: &Service, labels: &Labels, error: Option<&Arc<str>>) -> bool {
        let series = self.all.get(service).and_then(|numbers| numbers.series.get(labels));
        series.is_some_and(|series| series.has(error))
    }

    fn fold(&mut self, what: Folded) {
        self.folded[what as usize] += 1;
    }

    /// The labels of a call, and how it failed.
    fn labels(&mut self, call: &Call) -> (Labels, Option<Arc<str>>) {
        let mut folded = [None; 4];
        let operation = match &call.mcp {
            // Its methods are few, unless somebody makes them up.
            Some(mcp) => Operation::Mcp {
                method: self.errors.pass(&mcp.method, false).unwrap_or_else(|| OTHER.into()),
            },
            None => Operation::Inference { operation: call.operation, provider: call.provider },
        };
        let mut model = |name: Option<&str>, what, slot: &mut Option<Folded>| {
            let name = name?;
            let passed = self.models.pass(name, price::is_known(name));
            *slot = passed.is_none().then_some(what);
            Some(passed.unwrap_or_else(|| OTHER.into()))
        };
        let request_model = model(call.request.model.as_deref(), Folded::RequestModel, &mut folded[0]);
        let response_model = model(call.response.model.as_deref(), Folded::ResponseModel, &mut folded[1]);
        let (mut server_address, mut server_port) = (None, None);
        if let Some(address) = call.transport.server_address.as_deref() {
            let known = genai::is_known_host(address);
            server_address = self.hosts.pass(address, known);
            server_port = call.transport.server_port;
            if server_address.is_none() {
                folded[2] = Some(Folded::ServerAddress);
                (server_address, server_port) = (Some(OTHER.into()), None);
            }
        }
        let error = call.error.as_ref().map(|error| {
            let kind = if error.kind.is_empty() { OTHER } else { &error.kind };
            self.errors.pass(kind, false).unwrap_or_else(|| {
                folded[3] = Some(Folded::ErrorType);
                OTHER.into()
            })
        });
        for what in folded.into_iter().flatten() {
            self.fold(what);
        }
        let served = call.role == Some(Role::Server);
        (Labels { operation, served, request_model, response_model, server_address, server_port }, error)
    }

    fn snapshot(&self) -> Snapshot {
        let services = self
            .all
            .iter()
            .map(|(service, numbers)| OfService {
                service: service.clone(),
                kept: numbers.kept,
                dropped: numbers.dropped,
                start: numbers.start,
                series: numbers.series.iter().map(|(l, s)| (l.clone(), s.clone())).collect(),
            })
            .collect();
        Snapshot { services, folded: self.folded, start: self.start }
    }

    fn tidy(&mut self, now: Timestamp) {
        if self.held < self.limits.series / 2 {
            return;
        }
        for numbers in self.all.values_mut() {
            numbers.series.retain(|_, series| now.0.saturating_sub(series.last.0) < IDLE);
        }
        let series = self.all.values().flat_map(|numbers| numbers.series.values());
        self.held = series.map(|series| series.outcomes.len()).sum();
        for fold in [&mut self.models, &mut self.hosts, &mut self.errors, &mut self.services] {
            fold.forget();
        }
    }
}

#[cfg(test)]
mod tests;
