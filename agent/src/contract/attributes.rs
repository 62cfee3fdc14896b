//! The attributes of a span or resource while it is being built.

use super::{
    key::{AttributeDef, AttributeSet, AttributeValue, Key},
    names,
    profile::Profile,
    span::{Attribute, Value},
};

/// As many attributes as an ordinary span has.
const ORDINARY: usize = 48;

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
#[derive(Debug)]
pub struct Attributes {
    held: Vec<(&'static AttributeDef, Value)>,
    /// Of which attributes there is one.
    keys: AttributeSet,
}

impl Default for Attributes {
    fn default() -> Self {
        Self { held: Vec::with_capacity(ORDINARY), keys: AttributeSet::EMPTY }
    }
}

impl Attributes {
    /// Sets an attribute, replacing an earlier value.
    pub fn set<T: AttributeValue>(&mut self, key: Key<T>, value: T) {
        self.put(key.def(), value.into_value());
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

    /// Sets a value whose type is not known to be right.
    pub(super) fn put(&mut self, def: &'static AttributeDef, value: Value) {
        if self.keys.insert(def) {
            self.held.push((def, value));
        } else if let Some((_, held)) = self.held.iter_mut().find(|(held, _)| held.index == def.index) {
            *held = value;
        }
    }

    /// Is there one?
    pub(super) fn has(&self, def: &AttributeDef) -> bool {
        self.keys.has(def)
    }

    /// The value of a text; empty if there is none.
    pub(super) fn text(&self, key: &'static AttributeDef) -> &str {
        if !self.has(key) {
            return "";
        }
        match self.held.iter().find(|(def, _)| def.index == key.index) {
            Some((_, Value::String(text))) => text,
            _ => "",
        }
    }

    /// The value of an attribute.
    #[cfg(test)]
    pub(super) fn of(&self, key: &str) -> Option<&Value> {
        self.held.iter().find(|(def, _)| def.name == key).map(|(_, value)| value)
    }

    /// Keeps those that may stay.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&'static AttributeDef, &mut Value) -> bool) {
        let keys = &mut self.keys;
        self.held.retain_mut(|(def, value)| {
            let kept = keep(def, value);
            if !kept {
                keys.remove(def);
            }
            kept
        });
    }

    /// Puts them under the names that the profile has for them: of those that were renamed the current one, the older one or both.
    pub(super) fn rename(&mut self, profile: &Profile) {
        for overlap in names::OVERLAPS {
            if !self.keys.has(overlap.current) || profile.left_out.has(overlap.older) {
                continue;
            }
            let current = self.held.iter().find(|(def, _)| def.index == overlap.current.index);
            if let Some(value) = current.map(|(_, value)| value.clone()) {
                self.put(overlap.older, value);
            }
        }
        if profile.left_out == AttributeSet::EMPTY && profile.doubles == AttributeSet::EMPTY {
            return;
        }
        self.retain(|def, value| {
            if let Value::Int(n) = *value
                && profile.doubles.has(def)
            {
                *value = Value::Double(n as f64);
            }
            !profile.left_out.has(def)
        });
    }

    /// The attributes, as they are exported.
    pub fn finish(self) -> Vec<Attribute> {
        self.held.into_iter().map(|(def, value)| Attribute { key: def.name, value }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_was_taken_out_can_be_put_in_again() {
        let mut attributes = Attributes::default();
        attributes.set(names::GEN_AI_REQUEST_SEED, 1);
        attributes.set(names::GEN_AI_REQUEST_MODEL, "m".to_owned());
        attributes.retain(|def, _| def.name != "gen_ai.request.seed");
        assert!(!attributes.has(names::GEN_AI_REQUEST_SEED.def()));
        assert_eq!(attributes.text(names::GEN_AI_REQUEST_MODEL.def()), "m");
        assert_eq!(attributes.text(names::GEN_AI_RESPONSE_MODEL.def()), "");
        attributes.set(names::GEN_AI_REQUEST_SEED, 3);
        let last = attributes.finish().pop();
        assert_eq!(last, Some(Attribute { key: "gen_ai.request.seed", value: Value::Int(3) }));
    }

    #[test]
    fn renamed_attributes_go_by_the_names_of_the_profile() {
        let provider = || Value::String("x_ai".into());
        for (profile, wanted) in [
            (
                "overlap",
                &[
                    ("gen_ai.provider.name", provider()),
                    ("gen_ai.usage.cache_write.input_tokens", Value::Int(0)),
                    ("gen_ai.request.top_k", Value::Int(40)),
                    ("gen_ai.system", provider()),
                    ("gen_ai.usage.cache_creation.input_tokens", Value::Int(0)),
                ][..],
            ),
            (
                "current",
                &[
                    ("gen_ai.provider.name", provider()),
                    ("gen_ai.usage.cache_write.input_tokens", Value::Int(0)),
                    ("gen_ai.request.top_k", Value::Int(40)),
                ],
            ),
            (
                "otel-1.41",
                &[
                    ("gen_ai.request.top_k", Value::Double(40.0)),
                    ("gen_ai.system", provider()),
                    ("gen_ai.usage.cache_creation.input_tokens", Value::Int(0)),
                ],
            ),
        ] {
            let mut attributes = Attributes::default();
            attributes.set(names::GEN_AI_PROVIDER_NAME, names::GenAiProviderName::XAi);
            attributes.set(names::GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS, 0);
            attributes.set(names::GEN_AI_REQUEST_TOP_K, 40);
            attributes.rename(Profile::parse(profile).unwrap());
            let found: Vec<_> = attributes.finish().into_iter().map(|a| (a.key, a.value)).collect();
            assert_eq!(found, wanted, "{profile}");
        }
    }
}
