//! `plainspan explain`: what bad calls have in common that others have not.

mod json;
mod table;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};
use opentelemetry_proto::tonic::trace::v1::TracesData;

use super::{
    answer,
    history::{From, Which},
    lines,
};
use crate::{
    contract::{Delivery, otlp},
    explain::{Comparison, Findings, Limits},
    journal::{Condition, Filter},
};

/// Values of what makes calls bad that are named when it made none so.
const NAMED: usize = 12;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which calls are bad, as 'finish_reason=length', 'duration_s>30' or 'error_type'; given more than once,
    /// all must hold.
    #[arg(long, required = true, value_name = "CONDITION")]
    bad: Vec<Condition>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    from: From,
    /// At most so many of each kind.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    limit: usize,
    /// Calls from files in the OTLP file format, as -o file:PATH writes it, instead of from the journal.
    #[arg(value_name = "FILE", conflicts_with_all = ["model", "service", "provider", "operation", "status", "trace", "longer"])]
    files: Vec<PathBuf>,
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut calls = Calls::new(args);
    let filter = args.which.filter()?;
    if args.files.is_empty() {
        args.from.open()?.each(&filter, &mut |kept| calls.take(&kept.delivery))?;
    } else {
        for file in &args.files {
            lines::each(file, &mut |line| calls.line(line, &filter))?;
        }
    }
    let findings = calls.finish()?;
    answer(&if args.from.json {
        format!("{}\n", json::object(&findings, args))
    } else {
        table::text(&findings, args)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The calls as they come.
struct Calls<'a> {
    args: &'a Args,
    comparison: Comparison,
    /// Some values of what makes calls bad.
    values: BTreeSet<String>,
    /// Spans of files that are none.
    unreadable: u64,
}

impl<'a> Calls<'a> {
    fn new(args: &'a Args) -> Self {
        let asked: Vec<&str> = args.bad.iter().map(Condition::subject).collect();
        let comparison = Comparison::new(&asked, Limits::default());
        Self { args, comparison, values: BTreeSet::new(), unreadable: 0 }
    }

    /// Takes a call; says whether it takes more.
    fn take(&mut self, call: &Delivery) -> bool {
        let bad = self.args.bad.iter().all(|condition| condition.holds(call));
        for condition in &self.args.bad {
            if self.values.len() >= NAMED {
                break;
            }
            self.values.extend(condition.shown(call));
        }
        self.comparison.add(call, bad)
    }

    fn line(&mut self, line: &str, filter: &Filter) -> anyhow::Result<()> {
        let data: TracesData = serde_json::from_str(line).context("it is no OTLP")?;
        for call in data.resource_spans.into_iter().flat_map(otlp::deliveries) {
            let Ok(call) = call else {
                self.unreadable += 1;
                continue;
            };
            let start = i64::try_from(call.span.start.0).unwrap_or(i64::MAX);
            let wanted = filter.since.is_none_or(|since| start >= since)
                && filter.until.is_none_or(|until| start < until)
                && filter.conditions.iter().all(|condition| condition.holds(&call));
            if wanted {
                // Those that are too many are counted there.
                self.take(&call);
            }
        }
        Ok(())
    }

    /// What they tell; an error if there are no two kinds of them.
    fn finish(self) -> anyhow::Result<Findings> {
        let Self { args, comparison, values, unreadable } = self;
        let findings = comparison.finish();
        let (calls, bad) = (findings.calls.seen, findings.bad.seen);
        let conditions = args.bad.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let from = if args.files.is_empty() { "the journal" } else { "the files" };
        if unreadable > 0 {
            super::say(&format!(
                "plainspan: {unreadable} spans were left out: they lack an id or a parent's\n"
            ));
        }
        if calls == 0 {
            bail!("no call in {from} fits these options: `plainspan calls` lists what the journal has");
        }
        if bad == 0 && values.is_empty() {
            bail!(
                "none of {calls} calls is bad ({conditions}): none has a value of that at all; `plainspan calls show ID` shows what a call has"
            );
        }
        if bad == 0 {
            let values = values.into_iter().collect::<Vec<_>>().join(", ");
            bail!("none of {calls} calls is bad ({conditions}); values that there are: {values}");
        }
        if bad == calls {
            bail!(
                "all {calls} calls are bad ({conditions}): there are no others to hold them against; take in more with --since, or fewer conditions"
            );
        }
        Ok(findings)
    }
}
