//! A condition on one call, as `finish_reason=length` or `gen_ai.usage.output_tokens>1000`.

use std::{borrow::Cow, fmt, str::FromStr};

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use crate::{
    contract::{Delivery, Kind, Status, Value, names},
    text::{hex, nearest},
};

/// What a condition can be about by a short name: the columns of the table `calls` that tell something of the call itself.
const COLUMNS: &[(&str, Field)] = &[
    ("cached_tokens", Field::Key(names::GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS.name())),
    ("container_id", Field::Key(names::CONTAINER_ID.name())),
    ("conversation", Field::Key(names::GEN_AI_CONVERSATION_ID.name())),
    ("degraded", Field::Key(names::PLAINSPAN_CAPTURE_DEGRADED.name())),
    ("duration_s", Field::Duration),
    ("error_type", Field::Key(names::ERROR_TYPE.name())),
    ("finish_reason", Field::Key(names::GEN_AI_RESPONSE_FINISH_REASONS.name())),
    ("first_chunk_s", Field::Key(names::GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK.name())),
    ("http_status", Field::Key(names::HTTP_RESPONSE_STATUS_CODE.name())),
    ("input_tokens", Field::Key(names::GEN_AI_USAGE_INPUT_TOKENS.name())),
    ("kind", Field::Kind),
    ("model", Field::Key(names::GEN_AI_REQUEST_MODEL.name())),
    ("operation", Field::Key(names::GEN_AI_OPERATION_NAME.name())),
    ("output_tokens", Field::Key(names::GEN_AI_USAGE_OUTPUT_TOKENS.name())),
    ("pid", Field::Key(names::PROCESS_PID.name())),
    ("provider", Field::Key(names::GEN_AI_PROVIDER_NAME.name())),
    ("response_model", Field::Key(names::GEN_AI_RESPONSE_MODEL.name())),
    ("server", Field::Key(names::SERVER_ADDRESS.name())),
    ("service", Field::Key(names::SERVICE_NAME.name())),
    ("source", Field::Key(names::PLAINSPAN_REPLAY_SOURCE.name())),
    ("span_id", Field::SpanId),
    ("status", Field::Status),
    ("stream", Field::Key(names::GEN_AI_REQUEST_STREAM.name())),
    ("trace_id", Field::TraceId),
];

/// What an attribute without a dot in its name is called by, as `attribute.team`: those that the user gave may have none, and be called like a
/// column.
const DOTLESS: &str = "attribute.";

/// A condition that a call fulfils or does not.
///
/// `NAME=PATTERN` holds if a value is like the pattern, in which `*` stands for anything and `{a,b}` for one of several; `NAME!=PATTERN` if
/// none is. `NAME>NUMBER`, `>=`, `<` and `<=` compare. `NAME` alone holds if there is a value, `!NAME` if there is none. Of a list each
/// item counts by itself. A name is a column's of the table `calls`, or an attribute's whole name.
#[derive(Clone)]
pub struct Condition {
    /// As it was written.
    name: String,
    field: Field,
    test: Test,
}

/// A condition that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConditionError {
    /// No name stands before the operator.
    #[error("`{0}` is no condition: write it as finish_reason=length, output_tokens>1000 or !error_type")]
    Form(String),
    /// It is about nothing that a call has.
    #[error(
        "a call has no `{name}`{hint}: use {} or an attribute's whole name, as service.namespace; one without a dot is attribute.team",
        columns()
    )]
    Unknown {
        /// The name.
        name: String,
        /// What was probably meant.
        hint: String,
    },
    /// Only numbers are greater or less.
    #[error("`{0}` is no number: what is greater or less is compared with one, durations in seconds")]
    Number(String),
    /// No pattern.
    #[error("`{pattern}` is no pattern ({reason}): before a character that is meant as it is stands \\")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// The attribute of this key.
    Key(&'static str),
    /// The attribute that the condition names.
    Named,
    Duration,
    Kind,
    Status,
    TraceId,
    SpanId,
}

