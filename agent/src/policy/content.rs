//! In which form the content of a call is kept: prompts, answers, tools, and the words of errors.

mod hash;
mod matching;
mod placement;
mod walk;

use std::sync::Arc;

pub(super) use self::hash::Keyed;
pub use self::{
    hash::{Key, KeyError},
    matching::{GlobError, Subject, When},
    placement::Placement,
};
use super::redact::{Counts, Kind, Redactor};
use crate::{
    account::{Account, Counter},
    genai::Call,
};

/// How much of content is kept. In the order of how much that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// None of it.
    #[default]
    None,
    /// Its skeleton (roles, kinds of parts, names and ids of tools), with a keyed hash in place of each text: equal texts can be
    /// told to be equal, and nobody can try out what they were without the installation's key.
    Hashed,
    /// Without what the rules of redaction find.
    Redacted,
    /// All of it.
    Full,
}

impl Form {
    /// All forms.
    pub const ALL: &'static [Self] = &[Self::None, Self::Hashed, Self::Redacted, Self::Full];

    /// Its name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Hashed => "hashed",
            Self::Redacted => "redacted",
            Self::Full => "full",
        }
    }
}

/// A rule: the form of the content of some calls.
#[derive(Debug)]
pub struct FormRule {
    /// Of which calls.
    pub when: When,
    /// The form.
    pub form: Form,
}

/// What is to be done with content.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<FormRule>,
    otherwise: Form,
    redactor: Redactor,
    key: Option<Key>,
    placement: Placement,
    account: Arc<Account>,
}

impl Policy {
    /// The first rule that fits a call counts, and `otherwise` for calls that none fits.
    pub fn new(
        rules: Vec<FormRule>,
        otherwise: Form,
        redactor: Redactor,
        key: Option<Key>,
        account: Arc<Account>,
    ) -> Self {
        Self { rules, otherwise, redactor, key, placement: Placement::default(), account }
    }

    /// The same with what is kept in these places.
    pub fn placed(self, placement: Placement) -> Self {
        Self { placement, ..self }
    }

    /// Where what is kept goes.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// All content in this form, with no rules of redaction and without a key.
    pub fn of(form: Form, account: Arc<Account>) -> Self {
        Self::new(Vec::new(), form, Redactor::new(Vec::new()), None, account)
    }

    /// The form of a call's content.
    pub fn form(&self, call: &Subject<'_>) -> Form {
        self.rules.iter().find(|rule| rule.when.fits(call)).map_or(self.otherwise, |rule| rule.form)
    }

    /// Is any content kept?
    pub fn keeps_any(&self) -> bool {
        self.otherwise != Form::None || self.rules.iter().any(|rule| rule.form != Form::None)
    }

    /// The form of what all calls of a service have in common: that of the one of which least is kept.
    pub fn common_form(&self, service: Option<&str>, namespace: Option<&str>) -> Form {
        let rules = self.rules.iter().filter(|rule| rule.when.may_fit(service, namespace));
        rules.map(|rule| rule.form).fold(self.otherwise, Form::min)
    }

    /// The arguments of a process in that form.
    pub fn arguments(&self, arguments: &[String], form: Form) -> Vec<String> {
        match form {
            Form::None => Vec::new(),
            Form::Full => arguments.to_vec(),
            Form::Hashed => arguments.iter().map(|argument| self.hashed(argument)).collect(),
            Form::Redacted => {
                let mut counts = Counts::default();
                let redacted =
                    arguments.iter().map(|text| self.redactor.text(text, &mut counts).into_owned());
                redacted.collect()
            }
        }
    }

    /// Brings the content of a call into that form; tells how many findings were taken out.
    pub fn bring(&self, call: &mut Call, form: Form) -> u64 {
        match form {
            Form::Full | Form::None => 0,
            Form::Hashed => {
                walk::texts(call, &mut |texts| {
                    for text in texts.iter_mut() {
                        *text.value = self.hashed(text.value);
                    }
                });
                0
            }
            Form::Redacted => {
                let mut counts = Counts::default();
                walk::texts(call, &mut |texts| walk::redact(&self.redactor, texts, &mut counts));
                for (at, rule) in self.redactor.rules().iter().enumerate() {
                    self.account.add(counter(rule.kind()), counts.of(at));
                }
                counts.total()
            }
        }
    }

    fn hashed(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(String::new, |key| key.hash(text.as_bytes()))
    }
}

fn counter(kind: Option<Kind>) -> Counter {
    match kind {
        Some(Kind::Credential) => Counter::RedactedCredentials,
        Some(Kind::Email) => Counter::RedactedEmails,
        Some(Kind::Card) => Counter::RedactedCards,
        Some(Kind::Iban) => Counter::RedactedIbans,
        Some(Kind::Phone) => Counter::RedactedPhones,
        Some(Kind::Ip) => Counter::RedactedIps,
        None => Counter::RedactedCustom,
    }
}

#[cfg(test)]
mod tests;
