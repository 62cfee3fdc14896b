//! What is looked for.

use std::{borrow::Cow, fmt, ops::Range};

use regex::{Regex, RegexBuilder};

use super::{code, number};

/// Largest compiled pattern, in bytes: a user's one must not take the agent's memory.
const SIZE_LIMIT: usize = 1 << 20;
/// The group of a pattern that is replaced where not all of it is; without one, all of it.
const GROUP: &str = "secret";

/// The rules that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Keys, tokens, passwords, private keys.
    Credential,
    /// E-mail addresses.
    Email,
    /// Numbers of payment cards.
    Card,
    /// International bank account numbers (ISO 13616).
    Iban,
    /// Phone numbers.
    Phone,
    /// IP addresses.
    Ip,
}

impl Kind {
    /// All, the surest first: the first one that finds a text names it.
    pub const ALL: &'static [Self] =
        &[Self::Credential, Self::Email, Self::Card, Self::Iban, Self::Phone, Self::Ip];

    /// Its name, in options and in what stands for a finding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Email => "email",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::Ip => "ip",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// What is looked for under one name.
pub struct Rule {
    name: Cow<'static, str>,
    patterns: Vec<Pattern>,
}

/// Says which bytes of a text are a finding, if those of a candidate are one: it may be shorter or longer than the match.
pub(super) type Accept = fn(&str, Range<usize>) -> Option<Range<usize>>;

/// A pattern, and what makes a match of it a finding.
pub(super) struct Pattern {
    regex: Regex,
    accept: Accept,
}

/// A match that may be a finding.
pub(super) struct Candidate {
    /// All of the match.
    pub(super) whole: Range<usize>,
    /// The bytes that would be replaced.
    pub(super) secret: Range<usize>,
}

/// A pattern that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// Its name isn't made of lower-case letters, digits, `_` and `-`, or is that of a built-in rule.
    #[error(
        "`{0}` is no name for a rule: it takes lower-case letters, digits, `_` and `-`, and no built-in rule has it"
    )]
    Name(String),
    /// The pattern is wrong, or its compiled form is over the limit.
    #[error("the pattern of `{name}` can't be used: {why}")]
    Pattern {
        /// The rule.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// It matches the empty text, which is everywhere.
    #[error("the pattern of `{0}` matches the empty text")]
    Empty(String),
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Rule {
    /// A built-in rule.
    ///
    /// # Errors
    /// A pattern of it is wrong, which a test excludes.
    pub fn builtin(kind: Kind) -> Result<Self, PatternError> {
        let patterns = match kind {
            Kind::Credential => code::credential(),
            Kind::Email => code::email(),
            Kind::Card => number::card(),
            Kind::Iban => number::iban(),
            Kind::Phone => number::phone(),
            Kind::Ip => code::ip(),
        };
        let compiled = patterns.iter().map(|(text, accept)| Pattern::compile(kind.name(), text, *accept));
        Ok(Self { name: kind.name().into(), patterns: compiled.collect::<Result<_, _>>()? })
    }

    /// A rule of the user's. Where the pattern has a group that is called `secret`, only that is replaced.
    ///
    /// # Errors
    /// The name or the pattern is none.
    pub fn custom(name: &str, pattern: &str) -> Result<Self, PatternError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
        if name.is_empty() || !name.chars().all(fits) || Kind::named(name).is_some() {
            return Err(PatternError::Name(name.into()));
        }
        let compiled = Pattern::compile(name, pattern, whole)?;
        if compiled.regex.is_match("") {
            return Err(PatternError::Empty(name.into()));
        }
        Ok(Self { name: name.to_owned().into(), patterns: vec![compiled] })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which built-in one it is; `None` for one of the user's.
    pub fn kind(&self) -> Option<Kind> {
        Kind::named(&self.name)
    }

    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }
}

impl Pattern {
    fn compile(name: &str, text: &str, accept: Accept) -> Result<Self, PatternError> {
        let regex = RegexBuilder::new(text)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|why| PatternError::Pattern { name: name.into(), why: why.to_string() })?;
        Ok(Self { regex, accept })
    }

    /// Its first match at or after `at`.
    pub(super) fn candidate(&self, text: &str, at: usize) -> Option<Candidate> {
        let whole = self.regex.find_at(text, at)?.range();
        let group = (self.regex.captures_len() > 1)
            .then(|| self.regex.captures_at(text, whole.start)?.name(GROUP).map(|group| group.range()))
            .flatten();
        Some(Candidate { secret: group.unwrap_or_else(|| whole.clone()), whole })
    }

    /// The bytes to be replaced, if those of a candidate are a finding.
    pub(super) fn accept(&self, text: &str, secret: Range<usize>) -> Option<Range<usize>> {
        (self.accept)(text, secret)
    }
}

/// Every match is a finding.
#[allow(clippy::unnecessary_wraps, reason = "it stands in a list of those that may find nothing")]
pub(super) fn whole(_: &str, range: Range<usize>) -> Option<Range<usize>> {
    Some(range)
}
