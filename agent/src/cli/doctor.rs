//! `plainspan doctor`: what can be seen of processes and programs, and why not the rest.

use std::{
    fmt::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Usage, config, ignore::IgnoreArgs, run::CacheArgs};
use crate::{
    capture,
    policy::ignore,
    probe::{Examined, Mechanism, ProbePoint, Survey, Surveyed},
    resource::Candidate,
};

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A process, or a program by name or path [default: every process].
    #[arg(value_name = "PID|EXE")]
    subject: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    ignore: IgnoreArgs,
    #[command(flatten)]
    file: config::FileArgs,
}

/// What to do about a process in which nothing was found.
const NOTHING: &str = "no TLS code that plainspan knows: docs/requirements.md says what is not captured";
const NOT_YET: &str = "what it loads only when it makes a call is not there yet: ask again then";

/// The same of a program that does not run.
const NOT_ITSELF: &str = "no TLS code that plainspan knows in the program itself";
const LINKED: &str = "what its libraries hold is told of a running process: plainspan doctor PID";

/// A process or a program, and its files.
struct Patient {
    pid: Option<u32>,
    name: String,
    files: Vec<Surveyed>,
    /// Why nothing of it is looked at.
    left_out: Option<ignore::Reason>,
}

/// Runs the verb. The status is a failure if this machine can't capture, or nothing was found in what was asked for.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let machine = capture::check_machine();
    let mut survey = Survey::new("/proc", args.cache.open());
    let mut patients = match &args.subject {
        Some(subject) => vec![one(subject, &mut survey)?],
        None => all(&mut survey)?,
    };
    drop(survey);
    let rules = args.ignore.rules();
    for patient in &mut patients {
        patient.left_out = patient.pid.and_then(|pid| {
            let candidate = Candidate::new("/proc".as_ref(), pid);
            ignore::reason(&rules, &candidate, candidate.asks_to_be_left_out())
        });
    }
    let well = machine.is_ok() && (args.subject.is_none() || patients.iter().any(Patient::is_seen));
    let reason = machine.err().map(|error| error.to_string());
    let text = if args.json {
        format!("{:#}\n", as_json(reason.as_deref(), &patients))
    } else {
        for_a_person(reason.as_deref(), &patients)
    };
    super::tell(&text);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was asked for.
fn one(subject: &str, survey: &mut Survey) -> anyhow::Result<Patient> {
    if let Ok(pid) = subject.parse() {
        let files = survey.process(pid).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                anyhow::anyhow!(
                    "there is no process {pid}: `pgrep -a NAME` finds the id of a running program"
                )
            }
            std::io::ErrorKind::PermissionDenied => {
                anyhow::anyhow!("process {pid} belongs to another user: try with sudo")
            }
            _ => error.into(),
        })?;
        return Ok(Patient { pid: Some(pid), name: name(pid), files, left_out: None });
    }
    let files = survey.program(Path::new(subject));
    if files.is_empty() {
        return Err(Usage(format!("{subject}: there is no such program; check its name and PATH")).into());
    }
    Ok(Patient { pid: None, name: subject.to_owned(), files, left_out: None })
}

/// Every process that holds TLS code, but the agent itself.
fn all(survey: &mut Survey) -> anyhow::Result<Vec<Patient>> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").context("/proc can't be read")?;
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let look = |pid: u32| {
        // One that has ended since, or that may not be looked at, is not there to be told of.
        let files = survey.process(pid).ok()?;
        Some(Patient { pid: Some(pid), name: name(pid), files, left_out: None })
    };
    let patients = pids.into_iter().filter(|pid| *pid != own).filter_map(look);
    Ok(patients.filter(|patient| patient.told().next().is_some()).collect())
}

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

impl Patient {
    fn is_seen(&self) -> bool {
        self.left_out.is_none() && self.examined().any(|(_, examined)| !examined.findings.is_empty())
    }

    fn examined(&self) -> impl Iterator<Item = (&Path, &Examined)> {
        self.files.iter().filter_map(|file| Some((file.path.as_path(), file.outcome.as_deref().ok()?)))
    }

    /// The files that there is something to tell of.
    fn told(&self) -> impl Iterator<Item = (&Path, &Examined)> {
        self.examined().filter(|(_, e)| !(e.findings.is_empty() && e.refusals.is_empty()))
    }

    /// Files that could not be read, and why.
    fn unread(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files
            .iter()
            .filter_map(|file| Some((file.path.as_path(), file.outcome.as_ref().err()?.as_str())))
    }

    /// What to do, where nothing was found.
    fn advice(&self) -> Option<[&'static str; 2]> {
        let nothing = self.left_out.is_none() && self.told().next().is_none();
        nothing.then_some(if self.pid.is_some() { [NOTHING, NOT_YET] } else { [NOT_ITSELF, LINKED] })
    }
}

fn for_a_person(reason: Option<&str>, patients: &[Patient]) -> String {
    let mut text = match reason {
        None => "This machine can capture.\n".to_owned(),
        Some(reason) => format!("This machine can't capture: {reason}\n"),
    };
    for patient in patients {
        // Memory takes it all.
        let _ = tell(patient, &mut text);
    }
    if patients.is_empty() {
        let _ = writeln!(text, "\nNo process holds TLS code that plainspan knows.\n  {NOT_YET}");
    }
    text
}

