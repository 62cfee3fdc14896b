//! A span and its resource, ready for any exporter.

use std::{borrow::Cow, sync::Arc};

pub use super::names::{PlainspanContentPlaces as Place, PlainspanLinkReason as LinkReason};
use super::{
    key::{Key, Privacy, Text as _, definition},
    names::{self, OVERLAPS},
};
use crate::time::Timestamp;

/// An attribute's value, as OpenTelemetry has them.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    String(String),
    /// An integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// An array of strings.
    Strings(Vec<String>),
}

/// A key from the contract with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The key; always one of the generated names.
    pub key: &'static str,
    /// The value.
    pub value: Value,
}

impl Attribute {
    /// Is it something that was said in the call?
    pub fn is_content(&self) -> bool {
        definition(self.key).is_some_and(|def| def.privacy == Privacy::Content)
    }
}

/// OpenTelemetry's span kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The captured process made the call.
    Client,
    /// The captured process served the call.
    Server,
}

/// OpenTelemetry's span status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Nothing said.
    #[default]
    Unset,
    /// It failed; the description never quotes content unless content was asked for.
    Error(String),
}

/// Ids of a new span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    /// Used when the request carried no trace context.
    pub trace_id: [u8; 16],
    /// The span's own.
    pub span_id: [u8; 8],
}

/// The span of the call that a process served by making this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its trace id.
    pub trace_id: [u8; 16],
    /// Its span id.
    pub span_id: [u8; 8],
    /// How that is known.
    pub reason: LinkReason,
}

/// Names a session: one connection on which many calls are made as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub [u8; 8]);

/// What a call has to do with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    /// The call that it was made for.
    pub cause: Option<Link>,
    /// The session that it was made in.
    pub session: Option<SessionId>,
}

/// A finished span under the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace id.
    pub trace_id: [u8; 16],
    /// Span id.
    pub span_id: [u8; 8],
    /// Parent, if the request carried trace context.
    pub parent_span_id: Option<[u8; 8]>,
    /// The call that it was made for.
    pub link: Option<Link>,
    /// W3C trace flags.
    pub flags: u8,
    /// W3C trace state; empty if there is none.
    pub trace_state: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// Start.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// Attributes; keys are unique.
    pub attributes: Vec<Attribute>,
    /// Status.
    pub status: Status,
}

impl Span {
    /// The value of an attribute.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|a| a.key == key).map(|a| &a.value)
    }

    /// May what was said in the call go to this place? The span says so itself, since it may have been made long before it is exported.
    pub fn goes_to(&self, place: Place) -> bool {
        match self.get(names::PLAINSPAN_CONTENT_PLACES.name()) {
            Some(Value::Strings(places)) => places.contains(&place.into_text()),
            _ => place == Place::Spans,
        }
    }

    /// About how much memory it takes, in bytes.
    pub fn size(&self) -> usize {
        const FIXED: usize = 256;
        const ATTRIBUTE: usize = 48;
        let attributes: usize = self
            .attributes
            .iter()
            .map(|attribute| {
                let value = match &attribute.value {
                    Value::String(text) => text.len(),
                    Value::Strings(texts) => texts.iter().map(|text| text.len() + 24).sum(),
                    Value::Int(_) | Value::Double(_) | Value::Bool(_) => 8,
                };
                ATTRIBUTE + attribute.key.len() + value
            })
            .sum();
        FIXED + self.name.len() + self.trace_state.len() + attributes
    }

    /// The value of an attribute, under whichever of its names the span's [profile](super::Profile) has it.
    pub fn read<T>(&self, key: Key<T>) -> Option<&Value> {
        self.under_any_name(key.name())
    }

    fn under_any_name(&self, key: &str) -> Option<&Value> {
        let older = || OVERLAPS.iter().find(|overlap| overlap.current.name == key);
        self.get(key).or_else(|| self.get(older()?.older.name))
    }
}

/// Who made a call, as OpenTelemetry resource attributes; shared by all spans of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Attributes; keys are unique.
    pub attributes: Vec<Attribute>,
    /// Attributes that the user gave with `OTEL_RESOURCE_ATTRIBUTES`.
    pub extra: Vec<(String, String)>,
}

impl Resource {
    /// The value of an attribute.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|a| a.key == key).map(|a| &a.value)
    }
}

/// What is handed to the exporters.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The span.
    pub span: Span,
    /// Under which resource it belongs.
    pub resource: Arc<Resource>,
}

impl Delivery {
    /// The value of an attribute of the span, under whichever name its profile has it, else of its resource.
    pub fn get(&self, key: &str) -> Option<Cow<'_, Value>> {
        let own = self.span.under_any_name(key).or_else(|| self.resource.get(key));
        own.map(Cow::Borrowed).or_else(|| {
            let extra = self.resource.extra.iter().find(|(name, _)| name == key);
            extra.map(|(_, text)| Cow::Owned(Value::String(text.clone())))
        })
    }

    /// The same without what was said in the call, and without the arguments of the process.
    pub fn without_content(&self) -> Self {
        let Self { span, resource } = self;
        let span = Span {
            attributes: without_content(&span.attributes),
            name: span.name.clone(),
            trace_state: span.trace_state.clone(),
            status: span.status.clone(),
            ..*span
        };
        let resource = if resource.attributes.iter().any(Attribute::is_content) {
            let attributes = without_content(&resource.attributes);
            Arc::new(Resource { attributes, extra: resource.extra.clone() })
        } else {
            Arc::clone(resource)
        };
        Self { span, resource }
    }
}

fn without_content(attributes: &[Attribute]) -> Vec<Attribute> {
    attributes.iter().filter(|of| !of.is_content()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_the_content() {
        let span = |length: usize| Span {
            trace_id: [1; 16],
            span_id: [1; 8],
            parent_span_id: None,
            link: None,
            flags: 0,
            trace_state: String::new(),
            name: "chat".into(),
            kind: Kind::Client,
            start: Timestamp(0),
            end: Timestamp(0),
            attributes: vec![Attribute { key: "k", value: Value::String("x".repeat(length)) }],
            status: Status::Unset,
        };
        let (small, large) = (span(0).size(), span(1000).size());
        assert!(small >= 200 && large == small + 1000, "{small} {large}");
    }
}
