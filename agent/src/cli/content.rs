//! What the command line says about content.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;

use super::{Usage, keeping::default_path, moment};
use crate::{
    account::Account,
    contract::{Profile, names},
    export::{ContentSettings, Target},
    policy::{
        content::{Form, FormRule, Key, KeyError, Placement, Policy, When},
        redact::{Kind, Redactor, Rule},
    },
};

/// The variable by which OpenTelemetry's own instrumentations are told.
const CAPTURE: &str = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT";

/// Options of every verb that makes spans.
#[derive(Debug, clap::Args)]
pub(super) struct ContentArgs {
    /// What spans have of prompts, answers and tool definitions: none; hashed (a keyed hash for each text);
    /// redacted (without credentials and personal data); or full [default: none, or what
    /// OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says].
    #[arg(long, value_enum, value_name = "FORM")]
    content: Option<FormArg>,
    /// Another form for some calls: 'FORM CONDITION,CONDITION', where a condition is service=GLOB,
    /// namespace=GLOB, provider=GLOB, model=GLOB or path=GLOB; may be given more than once, the first that
    /// fits counts.
    #[arg(long, value_name = "RULE", value_parser = form_rule)]
    content_rule: Vec<(Form, String)>,
    /// Where content goes: spans (as their attributes), events (log records beside them, to -o otlp and
    /// -o events:PATH), files (see --content-dir); several with commas between [default: spans, or files
    /// if --content-dir is given, or what OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says].
    #[arg(long, value_enum, value_name = "PLACES", value_delimiter = ',')]
    content_as: Vec<PlaceArg>,
    /// Directory in which each call's content is a file, to which its span refers; it is made for its
    /// owner only.
    #[arg(long, value_name = "DIR")]
    content_dir: Option<PathBuf>,
    /// URL under which others find this directory, as s3://bucket/prompts [default: file://DIR].
    #[arg(long, value_name = "URL", requires = "content_dir")]
    content_url: Option<String>,
    /// Most bytes of all files with content; those of the oldest minutes go first.
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30, allow_negative_numbers = true,
          value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 50))]
    content_size: u64,
    /// How long a file with content is kept, as 12h or 30d.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = moment::duration)]
    content_age: Duration,
    /// Redact this, too: 'NAME=REGEX'; of a regular expression with a group called 'secret' only that. May be
    /// given more than once.
    #[arg(long, value_name = "RULE", value_parser = redaction)]
    redact: Vec<(String, String)>,
    /// File of the secret that hashes are keyed with; it is made if it isn't there [default: secret, beside
    /// where the journal is by default].
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
}

/// A place, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlaceArg {
    Spans,
    Events,
    Files,
}

/// A form, as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormArg {
    None,
    Hashed,
    Redacted,
    #[value(alias = "span")]
    Full,
}

impl From<FormArg> for Form {
    fn from(form: FormArg) -> Self {
        match form {
            FormArg::None => Self::None,
            FormArg::Hashed => Self::Hashed,
            FormArg::Redacted => Self::Redacted,
            FormArg::Full => Self::Full,
        }
    }
}

impl ContentArgs {
    /// The key of all hashes.
    pub(super) fn key(&self) -> Result<Key, KeyError> {
        let place = self.secret.clone().or_else(|| Some(default_path()?.with_file_name("secret")));
        // Of a user without a home there is none, as where none can be made.
        Key::of_file(&place.unwrap_or_default())
    }

