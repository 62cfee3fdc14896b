//! SEND: spans to people, files and collectors. One file per exporter.
//!
//! Every exporter runs in a task of its own, so that a slow one delays neither the capture nor its neighbours
//! ([`Outputs`]). With a journal it delivers what is on disk; without one, and if it is for eyes only, it stands behind a
//! queue that is bounded by spans and by bytes.

mod backoff;
mod console;
mod content;
mod convert;
mod file;
mod journaled;
mod ledger;
mod metrics;
mod otlp;
mod outputs;
mod target;
mod without_content;
mod worker;

use std::{future::Future, io, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use thiserror::Error;

pub use console::{Console, visible};
pub use content::{ContentFiles, ContentSettings};
pub use file::File;
pub use metrics::{MetricOutputs, MetricSettings, Push};
pub use otlp::{Compression, Otlp, OtlpConfig, Protocol, Signal, Tls, shown_url};
pub use outputs::{Limits, OutputReport, Outputs};
pub use target::{Target, TargetError};

use crate::{
    account::Account,
    contract::Delivery,
    journal::{self, JournalError},
};
use without_content::WithoutContent;

/// A future of any kind.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that delivers spans.
pub trait Exporter: Send {
    /// What the user calls it, as in `-o`.
    fn name(&self) -> &str;

    /// The name under which the journal keeps what it has not taken yet; none if a span that it did not get at once is of no use
    /// to it.
    fn kept_as(&self) -> Option<String> {
        None
    }

    /// How many spans it likes to get at once.
    fn batching(&self) -> Batching;

    /// Delivers a batch: what is not in the [`Failure`] has left the agent.
    fn export<'a>(&'a mut self, batch: &'a [Arc<Delivery>]) -> BoxFuture<'a, Result<(), Failure>>;

    /// Called once, after the last batch.
    fn shutdown(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What an output is told of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Its span.
    Spans,
    /// The event with its content, if it has one.
    Events,
}

/// How spans are gathered into batches.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// Most spans in a batch.
    pub spans: usize,
    /// Most bytes in a batch, as estimated; a single larger span is a batch of its own.
    pub bytes: usize,
    /// How long the first span waits for others.
    pub delay: Duration,
}

/// What of a batch was not delivered.
#[derive(Debug)]
pub struct Failure {
    /// Positions in the batch of the spans that may yet be delivered, ascending.
    pub retry: Vec<usize>,
    /// How many spans never will be.
    pub lost: usize,
    /// Why.
    pub error: ExportError,
    /// How long the other side wants to be left alone, if it said so.
    pub after: Option<Duration>,
}

/// Why a batch was not delivered.
#[derive(Debug, Error)]
pub enum ExportError {
    /// Nobody reads the other end of a pipe any more.
    #[error("its reader has closed it")]
    Closed,
    /// The operating system refused.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
    /// A span could not be put into its format.
    #[error("cannot encode a span: {0}")]
    Encode(#[from] serde_json::Error),
    /// What would not fit is more than may be kept.
    #[error("{0} is full with what is from the same minute or later (--content-size)")]
    Full(String),
    /// The collector can't be reached, or asks to come back later.
    #[error("no delivery to {endpoint} ({reason}): is the collector running, and is the endpoint right?")]
    Unavailable {
        /// Where to, without credentials.
        endpoint: String,
        /// What happened.
        reason: String,
    },
    /// The collector does not want it.
    #[error(
        "{endpoint} refuses what it is sent ({reason}): see OTEL_EXPORTER_OTLP_HEADERS, _PROTOCOL and the collector's log"
    )]
    Refused {
        /// Where to, without credentials.
        endpoint: String,
        /// What happened.
        reason: String,
    },
}

