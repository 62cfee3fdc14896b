//! The check of what is about to be exported: what does not fit is left out, said on the span, and counted.

use std::fmt;

use super::{
    attributes::Attributes,
    key::{AttributeDef, Privacy, Requirement, Shape, ValueKind},
    profile::Profile,
    span::Value,
};
use crate::text::floor;

/// How a span does not fit the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An attribute that this span does not have.
    Unknown,
    /// A value of another type.
    Type,
    /// A value that a closed list does not have.
    NotListed,
    /// A JSON text over its limit.
    TooLong,
    /// Content that was not asked for.
    Private,
    /// A required attribute is missing.
    Missing,
}

impl Reason {
    /// As it is said on spans.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Type => "type",
            Self::NotListed => "not_listed",
            Self::TooLong => "too_long",
            Self::Private => "private",
            Self::Missing => "missing",
        }
    }
}

/// One place where a span does not fit. Names the attribute and never quotes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How.
    pub reason: Reason,
    /// Which attribute.
    pub key: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.key)
    }
}

/// What the check needs to know besides the attributes.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The span's status is an error.
    pub failed: bool,
    /// The user asked for content.
    pub content: bool,
    /// The names that it goes by.
    pub profile: &'static Profile,
}

/// What the check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Where the attributes did not fit.
    pub violations: Vec<Violation>,
    /// Attributes that were cut to their limit.
    pub cut: Vec<&'static str>,
}

/// Makes the attributes fit: cuts what is too long, removes what may not be there.
pub fn fit(attributes: &mut Attributes, shape: &Shape, context: Context) -> Findings {
    let mut findings = Findings::default();
    attributes.retain(|def, value| match verdict(def, value, shape, context) {
        Ok(cut) => {
            if cut {
                findings.cut.push(def.name);
            }
            true
        }
        Err(reason) => {
            findings.violations.push(Violation { reason, key: def.name });
            false
        }
    });
    for used in shape.attributes {
        let required = match used.requirement {
            Requirement::Required => true,
            Requirement::With(other) => attributes.has(other),
            Requirement::OnError => context.failed,
            Requirement::Conditional | Requirement::Recommended | Requirement::OptIn => false,
        };
        let def = used.attribute;
        if required && !attributes.has(def) && !context.profile.left_out.has(def) {
            findings.violations.push(Violation { reason: Reason::Missing, key: def.name });
        }
    }
    findings
}

/// Whether it was cut; or why it can't stay.
fn verdict(def: &AttributeDef, value: &mut Value, shape: &Shape, context: Context) -> Result<bool, Reason> {
    if !shape.has(def) {
        return Err(Reason::Unknown);
    }
    if def.privacy == Privacy::Content && !context.content {
        return Err(Reason::Private);
    }
    let kind = if context.profile.doubles.has(def) { ValueKind::Double } else { def.kind };
    match (value, kind) {
        (Value::Int(_), ValueKind::Int) | (Value::Bool(_), ValueKind::Bool) => Ok(false),
        // A value that JSON cannot carry is no double of the contract.
        (Value::Double(value), ValueKind::Double) if value.is_finite() => Ok(false),
        (Value::String(text), ValueKind::Json) => {
            if def.max_bytes.is_some_and(|max| text.len() > max) {
                Err(Reason::TooLong)
            } else {
                Ok(false)
            }
        }
        (Value::String(text), ValueKind::String) => fit_text(text, def),
        (Value::Strings(items), ValueKind::Strings) => {
            let mut cut = false;
            if let Some(max) = def.max_items.filter(|max| items.len() > *max) {
                items.truncate(max);
                cut = true;
            }
            for item in items {
                cut |= fit_text(item, def)?;
            }
            Ok(cut)
        }
        _ => Err(Reason::Type),
    }
}

fn fit_text(text: &mut String, def: &AttributeDef) -> Result<bool, Reason> {
    if def.closed && !def.members.contains(&text.as_str()) {
        return Err(Reason::NotListed);
    }
    let Some(max) = def.max_bytes.filter(|max| text.len() > *max) else { return Ok(false) };
    text.truncate(floor(text, max));
    Ok(true)
}

#[cfg(test)]
#[path = "check_tests.rs"]
pub(super) mod tests;
