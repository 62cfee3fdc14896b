//! `plainspan run`: capture what processes do now.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;

use super::{
    Usage, agent::Agent, child, config, content::ContentArgs, counting, fingerprints::FingerprintArgs,
    ignore::IgnoreArgs, keeping::KeepArgs, sample::SampleArgs, targets::Targets,
};
use crate::{
    account::Account,
    capture::{self, Kernel},
    contract::Profile,
    export::{self, Target},
    genai::Rule,
    pipeline::{Ids, Pipeline, Spans, resource_attributes},
    policy::price,
    probe::{Cache, Prober},
    resource::Processes,
};

/// Most bytes of a call that the kernel programs can deliver.
const CALL_CAP: i64 = (agent_common::MAX_CHUNKS as usize * agent_common::CHUNK) as i64;

/// Options of `run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Watch this process and its descendants; may be given more than once.
    #[arg(long, value_name = "PID", conflicts_with_all = ["cgroup", "command"])]
    pid: Vec<u32>,
    /// Watch the processes whose executable matches, by name ('python3*') or by path
    /// ('/opt/app/**'); may be given more than once.
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["cgroup", "command"])]
    pub(super) exe: Vec<String>,
    /// Watch the processes under this cgroup (version 2), as '/system.slice/app.service'.
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    cgroup: Option<String>,
    #[command(flatten)]
    pub(super) ignore: IgnoreArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    /// Size of the ring buffer between kernel and agent in bytes; a power of two.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, allow_negative_numbers = true)]
    ring_size: u32,
    /// Most bytes of one library call that are captured; up to 8 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(1..=CALL_CAP))]
    call_cap: u32,
    #[command(flatten)]
    cache: CacheArgs,
    /// Let no program start before it is known what TLS code it holds, so that the first call of one
    /// that was never seen is not missed. Nothing waits longer than this; one that is known does not
    /// wait.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "5",
          value_parser = clap::value_parser!(u8).range(1..=60))]
    hold_new_programs: Option<u8>,
    /// Log what the kernel programs do (with --log debug).
    #[arg(long)]
    kernel_log: bool,
    /// Place probes on perf events, as kernels before 6.6 need it.
    #[arg(long)]
    perf_events: bool,
    #[command(flatten)]
    file: config::FileArgs,
    /// All of these, and where each comes from.
    #[arg(skip)]
    pub(super) settings: config::Settings,
    /// Run this command, and show the calls of it and its descendants only.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Options of every verb that examines files.
#[derive(Debug, clap::Args)]
pub(super) struct CacheArgs {
    /// Directory in which it is kept what TLS code files hold, so that large programs are searched
    /// once; 'none' for none [default: /var/cache/plainspan].
    #[arg(long, value_name = "DIR", env = "CACHE_DIRECTORY", hide_env = true)]
    cache: Option<PathBuf>,
}

impl CacheArgs {
    /// Opens it.
    pub(super) fn open(&self) -> Cache {
        match self.cache.as_deref() {
            Some(none) if none.as_os_str() == "none" => Cache::in_memory(),
            Some(directory) => Cache::open(directory),
            None => Cache::open("/var/cache/plainspan".as_ref()),
        }
    }
}

/// Options of every verb that makes spans.
#[derive(Debug, clap::Args)]
pub(super) struct OutputArgs {
    /// Where spans go: console, file:PATH (OTLP JSON lines) or otlp (a collector, set up with
    /// OTEL_EXPORTER_OTLP_*); may be given more than once [default: console, and otlp if
    /// OTEL_EXPORTER_OTLP_ENDPOINT is set].
    #[arg(short, long, value_name = "OUTPUT")]
    pub(super) output: Vec<Target>,
    #[command(flatten)]
    pub(super) content: ContentArgs,
    #[command(flatten)]
    pub(super) sample: SampleArgs,
    #[command(flatten)]
    pub(super) fingerprints: FingerprintArgs,
    /// Take requests for calls in an API dialect, whatever they look like: 'POST HOST/PATH=DIALECT', as
    /// '/my/gateway/**=openai.chat_completions'; may be given more than once, the first that fits counts.
    #[arg(long, value_name = "RULE")]
    pub(super) api_rule: Vec<Rule>,
    /// Names that spans go by: overlap for both names of what was renamed, current for current names
    /// only, or the names that a version had, as 0.1.0 of plainspan's contract or otel-1.41.
    #[arg(long, value_name = "PROFILE", default_value = "overlap", value_parser = Profile::parse)]
    pub(super) contract: &'static Profile,
    /// Show metrics to Prometheus at http://ADDRESS/metrics, as 127.0.0.1:9464. With -o otlp they are
    /// pushed to the collector as well, unless OTEL_METRICS_EXPORTER is none.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) prometheus: Option<SocketAddr>,
    /// Show the whole span on the console.
    #[arg(short, long)]
    pub(super) verbose: bool,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
}

