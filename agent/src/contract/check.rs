//! The check of what is about to be exported: what does not fit is left out, said on the span, and counted.

use std::fmt;

use super::{
    key::{AttributeDef, Privacy, Requirement, Shape, ValueKind, definition},
    span::{Attribute, Value},
};

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
        let reason = match self.reason {
            Reason::Unknown => "unknown",
            Reason::Type => "type",
            Reason::NotListed => "not_listed",
            Reason::TooLong => "too_long",
            Reason::Private => "private",
            Reason::Missing => "missing",
        };
        write!(f, "{reason}: {}", self.key)
    }
}

/// What the check needs to know besides the attributes.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The span's status is an error.
    pub failed: bool,
    /// The user asked for content.
    pub content: bool,
}

/// What the check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Where the attributes did not fit.
    pub violations: Vec<Violation>,
    /// Values that were cut to their limit.
    pub cut: u64,
}

/// Makes the attributes fit: cuts what is too long, removes what may not be there.
pub fn fit(attributes: &mut Vec<Attribute>, shape: &Shape, context: Context) -> Findings {
    let mut findings = Findings::default();
    attributes.retain_mut(|attribute| {
        let verdict = verdict(attribute, shape, context, &mut findings.cut);
        if let Err(reason) = verdict {
            findings.violations.push(Violation { reason, key: attribute.key });
        }
        verdict.is_ok()
    });
    let has = |name: &str| attributes.iter().any(|a| a.key == name);
    for used in shape.attributes {
        let required = match used.requirement {
            Requirement::Required => true,
            Requirement::With(other) => has(other),
            Requirement::OnError => context.failed,
            Requirement::Conditional | Requirement::Recommended | Requirement::OptIn => false,
        };
        if required && !has(used.name) {
            findings.violations.push(Violation { reason: Reason::Missing, key: used.name });
        }
    }
    findings
}

fn verdict(attribute: &mut Attribute, shape: &Shape, context: Context, cut: &mut u64) -> Result<(), Reason> {
    let known = shape.attributes.iter().any(|used| used.name == attribute.key);
    let def = definition(attribute.key).filter(|_| known).ok_or(Reason::Unknown)?;
    if def.privacy == Privacy::Content && !context.content {
        return Err(Reason::Private);
    }
    match (&mut attribute.value, def.kind) {
        (Value::Int(_), ValueKind::Int) | (Value::Bool(_), ValueKind::Bool) => Ok(()),
        // A value that JSON cannot carry is no double of the contract.
        (Value::Double(value), ValueKind::Double) if value.is_finite() => Ok(()),
        (Value::String(text), ValueKind::Json) => {
            if def.max_bytes.is_some_and(|max| text.len() > max) {
                Err(Reason::TooLong)
            } else {
                Ok(())
            }
        }
        (Value::String(text), ValueKind::String) => fit_text(text, def, cut),
        (Value::Strings(items), ValueKind::Strings) => {
            if let Some(max) = def.max_items.filter(|max| items.len() > *max) {
                items.truncate(max);
                *cut += 1;
            }
            items.iter_mut().try_for_each(|item| fit_text(item, def, cut))
        }
        _ => Err(Reason::Type),
    }
}

fn fit_text(text: &mut String, def: &AttributeDef, cut: &mut u64) -> Result<(), Reason> {
    if def.closed && !def.members.contains(&text.as_str()) {
        return Err(Reason::NotListed);
    }
    if let Some(max) = def.max_bytes.filter(|max| text.len() > *max) {
        text.truncate(floor(text, max));
        *cut += 1;
    }
    Ok(())
}