#[derive(Clone)]
enum Test {
    Like(Pattern),
    Unlike(Pattern),
    Than(Than, f64),
    Present,
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Than {
    Greater,
    AtLeast,
    Less,
    AtMost,
}

#[derive(Clone)]
struct Pattern {
    text: String,
    glob: GlobMatcher,
    /// What it is if it is a number, so that `1` is `1.0`.
    number: Option<f64>,
}

/// The operators, longer ones before those that they begin with.
const OPERATORS: [(&str, Option<Than>); 6] = [
    ("!=", None),
    (">=", Some(Than::AtLeast)),
    ("<=", Some(Than::AtMost)),
    ("=", None),
    (">", Some(Than::Greater)),
    ("<", Some(Than::Less)),
];

impl Condition {
    /// That an attribute, or an item of it, has exactly this value.
    ///
    /// # Errors
    /// A name that no condition can have, or a value longer than patterns may be.
    pub fn is(attribute: &str, value: &str) -> Result<Self, ConditionError> {
        Self::new(attribute, Test::Like(Pattern::new(&escaped(value))?))
    }

    /// That it begins so.
    ///
    /// # Errors
    /// As of [`is`](Self::is).
    pub fn begins(attribute: &str, value: &str) -> Result<Self, ConditionError> {
        Self::new(attribute, Test::Like(Pattern::new(&(escaped(value) + "*"))?))
    }

    /// That there is none.
    ///
    /// # Errors
    /// A name that no condition can have.
    pub fn absent(attribute: &str) -> Result<Self, ConditionError> {
        Self::new(attribute, Test::Absent)
    }

    /// That it is a number of at least so much.
    ///
    /// # Errors
    /// A name that no condition can have.
    pub fn at_least(attribute: &str, number: f64) -> Result<Self, ConditionError> {
        Self::new(attribute, Test::Than(Than::AtLeast, number))
    }

    /// That it is a number of less.
    ///
    /// # Errors
    /// A name that no condition can have.
    pub fn below(attribute: &str, number: f64) -> Result<Self, ConditionError> {
        Self::new(attribute, Test::Than(Than::Less, number))
    }

    fn new(name: &str, test: Test) -> Result<Self, ConditionError> {
        if name.is_empty() || name.contains(|c: char| "=<>!".contains(c) || c.is_whitespace()) {
            return Err(ConditionError::Form(name.to_owned()));
        }
        let column = COLUMNS.iter().find(|(column, _)| *column == name);
        let field = match column {
            Some((_, field)) => *field,
            None if name.contains('.') => Field::Named,
            None => {
                let near = nearest(name, &mut COLUMNS.iter().map(|(column, _)| *column));
                let hint = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
                return Err(ConditionError::Unknown { name: name.to_owned(), hint });
            }
        };
        Ok(Self { name: name.to_owned(), field, test })
    }

    /// Does it hold for this call?
    pub fn holds(&self, call: &Delivery) -> bool {
        let value = self.value(call);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Absent => value.is_none(),
            Test::Like(pattern) => value.is_some_and(|value| pattern.is_like(&value)),
            Test::Unlike(pattern) => !value.is_some_and(|value| pattern.is_like(&value)),
            Test::Than(than, bound) => number(value.as_deref()).is_some_and(|number| match than {
                Than::Greater => number > *bound,
                Than::AtLeast => number >= *bound,
                Than::Less => number < *bound,
                Than::AtMost => number <= *bound,
            }),
        }
    }

