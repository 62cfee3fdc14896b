//! `plainspan replay`: spans of recorded exchanges, by the same rooms as those of `run`.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;

use super::{
    super::{
        close, counting,
        run::{OutputArgs, extra_attributes},
        say,
    },
    Encoding, Entry, Exchanges, Framing, ReplayOptions, Split, parse_drop, records, records_of_session,
};
use crate::{
    account::Account,
    capture::ConnectionId,
    export, metrics,
    pipeline::{Ids, Limits, Outcome, Pipeline, Spans},
    resource::Processes,
};

/// How long the exporters get to deliver what is left. Nothing is lost by waiting here.
const DELIVERY: Duration = Duration::from_secs(60);

/// Options of `replay`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Protocol that the exchanges are replayed over.
    #[arg(long, value_enum, default_value = "h1")]
    framing: Framing,
    /// Content encoding of the responses: identity, gzip, br or zstd. The messages of WebSocket sessions are compressed with any
    /// but identity.
    #[arg(long, default_value = "identity", value_name = "ENCODING")]
    encoding: Encoding,
    /// How the streams are cut into records: into N bytes each, or random:SEED
    /// [default: as a client's library calls would].
    #[arg(long, value_name = "N|random:SEED")]
    split: Option<Split>,
    /// Leave out each record with this probability, as a full ring buffer would.
    #[arg(long, value_name = "P", default_value = "0", value_parser = parse_drop)]
    drop: f64,
    #[command(flatten)]
    output: OutputArgs,
    /// Recorded exchanges and WebSocket sessions, one JSON object a line.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the verb.
pub(in crate::cli) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the asynchronous runtime can't be started")?;
    let status = runtime.block_on(replay(args));
    runtime.shutdown_background();
    status
}

async fn replay(args: Args) -> anyhow::Result<ExitCode> {
    let account = Arc::new(Account::default());
    let targets = args.output.targets();
    let (placement, content_files) = args.output.content.placement(&targets, args.output.contract)?;
    let settings = export::Settings {
        schema_url: args.output.contract.schema_url,
        verbose: args.output.verbose,
        console_on_stderr: false,
        limits: export::Limits::default(),
        keep: args.output.keep.if_asked(),
        events: placement.events,
        content: content_files,
    };
    // Opened before anything is exported: a file that isn't there stops a replay at once.
    let inputs = args.files.iter().map(|path| Exchanges::open(path)).collect::<Result<Vec<_>, _>>()?;
    let outputs = export::open(&targets, settings, Arc::clone(&account))?;
    let limits = Limits::default();
    let content = args.output.content.policy(&account)?.placed(placement);
    let extra = extra_attributes()?;
    let mut pipeline = Pipeline::new(&limits, Ids::Counted(0), Arc::clone(&account))
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
    let counted = metrics::Limits::default();
    let metrics = counting::start(&args.output, counted, &extra, &mut spans, &account).await?;
    let options = ReplayOptions {
        framing: args.framing,
        encoding: args.encoding,
        split: args.split.unwrap_or_default(),
        drop: args.drop,
    };
    let mut outcome = Outcome::default();
    let (mut connection, mut sessions, mut bad, mut first_bad) = (0, 0u64, 0u64, None);
    for entry in inputs.into_iter().flatten() {
        let (source, records) = match entry {
            Ok(Entry::Exchange(exchange)) => {
                connection += 1;
                let records = records(&exchange, ConnectionId(connection), &options);
                (exchange.source, records)
            }
            Ok(Entry::Session(session)) if session.url.is_empty() => {
                sessions += 1;
                continue;
            }
            Ok(Entry::Session(session)) => {
                connection += 1;
                let records = records_of_session(&session, ConnectionId(connection), &options);
                (session.source, records)
            }
            // The rest of the file may be whole.
            Err(error) => {
                bad += 1;
                first_bad.get_or_insert(error);
                continue;
            }
        };
        spans.set_source(Some(source));
        for record in records {
            pipeline.record(record, &mut outcome);
        }
        outcome.verdicts.clear();
        for call in outcome.calls.drain(..) {
            if let Some(delivery) = spans.deliver(call) {
                outputs.send_waiting(delivery).await;
            }
        }
    }
    let complete = close(outputs, metrics, DELIVERY).await;
    if sessions > 0 {
        say(&format!(
            "plainspan: {sessions} WebSocket sessions were left out: neither a request nor a message says of which API they are\n"
        ));
    }
    if let Some(error) = first_bad {
        let more = if bad > 1 { format!(" (and {} more lines like it)", bad - 1) } else { String::new() };
        anyhow::bail!("{error}{more}; all other exchanges were replayed");
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
