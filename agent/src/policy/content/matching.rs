//! Which calls a rule is about.

use globset::{GlobBuilder, GlobMatcher};

/// What of a call conditions are about. What is not known is `None`, and no condition on it holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// `service.name`.
    pub service: Option<&'a str>,
    /// `service.namespace`, else `k8s.namespace.name`.
    pub namespace: Option<&'a str>,
    /// `gen_ai.provider.name`.
    pub provider: Option<&'a str>,
    /// The model that is asked for.
    pub model: Option<&'a str>,
    /// The URL's path, without its query.
    pub path: Option<&'a str>,
}

/// Conditions that all must hold; none of them holds for every call.
#[derive(Debug, Default)]
pub struct When {
    service: Option<GlobMatcher>,
    namespace: Option<GlobMatcher>,
    provider: Option<GlobMatcher>,
    model: Option<GlobMatcher>,
    path: Option<GlobMatcher>,
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{pattern:?} is no pattern ({reason})")]
pub struct GlobError {
    pattern: String,
    reason: String,
}

impl When {
    /// Only calls of services whose `service.name` fits the pattern.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn service(self, pattern: &str) -> Result<Self, GlobError> {
        Ok(Self { service: Some(glob(pattern)?), ..self })
    }

    /// Only calls of services whose `service.namespace` fits, or where there is none, the `k8s.namespace.name` of their pod.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn namespace(self, pattern: &str) -> Result<Self, GlobError> {
        Ok(Self { namespace: Some(glob(pattern)?), ..self })
    }

    /// Only calls to providers whose `gen_ai.provider.name` fits.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn provider(self, pattern: &str) -> Result<Self, GlobError> {
        Ok(Self { provider: Some(glob(pattern)?), ..self })
    }

    /// Only calls whose requested model fits.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn model(self, pattern: &str) -> Result<Self, GlobError> {
        Ok(Self { model: Some(glob(pattern)?), ..self })
    }

    /// Only calls whose URL path, without its query, fits: `*` is a part of it, `**` any number of parts.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn path(self, pattern: &str) -> Result<Self, GlobError> {
        Ok(Self { path: Some(glob(pattern)?), ..self })
    }

    /// Is it about this call?
    pub fn fits(&self, call: &Subject<'_>) -> bool {
        holds(self.service.as_ref(), call.service)
            && holds(self.namespace.as_ref(), call.namespace)
            && holds(self.provider.as_ref(), call.provider)
            && holds(self.model.as_ref(), call.model)
            && holds(self.path.as_ref(), call.path)
    }

    /// May it be about a call of this service?
    pub(super) fn may_fit(&self, service: Option<&str>, namespace: Option<&str>) -> bool {
        holds(self.service.as_ref(), service) && holds(self.namespace.as_ref(), namespace)
    }
}

fn holds(glob: Option<&GlobMatcher>, text: Option<&str>) -> bool {
    glob.is_none_or(|glob| text.is_some_and(|text| glob.is_match(text)))
}

fn glob(pattern: &str) -> Result<GlobMatcher, GlobError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let reason =
        |error: globset::Error| GlobError { pattern: pattern.into(), reason: error.kind().to_string() };
    glob.map(|glob| glob.compile_matcher()).map_err(reason)
}