    /// What conditions call an attribute of this key.
    pub fn name_of(key: &str) -> Cow<'_, str> {
        if key.contains('.') { Cow::Borrowed(key) } else { Cow::Owned(format!("{DOTLESS}{key}")) }
    }

    /// What it is about: the name of the attribute, or the column's if that is no attribute's.
    pub fn subject(&self) -> &str {
        match self.field {
            Field::Key(key) => key,
            _ => &self.name,
        }
    }

    /// The values that it looks at, as texts.
    pub fn shown(&self, call: &Delivery) -> Vec<String> {
        match self.value(call).as_deref() {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Strings(texts)) => texts.clone(),
            Some(Value::Int(number)) => vec![number.to_string()],
            Some(Value::Double(number)) => vec![number.to_string()],
            Some(Value::Bool(flag)) => vec![flag.to_string()],
        }
    }

    fn value<'a>(&self, call: &'a Delivery) -> Option<Cow<'a, Value>> {
        let text = |text: &str| Some(Cow::Owned(Value::String(text.to_owned())));
        let span = &call.span;
        match self.field {
            Field::Key(key) => call.get(key),
            Field::Named => call.get(attribute(&self.name)),
            Field::Duration => Some(Cow::Owned(Value::Double(span.end.since(span.start).as_secs_f64()))),
            Field::Kind => text(match span.kind {
                Kind::Client => "client",
                Kind::Server => "server",
            }),
            Field::Status => text(match span.status {
                Status::Unset => "ok",
                Status::Error(_) => "error",
            }),
            Field::TraceId => text(&hex(&span.trace_id)),
            Field::SpanId => text(&hex(&span.span_id)),
        }
    }
}

/// The attribute's own name.
fn attribute(name: &str) -> &str {
    match name.strip_prefix(DOTLESS) {
        Some(short) if !short.contains('.') => short,
        _ => name,
    }
}

fn columns() -> String {
    COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, ConditionError> {
        let glob = GlobBuilder::new(pattern).backslash_escape(true).build();
        let glob = glob.map_err(|error| ConditionError::Pattern {
            pattern: pattern.to_owned(),
            reason: error.kind().to_string(),
        })?;
        Ok(Self {
            text: pattern.to_owned(),
            glob: glob.compile_matcher(),
            number: pattern.parse().ok().filter(|number: &f64| number.is_finite()),
        })
    }

    fn is_like(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.glob.is_match(text),
            Value::Strings(texts) => texts.iter().any(|text| self.glob.is_match(text)),
            Value::Int(number) => self.number_is(*number as f64) || self.glob.is_match(number.to_string()),
            Value::Double(number) => self.number_is(*number) || self.glob.is_match(number.to_string()),
            Value::Bool(flag) => self.glob.is_match(flag.to_string()),
        }
    }

    #[allow(clippy::float_cmp, reason = "it is the same number or it is not")]
    fn number_is(&self, number: f64) -> bool {
        self.number == Some(number)
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    match value? {
        Value::Int(number) => Some(*number as f64),
        Value::Double(number) => Some(*number),
        _ => None,
    }
}

/// A pattern for this text alone.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if "?*[]{}\\,".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix('!') {
            return Self::new(name, Test::Absent).map_err(|error| error.of(text));
        }
        let Some(at) = text.find(['=', '!', '<', '>']) else {
            return Self::new(text, Test::Present).map_err(|error| error.of(text));
        };
        let (name, rest) = text.split_at(at);
        let found = OPERATORS.iter().find_map(|(sign, than)| Some((*sign, *than, rest.strip_prefix(sign)?)));
        let (sign, than, value) = found.ok_or_else(|| ConditionError::Form(text.to_owned()))?;
        let wanted = match than {
            None if sign == "=" => Test::Like(Pattern::new(value)?),
            None => Test::Unlike(Pattern::new(value)?),
            Some(than) => {
                let number = value.parse().ok().filter(|number: &f64| number.is_finite());
                Test::Than(than, number.ok_or_else(|| ConditionError::Number(value.to_owned()))?)
            }
        };
        Self::new(name, wanted).map_err(|error| error.of(text))
    }
}

impl ConditionError {
    /// A name that can't be one shows the whole condition.
    fn of(self, text: &str) -> Self {
        match self {
            Self::Form(_) => Self::Form(text.to_owned()),
            other => other,
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({self})")
    }
}

/// As it can be read again.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.test {
            Test::Present => write!(f, "{name}"),
            Test::Absent => write!(f, "!{name}"),
            Test::Like(pattern) => write!(f, "{name}={}", pattern.text),
            Test::Unlike(pattern) => write!(f, "{name}!={}", pattern.text),
            Test::Than(than, number) => {
                let sign = OPERATORS.iter().find(|(_, of)| *of == Some(*than)).map_or("", |(sign, _)| sign);
                write!(f, "{name}{sign}{number}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