impl OutputArgs {
    /// Where spans go, given or by default.
    pub(super) fn targets(&self) -> Vec<Target> {
        if self.output.is_empty() {
            Target::defaults(&|name| std::env::var(name).ok())
        } else {
            self.output.clone()
        }
    }
}

/// `OTEL_RESOURCE_ATTRIBUTES`.
pub(super) fn extra_attributes() -> anyhow::Result<Vec<(String, String)>> {
    let text = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    resource_attributes(&text).map_err(|entry| {
        Usage(format!(
            "OTEL_RESOURCE_ATTRIBUTES: {entry:?} is no key=value: write it as service.namespace=shop,team=search"
        ))
        .into()
    })
}

/// Runs the verb.
pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // The exporters get a thread of their own: one that waits must not hold up the capture.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the asynchronous runtime can't be started")?;
    runtime.block_on(capture(args))
}

async fn capture(args: Args) -> anyhow::Result<ExitCode> {
    let account = Arc::new(Account::default());
    let extra = extra_attributes()?;
    let targets =
        Targets::new(args.pid.clone(), &args.exe, args.cgroup.as_deref(), !args.command.is_empty())?;
    let config = capture::Config {
        scope: targets.scope(),
        ring_bytes: args.ring_size,
        call_cap: args.call_cap,
        diagnostics: args.kernel_log,
        perf_events: args.perf_events,
    };
    let outputs_wanted = args.output.targets();
    let (placement, content_files) = args.output.content.placement(&outputs_wanted, args.output.contract)?;
    let settings = export::Settings {
        schema_url: args.output.contract.schema_url,
        verbose: args.output.verbose,
        // What a command prints stays its own: piping it must work as without plainspan.
        console_on_stderr: !args.command.is_empty(),
        limits: args.settings.limits().outputs,
        keep: args.output.keep.by_default(),
        events: placement.events,
        content: content_files,
    };
    // First what takes rights: without them nothing else matters, and no journal is begun.
    let (kernel, events) = Kernel::load(&config, Arc::clone(&account))?;
    let outputs = export::open(&outputs_wanted, settings, Arc::clone(&account))?;
    let limits = args.settings.limits().rooms.clone();
    tokio::task::spawn_blocking(price::load);
    let prober = Prober::new("/proc", args.cache.open(), Arc::clone(&account))
        .context("there are no threads to be had")?;
    let content = args.output.content.policy(&account)?.placed(placement);
    let pipeline = Pipeline::new(
        &limits,
        Ids::Random(opentelemetry_sdk::trace::RandomIdGenerator::default()),
        Arc::clone(&account),
    )
    .with_rules(args.output.api_rule.clone())
    .with_digests(content.keeps_any())
    .with_sources(args.output.fingerprints.sources());
    let mut spans = Spans::new(
        Processes::new("/proc", limits.resource),
        content,
        args.output.contract,
        extra.clone(),
        Arc::clone(&account),
    )
    .with_fingerprints(args.output.fingerprints.fingerprinter(&args.output.content, &account)?)
    .with_sampling(args.output.sample.settings());
    let counted = args.settings.limits().metrics;
    let metrics = counting::start(&args.output, counted, &extra, &mut spans, &account).await?;
    let mut agent = Agent::new(kernel, prober, targets, pipeline, spans, outputs, account);
    agent.show(metrics);
    agent.follow(args.settings.clone());
    agent.ignore(args.ignore.rules());
    if let Some(seconds) = args.hold_new_programs {
        agent.hold_starts(Duration::from_secs(seconds.into()))?;
    }
    if args.kernel_log {
        tokio::spawn(agent.diagnostics()?.pass_on());
    }
    agent.start();
    let status = match agent.run(events, &args.command).await {
        // There is nothing to sum up.
        Err(error) if error.is::<child::NotStarted>() => return Err(error),
        outcome => outcome,
    };
    let delivered = agent.end().await;
    Ok(match status? {
        Some(status) if delivered || !status.success() => child::exit_code(status),
        None if delivered => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