    /// Where content goes, to these outputs and under these names, and the directory for its files.
    pub(super) fn placement(
        &self,
        targets: &[Target],
        profile: &Profile,
    ) -> anyhow::Result<(Placement, Option<ContentSettings>)> {
        let (form, variable) = of_variable(capture().as_deref())?;
        let places = match &*self.content_as {
            [] if self.content_dir.is_some() => &[PlaceArg::Files],
            [] => variable,
            given => given,
        };
        let goes_to = |place| places.contains(&place);
        let kept = self.content.map_or(form, Form::from) != Form::None;
        let told = !self.content_as.is_empty() || self.content_dir.is_some();
        if told && !kept && self.content_rule.is_empty() {
            tracing::warn!(
                "it is said where content goes, but none is kept: add --content full, redacted or hashed"
            );
        }
        let to_file = targets.iter().any(|target| matches!(target, Target::Events(_)));
        if goes_to(PlaceArg::Events) {
            if !to_file && !targets.contains(&Target::Otlp) {
                tracing::warn!(
                    "content goes to events, and no output takes any: add -o otlp or -o events:PATH"
                );
            }
        } else if to_file {
            return Err(
                Usage("-o events:PATH: there are no events without --content-as events".to_owned()).into()
            );
        }
        let files = match (goes_to(PlaceArg::Files), &self.content_dir) {
            (false, None) => None,
            (true, Some(directory)) => Some(directory),
            (true, None) => {
                return Err(Usage("--content-as files: --content-dir says where".to_owned()).into());
            }
            (false, Some(_)) => {
                return Err(
                    Usage("--content-dir: there are no files without --content-as files".to_owned()).into()
                );
            }
        };
        let content = files.map(|directory| ContentSettings {
            directory: directory.clone(),
            bytes: self.content_size,
            age: self.content_age,
        });
        let url = files.map(|directory| match &self.content_url {
            Some(url) => Ok(url.trim_end_matches('/').into()),
            None => std::path::absolute(directory).map(|path| format!("file://{}", path.display()).into()),
        });
        let url = url.transpose().context("--content-dir")?;
        let placement =
            Placement { spans: goes_to(PlaceArg::Spans), events: goes_to(PlaceArg::Events), files: url };
        let event = names::EVENT_GEN_AI_CLIENT_INFERENCE_OPERATION_DETAILS.name;
        let unknown = profile.left_out.has(names::PLAINSPAN_CONTENT_PLACES.def());
        if (unknown && !placement.is_spans_alone())
            || (placement.events && profile.left_out_events.contains(&event))
        {
            let reason = format!("--contract {}: there content goes to spans only", profile.name);
            return Err(Usage(reason).into());
        }
        Ok((placement, content))
    }

    /// What is to be done with content.
    pub(super) fn policy(&self, account: &Arc<Account>) -> anyhow::Result<Policy> {
        let otherwise = match self.content {
            Some(form) => form.into(),
            None => of_variable(capture().as_deref())?.0,
        };
        let mut rules = Vec::with_capacity(self.content_rule.len());
        for (form, conditions) in &self.content_rule {
            rules.push(FormRule { when: when(conditions).map_err(Usage)?, form: *form });
        }
        let used = |form| otherwise == form || rules.iter().any(|rule| rule.form == form);
        // Patterns take their time to compile: they are there for those who use them.
        let redactor = if used(Form::Redacted) {
            let builtin = Kind::ALL.iter().map(|kind| Rule::builtin(*kind));
            let own = self.redact.iter().map(|(name, pattern)| Rule::custom(name, pattern));
            Redactor::new(builtin.chain(own).collect::<Result<_, _>>()?)
        } else {
            Redactor::new(Vec::new())
        };
        let key = used(Form::Hashed).then(|| self.key()).transpose();
        let key = key.context("hashes need a secret: give --secret a file that can be made or read")?;
        Ok(Policy::new(rules, otherwise, redactor, key, Arc::clone(account)))
    }
}

/// What OpenTelemetry's own instrumentations are told.
fn capture() -> Option<String> {
    std::env::var(CAPTURE).ok()
}

/// The form and the places that the variable asks for.
fn of_variable(variable: Option<&str>) -> Result<(Form, &'static [PlaceArg]), Usage> {
    match variable.map(str::trim).unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "NO_CONTENT" | "FALSE" => Ok((Form::None, &[PlaceArg::Spans])),
        "SPAN_ONLY" | "TRUE" => Ok((Form::Full, &[PlaceArg::Spans])),
        "EVENT_ONLY" => Ok((Form::Full, &[PlaceArg::Events])),
        "SPAN_AND_EVENT" => Ok((Form::Full, &[PlaceArg::Spans, PlaceArg::Events])),
        other => Err(Usage(format!(
            "{CAPTURE}: {other:?} is none of NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT"
        ))),
    }
}

fn form_rule(text: &str) -> Result<(Form, String), String> {
    let (form, conditions) =
        text.split_once(' ').ok_or("it is written as 'FORM CONDITION,CONDITION'".to_owned())?;
    let form = Form::ALL.iter().find(|known| known.name() == form);
    let form = form.ok_or("the form is one of none, hashed, redacted, full".to_owned())?;
    when(conditions)?;
    Ok((*form, conditions.to_owned()))
}

fn when(conditions: &str) -> Result<When, String> {
    conditions.split(',').map(str::trim).try_fold(When::default(), |when, condition| {
        let (what, glob) = condition.split_once('=').ok_or(format!("{condition:?} is no CONDITION=GLOB"))?;
        let set = match what {
            "service" => When::service,
            "namespace" => When::namespace,
            "provider" => When::provider,
            "model" => When::model,
            "path" => When::path,
            _ => return Err(format!("{what:?} is none of service, namespace, provider, model, path")),
        };
        set(when, glob).map_err(|error| error.to_string())
    })
}

