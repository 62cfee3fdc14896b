//! Rules of the user: which requests are of a dialect, whatever they look like.

use std::{fmt, str::FromStr};

use globset::{GlobBuilder, GlobMatcher};

use super::{
    dialect::{DIALECTS, Dialect},
    transport,
};
use crate::wire::RequestHead;

/// A kind of request, and the dialect that it is in: `POST llm.example/my/gateway/**=openai.chat_completions`.
#[derive(Clone)]
pub struct Rule {
    method: Box<str>,
    host: Option<GlobMatcher>,
    path: GlobMatcher,
    dialect: &'static dyn Dialect,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("method", &self.method)
            .field("host", &self.host.as_ref().map(|host| host.glob().glob()))
            .field("path", &self.path.glob().glob())
            .field("dialect", &self.dialect.name())
            .finish()
    }
}

/// A rule that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It has not the form of one.
    #[error("it is written as 'POST HOST/PATH=DIALECT', of which method and host may be left out")]
    Form,
    /// A pattern that is none.
    #[error("{pattern:?} is no pattern ({reason})")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A dialect that is not known.
    #[error("there is no API dialect {name:?}: use {}", dialects().join(", "))]
    Dialect {
        /// Its name.
        name: String,
    },
}

/// The names of all dialects, in alphabetical order.
fn dialects() -> Vec<&'static str> {
    let mut names: Vec<_> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        // A path may have a `=`, a name has none.
        let (request, name) = text.rsplit_once('=').ok_or(RuleError::Form)?;
        let (request, name) = (request.trim(), name.trim());
        let (method, place) = match request.split_once(char::is_whitespace) {
            Some((method, place)) => (method, place.trim()),
            // Calls are made so in every API but those of sessions, which are opened by a GET.
            None => ("POST", request),
        };
        let at = place.find('/').ok_or(RuleError::Form)?;
        let (host, path) = place.split_at(at);
        if method.contains('/') || place.contains(char::is_whitespace) {
            return Err(RuleError::Form);
        }
        let dialect = DIALECTS.iter().find(|dialect| dialect.name() == name);
        Ok(Self {
            method: method.to_ascii_uppercase().into(),
            host: (!host.is_empty()).then(|| pattern(&host.to_ascii_lowercase())).transpose()?,
            path: pattern(path)?,
            dialect: *dialect.ok_or_else(|| RuleError::Dialect { name: name.to_owned() })?,
        })
    }
}

/// `*` within a segment, `**` across them.
fn pattern(text: &str) -> Result<GlobMatcher, RuleError> {
    match GlobBuilder::new(text).literal_separator(true).build() {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(RuleError::Pattern { pattern: text.to_owned(), reason: error.kind().to_string() }),
    }
}

