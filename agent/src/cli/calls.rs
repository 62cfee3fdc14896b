//! `plainspan calls`: the calls that the journal kept.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Map, Value as Json, json};

use super::{Usage, keeping, moment, table};
use crate::{
    contract::{Attribute, Delivery, Kind, Status, Value},
    export::Console,
    journal::{Filter, History, Kept, Location},
    text::hex,
};

/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(250);
/// Calls that are read at a time.
const PAGE: usize = 256;

/// Options of `calls`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    from: From,
    #[command(flatten)]
    which: Which,
    /// The last so many.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, conflicts_with = "sql")]
    limit: usize,
    /// Goes on with those to come, until Ctrl-C.
    #[arg(short, long, conflicts_with = "sql")]
    follow: bool,
    /// The whole span of each.
    #[arg(short, long, conflicts_with_all = ["sql", "json"])]
    verbose: bool,
    /// A SELECT over the journal instead, that can do nothing but read.
    #[arg(long, value_name = "SELECT", conflicts_with_all = ["model", "service", "provider", "operation", "status",
          "trace", "since", "until", "longer"])]
    sql: Option<String>,
    /// How long a SELECT may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = moment::duration)]
    sql_timeout: Duration,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Shows all that is known of one call.
    Show {
        /// Its number, the first column of the list.
        id: i64,
        #[command(flatten)]
        from: From,
    },
}

/// Where it is read from, and how it is shown.
#[derive(Debug, clap::Args)]
struct From {
    /// The journal's file [default: of root /var/lib/plainspan/journal.db, of another user
    /// ~/.local/state/plainspan/journal.db].
    #[arg(long, value_name = "PATH", env = "PLAINSPAN_JOURNAL", hide_env = true)]
    journal: Option<Location>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Which calls.
#[derive(Debug, clap::Args)]
struct Which {
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Outcome {
    /// It went well.
    Ok,
    /// It failed.
    Error,
}

impl From {
    fn open(&self) -> anyhow::Result<History> {
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
}

impl Which {
    fn filter(&self) -> anyhow::Result<Filter> {
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
        })
    }
}

/// Runs the verb.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let done = match &args.what {
        Some(What::Show { id, from }) => show(*id, from),
        None => match &args.sql {
            Some(sql) => table::query(&args.from.open()?, sql, args.sql_timeout, args.from.json),
            None => list(args),
        },
    };
    match done {
        // Nobody reads on, as behind `head`.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe) =>
        {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn show(id: i64, from: &From) -> anyhow::Result<()> {
    let kept = from.open()?.get(id)?;
    let kept = kept.with_context(|| {
        format!("there is no call {id} in the journal: `plainspan calls` lists what there is")
    })?;
    let mut out = io::stdout().lock();
    if from.json {
        writeln!(out, "{}", object(&kept))?;
    } else {
        let console = Console::stdout(true);
        writeln!(out, "{}\n{}", console.heading(), console.line(&kept.delivery))?;
        write!(out, "{}", console.whole(&kept.delivery))?;
    }
    Ok(())
}

fn list(args: &Args) -> anyhow::Result<()> {
    let (history, filter) = (args.from.open()?, args.which.filter()?);
    let mut out = io::stdout().lock();
    let mut list = List { console: Console::stdout(false), args, zone: TimeZone::system(), day: None };
    // What ends while the last ones are read comes after them.
    let mut seen = history.newest()?;
    for kept in history.last(&filter, args.limit)? {
        list.print(&mut out, &kept)?;
        seen = seen.max(kept.id);
    }
    out.flush()?;
    if !args.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(LOOK);
        let newest = history.newest()?;
        loop {
            let more = history.after(seen, &filter, PAGE)?;
            for kept in &more {
                list.print(&mut out, kept)?;
                seen = kept.id;
            }
            out.flush()?;
            if more.len() < PAGE {
                break;
            }
        }
        seen = seen.max(newest);
    }
}

/// A list as it grows.
struct List<'a> {
    console: Console,
    args: &'a Args,
    zone: TimeZone,
    /// That of the last call.
    day: Option<Date>,
}

impl List<'_> {
    fn print(&mut self, out: &mut impl Write, kept: &Kept) -> io::Result<()> {
        if self.args.from.json {
            return writeln!(out, "{}", object(kept));
        }
        let start = Timestamp::from_nanosecond(i128::from(kept.delivery.span.start.0)).unwrap_or_default();
        let day = start.to_zoned(self.zone.clone()).date();
        if self.day.is_none() {
            writeln!(out, "{:>7}  {}", "ID", self.console.heading())?;
        }
        if self.day != Some(day) {
            self.day = Some(day);
            writeln!(out, "{:>7}  {day}", "")?;
        }
        writeln!(out, "{:>7}  {}", kept.id, self.console.line(&kept.delivery))?;
        if self.args.verbose {
            write!(out, "{}", self.console.whole(&kept.delivery))?;
        }
        Ok(())
    }
}

/// A call as one JSON object.
fn object(kept: &Kept) -> Json {
    let Delivery { span, resource } = &kept.delivery;
    let moment = |time: crate::time::Timestamp| {
        Timestamp::from_nanosecond(i128::from(time.0)).unwrap_or_default().to_string()
    };
    let (status, description) = match &span.status {
        Status::Unset => ("ok", None),
        Status::Error(description) => ("error", Some(description)),
    };
    let mut of_resource = attributes(&resource.attributes);
    of_resource.extend(resource.extra.iter().map(|(key, value)| (key.clone(), json!(value))));
    json!({
        "id": kept.id,
        "name": span.name,
        "kind": match span.kind { Kind::Client => "client", Kind::Server => "server" },
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": span.parent_span_id.map(|id| hex(&id)),
        "start": moment(span.start),
        "end": moment(span.end),
        "duration_s": span.end.since(span.start).as_secs_f64(),
        "status": status,
        "error": description,
        "attributes": attributes(&span.attributes),
        "resource": of_resource,
    })
}

fn attributes(attributes: &[Attribute]) -> Map<String, Json> {
    let value = |value: &Value| match value {
        Value::String(text) => json!(text),
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Bool(flag) => json!(flag),
        Value::Strings(texts) => json!(texts),
    };
    attributes.iter().map(|attribute| (attribute.key.to_owned(), value(&attribute.value))).collect()
}