/// Why an exporter can't be used at all.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file can't be written.
    #[error("cannot write to {path}: {reason}; {remedy}")]
    File {
        /// Its path.
        path: String,
        /// Why; part of the message, and so no source of its own.
        reason: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// A setting of the environment makes no sense.
    #[error("{variable}: {reason}")]
    Setting {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong and what is possible; never quotes a credential.
        reason: String,
    },
    /// The OTLP exporter could not be built.
    #[error("cannot set up the OTLP exporter: {0}")]
    Otlp(String),
    /// Nobody can be served at an address.
    #[error("cannot listen at {address} for Prometheus: {reason}; is another agent there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why; part of the message, and so no source of its own.
        reason: io::Error,
    },
    /// There is no journal to be had where the user wants it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The journal that spans go through.
#[derive(Clone, Debug)]
pub struct Keep {
    /// Its file.
    pub path: PathBuf,
    /// How much is kept.
    pub limits: journal::Limits,
    /// The user named it: without it, nothing begins.
    pub required: bool,
    /// Exporters that are not behind it are waited for, as by a source that can wait.
    pub patient: bool,
}

/// Settings that all exporters share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Schema URL of the contract, carried on everything that is exported.
    pub schema_url: &'static str,
    /// The console shows the whole span.
    pub verbose: bool,
    /// The console is standard error, because standard output is a command's.
    pub console_on_stderr: bool,
    /// Limits of each exporter's queue.
    pub limits: Limits,
    /// The journal, if there is to be one.
    pub keep: Option<Keep>,
    /// Collectors get events as well.
    pub events: bool,
    /// The directory of content, if there is to be one.
    pub content: Option<ContentSettings>,
}

/// Opens the targets and starts their tasks on the current tokio runtime, or says why one can't be used.
pub fn open(targets: &[Target], settings: Settings, account: Arc<Account>) -> Result<Outputs, OpenError> {
    let exporters = exporters(targets, &settings, &account)?;
    let Some(keep) = settings.keep else { return Ok(Outputs::start(exporters, settings.limits, account)) };
    match Outputs::start_journaled(exporters, settings.limits, &keep, Arc::clone(&account)) {
        Ok(outputs) => Ok(outputs),
        Err((error, _)) if keep.required => Err(error.into()),
        Err((error, exporters)) => {
            tracing::warn!("this run keeps no journal: {error}");
            Ok(Outputs::start(exporters, settings.limits, account))
        }
    }
}

fn exporters(
    targets: &[Target],
    settings: &Settings,
    account: &Arc<Account>,
) -> Result<Vec<Box<dyn Exporter>>, OpenError> {
    let Settings { schema_url, verbose, events, .. } = *settings;
    let variable = |name: &str| std::env::var(name).ok();
    // Spans as they leave the machine; what is for eyes shows all that there is.
    let spans = |exporter: Box<dyn Exporter>| Box::new(WithoutContent(exporter));
    let mut exporters: Vec<Box<dyn Exporter>> = Vec::with_capacity(targets.len() + 1);
    for target in targets {
        match target {
            Target::Console if settings.console_on_stderr => {
                exporters.push(Box::new(Console::stderr(verbose)));
            }
            Target::Console => exporters.push(Box::new(Console::stdout(verbose))),
            Target::File(path) => exporters.push(spans(Box::new(File::open(path, Told::Spans, schema_url)?))),
            Target::Events(path) => exporters.push(Box::new(File::open(path, Told::Events, schema_url)?)),
            Target::Otlp => {
                let config = OtlpConfig::from_env(Signal::Traces, &variable)?;
                exporters.push(spans(Box::new(Otlp::connect(&config, Told::Spans, schema_url)?)));
                if events && otlp::is_wanted(Signal::Logs, "and -o events:PATH for a file", &variable)? {
                    let config = OtlpConfig::from_env(Signal::Logs, &variable)?;
                    exporters.push(Box::new(Otlp::connect(&config, Told::Events, schema_url)?));
                }
            }
        }
    }
    if let Some(content) = &settings.content {
        exporters.push(Box::new(ContentFiles::open(content, Arc::clone(account))?));
    }
    Ok(exporters)
}