impl Rule {
    /// The dialect of this request, if the rule is about it.
    pub(super) fn dialect(&self, head: &RequestHead) -> Option<&'static dyn Dialect> {
        // What is a message of a session was opened by a request that the rule was about.
        let method = head.session.is_some() || *self.method == *head.method || self.opens(head);
        (method && self.path.is_match(&*head.path) && self.is_of_host(head)).then_some(self.dialect)
    }

    /// Nobody says GET for a session.
    fn opens(&self, head: &RequestHead) -> bool {
        &*self.method == "POST" && super::dialect::opens_session(head)
    }

    fn is_of_host(&self, head: &RequestHead) -> bool {
        let Some(wanted) = &self.host else { return true };
        let Some(authority) = head.authority.as_deref() else { return false };
        let authority = authority.to_ascii_lowercase();
        let host = transport::split_authority(&authority).map(|(host, _)| host);
        // With its port, or on any.
        wanted.is_match(&authority) || host.is_some_and(|host| wanted.is_match(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genai::tests::harness::{Exchange, head, headers},
        wire::ExchangeEnd,
    };

    #[test]
    fn requests() {
        let rows = [
            ("/my/gateway/**=openai.chat_completions", "POST", "x.example", "/my/gateway/v2/ask", true),
            ("/my/gateway/**=openai.chat_completions", "POST", "x.example", "/my/gatewayed", false),
            ("/my/gateway/**=openai.chat_completions", "GET", "x.example", "/my/gateway/models", false),
            ("get /ask = openai.chat_completions", "GET", "x.example", "/ask", true),
            ("PUT  x.example/ask=openai.chat_completions", "PUT", "X.example:8443", "/ask", true),
            ("x.example/ask=openai.chat_completions", "POST", "y.example", "/ask", false),
            ("x.example:8443/ask=openai.chat_completions", "POST", "x.example:8443", "/ask", true),
            ("x.example:8443/ask=openai.chat_completions", "POST", "x.example:8444", "/ask", false),
            ("*.example/ask=openai.chat_completions", "POST", "a.b.example", "/ask", true),
            ("/*/ask=openai.chat_completions", "POST", "x.example", "/a/ask", true),
            ("/*/ask=openai.chat_completions", "POST", "x.example", "/a/b/ask", false),
            ("/a=b/ask=openai.chat_completions", "POST", "x.example", "/a=b/ask", true),
        ];
        for (rule, method, authority, path, wanted) in rows {
            let rule: Rule = rule.parse().unwrap();
            let found = rule.dialect(&head(method, authority, path));
            assert_eq!(found.is_some(), wanted, "{rule:?} {method} {authority} {path}");
        }
    }

    #[test]
    fn rules_that_make_no_sense() {
        for text in
            ["", "/ask", "ask=openai.chat_completions", "/a b=openai.chat_completions", "POST x y/z=a"]
        {
            assert_eq!(text.parse::<Rule>().unwrap_err(), RuleError::Form, "{text}");
        }
        let error = "/[=openai.chat_completions".parse::<Rule>().unwrap_err().to_string();
        assert!(error.starts_with("\"/[\" is no pattern ("), "{error}");
        let error = "/ask=openai.chat".parse::<Rule>().unwrap_err().to_string();
        assert!(
            error.contains("no API dialect \"openai.chat\"") && error.contains("anthropic.messages, "),
            "{error}"
        );
    }

    #[test]
    fn every_dialect_can_be_named() {
        for name in dialects() {
            assert!(format!("/**={name}").parse::<Rule>().is_ok(), "{name}");
        }
    }

    #[test]
    fn what_a_rule_names_is_a_call() {
        let rules = || vec!["/ask=anthropic.messages".parse().unwrap()];
        let exchange = |path: &str| {
            let mut exchange = Exchange::new(head("POST", "llm.example", path));
            exchange.rules = rules();
            exchange
                .request(r#"{"model":"m","max_tokens":1,"messages":[]}"#)
                .json(200, r#"{"type":"message","id":"msg_1","model":"n","content":[]}"#)
                .run(ExchangeEnd::Complete)
        };
        let call = exchange("/ask").unwrap();
        assert_eq!((call.dialect, call.request.model.as_deref()), ("anthropic.messages", Some("m")));
        assert_eq!(call.response.model.as_deref(), Some("n"));
        assert!(exchange("/asks").is_none());
        // It wins over what the path looks like.
        let mut exchange = Exchange::new(head("POST", "api.openai.com", "/v1/chat/completions"));
        exchange.rules = vec!["/v1/**=openai.responses".parse().unwrap()];
        let call = exchange.request(r#"{"model":"m","input":"x"}"#).run(ExchangeEnd::Complete).unwrap();
        assert_eq!(call.dialect, "openai.responses");
    }

    #[test]
    fn sessions_are_opened_by_a_get() {
        let rule: Rule = "/live=openai.realtime".parse().unwrap();
        let mut head = head("GET", "llm.example", "/live");
        assert!(rule.dialect(&head).is_none());
        head.headers = headers(&[("upgrade", "websocket")]);
        assert!(rule.dialect(&head).is_some());
    }
}