fn tell(patient: &Patient, text: &mut String) -> fmt::Result {
    match patient.pid {
        Some(pid) => writeln!(text, "\n{} (process {pid})", patient.name)?,
        None => writeln!(text, "\n{}", patient.name)?,
    }
    if let Some(reason) = &patient.left_out {
        return writeln!(text, "  left out: {reason}");
    }
    for (path, examined) in patient.told() {
        writeln!(text, "  {}", path.display())?;
        for finding in &examined.findings {
            writeln!(text, "    {:<10} {}", finding.stack, finding.evidence)?;
            for point in &finding.points {
                writeln!(text, "      {:#010x} {} {}", point.offset, place(point), point.symbol)?;
            }
        }
        for refusal in &examined.refusals {
            writeln!(text, "    {:<10} can't be probed: {}", refusal.stack, refusal.reason)?;
        }
    }
    for (path, error) in patient.unread() {
        writeln!(text, "  {}\n    not examined: {error}", path.display())?;
    }
    for line in patient.advice().into_iter().flatten() {
        writeln!(text, "  {line}")?;
    }
    Ok(())
}

fn place(point: &ProbePoint) -> &'static str {
    match point.mechanism {
        Mechanism::Uprobe => "at    ",
        Mechanism::Uretprobe => "return",
    }
}

fn as_json(reason: Option<&str>, patients: &[Patient]) -> Value {
    json!({
        "machine": {"captures": reason.is_none(), "reason": reason},
        "subjects": patients.iter().map(patient_as_json).collect::<Vec<_>>(),
    })
}

fn patient_as_json(patient: &Patient) -> Value {
    let files = patient.told().map(|(path, examined)| {
        let findings = examined.findings.iter().map(|finding| {
            let points = finding.points.iter().map(|point| {
                let at_return = point.mechanism == Mechanism::Uretprobe;
                json!({"symbol": point.symbol, "offset": point.offset, "at_return": at_return})
            });
            json!({"stack": finding.stack, "evidence": finding.evidence, "points": points.collect::<Vec<_>>()})
        });
        let refusals =
            examined.refusals.iter().map(|refusal| json!({"stack": refusal.stack, "reason": refusal.reason}));
        json!({
            "path": path.to_string_lossy(),
            "findings": findings.collect::<Vec<_>>(),
            "refusals": refusals.collect::<Vec<_>>(),
        })
    });
    let unread =
        patient.unread().map(|(path, error)| json!({"path": path.to_string_lossy(), "error": error}));
    json!({
        "pid": patient.pid,
        "name": patient.name,
        "seen": patient.is_seen(),
        "left_out": patient.left_out.as_ref().map(ToString::to_string),
        "files": files.collect::<Vec<_>>(),
        "unread": unread.collect::<Vec<_>>(),
        "advice": patient.advice(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::probe::{Finding, Refusal};

    fn patient(examined: Examined) -> Patient {
        let file = |path: &str, outcome| Surveyed { path: path.into(), outcome };
        let files = vec![
            file("/bin/app", Ok(Arc::new(examined))),
            file("/lib/libc.so", Ok(Arc::default())),
            file("/gone", Err("No such file".to_owned())),
        ];
        Patient { pid: Some(7), name: "app".into(), files, left_out: None }
    }

    fn found() -> Examined {
        let point = ProbePoint {
            symbol: "SSL_write",
            offset: 0x1234,
            mechanism: Mechanism::Uprobe,
            point: agent_common::Point::default(),
        };
        Examined {
            findings: vec![Arc::new(Finding {
                stack: "openssl",
                evidence: "symbols".into(),
                points: vec![point],
            })],
            refusals: vec![Refusal { stack: "java", reason: "it is compiled".into() }],
        }
    }

    #[test]
    fn a_person_reads_where_and_why_not() {
        let text = for_a_person(Some("no BTF"), &[patient(found()), patient(Examined::default())]);
        let expected = "\
This machine can't capture: no BTF

app (process 7)
  /bin/app
    openssl    symbols
      0x00001234 at     SSL_write
    java       can't be probed: it is compiled
  /gone
    not examined: No such file

app (process 7)
  /gone
    not examined: No such file
  no TLS code that plainspan knows: docs/requirements.md says what is not captured
  what it loads only when it makes a call is not there yet: ask again then
";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_that_is_left_out_is_named_with_its_reason_only() {
        let mut left_out = patient(found());
        left_out.left_out = Some(ignore::Reason::Asked);
        let wanted = "This machine can capture.\n\napp (process 7)\n  left out: its environment has PLAINSPAN_IGNORE=1\n";
        assert_eq!(for_a_person(None, &[left_out]), wanted);
    }

    #[test]
    fn a_program_reads_the_same() {
        let told = as_json(None, &[patient(found())]);
        assert_eq!(told["machine"], json!({"captures": true, "reason": null}));
        let subject = &told["subjects"][0];
        assert_eq!(
            (&subject["pid"], &subject["seen"], &subject["advice"]),
            (&json!(7), &json!(true), &json!(null))
        );
        let point = json!({"symbol": "SSL_write", "offset": 0x1234, "at_return": false});
        assert_eq!(subject["files"][0]["findings"][0]["points"], json!([point]));
        assert_eq!(subject["files"][0]["refusals"][0]["reason"], "it is compiled");
        assert_eq!(subject["unread"][0]["path"], "/gone");
    }
}
