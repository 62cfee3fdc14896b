//! What the command line says about content.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::ValueEnum;

use super::{Usage, keeping::default_path};
use crate::{
    account::Account,
    policy::{
        content::{Form, FormRule, Key, KeyError, Policy, When},
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
    /// Redact this, too: 'NAME=REGEX'; of a regular expression with a group called 'secret' only that. May be
    /// given more than once.
    #[arg(long, value_name = "RULE", value_parser = redaction)]
    redact: Vec<(String, String)>,
    /// File of the secret that hashes are keyed with; it is made if it isn't there [default: secret, beside
    /// where the journal is by default].
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
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

    /// What is to be done with content.
    pub(super) fn policy(&self, account: &Arc<Account>) -> anyhow::Result<Policy> {
        let otherwise = match self.content {
            Some(form) => form.into(),
            None => form_of(std::env::var(CAPTURE).ok().as_deref())?,
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

/// The form that the variable asks for. Content as events is not supported.
fn form_of(variable: Option<&str>) -> Result<Form, Usage> {
    match variable.map(str::trim).unwrap_or_default().to_ascii_uppercase().as_str() {
        "" | "NO_CONTENT" | "FALSE" => Ok(Form::None),
        "SPAN_ONLY" | "SPAN_AND_EVENT" | "TRUE" => Ok(Form::Full),
        "EVENT_ONLY" => {
            tracing::warn!("{CAPTURE}=EVENT_ONLY: plainspan has content on spans only, so none is exported");
            Ok(Form::None)
        }
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
            (None, Some(Form::None)), (Some("no_content"), Some(Form::None)), (Some("SPAN_ONLY"), Some(Form::Full)),
            (Some("span_and_event"), Some(Form::Full)), (Some("true"), Some(Form::Full)), (Some("EVENT_ONLY"), Some(Form::None)),
            (Some("maybe"), None),
        ];
        for (variable, wanted) in rows {
            assert_eq!(form_of(variable).ok(), wanted, "{variable:?}");
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
