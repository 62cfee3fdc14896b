//! `plainspan calls`: the calls that the journal kept.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use jiff::{civil::Date, tz::TimeZone};
use serde_json::{Map, Value as Json, json};

use super::{
    history::{From, Which},
    moment, table,
};
use crate::{
    contract::{Attribute, Delivery, Kind, Status, Value},
    export::Console,
    journal::Kept,
    text::hex,
    time::Timestamp,
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
          "trace", "since", "until", "longer", "conditions"])]
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
        let start = kept.delivery.span.start.utc();
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
    let moment = |time: Timestamp| time.utc().to_string();
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
