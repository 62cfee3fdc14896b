//! The attributes of a span or resource while it is being built.

use super::{
    key::{AttributeValue, Key},
    names,
    span::Attribute,
};

/// Collects attributes under typed keys; keys are unique.
///
/// ```
/// use plainspan::contract::{Attributes, names};
/// Attributes::default().set(names::GEN_AI_REQUEST_TOP_K, 40);
/// ```
///
/// A value of another type, or a value that a closed enum does not have, does not compile:
///
/// ```compile_fail
/// use plainspan::contract::{Attributes, names};
/// Attributes::default().set(names::GEN_AI_REQUEST_TOP_K, 0.5);
/// ```
///
/// ```compile_fail
/// use plainspan::contract::{Attributes, names};
/// Attributes::default().set(names::PLAINSPAN_CALL_ENDED, "somehow".to_owned());
/// ```
#[derive(Debug, Default)]
pub struct Attributes(Vec<Attribute>);

impl Attributes {
    /// Sets an attribute, replacing an earlier value.
    pub fn set<T: AttributeValue>(&mut self, key: Key<T>, value: T) {
        let (key, value) = (key.name(), value.into_value());
        match self.0.iter_mut().find(|a| a.key == key) {
            Some(held) => held.value = value,
            None => self.0.push(Attribute { key, value }),
        }
    }

    /// Sets an attribute if there is a value: what is not on the wire is absent.
    pub fn set_some<T: AttributeValue>(&mut self, key: Key<T>, value: Option<T>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    /// Sets a count that is left out when it is zero.
    pub fn set_count(&mut self, key: Key<i64>, n: u64) {
        if n > 0 {
            self.set(key, i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    /// The attributes, each renamed one also under the name that older consumers read.
    pub fn finish(mut self) -> Vec<Attribute> {
        for overlap in names::OVERLAPS {
            if let Some(current) = self.0.iter().find(|a| a.key == overlap.current) {
                let older = Attribute { key: overlap.older, value: current.value.clone() };
                self.0.push(older);
            }
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Value;

    #[test]
    fn keys_are_unique_and_the_last_value_counts() {
        let mut attributes = Attributes::default();
        attributes.set(names::GEN_AI_REQUEST_SEED, 1);
        attributes.set(names::GEN_AI_REQUEST_SEED, 2);
        attributes.set_some(names::GEN_AI_REQUEST_MODEL, None);
        attributes.set_count(names::PLAINSPAN_CAPTURE_REQUEST_BYTES_LOST, 0);
        attributes.set_count(names::PLAINSPAN_CAPTURE_RESPONSE_BYTES_LOST, u64::MAX);
        assert_eq!(
            attributes.finish(),
            [
                Attribute { key: "gen_ai.request.seed", value: Value::Int(2) },
                Attribute { key: "plainspan.capture.response.bytes_lost", value: Value::Int(i64::MAX) },
            ]
        );
    }

    #[test]
    fn renamed_attributes_are_emitted_under_both_names() {
        let mut attributes = Attributes::default();
        attributes.set(names::GEN_AI_PROVIDER_NAME, names::GenAiProviderName::XAi);
        attributes.set(names::GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, 0);
        let finished = attributes.finish();
        for (key, value) in [
            ("gen_ai.provider.name", Value::String("x_ai".into())),
            ("gen_ai.system", Value::String("x_ai".into())),
            ("gen_ai.usage.cache_write.input_tokens", Value::Int(0)),
            ("gen_ai.usage.cache_creation.input_tokens", Value::Int(0)),
        ] {
            assert!(finished.contains(&Attribute { key, value }), "{key}");
        }
    }
}
