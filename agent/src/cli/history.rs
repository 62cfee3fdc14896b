//! Options that say which calls of the journal are meant.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::{Timestamp, tz::TimeZone};

use super::{Usage, keeping, moment};
use crate::journal::{Condition, Filter, History, Location};

/// Where they are read from, and how they are shown.
#[derive(Debug, clap::Args)]
pub(super) struct From {
    /// The journal's file [default: of root /var/lib/plainspan/journal.db, of another user
    /// ~/.local/state/plainspan/journal.db].
    #[arg(long, value_name = "PATH", env = "PLAINSPAN_JOURNAL", hide_env = true)]
    journal: Option<Location>,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Which calls.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The model asked for or answering; 'gpt-4*' is a pattern.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The service that made the call; 'web-*' is a pattern.
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The provider, as openai or anthropic.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The operation, as chat or embeddings.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Those that failed, or did not.
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Outcome>,
    /// Those of this trace.
    #[arg(long, value_name = "TRACE_ID")]
    trace: Option<String>,
    /// Those that began then or later: 15m or 2d ago, or a time as 2026-11-26T14:30.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Those that began before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Those that took at least so long, as 2s or 500ms.
    #[arg(long, value_name = "TIME", value_parser = moment::duration)]
    longer: Option<Duration>,
    /// Those of which this holds, as 'finish_reason=length', 'output_tokens>1000' or '!error_type'; given more
    /// than once, all must.
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<Condition>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// It went well.
    Ok,
    /// It failed.
    Error,
}

impl From {
    pub(super) fn open(&self) -> anyhow::Result<History> {
        let path: PathBuf = match &self.journal {
            Some(Location::File(path)) => path.clone(),
            Some(Location::None) => {
                bail!(Usage("no journal is kept (--journal none): name one with --journal PATH".into()))
            }
            None => keeping::default_path()
                .context("there is no home directory to look in: name the journal with --journal PATH")?,
        };
        Ok(History::open(&path)?)
    }

    /// The journal, as it is said on the command line.
    pub(super) fn arguments(&self) -> Vec<String> {
        match &self.journal {
            Some(Location::File(path)) => vec!["--journal".to_owned(), path.display().to_string()],
            _ => Vec::new(),
        }
    }
}

impl Which {
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        let (now, zone) = (Timestamp::now(), TimeZone::system());
        let nanoseconds = |text: &Option<String>| -> anyhow::Result<Option<i64>> {
            let Some(text) = text else { return Ok(None) };
            let moment = moment::moment(text, now, &zone).map_err(Usage)?;
            Ok(Some(i64::try_from(moment.as_nanosecond()).unwrap_or(if moment < now { 0 } else { i64::MAX })))
        };
        Ok(Filter {
            model: self.model.clone(),
            service: self.service.clone(),
            provider: self.provider.clone(),
            operation: self.operation.clone(),
            failed: self.status.map(|status| matches!(status, Outcome::Error)),
            trace: self.trace.clone(),
            since: nanoseconds(&self.since)?,
            until: nanoseconds(&self.until)?,
            longer: self.longer.map(|longer| i64::try_from(longer.as_nanos()).unwrap_or(i64::MAX)),
            conditions: self.conditions.clone(),
        })
    }

    /// The same, as it is said on the command line.
    pub(super) fn arguments(&self) -> Vec<String> {
        let status = self.status.map(|status| match status {
            Outcome::Ok => "ok",
            Outcome::Error => "error",
        });
        let longer = self.longer.map(|longer| format!("{}ns", longer.as_nanos()));
        let texts = [
            ("--model", self.model.as_deref()),
            ("--service", self.service.as_deref()),
            ("--provider", self.provider.as_deref()),
            ("--operation", self.operation.as_deref()),
            ("--status", status),
            ("--trace", self.trace.as_deref()),
            ("--since", self.since.as_deref()),
            ("--until", self.until.as_deref()),
            ("--longer", longer.as_deref()),
        ];
        let given =
            texts.into_iter().filter_map(|(option, text)| Some([option.to_owned(), text?.to_owned()]));
        let conditions = self.conditions.iter().map(|of| ["--where".to_owned(), of.to_string()]);
        given.chain(conditions).flatten().collect()
    }
}