/// The longest prefix of at most `max` bytes that ends between characters.
pub(super) fn floor(text: &str, max: usize) -> usize {
    let end = max.min(text.len());
    // A character is at most four bytes long.
    (end.saturating_sub(3)..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::names::{GEN_AI_CLIENT_INFERENCE as SPAN, RESOURCE};
    use super::*;

    fn minimal() -> Vec<Attribute> {
        [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.system", "openai"),
            ("plainspan.api", "openai.chat_completions"),
            ("plainspan.call.ended", "complete"),
            ("plainspan.contract.version", "0.1.0"),
        ]
        .map(|(key, value)| Attribute { key, value: Value::String(value.into()) })
        .into()
    }

    const CALM: Context = Context { failed: false, content: false };

    #[test]
    fn a_minimal_span_fits() {
        let mut attributes = minimal();
        let findings = fit(&mut attributes, &SPAN, CALM);
        assert_eq!((findings.violations, findings.cut), (vec![], 0));
        assert_eq!(attributes, minimal());
    }

    #[test]
    fn what_does_not_fit_is_removed_and_named() {
        let text = |value: &str| Value::String(value.into());
        #[rustfmt::skip]
        let rows = [
            ("process.pid", Value::Int(1), "unknown: process.pid"),
            ("nobody.knows", Value::Int(1), "unknown: nobody.knows"),
            ("gen_ai.request.top_k", Value::Double(1.0), "type: gen_ai.request.top_k"),
            ("gen_ai.request.temperature", Value::Double(f64::NAN), "type: gen_ai.request.temperature"),
            ("gen_ai.request.stop_sequences", text("x"), "type: gen_ai.request.stop_sequences"),
            ("gen_ai.output.type", text("smell"), "not_listed: gen_ai.output.type"),
            ("plainspan.capture.degraded", Value::Strings(vec!["usage_partial".into(), "bored".into()]), "not_listed: plainspan.capture.degraded"),
            ("gen_ai.input.messages", text("[]"), "private: gen_ai.input.messages"),
        ];
        for (key, value, wanted) in rows {
            let mut attributes = minimal();
            attributes.push(Attribute { key, value });
            let findings = fit(&mut attributes, &SPAN, CALM);
            let said: Vec<_> = findings.violations.iter().map(ToString::to_string).collect();
            assert_eq!(said, [wanted]);
            assert_eq!(attributes, minimal(), "{key} is removed and nothing else");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut attributes = minimal();
        attributes.retain(|a| a.key != "gen_ai.system");
        attributes.push(Attribute { key: "server.address", value: Value::String("h".into()) });
        let findings = fit(&mut attributes, &SPAN, Context { failed: true, content: false });
        let said: Vec<_> = findings.violations.iter().map(ToString::to_string).collect();
        assert_eq!(said, ["missing: gen_ai.system", "missing: server.port", "missing: error.type"]);
        assert_eq!(
            fit(&mut Vec::new(), &RESOURCE, CALM).violations.len(),
            4,
            "service, pid, distro name and version"
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = format!("{}é", "m".repeat(255));
        let mut attributes = minimal();
        attributes.push(Attribute { key: "gen_ai.request.model", value: Value::String(long) });
        let many = Value::Strings(vec!["s".into(); 33]);
        attributes.push(Attribute { key: "gen_ai.request.stop_sequences", value: many });
        let findings = fit(&mut attributes, &SPAN, CALM);
        assert_eq!((findings.violations, findings.cut), (vec![], 2));
        assert_eq!(attributes[6].value, Value::String("m".repeat(255)));
        assert_eq!(attributes[7].value, Value::Strings(vec!["s".into(); 32]));
    }

    #[test]
    fn json_is_never_cut() {
        let max = super::super::names::GEN_AI_TOOL_DEFINITIONS.def().max_bytes.unwrap();
        for (len, wanted) in [(max, 0), (max + 1, 1)] {
            let mut attributes = minimal();
            attributes
                .push(Attribute { key: "gen_ai.tool.definitions", value: Value::String(" ".repeat(len)) });
            let findings = fit(&mut attributes, &SPAN, Context { failed: false, content: true });
            assert_eq!(findings.violations.len(), wanted);
            assert_eq!(findings.cut, 0);
        }
    }
}
