//! `plainspan contract infer`: a first contract from telemetry that was recorded.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use plainspan_registry::{
    Registry,
    infer::{Identity, Inference, Limits},
    telemetry::Attributes,
};

use super::otlp::{Export, Item};
use crate::cli::{Usage, lines, say};

/// The command line.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// Recorded telemetry in the OTLP file format, one JSON object a line: what `-o file:PATH` and the
    /// collector's file exporter write.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Directory that the contract is written to; what is there already is not overwritten.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Name of the contract: lower-case words joined by dots, dashes and underscores.
    #[arg(long, default_value = "inferred")]
    name: String,
    /// Start of the contract's schema URL.
    #[arg(long, value_name = "URL", default_value = "https://example.com/schemas")]
    schema_url: String,
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let dir = args.output.join("registry");
    if dir.exists() {
        return Err(Usage(format!("{} is there already: name another directory", dir.display())).into());
    }
    let mut seen = Inference::new(Limits::default());
    let mut lines_read = 0u64;
    for file in &args.files {
        lines_read += lines::each(file, &mut |line| {
            observe(Export::of_json_line(line)?, &mut seen);
            Ok(())
        })?;
    }
    let (spans, metrics, events) = seen.signals();
    if spans + metrics + events == 0 {
        bail!("{lines_read} lines, and neither a span nor a metric nor an event in them");
    }
    let files = seen.files(&Identity { name: args.name.clone(), schema_url: args.schema_url.clone() });
    // What the loader does not take would be of no use; with a name that it takes, it takes it all.
    let registry = Registry::load(&files).map_err(|error| Usage(error.to_string()))?;
    fs::create_dir_all(&dir).with_context(|| format!("{} can't be made", dir.display()))?;
    for file in &files {
        let path = dir.join(&file.name);
        fs::write(&path, &file.text).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let reviews: usize = files.iter().map(|file| file.text.matches("# review:").count()).sum();
    say(&format!(
        "plainspan: wrote {}: kinds of spans {spans}, metrics {metrics}, events {events}, attributes {}; places to review: {reviews}\n",
        dir.display(),
        registry.attributes.len(),
    ));
    let left_out = seen.left_out();
    if left_out.signals > 0 || left_out.attributes > 0 {
        say(&format!(
            "plainspan: left out: {} spans, metrics and events of too many kinds, {} attributes that were too many or are of a type \
             that no contract has\n",
            left_out.signals, left_out.attributes
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn observe(export: Export, seen: &mut Inference) {
    let mut resource = Attributes::new();
    export.items(|item| {
        match &item {
            Item::Resource(attributes) => {
                resource.clone_from(attributes);
                return;
            }
            Item::Span(span) => seen.span(span),
            Item::Metric(metric) => seen.metric(metric),
            Item::Event(event) => seen.event(event),
            Item::Log => return,
        }
        seen.resource(&resource);
    });
}