fn redaction(text: &str) -> Result<(String, String), String> {
    let (name, pattern) = text.split_once('=').ok_or("it is written as 'NAME=REGEX'".to_owned())?;
    Rule::custom(name, pattern).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), pattern.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::content::Subject;

    #[test]
    fn the_variable_of_the_conventions() {
        #[rustfmt::skip]
        let rows = [
            (None, Some((Form::None, &[PlaceArg::Spans][..]))), (Some("no_content"), Some((Form::None, &[PlaceArg::Spans]))),
            (Some("SPAN_ONLY"), Some((Form::Full, &[PlaceArg::Spans]))), (Some("true"), Some((Form::Full, &[PlaceArg::Spans]))),
            (Some("span_and_event"), Some((Form::Full, &[PlaceArg::Spans, PlaceArg::Events]))),
            (Some("EVENT_ONLY"), Some((Form::Full, &[PlaceArg::Events]))), (Some("maybe"), None),
        ];
        for (variable, wanted) in rows {
            assert_eq!(of_variable(variable).ok(), wanted, "{variable:?}");
        }
    }

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        content: ContentArgs,
    }

    fn placement(arguments: &[&str], output: &str, profile: &str) -> Result<Placement, String> {
        let line: Line = clap::Parser::try_parse_from([&["plainspan"], arguments].concat()).unwrap();
        let profile = Profile::parse(profile).unwrap();
        let placed = line.content.placement(&[output.parse().unwrap()], profile);
        placed.map(|(placement, _)| placement).map_err(|error| error.to_string())
    }

    #[test]
    fn places_are_read_and_what_makes_no_sense_says_what_to_do() {
        let files = |url: &str| Some(url.into());
        let directory = ["--content-dir", "/c/d"];
        #[rustfmt::skip]
        let rows: [(&[&str], Placement); 6] = [
            (&[], Placement::SPANS),
            (&["--content-as", "events"], Placement { spans: false, events: true, files: None }),
            (&["--content-as", "spans,events"], Placement { events: true, ..Placement::SPANS }),
            (&directory, Placement { spans: false, events: false, files: files("file:///c/d") }),
            (&["--content-as", "spans,files", "--content-dir", "/c/d"], Placement { files: files("file:///c/d"), ..Placement::SPANS }),
            (&["--content-dir", "/c/d", "--content-url", "s3://b/c/"], Placement { spans: false, events: false, files: files("s3://b/c") }),
        ];
        for (arguments, wanted) in rows {
            assert_eq!(placement(arguments, "otlp", "overlap"), Ok(wanted), "{arguments:?}");
        }
        #[rustfmt::skip]
        let rows: [(&[&str], &str, &str, &str); 5] = [
            (&["--content-as", "files"], "otlp", "overlap", "--content-dir says where"),
            (&["--content-as", "spans", "--content-dir", "/c"], "otlp", "overlap", "without --content-as files"),
            (&[], "events:e.jsonl", "overlap", "without --content-as events"),
            (&["--content-as", "events"], "otlp", "0.1.0", "--contract 0.1.0: there content goes to spans only"),
            (&["--content-dir", "/c"], "otlp", "0.1.0", "--contract 0.1.0: there content goes to spans only"),
        ];
        for (arguments, output, profile, wanted) in rows {
            let error = placement(arguments, output, profile).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn rules_are_read_and_wrong_ones_say_what_is_wrong() {
        let (form, conditions) = form_rule("redacted service=shop-*, model=gpt-*").unwrap();
        let subject = Subject { service: Some("shop-a"), model: Some("gpt-9"), ..Subject::default() };
        assert!(form == Form::Redacted && when(&conditions).unwrap().fits(&subject));
        for (text, wanted) in [
            ("redacted", "written as"),
            ("some service=a", "the form is one of"),
            ("none colour=red", "\"colour\" is none of"),
            ("none service", "is no CONDITION=GLOB"),
            ("none model=a[", "is no pattern"),
        ] {
            assert!(form_rule(text).unwrap_err().contains(wanted), "{text}");
        }
        assert!(redaction("ticket=ACME-[0-9]+").is_ok());
        assert!(redaction("email=x").is_err() && redaction("x").is_err() && redaction("a=(").is_err());
    }
}
