//! Which exchanges are LLM calls.

use std::{fmt, sync::Arc};

use super::{
    answer,
    api::{self, Purpose},
    budget::{Budget, Limits, Pool},
    builder::{CallBuilder, Candidate},
    call::Provider,
    dialect::{self, Claim, DIALECTS, Dialect},
    provider,
    rule::Rule,
    stated::Sources,
};
use crate::{
    account::{Account, Counter},
    wire::RequestHead,
};

/// What an exchange is, by the head of its request.
#[derive(Debug)]
pub enum Recognition {
    /// Not LLM traffic.
    NotLlm,
    /// A request to an LLM API that is no inference, and of what kind (`models`, `files`, ...).
    NotInference(&'static str),
    /// Inference in an API that is not read yet, and which (`responses`, `embeddings`, ...).
    Unread(&'static str),
    /// Opens a session in which calls are made: each is shown by itself.
    Session,
    /// An LLM call, or one that may turn out to be none when its body is seen.
    Call(Box<CallBuilder>),
}

/// Tells LLM calls from everything else. Cheap to ask: most traffic is something else.
pub struct Recognizer {
    limits: Limits,
    account: Arc<Account>,
    pool: Arc<Pool>,
    dialects: &'static [&'static dyn Dialect],
    rules: Vec<Rule>,
    hash_blobs: bool,
    sources: Arc<Sources>,
}

impl fmt::Debug for Recognizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recognizer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Recognizer {
    /// A recognizer whose calls share the limit of [`Limits::in_flight`].
    pub fn new(limits: Limits, account: Arc<Account>) -> Self {
        Self::with_dialects(limits, account, DIALECTS)
    }

    pub(super) fn with_dialects(
        limits: Limits,
        account: Arc<Account>,
        dialects: &'static [&'static dyn Dialect],
    ) -> Self {
        Self {
            limits,
            account,
            pool: Arc::default(),
            dialects,
            rules: Vec::new(),
            hash_blobs: false,
            sources: Arc::default(),
        }
    }

    /// From now on these rules hold, of which the first that is about a request decides; calls that have begun go on as they are.
    pub fn set_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    /// From now on calls have digests of the binary content of their messages, or not: they cost a pass over it.
    pub fn set_digests(&mut self, hash_blobs: bool) {
        self.hash_blobs = hash_blobs;
    }

    /// From now on it is looked there for what requests say of whom and what they are for.
    pub fn set_sources(&mut self, sources: Sources) {
        self.sources = Arc::new(sources);
    }

    /// What is the exchange that begins with this head? Each exchange is to be shown once: it is counted.
    pub fn recognize(&self, head: &RequestHead) -> Recognition {
        if let Some(dialect) = self.rules.iter().find_map(|rule| rule.dialect(head)) {
            if dialect::opens_session(head) && head.session.is_none() {
                self.not_inference("session");
                return Recognition::Session;
            }
            return self.call(vec![Candidate::open(dialect, head, true)]);
        }
        if answer::may_tell(head) {
            let telling = self.dialects.iter().filter(|dialect| answer::TELLING.contains(&dialect.name()));
            let candidates = telling.map(|dialect| Candidate::open(*dialect, head, false)).collect();
            return Recognition::Call(Box::new(self.builder(candidates).told_by_answer()));
        }
        let mut maybe = Vec::new();
        for dialect in self.dialects {
            match dialect.claim(head) {
                Claim::No => {}
                Claim::NotInference(kind) => return self.not_inference(kind),
                Claim::Session => {
                    self.not_inference("session");
                    return Recognition::Session;
                }
                Claim::Yes => return self.call(vec![Candidate::open(*dialect, head, true)]),
                Claim::Maybe => maybe.push(Candidate::open(*dialect, head, false)),
            }
        }
        if !maybe.is_empty() {
            return self.call(maybe);
        }
        match provider::of_authority(head.authority.as_deref()) {
            Some(provider) if serves_llms_at(provider, &head.path) => {
                match api::purpose(&head.method, &head.path) {
                    Purpose::Housekeeping(kind) => self.not_inference(kind),
                    Purpose::Unread(kind) => {
                        self.account.add(Counter::CallsUnread, 1);
                        Recognition::Unread(kind)
                    }
                }
            }
            _ => {
                self.account.add(Counter::ExchangesNotLlm, 1);
                Recognition::NotLlm
            }
        }
    }

    fn not_inference(&self, kind: &'static str) -> Recognition {
        self.account.add(Counter::ExchangesNotInference, 1);
        Recognition::NotInference(kind)
    }

    fn call(&self, candidates: Vec<Candidate>) -> Recognition {
        Recognition::Call(Box::new(self.builder(candidates)))
    }

    fn builder(&self, candidates: Vec<Candidate>) -> CallBuilder {
        let budget = Budget::new(self.limits, Arc::clone(&self.pool)).hashing(self.hash_blobs);
        CallBuilder::new(candidates, budget, Arc::clone(&self.account)).looking_at(Arc::clone(&self.sources))
    }
}

/// Azure's hosts serve other things too (speech, vision, search).
fn serves_llms_at(provider: Provider, path: &str) -> bool {
    match provider {
        Provider::AzureOpenAi | Provider::AzureAiInference => {
            ["/openai", "/models", "/chat"].iter().any(|prefix| path.starts_with(prefix))
        }
        _ => true,
    }
}
